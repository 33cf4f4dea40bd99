# frozen_string_literal: true

require "volador/steady_lock"

RSpec.describe Volador::SteadyLock do
  let(:lock) { described_class.new }

  # A thread that is in the midst of a change; `change` is given to the block once the other thread has done its worst.
  def interrupted
    reached = Queue.new
    go_on = Queue.new
    thread = Thread.new do
      lock.change { (reached << true) && go_on.pop && yield }
      sleep
    rescue Interrupt
      Thread.current[:interrupted] = true
    end
    reached.pop
    [thread, go_on]
  end

  it "is a lock" do
    entered = Queue.new
    lock.synchronize do
      waiting = Thread.new { lock.change { entered << true } }
      Deadline.until("it waits") { waiting.stop? }
      expect(entered).to be_empty
    end
    expect(entered.pop).to be(true)
  end

  it "lets a change come to its end before its thread is killed" do
    steps = []
    thread, go_on = interrupted { steps << :last }
    thread.kill
    go_on << true
    expect(thread.join(10)).to be(thread)
    expect([steps, lock.locked?]).to eq([[:last], false])
  end

  it "lets a change come to its end before an exception is raised into it" do
    steps = []
    thread, go_on = interrupted { steps << :last }
    thread.raise(Interrupt)
    go_on << true
    expect(thread.join(10)).to be(thread)
    expect([steps, thread[:interrupted]]).to eq([[:last], true])
  end

  it "returns what the block returns, and lets its exceptions through" do
    expect(lock.change { :done }).to be(:done)
    expect { lock.change { raise ArgumentError } }.to raise_error(ArgumentError)
    expect(lock).not_to be_locked
  end
end
