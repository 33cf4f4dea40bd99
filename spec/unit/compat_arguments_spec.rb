# frozen_string_literal: true

require "volador/compat/iodine/arguments"

RSpec.describe Volador::Compat::Iodine::Arguments do
  def publish(*given, **named)
    described_class.publish(given, named)
  end

  def subscribe(*given, **named, &block)
    described_class.subscribe(given, named, block).to_a
  end

  it "reads every form of publish" do
    expect(publish("a", "m")).to eq ["a", "m", nil]
    expect(publish(:a, "m", false)).to eq [:a, "m", false]
    expect(publish(to: "a", message: "m")).to eq ["a", "m", nil]
    expect(publish(channel: "a", message: "m", engine: :e)).to eq ["a", "m", :e]
    expect(publish({ to: "a", message: "m" })).to eq ["a", "m", nil]
    expect(publish("a", "m", engine: :e)).to eq ["a", "m", :e]
  end

  it "makes text of a message that is BINARY and valid UTF-8" do
    expect(publish("a", "m\u00e9".b)[1]).to eq "m\u00e9"
    expect(publish(to: "a", message: "\xff".b)[1].encoding).to eq Encoding::BINARY
  end

  it "refuses a publish without channel or message" do
    expect { publish("a") }.to raise_error(ArgumentError, /takes to, message/)
    expect { publish(to: "a") }.to raise_error(ArgumentError, /needs a message/)
    expect { publish(message: "m") }.to raise_error(ArgumentError, /needs a channel/)
    expect { publish("a", "m", nil, 1) }.to raise_error(ArgumentError)
  end

  it "reads every form of subscribe" do
    block = proc {}
    expect(subscribe("a")).to eq ["a", nil, false, nil]
    expect(subscribe("a", &block)).to eq ["a", nil, false, block]
    expect(subscribe(:a, as: :binary)).to eq [:a, nil, true, nil]
    expect(subscribe("a*", match: :redis, as: :text)).to eq ["a*", :redis, false, nil]
    expect(subscribe(to: "a", handler: block)).to eq ["a", nil, false, block]
    expect(subscribe({ channel: "a" })).to eq ["a", nil, false, nil]
  end

  it "makes a block of a handler that is no Proc" do
    handler = Class.new { def call(channel, message) = "#{channel} #{message}" }.new
    expect(subscribe("a", handler: handler).last.call("a", "m")).to eq "a m"
  end

  it "refuses a subscribe without a channel" do
    expect { subscribe }.to raise_error(ArgumentError, /needs a channel/)
    expect { subscribe("a", "b") }.to raise_error(ArgumentError, /one channel/)
  end
end
