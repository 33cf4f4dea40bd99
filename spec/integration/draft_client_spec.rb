# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The rack.upgrade draft" do
  include_context "with an app of the draft"

  describe "client" do
    it "knows env, protocol and handler" do
      web_socket("/console?x=1") do |client|
        expect(ask(client, "[client.env['QUERY_STRING'], client.protocol, client.handler.equal?(self)]"))
          .to eq('["x=1", :websocket, true]')
        expect(ask(client, "[client.open?, client.pending.class, client.pubsub?]")).to eq("[true, Integer, true]")
      end
    end

    it "answers write with true, and TypeError for what is no String" do
      web_socket("/console") do |client|
        expect(ask(client, "client.write(:x)")).to eq("TypeError")
        client.send_text("client.write('first')")
        expect([client.read_message, client.read_message]).to eq(%w[first true])
      end
    end

    it "closes once what was written has been sent, and answers nil" do
      web_socket("/console") do |client|
        client.send_text(<<~'RUBY')
          20.times { |index| client.write(index.to_s) }
          $stderr.write("close: #{client.close.inspect}\n")
        RUBY
        expect(Array.new(20) { client.read_message }).to eq(Array.new(20, &:to_s))
        expect(client.read_close).to eq(1000)
      end
      server.wait_for_output(/^close: nil$/)
    end

    it "answers false, -1 and nil once it is closed" do
      web_socket("/console") do |client|
        ask(client, "self.later = ->(client) { [client.open?, client.write('x'), client.pending, client.close, " \
                    "client.subscribe('a'), client.subscribe('a') { nil }] }; nil")
        client.close
      end
      server.wait_for_output(/^console closed: \[false, false, -1, nil, nil, nil\]$/)
    end

    it "counts what waits, and on_drained is called once it is sent" do
      server = start_configured(<<~'APP', send_queue_max_bytes: 64 * 1024 * 1024)
        class Heap
          def on_message(client, _data)
            # More than the sockets take, in one piece: of several the first ones may be through before the others.
            client.write("x" * 18_000_000)
            # The gateway tells a moment later.
            sleep 0.01 until client.pending.positive?
            $stderr.write("pending: #{client.pending.positive?}\n")
          end

          def on_drained(client) = $stderr.write("drained: #{client.pending}\n")
        end

        lambda do |env|
          env["rack.upgrade"] = Heap.new
          [200, {}, []]
        end
      APP
      WebSocketClient.open(server.port) do |client|
        client.send_text("go")
        server.wait_for_output(/^pending: true$/)
        expect(server.output).not_to include("drained: ")
        expect(client.read_message.size).to eq(18_000_000)
        server.wait_for_output(/^drained: 0$/)
      end
    end

    it "calls on_drained when what was written is sent, so that it may write the next" do
      server = start_volador(<<~'APP')
        class Pump
          def on_open(client)
            @sent = 0
            client.write("part 0")
            client.write("of 5")
          end

          def on_drained(client)
            return client.close if @sent == 4

            client.write("part #{@sent += 1}")
          end

          def on_close(_client) = warn("sent #{@sent}")
        end

        run(lambda do |env|
          env["rack.upgrade"] = Pump.new
          [200, {}, []]
        end)
      APP
      WebSocketClient.open(server.port) do |client|
        expect(Array.new(6) { client.read_message }).to eq(["part 0", "of 5", *(1..4).map { |n| "part #{n}" }])
      end
      EventStreamClient.open(server.port) do |stream|
        expect(Array.new(6) { stream.read_event.data }).to eq(["part 0", "of 5", *(1..4).map { |n| "part #{n}" }])
      end
      2.times { server.wait_for_output(/^sent 4$/) }
    end

    it "takes another handler: on_close of the old, on_open of the new" do
      web_socket("/swap") do |client|
        expect(client.read_message).to eq("first opened")
        client.send_text("second")
        expect([client.read_message, client.read_message]).to eq(["first closed", "second opened"])
        client.send_text("third")
        expect([client.read_message, client.read_message]).to eq(["second closed", "third opened"])
      end
      server.wait_for_output(/^swap third ended$/)
    end
  end
end
