# frozen_string_literal: true

require "volador/cluster/settings"
require "volador/cluster/worker_process"

RSpec.describe Volador::Cluster::WorkerProcess do
  let(:gateway) { ClusterFakes::Gateway.new }
  let(:mold) { ClusterFakes::Mold.new }
  let(:children) { ClusterFakes::Children.new }
  let(:printed) { StringIO.new }
  let(:settings) { Volador::Cluster::Settings.new(env: {}, worker_timeout: 30, boot_timeout: 20, handover_timeout: 40) }
  let(:worker) do
    described_class.new(2, 100.0, mold: mold, gateway: gateway, settings: settings, log: Volador::Log.new(printed),
                                  children: children)
  end

  def link(**more)
    gateway.links = []
    gateway.join(number: 2, generation: 1, pid: 7, **more)
  end

  def up(**more)
    worker.forked(7)
    worker.seen(link(**more), 101.0)
  end

  it "is forked, boots, is up, and ends" do
    expect([worker.forking?, worker.condition, worker.to_s]).to eq [true, :booting, "worker 2"]
    worker.forked(7)
    expect([worker.forking?, worker.condition, worker.up?, worker.to_s]).to eq [false, :booting, false, "worker 2 (pid 7)"]
    worker.seen(link, 101.0)
    expect([worker.condition, worker.up?, worker.joined?]).to eq [:serving, true, true]
    worker.over("signal KILL")
    expect([worker.condition, worker.up?, worker.ended?, worker.ending]).to eq [:ending, false, true, "signal KILL"]
  end

  it "is healthy when it has been up for half a second" do
    worker.forked(7)
    expect(worker).not_to be_healthy(120.0)
    worker.seen(link, 101.0)
    expect([worker.healthy?(101.4), worker.healthy?(101.5)]).to eq [false, true]
  end

  it "is killed when it is not ready within the boot timeout" do
    worker.forked(7)
    worker.tick(119.9)
    expect([children.signals, worker.at]).to eq [[], 120.0]
    worker.tick(120.0)
    worker.tick(121.0)
    expect(children.signals).to eq [[:KILL, 7]]
    expect(printed.string).to eq "volador ERROR: worker 2 (pid 7) is not ready within the boot timeout of 20.0 s: it is " \
                                 "killed and replaced\n"
    expect([worker.at, worker.overdue?(124.9), worker.overdue?(125.0)]).to eq [125.0, false, true]
  end

  it "is killed when it gives no sign of life" do
    up(quiet: 30.0)
    worker.tick(200.0)
    expect(children.signals).to eq []
    worker.seen(link(quiet: 30.1), 201.0)
    2.times { worker.tick(201.0) }
    expect(children.signals).to eq [[:KILL, 7]]
    expect(printed.string).to include "worker 2 (pid 7) has given no sign of life for 30.1 s: it is killed and replaced"
  end

  it "is killed when it completes nothing while requests wait" do
    up(stuck: 31.0)
    worker.tick(200.0)
    expect(children.signals).to eq [[:KILL, 7]]
    expect(printed.string).to include "has completed nothing for 31.0 s"
  end

  it "is killed when it outlives its link" do
    up
    worker.seen(nil, 150.0)
    worker.tick(159.9)
    expect([worker.up?, children.signals, worker.at]).to eq [false, [], 160.0]
    worker.tick(160.0)
    expect(children.signals).to eq [[:KILL, 7]]
  end

  it "ends when it is retired and has nothing left" do
    up
    worker.retire(110.0)
    worker.tick(111.0)
    expect([gateway.calls, worker.leaving?, worker.at]).to eq [[], true, 150.0]
    worker.seen(link(state: :idle), 112.0)
    worker.tick(112.0)
    worker.tick(112.5)
    expect([gateway.calls, worker.condition]).to eq [[[:dismiss, 7]], :ending]
    expect(children.signals).to eq []
  end

  it "has the rest of the handover timeout for what the gateway does not see" do
    up
    worker.retire(110.0)
    worker.seen(link(state: :idle), 112.0)
    worker.tick(112.0)
    worker.tick(149.9)
    expect([children.signals, worker.at, printed.string]).to eq [[], 150.0, ""]
    worker.tick(150.0)
    expect([children.signals, worker.at]).to eq [[[:TERM, 7]], 155.0]
    worker.tick(155.0)
    expect(children.signals).to eq [[:TERM, 7], [:KILL, 7]]
    expect(printed.string.scan("has not finished within the handover timeout of 40.0 s").size).to eq 1
  end

  it "ends by the shorter one of two times that it is given" do
    up(state: :idle)
    worker.retire(110.0)
    worker.tick(110.0)
    worker.dismiss(111.0, cut_at: 120.0, patience: 1.0, limit: "drain timeout of 9 s")
    worker.dismiss(112.0, cut_at: 130.0)
    expect([gateway.calls, worker.at]).to eq [[[:dismiss, 7]], 120.0]
    worker.tick(120.0)
    worker.tick(121.0)
    expect(children.signals).to eq [[:TERM, 7], [:KILL, 7]]
    expect(printed.string).to eq "volador WARN: worker 2 (pid 7) has not finished within the drain timeout of 9 s: what " \
                                 "still runs is cut off\n"
  end

  it "is killed when it hangs while it finishes" do
    up(state: :idle)
    worker.retire(110.0)
    worker.tick(110.0)
    worker.seen(link(state: :idle, quiet: 30.1), 140.0)
    worker.tick(140.0)
    expect(children.signals).to eq [[:KILL, 7]]
    expect(printed.string).to include "is to end and has given no sign of life for 30.1 s: it is killed"
  end

  it "is killed when it does not end though its link has" do
    up(state: :idle)
    worker.retire(110.0)
    worker.tick(110.0)
    worker.seen(nil, 111.0)
    worker.tick(120.9)
    worker.seen(nil, 121.0)
    worker.tick(121.0)
    expect(children.signals).to eq [[:KILL, 7]]
  end

  it "ends when the handover timeout is over: by the gateway's word, by TERM, by KILL" do
    up
    worker.retire(110.0)
    worker.tick(150.0)
    expect([gateway.calls, children.signals, worker.at]).to eq [[[:dismiss, 7]], [], 155.0]
    worker.tick(155.0)
    expect([children.signals, worker.at]).to eq [[[:TERM, 7]], 160.0]
    worker.tick(160.0)
    expect(children.signals).to eq [[:TERM, 7], [:KILL, 7]]
    expect(printed.string).to include "has not finished within the handover timeout of 40.0 s"
  end

  it "is not taken for hung while it ends" do
    up(quiet: 100.0, stuck: 100.0)
    worker.retire(110.0)
    worker.tick(111.0)
    expect(children.signals).to eq []
  end

  it "gets TERM when it is retired before it is up" do
    worker.forked(7)
    worker.retire(110.0)
    worker.tick(110.0)
    expect([gateway.calls, children.signals]).to eq [[], [[:TERM, 7]]]
    worker.tick(115.0)
    expect(children.signals).to eq [[:TERM, 7], [:KILL, 7]]
  end

  it "gets TERM as soon as it has a pid when it is retired while it is forked" do
    worker.retire(110.0)
    worker.tick(110.0)
    expect([children.signals, worker.at]).to eq [[], nil]
    worker.forked(7)
    worker.tick(110.1)
    expect(children.signals).to eq [[:TERM, 7]]
  end

  it "gets the gateway's word as it joins, when it was too young for TERM", :aggregate_failures do
    worker.retire(110.0)
    worker.forked(7)
    worker.tick(110.0)
    worker.seen(link, 110.5)
    worker.seen(link, 110.6)
    expect([gateway.calls, children.signals]).to eq [[[:dismiss, 7]], [[:TERM, 7]]]
  end

  it "can be ended at once, also when it was dismissed before" do
    up
    worker.dismiss(110.0)
    worker.terminate(111.0, patience: 1.0)
    worker.tick(111.0)
    worker.tick(112.0)
    expect(children.signals).to eq [[:TERM, 7], [:KILL, 7]]
  end

  it "is never signalled once it has ended" do
    up
    worker.terminate(110.0)
    worker.over("exit status 0")
    worker.tick(120.0)
    worker.terminate(121.0)
    worker.dismiss(121.0)
    worker.tick(130.0)
    expect([children.signals, gateway.calls]).to eq [[], []]
  end

  it "is gone when its process is, and is neither signalled nor named in the log from then on" do
    up
    children.ended[7] = "exit status 0"
    worker.tick(109.0)
    expect([worker.gone?, worker.condition]).to eq [false, :serving]
    worker.seen(nil, 110.0)
    worker.tick(110.0)
    worker.dismiss(110.0, cut_at: 111.0, patience: 1.0, limit: "drain timeout of 1 s")
    [111.0, 112.0, 130.0].each { |now| worker.tick(now) }
    expect([worker.gone?, worker.condition, children.signals, printed.string]).to eq [true, :ending, [], ""]
    expect([worker.at, worker.overdue?(114.9), worker.overdue?(115.0)]).to eq [115.0, false, true]
    worker.over("exit status 0")
    expect([worker.at, worker.overdue?(115.0)]).to eq [nil, false]
  end

  it "is an orphan when its mold has ended, or when it has turned up by itself" do
    expect(worker).not_to be_orphan
    mold.end
    expect(worker).to be_orphan
    other = described_class.new(1, 100.0, mold: ClusterFakes::Mold.new, gateway: gateway, settings: settings, log: nil)
    other.adopted(8)
    expect(other).to have_attributes(orphan?: true, pid: 8)
  end
end
