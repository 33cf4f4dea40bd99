# frozen_string_literal: true

require_relative "../integration/integration_helper"

RSpec.describe "Push while the collector is at work", gc: :server do
  application = <<~RUBY
    class Echo
      def initialize(name, writer)
        @name = name
        @writer = writer
      end

      def on_message(data)
        raise "it broke" if data == "raise"

        @writer.write("\#{@name} \#{data}")
      end

      def on_close
        $stderr.write("closed \#{@name}\\n")
      end
    end

    class Short
      def on_open
        write("open")
      end

      def on_message(data)
        write(data)
      end
    end

    class App
      def call(env)
        if env["HTTP_UPGRADE"] && env["PATH_INFO"] == "/iodine"
          env["upgrade.websocket"] = Short.new
          return [0, {}, []]
        end

        Volador.broadcast(env["QUERY_STRING"], "news")
        [200, {}, []]
      end
    end

    class Opening < App
      def on_open(env)
        name = env["PATH_INFO"][1..-1]
        env["push.writer"].write("hello \#{name}")
        name == "silent" ? nil : Echo.new(name, env["push.writer"])
      end
    end

    map("/old") { run App.new }
    run Opening.new
  RUBY

  it "keeps handlers, writers and messages" do
    server = start_volador(application, "-t", "2")
    clients = Array.new(3) { |index| WebSocketClient.open(server.port, "/w#{index}") }
    clients.each_with_index { |client, index| expect(client.read_message).to eq("hello w#{index}") }
    5.times do |round|
      clients.each { |client| client.send_text("täxt #{round}") }
      clients.each_with_index { |client, index| expect(client.read_message).to eq("w#{index} täxt #{round}") }
    end
    clients.each(&:close)
    server.wait_for_output(/(closed w\d.*?){3}/m)

    expect(server.output.scan(/closed (w\d)/).flatten).to match_array(%w[w0 w1 w2])
  end

  it "keeps broadcasts, with and without a handler, over both transports" do
    server = start_volador(application, "-t", "2")
    clients = %w[/loud /silent].product(PushClient::TRANSPORTS).map do |target, transport|
      PushClient.open(transport, server.port, target).tap(&:read)
    end
    3.times do
      server.get("/send?/**")
      expect(clients.map(&:read)).to all(eq("news"))
    end
    clients.each(&:leave)
  end

  it "keeps the handlers of Iodine's form" do
    server = start_volador(application, "-t", "2")
    WebSocketClient.open(server.port, "/old/iodine") do |client|
      expect(client.read_message).to eq("open")
      expect(client.send_binary("\xFF").read_message).to eq("\xFF".b)
    end
  end

  it "survives handlers that raise, and stops in order" do
    server = start_volador(application, "-t", "2")
    WebSocketClient.open(server.port, "/broken") do |client|
      client.read_message
      client.send_text("raise")
      server.wait_for_output(/it broke/)
    end
    WebSocketClient.open(server.port, "/last", &:read_message)
    server.wait_for_output(/closed last/)

    expect(server.stop.exitstatus).to eq(0)
  end
end
