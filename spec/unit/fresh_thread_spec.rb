# frozen_string_literal: true

require "volador/fresh_thread"

RSpec.describe Volador::FreshThread do
  let(:begun) { Queue.new }

  # Started by who holds everything off.
  def start(&block)
    Thread.handle_interrupt(Object => :never) { described_class.start("volador example", &block) }
  end

  it "has a name, and returns what its block returns" do
    thread = start { :done }
    expect([thread.name, thread.value]).to eq(["volador example", :done])
  end

  it "can be ended, whatever its maker holds off" do
    thread = start { (begun << true) && sleep }
    begun.pop
    expect(thread.kill.join(Deadline::DEFAULT_SECONDS)).to be(thread)
  end

  it "can be interrupted, whatever its maker holds off" do
    thread = start do
      (begun << true) && sleep
    rescue Interrupt
      :interrupted
    end
    begun.pop
    thread.raise(Interrupt)
    expect(thread.join(Deadline::DEFAULT_SECONDS)&.value).to be(:interrupted)
  end
end
