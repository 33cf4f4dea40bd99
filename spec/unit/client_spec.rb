# frozen_string_literal: true

RSpec.describe Volador::Push::Client do
  let(:printed) { StringIO.new }
  let(:log) { Volador::Log.new(printed) }
  let(:connection) { Fakes::Connection.new(7) }
  let(:env) { Fakes.env("/push") }
  let(:client) { described_class.new(connection, env, :websocket, recorder, log) }
  let(:callbacks) { client.callbacks }
  let(:heard) { [] }
  let(:recorder) { recorder_of(heard) }

  # @return [Object] a handler that notes which callback it was called with
  def recorder_of(heard, name = nil)
    Class.new do
      %i[on_open on_message on_drained on_shutdown on_close].each do |callback|
        define_method(callback) { |_client, *data| heard << [name, callback, *data].compact }
      end
    end.new
  end

  # @return [Object] a handler with this one callback
  def handler(callback, &block)
    Object.new.tap { |object| object.define_singleton_method(callback, &block) }
  end

  # Runs the block in a thread of its own, which is given up when it waits too long.
  def in_time(&block)
    thread = Thread.new(&block)
    thread.report_on_exception = false
    thread.join(10) or raise "it waits for ever"
  ensure
    thread.kill
  end

  def client_of(handler)
    described_class.new(connection, env, :websocket, handler, log)
  end

  after { callbacks.abandon }

  it "has the request's env, its protocol and its handler" do
    expect(client).to have_attributes(env: equal(env), protocol: :websocket, handler: equal(recorder))
    expect(client).to be_pubsub
    expect(client.inspect).to eq "#<Volador::Push::Client websocket open>"
  end

  it "is shown as closed in a forked process, whose connection it is not" do
    allow(connection).to receive(:open?).and_raise(Volador::Error)
    expect(client.inspect).to eq "#<Volador::Push::Client websocket closed>"
  end

  it "takes the fields of an event by name alone" do
    expect { client.write("text", "event") }.to raise_error(ArgumentError, /by name, got String/)
    expect { client.write("text", color: "red") }.to raise_error(ArgumentError, /color/)
    expect { client.write("text", event: "a\n") }.to raise_error(ArgumentError)
  end

  it "makes no object for a message" do
    connection.define_singleton_method(:write) { |_data| true }
    client.write("warm")
    before = GC.stat(:total_allocated_objects)
    100.times { client.write("text") }
    expect(GC.stat(:total_allocated_objects) - before).to be < 50
  end

  it "writes Strings as they are" do
    expect(["text", "\xff".b].map { |data| client.write(data) }).to all(be true)
    expect(connection.sent).to eq ["text", "\xff".b]
    expect(connection.sent.map(&:encoding)).to eq [Encoding::UTF_8, Encoding::BINARY]
  end

  [nil, 1, :symbol, { a: 1 }].each do |object|
    it "raises TypeError for a write of #{object.inspect}" do
      expect { client.write(object) }.to raise_error(TypeError, /String, got #{object.class}/)
    end
  end

  it "answers false, -1 and nil once it is closed" do
    expect([client.open?, client.pending]).to eq [true, 0]
    expect(client.close).to be_nil
    expect(client.close).to be_nil
    expect([client.open?, client.write("x"), client.pending, client.subscribe("a"), client.subscribe("a") { nil }])
      .to eq [false, false, -1, nil, nil]
    expect(connection.code).to eq 1000
  end

  describe "#timeout" do
    it "is the server's until another is set, and again after 0" do
      expect(client.timeout).to equal 30
      [[5, 5], [1.5, 1.5], [Rational(1, 4), 0.25], [0, 30], [86_400, 86_400], [0.001, 0.001], [0.0, 30]].each do |given, seconds|
        client.timeout = given
        expect(client.timeout).to eql seconds
      end
    end

    [nil, "5", :soon, [5], Complex(1, 1)].each do |object|
      it "raises TypeError for #{object.inspect}" do
        expect { client.timeout = object }.to raise_error(TypeError, /takes seconds, a number, got #{Regexp.escape(object.inspect)}/)
      end
    end

    [-1, 0.0001, 86_401, Float::INFINITY, Float::NAN, 2**70].each do |number|
      it "raises ArgumentError for #{number}" do
        expect { client.timeout = number }.to raise_error(ArgumentError, /0\.001 to 86400 seconds.*got #{number.inspect}/)
        expect(client.timeout).to eq 30
      end
    end

    it "is kept, and can be set without effect, once the connection is closed" do
      client.timeout = 5
      client.close
      client.timeout = 7
      expect(client.timeout).to eq 5
    end
  end

  describe "callbacks" do
    it "get the client, and on_close comes once" do
      client
      callbacks.opened
      callbacks.message("hi")
      callbacks.drained
      callbacks.close
      callbacks.close
      expect(heard).to eq [[:on_open], [:on_message, "hi"], [:on_drained], [:on_close]]
    end

    it "asks for on_drained once for what is written until it comes, and not without one" do
      client.write("a")
      client.write("b", event: "e")
      expect(connection.asked_drained).to eq 1
      callbacks.drained
      client.write("c")
      expect(connection.asked_drained).to eq 2
      callbacks.drained
      client.handler = handler(:on_message) { |_client, _data| nil }
      client.write("d")
      client.handler = handler(:on_drained) { |_client| nil }
      expect { client.write("e") }.to change(connection, :asked_drained).from(2).to(3)
      client.close
      callbacks.drained
      expect(client.write("late")).to be false
      expect(connection.asked_drained).to eq 3
    end

    it "are not told that all is sent while more waits by then, or when the client is closed" do
      allow(connection).to receive(:pending).and_return(3, 0)
      callbacks.opened
      2.times { callbacks.drained }
      client.close
      callbacks.drained
      expect(heard).to eq [[:on_open], [:on_drained]]
    end

    it "are each of them optional" do
      callbacks = client_of(Object.new).callbacks
      expect(callbacks.interest).to be_nil
      callbacks.opened
      callbacks.message("hi")
      callbacks.drained
      callbacks.close
      expect(connection).to be_open
      expect(client_of(handler(:on_open) { |_client| nil }).callbacks.interest).to eq 7
    end

    it "close with 1001 after on_shutdown" do
      callbacks = client_of(handler(:on_shutdown) { |client| client.write("bye") }).callbacks
      callbacks.opened
      callbacks.shutdown
      expect([connection.sent, connection.code]).to eq [["bye"], 1001]
    end

    it "leave out on_close when the handshake failed, and there was no on_open" do
      callbacks.close
      expect(heard).to be_empty
    end

    { on_open: :opened, on_message: [:message, "hi"], on_drained: :drained, on_shutdown: :shutdown, on_close: :close }
      .each do |callback, call|
      it "log an exception of #{callback} and close with 1011" do
        callbacks = client_of(handler(callback) { |*| raise NotImplementedError, "oops" }).callbacks
        callbacks.opened
        callbacks.public_send(*call) unless callback == :on_open
        expect(connection.code).to eq 1011
        expect(printed.string).to match(/ERROR: #{callback} of Object raised, its connection is closed: oops/)
      end
    end

    it "of a module or a class are called on it, a class without any is made an instance of" do
      calls = []
      mod = Module.new { define_singleton_method(:on_open) { |_client| calls << self } }
      own = Class.new { define_singleton_method(:on_open) { |_client| calls << self } }
      plain = Class.new { define_method(:on_open) { |_client| calls << self.class } }
      [mod, own, plain].each { |given| client_of(given).callbacks.opened }
      expect(calls).to eq [mod, own, plain]
      expect(client_of(plain).handler).to be_a plain
    end
  end

  describe "#handler=" do
    it "calls on_close of the old one, then on_open of the new one, which has the rest" do
      callbacks.opened
      client.handler = other = recorder_of(heard, :other)
      callbacks.message("hi")
      callbacks.close
      expect(client.handler).to equal other
      expect(heard).to eq [[:on_open], [:on_close], %i[other on_open], [:other, :on_message, "hi"], %i[other on_close]]
    end

    it "opens no new one in a forked child that ends in on_close of the old one" do
      client = client_of(handler(:on_close) { |_client| exit(7) })
      client.callbacks.opened
      allow(Process).to receive(:pid).and_return(Process.pid + 1)
      expect { client.handler = recorder_of(heard, :other) }.to raise_error(SystemExit)
      expect([heard, connection.sent]).to eq [[], []]
    end

    it "may be used inside of a callback" do
      heard = self.heard
      other = recorder_of(heard, :other)
      callbacks = client_of(handler(:on_message) { |client, _data| client.handler = other }).callbacks
      callbacks.opened
      callbacks.message("one")
      callbacks.message("two")
      expect(heard).to eq [%i[other on_open], [:other, :on_message, "two"]]
    end

    it "may be used inside of a callback from another Fiber" do
      heard = self.heard
      others = Array.new(2) { |index| recorder_of(heard, index) }.to_enum
      callbacks = client_of(handler(:on_message) { |client, _data| Fiber.new { client.handler = others.next }.resume }).callbacks
      callbacks.opened
      in_time { callbacks.message("one") }
      callbacks.message("two")
      expect(heard).to eq [[0, :on_open], [0, :on_message, "two"]]
    end

    it "waits for a callback that runs in another thread" do
      gate = Queue.new
      running = Queue.new
      heard = self.heard
      slow = handler(:on_message) do |_client, _data|
        running << true
        gate.pop
        heard << :message_over
      end
      client = client_of(slow)
      client.callbacks.opened
      busy = Thread.new { client.callbacks.message("hi") }
      running.pop
      setter = Thread.new { client.handler = recorder_of(heard, :other) }
      Deadline.until("the thread to wait") { setter.stop? }
      gate << true
      [busy, setter].each(&:join)
      expect(heard).to eq [:message_over, %i[other on_open]]
    end

    { "a throw" => -> { throw :over }, "the end of the thread" => -> { Thread.exit } }.each do |what, cut|
      it "lets the new one take over when #{what} cuts the old one's on_close off" do
        heard = self.heard
        first = handler(:on_close) do |_client|
          heard << :first_closes
          cut.call
        end
        client = client_of(first)
        client.callbacks.opened
        Thread.new { catch(:over) { client.handler = recorder_of(heard, :other) } }.join
        client.callbacks.message("hi")
        client.callbacks.close
        expect(heard).to eq [:first_closes, %i[other on_open], [:other, :on_message, "hi"], %i[other on_close]]
      end
    end

    it "calls on_close once though that sets another one, which takes over" do
      heard = self.heard
      last = recorder_of(heard, :last)
      first = recorder_of(heard, :first)
      first.define_singleton_method(:on_close) do |client|
        heard << :first_closes
        client.handler = last
      end
      client = client_of(first)
      client.callbacks.opened
      client.handler = recorder_of(heard, :never)
      expect(heard).to eq [%i[first on_open], :first_closes, %i[last on_open]]
    end

    it "calls nothing once the connection is closed" do
      callbacks.opened
      callbacks.close
      client.handler = recorder_of(heard, :other)
      expect(heard).to eq [[:on_open], [:on_close]]
    end
  end

  describe "#subscribe" do
    let(:got) { [] }

    def block(name)
      got = self.got
      ->(channel, message) { got << [name, channel, message] }
    end

    it "leaves a subscription without a block to the gateway" do
      subscription = client.subscribe(:news)
      expect(subscription).to have_attributes(channel: "news", match: nil)
      expect(subscription).to eq "news"
      client.subscribe("n*", match: :glob)
      client.subscribe("a.>", match: :subject)
      expect(connection.told).to eq [[:subscribe, "news", nil], [:subscribe, "n*", :glob], [:subscribe, "a.>", :subject]]
    end

    it "calls the block with channel and message" do
      client.subscribe("news", &block(:one))
      callbacks.published(1, "news", "hello")
      callbacks.published(2, "news", "of another time")
      expect(got).to eq [[:one, "news", "hello"]]
    end

    it "takes the draft's handler instead of a block, and its as" do
      client.subscribe("news", handler: block(:called), as: :binary)
      callbacks.published(1, "news", "hello")
      expect(got).to eq [[:called, "news", "hello"]]
    end

    it "replaces: block by block, block by direct, direct by block, direct by direct" do
      client.subscribe("news", &block(:one))
      client.subscribe("news", &block(:two))
      callbacks.published(1, "news", "hello")
      expect(got).to eq [[:two, "news", "hello"]]
      client.subscribe(:news)
      client.subscribe("news")
      callbacks.published(1, "news", "late")
      client.subscribe("news", &block(:three))
      callbacks.published(2, "news", "again")
      expect(got.last).to eq [:three, "news", "again"]
      expect(got.size).to eq 2
      expect(connection.told).to eq [[:listen, "news", nil, 1], [:unlisten, 1], [:subscribe, "news", nil],
                                     [:unsubscribe, "news", nil], [:listen, "news", nil, 2]]
    end

    it "takes a channel and a pattern of the same name for two" do
      client.subscribe("a")
      client.subscribe("a", match: :glob)
      expect(client.unsubscribe("a")).to be true
      expect(client.unsubscribe("a")).to be false
      expect(client.unsubscribe("a", match: :glob)).to be true
    end

    it "takes the same bytes in another encoding for the same" do
      client.subscribe("h\u00e4")
      expect(client.unsubscribe("h\u00e4".b)).to be true
    end

    it "ends by the subscription as well" do
      subscription = client.subscribe("news", &block(:one))
      expect([subscription.unsubscribe, subscription.unsubscribe]).to eq [true, false]
      callbacks.published(1, "news", "late")
      expect(got).to be_empty
      expect(connection.told.last).to eq [:unlisten, 1]
    end

    { "block by block" => [true, true], "block by direct" => [true, false], "direct by block" => [false, true],
      "direct by direct" => [false, false] }.each do |how, kinds|
      it "is ended neither by the subscription that it has replaced (#{how}) nor by one that has ended before" do
        first, second = kinds.map { |kind| client.subscribe("news", &(block(how) if kind)) }
        told = connection.told.dup
        expect([first.unsubscribe, connection.told]).to eq [false, told]
        expect([second.close, second.close]).to eq [true, false]
        third = client.subscribe("news")
        expect([first.close, second.close, third.close]).to eq [false, false, true]
      end
    end

    it "ends by its name in the place of the subscription, which then has ended" do
      subscription = client.subscribe("news")
      expect([client.unsubscribe(:news), subscription.close]).to eq [true, false]
    end

    it "logs what a block raises, and the connection stays open" do
      client.subscribe("news") { |_channel, _message| raise "oops" }
      callbacks.published(1, "news", "hello")
      expect(connection).to be_open
      expect(printed.string).to match(/ERROR: the block of a client's subscription raised, for the channel news: oops/)
    end

    it "ends with the connection" do
      before = Volador::PubSub.engines.size
      client.subscribe("only here") { |*| nil }
      expect(Volador::PubSub.engines.size).to eq before + 1
      callbacks.opened
      callbacks.close
      expect(Volador::PubSub.engines.size).to eq before
      expect(client.subscribe("only here")).to be_nil
    end

    [[1, {}, TypeError], ["", {}, ArgumentError], ["x" * 1025, {}, ArgumentError], ["a", { match: :regexp }, ArgumentError],
     ["a.>.b", { match: :subject }, ArgumentError], [(["a"] * 33).join("."), { match: :subject }, ArgumentError]]
      .each do |channel, options, error|
      it "raises #{error} for #{channel.inspect[0, 20]} #{options}" do
        expect { client.subscribe(channel, **options) }.to raise_error(error)
        expect(connection.told).to be_empty
      end
    end
  end
end
