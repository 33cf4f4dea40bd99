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
      handshake.refused
      expect(heard).to eq %i[begin close end]
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
