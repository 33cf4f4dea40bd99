# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A block of a subscription that is slower than the publications" do
  # Numbered messages of 1 MiB. The block of the process stands at the gate, then notes the numbers that it gets; the
  # block of a client likewise, at another gate.
  let(:app) do
    <<~'RUBY'
      require "json"

      MIB = 1024 * 1024

      Slow = Struct.new(:gate, :tell) do
        def call(_channel, message)
          number = message[/\d+/]
          tell.call("at the gate") && File.read(gate) if number == "0"
          tell.call(number)
        end
      end

      class Talker
        def on_open(client)
          client.subscribe("client", &Slow.new("client-gate", client.method(:write)).method(:call))
          client.write("open")
        end

        def on_message(client, data) = client.write("you said #{data}")

        def on_close(_client) = $stderr.write("client closed\n")
      end

      Volador.subscribe("process", handler: Slow.new("process-gate", ->(line) { $stderr.write("process: #{line}\n") }))

      Class.new do
        def call(env)
          env["rack.upgrade"] = Talker.new if env["rack.upgrade?"]
          channel, from, to = env["QUERY_STRING"].split(",")
          publish(channel, from.to_i...to.to_i) if channel
          [200, {}, [JSON.generate(Volador.stats)]]
        end

        # As fast as the gateway takes them.
        def publish(channel, numbers)
          numbers.each do |number|
            Volador.publish(channel, number.to_s.ljust(MIB))
            sleep 0.001 until Volador.stats[:published] > number
          end
        end
      end.new
    RUBY
  end

  def start
    start_configured(app, threads: 3, block_queue_max_bytes: 8 * 1024 * 1024)
  end

  # @return [Hash]
  def ask(server, target = "/")
    JSON.parse(server.get(target).body, symbolize_names: true)
  end

  # @return [Integer] MiB that the process has in memory
  def memory(server)
    Integer(File.read("/proc/#{server.pid}/status")[/VmRSS:\s+(\d+)/, 1]) / 1024
  end

  def warnings(server)
    server.output.lines.grep(/slower than what is published/)
  end

  it "loses the oldest, which are counted and named once, and its memory stays bounded", :aggregate_failures do
    server = start
    gate = Gate.new(server, "process-gate")
    ask(server, "/?process,0,1")
    server.wait_for_output(/^process: at the gate$/)
    ask(server, "/?process,1,50")
    before = memory(server)
    ask(server, "/?process,50,400")

    expect(memory(server) - before).to be < 100
    expect(ask(server)[:dropped_block]).to be_between(390, 393)
    expect(warnings(server).size).to eq(1)
    expect(warnings(server).first).to include('"process"', "more than 8388608 bytes", "block_queue_max_bytes")
    gate.open
    server.wait_for_output(/^process: 399$/)
    told = server.output.scan(/^process: (\d+)$/).flatten.map(&:to_i)
    expect(told).to eq([0, *(ask(server)[:dropped_block] + 1..399)])
  end

  it "of a client loses publications only: messages and the end come through", :aggregate_failures do
    server = start
    gate = Gate.new(server, "client-gate")
    WebSocketClient.open(server.port, "/") do |client|
      expect(client.read_message).to eq("open")
      ask(server, "/?client,0,1")
      expect(client.read_message).to eq("at the gate")
      client.send_text("first")
      ask(server, "/?client,1,30")
      client.send_text("second")
      ask(server, "/?client,30,60")
      dropped = ask(server)[:dropped_block]
      expect(dropped).to be_between(50, 53)
      gate.open

      told = Array.new(60 - dropped + 2) { client.read_message }
      expect(told).to eq(["0", "you said first", "you said second", *(dropped + 1..59).map(&:to_s)])
    end
    server.wait_for_output(/^client closed$/)
    expect(warnings(server).size).to eq(1)
  end

  it "is cut off by the drain timeout, and what waited for a connection's blocks is said and counted", :aggregate_failures do
    server = start_ruby(<<~RUBY)
      require "volador"
      stop = Queue.new
      handler = Class.new do
        def on_open(client)
          client.subscribe("news") { warn("begun") || sleep }
          client.write("open")
        end
      end
      app = lambda do |env|
        env["rack.upgrade"] = handler.new if env["rack.upgrade?"]
        10.times { Volador.publish("news", "hi") } if env["PATH_INFO"] == "/publish"
        stop << true if env["PATH_INFO"] == "/stop"
        [200, {}, []]
      end
      configuration = Volador::Configuration.new(port: 0, threads: 2, drain_timeout: 0.2)
      server = Volador::Server.new(app, configuration).start
      puts "listening on \#{server.url}"
      $stdout.flush
      stop.pop
      server.stop
      puts "dropped \#{server.stats[:dropped_block]}"
    RUBY
    client = WebSocketClient.open(server.port, "/")
    expect(client.read_message).to eq("open")
    server.get("/publish")
    server.wait_for_output(/^begun$/)
    server.get("/stop")
    expect(client.read_close).to eq(1001)
    client.close_socket
    server.wait
    expect(server.output).to include("9 publications that waited for blocks of subscriptions", "dropped 9\n")
  end

  it "does not wait for a log that never takes the line about what has waited" do
    server = keep(ServerProcess.ruby_program(<<~RUBY))
      require "volador"
      never = Object.new
      def never.write(*) = sleep
      configuration = Volador::Configuration.new(port: 0, threads: 1, quiet: true)
      server = Volador::Server.new(->(_env) { [200, {}, []] }, configuration, log: Volador::Log.new(never)).start
      begun = Queue.new
      Volador.subscribe("news") { begun << true and sleep }
      2.times { Volador.publish("news", "hi") }
      begun.pop
      server.halt
      puts "ended"
    RUBY
    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to eq("ended\n")
  end
end
