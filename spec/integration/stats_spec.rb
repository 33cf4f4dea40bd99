# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Volador.stats" do
  application = <<~'RUBY'
    class Talker
      def on_open(client)
        client.subscribe("news")
        client.write("open")
      end

      def on_message(client, data) = client.write(data)
    end

    Class.new do
      def call(env)
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Talker.new
          return [200, {}, []]
        end
        case env["PATH_INFO"]
        when "/slow"
          WATCH_QUEUE.call
          warn "slow"
          File.read("gate")
        when "/publish" then Volador.publish("news", "x" * 100)
        end
        [200, {}, [JSON.generate(Volador.stats)]]
      end
    end.new
  RUBY
  application = "require('json')\n#{QueueWatch::SOURCE}\n#{application}"

  # @return [Hash{Symbol => Integer, Float}]
  def stats_of(server)
    JSON.parse(server.get("/").body, symbolize_names: true)
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # Waits until these figures are such.
  def await_stats(server, expected)
    stats = nil
    Deadline.until("stats to include #{expected}") { expected <= (stats = stats_of(server)) }
  rescue Deadline::Missed => e
    raise Deadline::Missed, "#{e.message}; they are #{stats}"
  end

  it "has every figure that docs/stats.md describes, and no other" do
    stats = stats_of(start_configured(application))
    described = File.read(File.join(ServerProcess::ROOT, "docs/stats.md")).scan(/^\| `(\w+)` \|/).flatten
    expect(stats.keys.map(&:to_s)).to match_array(described)
    expect(stats).to include(requests: 1, http_connections: 1, accepted: 1, queue_waits: 1, queued: 0)
  end

  it "counts connections by their transport, subscriptions, messages and bytes", :aggregate_failures do
    server = start_configured(application, shards: 2)
    client = WebSocketClient.open(server.port, "/")
    stream = EventStreamClient.open(server.port, "/")
    expect([client.read_message, stream.read_data]).to eq(%w[open open])
    # Bytes are counted after they are written, so that a client may have them before.
    sent_bytes = -> { client.socket.received_bytes + stream.socket.received_bytes }
    await_stats(server, websocket_connections: 1, sse_connections: 1, subscriptions: 2, handlers: 2, delivered: 2,
                        received_bytes: 0, sent_bytes: sent_bytes.call)
    before = sent_bytes.call

    client.send_text("hello")
    expect(client.read_message).to eq("hello")
    await_stats(server, messages: 1, delivered: 3, received_bytes: 2 + 4 + 5, sent_bytes: before + 2 + 5)
    server.get("/publish")
    expect([client.read_message, stream.read_data]).to all(eq("x" * 100))
    await_stats(server, published: 1, delivered: 5,
                        sent_bytes: before + 2 + 5 + (2 + 100) + ("data: ".size + 100 + 2))

    early = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    # With the handshake in one packet.
    server.connect do |socket|
      socket.send_bytes(early + [0x81, 0x85, 0, 0, 0, 0].pack("C*") + "early")
      await_stats(server, messages: 2, received_bytes: 2 * (2 + 4 + 5))
    end

    client.close_socket
    stream.close
    await_stats(server, websocket_connections: 0, sse_connections: 0, subscriptions: 0, handlers: 0)
  end

  it "tells how long requests wait for a thread", :aggregate_failures do
    server = start_configured(application, threads: 1)
    gate = Gate.new(server)
    slow = Thread.new { server.get("/slow") }
    server.wait_for_output(/^slow$/)
    asked = now
    waiting = Thread.new { stats_of(server) }
    QueueWatch.await(server, 1)
    queued = now
    sleep 0.1
    waited = now - queued
    gate.open
    stats = waiting.value
    slow.join
    expect(stats[:queue_waits]).to eq(2)
    expect(stats[:queue_wait_seconds_max]).to be_between(waited, now - asked)
    expect(stats[:queue_wait_seconds]).to be >= stats[:queue_wait_seconds_max]
  end

  it "counts why connections were closed", :aggregate_failures do
    server = start_configured(application, message_max_bytes: 100)
    WebSocketClient.open(server.port, "/") do |client|
      client.read_message
      client.send_text("x" * 101)
      expect(client.read_close).to eq(1009)
    end
    await_stats(server, closed_protocol: 1, closed_dead: 0, closed_slow: 0, websocket_connections: 0)

    server = start_configured(application, ping_interval: 0.2)
    WebSocketClient.open(server.port, "/") { |silent| silent.socket.read_to_end }
    await_stats(server, closed_protocol: 0, closed_dead: 1, closed_slow: 0, websocket_connections: 0)
  end

  it "counts every break of the protocol, and every handshake that breaks it", :aggregate_failures do
    server = start_configured(application)
    breaks = {
      1002 => [->(client) { client.send_frame(:text, "x", mask: false) }, ->(client) { client.send_frame(:text, "x", rsv: 2) },
               ->(client) { client.send_frame(0x3, "x") }, ->(client) { client.send_frame(0xB, "x") },
               ->(client) { client.send_frame(:ping, "x", fin: false) }, ->(client) { client.send_frame(:ping, "x" * 126) },
               ->(client) { client.send_frame(:continuation, "x") }, ->(client) { client.send_frame(:close, "x") },
               ->(client) { client.send_frame(:close, [1005].pack("n")) },
               ->(client) { client.send_frame(:text, "x", fin: false).send_frame(:text, "y") }],
      1007 => [->(client) { client.send_text("\xC3\x28") }, ->(client) { client.send_frame(:close, [1000].pack("n") + "\xFF".b) }],
      1009 => [->(client) { client.send_text("x" * 1_048_577) }]
    }
    breaks.each do |code, ways|
      ways.each do |way|
        WebSocketClient.open(server.port, "/") do |client|
          client.read_message
          way.call(client)
          expect(client.read_close).to eq(code)
        end
      end
    end
    await_stats(server, closed_protocol: breaks.values.sum(&:size), websocket_connections: 0)

    { "Sec-WebSocket-Version" => ["8", 426], "Sec-WebSocket-Key" => ["short", 400], "Origin" => ["http://a.example", 403] }
      .each { |name, (value, status)| expect(WebSocketClient.refusal(server.port, "/", headers: { name => value }).status).to eq(status) }
    expect(stats_of(server)).to include(refused_bad: 3)
  end

  it "is the sum over the servers of a process, and empty when none runs" do
    program = start_ruby(<<~'RUBY')
      require "net/http"
      require "volador"
      app = ->(_env) { [200, {}, ["fine"]] }
      servers = Array.new(2) { Volador::Server.new(app, Volador::Configuration.new(port: 0, quiet: true)).start }
      urls = [servers.first.url, servers.last.url, servers.last.url]
      urls.each { |url| Net::HTTP.get(URI(url)) }
      each = servers.map(&:stats)
      all = Volador.stats
      $stdout.write("requests #{all[:requests]} of #{each.map { |stats| stats[:requests] }}\n")
      max = each.map { |stats| stats[:queue_wait_seconds_max] }.max
      $stdout.write("longest #{all[:queue_wait_seconds_max] == max}\n")
      servers.each(&:stop)
      $stdout.write("then #{Volador.stats}\n")
    RUBY
    expect(program.wait).to be_success
    expect(program.output).to eq("requests 3 of [1, 2]\nlongest true\nthen {}\n")
  end
end
