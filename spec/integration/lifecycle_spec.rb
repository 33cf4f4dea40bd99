# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A server's life" do
  standing = <<~RUBY
    class Handler
      def initialize(name)
        @name = name
      end

      def on_close
        warn "closed \#{@name}"
      end
    end

    class App
      def call(env)
        warn "seen \#{env['PATH_INFO']}"
        case env["PATH_INFO"]
        when "/stand"
          WATCH_QUEUE.call
          File.read("gate")
          [200, {}, ["stood"]]
        when "/stream"
          [200, {}, Enumerator.new { |yielder| yielder << "one"; File.read("gate"); yielder << "two" }]
        when "/large" then [200, {}, Enumerator.new { |yielder| 100.times { yielder << "x" * 65_536 } }]
        when "/forever" then sleep
        else [200, {}, ["fine"]]
        end
      end

      def on_open(env)
        env["push.writer"].write("open")
        env["PATH_INFO"] == "/nobody" ? nil : Handler.new(env["PATH_INFO"])
      end
    end
  RUBY
  standing = "#{QueueWatch::SOURCE}\n#{standing}"
  config = "#{standing}\nrun App.new"

  def refused?(server)
    server.connect(&:close)
    false
  rescue Errno::ECONNRESET
    false # it was on its way when the listener closed
  rescue Errno::ECONNREFUSED
    true
  end

  it "runs a request that comes at once when what it publishes can be sent" do
    publishing = <<~RUBY
      Volador::Server.singleton_class.prepend(Module.new do
        def add(*)
          sleep 0.5
          super
        end
      end)
      run ->(_env) { [200, {}, [Volador.publish("news", "early").inspect]] }
    RUBY
    ReservedPort.open do |port|
      keep(ServerProcess.volador(publishing, bind: "tcp://127.0.0.1:#{port}"))
      expect(ReservedPort.answer(port).body).to eq("true")
    end
  end

  %i[INT TERM].each do |name|
    describe "that is stopped by #{name}" do
      it "exits with 0" do
        expect(start_volador(config).stop(name).exitstatus).to eq(0)
      end

      it "answers the requests that run, and takes no new connections meanwhile" do
        server = start_volador(config)
        gate = Gate.new(server)
        server.connect do |socket|
          socket.send_request("GET", "/stand")
          server.wait_for_output(%r{^seen /stand$})
          server.signal(name)
          Deadline.until("the port to be closed") { refused?(server) }
          gate.open

          expect(socket.read_response).to have_attributes(status: 200, body: "stood")
          expect(socket).to be_ended
        end
        expect(server.wait.exitstatus).to eq(0)
      end

      it "finishes an answer that is being streamed" do
        server = start_volador(config)
        gate = Gate.new(server)
        server.connect do |socket|
          socket.send_request("GET", "/stream")
          socket.read_head
          expect(socket.read_chunk).to eq("one")
          server.signal(name)
          Deadline.until("the port to be closed") { refused?(server) }
          gate.open

          expect(socket.read_chunk).to eq("two")
          expect(socket.read_chunk).to be_nil
        end
        expect(server.wait.exitstatus).to eq(0)
      end

      it "finishes an answer that its client has yet to take" do
        server = start_volador(config)
        server.connect do |socket|
          socket.send_request("GET", "/large")
          socket.read_head
          server.signal(name)
          size = 0
          while (chunk = socket.read_chunk)
            size += chunk.bytesize
          end

          expect(size).to eq(100 * 65_536)
        end
        expect(server.wait.exitstatus).to eq(0)
      end

      it "answers the requests that wait for a thread" do
        server = start_volador(config, "-t", "1")
        gate = Gate.new(server)
        first = server.connect.send_request("GET", "/stand")
        server.wait_for_output(%r{^seen /stand$})
        waiting = server.connect.send_request("GET", "/waiting")
        QueueWatch.await(server, 1)
        server.signal(name)
        Deadline.until("the port to be closed") { refused?(server) }
        gate.open

        expect([first, waiting].map { |socket| socket.read_response.body }).to eq(%w[stood fine])
        [first, waiting].each(&:close)
        expect(server.wait.exitstatus).to eq(0)
      end

      it "closes idle connections" do
        server = start_volador(config)
        server.connect do |socket|
          socket.request("GET", "/")
          server.signal(name)

          expect(socket).to be_ended
        end
        expect(server.wait.exitstatus).to eq(0)
      end

      it "closes push connections with 1001, and each on_close runs once" do
        server = start_volador(config)
        web_sockets = Array.new(3) { |index| WebSocketClient.open(server.port, "/w#{index}").tap(&:read_message) }
        streams = Array.new(2) { |index| EventStreamClient.open(server.port, "/s#{index}").tap(&:read_event) }
        handlerless = WebSocketClient.open(server.port, "/nobody").tap(&:read_message)
        server.signal(name)

        expect([*web_sockets, handlerless].map(&:read_close)).to all(eq(1001))
        [*web_sockets, handlerless].each(&:close_socket)
        expect(streams).to all(be_ended)
        streams.each(&:close)
        expect(server.wait.exitstatus).to eq(0)
        expect(server.output.scan(/^closed (\S+)$/).flatten).to match_array(%w[/w0 /w1 /w2 /s0 /s1])
      end

      it "stops at once by a second signal" do
        server = start_volador(config)
        server.connect do |socket|
          socket.send_request("GET", "/forever")
          server.wait_for_output(%r{^seen /forever$})
          server.signal(name)
          Deadline.until("the port to be closed") { refused?(server) }
          server.signal(name)

          server.wait(seconds: 15) # the drain timeout is 25 s
          socket.read_to_end
        end
      end
    end
  end

  it "ends though a request never does, after the drain timeout" do
    server = start_configured("#{standing}\nApp.new", drain_timeout: 0.2)
    socket = server.connect.send_request("GET", "/forever")
    server.wait_for_output(%r{^seen /forever$})
    server.signal(:TERM)

    server.wait
    expect(server.output).to match(/drain timeout/)
    socket.close
  end

  it "stops gracefully by a signal that comes as soon as it listens" do
    server = start_ruby(<<~RUBY)
      require "volador"
      hasty = Object.new
      def hasty.server_changed(_server, state) = state == :started && Process.kill(:TERM, Process.pid)
      Volador::Server.observers << hasty
      Volador.run(->(_env) { [204, {}, []] }, port: 0)
    RUBY
    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to match(/finishes its requests and stops/)
  end

  it "has the lines of both halves in its log file" do
    Dir.mktmpdir do |folder|
      file = File.join(folder, "log")
      server = start_configured("->(env) { env['PATH_INFO'] == '/' ? [200, {}, []] : raise('mine') }", log_file: file)
      server.get("/raises")
      WebSocketClient.refusal(server.port, "/", headers: { "Origin" => "http://elsewhere.example" })
      expect(server.stop.exitstatus).to eq(0)
      # Whoever has raised is answered before that is logged.
      expect(File.readlines(file).grep(/^volador /))
        .to contain_exactly(/^volador ERROR: GET \/raises: mine/, /^volador WARN: .*origin/)
      expect(server.output).not_to match(/mine|origin/)
    end
  end

  it "logs to a FIFO whose reader leaves at its end" do
    Dir.mktmpdir do |folder|
      file = File.join(folder, "log").tap { |fifo| File.mkfifo(fifo) }
      # It is there before the server is, and does not mistake that for the end.
      fifo = File.open(file, File::RDONLY | File::NONBLOCK)
      reader = Thread.new { fifo.wait_readable && fifo.read.tap { fifo.close } }
      server = start_configured("->(env) { env['PATH_INFO'] == '/' ? [200, {}, []] : raise('mine') }", log_file: file)
      server.get("/raises")
      WebSocketClient.refusal(server.port, "/", headers: { "Origin" => "http://elsewhere.example" })
      expect(server.stop.exitstatus).to eq(0)
      expect(reader.join(Deadline::DEFAULT_SECONDS)).to be(reader)
      expect(reader.value.lines.grep(/^volador /))
        .to contain_exactly(/^volador ERROR: GET \/raises: mine/, /^volador WARN: .*origin/)
    ensure
      reader&.kill&.join
      fifo&.close
    end
  end

  it "stops at once by the first signal after Server#stop, as it has said" do
    server = start_ruby(<<~RUBY)
      require "volador"
      stop = Queue.new
      app = ->(env) { env["PATH_INFO"] == "/stop" ? (stop << true) && [200, {}, []] : warn("begun") || sleep }
      Volador.run(app, port: 0) { |server| Thread.new { stop.pop && server.stop } }
    RUBY
    socket = server.wait_until_listening.connect.send_request("GET", "/")
    server.wait_for_output(/^begun$/)
    # It says so before it does so: it has begun once it ends a connection that could go on.
    server.connect do |other|
      expect(other.request("GET", "/stop").status).to eq(200)
      expect(other).to be_ended
    end
    server.wait_for_output(/finishes its requests and stops; the signal once more stops it at once/)
    server.signal(:INT)
    server.wait_for_output(/stops at once$/)
    expect(server.wait.exitstatus).to eq(0)
    socket.close
  end

  it "ends without a word when it runs in a thread and the program ends" do
    server = start_ruby(<<~RUBY)
      require "volador"
      listening = Queue.new
      Thread.new { Volador.run(->(_env) { [204, {}, []] }, port: 0, quiet: true) { |server| listening << server } }
      listening.pop
      puts "the end"
    RUBY
    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to eq("the end\n")
  end

  it "is stopped by HUP, gracefully, but not when that is ignored, as by nohup" do
    server = start_volador(config)
    server.signal(:HUP)
    expect(server.wait.exitstatus).to eq(0)

    ignoring = start_ruby(<<~RUBY)
      require "volador"
      Signal.trap("HUP", "IGNORE")
      Volador.run(->(_) { [200, {}, ["hi"]] }, port: 0)
    RUBY
    ignoring.wait_until_listening.signal(:HUP)
    expect(ignoring.get("/").body).to eq("hi")
  end

  it "notes USR1, by which a server with workers deploys, but leaves it to a program that takes it" do
    server = start_volador(config)
    server.signal(:USR1)
    server.wait_for_output(/USR1 has no effect: this server has no workers/)
    expect(server.get("/").body).to eq("fine")

    taking = start_ruby(<<~RUBY)
      require "volador"
      Signal.trap("USR1") { warn "the program's own" }
      Volador.run(->(_) { [200, {}, ["hi"]] }, port: 0)
    RUBY
    taking.wait_until_listening.signal(:USR1)
    taking.wait_for_output(/the program's own/)
    expect(taking.get("/").body).to eq("hi")
  end

  it "ends its connections, and frees its port, whatever processes the application has forked" do
    server = start_volador(<<~RUBY)
      run ->(_env) { [200, {}, [fork { [$stdout, $stderr].each { |io| io.reopen(File::NULL) }; sleep 60 }.to_s]] }
    RUBY
    child = nil
    server.connect do |socket|
      child = Integer(socket.request("GET", "/", { "Connection" => "close" }).body)
      expect(socket).to be_ended
    end
    port = server.port
    expect(server.stop.exitstatus).to eq(0)
    expect { TCPSocket.new("127.0.0.1", port) }.to raise_error(Errno::ECONNREFUSED)
    start_volador(config, bind: "tcp://127.0.0.1:#{port}")
  ensure
    Process.kill(:KILL, child) if child
  end

  it "cuts off a client that takes nothing, whatever processes the application has forked" do
    server = start_ruby(<<~RUBY)
      require "volador"
      app = lambda do |env|
        next [200, {}, ["x" * 20_000_000]] if env["PATH_INFO"] == "/large"
        next [200, {}, [Volador.stats[:http_connections].to_s]] if env["PATH_INFO"] == "/connections"

        [200, {}, [fork { [$stdout, $stderr].each { |io| io.reopen(File::NULL) }; sleep 60 }.to_s]]
      end
      Volador.run(app, port: 0, write_timeout: 0.5)
    RUBY
    server.wait_until_listening
    child = nil
    server.connect do |socket|
      socket.send_request("GET", "/large")
      socket.read_head
      child = Integer(server.get("/").body)
      Deadline.until("it to be cut off") { server.get("/connections").body == "1" }
      expect(socket.read_to_end.bytesize).to be < 20_000_000
    end
  ensure
    Process.kill(:KILL, child) if child
  end

  it "survives clients that leave at any moment" do
    server = start_volador(config)
    ["", "G", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"].each do |bytes|
      3.times { server.connect { |socket| socket.send_bytes(bytes) } }
      3.times { server.connect.send_bytes(bytes).reset }
    end

    expect(Array.new(10) { server.get("/").body }).to all(eq("fine"))
    expect(server.stop.exitstatus).to eq(0)
  end
end
