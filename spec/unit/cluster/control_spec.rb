# frozen_string_literal: true

require "timeout"
require "volador/cluster/control_client"
require "volador/cluster/control_server"

RSpec.describe Volador::Cluster::ControlServer do
  around do |example|
    Dir.mktmpdir do |folder|
      @path = File.join(folder, "control.sock")
      example.run
    ensure
      spawned.each { |pid| Process.kill(:KILL, pid) }.each { |pid| Process.wait(pid) }
      opened.each { |io| io.close unless io.closed? }
    end
  end

  let(:opened) { [] }
  let(:spawned) { [] }
  let(:printed) { StringIO.new }
  let(:log) { Volador::Log.new(printed) }
  let(:server) { Volador::Cluster::ControlServer.new(@path, log: log) }
  let(:client) { Volador::Cluster::ControlClient.new(@path) }

  def connect
    UNIXSocket.new(@path).tap { |socket| opened << socket }
  end

  # A process of its own, that has a socket.
  def spawn_client(code)
    spawned << Process.spawn(RbConfig.ruby, "-rsocket", "-e", "socket = UNIXSocket.new(ARGV[0]); #{code}", @path,
                             err: File::NULL)
  end

  # What the supervisor's loop does.
  def receive(now = 0.0)
    requests = []
    server.receive(now) { |request, connection| requests << [request, connection] }
    requests
  end

  # @return [Thread] with what the client is answered
  def ask(request)
    Thread.new { client.ask(request) }
  end

  it "takes one request of each client and answers it, at once or later" do
    server
    first, second = Array.new(2) { |index| ask({ do: "status", index: index }) }
    requests = []
    Deadline.until("both requests") { requests.concat(receive).size == 2 }
    requests.reverse_each { |request, connection| connection.answer({ index: request[:index] }) }
    expect([first, second].map(&:value)).to eq [{ index: 0 }, { index: 1 }]
  end

  it "is for its user alone" do
    server
    expect(format("%o", File.stat(@path).mode & 0o777)).to eq "600"
  end

  it "drops clients that leave, that send nonsense and that send nothing" do
    server
    connect.close
    connect.write("nonsense\n")
    connect.write("[]\n")
    silent = connect
    expect(receive(0.0)).to eq []
    expect([server.ios.size, server.at]).to eq [2, 10.0]
    receive(10.0)
    expect([server.ios.size, server.at]).to eq [1, nil]
    expect(silent.read).to eq ""
  end

  it "takes the first request of clients that go on writing, and is held by none" do
    server
    2.times { spawn_client("loop { socket.write(\"{\\\"do\\\":\\\"status\\\"}\\n\" * 1000) }") }
    spawn_client("loop { socket.write('x' * 1000) }")
    requests = []
    Timeout.timeout(Deadline::DEFAULT_SECONDS) do
      Deadline.until("the requests") { requests.concat(receive).size == 2 }
      Deadline.until("the end of what is no request") { receive && server.ios.size == 1 }
    end
    expect(requests.map(&:first)).to eq [{ do: "status" }] * 2
  end

  it "is not held by clients that connect again and again: it takes 64 in a turn" do
    listening = server.ios.first
    70.times { connect.close }
    waits = Array.new(2) { receive && !listening.wait_readable(0).nil? }
    expect(waits).to eq [true, false]
  end

  it "turns clients away while too many are connected" do
    server
    sockets = Array.new(70) { connect }
    2.times { receive }
    expect(server.ios.size).to eq 65
    expect(sockets.last.read).to eq ""
  end

  describe "that finds no descriptor for a client" do
    # This process may open no file more. (The garbage collector would close some that others have left.)
    def without_descriptors
      before = Process.getrlimit(:NOFILE)
      GC.disable
      Process.setrlimit(:NOFILE, File.open(File::NULL, &:fileno), before.last)
      yield
    ensure
      Process.setrlimit(:NOFILE, *before)
      GC.enable
    end

    it "leaves it alone for half a second, and takes it then" do
      idle = server.ios
      asking = connect.tap { |socket| socket.write("{\"do\":\"status\"}\n") }
      without_descriptors { expect(receive(100.0)).to eq [] }
      expect([server.ios, server.at]).to eq [[], 100.5]
      expect(receive(100.4)).to eq []
      expect(receive(100.5).map(&:first)).to eq [{ do: "status" }]
      expect([server.ios, server.at]).to eq [idle, nil]
      expect(asking.wait_readable(0)).to be_nil
    end

    it "says so once in a minute at most, and what is to be done" do
      server
      connect
      said = [100.0, 100.5, 159.0, 160.0].map do |now|
        without_descriptors { receive(now) }
        printed.string.lines.size
      end
      expect(said).to eq [1, 1, 1, 2]
      expect(printed.string).to match(/\Avolador WARN: the control socket can't take a client \(Too many open files\b.*\), commands wait: /)
        .and include("ulimit -n, or LimitNOFILE= for systemd")
    end
  end

  it "is gone with its file when it is closed" do
    server.close
    expect(File.exist?(@path)).to be false
    expect { client.ask({}) }.to raise_error(Volador::Cluster::ControlClient::Unreachable,
                                             "no server has the control socket #{@path}")
  end

  it "takes the place of a server that was killed" do
    UNIXServer.new(@path).close
    server
    answered = ask({ do: "status" })
    Deadline.until("the request") { receive.each { |_, connection| connection.answer({ ok: true }) }.any? }
    expect(answered.value).to eq(ok: true)
  end

  it "does not take the place of a server that lives, nor of a file" do
    server
    expect { described_class.new(@path, log: log) }
      .to raise_error(Volador::BootError, /another volador has the control socket/)
    server.close
    File.write(@path, "precious")
    expect { described_class.new(@path, log: log) }.to raise_error(Volador::BootError, /there is a file that is none/)
    expect(File.read(@path)).to eq "precious"
  end

  it "says that it cannot be made" do
    expect { described_class.new("/no/such/folder/control.sock", log: log) }
      .to raise_error(Volador::BootError, %r{\Athe control socket /no/such/folder/control\.sock cannot be made: })
  end

  describe Volador::Cluster::ControlClient do
    it "is told when the server ends" do
      server
      asking = ask({ do: "stop" })
      taken = nil
      Deadline.until("the request") { taken = receive.first }
      taken.last.wire.close
      expect(asking.value).to be_nil
    end

    it "does not wait for ever" do
      server
      expect { client.ask({ do: "status" }, seconds: 0.01) }.to raise_error(described_class::Unreachable, /within 0\.01 s/)
    end

    it "finds the server of the present folder, and says that there is none" do
      Dir.mktmpdir do |folder|
        Dir.chdir(folder) do
          expect { described_class.new.ask({}) }
            .to raise_error(described_class::Unreachable, /\Ano volador with workers runs in #{File.realpath(folder)}: /)
        end
      end
    end
  end
end
