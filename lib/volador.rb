# frozen_string_literal: true

require_relative "volador/version"
require_relative "volador/error"
require "volador/volador_ext"
require_relative "volador/server"

# What was said last. First of all, so that it is called last: Ruby goes backwards.
at_exit { Volador::Output.finish }

# A Rack server whose WebSocket and SSE connections live outside of Ruby.
#
#     Volador.run(app, port: 3000, threads: 8)
#
#     class Clock
#       def call(env) = [200, { "content-type" => "text/html" }, [PAGE]]
#       def on_open(env) = Ticker.new(env["push.writer"])   # its on_message(data) and on_close are called
#     end
#
#     Volador.broadcast("/rooms/*", "hello")
#     Volador.publish("news", "hello")
module Volador
  # Path segments separated by "/"; "*" and "**" are segments of their own.
  PATTERN_RULE = 'broadcast takes a path like "/rooms/7", "/rooms/*" (one segment) or "/rooms/**" (any tail)'
  private_constant :PATTERN_RULE

  module Cluster
    # Loaded by the first thread that connects, while others wait.
    autoload :Guest, File.expand_path("volador/cluster/guest", __dir__)
  end

  class << self
    # Serves the application until {Server#stop}, or INT or TERM when called in the main thread.
    # @param app [#call] a Rack application
    # @param options see {Configuration}: port, host, bind, threads, …
    # @yieldparam server [Server] once it listens
    # @return [nil]
    # @raise [BootError] when an address cannot be listened on
    # @raise [ConfigurationError] for an unknown option or a value that an option cannot have
    def run(app, **options, &block)
      Server.new(app, Configuration.new(**options)).run(&block)
    end

    # Joins the gateway of a server with workers, from a console or a script: {publish}, {broadcast}, {subscribe} and
    # {stats} work then as they do in the application.
    # @param control_socket [String, nil] the server's; nil: of the server that runs in the present folder
    # @return [Cluster::Guest] with `close`
    # @raise [Error] when there is no such server, or when this process is one of its own
    def connect(control_socket = nil)
      Cluster::Guest.connect(control_socket)
    end

    # Sends to every push connection, WebSocket and SSE, of this process's server whose request path matches. From
    # any thread, also outside of a request; waits for no client, and for a gateway that is 2 MiB behind a second at most.
    # When no server runs, nobody is connected.
    # @param path [String] "/rooms/7" exactly; "*" stands for one segment; "**", at the end, for any tail
    # @param data [Event, #to_s] a UTF-8 String goes as text, a BINARY one as binary
    # @return [nil]
    # @raise [ArgumentError] for a path that does not start with "/" or has "**" anywhere but at the end
    # @raise [Error] for data that is longer than 1 GiB, together with the path
    def broadcast(path, data)
      path = path.to_s
      unless path.encoding.ascii_compatible? && path.start_with?("/") && !path.include?("/**/")
        raise ArgumentError, "#{PATTERN_RULE}, got #{path.inspect}"
      end

      data = Push::Payload.of(data.to_s) unless data.is_a?(Event)
      Server.reach.each { |server| server.broadcast(path, data) }
      nil
    end

    # Sends to everybody who is subscribed to the channel: clients (see {Push::Client#subscribe}) and blocks. From any
    # thread, also outside of a request; waits for none of them, and for a gateway that is 2 MiB behind a second at most.
    # @param channel [String, Symbol] 1 to 1024 bytes
    # @param message [String, Event] a UTF-8 String goes as text, a BINARY one as binary
    # @param engine [nil, false, #publish] who carries it: see {PubSub}
    # @return [Boolean] whether it was scheduled; false when no server runs
    # @raise [TypeError, ArgumentError] for what can't be a channel or a message
    # @raise [Error] for a message that is longer than 1 GiB, together with the channel's name
    def publish(channel, message, engine: nil)
      PubSub.publish(channel, message, engine: engine)
    end

    # Calls the block with every message that is published to the channel, on the application threads of the server:
    # one message at a time, in their order. Also before a server runs: it starts with the server. A second subscription
    # to the same channel, with the same match, replaces the first. What the block raises is logged.
    # @param channel [String, Symbol]
    # @param match [nil, :glob, :subject] exactly this channel; a glob by the rules of Redis; tokens separated by ".",
    #   with "*" for one and a last ">" for any tail
    # @param handler [#call, nil] instead of the block
    # @yieldparam channel [String] the one that was published to
    # @yieldparam message [String] UTF-8 for text, BINARY for binary
    # @return [PubSub::Subscription] with `unsubscribe`
    # @raise [TypeError, ArgumentError] for what can't be a channel, and without a block
    def subscribe(channel, match: nil, handler: nil, &block)
      PubSub.subscribe(channel, match: match, handler: handler, &block)
    end

    # Ends what {subscribe} began.
    # @return [Boolean] whether there was such a subscription
    def unsubscribe(channel, match: nil)
      PubSub.unsubscribe(channel, match: match)
    end

    # The figures of all servers that run in this process, together: connections, messages, bytes, waits. docs/stats.md
    # says what each one means.
    # @return [Hash{Symbol => Integer, Float}] {} when none runs
    def stats
      Server.reach.map(&:stats).reduce({}) do |sum, stats|
        sum.merge(stats) { |name, one, other| name.end_with?("_max") ? [one, other].max : one + other }
      end
    end
  end
end
