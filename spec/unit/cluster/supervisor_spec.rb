# frozen_string_literal: true

require "volador/cluster/control_client"
require "volador/cluster/control_server"
require "volador/cluster/settings"
require "volador/cluster/supervisor"
require "volador/systemd"

RSpec.describe Volador::Cluster::Supervisor do
  around do |example|
    Dir.mktmpdir do |folder|
      @folder = folder
      example.run
    ensure
      control.close
    end
  end

  let(:gateway) { ClusterFakes::Gateway.new }
  let(:children) { ClusterFakes::Children.new }
  let(:printed) { StringIO.new }
  let(:log) { Volador::Log.new(printed) }
  let(:said) { [] }
  let(:settings) { Volador::Cluster::Settings.new(env: {}, workers: 1) }
  let(:control) { Volador::Cluster::ControlServer.new(File.join(@folder, "control.sock"), log: log) }
  let(:commands) { Volador::Commands.new }
  let(:molds) { [] }
  let(:pipe) { IO.pipe }
  let(:generations) do
    make = lambda do |number, wanted|
      start_mold = ->(_, _) { ClusterFakes::Mold.new(10).tap { |mold| molds << mold } }
      Volador::Cluster::Generation.new(number, wanted: wanted, gateway: gateway, settings: settings, log: log,
                                               start_mold: start_mold, children: children)
    end
    Volador::Cluster::Generations.new(gateway: gateway, settings: settings, log: log, make: make, events: ->(*) {})
  end
  let(:supervisor) do
    status = Volador::Cluster::Status.new(environment: "test", directory: "/srv/app", control: control.path,
                                          gateway: gateway, threads: 5, now: 100.0)
    described_class.new(gateway: gateway, notification: pipe.first, generations: generations, control: control,
                        status: status, link: "/the/link", systemd: Volador::Systemd.new({}), drain_timeout: 25.0, log: log,
                        say: ->(line) { said << line }, commands: commands, clock: -> { 100.0 })
  end

  # One worker, with the pid 1, is up.
  def serve
    generations.start(100.0)
    molds.last.load
    supervisor.look(100.0)
    molds.last.say(is: "forked", number: 1, pid: 1)
    gateway.join(number: 1, generation: 1, pid: 1)
    supervisor.look(100.0)
  end

  def signal(name, now = 101.0)
    commands << name
    supervisor.look(now)
  end

  # @return [Hash] the answer
  def ask(request, now = 101.0)
    asking = Thread.new { Volador::Cluster::ControlClient.new(control.path).ask(request) }
    Deadline.until("the answer") do
      supervisor.look(now)
      asking.join(0)
    end
    asking.value
  end

  def end_everything(now)
    gateway.lose(1)
    molds.first.say(is: "ended", pid: 1, how: "exit status 0")
    supervisor.look(now)
    molds.first.end("exit status 0")
    supervisor.look(now)
  end

  it "finishes what has begun by TERM, then lets the workers and the mold end" do
    serve
    signal(:TERM)
    expect([supervisor.state, said]).to eq [:draining, ["Volador finishes its requests and stops; the signal once more stops it at once"]]
    gateway.drained(true)
    Deadline.until("the end of the drain") { supervisor.look(102.0) || supervisor.state == :finishing }
    expect(gateway.calls).to eq [[:promote, 1], [:drain, 25.0], [:dismiss, 1], [:dismiss_all]]
    expect([supervisor.state, children.signals]).to eq [:finishing, []]
    end_everything(103.0)
    expect([supervisor.state, molds.first.told.last]).to eq [:over, :finish]
  end

  it "replaces workers also while it drains" do
    serve
    signal(:INT)
    gateway.lose(1)
    molds.last.say(is: "ended", pid: 1, how: "signal KILL")
    supervisor.look(102.0)
    expect(molds.last.told).to eq [1, 1]
  end

  it "says that the drain timeout is over, and gives workers little time then" do
    serve
    signal(:TERM)
    gateway.drained(false)
    Deadline.until("the end of the drain") { supervisor.look(102.0) || supervisor.state == :finishing }
    supervisor.look(103.0)
    supervisor.look(104.0)
    expect(children.signals).to eq [[:TERM, 1], [:KILL, 1]]
    expect(printed.string).to include "the drain timeout of 25.0 s is over: what still runs is cut off"
  end

  it "stops at once by a second signal" do
    serve
    signal(:TERM)
    signal(:TERM, 102.0)
    expect([supervisor.state, said.last, children.signals]).to eq [:ending, "Volador stops at once", [[:TERM, 1]]]
    supervisor.look(103.0)
    expect(children.signals).to eq [[:TERM, 1], [:KILL, 1]]
    gateway.drained(true)
    end_everything(104.0)
    expect(supervisor.state).to be :over
  end

  it "lets workers finish until the drain timeout is over what the gateway does not see" do
    serve
    signal(:TERM)
    gateway.drained(true)
    Deadline.until("the end of the drain") { supervisor.look(102.0) || supervisor.state == :finishing }
    supervisor.look(125.9)
    expect([children.signals, printed.string]).to eq [[], ""]
    supervisor.look(126.0)
    supervisor.look(127.0)
    expect(children.signals).to eq [[:TERM, 1], [:KILL, 1]]
    expect(printed.string).to include "worker 1 (pid 1) has not finished within the drain timeout of 25.0 s"
  end

  it "stops at once by a second signal also when the gateway has drained, and counts no third one" do
    serve
    signal(:TERM)
    gateway.drained(true)
    Deadline.until("the end of the drain") { supervisor.look(102.0) || supervisor.state == :finishing }
    signal(:INT, 103.0)
    expect([supervisor.state, said.last, children.signals]).to eq [:ending, "Volador stops at once", [[:TERM, 1]]]
    signal(:INT, 103.5)
    supervisor.look(104.0)
    expect(children.signals).to eq [[:TERM, 1], [:KILL, 1]]
    end_everything(105.0)
    expect(supervisor.state).to be :over
  end

  it "starts a new generation by USR1" do
    serve
    signal(:USR1)
    expect([molds.size, generations.coming.number]).to eq [2, 2]
  end

  it "has a worker more by TTIN and one less by TTOU, and says so" do
    serve
    signal(:TTIN)
    expect(molds.last.told).to eq [1, 2]
    2.times { signal(:TTOU) }
    expect(printed.string.scan(/there are to be .*/))
      .to eq ["there are to be 2 workers now", "there are to be 1 worker now", "there are to be 1 worker now"]
  end

  it "goes on after HUP" do
    serve
    signal(:HUP)
    expect(supervisor.state).to be :running
    expect(printed.string).to include "HUP has no effect"
  end

  it "takes what the gateway writes" do
    serve
    pipe.last.write("x" * 10_000)
    supervisor.look(101.0)
    expect(pipe.first.wait_readable(0)).to be_nil
  end

  it "tells its status" do
    serve
    expect(ask({ do: "status" }, 102.5)).to match(
      ok: true, version: Volador::VERSION, ruby: RUBY_VERSION, pid: Process.pid, state: "running", environment: "test",
      directory: "/srv/app", control_socket: control.path, addresses: ["tcp://127.0.0.1:1"], uptime: 2.5, threads: 5,
      workers_wanted: 1, generation: 1, deploying: false, stats: { requests: 1 },
      generations: [{ number: 1, phase: "serving", mold: { pid: 10, loaded: true },
                      workers: [{ number: 1, pid: 1, state: "serving", age: 2.5, threads: 5, in_flight: 0, handlers: 0,
                                  quiet: 0.0, stuck: 0.0 }] }]
    )
  end

  it "tells guests the link" do
    serve
    expect(ask({ do: "link" })).to eq(ok: true, link: "/the/link")
  end

  it "changes the number of workers by command" do
    serve
    expect([ask({ do: "more" }), ask({ do: "fewer" })]).to eq [{ ok: true, workers: 2 }, { ok: true, workers: 1 }]
  end

  it "does not know other commands" do
    serve
    expect(ask({ do: "dance" })).to eq(ok: false, error: "there is no command \"dance\"")
  end

  it "answers restart when the new generation serves" do
    serve
    asking = Thread.new { Volador::Cluster::ControlClient.new(control.path).ask({ do: "restart" }) }
    Deadline.until("the deploy") { supervisor.look(101.0) || molds.size == 2 }
    expect(asking.join(0.05)).to be_nil
    molds.last.load
    supervisor.look(102.0)
    molds.last.say(is: "forked", number: 1, pid: 2)
    gateway.join(number: 1, generation: 2, pid: 2)
    supervisor.look(103.0)
    expect(asking.value).to eq(ok: true, generation: 2)
  end

  it "answers restart when the new generation has failed, with the reason" do
    serve
    asking = Thread.new { Volador::Cluster::ControlClient.new(control.path).ask({ do: "restart" }) }
    Deadline.until("the deploy") { supervisor.look(101.0) || molds.size == 2 }
    molds.last.error = "config.ru:1: no database"
    supervisor.look(102.0)
    expect(asking.value).to eq(ok: false, error: "config.ru:1: no database", generation: 1)
  end

  it "stops by command, and lets the client wait for the end" do
    serve
    asking = Thread.new { Volador::Cluster::ControlClient.new(control.path).ask({ do: "stop" }) }
    Deadline.until("the drain") { supervisor.look(101.0) || supervisor.state == :draining }
    expect(asking.join(0.05)).to be_nil
    asking.kill.join
    gateway.drained(true)
  end

  it "ends when the application cannot be loaded" do
    generations.start(100.0)
    molds.last.error = "config.ru:1: no database"
    molds.last.end("exit status 1")
    supervisor.look(101.0)
    supervisor.look(101.0)
    expect(supervisor.state).to be :over
  end

  it "survives a fault of its own" do
    serve
    allow(gateway).to receive(:workers).and_raise(Volador::Error, "no gateway")
    allow(supervisor).to receive(:sleep)
    supervisor.turn
    expect(printed.string).to include "the supervisor has failed at something and goes on: no gateway (Volador::Error)"
  end
end
