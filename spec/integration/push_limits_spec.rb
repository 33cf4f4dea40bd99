# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The limits of push connections" do
  application = <<~RUBY
    class Handler
      def initialize(name, writer)
        @name = name
        @writer = writer
      end

      def on_message(data)
        @writer.write(data)
      end

      def on_close
        warn "closed \#{@name}"
      end
    end

    Class.new do
      def call(_env)
        [200, {}, ["fine"]]
      end

      def on_open(env)
        writer = env["push.writer"]
        writer.write("open")
        writer.write("x" * 3_000_000) if env["PATH_INFO"] == "/large"
        if env["PATH_INFO"] == "/flood"
          Thread.new do
            loop { writer.write("x" * 10_000) }
          rescue IOError => e
            warn "flood ended: \#{e.class}"
          end
        end
        Handler.new(env["PATH_INFO"], writer)
      end
    end.new
  RUBY

  it "a WebSocket is pinged every ping interval" do
    # Long enough for each pong to be in time on a busy machine.
    server = start_configured(application, ping_interval: 1)
    WebSocketClient.open(server.port, "/") do |client|
      client.read_message
      2.times do
        ping = client.read_frame
        expect(ping.opcode).to eq(:ping)
        client.send_frame(:pong, ping.payload)
      end
      expect(client.send_text("still here").read_message).to eq("still here")
    end
  end

  it "a WebSocket that answers no ping is closed, and on_close is called" do
    server = start_configured(application, ping_interval: 0.1)
    WebSocketClient.open(server.port, "/silent") do |client|
      client.socket.read_to_end
      server.wait_for_output(%r{^closed /silent$})
    end
  end

  it "a WebSocket is not taken for dead while it is not read, as its handler is behind" do
    server = start_configured(<<~'RUBY', ping_interval: 0.3, threads: 2)
      GATE = Queue.new

      class Slow
        def on_message(client, data) = GATE.pop || (client.write("all") if data == "last")
      end

      lambda do |env|
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Slow.new
          next [200, {}, []]
        end
        GATE.close if env["PATH_INFO"] == "/go"
        [200, {}, [Volador.stats.values_at(:messages, :closed_dead).join(" ")]]
      end
    RUBY
    WebSocketClient.open(server.port, "/") do |client|
      64.times { client.send_text("early") } # as many as a handler may have before it
      Deadline.until("it to be read no more") { server.get("/").body == "64 0" }
      client.send_text("last")
      6.times do
        ping = client.read_frame
        expect(ping.opcode).to eq(:ping)
        client.send_frame(:pong, ping.payload)
      end
      server.get("/go")
      expect(client.read_message).to eq("all")
      expect(server.get("/").body).to eq("65 0")
    end
  end

  it "an SSE stream gets a comment every heartbeat interval" do
    server = start_configured(application, heartbeat_interval: 0.1)
    EventStreamClient.open(server.port, "/") do |client|
      client.read_event
      comments = Array.new(3) { client.socket.read_until("\n:") } # by the bytes: an EventSource passes them over

      expect(comments.join).not_to match(/^(data|event|id):/)
    end
  end

  it "a message longer than message_max_bytes closes with 1009" do
    server = start_configured(application, message_max_bytes: 100)
    WebSocketClient.open(server.port, "/") do |client|
      expect(client.tap(&:read_message).send_text("x" * 100).read_message.bytesize).to eq(100)
      client.send_frame(:text, "x" * 60, fin: false)
      client.send_frame(:continuation, "x" * 41)

      expect(client.read_close).to eq(1009)
    end
  end

  PushClient::TRANSPORTS.each do |transport|
    it "a client that does not read is closed once too much waits for it (#{transport})" do
      server = start_configured(application)
      client = PushClient.open(transport, server.port, "/flood")
      server.wait_for_output(/^flood ended: Volador::ClosedError$/)
      server.wait_for_output(%r{^closed /flood$})

      expect(client).to be_ended
      expect(server.get("/").body).to eq("fine")
      client.leave
    end

    it "a message larger than the limit is sent, though it is written in on_open (#{transport})" do
      server = start_configured(application, send_queue_max_bytes: 100_000)
      client = PushClient.open(transport, server.port, "/large")

      expect(client.read).to eq("open")
      expect(client.read.bytesize).to eq(3_000_000)
      client.leave
    end
  end

  it "origins may be listed" do
    server = start_configured(application, allowed_origins: ["https://friend.example"])

    %w[https://friend.example https://friend.example:443].each do |origin|
      WebSocketClient.open(server.port, "/", headers: { "Origin" => origin }, &:read_message)
    end
    expect(WebSocketClient.refusal(server.port, "/", headers: { "Origin" => "https://foe.example" }).status).to eq(403)
    server.wait_for_output(/foe\.example/)
  end

  it "a handler whose client sends faster than it answers gets every message, in order" do
    server = start_configured(application)
    WebSocketClient.open(server.port, "/") do |client|
      client.read_message
      sender = Thread.new { 3000.times { |index| client.send_text("m#{index}") } }

      expect(Array.new(3000) { client.read_message }).to eq(Array.new(3000) { |index| "m#{index}" })
      sender.join
    end
  end
end
