# frozen_string_literal: true

require "volador/cluster/generations"
require "volador/cluster/settings"

RSpec.describe Volador::Cluster::Generations do
  let(:gateway) { ClusterFakes::Gateway.new }
  let(:children) { ClusterFakes::Children.new }
  let(:printed) { StringIO.new }
  let(:settings) { Volador::Cluster::Settings.new(env: {}, workers: 1) }
  let(:events) { [] }
  # By number of generation.
  let(:molds) { {} }
  let(:told) { [] }
  let(:generations) do
    log = Volador::Log.new(printed)
    make = lambda do |number, wanted|
      start_mold = ->(which, _now) { molds[which] = ClusterFakes::Mold.new(which * 10) }
      Volador::Cluster::Generation.new(number, wanted: wanted, gateway: gateway, settings: settings, log: log,
                                               start_mold: start_mold, children: children)
    end
    described_class.new(gateway: gateway, settings: settings, log: log, make: make,
                        events: ->(event, generation) { events << [event, generation.number] })
  end

  # The generation's worker joins, with the pid NUMBER * 10 + 1.
  def join(number, now)
    molds[number].load
    generations.tick(now)
    molds[number].say(is: "forked", number: 1, pid: number * 10 + 1)
    gateway.join(number: 1, generation: number, pid: number * 10 + 1)
    generations.tick(now)
  end

  # The generation's processes end as they are told.
  def finish(number, now)
    gateway.links.each { |link| link[:state] = :idle if link[:generation] == number }
    generations.tick(now)
    gateway.lose(number * 10 + 1)
    molds[number].say(is: "ended", pid: number * 10 + 1, how: "exit status 0")
    generations.tick(now)
    molds[number].end("exit status 0")
    2.times { generations.tick(now) }
  end

  def start
    generations.start(100.0)
    join(1, 101.0)
  end

  def deploy(now)
    generations.deploy(now) { |error, details| told << [error, details].compact }
  end

  it "lets the first generation serve from the start on, and says when it is complete" do
    generations.start(100.0)
    expect([gateway.calls, events]).to eq [[[:promote, 1]], []]
    join(1, 101.0)
    generations.tick(102.0)
    expect(events).to eq [[:complete, 1]]
  end

  it "moves to a new generation once its workers are there, and lets the old one finish" do
    start
    deploy(110.0)
    expect([generations.coming.number, events.last]).to eq [2, [:deploying, 2]]
    expect([generations.current.number, told]).to eq [1, []]
    join(2, 111.0)
    expect([generations.current.number, generations.coming, told, events.last]).to eq [2, nil, [[]], [:deployed, 2]]
    expect(gateway.calls.last).to eq [:promote, 2]
    finish(1, 112.0)
    expect(generations.all.map(&:number)).to eq [2]
    expect(printed.string.lines.map(&:chomp)).to eq [
      "volador INFO: generation 2 is started with the code that is on disk now",
      "volador INFO: generation 2 serves; generation 1 finishes",
      "volador INFO: generation 1 has ended"
    ]
  end

  it "keeps the old generation when the new one fails, and tells why" do
    start
    deploy(110.0)
    molds[2].error = "config.ru:1: no database"
    molds[2].details = "the backtrace"
    generations.tick(111.0)
    expect([generations.current.number, generations.coming, told]).to eq [1, nil, [["config.ru:1: no database", "the backtrace"]]]
    expect([events.last, gateway.calls]).to eq [[:failed, 2], [[:promote, 1]]]
    expect(printed.string).to include "generation 2 has failed to boot; generation 1 goes on: the backtrace\n"
    molds[2].end("exit status 1")
    generations.tick(112.0)
    expect(generations.all.map(&:number)).to eq [1]
  end

  it "does one deploy at a time, and one more for all that were asked for meanwhile" do
    start
    deploy(110.0)
    2.times { deploy(111.0) }
    join(2, 112.0)
    expect([told.size, generations.coming.number]).to eq [1, 3]
    join(3, 113.0)
    expect([told.size, generations.current.number, generations.coming]).to eq [3, 3, nil]
  end

  it "waits with a deploy while two generations finish" do
    start
    deploy(110.0)
    join(2, 111.0)
    deploy(112.0)
    join(3, 113.0)
    deploy(114.0)
    expect([generations.all.map(&:number), generations.coming]).to eq [[1, 2, 3], nil]
    finish(1, 115.0)
    expect(generations.coming.number).to eq 4
  end

  it "has one worker at least, in the generation that serves and in the one that comes" do
    start
    deploy(110.0)
    expect([generations.resize(-1), generations.resize(2)]).to eq [1, 3]
    expect([generations.current.wanted, generations.coming.wanted, generations.wanted]).to eq [3, 3, 3]
  end

  it "gives up a deploy when the server is stopped, and takes no more" do
    start
    deploy(110.0)
    deploy(110.0)
    generations.close(111.0)
    deploy(112.0)
    expect(told.map(&:first)).to eq ["the server is being stopped"] * 3
    # The service manager has been told that it stops, and is to hear nothing else.
    expect(events.map(&:first)).to eq %i[complete deploying]
    expect([generations.coming, generations.finishing.map(&:number)]).to eq [nil, [2]]
    molds[2].end
    generations.tick(113.0)
    expect(generations.all.map(&:number)).to eq [1]
  end

  it "has ended when all processes have" do
    start
    generations.close(110.0)
    generations.dismiss(110.0, cut_at: 120.0, patience: 1.0)
    expect(generations).not_to be_ended
    gateway.lose(11)
    molds[1].say(is: "ended", pid: 11, how: "exit status 0")
    generations.tick(111.0)
    molds[1].end("exit status 0")
    generations.tick(112.0)
    expect(generations).to be_ended
  end

  it "sends workers away that nobody knows, and leaves guests alone" do
    start
    gateway.join(number: 0, generation: 0, pid: 8)
    gateway.join(number: 1, generation: 9, pid: 9)
    generations.tick(110.0)
    expect(gateway.calls).to eq [[:promote, 1], [:dismiss, 9]]
  end

  it "has failed when the first generation cannot load the application" do
    generations.start(100.0)
    expect(generations.failed).to be_nil
    molds[1].error = "config.ru:1: no database"
    molds[1].end("exit status 1")
    generations.tick(101.0)
    expect(generations.failed.error).to eq "config.ru:1: no database"
  end
end
