# frozen_string_literal: true

require "volador/cluster/membership"

RSpec.describe Volador::Cluster::Membership do
  subject(:membership) { described_class.new("link.sock", configuration: Volador::Configuration.new(env: {}), log: log) }

  let(:output) { StringIO.new }
  let(:log) { Volador::Log.new(output) }
  # What comes of each attempt to join, with its time: :refused, or a guest. The last one is for all that follow.
  let(:outcomes) { [:joined] }
  let(:attempts) { [] }
  let(:guests) { [] }

  guest = Struct.new(:on_loss, :listening, :ended) do
    alias_method :ended?, :ended

    def join = self

    def listen = self.listening = true

    def close = self.ended = true

    def lose
      self.ended = true
      on_loss.call
    end
  end

  before do
    allow(Volador::Cluster::Guest).to receive(:new) do |_link, on_loss:, **|
      attempts << Volador::Clock.now
      raise Volador::Error, "refused" if outcomes[attempts.size - 1] == :refused

      guest.new(on_loss).tap { |one| guests << one }
    end
  end

  it "joins with the first reason, and subscriptions are one from the time on that it listens", :aggregate_failures do
    expect(membership.reach(:subscribe)).to be_nil
    expect(membership.reach(:send)).to be(guests.first)
    expect(guests.first.listening).to be_falsy
    membership.listen
    expect(guests.first.listening).to be(true)
    expect(membership.reach(:subscribe)).to be(guests.first)
    expect(attempts.size).to eq(1)
  end

  it "joins again when it has lost its link, ever less often while it cannot", :aggregate_failures do
    outcomes.push(:refused, :refused, :refused)
    membership.listen
    membership.reach(:subscribe).lose

    expect(guests.last).to have_attributes(listening: true, ended: nil)
    expect([guests.size, attempts.size]).to eq([2, 5])
    expect(attempts.each_cons(2).map { |one, other| other - one }).to match([be >= 0.1, be >= 0.1, be >= 0.2, be >= 0.4])
    expect(output.string.scan("cannot join it again yet").size).to eq(3)
    expect(output.string.scan("was lost, and is there again").size).to eq(1)
  end

  it "does not join again when it has left, or when its gateway is gone", :aggregate_failures do
    %i[leave give_up].each do |method|
      lost = membership.reach(:send)
      membership.public_send(method)
      lost.lose
    end

    expect(guests.size).to eq(2)
    expect(output.string).to eq("")
  end

  it "joins again with the next reason when it has left" do
    membership.reach(:send)
    membership.leave

    expect(guests.first.ended).to be(true)
    expect(membership.reach(:send)).to be(guests.last)
    expect(guests.size).to eq(2)
  end

  it "holds nobody up for long who waits for one that joins", :aggregate_failures do
    joining, goes_on = Queue.new, Queue.new
    allow(Volador::Cluster::Guest).to receive(:new) do
      joining << true
      goes_on.pop
      guest.new
    end
    thread = Thread.new { membership.reach(:send) }
    joining.pop
    begun = Volador::Clock.now
    expect(membership.hold { :held }).to eq(:held)
    expect(Volador::Clock.now - begun).to be_between(2.0, 10.0)
    goes_on << true
    expect(thread.value).to be(membership.hold { membership.instance_variable_get(:@guest) })
  end
end
