# frozen_string_literal: true

require "volador/cluster/generation"
require "volador/cluster/settings"

RSpec.describe Volador::Cluster::Generation do
  let(:gateway) { ClusterFakes::Gateway.new }
  let(:children) { ClusterFakes::Children.new }
  let(:printed) { StringIO.new }
  let(:settings) { Volador::Cluster::Settings.new(env: {}) }
  let(:molds) { [] }
  let(:start_mold) { ->(_number, _now) { ClusterFakes::Mold.new(10 + molds.size).tap { |mold| molds << mold } } }
  let(:generation) do
    described_class.new(3, wanted: 2, gateway: gateway, settings: settings, start_mold: start_mold, children: children,
                           log: Volador::Log.new(printed)).start(100.0)
  end

  def mold
    molds.last
  end

  def tick(now)
    generation.tick(now, gateway.links.to_h { |link| [link[:pid], link] })
  end

  def pids
    generation.workers.map(&:pid)
  end

  # The mold forks what it was asked for, with these pids.
  def forks(*pids)
    numbers = mold.told.grep(Integer).last(pids.size)
    numbers.zip(pids) { |number, pid| mold.say(is: "forked", number: number, pid: pid) }
  end

  def join(*pids)
    pids.each.with_index(1) { |pid, number| gateway.join(number: number, generation: 3, pid: pid) }
  end

  # All workers are up, with pids 1 and 2.
  def boot(now = 100.0)
    generation
    mold.load
    tick(now)
    forks(1, 2)
    join(1, 2)
    tick(now)
  end

  def serve
    boot
    generation.promote
  end

  describe "that boots" do
    it "forks its workers once the application is loaded, and is complete when all of them are up" do
      generation
      tick(100.0)
      expect(mold.told).to eq []
      mold.load
      2.times { tick(101.0) }
      expect(mold.told).to eq [1, 2]
      forks(1, 2)
      join(1)
      tick(102.0)
      expect([pids, generation.complete?]).to eq [[1, 2], false]
      gateway.join(number: 2, generation: 3, pid: 2)
      tick(103.0)
      expect([generation.complete?, generation.phase]).to eq [true, :booting]
      generation.promote
      expect([gateway.calls, generation.phase]).to eq [[[:promote, 3]], :serving]
    end

    it "fails with what the mold says" do
      generation
      mold.error = "config.ru:1: no database"
      mold.details = "the backtrace"
      tick(101.0)
      expect([generation.error, generation.details, generation.phase]).to eq ["config.ru:1: no database", "the backtrace", :finishing]
      expect(mold.told).to eq [:finish]
      mold.end
      tick(102.0)
      expect(generation).to be_ended
    end

    it "fails when the mold ends without a word" do
      generation
      mold.load
      mold.end
      tick(101.0)
      expect(generation.error).to eq "the mold has ended: signal KILL"
    end

    it "fails when the mold cannot be started" do
      broken = described_class.new(3, wanted: 1, gateway: gateway, settings: settings, children: children,
                                      start_mold: ->(*) { raise Errno::ENOENT, "/srv/current" },
                                      log: Volador::Log.new(printed)).start(100.0)
      2.times { broken.tick(100.0, {}) }
      expect([broken.error, broken.ended?]).to eq ["the mold cannot be started: No such file or directory - /srv/current", true]
    end

    it "fails when a worker ends at boot, and ends the others" do
      generation
      mold.load
      tick(101.0)
      forks(1, 2)
      mold.say(is: "ended", pid: 2, how: "exit status 1", error: "no database (RuntimeError)", details: "the backtrace")
      tick(102.0)
      expect([generation.error, generation.details])
        .to eq ["worker 2 (pid 2) has ended at boot: no database (RuntimeError)", "the backtrace"]
      tick(102.0)
      expect(children.signals).to eq [[:KILL, 1]]
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      tick(103.0)
      expect([generation.workers, mold.told.last]).to eq [[], :finish]
    end

    it "fails when a worker cannot be forked" do
      generation
      mold.load
      tick(101.0)
      mold.say(is: "unforked", number: 1, error: "it cannot be forked: no memory")
      tick(101.0)
      expect(generation.error).to eq "worker 1 has ended at boot: it cannot be forked: no memory"
    end

    it "fails when the boot timeout is over" do
      generation
      mold.load
      tick(101.0)
      expect(generation.at(101.0)).to eq 160.0
      tick(160.0)
      expect(generation.error).to eq "not all workers are ready within the boot timeout of 60.0 s"
    end
  end

  describe "that serves" do
    before { serve }

    it "replaces a worker that has ended at once" do
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      gateway.lose(1)
      tick(200.0)
      expect(mold.told).to eq [1, 2, 1]
      expect(printed.string).to eq "volador WARN: worker 1 (pid 1) has ended (signal KILL) and is replaced\n"
    end

    it "replaces a hung worker once it is gone" do
      gateway.links.first[:quiet] = 61.0
      2.times { tick(200.0) }
      expect([children.signals, mold.told]).to eq [[[:KILL, 1]], [1, 2]]
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      gateway.lose(1)
      tick(200.0)
      expect(mold.told).to eq [1, 2, 1]
    end

    it "backs off when a worker ends again and again at boot, with one line for each attempt" do
      now = 100.1
      attempts = Array.new(6) do |index|
        mold.say(is: "ended", pid: pids.first, how: "exit status 1")
        gateway.lose(1)
        tick(now)
        started = now
        tick(now += 0.01) until mold.told.size == 3 + index
        forks(100 + index)
        tick(now)
        now - started
      end
      expect(attempts.map { |delay| delay.round(1) }).to eq [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]
      lines = printed.string.lines
      expect(lines.size).to eq 6
      expect(lines[0]).to match(/worker 1 \(pid 1\) has ended \(exit status 1\) 0\.1 s after its start: another one is started now$/)
      expect(lines[3]).to match(/ 0\.\d s after its start, as 4 in a row have: another one is started in 0\.4 s$/)
    end

    it "replaces workers that are killed every second at once, each time" do
      last = [1, 2]
      10.times do |index|
        now = 106.0 + index
        number = 1 + (index % 2)
        mold.say(is: "ended", pid: last[number - 1], how: "signal KILL")
        gateway.lose(last[number - 1])
        tick(now)
        expect(mold.told.size).to eq 3 + index
        forks(last[number - 1] = 10 + index)
        gateway.join(number: number, generation: 3, pid: 10 + index)
        tick(now + 0.1)
      end
      expect(printed.string.lines).to all(include("has ended (signal KILL) and is replaced"))
    end

    it "takes half a second of all workers for health" do
      mold.say(is: "ended", pid: 1, how: "exit status 1")
      gateway.lose(1)
      tick(105.0)
      forks(5)
      gateway.join(number: 1, generation: 3, pid: 5)
      [105.0, 105.4, 105.5].each { |now| tick(now) }
      mold.say(is: "ended", pid: 2, how: "exit status 1")
      gateway.lose(2)
      tick(105.6)
      expect(mold.told).to eq [1, 2, 1, 2]
      expect(printed.string.lines.last).to eq "volador WARN: worker 2 (pid 2) has ended (exit status 1) and is replaced\n"
    end

    it "lets a worker go when there is to be one less, and forks when there is to be one more" do
      generation.wanted = 1
      tick(200.0)
      expect(gateway.calls).to eq [[:promote, 3], [:retire, 2]]
      expect(generation).to be_complete
      gateway.links.last[:state] = :idle
      2.times { tick(201.0) }
      expect(gateway.calls.last).to eq [:dismiss, 2]
      generation.wanted = 2
      tick(202.0)
      expect(mold.told).to eq [1, 2, 2]
      mold.say(is: "ended", pid: 2, how: "exit status 0")
      tick(203.0)
      expect(printed.string).to eq ""
    end

    it "lets a worker go that asks for it, and forks another one at once" do
      expect([generation.let_go(2, 200.0), generation.let_go(2, 200.0), generation.let_go(9, 200.0)]).to eq [true, false, false]
      tick(200.0)
      expect([gateway.calls.last, mold.told]).to eq [[:retire, 2], [1, 2, 2]]
    end

    it "goes on without its mold, and starts another one" do
      mold.end
      tick(200.0)
      expect(molds.size).to eq 1
      tick(200.0)
      expect(molds.size).to eq 2
      expect(printed.string).to eq "volador ERROR: the mold of generation 3 is gone (it has ended: signal KILL), its workers " \
                                   "go on: another one is started now\n"
      expect([generation.complete?, pids, children.signals]).to eq [true, [1, 2], []]
    end

    it "looks itself after workers whose mold has ended" do
      mold.end
      2.times { tick(200.0) }
      mold.load
      tick(200.0)
      children.ended[2] = "signal SEGV"
      gateway.lose(2)
      2.times { tick(201.0) }
      expect(mold.told).to eq [2]
      expect(printed.string).to include "worker 2 (pid 2) has ended (signal SEGV) and is replaced"
    end

    it "backs off when the code on disk does not load, and goes on" do
      counts = []
      now = 200.0
      3.times do
        mold.error = "config.ru:1: no database"
        mold.end
        3.times { tick(now) }
        counts << molds.size
        now += 0.1
      end
      expect(counts).to eq [2, 2, 3]
      expect(generation).not_to be_failed
    end

    it "takes in a worker whose mold was killed before it could tell" do
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      gateway.lose(1)
      tick(200.0)
      link = gateway.join(number: 1, generation: 3, pid: 9)
      expect(generation.adopt(link, 200.0)).to be true
      tick(200.0)
      expect([pids, generation.complete?]).to eq [[2, 9], true]
    end

    it "does not mind that a worker joins before its mold tells of it" do
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      gateway.lose(1)
      tick(200.0)
      generation.adopt(gateway.join(number: 1, generation: 3, pid: 9), 200.0)
      mold.say(is: "forked", number: 1, pid: 9)
      tick(200.0)
      expect([children.signals, generation.workers.last.orphan?]).to eq [[], false]
    end

    it "does not take in a worker that has ended, or that nobody waits for" do
      expect(generation.adopt(gateway.join(number: 1, generation: 3, pid: 9), 200.0)).to be false
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      tick(200.0)
      children.ended[9] = "signal KILL"
      expect(generation.adopt(gateway.links.last, 200.0)).to be false
    end

    it "ends a worker that was forked though nobody waits for it" do
      mold.say(is: "forked", number: 1, pid: 9)
      tick(200.0)
      expect(children.signals).to eq [[:TERM, 9]]
    end

    it "kills a mold that does not tell what has become of a worker, and looks after it itself then" do
      gateway.links.first[:quiet] = 61.0
      tick(200.0)
      gateway.lose(1)
      tick(204.9)
      expect([children.signals, mold.told]).to eq [[[:KILL, 1]], [1, 2]]
      tick(205.0)
      expect([mold.told, generation.at(205.0)]).to eq [[1, 2, :kill], 205.0]
      expect(printed.string).to include "the mold of generation 3 does not tell what has become of worker 1 (pid 1): it is killed"
      mold.end
      children.ended[1] = "signal KILL"
      tick(206.0)
      expect(pids).to eq [2]
    end

    it "kills a mold that has not told for five seconds that a worker's process is gone, and replaces that worker" do
      children.ended[1] = "signal KILL"
      gateway.lose(1)
      tick(200.0)
      tick(204.9)
      expect([mold.told, generation.at(204.9)]).to eq [[1, 2], 205.0]
      tick(205.0)
      expect([mold.told, children.signals]).to eq [[1, 2, :kill], []]
      mold.end
      2.times { tick(205.1) }
      mold.load
      tick(206.0)
      expect([pids, mold.told]).to eq [[2, nil], [1]]
      expect(printed.string).to include "worker 1 (pid 1) has ended (signal KILL) and is replaced"
    end

    it "kills a mold that has told neither of a worker's fork nor of its end" do
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      gateway.lose(1)
      tick(200.0)
      generation.adopt(gateway.join(number: 1, generation: 3, pid: 9), 200.0)
      gateway.lose(9)
      # Its parent alone can wait for it.
      allow(children).to receive(:ending).and_return(nil)
      children.ended[9] = "signal KILL"
      [201.0, 206.0].each { |now| tick(now) }
      expect(mold.told.last).to eq :kill
    end

    it "kills a mold that does not fork" do
      generation.wanted = 3
      [200.0, 260.0, 265.0].each { |now| tick(now) }
      expect(mold.told).to eq [1, 2, 3, :kill]
    end

    it "finishes when it is retired: its workers, then its mold" do
      generation.retire(200.0)
      gateway.links.each { |link| link[:state] = :retiring }
      tick(201.0)
      expect([generation.phase, gateway.calls]).to eq [:finishing, [[:promote, 3]]]
      gateway.links.each { |link| link[:state] = :idle }
      tick(202.0)
      expect(gateway.calls.last(2)).to eq [[:dismiss, 1], [:dismiss, 2]]
      [1, 2].each { |pid| mold.say(is: "ended", pid: pid, how: "exit status 0") }
      tick(203.0)
      expect([generation.workers, mold.told.last, generation.ended?]).to eq [[], :finish, false]
      mold.end("exit status 0")
      tick(204.0)
      expect([generation.ended?, printed.string]).to eq [true, ""]
    end

    it "gives its mold, when the server stops, the time that workers have, and a moment after the last of them" do
      generation.dismiss(200.0, cut_at: 203.0, patience: 1.0)
      expect(mold.told).to eq [1, 2]
      [1, 2].each { |pid| mold.say(is: "ended", pid: pid, how: "exit status 0") }
      [[201.0, 3.0], [203.5, 1.0], [210.0, 1.0]].each do |now, seconds|
        tick(now)
        expect([mold.told.last, mold.patience]).to eq [:finish, seconds]
      end
    end

    it "lets its mold end once its workers' processes are gone, told or not, and says of none that it had not finished" do
      generation.dismiss(200.0, cut_at: 202.0, patience: 1.0, limit: "drain timeout of 2.0 s")
      children.ended[1] = "exit status 0"
      gateway.lose(1)
      tick(200.1)
      expect(mold.told).to eq [1, 2]
      children.ended[2] = "exit status 0"
      gateway.lose(2)
      tick(200.5)
      expect([mold.told.last, mold.patience, generation.ended?]).to eq [:finish, 2.5, false]
      [202.0, 203.0].each { |now| tick(now) }
      expect([children.signals, printed.string]).to eq [[], ""]
      mold.end
      tick(203.1)
      expect(generation).to be_ended
    end

    it "gives its mold as much time as its workers when it is ended at once" do
      generation.terminate(200.0, patience: 1.0)
      expect([mold.told.last, mold.patience]).to eq [:finish, 1.0]
    end

    it "replaces nothing when it finishes" do
      generation.retire(200.0)
      mold.say(is: "ended", pid: 1, how: "signal KILL")
      tick(201.0)
      expect(mold.told).to eq [1, 2]
    end

    it "has nothing due while nothing happens" do
      expect(generation.at(200.0)).to be_nil
    end
  end

  it "that is the first one fails when its application cannot be loaded" do
    generation.promote
    mold.error = "config.ru:1: no database"
    tick(101.0)
    expect(generation).not_to be_failed
    mold.end("exit status 1")
    tick(102.0)
    expect([generation.error, molds.size]).to eq ["config.ru:1: no database", 1]
  end

  it "that is the first one tries again when its workers end at boot" do
    generation.promote
    mold.load
    tick(101.0)
    forks(1, 2)
    mold.say(is: "ended", pid: 1, how: "exit status 1", error: "no database (RuntimeError)", details: "the backtrace")
    tick(101.0)
    expect([generation.failed?, mold.told]).to eq [false, [1, 2, 1]]
    expect(printed.string).to end_with ": another one is started now: the backtrace\n"
  end
end
