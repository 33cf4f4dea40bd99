# frozen_string_literal: true

require_relative "integration_helper"

# What a signal's handler or another thread raises may come at any moment at which Ruby looks for it, also inside of the
# extension's calls. The stand-ins bring it at moments that are hard to meet.
RSpec.describe "An interrupt" do
  it "leaves no socket behind, when it comes while the main thread, which is alone, makes a gateway" do
    server = start_ruby(<<~'RUBY')
      require "volador"
      def sockets
        Dir.children("/proc/self/fd").count { |fd| File.readlink("/proc/self/fd/#{fd}").start_with?("socket:") rescue false }
      end
      options = Volador::Configuration.new(port: 0).to_native
      armed = false
      trap("USR1") do
        raise "interrupted" if armed && !(armed = false)
      end
      pid = fork { 1000.times { Process.kill(:USR1, Process.ppid); sleep 0.0005 }; exit! }
      until Process.wait(pid, Process::WNOHANG)
        begin
          armed = true
          gateway = Volador::Native::Gateway.new(options)
          armed = false
          gateway.stop
        rescue RuntimeError
          nil
        end
      end
      trap("USR1", "IGNORE")
      gateway = nil
      10.times { GC.start }
      warn "left: #{sockets}"
    RUBY

    expect(server.wait).to be_success
    # The last one may still be on the stack.
    expect(server.output[/left: (\d+)/, 1].to_i).to be <= 1
  end

  it "leaves a request body's file to who has it, when it comes as the File has been made" do
    server = start_volador(<<~'RUBY', "-t", "1")
      KEPT = []
      File.singleton_class.prepend(Module.new do
        def for_fd(*)
          super.tap { |file| (KEPT << file) && raise("interrupted") if KEPT.empty? }
        end
      end)
      run(lambda do |env|
        body = env["PATH_INFO"] == "/kept" ? KEPT.first.read.size.to_s : env["rack.input"].read.size.to_s
        [200, {}, [body]]
      end)
    RUBY
    body = "x" * 100_000
    answers = Array.new(2) { server.connect { |socket| socket.request("POST", "/", { "Connection" => "close" }, body) } }

    expect(answers.map(&:status)).to eq([500, 200])
    expect(server.get("/kept").body).to eq("100000")
  end

  PushClient::TRANSPORTS.each do |transport|
    context "that ends the thread of a push connection (#{transport})" do
      shared_server(<<~'RUBY', "-t", "2")
        class Handler
          def initialize(path) = @path = path

          def on_close = warn("closed #{@path}")
        end

        class App
          def call(_env) = [200, {}, ["plain"]]

          def on_open(env)
            Thread.exit if env["PATH_INFO"] == "/in-on-open"
            Handler.new(env["PATH_INFO"])
          end
        end
        use(Class.new do
          def initialize(app) = @app = app

          def call(env)
            @app.call(env).tap { Thread.exit if env["PATH_INFO"] == "/behind" }
          end
        end)
        run App.new
      RUBY

      it "behind on_open tells the handler once that it is closed" do
        response = PushClient.refusal(transport, server.port, "/behind")
        server.wait_for_output(%r{^closed /behind$})

        expect(response.status).to eq(500)
        expect(server.get("/plain").body).to eq("plain")
        expect(server.output.scan("closed /behind").size).to eq(1)
      end

      it "in on_open closes the connection" do
        response = PushClient.refusal(transport, server.port, "/in-on-open")

        expect([response.status, response["connection"]]).to eq([500, "close"])
      end
    end
  end

  it "that ends the thread of a subscription's block is logged, and keeps the connection" do
    server = start_volador(<<~'RUBY', "-t", "1")
      module Ears
        def self.on_open(client)
          client.subscribe("news") { |_, message| message == "exit" ? Thread.exit : client.write(message) }
          client.write("open")
        end

        def self.on_close(_client) = Thread.exit
      end
      run(lambda do |env|
        env["rack.upgrade"] = Ears if env["rack.upgrade?"]
        Volador.publish("news", env["PATH_INFO"].delete_prefix("/")) unless env["rack.upgrade?"]
        [200, {}, []]
      end)
    RUBY
    WebSocketClient.open(server.port, "/") do |client|
      client.read_message
      %w[/exit /on].each { |path| server.get(path) }
      expect(client.read_message).to eq("on")
    end
    server.wait_for_output(/the block of a client's subscription was cut off: the application ended the thread/)
    server.wait_for_output(/the callback for the end of a connection was cut off/)
  end

  it "that ends the thread of an on_message is logged, and closes the connection with 1011" do
    server = start_volador(<<~'RUBY', "-t", "1")
      class Handler
        def on_message(_data) = Thread.exit

        def on_close = warn("closed")
      end

      class App
        def call(_env) = [200, {}, ["plain"]]

        def on_open(_env) = Handler.new
      end
      run App.new
    RUBY
    WebSocketClient.open(server.port, "/") do |client|
      client.send_text("exit")
      expect(client.read_close).to eq(1011)
    end
    server.wait_for_output(/^closed$/)
    expect(server.output).to match(/message of Handler raised, its connection is closed: the application ended the thread/)
    expect(server.get("/").body).to eq("plain")
  end

  it "ends its thread for good, when it kills it while the file of a request's body is closed" do
    server = start_volador(<<~'RUBY', "-t", "1")
      File.prepend(Module.new do
        def close
          Thread.current[:kill] &&= Thread.new(Thread.current, &:kill).join && nil
          super
        end
      end)
      run(lambda do |env|
        Thread.current[:kill] = env["PATH_INFO"] == "/kill"
        [200, {}, ["#{env['rack.input'].class} #{Thread.current.object_id} #{Thread.current.status}"]]
      end)
    RUBY
    killed = server.connect { |socket| socket.request("POST", "/kill", { "Connection" => "close" }, "x" * 100_000) }.body
    later = server.get("/").body

    expect(killed).to match(/\AFile \d+ run\z/)
    expect(later).to match(/ run\z/)
    expect(later.split[1]).not_to eq(killed.split[1])
  end

  it "ends its thread alone, when it kills it while an error of the extension becomes an exception" do
    server = start_ruby(<<~'RUBY')
      require "net/http"
      require "volador"
      Volador::Error.prepend(Module.new do
        def initialize(*)
          Thread.new(Thread.current, &:kill).join if Thread.current[:kill]
          super
        end
      end)
      hijack = nil
      app = ->(env) { (hijack = env["rack.hijack"]) && [200, {}, ["plain"]] }
      server = Volador::Server.new(app, Volador::Configuration.new(port: 0, quiet: true)).start
      Net::HTTP.get(URI(server.url))
      # The request is over, so this raises.
      raise "alive" if Thread.new { (Thread.current[:kill] = true) && hijack.call }.join.status
      puts Net::HTTP.get(URI(server.url))
      server.stop
    RUBY

    expect(server.wait).to be_success
    expect(server.output).to include("plain")
  end

  it "comes to the main thread while that waits for a slow client of a streamed answer" do
    server = start_ruby(<<~'RUBY')
      require "volador"
      streams, over, written = Thread::Queue.new, Thread::Queue.new, 0
      app = ->(_env) { [200, {}, ->(stream) { streams.push(stream) && over.pop }] }
      options = { port: 0, threads: 1, spool_max_bytes: 0, write_timeout: 300 }
      server = Volador::Server.new(app, Volador::Configuration.new(**options)).start
      warn "listening on #{server.url}"
      stream = streams.pop
      Thread.new do
        before = nil
        sleep 0.3 until before == (before = written)
        warn "waits"
      end
      trap("USR1") { warn "noticed" }
      trap("USR2") { raise "interrupted" }
      begin
        loop { written += stream.write("x" * 50_000) }
      rescue RuntimeError => error
        warn "ended: #{error.message}"
      end
      over.push(true)
      server.halt
    RUBY
    server.connect do |client|
      client.send_request("GET", "/")
      server.wait_for_output(/^waits$/)
      # Sooner than anything else would wake the process.
      server.signal(:USR1).wait_for_output(/^noticed$/, seconds: 8)
      server.signal(:USR2).wait_for_output(/^ended: interrupted$/)
    end

    expect(server.wait).to be_success
  end

  it "takes the place of an error of the extension, when it comes while that becomes an exception" do
    server = start_ruby(<<~'RUBY')
      require "timeout"
      require "volador"
      Volador::ConfigurationError.prepend(Module.new { def initialize(*) = sleep })
      options = Volador::Configuration.new(port: 0).to_native
      begin
        Timeout.timeout(0.1) { Volador::Native::Gateway.new(options.merge(bind: ["nowhere"])) }
      rescue Timeout::Error
        puts "timed out"
      end
    RUBY

    expect(server.wait).to be_success
    expect(server.output).to include("timed out")
  end

  it "of the thread that halts a server lets the end of the program wait for that, without a word" do
    server = start_ruby(<<~'RUBY')
      require "net/http"
      require "timeout"
      require "volador"
      reached = Queue.new
      go_on = Queue.new
      app = lambda do |_env|
        reached << true
        sleep
      ensure
        go_on.pop
        sleep 0.1
      end
      observer = Object.new
      def observer.server_changed(_server, state) = puts(state)
      Volador::Server.observers << observer
      server = Volador::Server.new(app, Volador::Configuration.new(port: 0, threads: 2, quiet: true)).start
      Thread.new { Net::HTTP.get(URI(server.url)) rescue nil }
      reached.pop
      begin
        Timeout.timeout(0.1) { server.halt }
      rescue Timeout::Error
        puts "timed out"
      end
      go_on << true
    RUBY

    expect(server.wait).to be_success
    expect(server.output.lines.map(&:chomp)).to contain_exactly("started", "timed out", "stopped")
  end
end
