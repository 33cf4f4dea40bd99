# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Iodine's first form: env['upgrade.websocket']" do
  shared_server(<<~RUBY)
    # As in Iodine's first documents: no write, no close, no constructor.
    class Echo
      def on_open
        write("open")
      end

      def on_message(data)
        case data
        when "close" then close
        when "raise" then raise "cannot hear"
        else write("\#{data.encoding} \#{data}")
        end
      end

      def on_close
        warn "echo closed \#{@name}."
      end
    end

    # Its own write and close stay its own.
    class Own
      def initialize
        @written = []
      end

      def write(data)
        @written << data
        warn "own write: \#{data}"
      end

      def close
        warn "own close"
      end

      def on_message(data)
        write(data)
        close
      end
    end

    class Threaded
      def on_open
        20.times { |index| write("m\#{index}") }
        Thread.new { write("from a thread") }
      end
    end

    class Bare
      def on_message(_data)
        warn "bare: \#{Bare.method_defined?(:write)} \#{Bare.new.respond_to?(:write)}"
      end
    end

    class FailingOpen
      def on_open
        raise "cannot open"
      end
    end

    HANDLERS = { "/echo" => Echo, "/own" => Own, "/threaded" => Threaded, "/bare" => Bare, "/failing" => FailingOpen,
                 "/object" => Object }.freeze

    class App
      def call(env)
        unless env["HTTP_UPGRADE"] =~ /websocket/i
          Volador.broadcast(env["QUERY_STRING"], "broadcast") unless env["QUERY_STRING"].empty?
          return [200, { "content-type" => "text/plain" }, ["plain \#{env['HTTP_ACCEPT']}"]]
        end

        handler = HANDLERS.fetch(env["PATH_INFO"]).new
        # Examples share the server: each knows its own connection's end by this.
        handler.instance_variable_set(:@name, env["QUERY_STRING"])
        handler.freeze if env["QUERY_STRING"] == "frozen"
        env["upgrade.websocket"] = handler
        [0, {}, []]
      end
    end
    run App.new
  RUBY

  def web_socket(target, &block)
    WebSocketClient.open(server.port, target, &block)
  end

  it "calls on_open, in which the handler can write" do
    web_socket("/echo") { |client| expect(client.read_message).to eq("open") }
  end

  it "delivers what on_open and its threads write, in order" do
    web_socket("/threaded") do |client|
      expect(Array.new(21) { client.read_message }).to eq(Array.new(20) { |index| "m#{index}" } << "from a thread")
    end
  end

  it "calls on_message with UTF-8 for text and BINARY for binary" do
    web_socket("/echo") do |client|
      client.read_message

      expect(client.send_text("häh").read_message).to eq("UTF-8 häh")
      expect(client.send_binary("hm").read_message).to eq("ASCII-8BIT hm")
    end
  end

  it "closes the connection when the handler closes, and on_close is called once" do
    web_socket("/echo?once") do |client|
      client.read_message
      client.send_text("close")
      expect(client.close).to be_between(1000, 1005)
    end
    server.wait_for_output(/^echo closed once\./)
    web_socket("/bare") do |client|
      client.send_text("a later event")
      server.wait_for_output(/^bare: /)
    end

    expect(server.output.scan("echo closed once.").size).to eq(1)
  end

  it "calls on_close when the client leaves" do
    web_socket("/echo?leaves", &:read_message)

    server.wait_for_output(/^echo closed leaves\./)
  end

  it "leaves a handler's own write and close alone" do
    web_socket("/own") do |client|
      client.send_text("mine")
      server.wait_for_output(/^own write: mine\nown close$/)
      client.send_frame(:ping, "x")

      expect(client.read_frame).to have_attributes(opcode: :pong)
    end
  end

  it "does not re-open the handler's class" do
    web_socket("/bare") do |client|
      client.send_text("x")
      server.wait_for_output(/^bare: false false$/)
    end
  end

  it "serves a handler without any callback, which broadcasts reach" do
    web_socket("/object") do |client|
      client.send_text("unheard")
      server.get("/?/object")

      expect(client.read_message).to eq("broadcast")
    end
  end

  it "serves a frozen handler with its callbacks" do
    web_socket("/own?frozen") do |client|
      client.send_text("cold")

      server.wait_for_output(/^own write: cold$/)
    end
  end

  {
    "a BasicObject" => "include ::Telling",
    "a BasicObject that raises what it likes for a method that is missing" => <<~RUBY,
      include ::Telling
      def method_missing(name, *) = ::Kernel.raise(name.to_s)
    RUBY
    "the object that a BasicObject forwards to" => <<~RUBY
      def method_missing(...) = (@to ||= ::Object.new.extend(::Telling)).__send__(...)
    RUBY
  }.each do |what, body|
    it "gives write and close to #{what}" do
      server = start_volador(<<~RUBY)
        module Telling
          def on_open = write("open")
          def on_message(data) = write("heard \#{data}") && close
          def on_close = ::Kernel.warn("closed")
        end
        class Bare < BasicObject
          #{body}
        end
        run ->(env) { (env["upgrade.websocket"] = Bare.new) && [0, {}, []] }
      RUBY
      WebSocketClient.open(server.port, "/") do |client|
        expect(client.read_message).to eq("open")
        expect(client.send_text("it").read_message).to eq("heard it")
        client.close
      end
      server.wait_for_output(/^closed$/)
      expect(server.output).not_to include("ERROR")
    end
  end

  it "closes a connection whose on_open raises, logs it and lives on" do
    begin
      web_socket("/failing") { |client| client.read_close }
    rescue WebSocketClient::Refused, RawSocket::Ended
      nil # any end will do
    end
    server.wait_for_output(/cannot open.*\n.*config\.ru/)

    expect(server.get("/").status).to eq(200)
  end

  it "logs an exception of on_message, and on_close is called" do
    web_socket("/echo?raises") do |client|
      client.read_message
      client.send_text("raise")
      server.wait_for_output(/cannot hear.*\n.*config\.ru/)
    end

    server.wait_for_output(/^echo closed raises\./)
  end

  it "answers plain requests as before" do
    expect(server.get("/").body).to eq("plain ")
  end

  it "leaves SSE requests as plain requests" do
    expect(server.get("/", "Accept" => "text/event-stream").body).to eq("plain text/event-stream")
  end

  it "works below middleware and map" do
    server = start_volador(<<~RUBY)
      require "rack"
      class Greeter
        def on_open
          write("hello")
        end
      end
      use Rack::ShowExceptions
      use Rack::CommonLogger
      map "/deep" do
        run(lambda do |env|
          env["upgrade.websocket"] = Greeter.new
          [0, {}, []]
        end)
      end
    RUBY

    WebSocketClient.open(server.port, "/deep") { |client| expect(client.read_message).to eq("hello") }
  end

  it "works below Rack::Lint that stands below middleware which calls its app by another name" do
    server = start_volador(<<~RUBY)
      require "rack"
      class Greeter
        def on_open = write("hello")
      end
      use(Class.new do
        def initialize(inner) = @inner = inner

        def call(env) = @inner.call(env)
      end)
      use Rack::Lint
      run(lambda do |env|
        env["upgrade.websocket"] = Greeter.new
        [0, {}, []]
      end)
    RUBY

    WebSocketClient.open(server.port, "/") { |client| expect(client.read_message).to eq("hello") }
  end

  it "is refused by an authentication before it" do
    server = start_volador(<<~RUBY)
      require "rack"
      use(Rack::Auth::Basic, "closed") { false }
      run(lambda do |env|
        env["upgrade.websocket"] = Object.new
        [0, {}, []]
      end)
    RUBY

    expect(WebSocketClient.refusal(server.port)).to have_attributes(status: 401)
  end

  it "writes to the client whose callback runs, from any Fiber of that, when a handler serves several" do
    server = start_volador(<<~RUBY)
      module Shared
        module_function

        def on_open = write("open")

        def on_message(data)
          Fiber.new { write("from a Fiber: \#{data}") }.resume
          Enumerator.new { |found| found << write("from an Enumerator: \#{data}") }.next
        end
      end
      run ->(env) { (env["upgrade.websocket"] = Shared) && [0, {}, []] }
    RUBY
    first, last = Array.new(2) { WebSocketClient.open(server.port, "/") }
    expect([first, last].map(&:read_message)).to eq(%w[open open])
    first.send_text("first")
    expect(Array.new(2) { first.read_message }).to eq(["from a Fiber: first", "from an Enumerator: first"])
  ensure
    [first, last].each { |client| client&.close_socket }
  end
end
