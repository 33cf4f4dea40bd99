# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "client.timeout" do
  app = <<~'RUBY'
    # Evaluates its client's request: /?0.1 sets that timeout in on_open. Tells its timeout before and after.
    class Watched
      def on_open(client)
        before = client.timeout
        seconds = client.env["QUERY_STRING"]
        client.timeout = seconds.to_f unless seconds.empty?
        client.write("#{before.inspect} #{client.timeout.inspect}")
      end

      def on_message(client, data) = client.write((client.timeout = Float(data)).inspect)

      def on_close(client)
        client.timeout = 3
        $stderr.write("closed: #{client.env['QUERY_STRING']}, it is #{client.timeout.inspect}\n")
      end
    end

    lambda do |env|
      env["rack.upgrade"] = Watched.new
      [200, {}, []]
    end
  RUBY

  shared_configured_server(app, ping_interval: 40, heartbeat_interval: 20.5)

  def web_socket(target, &block)
    WebSocketClient.open(server.port, target, &block)
  end

  # Answers so many pings.
  def answer_pings(client, count)
    count.times do
      ping = client.read_frame
      expect(ping.opcode).to eq(:ping)
      client.send_frame(:pong, ping.payload)
    end
  end

  it "is the server's interval for the transport until another is set" do
    web_socket("/") { |client| expect(client.read_message).to eq("40 40") }
    web_socket("/?2") { |client| expect(client.read_message).to eq("40 2") }
    web_socket("/?0") { |client| expect(client.read_message).to eq("40 40") }
    EventStreamClient.open(server.port, "/?0.25") { |client| expect(client.read_data).to eq("20.5 0.25") }
  end

  it "pings a WebSocket that often, and no other" do
    web_socket("/") do |other|
      web_socket("/?0.1") do |client|
        client.read_message
        answer_pings(client, 4)
        expect(client.send_text("0.2").read_message).to eq("0.2")
        answer_pings(client, 2)
      end
      other.read_message
      expect(other.socket).to be_silent
    end
  end

  it "drops a WebSocket that answers none of two pings, and calls on_close" do
    web_socket("/?0.11") do |client|
      client.read_message
      expect([client.read_frame.opcode, client.read_frame.opcode]).to eq(%i[ping ping])
      expect(client.socket.read_to_end).to eq("")
    end
    server.wait_for_output(/^closed: 0\.11, it is 0\.11$/)
  end

  it "sends an event stream a comment that often" do
    EventStreamClient.open(server.port, "/?0.1") do |client|
      client.read_event
      comments = Array.new(3) { client.socket.read_until("\n:") } # by the bytes: an EventSource passes them over
      expect(comments.join).not_to match(/^(data|event|id):/)
    end
  end

  it "drops an event stream of which nothing is taken" do
    stalled = start_configured(<<~'RUBY', send_queue_max_bytes: 512 * 1024 * 1024)
      class Flood
        def on_open(client)
          client.timeout = 0.1
          20.times { client.write("x" * 1_000_000) }
        end

        def on_close(_client) = $stderr.write("flood closed\n")
      end

      lambda do |env|
        return [200, {}, [Volador.stats[:closed_dead].to_s]] unless env["rack.upgrade?"]

        env["rack.upgrade"] = Flood.new
        [200, {}, []]
      end
    RUBY
    EventStreamClient.open(stalled.port, "/") do
      stalled.wait_for_output(/^flood closed$/)
      expect(stalled.get("/").body).to eq("1")
    end
  end
end
