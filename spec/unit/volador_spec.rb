# frozen_string_literal: true

RSpec.describe Volador do
  it "has a version" do
    expect(Volador::VERSION).to match(/\A\d+\.\d+\.\d+\z/)
  end

  it "broadcasts to nobody when no server runs" do
    expect(described_class.broadcast("/rooms/*", "hello")).to be_nil
  end

  ["rooms", "", "/a/**/b", "*", "/rooms".encode("UTF-16LE")].each do |pattern|
    it "refuses to broadcast to #{pattern.inspect}" do
      expect { described_class.broadcast(pattern, "x") }.to raise_error(ArgumentError, /"\/rooms\/\*\*" \(any tail\)/)
    end
  end

  it "hands a broadcast to every running server, as a String" do
    server = instance_double(Volador::Server)
    allow(server).to receive(:broadcast)
    allow(Volador::Server).to receive(:reach).and_return([server])
    described_class.broadcast("/rooms/**", 42)
    expect(server).to have_received(:broadcast).with("/rooms/**", "42")
  end

  it "refuses what is no application" do
    expect { described_class.run(Object.new) }.to raise_error(Volador::ConfigurationError, /respond to call/)
  end

  it "raises a ClosedError that is an IOError and says what to do" do
    expect(Volador::ClosedError.new).to be_an(IOError).and have_attributes(message: /stop writing/)
  end
end
