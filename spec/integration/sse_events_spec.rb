# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Server-sent events with fields" do
  shared_server(<<~'RUBY', "-t", "2")
    GREETING = Volador::Event.new("hello\nyou", event: "greeting", id: "7", retry: 250)

    # Writes what it is asked for, in each way that there is.
    class Draft
      def on_open(client)
        client.subscribe("news")
        client.subscribe("blocks") { |_channel, message| client.write("block got #{message} #{message.encoding}") }
        client.write(GREETING)
        client.write("plain")
        client.write("last", event: "end", retry: 0)
      end

      def on_message(client, _data)
        client.publish("news", Volador::Event.new("from a client", event: "news"))
      end
    end

    class Seed
      def call(env)
        if env["rack.upgrade?"]
          env["rack.upgrade"] = Draft.new
          return [200, {}, []]
        end
        case env["PATH_INFO"]
        when "/publish" then Volador.publish("news", GREETING)
        when "/blocks" then Volador.publish("blocks", GREETING)
        when "/broadcast" then Volador.broadcast("/**", GREETING)
        end
        [200, {}, ["done"]]
      end
    end

    class Writer
      def call(env) = [200, {}, []]

      def on_open(env)
        env["push.writer"].write(GREETING)
        env["push.writer"].write("resumed after #{env['HTTP_LAST_EVENT_ID']}")
        nil
      end
    end

    run Rack::URLMap.new("/writer" => Writer.new, "/" => Seed.new)
  RUBY

  def greeting
    have_attributes(event: "greeting", data: "hello\nyou", id: "7", retry: "250")
  end

  # @yieldparam stream [EventStreamClient]
  def event_stream(target = "/", **options)
    EventStreamClient.open(server.port, target, **options) { |stream| yield stream }
  end

  it "carry event, id and retry from a client's write, and no more than they were given" do
    event_stream do |stream|
      expect(stream.read_event).to greeting
      expect(stream.read_event).to have_attributes(event: "message", data: "plain", id: nil, retry: nil)
      expect(stream.read_event).to have_attributes(event: "end", data: "last", id: nil, retry: "0")
    end
  end

  it "come from env['push.writer'], and the id comes back as HTTP_LAST_EVENT_ID" do
    event_stream("/writer", headers: { "Last-Event-ID" => "7" }) do |stream|
      expect(stream.read_event).to greeting
      expect(stream.read_data).to eq("resumed after 7")
    end
  end

  it "are published and broadcast" do
    event_stream do |stream|
      3.times { stream.read_event }
      %w[/publish /broadcast].each do |target|
        server.get(target)
        expect(stream.read_event).to greeting
      end
    end
  end

  it "reach a WebSocket as their text, in a text frame" do
    WebSocketClient.open(server.port, "/") do |client|
      expect(client.read_frame).to have_attributes(opcode: :text, payload: "hello\nyou")
      expect([client.read_message, client.read_message]).to eq(%w[plain last])
      %w[/publish /broadcast].each do |target|
        server.get(target)
        expect(client.read_message).to eq("hello\nyou")
      end
      event_stream do |stream|
        3.times { stream.read_event }
        client.send_text("go")
        expect(client.read_message).to eq("from a client")
        expect(stream.read_event).to have_attributes(event: "news", data: "from a client")
      end
    end
  end

  it "reach a block as their text" do
    event_stream do |stream|
      3.times { stream.read_event }
      server.get("/blocks")
      expect(stream.read_data).to eq("block got hello\nyou UTF-8")
    end
  end
end
