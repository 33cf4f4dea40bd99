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
