# frozen_string_literal: true

require "volador"

RSpec.describe Volador::Push::SurroundedConnections do
  let(:heard) { [] }
  let(:surroundings) do
    heard = self.heard
    Class.new { define_method(:wrap) { |&block| [heard << :begin, block.call, heard << :end][1] } }.new
  end
  let(:connections) { described_class.new(surroundings, nil, log: Volador::Log.new) }

  # A handler's callbacks, as far as they are asked for here.
  def callbacks
    heard = self.heard
    Class.new do
      define_method(:message) { |data| heard << data }
      define_method(:drained) { heard << :drained }
    end.new
  end

  it "runs messages and other events inside of its surroundings" do
    connections.add(7, callbacks)
    connections.message(7, "hi")
    connections.dispatch([7, :drained])
    expect(heard).to eq [:begin, "hi", :end, :begin, :drained, :end]
  end

  describe "of a client" do
    let(:connection) { instance_double(Volador::Native::Connection, id: 7, open?: true, pending: 0, close: nil) }
    let(:handler) do
      heard = self.heard
      Class.new do
        define_method(:on_open) { |_| heard << :open }
        define_method(:on_close) { |_| heard << :close }
      end
    end

    def handshake(env)
      Volador::Push::Handshake.new(:websocket, connection, connections, Volador::Log.new).tap do |handshake|
        handshake.accepted?(env, [200, {}, []])
      end
    end

    it "opens it in there, and exchanges its handler before anything waits for that" do
      handshake("rack.upgrade" => handler).tap(&:register).opened
      connections.delete(7).replace(handler.new)
      expect(heard).to eq [:begin, :open, :end, :begin, :close, :open, :end]
    end

    it "tells the end of one that was refused in there" do
      handshake = Volador::Push::Handshake.new(:websocket, connection, connections, Volador::Log.new)
      heard = self.heard
      seed = Class.new { define_method(:on_close) { heard << :close } }
      handshake.open(Class.new { define_method(:on_open) { |_| seed.new } }.new, {})
      allow(connection).to receive(:open?).and_return(false)
      handshake.refused
      expect(heard).to eq %i[begin close end]
    end
  end

  describe "of a Rails application that may exchange code" do
    # As Rails' own: a run for which nothing has changed is not remembered by the reloader, only by the executor.
    let(:surroundings) do
      executor = Struct.new(:active) { alias_method :active?, :active }.new(false)
      Class.new do
        attr_accessor :changed, :exchanges
        define_method(:executor) { executor }

        def wrap
          @exchanges = exchanges.to_i + 1 if changed
          outer = executor.active
          executor.active = true
          yield
        ensure
          executor.active = outer
        end
      end.new
    end

    # Changes a file in its callback, and goes on from there.
    def changing(&go_on)
      surroundings = self.surroundings
      Class.new { define_method(:message) { |_| (surroundings.changed = true) && go_on.call } }.new
    end

    it "exchanges none in the midst of a callback, nor in a Fiber of it" do
      connections.add(7, changing { connections.surround { Fiber.new { connections.surround { heard << :deep } }.resume } })
      connections.message(7, "x")
      expect([heard, surroundings.exchanges]).to eq [[:deep], nil]
    end

    it "exchanges none in the midst of what runs in its executor" do
      surroundings.executor.active = true
      surroundings.changed = true
      connections.surround { heard << :inside }
      expect([heard, surroundings.exchanges]).to eq [[:inside], nil]
    end
  end

  it "tells events all the same when its surroundings raise" do
    allow(surroundings).to receive(:wrap).and_raise(SyntaxError)
    log = instance_double(Volador::Log, error: nil)
    connections = described_class.new(surroundings, nil, log: log)
    connections.add(7, callbacks)
    connections.dispatch([7, :drained])
    expect(heard).to eq [:drained]
  end

  describe ".surroundings" do
    it "is nothing without Rails" do
      expect(described_class.surroundings).to be_nil
    end

    it "is nothing before there is an application" do
      stub_const("Rails", Module.new { def self.application = nil })
      expect(described_class.surroundings).to be_nil
    end

    it "is the reloader of the Rails application" do
      application = Struct.new(:reloader).new(surroundings)
      stub_const("Rails", Module.new { define_singleton_method(:application) { application } })
      expect(described_class.surroundings).to equal surroundings
    end
  end
end
