# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Pub/sub" do
  app = <<~'RUBY'
    require "json"
    $stderr.sync = true

    # Does what the client sends: a JSON array of a command and its arguments. The answer begins with "=".
    class Subscriber
      def initialize(channels) = @channels = channels

      def on_open(client)
        @channels.each { |channel| client.subscribe(channel) }
        client.write("=open")
      end

      def on_message(client, data)
        command, *arguments = JSON.parse(data)
        client.write("=#{send(command, client, *arguments).inspect}")
      end

      private

      def direct(client, channel, match = nil)
        client.subscribe(channel.to_sym, match: match&.to_sym) ? true : false
      end

      def block(client, channel, mark, match = nil)
        subscribed = client.subscribe(channel, match: match&.to_sym) do |from, message|
          raise "no ear for it" if message == "raise"

          client.write("#{mark} #{from} #{message} #{message.encoding}")
        end
        subscribed ? true : false
      end

      def unsubscribe(client, channel, match = nil) = client.unsubscribe(channel, match: match&.to_sym)

      def publish(client, channel, message) = client.publish(channel, message)

      # Subscribes and publishes at once: the order of one thread.
      def both(client, channel, message)
        client.subscribe(channel)
        client.publish(channel, message)
      end
    end

    # Plain requests: /publish?CHANNEL=MESSAGE and others, answered with JSON.
    class Desk
      def call(env)
        query = env["QUERY_STRING"].dup.force_encoding("UTF-8").split("&").map { |pair| pair.split("=", 2) }
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Subscriber.new(query.map(&:first))
          return [200, {}, []]
        end
        result = send(env["PATH_INFO"].delete_prefix("/"), query)
        [200, { "content-type" => "application/json" }, [JSON.generate(result)]]
      end

      def publish(query) = query.map { |channel, message| Volador.publish(channel, message) }

      def binary(query) = query.map { |channel, message| Volador.publish(channel, message.b) }

      def thread(query)
        Thread.new { publish(query) }.value
      end

      # Numbered messages of several publishers at once.
      def many(query)
        query.map do |channel, count|
          Thread.new { Array.new(count.to_i) { |index| Volador.publish(channel[/[^+]+/], "#{channel} #{index}") }.all? }
        end.map(&:value)
      end

      def stats(_query) = Volador::Server.running.first.stats

      def wrong(query)
        query.map { |channel, _| Volador.publish(channel, "x") }
      rescue ArgumentError => e
        e.class.name
      end

      def listen(query)
        query.each do |channel, mark|
          Volador.subscribe(channel) do |from, message|
            raise "broken ear" if message == "raise"

            $stderr.write("#{mark}: #{from} #{message.b.inspect} #{message.encoding}\n")
            sleep 0.001 if mark == "slow"
          end
        end
        true
      end

      def leave(query) = query.map { |channel, _| Volador.unsubscribe(channel) }
    end

    # Before the server runs.
    early = Volador.subscribe("early") { |channel, message| $stderr.write("early: #{channel} #{message}\n") }
    $stderr.write("early subscription: #{early}, published: #{Volador.publish('early', 'unheard')}\n")

    class Counter
      @told = []

      class << self
        attr_reader :told

        def subscribe(channel, match) = @told << ["subscribe", channel, match]

        def unsubscribe(channel, match) = @told << ["unsubscribe", channel, match]

        # What a broker would send back.
        def publish(channel, message)
          @told << ["publish", channel, message]
          Volador::PubSub.publish(channel, "#{message} by engine", engine: false)
        end
      end
    end

    class Desk
      def engine(_query) = Volador::PubSub.attach(Counter).told

      def engine_default(query) = Volador::PubSub.default = (query.empty? ? nil : Counter)

      def engine_over(_query) = [Volador::PubSub.detach(Counter), Counter.told]

      def engine_publish(query) = query.map { |channel, message| Volador.publish(channel, message, engine: Counter) }
    end
  RUBY

  shared_server("#{app}\nrun Desk.new\n", "-t", "4")

  # @return [Object] what the server answered
  def desk(target)
    response = server.get(target)
    expect(response.status).to eq(200)
    JSON.parse(response.body, quirks_mode: true)
  end

  # @return [String] the answer to a command; nothing may come before it
  def tell(client, *command)
    client.send_text(JSON.generate(command))
    client.read_message
  end

  # @yieldparam client [WebSocketClient] subscribed to these channels
  def web_socket(*channels, &block)
    WebSocketClient.open(server.port, "/?#{channels.join('&')}") do |client|
      expect(client.read_message).to eq("=open")
      block.call(client)
    end
  end

  def event_stream(*channels, &block)
    EventStreamClient.open(server.port, "/?#{channels.join('&')}") do |client|
      expect(client.read_data).to eq("=open")
      block.call(client)
    end
  end

  def publish(channel, message)
    expect(desk("/publish?#{channel}=#{message}")).to eq([true])
  end

  # Nothing else has come: what is published last is the next.
  def expect_nothing_more(client, channel, expected = "last")
    publish(channel, "last")
    expect(client.read_message).to eq(expected)
  end

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
    server = start_volador("#{app}\nrun Desk.new\n") # of its own: nobody else's subscriptions are counted
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

  describe "Volador.subscribe" do
    it "works before a server runs" do
      server.wait_for_output(/^early subscription: early, published: false$/)
      publish("early", "hello")
      server.wait_for_output(/^early: early hello$/)
    end

    it "calls the block with channel and message, keeps their kind, and ends by Volador.unsubscribe" do
      desk("/listen?global=ear")
      publish("global", "text")
      desk("/binary?global=bits")
      server.wait_for_output(/^ear: global "text" UTF-8\near: global "bits" ASCII-8BIT$/)
      expect([desk("/leave?global"), desk("/leave?global")]).to eq([[true], [false]])
      publish("global", "late")
      publish("early", "afterwards")
      server.wait_for_output(/^early: early afterwards$/)
      expect(server.output).not_to include("ear: global \"late\"")
    end

    it "replaces the block of the same channel" do
      desk("/listen?replaced=old")
      desk("/listen?replaced=new")
      publish("replaced", "x")
      server.wait_for_output(/^new: replaced "x"/)
      expect(server.output).not_to match(/^old: /)
    end

    it "calls it in the order of the messages, one at a time" do
      desk("/listen?queue=slow")
      desk("/many?queue=100")
      server.wait_for_output(/slow: queue "queue 99"/)
      expect(server.output.scan(/^slow: queue "queue (\d+)"/).flatten.map(&:to_i)).to eq(Array.new(100, &:itself))
    end

    it "logs what the block raises" do
      desk("/listen?broken=ear")
      publish("broken", "raise")
      server.wait_for_output(/the block of a subscription raised, for the channel broken: broken ear/)
      publish("broken", "hello")
      server.wait_for_output(/^ear: broken "hello"/)
    end
  end

  it "raises for a name that is none" do
    expect(desk("/wrong?#{'x' * 1025}")).to eq("ArgumentError")
    expect(desk("/wrong?=x")).to eq("ArgumentError")
  end

  describe "an engine" do
    it "is told of subscriptions and carries what is published by it" do
      web_socket("carried") do |client|
        expect(desk("/engine")).to include(["subscribe", "carried", nil], ["subscribe", "early", nil])
        expect(desk("/engine_publish?carried=one")).to eq([true])
        expect(client.read_message).to eq("one by engine")
        desk("/engine_default?on")
        publish("carried", "two")
        expect(client.read_message).to eq("two by engine")
        desk("/engine_default")
        publish("carried", "three")
        expect(client.read_message).to eq("three")
        tell(client, "unsubscribe", "carried")
        detached, told = desk("/engine_over")
        expect(detached).to be(true)
        expect(told).to include(["unsubscribe", "carried", nil]) # perhaps not as the last: earlier clients leave late
      end
    ensure
      desk("/engine_over")
    end
  end

  it "reaches every subscriber once when there are several shards" do
    server = start_configured("#{app}\nVolador.subscribe('shared') { Volador.publish('counted', 'by the process') }\nDesk.new",
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

  it "ends blocks of a server that stops, and begins with the next" do
    server = start_ruby(<<~'RUBY')
      require "volador"
      Volador.subscribe("news") { |_channel, message| $stdout.write("heard #{message}\n") }
      $stdout.sync = true
      2.times do |index|
        options = Volador::Configuration.new(port: 0, quiet: true)
        one = Volador::Server.new(->(_env) { [200, {}, []] }, options).start
        two = Volador::Server.new(->(_env) { [200, {}, []] }, options).start
        Volador.publish("news", "both #{index}")
        sleep 0.01 until one.stats[:published].to_i + two.stats[:published].to_i >= 2
        one.stop
        Volador.publish("news", "one #{index}")
        two.stop
        $stdout.write("published: #{Volador.publish('news', 'nobody')}\n")
      end
    RUBY
    expect(server.wait).to be_success
    expect(server.output.lines.map(&:chomp)).to eq(["heard both 0", "heard one 0", "published: false",
                                                   "heard both 1", "heard one 1", "published: false"])
  end
end
