# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Pub/sub" do
  include_context "with a desk for channels"

  describe "without a block" do
    it "sends what is published straight to the client" do
      web_socket("direct") do |client|
        publish("direct", "hello")
        expect(client.read_message).to eq("hello")
      end
    end

    it "reaches every subscriber, WebSocket and SSE, and nobody else" do
      web_socket("several") do |one|
        web_socket("several", "other") do |two|
          event_stream("several") do |stream|
            event_stream("other") do |other|
              publish("several", "hello")
              publish("other", "elsewhere")
              expect([one.read_message, two.read_message, stream.read_data]).to eq(%w[hello] * 3)
              expect([two.read_message, other.read_data]).to eq(["elsewhere"] * 2)
              expect_nothing_more(one, "several")
            end
          end
        end
      end
    end

    it "keeps text text and binary binary; SSE gets text" do
      web_socket("kinds") do |client|
        event_stream("kinds") do |stream|
          desk("/publish?kinds=text")
          desk("/binary?kinds=bits")
          expect(Array.new(2) { client.read_message }.map { |one| [one, one.encoding] })
            .to eq([["text", Encoding::UTF_8], ["bits", Encoding::BINARY]])
          expect(Array.new(2) { stream.read_data }).to eq(%w[text bits])
        end
      end
    end

    it "takes a Symbol and a String for the same channel" do
      web_socket do |client|
        expect(tell(client, "direct", "symbolic")).to eq("=true")
        publish("symbolic", "hello")
        expect(client.read_message).to eq("hello")
      end
    end
  end

  describe "with a block" do
    it "calls it with channel and message, and sends nothing by itself" do
      web_socket do |client|
        expect(tell(client, "block", "blocked", "got")).to eq("=true")
        publish("blocked", "hello")
        desk("/binary?blocked=bits")
        expect(Array.new(2) { client.read_message }).to eq(["got blocked hello UTF-8", "got blocked bits ASCII-8BIT"])
      end
    end

    it "logs what the block raises, and the connection and its subscription live on" do
      web_socket do |client|
        tell(client, "block", "raising", "got")
        publish("raising", "raise")
        server.wait_for_output(/block of a client's subscription raised.*raising: no ear for it.*\n.*config\.ru/)
        publish("raising", "hello")
        expect(client.read_message).to eq("got raising hello UTF-8")
      end
    end
  end

  { "glob" => ["rooms[0-9]*", "rooms7.chat", "roomsX"], "subject" => ["rooms.*.chat", "rooms.7.chat", "rooms.7.8.chat"] }
    .each do |match, (pattern, inside, outside)|
    it "matches by #{match}, with and without a block" do
      web_socket do |one|
        web_socket do |two|
          expect(tell(one, "direct", pattern, match)).to eq("=true")
          expect(tell(two, "block", pattern, "got", match)).to eq("=true")
          publish(outside, "no")
          publish(inside, "yes")
          expect([one.read_message, two.read_message]).to eq(["yes", "got #{inside} yes UTF-8"])
        end
      end
    end
  end

  it "matches any tail of a subject by >, and patterns literally without match" do
    web_socket do |client|
      tell(client, "direct", "tail.>", "subject")
      tell(client, "direct", "plain.*")
      publish("tail", "no")
      publish("plain.x", "no")
      publish("tail.a.b", "yes")
      publish("plain.*", "literally")
      expect([client.read_message, client.read_message]).to eq(%w[yes literally])
    end
  end

  describe "a second subscription to the same channel" do
    it "replaces the first, with and without blocks: nothing arrives twice" do
      web_socket("again") do |client|
        tell(client, "direct", "again")
        publish("again", "1")
        expect(client.read_message).to eq("1")
        tell(client, "block", "again", "one")
        publish("again", "2")
        expect(client.read_message).to eq("one again 2 UTF-8")
        tell(client, "block", "again", "two")
        publish("again", "3")
        expect(client.read_message).to eq("two again 3 UTF-8")
        tell(client, "direct", "again")
        publish("again", "4")
        expect(client.read_message).to eq("4")
        expect_nothing_more(client, "again")
      end
    end

    it "is another one when it matches otherwise" do
      web_socket("twofold") do |client|
        tell(client, "block", "twofold", "glob", "glob")
        publish("twofold", "x")
        expect([client.read_message, client.read_message]).to contain_exactly("x", "glob twofold x UTF-8")
        expect(tell(client, "unsubscribe", "twofold", "glob")).to eq("=true")
        expect_nothing_more(client, "twofold")
      end
    end
  end

  it "ends by unsubscribe, which says whether there was one" do
    web_socket("ending", "marker") do |client|
      tell(client, "block", "ending.too", "got")
      expect(tell(client, "unsubscribe", "ending")).to eq("=true")
      expect(tell(client, "unsubscribe", "ending.too")).to eq("=true")
      expect(tell(client, "unsubscribe", "ending")).to eq("=false")
      publish("ending", "unheard")
      publish("ending.too", "unheard")
      expect_nothing_more(client, "marker")
    end
  end

  it "reaches who subscribed before in the same thread" do
    web_socket do |client|
      client.send_text(JSON.generate(%w[both sequence hello]))
      expect([client.read_message, client.read_message]).to contain_exactly("hello", "=true")
    end
  end

  it "publishes from a client, also to itself" do
    web_socket("own") do |client|
      event_stream("own") do |stream|
        client.send_text(JSON.generate(%w[publish own hello]))
        expect([client.read_message, client.read_message]).to contain_exactly("hello", "=true")
        expect(stream.read_data).to eq("hello")
      end
    end
  end

  it "publishes from any thread" do
    web_socket("threads") do |client|
      expect(desk("/thread?threads=hello")).to eq([true])
      expect(client.read_message).to eq("hello")
    end
  end

  it "keeps the order of each publisher for every subscriber" do
    numbers = Array.new(300, &:itself)
    in_order = lambda do |messages|
      messages.map { |message| message[/\A(?:got order )?(\S+ \d+)/, 1].split }.group_by(&:first)
              .transform_values { |pairs| pairs.map { |_, index| index.to_i } }
    end
    web_socket("order") do |direct|
      web_socket do |blocked|
        tell(blocked, "block", "order", "got")
        event_stream("order") do |stream|
          expect(desk("/many?order+a=300&order+b=300")).to eq([true, true])
          [direct, blocked].each do |client|
            expect(in_order.call(Array.new(600) { client.read_message })).to eq("order+a" => numbers, "order+b" => numbers)
          end
          expect(in_order.call(Array.new(600) { stream.read_data })).to eq("order+a" => numbers, "order+b" => numbers)
        end
      end
    end
  end

  it "ends a connection's subscriptions with it" do
    server = start_volador("#{desk_source}\nrun Desk.new\n") # of its own: nobody else's subscriptions are counted
    subscriptions = -> { JSON.parse(server.get("/stats").body).fetch("subscriptions") }
    expect(subscriptions.call).to eq(1) # that of the process
    clients = Array.new(20) { |index| WebSocketClient.open(server.port, "/?leak#{index}&leaks") }
    clients.each do |client|
      client.read_message
      tell(client, "block", "leaks.*", "got", "glob")
      tell(client, "block", "leak", "got")
    end
    expect(subscriptions.call).to eq(81)
    clients.each_with_index { |client, index| index.even? ? client.close_socket : client.socket.reset }
    Deadline.until("the subscriptions to end") { subscriptions.call == 1 }
  end

  it "leaks nothing over 100,000 connections that subscribe and vanish", :aggregate_failures do
    server = start_ruby(<<~'RUBY')
      require "volador"
      class Passer
        @closed = 0
        class << self
          attr_accessor :closed
        end

        def on_open(client)
          client.subscribe("direct")
          client.subscribe("glob.*", match: :glob)
          client.subscribe("block") { nil }
        end

        # One application thread: nobody else counts.
        def on_close(_client) = Passer.closed += 1
      end

      app = lambda do |env|
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Passer.new
          return [200, {}, []]
        end
        stats = Volador::Server.running.first.stats
        counts = [Passer.closed, stats[:subscriptions], stats[:handlers], Volador::PubSub.engines.size]
        [200, { "x-memory" => File.read("/proc/self/status")[/VmRSS:\s+(\d+)/, 1] }, [counts.join(" ")]]
      end
      Volador.run(app, host: "127.0.0.1", port: 0, threads: 1)
    RUBY
    server.wait_until_listening
    come_and_go(server, 20_000)
    memory = Integer(server.get("/")["x-memory"])
    come_and_go(server, 80_000)

    Deadline.until("all to be gone") { server.get("/").body == "100000 0 0 0" }
    expect(Integer(server.get("/")["x-memory"])).to be < memory + 4096
  end

  # Clients that leave at once, half of them before the handshake is answered, most with a reset. The answers to the
  # others are waited for a hundred at a time, since each wait is one for the machine's other work as well.
  def come_and_go(server, count)
    handshake = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    (count / 200).times do
      staying = Array.new(200) do |index|
        socket = TCPSocket.new("127.0.0.1", server.port)
        socket.write(handshake)
        socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii")) unless (index % 99).zero?
        next socket if index.odd?

        socket.close
      end
      staying.compact.each do |socket|
        socket.readpartial(100)
        socket.close
      end
    end
  end

  it "reaches every subscriber once when there are several shards" do
    server = start_configured("#{desk_source}\nVolador.subscribe('shared') { Volador.publish('counted', 'by the process') }\nDesk.new",
                              shards: 3, threads: 4)
    clients = Array.new(12) { WebSocketClient.open(server.port, "/?shared&counted") }
    clients.each { |client| expect(client.read_message).to eq("=open") }
    tell(clients.first, "block", "counted", "got")
    5.times { |index| server.get("/publish?shared=#{index}") }
    clients.drop(1).each do |client|
      expect(Array.new(10) { client.read_message }).to contain_exactly(*%w[0 1 2 3 4], *["by the process"] * 5)
    end
    expect(Array.new(10) { clients.first.read_message })
      .to contain_exactly(*%w[0 1 2 3 4], *["got counted by the process UTF-8"] * 5)
    server.get("/publish?shared=last")
    clients.each { |client| expect([client.read_message, client.read_message]).to include("last") }
    clients.each(&:close_socket)
    Deadline.until("the hub to be empty but for the process") do
      JSON.parse(server.get("/stats").body).fetch("subscriptions") == 2
    end
  end
end
