# frozen_string_literal: true

require_relative "integration_helper"

# Whoever has left may be another client than the one whose callback writes.
RSpec.describe "A ClosedError that is let through" do
  shared_server(<<~'RUBY')
    LEFT = Queue.new

    module Late
      # Raises, as its client has left.
      def late(what)
        $stderr.write("#{what}\n")
        LEFT.pop.tap { |writer| LEFT << writer }.write("x")
      end
    end

    class Seed
      include Late

      def initialize(writer) = @writer = writer
      def on_close = late("seed: on_close")

      def on_message(data)
        data == "still there?" ? @writer.write("yes") : late("seed: on_message")
      end
    end

    class Draft
      include Late

      def on_close(_client) = late("draft: on_close")

      def on_message(client, data)
        data == "still there?" ? client.write("yes") : late("draft: on_message")
      end

      def on_open(client)
        client.subscribe("news") { late("draft: block") }
        late("draft: on_open")
      end
    end

    class App
      def call(_env) = [200, {}, []]

      def on_open(env)
        return Seed.new(env["push.writer"]) unless env["PATH_INFO"] == "/left"

        LEFT << env["push.writer"].tap(&:close)
        nil
      end
    end

    extend Late
    Volador.subscribe("news") { late("block") }
    map("/draft") { run ->(env) { (env["rack.upgrade"] = Draft.new) && [200, {}, []] } }
    map("/news") { run ->(_) { Volador.publish("news", "x") && [200, {}, []] } }
    map("/") { run App.new }
  RUBY

  %w[seed draft].each do |form|
    it "closes no connection of the #{form}, and is not logged" do
      WebSocketClient.open(server.port, "/left", &:read_close)
      WebSocketClient.open(server.port, "/#{form}") do |client|
        client.send_text("hello")
        server.get("/news")
        client.send_text("still there?")
        expect(client.read_message).to eq("yes")
      end
      server.wait_for_output(/^#{form}: on_close$/)
      server.wait_for_output(/^block$/)
      # A moment for what would be logged.
      server.get("/")
      seen = server.output.lines.map(&:chomp)
      expect(seen).to include("#{form}: on_message", *("draft: block" if form == "draft"))
      expect(seen.join("\n")).not_to match(/raised|ClosedError/)
    end
  end
end
