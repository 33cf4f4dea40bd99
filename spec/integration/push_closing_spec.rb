# frozen_string_literal: true

require_relative "integration_helper"

# Between the gateway's word that it closes and the end of the socket lies what waits for a client that does not read.
RSpec.describe "A push connection that the gateway closes while messages wait" do
  shared_configured_server(<<~'RUBY', send_queue_max_bytes: 32 * 1024 * 1024)
    CLIENTS = {}
    FILLED = {}

    class Filler
      def initialize(name) = @name = name

      def on_open(client)
        CLIENTS[@name] = client
        client.write("open")
      end

      # More than the sockets take.
      def on_message(client, _data)
        Thread.new do
          client.write("x" * 18_000_000)
          sleep 0.01 until client.pending.positive?
          client.write("x" * 1_000_000) until @name != "slow" || Volador.stats[:closed_slow].positive?
          $stderr.write("#{@name}: filled\n")
          FILLED[@name] = true
        end
      end

      def on_drained(_client) = $stderr.write("#{@name}: drained\n")

      def on_close(_client)
        CLIENTS.delete(@name)
        $stderr.write("#{@name}: closed\n")
      end
    end

    # Filled or not, and what a client says that is not closed yet.
    lambda do |env|
      name = env["PATH_INFO"].delete_prefix("/")
      if env["rack.upgrade?"]
        env["rack.upgrade"] = Filler.new(name)
        next [200, {}, []]
      end

      client = CLIENTS[name]
      said = client && [client.open?, client.write("lost"), client.pending, client.subscribe("late")]
      [200, {}, [[FILLED[name], said].inspect]]
    end
  RUBY

  # @yieldparam client [WebSocketClient] for which messages wait, as it does not read
  def filled(name)
    WebSocketClient.open(server.port, "/#{name}") do |client|
      expect(client.read_message).to eq("open")
      client.send_text("fill")
      Deadline.until("messages to wait") { server.get("/#{name}").body.start_with?("[true") }
      yield client
    end
  end

  def expect_refusal(name)
    said = nil
    # At its end nothing is said any more; with an unread message that comes later.
    Deadline.until("a refusal") { (said = server.get("/#{name}").body) !~ /\[true, true/ }
    expect(said).to eq("[true, [false, false, -1, nil]]")
  end

  after do |example|
    name = example.metadata[:client]
    server.wait_for_output(/^#{name}: closed$/)
    # What was written before is another matter.
    expect(server.output[/^#{name}: filled$.*/m].scan(/^#{name}: .*$/)).to eq(["#{name}: filled", "#{name}: closed"])
  end

  it "as the client is too slow takes nothing more, and does not say that it was drained", client: "slow" do
    filled("slow") do |client|
      expect_refusal("slow")
      # What waited was thrown away.
      expect(client.read_close).to eq(1013)
    end
  end

  it "as the client breaks the protocol takes nothing more", client: "wrong" do
    filled("wrong") do |client|
      client.send_frame(3, "")
      expect_refusal("wrong")
    end
  end

  it "as the client closes takes nothing more", client: "leaving" do
    filled("leaving") do |client|
      client.send_frame(:close, [1000].pack("n"))
      expect_refusal("leaving")
    end
  end
end

RSpec.describe "A push connection that is closed while its handler is behind" do
  it "ends at once when the client's close frame lies behind messages that were not read" do
    server = start_configured(<<~'RUBY', threads: 2)
      GATE = Queue.new

      module Leaver
        def self.on_message(client, _data) = GATE.pop || client.close
      end

      lambda do |env|
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Leaver
          next [200, {}, []]
        end
        GATE.close if env["PATH_INFO"] == "/go"
        [200, {}, [Volador.stats[:messages].to_s]]
      end
    RUBY
    WebSocketClient.open(server.port, "/") do |client|
      64.times { client.send_text("early") } # as many as a handler may have before it
      Deadline.until("it to be read no more") { server.get("/").body == "64" }
      client.send_text("late").send_frame(:close, [1000].pack("n"))
      server.get("/go")
      expect(client.read_close).to eq(1000)
      asked = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      expect(client.socket.read_to_end).to eq("")
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - asked).to be < 2 # a silent one has 3 s
    end
  end
end
