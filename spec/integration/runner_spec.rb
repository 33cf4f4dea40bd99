# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Volador.run" do
  def run_program(text)
    start_ruby(%(require "volador"\n#{text}))
  end

  it "serves an app on a port until TERM, and returns nil" do
    server = run_program(<<~RUBY)
      app = ->(env) { [200, {}, ["hello from \#{env['PATH_INFO']}"]] }
      result = Volador.run(app, port: 0, threads: 2)
      warn "returned \#{result.inspect}"
    RUBY

    expect(server.get("/x").body).to eq("hello from /x")
    expect(server.stop.exitstatus).to eq(0)
    expect(server.output).to include("returned nil")
  end

  it "serves on the port that it is told" do
    ReservedPort.open do |port|
      server = run_program("Volador.run(->(_env) { [200, {}, ['hi']] }, port: #{port})")

      expect(server.port).to eq(port)
    end
  end

  it "yields the server once it listens, which tells its address and stops it" do
    server = run_program(<<~RUBY)
      require "net/http"
      Volador.run(->(_env) { [200, {}, ["hello"]] }, port: 0) do |running|
        warn "at \#{running.url}: \#{Net::HTTP.get(URI(running.url))}"
        Thread.new { running.stop }
      end
      warn "returned"
    RUBY

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to match(%r{at http://127\.0\.0\.1:\d+: hello\n(.*\n)*returned})
  end

  it "runs in a thread, beside the program" do
    server = run_program(<<~RUBY)
      started = Thread::Queue.new
      thread = Thread.new { Volador.run(->(_env) { [200, {}, ["hello"]] }, port: 0) { |running| started << running } }
      running = started.pop
      require "net/http"
      warn Net::HTTP.get(URI(running.url))
      running.stop
      thread.join
      warn "joined"
    RUBY

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to match(/hello\n(.*\n)*joined/)
  end

  it "restores the program's signal handlers" do
    server = run_program(<<~RUBY)
      Signal.trap(:TERM) { warn "the program's own"; exit 7 }
      Volador.run(->(_env) { [200, {}, ["hello"]] }, port: 0) { |running| Thread.new { running.stop } }
      warn "stopped"
      sleep
    RUBY
    server.wait_for_output(/^stopped$/)

    expect(server.stop.exitstatus).to eq(7)
    expect(server.output).to include("the program's own")
  end

  it "can be called again after it has stopped" do
    server = run_program(<<~RUBY)
      require "net/http"
      3.times do |index|
        Volador.run(->(_env) { [200, {}, ["run \#{index}"]] }, port: 0) do |running|
          warn Net::HTTP.get(URI(running.url))
          Thread.new { running.stop }
        end
      end
    RUBY

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to include("run 0", "run 1", "run 2")
  end

  it "serves two apps in one process, on two ports" do
    server = run_program(<<~RUBY)
      require "net/http"
      started = Thread::Queue.new
      %w[a b].each { |name| Thread.new { Volador.run(->(_env) { [200, {}, [name]] }, port: 0) { |running| started << [name, running] } } }
      two = [started.pop, started.pop].sort_by(&:first).map(&:last)
      warn two.map { |running| Net::HTTP.get(URI(running.url)) }.inspect
      two.each(&:stop)
    RUBY

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to include(%(["a", "b"]))
  end

  it "lets the program broadcast from outside of a request" do
    server = run_program(<<~RUBY)
      class App
        def call(_env)
          [404, {}, []]
        end

        def on_open(env)
          env["push.writer"].write("open")
          nil
        end
      end
      Thread.new { Volador.run(App.new, port: 0) }
      sleep 0.01 until File.exist?("gate")
      File.read("gate")
      Volador.broadcast("/news", "from the main thread")
      sleep
    RUBY
    gate = Gate.new(server)
    clients = PushClient::TRANSPORTS.map { |transport| PushClient.open(transport, server.port, "/news") }
    clients.each(&:read)
    gate.open

    expect(clients.map(&:read)).to all(eq("from the main thread"))
    clients.each(&:leave)
  end

  it "broadcasts to nobody when no server runs" do
    expect(Volador.broadcast("/anything", "x")).to be_nil
  end

  {
    "an unknown option" => ["nonsense: 1", "ConfigurationError", /nonsense/],
    "a port that is none" => ["port: 70000", "ConfigurationError", /port/],
    "no threads" => ["port: 0, threads: 0", "ConfigurationError", /threads/],
    "a host without an address" => ['port: 0, host: "no.such.host.invalid"', "ConfigurationError", /no\.such\.host/]
  }.each do |what, (options, error, message)|
    it "raises a #{error} that says what is wrong: #{what}" do
      server = run_program(<<~RUBY)
        begin
          Volador.run(->(_env) { [200, {}, []] }, #{options})
        rescue Volador::Error => e
          warn "\#{e.class}: \#{e.message}"
        end
      RUBY

      expect(server.wait.exitstatus).to eq(0)
      expect(server.output).to match(/^Volador::#{error}: .*#{message}/)
    end
  end

  it "raises an error that names the port which is in use" do
    other = TCPServer.new("127.0.0.1", 0)
    server = run_program(<<~RUBY)
      begin
        Volador.run(->(_env) { [200, {}, []] }, port: #{other.addr[1]})
      rescue Volador::Error => e
        warn "\#{e.class}: \#{e.message}"
      end
    RUBY

    server.wait
    expect(server.output).to match(/^Volador::\w+: .*#{other.addr[1]}.* in use/)
  ensure
    other&.close
  end

  it "refuses what is no application" do
    server = run_program(<<~RUBY)
      begin
        Volador.run(Object.new, port: 0)
      rescue Volador::ConfigurationError => e
        warn "refused: \#{e.message}"
      end
    RUBY

    server.wait
    expect(server.output).to match(/^refused: .*call/)
  end

  it "is ended with the program, without a word and without a hang" do
    server = run_program(<<~RUBY)
      started = Thread::Queue.new
      Thread.new { Volador.run(->(_env) { sleep }, port: 0) { |running| started << running } }
      url = started.pop.url
      Thread.new { require "socket"; TCPSocket.new("127.0.0.1", URI(url).port).write("GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n") }
      exit 5
    RUBY

    expect(server.wait.exitstatus).to eq(5)
    expect(server.output).not_to match(/panick|BUG|fatal/)
  end

  it "leaves a forked process alone" do
    server = run_program(<<~RUBY)
      require "net/http"
      Volador.run(->(_env) { [200, {}, ["still here"]] }, port: 0) do |running|
        Process.wait(fork { exit 0 })
        warn "forked: \#{$?.exitstatus}"
        warn Net::HTTP.get(URI(running.url))
        Thread.new { running.stop }
      end
    RUBY

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to match(/forked: 0\n(.*\n)*still here/)
  end
end
