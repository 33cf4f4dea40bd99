# frozen_string_literal: true

require "volador/compat/agoo/log"

RSpec.describe Volador::Compat::Agoo::Log do
  around do |example|
    names = %w[FATAL ERROR WARN INFO DEBUG connect request response eval push]
    before = names.to_h { |name| [name, described_class.state(name)] }
    example.run
  ensure
    before.each { |name, wanted| described_class.set_state(name, wanted) }
  end

  # @return [String] what is written meanwhile
  def written
    stderr = $stderr
    $stderr = StringIO.new
    yield
    $stderr.string
  ensure
    $stderr = stderr
  end

  it "has Agoo's states: warnings, errors and information are wanted" do
    expect(%w[FATAL ERROR WARN INFO].map { |name| described_class.state(name) }).to all(be(true))
    expect(%w[DEBUG connect request response eval push].map { |name| described_class.state(name) }).to all(be(false))
    expect(described_class.state("unknown")).to be false
  end

  it "writes no entries that are not wanted" do
    %w[error warn info].each do |name|
      expect(described_class.set_state(name, false)).to be false
      expect(described_class.public_send("#{name}?")).to be false
      expect(written { described_class.public_send(name, "silent") }).to eq ""
    end
    expect(described_class.set_state("debug", true)).to be true
    expect(described_class).to be_debug
    expect(written { expect(described_class.debug("detail")).to be_nil }).to eq "volador INFO: detail\n"
  end

  it "writes an entry of a state that is given by name" do
    lines = written do
      described_class.log("ERROR", "one")
      described_class.log("Warn", "two")
      described_class.log("eval", "not wanted")
      described_class.set_state("eval", true)
      described_class.log("eval", "three")
    end
    expect(lines).to eq "volador ERROR: one\nvolador WARN: two\nvolador INFO: three\n"
  end

  it "refuses states that there are not, but for those that are configured" do
    expect { described_class.set_state("unknown", true) }.to raise_error(ArgumentError, /"unknown" is no state.*ERROR/)
    expect { described_class.log("unknown", "x") }.to raise_error(ArgumentError, /"unknown" is no state/)
    expect(described_class.configure(states: { unknown: true, DEBUG: true, INFO: nil, push: true })).to be_nil
    expect(%w[DEBUG INFO push].map { |name| described_class.state(name) }).to all(be(true))
  end
end
