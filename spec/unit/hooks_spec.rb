# frozen_string_literal: true

require "volador/hooks"

RSpec.describe Volador::Hooks do
  let(:seen) { [] }
  let(:printed) { StringIO.new }

  before do
    subject.add(:on_worker_shutdown, ->(number) { seen << number && raise("no") })
    subject.add(:before_worker_shutdown, ->(number) { seen << number * 10 })
  end

  it "stops at what a block raises" do
    expect { subject.run(:worker_shutdown, 1) }.to raise_error("no")
    expect(seen).to eq [1]
  end

  it "logs what a block raises and goes on where nothing may be left out" do
    subject.run_all(:worker_shutdown, 1, log: Volador::Log.new(printed))
    expect(seen).to eq [1, 10]
    expect(printed.string).to start_with("volador ERROR: a block of on_worker_shutdown raised: no (RuntimeError)")
  end

  it "does nothing at a moment that nobody has a block for" do
    expect(subject.run(:booted)).to eq []
  end

  it "knows its names" do
    expect { subject.add(:on_lunch, -> {}) }.to raise_error(KeyError)
  end
end
