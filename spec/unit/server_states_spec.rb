# frozen_string_literal: true

# What start, stop and halt do to each other when several threads call them.
RSpec.describe Volador::Server, "which several threads start, stop and halt" do
  let(:printed) { StringIO.new }
  let(:server) { server_of(->(_) { [200, {}, ["whole"]] }) }
  let(:told) { [] }
  let(:observer) { Object.new }
  let(:before) { Thread.list }

  before do
    told = self.told
    observer.define_singleton_method(:server_changed) { |_, state| told << state }
    described_class.observers << observer
    before
  end

  after do
    described_class.observers.delete(observer)
    server.halt
  end

  def server_of(app, threads: 2)
    described_class.new(app, Volador::Configuration.new(port: 0, threads: threads, quiet: true, drain_timeout: 5, env: {}),
                        log: Volador::Log.new(printed))
  end

  def get(server)
    port = Integer(server.url[/\d+\z/])
    RawSocket.open(port: port) { |socket| socket.request("GET", "/", { "Connection" => "close" }) }
  end

  # Another thread does something behind this step of the start.
  def meanwhile(object, name, &work)
    allow(object).to receive(name).and_wrap_original do |step, *arguments, **options|
      step.call(*arguments, **options).tap { Thread.new(&work).join }
    end
  end

  # One that drained, say, may be on its way out.
  def expect_no_thread_left
    Deadline.until("the end of all threads") { (Thread.list - before).empty? }
  end

  def expect_nothing_left
    expect(described_class.running).not_to include server
    expect_no_thread_left
    expect { get(server) }.to raise_error(SystemCallError)
    expect(printed.string).to eq ""
  end

  %i[stop halt].each do |how|
    { "binds its addresses" => [Volador::Listening, :gateway, []],
      "makes its worker" => [Volador::NativeWorker, :make, [:stopped]],
      "makes its threads" => [Volador::ApplicationThreads, :new, [:stopped]] }.each do |doing, (object, name, states)|
      it "does not serve when another thread calls #{how} while it #{doing}" do
        meanwhile(object, name) { server.public_send(how) }
        expect(server.start).to be server
        expect(told).to eq states
        expect_nothing_left
      end
    end

    it "ends wholly when another thread calls #{how} while the first of it serves" do
      meanwhile(Volador::PubSub, :serve) { server.public_send(how) }
      server.start
      expect(told).to eq(how == :stop ? %i[draining stopped] : [:stopped])
      expect_nothing_left
    end

    it "has ended for every other thread that stops it, when #{how} came while it bound its addresses" do
      meanwhile(Volador::Listening, :gateway) { server.public_send(how) }
      server.start
      stopping = Array.new(2) { Thread.new { server.stop } }
      expect(stopping.map { |thread| thread.join(Deadline::DEFAULT_SECONDS) }).to eq stopping
    end

    it "does not serve when a thread that lives on calls #{how} as soon as another one starts it" do
      10.times do
        server = server_of(->(_) { [200, {}, []] })
        bound = Queue.new
        allow(Volador::Listening).to receive(:gateway).and_wrap_original { |bind, *args| (bound << true) && bind.call(*args) }
        starting = Thread.new { server.start }
        bound.pop
        server.public_send(how)
        starting.join
        expect(described_class.running).not_to include server
      end
      expect_no_thread_left
    end

    it "returns from run, and says nothing, when another thread calls #{how} while it binds its addresses" do
      meanwhile(Volador::Listening, :gateway) { server.public_send(how) }
      expect(Thread.new { server.run }.join(Deadline::DEFAULT_SECONDS)).not_to be_nil
      expect_nothing_left
    end
  end

  it "leaves nothing behind when its start fails after another thread has halted it" do
    meanwhile(Volador::PubSub, :serve) { server.halt }
    allow(Volador::ApplicationThread).to receive(:new).and_wrap_original do |make, **options|
      make.call(**options).tap { |one| allow(one).to receive(:start).and_raise(ThreadError) if options[:name].end_with?("2") }
    end
    expect { server.start }.to raise_error(ThreadError)
    expect_nothing_left
  end

  it "leaves nothing behind when its thread is ended after another one has halted it" do
    allow(Volador::PubSub).to receive(:serve).and_wrap_original do |serve, *arguments|
      serve.call(*arguments)
      Thread.new { server.halt }.join
      Thread.exit
    end
    Thread.new { server.start }.join
    expect_nothing_left
  end

  it "leaves no thread behind when it is interrupted as one of them has begun with a request" do
    reached = Queue.new
    server = server_of(->(_) { (reached << true) && sleep })
    allow(Volador::ApplicationThread).to receive(:new).and_wrap_original do |make, **options|
      make.call(**options).tap do |one|
        allow(one).to receive(:start).and_wrap_original do |start|
          start.call
          RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
          reached.pop
          raise "interrupted"
        end
      end
    end
    expect { server.start }.to raise_error("interrupted")
    expect_no_thread_left
  end

  it "lets a request be answered when a signal handler stops it between the first connection and the first thread" do
    stub_const("Volador::Server::GRACE", 0.1)
    client = nil
    allow(Volador::PubSub).to receive(:serve).and_wrap_original do |serve, *arguments|
      client = RawSocket.open(port: Integer(server.url[/\d+\z/])).send_request("GET", "/")
      Deadline.until("it waits") { server.stats[:queued].positive? }
      Process.kill("USR2", Process.pid)
      serve.call(*arguments)
    end
    usual = Signal.trap("USR2") { server.stop }
    server.start
    expect(client.read_response.body).to eq "whole"
    server.stop
    expect_nothing_left
  ensure
    Signal.trap("USR2", usual || "DEFAULT")
    client&.close
  end

  it "starts once, also by two threads" do
    meanwhile(Volador::Listening, :gateway) { expect { server.start }.to raise_error(Volador::Error, /make a new one/) }
    server.start
    expect(get(server).body).to eq "whole"
  end

  it "is stopped by another thread when the one that runs it was interrupted twice" do
    running = Thread.new do
      Thread.current.report_on_exception = false
      server.run { raise "interrupted" }
    end
    allow(server).to receive(:halt).and_wrap_original do |halt|
      running == Thread.current ? raise("interrupted once more") : halt.call
    end
    expect { running.value }.to raise_error("interrupted once more")
    server.stop
    expect_nothing_left
  end

  it "serves on when it is to be run after it was started" do
    server.start
    expect { server.run }.to raise_error(Volador::Error, /make a new one/)
    expect(get(server).body).to eq "whole"
    server.stop
    expect { get(server) }.to raise_error(SystemCallError)
  end

  it "has no figures while it starts" do
    figures = nil
    meanwhile(Volador::Listening, :gateway) { figures = server.stats }
    meanwhile(Volador::NativeWorker, :make) { figures = [figures, server.stats] }
    server.start
    expect(figures).to eq [{}, {}]
  end
end
