# frozen_string_literal: true

RSpec.describe Volador::PubSub do
  let(:worker) { Fakes::Worker.new }
  let(:printed) { StringIO.new }
  let(:listeners) { described_class::Listeners.new(worker, Volador::Log.new(printed)) }
  let(:got) { [] }

  # Records what it is told.
  let(:engine) do
    Class.new do
      attr_reader :told

      def initialize = @told = []

      def subscribe(channel, match) = @told << [:subscribe, channel, match]

      def unsubscribe(channel, match) = @told << [:unsubscribe, channel, match]

      def publish(channel, message) = @told << [:publish, channel, message]
    end.new
  end

  after do
    described_class.leave(listeners, [])
    described_class.detach(engine)
  end

  # @return [Volador::PubSub::Subscription] gone after the example
  def subscribe(channel, **options, &block)
    Volador.subscribe(channel, **options, &block).tap { |one| (@subscriptions ||= []) << one }
  end

  after { @subscriptions&.each(&:unsubscribe) }

  describe "Volador.subscribe" do
    it "is registered when a server begins to serve" do
      subscribe(:news) { |*arguments| got << arguments }
      expect(worker.told).to be_empty
      described_class.serve(listeners)
      subscribe("n*", match: :glob) { |*| nil }
      expect(worker.told).to eq [[:listen, "news", nil, 1], [:listen, "n*", :glob, 2]]
      listeners.published(1, "news", "hello")
      expect(got).to eq [%w[news hello]]
    end

    it "replaces the block of an earlier one" do
      described_class.serve(listeners)
      subscribe("news") { got << :old }
      subscribe(:news) { got << :new }
      listeners.published(1, "news", "hello")
      expect(got).to eq [:new]
      expect(worker.told.size).to eq 1
    end

    it "is whole when its thread is ended over it" do
      described_class.serve(listeners)
      reached = Queue.new
      go_on = Queue.new
      allow(worker).to receive(:listen).and_wrap_original { |listen, *key| (reached << true) && go_on.pop && listen.call(*key) }
      thread = Thread.new { Volador.subscribe("news") { got << :old } }
      reached.pop
      thread.kill
      go_on << true
      thread.join(10)
      subscription = subscribe("news") { got << :new }
      listeners.published(1, "news", "hello")
      expect([got, subscription.unsubscribe]).to eq [[:new], true]
    end

    it "ends by its subscription or by name" do
      described_class.serve(listeners)
      subscription = subscribe("news") { got << :late }
      expect([subscription.unsubscribe, subscription.unsubscribe]).to eq [true, false]
      subscribe("a.*", match: :subject) { nil }
      expect([Volador.unsubscribe("a.*"), Volador.unsubscribe("a.*", match: :subject)]).to eq [false, true]
      listeners.published(1, "news", "late")
      expect(got).to be_empty
      expect(worker.told.select { |what, *| what == :unlisten }).to eq [[:unlisten, 1], [:unlisten, 2]]
    end

    it "is ended neither by the subscription that it has replaced nor by one that has ended before" do
      described_class.serve(listeners)
      first = subscribe("news") { got << :first }
      second = subscribe("news") { got << :second }
      expect(first.unsubscribe).to be false
      listeners.published(1, "news", "hello")
      expect([second.close, second.close]).to eq [true, false]
      subscribe("news") { got << :third }
      expect([first.close, second.close]).to eq [false, false]
      listeners.published(2, "news", "hello")
      expect(got).to eq %i[second third]
    end

    it "is served by one server when several run, and by the next one when that stops" do
      other_worker = Fakes::Worker.new
      other = described_class::Listeners.new(other_worker, Volador::Log.new(printed))
      described_class.serve(listeners)
      described_class.serve(other)
      subscribe("news") { got << :once }
      expect(other_worker.told).to be_empty
      described_class.leave(listeners, [other])
      expect(other_worker.told).to eq [[:listen, "news", nil, 1]]
      other.published(1, "news", "hello")
      expect(got).to eq [:once]
      described_class.leave(other, [])
    end

    it "logs what a block raises" do
      described_class.serve(listeners)
      subscribe("news") { raise NotImplementedError, "oops" }
      listeners.published(1, "news", "hello")
      expect(printed.string).to match(/the block of a subscription raised, for the channel news: oops/)
    end

    it "takes a handler instead of a block" do
      described_class.serve(listeners)
      subscribe("news", handler: ->(_channel, message) { got << message })
      listeners.published(1, "news", "hello")
      expect(got).to eq ["hello"]
    end

    it "wants a block" do
      expect { Volador.subscribe("news") }.to raise_error(ArgumentError, /block/)
    end
  end

  describe "Volador.publish" do
    it "answers false when no server runs" do
      expect(Volador.publish("news", "hello")).to be false
    end

    it "raises for what is no channel and no message" do
      expect { Volador.publish(1, "x") }.to raise_error(TypeError, /String or a Symbol/)
      expect { Volador.publish("", "x") }.to raise_error(ArgumentError, /1 to 1024 bytes/)
      expect { Volador.publish("news", 1) }.to raise_error(TypeError, /got Integer/)
    end
  end

  describe "engines" do
    it "are told of the subscriptions that there are and of those to come, each channel once" do
      subscribe("one") { nil }
      described_class.attach(engine)
      one = subscribe("one") { nil }
      client = Volador::Push::Client.new(Fakes::Connection.new, {}, :sse, Object.new, Volador::Log.new(printed))
      client.subscribe("one")
      client.subscribe("t*", match: :glob)
      one.unsubscribe
      client.unsubscribe("one")
      client.callbacks.close
      # What clients do is told by another thread.
      Deadline.until("the engine to be told of the end") { engine.told.size == 4 }
      expect(engine.told).to eq [[:subscribe, "one", nil], [:subscribe, "t*", :glob], [:unsubscribe, "one", nil],
                                 [:unsubscribe, "t*", :glob]]
    end

    it "are refused without the methods that are called of them" do
      expect { described_class.attach(Object.new) }.to raise_error(ArgumentError, /got a Object without subscribe and unsubscribe/)
      expect { described_class.default = 5 }.to raise_error(ArgumentError, /got a Integer without publish/)
      expect(described_class.default).to eq described_class::Local
    end

    it "are told nothing more once they are detached" do
      described_class.attach(engine)
      expect([described_class.detach(engine), described_class.detach(engine)]).to eq [true, false]
      subscribe("one") { nil }
      expect(engine.told).to be_empty
    end

    it "carry what is published with them, or by default" do
      expect(described_class.default).to equal described_class::Local
      expect(Volador.publish(:a, "1", engine: engine)).to be true
      described_class.default = engine
      expect(Volador.publish("a", "2")).to be true
      expect(Volador.publish("a", "3", engine: false)).to be false
      expect(engine.told).to eq [[:publish, "a", "1"], [:publish, "a", "2"]]
      described_class.detach(engine)
      expect(described_class.default).to equal described_class::Local
    end

    it "that can't publish are refused where they are named" do
      message = "an engine has the methods subscribe, unsubscribe and publish, got a Object without publish"
      client = Volador::Push::Client.new(Fakes::Connection.new, {}, :websocket, Object.new, Volador::Log.new)
      [Volador, described_class, client].each do |publisher|
        expect { publisher.publish("a", "1", engine: Object.new) }.to raise_error(ArgumentError, message)
      end
      expect { described_class.default = Object.new }.to raise_error(ArgumentError, message)
    end

    it "that raise harm nobody" do
      def engine.subscribe(*) = raise("no broker")
      expect { described_class.attach(engine) && subscribe("one") { nil } }.to output(/no broker/).to_stderr
      expect(Volador.unsubscribe("one")).to be true
    end
  end
end
