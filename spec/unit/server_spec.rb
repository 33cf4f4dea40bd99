# frozen_string_literal: true

require "timeout"

RSpec.describe Volador::Server do
  let(:out) { StringIO.new }
  let(:printed) { StringIO.new }
  let(:app) { ->(env) { [200, {}, [env["PATH_INFO"]]] } }
  let(:servers_here) { [] }

  after { servers_here.each(&:halt) }

  def server(app = self.app, **options)
    configuration = Volador::Configuration.new(**{ port: 0, env: {} }.merge(options))
    described_class.new(app, configuration, log: Volador::Log.new(printed), out: out).tap { |one| servers_here << one }
  end

  def get(server, path = "/")
    port = Integer(server.url[/\d+\z/])
    RawSocket.open(port: port) { |socket| socket.request("GET", path, { "Connection" => "close" }) }
  end

  it "serves from start to stop and says where" do
    server = self.server.start
    expect(server.url).to match(%r{\Ahttp://127\.0\.0\.1:\d+\z})
    expect(server.addresses).to eq [server.url.sub("http", "tcp")]
    expect(get(server, "/path").body).to eq "/path"
    server.stop
    expect { get(server) }.to raise_error(SystemCallError)
  end

  it "has no address before it starts" do
    expect(server).to have_attributes(url: nil, addresses: [], stats: {})
  end

  it "has no URL on a Unix socket" do
    Dir.mktmpdir do |folder|
      server = self.server(bind: "unix://#{folder}/socket").start
      expect(server).to have_attributes(url: nil, addresses: ["unix://#{folder}/socket"])
      expect(RawSocket.open(path: "#{folder}/socket") { |socket| socket.request("GET", "/x").body }).to eq "/x"
      server.halt
    end
  end

  it "counts" do
    server = self.server.start
    get(server)
    expect(server.stats).to include(requests: 1, queued: 0, handlers: 0)
  end

  it "starts once" do
    server = self.server.start
    expect { server.start }.to raise_error(Volador::Error, /make a new one/)
  end

  it "can be stopped any number of times, and before it starts" do
    server = self.server
    expect(server.stop).to be_nil
    server.start
    3.times { expect(server.stop).to be_nil }
    expect(server.halt).to be_nil
  end

  it "says which port is in use and what to do" do
    port = Integer(server.start.url[/\d+\z/])
    expect { server(app, port: port).start }
      .to raise_error(Volador::BootError, "port #{port} on 127.0.0.1 is in use: stop the other server or choose " \
                                          "another with -p")
  end

  it "says that a socket is another user's" do
    Dir.mktmpdir do |folder|
      path = File.join(folder, "app.sock")
      UNIXServer.open(path) do
        # To root nothing is denied.
        allow(Volador::Native::Gateway).to receive(:new).and_raise(Errno::EACCES)
        expect { server(app, bind: "unix://#{path}").start }
          .to raise_error(Volador::BootError, /\A#{path} is another user's socket: remove it if its server has ended/)
      end
    end
  end

  it "says that this machine has no such address" do
    expect { server(app, host: "192.0.2.1").start }.to raise_error(Volador::BootError, /has no address 192\.0\.2\.1/)
  end

  it "leaves nothing behind when its start fails after it has begun to listen" do
    allow(Volador::ApplicationThreads).to receive(:new).and_wrap_original do |make, *args, **options|
      make.call(*args, **options).tap { |threads| allow(threads).to receive(:start).and_raise(ThreadError, "none left") }
    end
    server = self.server
    expect { server.start }.to raise_error(ThreadError, "none left")
    expect(described_class.running).not_to include server
    expect { get(server) }.to raise_error(Errno::ECONNREFUSED)
  end

  it "leaves nothing behind when its thread is ended while it starts" do
    server = self.server
    observer = Object.new
    observer.define_singleton_method(:server_changed) { |_, state| Thread.exit if state == :started }
    described_class.observers << observer
    expect(Thread.new { server.start }.join(10)).not_to be_nil
    expect(described_class.running).not_to include server
    expect { get(server) }.to raise_error(Errno::ECONNREFUSED)
  ensure
    described_class.observers.delete(observer)
  end

  it "has ended for whoever stops it, when its start has failed" do
    first = server.start
    failing = server(port: Integer(first.url[/\d+\z/]))
    expect { failing.start }.to raise_error(Volador::BootError)
    failing.stop # by a thread that lives on
    expect(Thread.new { failing.stop }.join(Deadline::DEFAULT_SECONDS)).not_to be_nil
  end

  it "ends wholly when another thread halts it while it starts" do
    server = self.server
    allow(Volador::NativeWorker).to receive(:make).and_wrap_original do |make, *arguments, **options|
      make.call(*arguments, **options).tap { Thread.new { server.halt }.join }
    end
    observer = Object.new
    told = []
    observer.define_singleton_method(:server_changed) { |_, state| told << state }
    described_class.observers << observer
    before = Thread.list
    server.start
    expect([described_class.running.include?(server), Thread.list - before, told]).to eq [false, [], [:stopped]]
    expect { get(server) }.to raise_error(SystemCallError)
  ensure
    described_class.observers.delete(observer)
  end

  it "runs until it is stopped from another thread" do
    server = self.server
    urls = Queue.new
    thread = Thread.new { server.run { |running| urls << running.url } }
    expect(get(server.tap { urls.pop }).status).to eq 200
    server.stop
    expect(thread.join(10)).to be thread
    expect(out.string.lines.first)
      .to match(/\AVolador #{Volador::VERSION} listening on http:\S+ \(5 threads\)\n\z/)
  end

  it "prints nothing when it is quiet" do
    server = self.server(quiet: true)
    Thread.new { server.run { |running| running.stop } }.join(10)
    expect(out.string).to be_empty
  end

  it "cuts off what still runs when the drain timeout is over, and says so" do
    reached = Queue.new
    server = self.server(->(_) { (reached << true) && sleep }, drain_timeout: 0.1).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    reached.pop
    server.stop
    expect(printed.string).to include "the drain timeout of 0.1 s is over"
    expect(client.read_to_end).not_to include "200"
    client.close
  end

  it "is stopped gracefully where there is no thread left to do it" do
    reached = Queue.new
    server = self.server(->(_) { (reached << true) && sleep(0.1) && [200, {}, ["whole"]] }).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    reached.pop
    allow(Thread).to receive(:new).and_raise(ThreadError, "can't create Thread")
    server.stop
    expect(client.read_response.body).to eq "whole"
    client.close
  end

  it "is stopped when stop returns, whoever else stops it" do
    reached = Queue.new
    go_on = Queue.new
    server = self.server(->(_) { (reached << true) && go_on.pop && [200, {}, ["whole"]] }).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    reached.pop
    # Whoever is told takes a while, in which nothing drains yet.
    observer = Object.new
    observer.define_singleton_method(:server_changed) { |_, state| sleep 0.1 if state == :draining }
    described_class.observers << observer
    first = Thread.new { server.stop }
    Deadline.until("it drains") { first.stop? }
    second = Thread.new { server.stop }
    expect(second.join(0.1)).to be_nil
    go_on << true
    expect(client.read_response.body).to eq "whole"
    expect([first, second].map { |thread| thread.join(10) }).to eq [first, second]
    client.close
  ensure
    described_class.observers.delete(observer)
  end

  it "is stopped once, also by one who is told that it drains" do
    server = self.server.start
    told = []
    observer = Object.new
    observer.define_singleton_method(:server_changed) { |one, state| (told << state) && (one.stop if state == :draining) }
    described_class.observers << observer
    server.stop
    expect(told).to eq %i[draining stopped]
  ensure
    described_class.observers.delete(observer)
  end

  context "when halted" do
    let(:told) { [] }
    let(:go_on) { Queue.new }
    let(:observer) { Object.new }

    before do
      told = self.told
      observer.define_singleton_method(:server_changed) { |_, state| told << state }
      described_class.observers << observer
    end

    after { described_class.observers.delete(observer) }

    # Its application thread does not end before it is told to, or is waited for no longer.
    def dying_server
      reached = Queue.new
      go_on = self.go_on
      app = lambda do |_|
        reached << true
        sleep
      ensure
        go_on.pop
      end
      server(app, threads: 1).start.tap do |server|
        RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
        reached.pop
      end
    end

    it "is ended when halt returns, whoever else halts it, and says so once" do
      server = dying_server
      threads = Array.new(4) { Thread.new { server.halt || told.dup } }
      Deadline.until("all of them wait") { threads.all?(&:stop?) }
      go_on << true
      expect(threads.map(&:value)).to all(eq(%i[started stopped]))
    end

    it "is ended all the same when the thread that halts it is interrupted" do
      server = dying_server
      expect { Timeout.timeout(0.05) { server.halt } }.to raise_error(Timeout::Error)
      go_on << true
      server.halt
      expect(told).to eq %i[started stopped]
    end

    it "is ended all the same when the thread that halts it is interrupted at the first step" do
      allow(Volador::PubSub).to receive(:leave).and_wrap_original { |leave, *args| go_on.pop && leave.call(*args) }
      server = self.server.start
      expect { Timeout.timeout(0.05) { server.halt } }.to raise_error(Timeout::Error)
      go_on << true
      server.halt
      expect(told).to eq %i[started stopped]
      expect { get(server) }.to raise_error(SystemCallError)
    end

    it "is ended where there is no thread left to do it" do
      server = self.server.start
      allow(Thread).to receive(:new).and_raise(ThreadError, "can't create Thread")
      server.halt
      expect(told).to eq %i[started stopped]
    end

    it "may be halted and stopped by one who is told that it has stopped" do
      returning = Object.new
      returning.define_singleton_method(:server_changed) { |one, state| (one.halt || one.stop) if state == :stopped }
      described_class.observers << returning
      %i[halt stop].each do |how|
        server = self.server.start
        expect(Thread.new { server.public_send(how) }.join(5)).not_to be_nil
      end
      expect(told.count(:stopped)).to eq 2
    ensure
      described_class.observers.delete(returning)
    end
  end

  it "is stopped by the application that it runs, which is answered" do
    server = nil
    app = lambda do |env|
      server.stop if env["PATH_INFO"] == "/stop"
      [200, {}, ["whole"]]
    end
    server = self.server(app).start
    expect(get(server, "/stop").body).to eq "whole"
    expect(Thread.new { server.stop }.join(5)).not_to be_nil
    expect(described_class.running).not_to include server
    expect(printed.string).to eq ""
  end

  it "is halted by the application that it runs" do
    server = nil
    server = self.server(->(_) { server.halt || sleep }).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    expect(client.read_to_end).not_to include "200"
    Deadline.until("its end") { !described_class.running.include?(server) }
    expect(printed.string).to eq ""
    client.close
  end

  it "is stopped by a signal handler of the program, which waits for it" do
    reached = Queue.new
    server = self.server(->(_) { (reached << true) && sleep(0.2) && [200, {}, ["whole"]] }).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    reached.pop
    stopped = nil
    before = Signal.trap("USR2") { server.stop || (stopped = !described_class.running.include?(server)) }
    Process.kill("USR2", Process.pid)
    Deadline.until("the handler's end") { !stopped.nil? }
    expect([client.read_response.body, stopped, printed.string]).to eq ["whole", true, ""]
    client.close
  ensure
    Signal.trap("USR2", before || "DEFAULT")
  end

  it "is stopped by a thread that a signal handler interrupts, which wants to stop it as well" do
    reached = Queue.new
    go_on = Queue.new
    server = self.server(->(_) { (reached << true) && go_on.pop && [200, {}, ["whole"]] }).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    reached.pop
    before = Signal.trap("USR2") { server.stop || (go_on << true) }
    Thread.new do
      Deadline.until("it drains") { Thread.main.stop? }
      Process.kill("USR2", Process.pid)
    end
    server.stop
    expect(client.read_response.body).to eq "whole"
    client.close
  ensure
    Signal.trap("USR2", before || "DEFAULT")
  end

  it "is halted by a signal handler" do
    server = self.server.start
    halted = nil
    before = Signal.trap("USR2") { halted = server.halt.nil? && !described_class.running.include?(server) }
    Process.kill("USR2", Process.pid)
    Deadline.until("the handler's end") { !halted.nil? }
    expect([halted, printed.string]).to eq [true, ""]
  ensure
    Signal.trap("USR2", before || "DEFAULT")
  end

  it "says nothing about the drain timeout when it is halted meanwhile" do
    reached = Queue.new
    server = self.server(->(_) { (reached << true) && sleep }).start
    client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
    reached.pop
    stopping = Thread.new { server.stop }
    Deadline.until("it drains") { stopping.stop? }
    server.halt
    expect(stopping.join(10)).to be stopping
    Thread.list.find { |thread| thread.name == "volador drain" }&.join(10)
    expect(printed.string).not_to include "drain timeout"
    client.close
  end

  it "is among the running servers only while it runs" do
    server = self.server.start
    expect(described_class.running).to include server
    server.stop
    expect(described_class.running).not_to include server
  end

  it "restores the signal handlers" do
    mine = proc {}
    before = Signal.trap("TERM", mine)
    server = self.server
    server.run { |running| running.stop }
    expect(Signal.trap("TERM", before)).to equal mine
  end
end
