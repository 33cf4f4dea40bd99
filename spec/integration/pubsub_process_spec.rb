# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Pub/sub of the process" do
  include_context "with a desk for channels"

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

  it "does not keep a program from its end while an engine waits for its broker, with more to be told" do
    server = start_ruby(<<~'RUBY')
      require "volador"
      STEPS = Queue.new
      engine = Object.new.tap do |one|
        def one.subscribe(*) = (STEPS << :told) && sleep
        def one.unsubscribe(*) = nil
        def one.publish(*) = true
      end
      Volador::PubSub.attach(engine)
      handler = Object.new.tap do |one|
        def one.on_open(client) = %w[a b].each { |channel| client.subscribe(channel) } && (STEPS << :opened)
      end
      app = ->(env) { (env["rack.upgrade"] = handler) && [200, {}, []] }
      server = Volador::Server.new(app, Volador::Configuration.new(port: 0, quiet: true)).start
      socket = TCPSocket.new("127.0.0.1", server.addresses.first[/\d+\z/].to_i)
      socket.write("GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
      2.times { STEPS.pop }
      warn "the end"
    RUBY
    server.wait_for_output(/^the end$/)

    expect(server.wait).to be_success
    expect(server.output).to eq("the end\n")
  end

  it "lets a signal handler publish, broadcast and write, and subscribes nobody in there" do
    server = start_volador(<<~'RUBY')
      class Room
        def on_open(client)
          client.subscribe("news")
          Signal.trap("USR2") do
            warn [client.publish("news", "one"), Volador.publish("news", "two"), client.write("three"),
                  Volador.broadcast("/**", "four")].inspect
            [-> { client.subscribe("a") }, -> { Volador.subscribe("a") { nil } }].each do |subscribe|
              subscribe.call
            rescue ThreadError => e
              warn e.message
            end
          end
          client.write("ready")
        end
      end

      run(lambda do |env|
        env["rack.upgrade"] = Room.new
        [200, {}, []]
      end)
    RUBY
    WebSocketClient.open(server.port) do |client|
      expect(client.read_message).to eq("ready")
      server.signal(:USR2)
      expect(Array.new(4) { client.read_message }).to eq(%w[one two three four])
    end
    server.wait_for_output(/^\[true, true, true, nil\]\n(can't be called from trap context\n){2}/)
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
        # Another thread tells it; perhaps not as the last: earlier clients leave late.
        Deadline.until("the engine to be told") { desk("/engine_told").include?(["unsubscribe", "carried", nil]) }
        expect(desk("/engine_over").first).to be(true)
      end
    ensure
      desk("/engine_over")
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
