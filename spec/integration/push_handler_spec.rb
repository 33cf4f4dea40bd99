# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The handler that on_open returns, and the handshake" do
  describe "the handler" do
    shared_server(<<~RUBY)
      class Echo
        def initialize(writer)
          @writer = writer
        end

        def on_message(data)
          @writer.write("\#{data.encoding} \#{data.valid_encoding?} \#{data.bytesize}")
        end
      end

      class Returned < Echo
        def on_message(data)
          @writer.write(data)
        end
      end

      class Overlap < Echo
        def on_message(data)
          @writer.write("overlap") if @inside
          @inside = true
          Thread.pass
          sleep 0.001
          @inside = false
          @writer.write("last") if data == "last"
        end
      end

      class Deaf
        def on_close
          warn "deaf closed"
        end
      end

      class Failing < Echo
        def on_message(_data)
          raise "cannot hear"
        end

        def on_close
          raise "cannot close"
        end
      end

      class App
        def call(env)
          Volador.broadcast(env["QUERY_STRING"], "broadcast") unless env["QUERY_STRING"].empty?
          [200, {}, ["alive"]]
        end

        def on_open(env)
          writer = env["push.writer"]
          case env["PATH_INFO"]
          when "/facts" then Echo.new(writer)
          when "/echo" then Returned.new(writer)
          when "/overlap" then Overlap.new(writer)
          when "/deaf" then Deaf.new
          when "/object" then Object.new
          when "/failing" then Failing.new(writer)
          when "/frozen" then Returned.new(writer).freeze
          end
        end
      end
      run App.new
    RUBY

    def web_socket(path, &block)
      WebSocketClient.open(server.port, path, &block)
    end

    it "gets a text message as a UTF-8 String" do
      web_socket("/facts") { |client| expect(client.send_text("héllo").read_message).to eq("UTF-8 true 6") }
    end

    it "gets a binary message as a BINARY String" do
      web_socket("/facts") { |client| expect(client.send_binary("\xFF\x00").read_message).to eq("ASCII-8BIT true 2") }
    end

    it "gets an empty message" do
      web_socket("/facts") { |client| expect(client.send_text("").read_message).to eq("UTF-8 true 0") }
    end

    it "gets a fragmented message as one, with a ping in its midst answered" do
      web_socket("/echo") do |client|
        client.send_frame(:text, "on", fin: false)
        client.send_frame(:continuation, "e, ", fin: false)
        client.send_frame(:ping, "still there?")
        client.send_frame(:continuation, "two", fin: true)

        expect(client.read_frame).to have_attributes(opcode: :pong, payload: "still there?")
        expect(client.read_message).to eq("one, two")
      end
    end

    it "gets all messages, in order" do
      web_socket("/echo") do |client|
        300.times { |index| client.send_text("m#{index}") }

        expect(Array.new(300) { client.read_message }).to eq(Array.new(300) { |index| "m#{index}" })
      end
    end

    it "is never called by two threads at once" do
      web_socket("/overlap") do |client|
        50.times { client.send_text("x") }
        client.send_text("last")

        expect(client.read_message).to eq("last")
      end
    end

    it "answers UTF-8 Strings with text and BINARY Strings with binary frames" do
      web_socket("/echo") do |client|
        expect(client.send_text("täxt").read_frame).to have_attributes(opcode: :text, payload: "täxt")
        expect(client.send_binary("\x00\x01").read_frame).to have_attributes(opcode: :binary, payload: "\x00\x01".b)
      end
    end

    it "may be frozen" do
      web_socket("/frozen") { |client| expect(client.send_text("cold").read_message).to eq("cold") }
    end

    %w[deaf object none].each do |kind|
      it "may lack on_message: messages are dropped, broadcasts arrive (#{kind})" do
        web_socket("/#{kind}") do |client|
          10.times { client.send_text("is anyone there?") }
          client.send_frame(:ping, "x")
          expect(client.read_frame.opcode).to eq(:pong)
          server.get("/?/#{kind}")

          expect(client.read_message).to eq("broadcast")
        end
      end
    end

    it "that has on_close only is told of the end" do
      web_socket("/deaf", &:close)

      server.wait_for_output(/^deaf closed$/)
    end

    it "whose callbacks raise is logged and does not harm the server" do
      web_socket("/failing") do |client|
        client.send_text("x")
        server.wait_for_output(/cannot hear/)
      end
      server.wait_for_output(/cannot close/)

      expect(Array.new(6) { server.get("/").body }).to all(eq("alive"))
    end

    it "is closed with 1009 for a message over 1 MiB" do
      web_socket("/echo") do |client|
        client.send_text("x" * 1_048_577)

        expect(client.read_close).to eq(1009)
      end
    end

    it "gets a message of 1 MiB" do
      web_socket("/facts") { |client| expect(client.send_text("x" * 1_048_576).read_message).to eq("UTF-8 true 1048576") }
    end

    it "never sees text that is not UTF-8: the connection is closed with 1007" do
      web_socket("/echo") { |client| expect(client.send_text("\xC3\x28").read_close).to eq(1007) }
    end

    {
      "an unmasked frame" => ->(client) { client.send_frame(:text, "x", mask: false) },
      "a reserved bit" => ->(client) { client.send_frame(:text, "x", rsv: 4) },
      "a reserved opcode" => ->(client) { client.send_frame(0x3, "x") },
      "a fragmented ping" => ->(client) { client.send_frame(:ping, "x", fin: false) },
      "a ping of 126 bytes" => ->(client) { client.send_frame(:ping, "x" * 126) },
      "a continuation of nothing" => ->(client) { client.send_frame(:continuation, "x") }
    }.each do |what, send|
      it "is closed with 1002 for #{what}" do
        web_socket("/echo") do |client|
          send.call(client)

          expect(client.read_close).to eq(1002)
        end
      end
    end

    it "is closed with the client's code echoed, and the connection ends" do
      web_socket("/echo") do |client|
        client.send_frame(:close, [1000].pack("n"))

        expect(client.read_close).to eq(1000)
        expect(client.socket).to be_ended
      end
    end
  end

  it "that is a BasicObject has the callbacks that it has" do
    server = start_volador(<<~RUBY)
      class Bare < BasicObject
        def on_message(data) = ::Kernel.warn("heard \#{data}")
      end

      class App
        def call(_env) = [200, {}, []]

        def on_open(_env) = Bare.new
      end
      run App.new
    RUBY
    WebSocketClient.open(server.port, "/") do |client|
      client.send_text("hello")
      server.wait_for_output(/^heard hello$/)
    end
    expect(server.stop.exitstatus).to eq(0)
    expect(server.output).not_to include("ERROR")
  end

  it "that is a BasicObject may raise what it likes for a method that is missing" do
    server = start_volador(<<~RUBY)
      class Bare < BasicObject
        def on_message(*, data) = ::Kernel.warn("heard \#{data}")

        def method_missing(name, *) = ::Kernel.raise("no \#{name}")
      end

      class App
        def call(_env) = [200, {}, []]

        def on_open(_env) = Bare.new
      end
      map("/draft") { run ->(env) { (env["rack.upgrade"] = Bare.new) && [200, {}, []] } }
      run App.new
    RUBY
    %w[/ /draft].each do |target|
      WebSocketClient.open(server.port, target) do |client|
        client.send_text("hello of #{target}")
        server.wait_for_output(/^heard hello of #{target}$/)
      end
    end
    expect(server.stop.exitstatus).to eq(0)
    expect(server.output).not_to include("ERROR")
  end

  describe "the handshake" do
    shared_server(<<~RUBY)
      class App
        def call(_env)
          [200, { "content-type" => "text/plain" }, ["plain"]]
        end

        def on_open(env)
          env["push.writer"].write("open")
          nil
        end
      end
      run App.new
    RUBY

    def handshake(headers)
      server.connect { |socket| socket.request("GET", "/", headers) }
    end

    let(:good) do
      { "Connection" => "Upgrade", "Upgrade" => "websocket", "Sec-WebSocket-Version" => "13",
        "Sec-WebSocket-Key" => "dGhlIHNhbXBsZSBub25jZQ==" }
    end

    it "of RFC 6455 has the accept value of RFC 6455" do
      expect(handshake(good)).to have_attributes(status: 101)
      expect(handshake(good)["sec-websocket-accept"]).to eq("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    end

    it "takes header values in any case and in a list" do
      response = handshake(good.merge("Connection" => "keep-alive, uPgRaDe", "Upgrade" => "WebSocket"))

      expect(response.status).to eq(101)
    end

    it "of another version is answered with 426 and the version" do
      response = handshake(good.merge("Sec-WebSocket-Version" => "8"))

      expect(response).to have_attributes(status: 426)
      expect(response["sec-websocket-version"]).to eq("13")
      expect([response["upgrade"], response["connection"]]).to eq(["websocket", "close, upgrade"])
    end

    it "without a key is answered with 400" do
      expect(handshake(good.reject { |name, _| name == "Sec-WebSocket-Key" })).to have_attributes(status: 400)
    end

    it "with lists that are none is answered with 400" do
      [["Sec-WebSocket-Protocol", "a b"], ["Sec-WebSocket-Extensions", "permessage-deflate; a=\"b"]].each do |name, value|
        expect(handshake(good.merge(name => value)).status).to eq(400)
      end
    end

    it "is a GET of HTTP/1.1, nothing else" do
      statuses = [["POST", "HTTP/1.1"], ["HEAD", "HTTP/1.1"], ["GET", "HTTP/1.0"]].map do |method, version|
        server.connect { |socket| socket.request(method, "/", good, version: version).status }
      end

      expect(statuses).not_to include(101)
    end

    it "from another origin is answered with 403" do
      expect(handshake(good.merge("Origin" => "http://elsewhere.example"))).to have_attributes(status: 403)
    end

    it "from the same origin is accepted" do
      response = handshake(good.merge("Host" => "here.example:81", "Origin" => "http://here.example:81"))

      expect(response).to have_attributes(status: 101)
    end

    it "brings messages that the client sent before the answer" do
      server = start_volador(<<~RUBY)
        Handler = Struct.new(:writer) do
          def on_message(data)
            writer.write("heard \#{data}")
          end
        end

        class App
          def call(_env)
            [404, {}, []]
          end

          def on_open(env)
            sleep 0.1
            Handler.new(env["push.writer"])
          end
        end
        run App.new
      RUBY
      server.connect do |socket|
        client = WebSocketClient.new(socket)
        socket.send_request("GET", "/", good)
        client.send_text("early")
        expect(socket.read_head.status).to eq(101)

        expect(client.read_message).to eq("heard early")
      end
    end

    it "of SSE is answered with text/event-stream that nobody caches" do
      EventStreamClient.open(server.port, "/") do |client|
        expect(client).to be_stream
        expect(client.response["cache-control"]).to match(/no-cache|no-store/)
        expect(client.read_data).to eq("open")
      end
    end

    it "of SSE is also a Content-Type of text/event-stream" do
      EventStreamClient.open(server.port, "/", headers: { "Accept" => "*/*", "Content-Type" => "text/event-stream" }) do |client|
        expect(client).to be_stream
        expect(client.read_data).to eq("open")
      end
    end

    it "of SSE may list other types as well" do
      EventStreamClient.open(server.port, "/", headers: { "Accept" => "text/html, text/event-stream;q=0.9" }) do |client|
        expect(client).to be_stream
      end
    end

    it "is not seen in a plain request, which call answers" do
      expect(server.get("/", "Accept" => "*/*").body).to eq("plain")
    end
  end
end
