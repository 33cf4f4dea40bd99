# frozen_string_literal: true

require_relative "integration_helper"
require "socket"

# Peers that vanish, stall, or send more than the application takes: nothing may leak, grow or wait for them.
RSpec.describe "Slow and hostile peers", :slow do
  # @return [Hash{Symbol => Integer, Float}] of the server, with :memory and :memory_peak in KiB
  def figures_of(server)
    JSON.parse(server.get("/stats").body, symbolize_names: true)
  end

  figures = <<~'RUBY'
    require "json"
    require "rack"
    FIGURES = lambda do |**more|
      GC.start
      status = File.read("/proc/self/status")
      more.update(memory: status[/VmRSS:\s+(\d+)/, 1].to_i, memory_peak: status[/VmHWM:\s+(\d+)/, 1].to_i)
      [200, {}, [JSON.generate(Volador.stats.merge(more))]]
    end
  RUBY

  describe "10,000 connections, thousands at once, that open and vanish at random while there are publications" do
    application = <<~'RUBY'
      # Numbers the handlers, and knows those whose on_close is still to come.
      module Register
        OPEN = {}
        LOCK = Mutex.new
        @opened = @closed = @closed_twice = @open_max = 0

        class << self
          def open = LOCK.synchronize { (@opened += 1).tap { |number| OPEN[number] = true } }

          def close(number) = LOCK.synchronize { OPEN.delete(number) ? @closed += 1 : @closed_twice += 1 }

          # Notes how many connections there are at once.
          def look
            now = Volador.stats.values_at(:websocket_connections, :sse_connections).sum(&:to_i)
            @open_max = now if now > @open_max
          end

          def figures
            LOCK.synchronize { { opened: @opened, closed: @closed, closed_twice: @closed_twice, open_max: @open_max } }
          end
        end
      end

      # For the draft.
      class Passer
        def on_open(client)
          @number = Register.open
          client.subscribe("news")
          client.subscribe("new?", match: :glob) { |_channel, message| client.write(message) } if (@number % 50).zero?
        end

        def on_message(client, data) = client.publish("news", data)

        def on_close(_client) = Register.close(@number)
      end

      # For on_open(env), whose handshake may fail after it.
      class Visitor
        def initialize = @number = Register.open

        def on_close = Register.close(@number)
      end

      class Guests
        def call(_env) = [200, {}, []]

        def on_open(env)
          env["push.writer"].write("welcome")
          Visitor.new
        end
      end

      # Publishes when what was published before has gone through: by the clock it could be more than a busy machine can
      # carry to some thousands, and all else would have to wait for it.
      through = Thread::Queue.new
      Volador.subscribe("through") { through << true }
      Thread.new do
        sleep 0.01 until Volador.stats[:subscriptions] == 1
        loop do
          Volador.publish("news", "x" * 64)
          Volador.broadcast("/guests", "y" * 64)
          Volador.publish("through", "z")
          through.pop
          Register.look
          sleep 0.5
        end
      end

      draft = lambda do |env|
        next FIGURES.call(**Register.figures) unless env["rack.upgrade?"]

        env["rack.upgrade"] = Passer.new
        [200, {}, []]
      end
      Rack::URLMap.new("/guests" => Guests.new, "/" => draft)
    RUBY
    application = "#{figures}#{application}"

    # The server and this process need a file for each connection.
    around do |example|
      limits = Process.getrlimit(:NOFILE)
      Process.setrlimit(:NOFILE, limits.last, limits.last)
      example.run
    ensure
      Process.setrlimit(:NOFILE, *limits)
    end

    it "leak nothing, four times, and on_close is called once for each", :aggregate_failures do
      server = start_configured(application, threads: 3)
      alive = [4_000, Process.getrlimit(:NOFILE).last - 500].min
      crowd = Crowd.new(server.port, alive: alive, targets: %w[/news /news /guests],
                                     random: Random.new(RSpec.configuration.seed))
      # What stays is the connection that asks, and the subscription of the process.
      gone = { websocket_connections: 0, sse_connections: 0, http_connections: 1, subscriptions: 1, handlers: 0, queued: 0 }
      accepted = 0
      after = Array.new(4) do
        accepted += crowd.come(10_000)
        crowd.leave
        Deadline.until("all to be gone") do
          figures = figures_of(server)
          figures if gone <= figures && figures[:opened] == figures[:closed]
        end
      end
      expect(after.last).to include(closed_twice: 0)
      # Others may have left before the application was asked.
      expect(after.last[:opened]).to be_between(accepted, 40_000)
      expect(accepted).to be > 20_000
      expect(after.last[:open_max]).to be > alive / 2
      expect(after.last[:published]).to be > 10
      expect(after.last[:closed_protocol]).to be > 100
      # The first rounds fill what the allocator keeps.
      expect(after[3][:memory]).to be < after[2][:memory] + (8 << 10)
      expect(server.output).not_to match(/WARN|ERROR|raised/)
    end
  end

  describe "200 MB published past a subscriber that does not read" do
    count = 12_800
    bytes = 16 << 10
    window = 32 # of messages: half a MiB, which is less than a send queue holds
    application = figures + <<~RUBY
      # Publishes as fast as the reader says that it reads.
      class Reader
        def on_open(client)
          client.subscribe("flood")
          @sent = 0
        end

        def on_message(client, _data)
          #{window / 2}.times do
            client.publish("flood", format("%08d", @sent) << "x" * #{bytes - 8}) if @sent < #{count}
            @sent += 1
          end
          GC.start if (@sent % 128).zero? # else its peak would be that of Ruby's garbage
        end
      end

      class Staller
        def on_open(client) = client.subscribe("flood")
      end

      lambda do |env|
        next FIGURES.call unless env["rack.upgrade?"]

        env["rack.upgrade"] = env["PATH_INFO"] == "/reader" ? Reader.new : Staller.new
        [200, {}, []]
      end
    RUBY

    fates = { disconnect: { closed_slow: 1, subscriptions: 1 }, drop_oldest: { closed_slow: 0, subscriptions: 2 } }
    fates.each do |policy, fate|
      it "reaches the one that reads, complete and in order, and memory stays (#{policy})", :aggregate_failures do
        # Every frame is counted as a message: no pings, however long it takes.
        server = start_configured(application, slow_client: policy, ping_interval: 3600)
        staller = WebSocketClient.open(server.port, "/staller")
        reader = WebSocketClient.open(server.port, "/reader")
        Deadline.until("two subscriptions") { figures_of(server)[:subscriptions] == 2 }
        before = figures_of(server)

        2.times { reader.send_text("more") }
        longest = 0
        count.times do |index|
          asked = Process.clock_gettime(Process::CLOCK_MONOTONIC)
          payload = reader.read_frame.payload
          longest = [longest, Process.clock_gettime(Process::CLOCK_MONOTONIC) - asked].max
          raise "#{payload.byteslice(0, 8)} in the place of #{index}" unless payload.start_with?(format("%08dx", index))

          reader.send_text("more") if (index % (window / 2)) == (window / 2) - 1
        end
        expect(payload_bytes = count * bytes).to be > 200_000_000
        after = nil
        Deadline.until("the staller's fate") { fate <= (after = figures_of(server)) }
        expect(after).to include(published: count)
        expect(after[:sent_bytes]).to be > payload_bytes
        expect(after[:dropped_oldest]).to(policy == :drop_oldest ? be_between(count * 0.8, count) : eq(0))
        expect(after[:memory_peak]).to be < before[:memory] + (40 << 10)
        expect(longest).to be < 10 # seconds; the staller never reads
        [staller, reader].each(&:close_socket)
      end
    end
  end

  it "a client that sends more than the handler takes is not read from", :aggregate_failures do
    server = start_configured(figures + <<~'RUBY', threads: 2)
      GATE = Queue.new
      HEARD = []

      class Slow
        def on_message(client, data)
          GATE.pop
          HEARD << data.byteslice(0, 8)
          client.write("all") if data.end_with?("last")
        end
      end

      lambda do |env|
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Slow.new
          next [200, {}, []]
        end
        GATE.close if env["PATH_INFO"] == "/go"
        FIGURES.call(heard: HEARD)
      end
    RUBY
    WebSocketClient.open(server.port, "/") do |client|
      before = figures_of(server)
      # A masked binary message of 10,004 bytes.
      head = [0x82, 0xfe, 10_004, 0].pack("CCnN")
      message = ->(index, text) { head + format("%08d", index) + text.rjust(9_996, "x") }
      sent = 0
      bytes = 0
      rest = +""
      # Until the server has read its fill, and the system takes no more for a while.
      loop do
        rest = message.call(sent, "") and sent += 1 if rest.empty?
        written = client.socket.io.write_nonblock(rest, exception: false)
        if written == :wait_writable
          break unless client.socket.io.wait_writable(0.5) || figures_of(server)[:messages] < 64
        else
          bytes += written
          rest = rest.byteslice(written, rest.bytesize)
        end
        raise "the server has taken #{bytes} bytes" if bytes > 100_000_000
      end
      stalled = figures_of(server)
      expect(stalled[:messages]).to be_between(64, 80)
      expect(stalled[:memory]).to be < before[:memory] + (16 << 10)

      server.get("/go")
      client.socket.send_bytes(rest + message.call(sent, "last"))
      expect(client.read_message).to eq("all")
      expect(figures_of(server)[:heard]).to eq(Array.new(sent + 1) { |index| format("%08d", index) })
    end
  end
end
