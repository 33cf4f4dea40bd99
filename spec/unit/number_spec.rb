# frozen_string_literal: true

RSpec.describe Volador::Number do
  let(:count) { described_class.new(Integer, 1..8, 5, nil) }
  let(:time) { described_class.new(Float, 0.5..60.0, 1.0, "seconds") }

  it "is its default when nothing is given" do
    expect([count.convert(:threads, nil), time.convert(:timeout, nil)]).to eq [5, 1.0]
  end

  it "takes Strings, and Integers for a Float" do
    expect([count.convert(:threads, "3"), time.convert(:timeout, "2.5"), time.convert(:timeout, 2)]).to eq [3, 2.5, 2.0]
  end

  { 0 => "0", 9 => "9", 1.5 => "1.5", "x" => "\"x\"", "" => "\"\"", :a => ":a" }.each do |value, shown|
    it "says what it must be, given #{value.inspect}" do
      expect { count.convert(:threads, value) }
        .to raise_error(Volador::ConfigurationError, "threads must be an Integer from 1 to 8, got #{shown}")
    end
  end

  it "names its unit" do
    expect { time.convert(:timeout, 61) }
      .to raise_error(Volador::ConfigurationError, "timeout must be a number from 0.5 to 60.0 seconds, got 61")
  end
end
