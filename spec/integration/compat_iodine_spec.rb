# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Applications written for Iodine" do
  # One object is the app and the callbacks of its clients, as Iodine's examples have it; `require "iodine"` included.
  room = <<~'RUBY'
    require "iodine"
    $stdout.sync = true

    module Room
      PAGE = [200, { "Content-Type" => "text/plain" }, ["Connect by WebSocket or EventSource."]].freeze
      UPGRADE = [0, {}, []].freeze

      def call(env)
        return PAGE unless env["rack.upgrade?"]

        env["rack.upgrade"] = Room
        UPGRADE
      end

      def on_open(client)
        client.subscribe :room
        client.write "Welcome to #{client.env['PATH_INFO']} by #{client.protocol}"
      end

      def on_message(client, data) = client.publish(:room, data)

      def on_shutdown(client) = client.write("Goodbye.")

      def on_close(_client) = puts("left")

      extend self
    end

    run Room
  RUBY

  describe "a room that broadcasts" do
    shared_server(room, "--compat", "iodine")

    it "answers plain requests by call" do
      expect(server.get("/").body).to eq "Connect by WebSocket or EventSource."
    end

    PushClient::TRANSPORTS.each do |transport|
      it "upgrades #{transport} by call, with status 0" do
        PushClient.open(transport, server.port, "/here") do |client|
          expect(client.read).to eq "Welcome to /here by #{transport}"
        end
      end
    end

    it "carries what one client says to all" do
      clients = [WebSocketClient.open(server.port), EventStreamClient.open(server.port)]
      WebSocketClient.open(server.port) do |speaker|
        speaker.read_message
        clients.first.read_message
        clients.last.read_data
        speaker.send_text("hello")
        expect([speaker.read_message, clients.first.read_message, clients.last.read_data]).to eq %w[hello hello hello]
      end
    ensure
      clients.first.close_socket
      clients.last.close
    end

    it "tells of clients that leave" do
      WebSocketClient.open(server.port, &:close)
      server.wait_for_output(/left/)
    end
  end

  it "says goodbye to its clients when it stops" do
    server = start_volador(room, "--compat", "iodine")
    WebSocketClient.open(server.port) do |client|
      client.read_message
      server.signal(:TERM)
      expect(client.read_message).to eq "Goodbye."
      client.close
    end
    expect(server.wait.exitstatus).to eq 0
  end

  it "needs no more than a require in config.ru" do
    server = start_volador("require 'volador/compat/iodine'\n#{room}")
    WebSocketClient.open(server.port) { |client| expect(client.read_message).to start_with("Welcome") }
  end

  it "serves an app that is frozen, behind middleware" do
    frozen = room.sub("run Room", "use Rack::Head\nrun Room.freeze")
    server = start_volador(frozen, "--compat", "iodine")
    WebSocketClient.open(server.port) { |client| expect(client.read_message).to start_with("Welcome") }
  end

  describe "messages as text and binary" do
    shared_server(<<~'RUBY', "--compat", "iodine")
      module Shootout
        def self.call(env)
          return [404, {}, []] unless env["rack.upgrade?"]

          env["rack.upgrade"] = self
          [0, {}, []]
        end

        def self.on_open(client)
          client.subscribe(:bytes, as: :binary)
          client.subscribe(to: "text", as: :text)
          client.subscribe("path")
        end

        def self.on_message(client, data)
          if data[0] == "b"
            data[0] = "r"
            client.publish(:bytes, data)
          else
            client.publish(to: "text", message: data)
            client.write(1234)
            # As it comes from the socket: BINARY.
            Iodine.publish("path", client.env["PATH_INFO"])
            Iodine.publish("path", "\xff".b)
          end
        end
      end

      run Shootout
    RUBY

    it "keeps what is published to a binary subscription binary, and makes text of what can be text" do
      WebSocketClient.open(server.port, "/here") do |client|
        client.send_text("bin")
        frame = client.read_frame
        expect([frame.opcode, frame.payload]).to eq [:binary, "rin".b]

        client.send_text("text")
        frames = Array.new(4) { client.read_frame }
        expect(frames.map { |one| [one.opcode, one.payload] })
          .to contain_exactly([:text, "text"], [:text, "1234"], [:text, "/here"], [:binary, "\xff".b])
      end
    end
  end

  describe "tasks, by subscriptions of the process" do
    shared_server(<<~'RUBY', "--compat", "iodine")
      require "iodine"
      %w[version connection pubsub json].each { |name| require "iodine/#{name}" }
      require "rack/handler/iodine"
      ENGINE = Iodine::PubSub::PROCESS

      module Tasks
        def add(message)
          task = Iodine::JSON.parse(message, symbolize_names: true)
          sum = task[:data].inject(0) { |total, number| total + number }
          Iodine.publish(task[:from], "#{sum}", ENGINE)
        end
        extend self
      end
      raise "no Redis was asked for" if Iodine::PubSub.default.is_a?(Iodine::PubSub::Redis)
      Iodine.subscribe(:add) { |_channel, message| Tasks.add(message) }
      Logged = Struct.new(:name) { def call(channel, message) = Iodine.publish(to: "log", message: "#{name} #{channel} #{message}") }
      Iodine.subscribe(to: "echo.*", match: :redis, handler: Logged.new("seen"))

      class Worker
        def on_open(client)
          raise "no class of clients" unless client.is_a?(Iodine::Connection)

          client.subscribe client.env["PATH_INFO"]
          client.subscribe("log") { |channel, message| client.write("#{channel}: #{message}") }
        end

        def on_message(client, data)
          case data
          when "leave" then client.write([client.unsubscribe("log"), client.unsubscribe("log")].inspect)
          when "stop" then client.write([Iodine.unsubscribe("echo.*"), Iodine.unsubscribe("echo.*")].inspect)
          when /\A\[/ then client.publish :add, { data: JSON.parse(data), from: client.env["PATH_INFO"] }.to_json, ENGINE
          else client.publish("echo.#{data}", data)
          end
        end
      end

      run(proc do |env|
        next [200, {}, ["tasks"]] unless env["rack.upgrade?"] == :websocket

        env["rack.upgrade"] = Worker
        [0, {}, []]
      end)
    RUBY

    it "answers a task to the client that it came from" do
      WebSocketClient.open(server.port, "/me") do |client|
        client.send_text("[1,2,3]")
        expect(client.read_message).to eq "6"
      end
    end

    it "takes patterns and handlers, and knows subscriptions by their name" do
      WebSocketClient.open(server.port, "/you") do |client|
        client.send_text("one")
        expect(client.read_message).to eq "log: seen echo.one one"
        client.send_text("leave")
        expect(client.read_message).to eq "[true, false]"
        client.send_text("stop")
        expect(client.read_message).to eq "[true, false]"
      end
    end
  end

  it "tells engines of subscriptions and publishes by them" do
    server = start_volador(<<~'RUBY', "--compat", "iodine")
      require "iodine"
      $stdout.sync = true
      class Reporter < Iodine::PubSub::Engine
        def initialize
          super
          @target = Iodine::PubSub.default
          Iodine::PubSub.default = self
          Iodine::PubSub.attach self
        end

        def subscribe(to, as = nil) = puts("subscribed #{to} #{as.inspect}")
        def unsubscribe(to, as = nil) = puts("unsubscribed #{to} #{as.inspect}")

        def publish(to, message)
          puts "published #{to}"
          @target.publish to, message
        end
      end
      Reporter.new

      class Guest
        def initialize(name) = @name = name

        def on_open(client)
          client.subscribe "chat"
          client.subscribe "news*", match: :redis
          client.publish "chat", "#{@name} came"
        end
      end

      run(lambda do |env|
        env["rack.upgrade"] = Guest.new(env["PATH_INFO"][1..]) if env["rack.upgrade?"]
        [env["rack.upgrade?"] ? 0 : 200, {}, []]
      end)
    RUBY
    WebSocketClient.open(server.port, "/ann") do |client|
      expect(client.read_message).to eq "ann came"
      ["subscribed chat nil", "subscribed news* :redis", "published chat"].each do |line|
        server.wait_for_output(/^#{Regexp.escape(line)}$/)
      end
    end
    server.wait_for_output(/unsubscribed news\* :redis/)
  end

  it "lets the app choose a subprotocol and refuse others" do
    server = start_volador(<<~'RUBY', "--compat", "iodine")
      module App
        def call(env)
          return [200, {}, ["hello"]] unless env["rack.upgrade?"]

          offered = env["HTTP_SEC_WEBSOCKET_PROTOCOL"].to_s.split(/,\s?/)
          return [400, {}, ["Unsupported protocol"]] unless offered.include?("echo")

          env["rack.upgrade"] = Class.new { def on_message(client, data) = client.write(data) }
          [101, { "Sec-Websocket-Protocol" => "echo" }, []]
        end
        extend self
      end
      run App
    RUBY
    WebSocketClient.open(server.port, headers: { "Sec-WebSocket-Protocol" => "chat, echo" }) do |client|
      expect(client.response["sec-websocket-protocol"]).to eq "echo"
      client.send_text("yo")
      expect(client.read_message).to eq "yo"
    end
    expect(WebSocketClient.refusal(server.port, headers: { "Sec-WebSocket-Protocol" => "chat" }).status).to eq 400
  end

  it "runs a program that listens, keeps time and tells of its states" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      require "iodine"
      $stdout.sync = true
      Iodine.threads = 2
      Iodine.workers = 1
      %i[pre_start on_start start_shutdown on_finish].each { |state| Iodine.on_state(state) { puts "state #{state}" } }
      beats = 0
      Iodine.run_every(5) { Iodine.publish(to: "clock", message: "tick #{beats += 1}") }
      Iodine.run_every(1, 2) { puts "twice" }
      Iodine.run_after(1) { puts "after" }
      Iodine.defer { puts "deferred" }
      puts "running before: #{Iodine.running?}"

      Iodine.listen(service: :http, address: "127.0.0.1", port: "0") do |env|
        next [200, {}, [Iodine.running?.to_s]] unless env["rack.upgrade?"]

        env["rack.upgrade"] = Class.new { def on_open(client) = client.subscribe("clock") }
        [0, {}, []]
      end
      Iodine.start
      puts "after start"
    RUBY
    server.wait_until_listening
    expect(server.get("/").body).to eq "true"
    PushClient::TRANSPORTS.each do |transport|
      PushClient.open(transport, server.port) { |client| 2.times { expect(client.read).to match(/\Atick \d+\z/) } }
    end
    %w[after deferred].each { |line| server.wait_for_output(/^#{line}$/) }
    server.wait_for_output(/(^twice$.*?){2}/m)
    expect(server.stop.exitstatus).to eq 0
    expect(server.output.scan(/^twice$/).size).to eq 2
    expect(server.output.scan(/^(?:state .*|running .*|after start)$/))
      .to eq ["running before: false", "state pre_start", "state on_start", "state start_shutdown", "state on_finish",
              "after start"]
  end

  it "serves a public folder, and stops by Iodine.stop" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      File.write("hello.txt", "from a file")
      Iodine.listen(url: "http://127.0.0.1:0", public: __dir__,
                    handler: ->(_env) { Iodine.stop; [200, {}, ["from the app"]] })
      Iodine.start
    RUBY
    server.wait_until_listening
    expect(server.get("/hello.txt").body).to eq "from a file"
    expect(server.get("/other").body).to eq "from the app"
    expect(server.wait.exitstatus).to eq 0
  end

  describe "settings in config.ru" do
    config = <<~'RUBY'
      require "iodine"
      Dir.mkdir("public")
      File.write("public/index.html", "the page")
      Iodine::DEFAULT_SETTINGS[:public] ||= "./public"
      Iodine::DEFAULT_SETTINGS[:max_body] = 70
      Iodine.listen(service: :http, port: "0", handler: ->(_env) { [500, {}, []] })
      greeter = Class.new { def on_open(client) = client.write("hello") }
      run(lambda do |env|
        env["rack.upgrade"] = greeter if env["rack.upgrade?"]
        [200, {}, ["app"]]
      end)
    RUBY

    [["in one process", []], ["with workers", ["-w", "2"]]].each do |how, arguments|
      it "count as far as they can and are named once else, #{how}" do
        server = start_volador(config, "--compat", "iodine", *arguments)
        expect(%w[/ /other].map { |path| server.get(path).body }).to eq ["the page", "app"]
        WebSocketClient.open(server.port, "/") { |client| expect(client.read_message).to eq "hello" }
        expect(server.stop).to be_success
        expect(server.output.scan("max_body (use body_max_bytes)").size).to eq 1
        expect(server.output.scan("Iodine.listen has no effect without Iodine.start").size).to eq 1
      end
    end
  end

  it "asks the app for push connections where the public folder has a file" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      File.write("index.html", "the page")
      greeter = Class.new { def on_open(client) = client.write("hello") }
      Iodine.listen(url: "http://127.0.0.1:0", public: __dir__,
                    handler: ->(env) { env["rack.upgrade"] = greeter if env["rack.upgrade?"]; [0, {}, []] })
      Iodine.start
    RUBY
    server.wait_until_listening
    expect(server.get("/").body).to eq "the page"
    PushClient::TRANSPORTS.each do |transport|
      PushClient.open(transport, server.port, "/") { |client| expect(client.read).to eq "hello" }
    end
  end

  it "listens on the host and port of a URL that has a path, and on a path alone" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      Iodine.listen(url: "http:///#{__dir__}/app.sock") { [200, {}, ["by the socket"]] }
      Iodine.listen(url: "ws://127.0.0.1:0/chat") { |env| [200, {}, [env["PATH_INFO"]]] }
      Iodine.start
    RUBY
    expect(server.wait_until_listening.get("/other").body).to eq "/other"
    answer = RawSocket.open(path: File.join(server.directory, "app.sock")) do |socket|
      socket.request("GET", "/", { "Connection" => "close" })
    end
    expect(answer.body).to eq "by the socket"
  end

  it "takes the older names: listen2http, app:, dettach, and the blocks of forks, which never run" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      $stdout.sync = true
      %i[before_fork after_fork after_fork_in_worker after_fork_in_master on_shutdown].each do |name|
        Iodine.public_send(name) { puts "called: #{name}" }
      end
      engine = Class.new(Iodine::PubSub::Engine) { def subscribe(to, _match) = puts("subscribed: #{to}") }.new
      Iodine::PubSub.attach(engine)
      Iodine.subscribe("one") {}
      Iodine::PubSub.dettach(engine)
      Iodine.subscribe("two") {}
      Iodine.listen2http({ address: "127.0.0.1", port: 0, app: proc { [200, {}, ["old"]] } })
      Iodine.start
    RUBY
    expect(server.wait_until_listening.get("/").body).to eq "old"
    expect(server.stop).to be_success
    expect(server.output.scan(/^(?:called|subscribed): .*$/)).to eq ["subscribed: one", "called: on_shutdown"]
  end

  {
    'Iodine.listen(url: "localhost:3000") { }' => 'takes a url: like "http://127.0.0.1:3000"',
    'Iodine.listen(port: "3000") { Object.new }' => "Volador speaks HTTP, WebSocket and SSE only",
    'Iodine.listen(service: :raw) { }' => "Volador speaks HTTP, WebSocket and SSE only",
    'Iodine.start' => "call Iodine.listen first",
    'Iodine.connect(url: "ws://localhost")' => "Volador opens no connections",
    'Iodine::PubSub::Redis.new("redis://localhost/")' => "write an engine with the gem redis",
    'Iodine::TLS.new("localhost")' => "let a proxy in front of it do TLS",
    'Iodine.listen(service: :http, handler: proc { }, tls: true)' => "let a proxy in front of it do TLS",
    'Iodine.attach_fd(1, Object.new)' => "Volador serves no raw connections",
    'require "iodine/mustache"; Iodine::Mustache.new(template: "x")' => "no Iodine::Mustache: use the gem mustache",
    'require "iodine/rack_utils"; Iodine::Rack::Utils.decode_url("%20")' => "no Iodine::Rack::Utils: use Rack::Utils",
    'Iodine::Base::CLI.parse' => "see volador --help",
    'Iodine::PubSub::SIBLINGS' => "no Iodine::PubSub::SIBLINGS: publish to Iodine::PubSub::CLUSTER",
    'Iodine::PubSub::PUBLISH2ROOT' => "publish to Iodine::PubSub::CLUSTER",
    'Iodine::Misspelt' => "uninitialized constant Iodine::Misspelt (NameError)"
  }.each do |program, message|
    it "says what to do instead of #{program}" do
      server = start_ruby("require 'volador/compat/iodine'\n#{program}\n")
      server.wait_for_output(/#{Regexp.escape(message)}/)
      expect(server.wait.exitstatus).to eq 1
    end
  end

  %w[Iodine::TLS.new Iodine::Mustache Iodine::Misspelt].each do |program|
    it "names the line of #{program}" do
      server = start_ruby("require 'volador/compat/iodine'\n\n#{program}\n")
      expect(server.wait.exitstatus).to eq 1
      expect(server.output).to match(%r{^/\S+/program\.rb:3:in .*\(N\w+Error\)$})
    end
  end

  it "knows what there is of the gem's libraries, and what is not there" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      %w[tls mustache rack_utils].each { |name| require "iodine/#{name}" }
      p [Iodine::TLS::SUPPORTED, defined?(Iodine::Mustache), defined?(Iodine::Rack::Utils)]
    RUBY
    expect(server.wait).to be_success
    expect(server.output).to include "[false, nil, nil]"
  end

  it "parses JSON, and raises what the gem raises for other text" do
    server = start_ruby(<<~'RUBY')
      require "volador/compat/iodine"
      p Iodine::JSON.parse('{"a":[1]}'), Iodine::JSON.parse!('{"a":1}', symbolize_names: true)
      ["", '{"a":'].each { |text| Iodine::JSON.parse(text) rescue puts("#{$!.class}: #{$!.message}") }
    RUBY
    expect(server.wait).to be_success
    lines = server.output.lines(chomp: true)
    expect(lines.first(2)).to eq [{ "a" => [1] }.inspect, { a: 1 }.inspect]
    expect(lines.last(2)).to all(start_with("EncodingError: malformed JSON: "))
  end

  it "has Puma's names for blocks of forks in config.ru, and says that these never run" do
    server = start_volador(<<~'RUBY', "--compat", "iodine")
      names = %w[on_worker_boot on_worker_fork before_fork after_fork after_fork_in_worker after_fork_in_master]
      before_fork { puts "called" }
      on_worker_boot { puts "called" }
      after_fork_in_worker { puts "called" }
      ours = names.count { |name| respond_to?(name, true) && !respond_to?(name) }
      run ->(_env) { [200, {}, ["#{ours} names"]] }
    RUBY
    expect(server.get("/").body).to eq "6 names"
    expect(server.stop).to be_success
    warned = server.output.scan(/WARN: (\w+) is an old name of Iodine\.on_state\(:(\w+)\), and here its block never runs/)
    expect(warned).to eq [%w[before_fork before_fork], %w[on_worker_boot after_fork], %w[after_fork_in_worker enter_child]]
    expect(server.output).not_to include("called")
  end

  it "leaves the gem alone where that is loaded, and says so" do
    server = start_ruby("module Iodine; end\nrequire 'volador/compat/iodine'\n")
    expect(server.wait.exitstatus).to eq 1
    expect(server.output).to include("the gem iodine is loaded already", "Volador::ConfigurationError")
  end
end
