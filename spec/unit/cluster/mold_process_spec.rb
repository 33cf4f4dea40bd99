# frozen_string_literal: true

require "volador/cluster/mold_process"

RSpec.describe Volador::Cluster::MoldProcess do
  let(:children) { ClusterFakes::Children.new }
  let(:sockets) { UNIXSocket.pair }
  let(:other) { Volador::Cluster::Wire.new(sockets.last) }
  let(:wire) { Volador::Cluster::Wire.new(sockets.first) }
  let(:mold) { described_class.new(7, wire, 100.0, boot_timeout: 60.0, children: children) }

  after { sockets.each(&:close) }

  def load
    other.write({ is: "loaded" })
    mold.tick(101.0)
  end

  # When it is killed.
  def killed_at
    mold.at.tap do |at|
      mold.tick(at - 0.1)
      expect(children.signals).to eq []
      mold.tick(at)
      expect(children.signals).to eq [[:KILL, 7]]
    end
  end

  it "is told to end, and killed when it does not within five seconds" do
    load
    mold.finish(110.0)
    expect(other.read(1)).to eq({ do: "end" })
    expect(killed_at).to eq 115.0
  end

  it "is killed sooner when there is less time, also when it has been told before" do
    load
    [[110.0, nil], [111.0, 30.0], [112.0, 1.0], [112.5, nil]].each do |now, seconds|
      mold.finish(now, patience: seconds)
    end
    expect(other.read(1)).to eq({ do: "end" })
    expect(other.read(0)).to be_nil
    expect(killed_at).to eq 113.0
  end

  it "is killed at once while it loads" do
    mold.finish(110.0, patience: 1.0)
    expect(mold.at).to eq 110.0
    mold.tick(110.0)
    expect(children.signals).to eq [[:KILL, 7]]
  end
end
