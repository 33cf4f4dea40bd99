# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Applications written for Agoo" do
  # Agoo::Server.init has no way to say 127.0.0.1 and a free port but this.
  init = 'Agoo::Server.init(0, ".", bind: "http://127.0.0.1:0", thread_count: %d)'

  # @return [ServerProcess] a program of its own that listens
  def start_program(text)
    start_ruby("require 'volador/compat/agoo'\n#{text}").wait_until_listening
  end

  clock = <<~'RUBY'
    # One object for all clients, with a list of them.
    class Clock
      def initialize
        @clients = []
        @mutex = Mutex.new
      end

      def on_open(client)
        puts "--- on_open"
        @mutex.synchronize { @clients << client }
      end

      def on_close(client)
        puts "--- on_close"
        @mutex.synchronize { @clients.delete(client) }
      end

      def on_drained(_client) = nil

      def on_message(client, data) = client.write("Handler says #{data}")

      def start
        loop do
          now = Time.now
          time = "%02d:%02d:%02d" % [now.hour, now.min, now.sec]
          @mutex.synchronize { @clients.each { |client| client.write(time) } }
          sleep(0.02)
        end
      end
    end
  RUBY

  program = <<~RUBY
    require "volador/compat/agoo"
    require "agoo"
    $stdout.sync = true
    Agoo::Log.configure(dir: "", console: true, classic: true, colorize: true,
                        states: { INFO: true, DEBUG: false, connect: true, push: true })
    File.write("websocket.html", "<p>the page</p>")
    #{format(init, 1)}

    class HelloHandler
      def call(_env) = [200, {}, ["hello world"]]
    end
    #{clock}
    $clock = Clock.new

    class Listen
      def call(env)
        return [404, {}, []] if env["rack.upgrade?"].nil?

        env["rack.upgrade"] = $clock
        [200, {}, []]
      end
    end
    Agoo::Server.handle(:GET, "/hello", HelloHandler.new)
    Agoo::Server.handle(:GET, "/upgrade", Listen.new)
    Agoo::Server.start()
    $clock.start
  RUBY

  describe "a clock in a program with handlers" do
    before(:context) { @server = ServerProcess.ruby_program(program).wait_until_listening }
    after(:context) { @server.destroy }

    PushClient::TRANSPORTS.each do |transport|
      it "tells the time by #{transport}" do
        PushClient.open(transport, @server.port, "/upgrade") do |client|
          2.times { expect(client.read).to match(/\A\d\d:\d\d:\d\d\z/) }
        end
      end
    end

    it "answers messages, and plain requests by their handlers" do
      WebSocketClient.open(@server.port, "/upgrade") do |client|
        client.send_text("hi")
        answer = Deadline.until("the answer") { client.read_message.then { |text| text if text.include?("says") } }
        expect(answer).to eq "Handler says hi"
      end
      expect(@server.get("/hello").body).to eq "hello world"
      expect(@server.get("/upgrade").status).to eq 404
      expect(@server.get("/websocket.html").body).to eq "<p>the page</p>"
    end
  end

  it "stops by TERM with every on_close, though the main thread never ends" do
    server = start_ruby(program).wait_until_listening
    WebSocketClient.open(server.port, "/upgrade") do |client|
      client.read_message
      server.signal(:TERM)
      expect(client.read_close).to eq 1001
      client.send_frame(:close, [1001].pack("n"))
    end
    expect(server.wait.exitstatus).to eq 0
    expect(server.output.scan(/^--- on_(?:open|close)$/)).to eq ["--- on_open", "--- on_close"]
  end

  it "serves the same clock from config.ru" do
    server = start_volador(<<~RUBY, "--compat", "agoo")
      #{clock}
      $clock = Clock.new

      class Listen
        def call(env)
          case env["SCRIPT_NAME"] + env["PATH_INFO"]
          when "/" then return [200, {}, ["hello world"]]
          when "/upgrade"
            unless env["rack.upgrade?"].nil?
              env["rack.upgrade"] = $clock
              return [200, {}, []]
            end
          end
          [404, {}, []]
        end
      end
      Thread.new { $clock.start }
      run Listen.new
    RUBY
    PushClient::TRANSPORTS.each do |transport|
      PushClient.open(transport, server.port, "/upgrade") { |client| expect(client.read).to match(/\A\d\d:\d\d:/) }
    end
    expect(server.get("/").body).to eq "hello world"
  end

  it "publishes the time to subscribers of a subject, in the thread that starts it" do
    server = start_program(<<~RUBY)
      require "agoo"
      require "agoo/version"
      require "rack/handler/agoo"
      class Clock
        def self.call(env)
          return [404, {}, []] if env["rack.upgrade?"].nil?

          env["rack.upgrade"] = Clock
          [200, {}, []]
        end

        def self.on_open(client) = client.subscribe("time")

        Thread.new do
          loop do
            Agoo.publish("time", Time.now.strftime("%H:%M:%S"))
            sleep(0.02)
          end
        end
      end
      #{format(init, 0)}
      Agoo::Server.handle(:GET, "/upgrade", Clock)
      Agoo::Server.start()
      puts "start has returned"
    RUBY
    PushClient::TRANSPORTS.each do |transport|
      PushClient.open(transport, server.port, "/upgrade") do |client|
        2.times { expect(client.read).to match(/\A\d\d:\d\d:\d\d\z/) }
      end
    end
    expect(server.stop.exitstatus).to eq 0
    expect(server.output).to include "start has returned"
  end

  describe "subjects" do
    before(:context) do
      @server = ServerProcess.ruby_program(<<~RUBY)
        require "volador/compat/agoo"
        require "json"
        #{format(init, 2)}
        class Listener
          def self.call(env)
            env["rack.upgrade"] = self if env["rack.upgrade?"]
            [200, {}, []]
          end

          # What a client sends: a command and its arguments.
          def self.on_message(client, data)
            command, *arguments = JSON.parse(data)
            case command
            when "all" then Agoo.unsubscribe(*arguments)
            when "number" then client.write(42)
            when "refused"
              begin
                client.subscribe(*arguments)
                client.write("taken")
              rescue ArgumentError
                nil
              end
            when "clients" then nil
            else client.public_send(command, *arguments)
            end
            client.write("=\#{Agoo.subjects.size}")
          end
        end
        Agoo::Server.handle(:GET, "/*", Listener)
        Agoo::Server.start
        sleep
      RUBY
      @server.wait_until_listening
    end
    after(:context) { @server.destroy }

    # Sends commands and reads their answers.
    def tell(client, *commands)
      commands.each { |command| client.send_text(command.to_json) }
      commands.each { expect(read_until(client, "=")).to start_with("=") }
    end

    def read_until(client, start)
      Deadline.until("an answer") { client.read_message.then { |text| text if text.start_with?(start) } }
    end

    it "match tokens by * and tails by >" do
      WebSocketClient.open(@server.port, "/one") do |client|
        tell(client, %w[subscribe people.*.log], %w[subscribe jobs.>])
        %w[people.ann.log people.ann.b.log jobs.a.b jobs people.x].each { |subject| client.send_text(["publish", subject, subject].to_json) }
        client.send_text(["number"].to_json)
        texts = Array.new(9) { client.read_message }.grep_v(/\A=/)
        expect(texts).to contain_exactly("people.ann.log", "jobs.a.b", "42")
      end
    end

    it "are left one by one, all at once, and by everybody" do
      WebSocketClient.open(@server.port, "/one") do |client|
        WebSocketClient.open(@server.port, "/two") do |other|
          tell(other, %w[subscribe a], %w[subscribe d])
          tell(client, %w[subscribe a], %w[subscribe b.*], %w[subscribe c], %w[unsubscribe a], %w[unsubscribe])
          %w[a b.x c].each { |subject| tell(client, ["publish", subject, "lost"]) }
          expect(other.read_message).to eq "lost"
          tell(other, %w[all a])
          tell(client, %w[publish a lost], %w[publish d end])
          expect(other.read_message).to eq "end"
        end
      end
    end

    it "are left all at once where one was refused" do
      WebSocketClient.open(@server.port, "/one") do |client|
        tell(client, %w[subscribe a], *["", nil, "a.>.b", "x" * 1025].map { |name| ["refused", name] }, %w[subscribe z])
        tell(client, %w[unsubscribe])
        [%w[publish a lost], %w[publish z lost], %w[number]].each { |command| client.send_text(command.to_json) }
        texts = Array.new(4) { client.read_message }
        expect(texts).to eq ["=0", "=0", "42", "=0"]
      end
    end

    it "are forgotten with their clients" do
      WebSocketClient.open(@server.port, "/one") { |client| tell(client, %w[subscribe gone]) }
      WebSocketClient.open(@server.port, "/one") do |client|
        Deadline.until("the end of the others") do
          client.send_text(["clients"].to_json)
          client.read_message == "=0"
        end
      end
    end
  end

  describe "messages" do
    before(:context) do
      @server = ServerProcess.ruby_program(<<~'RUBY')
        require "volador/compat/agoo"
        Agoo::Server.init(0, nil, bind: "http://127.0.0.1:0", thread_count: 1)
        class Speaker
          def self.call(env)
            env["rack.upgrade"] = self if env["rack.upgrade?"]
            [200, {}, []]
          end

          def self.on_open(client)
            client.subscribe("news")
            client.write("written")
            client.write("named", event: "own", id: "1")
            client.write("numbered", id: "2")
            client.write(Volador::Event.new("an event"))
            client.publish("news", "l\u00edne\r\nline".b)
            Agoo.publish("news", "\xff\x00".b)
            Agoo.publish("news", Volador::Event.new("end", event: "last"))
          end
        end
        Agoo::Server.handle(:GET, "/", Speaker)
        Agoo::Server.start
        sleep
      RUBY
      @server.wait_until_listening
    end
    after(:context) { @server.destroy }

    it "are events of the type msg for an EventSource, unless they say otherwise" do
      EventStreamClient.open(@server.port) do |client|
        events = Array.new(7) { client.read_event }
        expect(events.values_at(0..4, 6).map { |one| [one.event, one.data, one.id] })
          .to eq [["msg", "written", nil], %w[own named 1], %w[msg numbered 2], ["message", "an event", nil],
                  ["msg", "l\u00edne\nline", nil], ["last", "end", nil]]
      end
    end

    it "are text for a WebSocket, and binary only where they are no text" do
      WebSocketClient.open(@server.port) do |client|
        frames = Array.new(7) { client.read_frame }.drop(4)
        expect(frames.map { |one| [one.opcode, one.payload] })
          .to eq [[:text, "l\u00edne\r\nline"], [:binary, "\xff\x00".b], [:text, "end"]]
      end
    end
  end

  PushClient::TRANSPORTS.each do |transport|
    it "tells a client's protocol until it has left (#{transport})" do
      server = start_program(<<~RUBY)
        #{format(init, 2)}
        class Leaver
          def self.call(env) = (env["rack.upgrade"] = self) && [200, {}, []]
          def self.on_open(client) = client.write(client.protocol)
          def self.on_close(client) = warn("left: \#{client.protocol.inspect} \#{client.inspect}")
        end
        Agoo::Server.handle(:GET, "/", Leaver)
        Agoo::Server.start
        sleep
      RUBY
      PushClient.open(transport, server.port) { |client| expect(client.read).to eq(transport.to_s) }
      expect(server.wait_for_output(/^left: (\S+) .*\b#{transport} closed/)[1]).to eq("nil")
    end
  end

  it "asks a handler of /* for what has a name only, and reports one that answers nothing" do
    server = start_program(<<~RUBY)
      File.write("index.html", "the index")
      #{format(init, 1)}
      Agoo::Server.handle(:GET, "/*", ->(_env) { [200, {}, ["the handler"]] })
      Agoo::Server.handle(:GET, "/no/answer", ->(_env) {})
      Agoo::Server.start
      sleep
    RUBY
    expect(%w[/ /name].map { |path| server.get(path).body }).to eq ["the index", "the handler"]
    expect(server.get("/no/answer").status).to eq 500
    server.wait_for_output(%r{ERROR: GET /no/answer: the application returned nil})
  end

  it "gives a handler with on_request the connection, and the text of its answer" do
    server = start_program(<<~'RUBY')
      Agoo::Server.init(0, nil, bind: "http://127.0.0.1:0", thread_count: 1)
      class Taker
        def on_request(request, response)
          response.body = "port #{request.server_port}"
          socket = request.call
          socket.write(response.to_s)
          socket.close
        end
      end
      Agoo::Server.handle(:GET, "/take", Taker.new)
      Agoo::Server.start
      sleep
    RUBY
    expect(server.get("/take", "Host" => "a.test:81").body).to eq "port 81"
    expect(server.stop).to be_success
    expect(server.output).not_to include "ERROR"
  end

  it "ends the process by Agoo.shutdown" do
    server = start_program(<<~RUBY)
      #{format(init, 1)}
      Agoo::Server.handle(:GET, "/end", ->(_env) { Agoo.shutdown; [200, {}, ["bye"]] })
      Agoo::Server.start
      sleep
    RUBY
    expect(server.get("/end").body).to eq "bye"
    expect(server.wait.exitstatus).to eq 0
  end

  it "serves an app and handlers by Rack::Handler::Agoo.run" do
    server = start_program(<<~'RUBY')
      require "agoo"
      $stdout.sync = true
      class Fly
        def call(env) = [200, {}, ["fly #{env['PATH_INFO']}"]]
      end
      Rack::Handler::Agoo.run(->(_env) { [200, {}, ["app"]] }, b: "http://127.0.0.1:0,unix:///#{__dir__}/agoo.sock", root: "root",
                              "/fly/*" => Fly.new, pedantic: false, log_dir: "", log_console: true,
                              log_states: { INFO: true, DEBUG: false })
      puts "run has returned"
    RUBY
    expect(%w[/fly/away /fly /].map { |path| server.get(path).body }).to eq ["fly /fly/away", "app", "app"]
    RawSocket.open(path: File.join(server.directory, "agoo.sock")) do |socket|
      expect(socket.request("GET", "/", { "Connection" => "close" }).body).to eq "app"
    end
    expect(server.stop).to be_success
    expect(server.output).to include "run has returned"
  end

  {
    'Rack::Handler::Agoo.run(proc { }, workers: 2)' => "Volador is one process",
    'Agoo::Server.init(0, nil, graphql: "/graphql")' => "Volador has no GraphQL: use the gem graphql",
    'Agoo::GraphQL.schema(Object.new) { }' => "Volador has no GraphQL: use the gem graphql",
    'Agoo::Server.init(0, nil, worker_count: 4)' => "Volador is one process",
    'require "agoo/graphql"; Agoo::GraphQL.load("x")' => "Volador has no GraphQL: use the gem graphql",
    'Agoo::EarlyHints.new' => "no Agoo::EarlyHints: let Link headers go with the answer",
    'Agoo::RackLogger' => "no Agoo::RackLogger: use Agoo::Log",
    'Agoo::ErrorStream' => "no Agoo::ErrorStream: use env['rack.errors']",
    'Agoo::Misspelt' => "uninitialized constant Agoo::Misspelt (NameError)",
    'Agoo::Server.handle(:GET, "/", proc { })' => "call Agoo::Server.init(port, root) first"
  }.each do |program, message|
    it "says what to do instead of #{program}" do
      server = start_ruby("require 'volador/compat/agoo'\n#{program}\n")
      expect(server.wait.exitstatus).to eq 1
      expect(server.output).to include message
      expect(server.output).not_to include "may be ignored"
    end
  end

  it "goes on without early hints, and says so" do
    server = start_ruby(<<~RUBY)
      require "volador/compat/agoo"
      p [true, false, nil].map { |wanted| Agoo::Server.rack_early_hints(wanted) }
    RUBY
    expect(server.wait).to be_success
    expect(server.output).to include "[false, false, false]"
    expect(server.output.scan("WARN: Agoo::Server.rack_early_hints has no effect").size).to eq 1
  end

  it "says that an address is in use" do
    taken = TCPServer.new("127.0.0.1", 0)
    server = start_ruby(<<~RUBY)
      require "volador/compat/agoo"
      Agoo::Server.init(0, nil, bind: "http://127.0.0.1:#{taken.addr[1]}", thread_count: 1)
      Agoo::Server.start
      sleep
    RUBY
    expect(server.wait.exitstatus).to eq 1
    expect(server.output).to include "is in use"
  ensure
    taken.close
  end

  it "leaves the gem alone where that is loaded, and says so" do
    server = start_volador_that_fails("module Agoo; end\nrequire 'volador/compat/agoo'\nrun ->(_env) { [200, {}, []] }")
    expect(server.wait.exitstatus).to eq 1
    expect(server.output).to include "the gem agoo is loaded already"
  end

  # @return [ServerProcess]
  def start_volador_that_fails(config)
    keep(ServerProcess.volador(config))
  end

  it "runs beside the forms of Iodine" do
    server = start_volador(<<~'RUBY', "--compat", "iodine", "--compat", "agoo")
      class Both
        def on_open(client)
          client.subscribe("a.*")
          client.subscribe(to: "g*", match: :redis)
          Agoo.publish("a.x", "subject")
          Iodine.publish(to: "glob", message: "glob")
        end
      end
      run ->(env) { env["rack.upgrade"] = Both if env["rack.upgrade?"]; [200, {}, []] }
    RUBY
    WebSocketClient.open(server.port) { |client| expect([client.read_message, client.read_message]).to eq %w[subject glob] }
    EventStreamClient.open(server.port) do |client|
      events = Array.new(2) { client.read_event }
      expect(events.map { |one| [one.event, one.data] }).to eq [%w[msg subject], %w[message glob]]
    end
  end
end
