# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The rack.upgrade draft" do
  # Everything below Rack::Lint, since an app that has to pass it must be able to upgrade.
  shared_server(<<~'RUBY', "-t", "4")
    require "rack"

    # Says what it is told, in one line each.
    class Recorder
      def initialize(name) = @name = name

      def on_open(client)
        note("open", client.protocol)
        client.write("open")
      end

      def on_message(client, data)
        note("message", data.b.inspect)
        client.write(data)
      end

      def on_close(_client) = note("close")

      private

      def note(*words) = $stderr.write("#{@name}: #{words.join(' ')}\n")
    end

    # Evaluates what the client sends, in the open, and answers with what came out.
    class Console
      attr_accessor :later

      def on_message(client, data) = client.write(reply(client, data))

      def reply(client, data)
        eval(data, binding).inspect
      rescue StandardError => e
        e.class.name
      end

      def on_close(client)
        $stderr.write("console closed: #{instance_exec(client, &later).inspect}\n") if later
      end
    end

    class Slow < Recorder
      def on_open(client)
        sleep 0.2
        super
      end
    end

    class Failing
      def initialize(callback)
        @callback = callback
        define_singleton_method(callback) { |*| raise NotImplementedError, "cannot #{callback}" }
      end

      def on_close(_client) = $stderr.write("failing #{@callback} closed\n")
    end

    class Swap
      def initialize(name) = @name = name

      def on_open(client) = client.write("#{@name} opened")

      def on_message(client, data) = client.handler = Swap.new(data)

      def on_close(client) = client.write("#{@name} closed") || $stderr.write("swap #{@name} ended\n")
    end

    module Modular
      def self.on_open(client) = client.write("module")
    end

    class OfItsOwn
      def self.on_open(client) = client.write("class")
    end

    class PerConnection
      def on_open(client) = client.write("instance of #{self.class} #{client.handler.equal?(self)}")
    end

    class HelloAndBye
      def on_open(client) = client.write("hello") && client.close
    end

    class Resuming
      def on_open(client) = client.write("after #{client.env['HTTP_LAST_EVENT_ID'].dup.force_encoding('UTF-8').inspect}")
    end

    class Unmade
      def initialize = raise("cannot be made")

      def on_open(_client); end
    end

    UnsentBody = Struct.new(:name) do
      def each = yield("unsent")

      def close = $stderr.write("body #{name} closed\n")
    end

    class App
      PLAIN = { "content-type" => "text/plain" }.freeze
      HANDLERS = {
        "slow" => -> { Slow.new("slow") }, "console" => -> { Console.new }, "swap" => -> { Swap.new("first") },
        "module" => -> { Modular }, "class" => -> { OfItsOwn }, "instance" => -> { PerConnection },
        "bare" => -> { Object.new }, "hello-and-bye" => -> { HelloAndBye.new }, "resuming" => -> { Resuming.new }
      }.freeze

      def call(env)
        word = env["PATH_INFO"].delete_prefix("/")
        case word
        when "says" then return [200, PLAIN.dup, [env["rack.upgrade?"].inspect]]
        when "refused"
          env["rack.upgrade"] = Recorder.new("refused")
          return [402, PLAIN.merge("x-price" => "7"), ["pay first"]]
        when "body"
          env["rack.upgrade"] = Recorder.new("body")
          return [200, PLAIN.dup, UnsentBody.new(env["QUERY_STRING"])]
        when "unmade"
          env["rack.upgrade"] = Unmade
          return [200, PLAIN.dup, UnsentBody.new("of the unmade")]
        when "zero"
          env["rack.upgrade"] = Recorder.new("zero")
          return [0, {}, []]
        when "headers"
          env["rack.upgrade"] = Recorder.new("headers")
          chosen = env["HTTP_X_CHOOSE"] || env["HTTP_SEC_WEBSOCKET_PROTOCOL"].to_s.split(", ").last
          cookies = Rack.release < "3" ? "a=1\nb=2" : %w[a=1 b=2]
          headers = PLAIN.merge("x-room" => "7", "set-cookie" => cookies)
          headers["sec-websocket-protocol"] = chosen if chosen
          return [200, headers, []]
        end
        made = HANDLERS[word]
        env["rack.upgrade"] = if word.start_with?("failing-") then Failing.new(word.delete_prefix("failing-"))
                              else made ? made.call : Recorder.new(word)
                              end
        [env["rack.upgrade?"] ? 200 : 404, PLAIN.dup, []]
      end
    end

    use Rack::Lint
    map("/mapped") { run App.new }
    run App.new
  RUBY

  def push(transport, target, headers = {}, &block)
    PushClient.open(transport, server.port, target, headers: headers, &block)
  end

  def web_socket(target, **options, &block)
    WebSocketClient.open(server.port, target, **options, &block)
  end

  # @return [String] what came out of that Ruby expression, evaluated in the handler
  def ask(client, expression)
    client.send_text(expression)
    client.read_message
  end

  # @return [Array<String>] what the recorder of that name has noted by now
  def noted(name)
    server.output.scan(/^#{name}: (.*)$/).flatten
  end

  it "says :websocket, :sse or nil in rack.upgrade?" do
    said = [WebSocketClient.refusal(server.port, "/says"), server.get("/says", "Accept" => "text/event-stream"),
            server.get("/says")]

    expect(said.map(&:body)).to eq(%w[:websocket :sse nil])
  end

  PushClient::TRANSPORTS.each do |transport|
    describe "by #{transport}" do
      it "upgrades with a status below 300, and calls on_open and on_close" do
        push(transport, "/up-#{transport}") { |client| expect(client.read).to eq("open") }
        server.wait_for_output(/^up-#{transport}: close$/)

        expect(noted("up-#{transport}")).to eq(["open #{transport}", "close"])
      end

      it "sends headers and cookies of the response with the head" do
        push(transport, "/headers") do |client|
          expect(client.response["x-room"]).to eq("7")
          expect(client.response.all("set-cookie")).to eq(%w[a=1 b=2])
          expect(client.response["content-type"]).to transport == :sse ? start_with("text/event-stream") : be_nil
        end
      end

      it "closes the body and does not send it" do
        push(transport, "/body?#{transport}") { |client| expect(client.read).to eq("open") }
        server.wait_for_output(/^body #{transport} closed$/)
      end

      it "refuses with a status of 300 and above, which is sent as it is" do
        response = PushClient.refusal(transport, server.port, "/refused")

        expect(response).to have_attributes(status: 402, body: "pay first")
        expect(response["x-price"]).to eq("7")
        expect(noted("refused")).to be_empty
      end

      it "takes the status 0, which Iodine's documents have" do
        push(transport, "/zero") { |client| expect(client.read).to eq("open") }
      end

      it "works below map" do
        push(transport, "/mapped/deep-#{transport}") { |client| expect(client.read).to eq("open") }
      end

      { "module" => "module", "class" => "class", "instance" => "instance of PerConnection true" }.each do |kind, greeting|
        it "takes a handler that is a #{kind}" do
          push(transport, "/#{kind}") { |client| expect(client.read).to eq(greeting) }
        end
      end

      it "keeps a connection whose handler has no callback" do
        push(transport, "/bare") do |client|
          client.client.socket.io.wait_readable(0.1)
          expect(client.client.socket).to be_silent
        end
      end

      it "closes a connection whose on_open raises, and logs it" do
        push(transport, "/failing-on_open") { |client| expect(client).to be_ended }
        server.wait_for_output(/on_open of Failing raised.*cannot on_open.*\n.*config\.ru/)

        expect(server.get("/says").status).to eq(200)
      end
    end
  end

  it "sends an event stream to HTTP/1.0, and ends it with the connection" do
    server.connect do |socket|
      socket.send_request("GET", "/hello-and-bye", { "Accept" => "text/event-stream" }, version: "HTTP/1.0")
      head = socket.read_head
      expect([head.status, head["content-type"], head["connection"], head["transfer-encoding"]])
        .to eq([200, "text/event-stream", "close", nil])
      expect(socket.read_to_end).to eq("data: hello\n\n")
    end
  end

  it "is no matter of HEAD: the request is plain, and its answer has no body" do
    [{ "Accept" => "text/event-stream" }, {}].each do |headers|
      server.connect do |socket|
        # The app answers so where it is not asked for a transport.
        expect(socket.request("HEAD", "/echo", headers)).to have_attributes(status: 404)
        expect(socket.request("GET", "/says").body).to eq("nil")
      end
    end
  end

  it "shows a stream that comes back its Last-Event-ID" do
    EventStreamClient.open(server.port, "/resuming", headers: { "Last-Event-ID" => "häh 7" }) do |stream|
      expect(stream.read_data).to eq('after "häh 7"')
    end
  end

  it "lets the app choose a subprotocol among those offered" do
    web_socket("/headers", headers: { "Sec-WebSocket-Protocol" => "soap, chat" }) do |client|
      expect(client.response["sec-websocket-protocol"]).to eq("chat")
    end
  end

  it "leaves out a subprotocol that was not offered, and says so" do
    ["nope", "chat, soap", ""].each do |choice|
      headers = { "Sec-WebSocket-Protocol" => "soap, chat", "X-Choose" => choice }
      web_socket("/headers", headers: headers) do |client|
        expect(client.response["sec-websocket-protocol"]).to be_nil
      end
      server.wait_for_output(/left the subprotocol "#{choice}" out .* choose one of those offered, here "soap, chat"/)
    end
  end

  it "closes the body when the handler's class cannot be made" do
    expect(WebSocketClient.refusal(server.port, "/unmade").status).to eq(500)
    server.wait_for_output(/^body of the unmade closed$/)
  end

  it "calls on_open before on_message, even if the message came with the handshake" do
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    server.connect do |socket|
      frame = [0x81, 0x85, 0, 0, 0, 0].pack("C*") + "early"
      socket << "GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: #{key}\r\n\r\n#{frame}"
      expect(socket.read_head.status).to eq(101)
      expect(socket.read_exactly(2 + 4 + 2 + 5)).to eq("\x81\x04open\x81\x05early".b)
    end
    server.wait_for_output(/^slow: close$/)

    expect(noted("slow").first(2)).to eq(["open websocket", "message \"early\""])
  end

  it "hands messages over in order, UTF-8 for text and BINARY for binary" do
    web_socket("/console") do |client|
      expect(ask(client, "data.encoding.to_s")).to eq('"UTF-8"')
      client.send_binary("data.encoding.to_s")
      expect(client.read_message).to eq('"ASCII-8BIT"')
      100.times { |index| client.send_text(index.to_s) }
      expect(Array.new(100) { client.read_message }).to eq(Array.new(100, &:to_s))
    end
  end

  it "sends UTF-8 as text and BINARY as binary" do
    web_socket("/echo") do |client|
      client.read_message
      expect(client.send_text("häh").read_message.encoding).to eq(Encoding::UTF_8)
      expect(client.send_binary("h\xff").read_message).to eq("h\xff".b)
    end
  end

  it "sends text of other encodings as UTF-8, and bytes that are none as they are" do
    web_socket("/console") do |client|
      expect(ask(client, 'client.write("h\u00e4".encode("UTF-16LE"))')).to eq("h\u00e4")
      expect(client.read_message).to eq("true")
      expect(ask(client, 'client.write("\x81".dup.force_encoding("EUC-JP"))')).to eq("\x81".b)
      expect(client.read_message).to eq("true")
    end
  end

  it "answers a client's close with a close frame and calls on_close once" do
    client = web_socket("/closing")
    client.read_message
    expect(client.close(1000)).to eq(1000)
    client.close_socket
    server.wait_for_output(/^closing: close$/)

    expect(noted("closing")).to eq(["open websocket", "close"])
  end

  it "calls on_close when the client resets the connection" do
    client = web_socket("/resetting")
    client.read_message
    client.socket.reset
    server.wait_for_output(/^resetting: close$/)
  end

  describe "client" do
    it "knows env, protocol and handler" do
      web_socket("/console?x=1") do |client|
        expect(ask(client, "[client.env['QUERY_STRING'], client.protocol, client.handler.equal?(self)]"))
          .to eq('["x=1", :websocket, true]')
        expect(ask(client, "[client.open?, client.pending.class, client.pubsub?]")).to eq("[true, Integer, true]")
      end
    end

    it "answers write with true, and TypeError for what is no String" do
      web_socket("/console") do |client|
        expect(ask(client, "client.write(:x)")).to eq("TypeError")
        client.send_text("client.write('first')")
        expect([client.read_message, client.read_message]).to eq(%w[first true])
      end
    end

    it "closes once what was written has been sent, and answers nil" do
      web_socket("/console") do |client|
        client.send_text(<<~'RUBY')
          20.times { |index| client.write(index.to_s) }
          $stderr.write("close: #{client.close.inspect}\n")
        RUBY
        expect(Array.new(20) { client.read_message }).to eq(Array.new(20, &:to_s))
        expect(client.read_close).to eq(1000)
      end
      server.wait_for_output(/^close: nil$/)
    end

    it "answers false, -1 and nil once it is closed" do
      web_socket("/console") do |client|
        ask(client, "self.later = ->(client) { [client.open?, client.write('x'), client.pending, client.close, " \
                    "client.subscribe('a'), client.subscribe('a') { nil }] }; nil")
        client.close
      end
      server.wait_for_output(/^console closed: \[false, false, -1, nil, nil, nil\]$/)
    end

    it "counts what waits, and on_drained is called once it is sent" do
      server = start_configured(<<~'APP', send_queue_max_bytes: 64 * 1024 * 1024)
        class Heap
          def on_message(client, _data)
            # More than the sockets take, in one piece: of several the first ones may be through before the others.
            client.write("x" * 18_000_000)
            # The gateway tells a moment later.
            sleep 0.01 until client.pending.positive?
            $stderr.write("pending: #{client.pending.positive?}\n")
          end

          def on_drained(client) = $stderr.write("drained: #{client.pending}\n")
        end

        lambda do |env|
          env["rack.upgrade"] = Heap.new
          [200, {}, []]
        end
      APP
      WebSocketClient.open(server.port) do |client|
        client.send_text("go")
        server.wait_for_output(/^pending: true$/)
        expect(server.output).not_to include("drained: ")
        expect(client.read_message.size).to eq(18_000_000)
        server.wait_for_output(/^drained: 0$/)
      end
    end

    it "takes another handler: on_close of the old, on_open of the new" do
      web_socket("/swap") do |client|
        expect(client.read_message).to eq("first opened")
        client.send_text("second")
        expect([client.read_message, client.read_message]).to eq(["first closed", "second opened"])
        client.send_text("third")
        expect([client.read_message, client.read_message]).to eq(["second closed", "third opened"])
      end
      server.wait_for_output(/^swap third ended$/)
    end
  end

  it "closes with 1011 when on_message raises, logs it and lives on" do
    web_socket("/failing-on_message") do |client|
      client.send_text("x")
      expect(client.read_close).to eq(1011)
    end
    server.wait_for_output(/on_message of Failing raised.*cannot on_message.*\n.*config\.ru/)
    server.wait_for_output(/^failing on_message closed$/)

    expect(server.get("/says").status).to eq(200)
  end

  it "logs an exception of on_close and lives on" do
    web_socket("/failing-on_close", &:close)
    server.wait_for_output(/on_close of Failing raised.*cannot on_close/)

    expect(server.get("/says").status).to eq(200)
  end

  it "calls on_shutdown when the server stops, sends what that writes, closes with 1001 and calls on_close" do
    server = start_volador(<<~'RUBY')
      class Goodbye
        def on_open(client) = client.write("open")

        def on_shutdown(client)
          $stderr.write("shutdown #{client.open?}\n")
          100.times { |index| client.write("last #{index}") }
        end

        def on_close(_client) = $stderr.write("closed\n")
      end

      class Silent
        def on_open(client) = client.write("open")

        def on_close(_client) = $stderr.write("silently closed\n")
      end

      run(lambda do |env|
        env["rack.upgrade"] = (env["PATH_INFO"] == "/silent" ? Silent : Goodbye).new
        [200, {}, []]
      end)
    RUBY
    client = WebSocketClient.open(server.port, "/")
    silent = WebSocketClient.open(server.port, "/silent")
    stream = EventStreamClient.open(server.port, "/")
    [client.read_message, silent.read_message, stream.read_data]
    server.signal(:TERM)

    expect(Array.new(100) { client.read_message }).to eq(Array.new(100) { |index| "last #{index}" })
    expect(client.read_close).to eq(1001)
    expect(silent.read_close).to eq(1001)
    expect(Array.new(100) { stream.read_data }.last).to eq("last 99")
    # Not by a close frame: on a busy machine the server may have waited long enough for it, and be gone.
    [client, silent].each(&:close_socket)
    expect(server.wait).to be_success
    expect(server.output.scan(/^(?:shutdown|closed|silently).*$/).sort)
      .to eq(["closed", "closed", "shutdown true", "shutdown true", "silently closed"])
  end
end
