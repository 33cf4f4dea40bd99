# frozen_string_literal: true

# An application of the draft's form, whose path chooses the handler, and what is said to it.
RSpec.shared_context "with an app of the draft" do
  # Everything below Rack::Lint, since an app that has to pass it must be able to upgrade.
  shared_server(<<~'RUBY', "-t", "4")
    require "rack"

    # Says what it is told, in one line each.
    class Recorder
      def initialize(name) = @name = name

      def on_open(client)
        note("open", client.protocol)
        client.write("open")
      end

      def on_message(client, data)
        note("message", data.b.inspect)
        client.write(data)
      end

      def on_close(_client) = note("close")

      private

      def note(*words) = $stderr.write("#{@name}: #{words.join(' ')}\n")
    end

    # Evaluates what the client sends, in the open, and answers with what came out.
    class Console
      attr_accessor :later

      def on_message(client, data) = client.write(reply(client, data))

      def reply(client, data)
        eval(data, binding).inspect
      rescue StandardError => e
        e.class.name
      end

      def on_close(client)
        $stderr.write("console closed: #{instance_exec(client, &later).inspect}\n") if later
      end
    end

    class Slow < Recorder
      def on_open(client)
        sleep 0.2
        super
      end
    end

    class Failing
      def initialize(callback)
        @callback = callback
        define_singleton_method(callback) { |*| raise NotImplementedError, "cannot #{callback}" }
      end

      def on_close(_client) = $stderr.write("failing #{@callback} closed\n")
    end

    class Swap
      def initialize(name) = @name = name

      def on_open(client) = client.write("#{@name} opened")

      def on_message(client, data) = client.handler = Swap.new(data)

      def on_close(client) = client.write("#{@name} closed") || $stderr.write("swap #{@name} ended\n")
    end

    module Modular
      def self.on_open(client) = client.write("module")
    end

    class OfItsOwn
      def self.on_open(client) = client.write("class")
    end

    class PerConnection
      def on_open(client) = client.write("instance of #{self.class} #{client.handler.equal?(self)}")
    end

    class HelloAndBye
      def on_open(client) = client.write("hello") && client.close
    end

    class Resuming
      def on_open(client) = client.write("after #{client.env['HTTP_LAST_EVENT_ID'].dup.force_encoding('UTF-8').inspect}")
    end

    class Unmade
      def initialize = raise("cannot be made")

      def on_open(_client); end
    end

    UnsentBody = Struct.new(:name) do
      def each = yield("unsent")

      def close = $stderr.write("body #{name} closed\n")
    end

    class App
      PLAIN = { "content-type" => "text/plain" }.freeze
      HANDLERS = {
        "slow" => -> { Slow.new("slow") }, "console" => -> { Console.new }, "swap" => -> { Swap.new("first") },
        "module" => -> { Modular }, "class" => -> { OfItsOwn }, "instance" => -> { PerConnection },
        "bare" => -> { Object.new }, "hello-and-bye" => -> { HelloAndBye.new }, "resuming" => -> { Resuming.new }
      }.freeze

      def call(env)
        word = env["PATH_INFO"].delete_prefix("/")
        case word
        when "says" then return [200, PLAIN.dup, [env["rack.upgrade?"].inspect]]
        when "refused"
          env["rack.upgrade"] = Recorder.new("refused")
          return [402, PLAIN.merge("x-price" => "7"), ["pay first"]]
        when "body"
          env["rack.upgrade"] = Recorder.new("body")
          return [200, PLAIN.dup, UnsentBody.new(env["QUERY_STRING"])]
        when "unmade"
          env["rack.upgrade"] = Unmade
          return [200, PLAIN.dup, UnsentBody.new("of the unmade")]
        when "status"
          env["rack.upgrade"] = Recorder.new("status")
          return [Integer(env["QUERY_STRING"]), {}, []]
        when "headers"
          env["rack.upgrade"] = Recorder.new("headers")
          chosen = env["HTTP_X_CHOOSE"] || env["HTTP_SEC_WEBSOCKET_PROTOCOL"].to_s.split(", ").last
          cookies = Rack.release < "3" ? "a=1\nb=2" : %w[a=1 b=2]
          headers = PLAIN.merge("x-room" => "7", "set-cookie" => cookies)
          headers["sec-websocket-protocol"] = chosen if chosen
          return [200, headers, []]
        end
        made = HANDLERS[word]
        env["rack.upgrade"] = if word.start_with?("failing-") then Failing.new(word.delete_prefix("failing-"))
                              else made ? made.call : Recorder.new(word)
                              end
        [env["rack.upgrade?"] ? 200 : 404, PLAIN.dup, []]
      end
    end

    use Rack::Lint
    map("/mapped") { run App.new }
    run App.new
  RUBY

  def push(transport, target, headers = {}, &block)
    PushClient.open(transport, server.port, target, headers: headers, &block)
  end

  def web_socket(target, **options, &block)
    WebSocketClient.open(server.port, target, **options, &block)
  end

  # @return [String] what came out of that Ruby expression, evaluated in the handler
  def ask(client, expression)
    client.send_text(expression)
    client.read_message
  end

  # @return [Array<String>] what the recorder of that name has noted by now
  def noted(name)
    server.output.scan(/^#{name}: (.*)$/).flatten
  end
end
