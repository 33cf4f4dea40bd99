# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The rack.upgrade draft" do
  include_context "with an app of the draft"

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

      it "takes the status 0, which Iodine's documents have, and others that HTTP does not know" do
        %w[0 -1 99].each do |status|
          push(transport, "/status?#{status}") { |client| expect(client.read).to eq("open") }
        end
      end

      it "works below map" do
        push(transport, "/mapped/deep-#{transport}") { |client| expect(client.read).to eq("open") }
      end

      { "module" => "module", "class" => "class", "instance" => "instance of PerConnection true" }.each do |kind, greeting|
        it "takes a handler that is a #{kind}" do
          push(transport, "/#{kind}") { |client| expect(client.read).to eq(greeting) }
        end
      end

      it "keeps a connection whose handler has no callback, and says so once" do
        2.times do
          push(transport, "/bare") do |client|
            client.client.socket.io.wait_readable(0.1)
            expect(client.client.socket).to be_silent
          end
        end

        server.wait_for_output(/has none of on_open/)
        expect(server.output.scan(/WARN: (\S+) has none of on_open/)).to eq([["Object"]])
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

  it "gives the application text of which Ruby knows what it is" do
    web_socket("/console") do |client|
      expect(ask(client, '[data.ascii_only?, data.valid_encoding?, (data << "h\u00e4").ascii_only?, data.valid_encoding?]'))
        .to eq("[true, true, false, true]")
      expect(ask(client, "# h\u00e4\n[data.ascii_only?, data.valid_encoding?, data.bytesize - data.size]"))
        .to eq("[false, true, 1]")
    end
  end

  it "sends a String of a class of its own" do
    web_socket("/console") do |client|
      expect(ask(client, 'client.write(Class.new(String).new("h\u00e4"))')).to eq("h\u00e4")
      expect(client.read_message).to eq("true")
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

  describe "an answer's body that tells when it is closed" do
    config = <<~RUBY
      class Body
        def initialize(path) = @path = path
        def each = nil

        def close
          warn "body of \#{@path} closed"
          Thread.exit if @path == "/exit"
        end
      end

      class Told
        def on_open(client)
          warn "on_open of \#{client.env['PATH_INFO']}"
          client.write("open")
        end

        def on_close(client) = warn("on_close of \#{client.env['PATH_INFO']}")
      end

      run(lambda do |env|
        env["rack.upgrade"] = Told.new
        [200, {}, Body.new(env["PATH_INFO"])]
      end)
    RUBY

    it "is closed before on_open" do
      server = start_volador(config)
      PushClient::TRANSPORTS.each { |transport| PushClient.open(transport, server.port, "/#{transport}", &:read) }
      PushClient::TRANSPORTS.each { |transport| server.wait_for_output(%r{^on_open of /#{transport}$}) }

      notes = server.output.scan(/^(?:body|on_open) .*/)
      expect(notes).to eq(PushClient::TRANSPORTS.flat_map { |path| ["body of /#{path} closed", "on_open of /#{path}"] })
    end

    it "closes the connection with 1011 when that ends the thread, and on_open is not called" do
      server = start_volador(config)
      WebSocketClient.open(server.port, "/exit") { |client| expect(client.read_close).to eq(1011) }
      PushClient.open(:sse, server.port, "/later", &:read)

      server.wait_for_output(%r{^on_close of /later$})
      expect(server.output).not_to match(%r{^on_\w+ of /exit})
    end
  end
end
