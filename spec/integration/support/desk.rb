# frozen_string_literal: true

# A server whose clients subscribe and publish as they are told, and whose requests do so for the whole process.
RSpec.shared_context "with a desk for channels" do
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

      def engine_told(_query) = Counter.told

      def engine_over(_query) = [Volador::PubSub.detach(Counter), Counter.told]

      def engine_publish(query) = query.map { |channel, message| Volador.publish(channel, message, engine: Counter) }
    end
  RUBY

  shared_server("#{app}\nrun Desk.new\n", "-t", "4")

  # For servers of their own.
  let(:desk_source) { app }

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
end
