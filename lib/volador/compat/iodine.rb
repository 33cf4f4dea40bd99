# frozen_string_literal: true

require "volador"
require_relative "../fresh_thread"
require_relative "absent"
require_relative "call_decides"
require_relative "claim"
require_relative "iodine/arguments"
require_relative "iodine/client_forms"
require_relative "iodine/deployment"
require_relative "iodine/fork_blocks"
require_relative "iodine/json"
require_relative "iodine/lifecycle"
require_relative "iodine/listener"
require_relative "iodine/pub_sub"
require_relative "iodine/tls"
require_relative "tasks"

module Volador
  module Compat
    # `Iodine`, for applications that were written for it: publishing, subscriptions, timers, states, and the listening
    # of a program. See docs/compat.md.
    module Iodine
      # The version whose methods these are.
      VERSION = "0.7.59"
      # What {listen} takes where a call does not say, and what {Deployment} looks at.
      DEFAULT_SETTINGS = { port: ENV["PORT"] || "3000", address: nil } # rubocop:disable Style/MutableConstant
      DEFAULT_HTTP_ARGS = DEFAULT_SETTINGS
      # The class of clients.
      Connection = Volador::Push::Client

      @tasks = Tasks.new(Log.new)
      @lifecycle = Lifecycle.new(@tasks)
      @listeners = []
      @deployment = Deployment.new(DEFAULT_SETTINGS, @listeners)
      @running = [].freeze
      @threads = 0
      @workers = 0
      @verbosity = 3

      class << self
        # @return [Integer] application threads of {start}; 0 (or less): Volador's default
        attr_accessor :threads
        # @return [Integer] has no effect: there is one process
        attr_accessor :workers
        # @return [Integer] has no effect
        attr_accessor :verbosity
        # @api private
        # @return [Lifecycle]
        attr_reader :lifecycle
        # @api private
        # @return [Deployment]
        attr_reader :deployment

        # `(to, message)`, `(to, message, engine)`, `(to:, message:, engine:)`.
        # @return [Boolean] whether it was scheduled; false when no server runs
        def publish(*given, **named)
          channel, message, engine = Arguments.publish(given, named)
          Volador.publish(channel, message, engine: engine)
        end

        # `(to) { |channel, message| }`, `(to:)`, with `match: :redis` and `handler:`.
        # @return [String, Symbol] the channel as it was given, for {unsubscribe}
        def subscribe(*given, **named, &block)
          wanted = Arguments.subscribe(given, named, block)
          raise ArgumentError, "subscribe needs a block or handler:" unless wanted.block

          Volador.subscribe(wanted.channel, match: wanted.match, &wanted.block)
          wanted.channel
        end

        # Exact or pattern.
        # @return [Boolean] whether there was one
        def unsubscribe(channel)
          [nil, :glob].map { |match| Volador.unsubscribe(channel, match: match) }.any?
        end

        # Runs the block on another thread, once a server runs.
        # @return [Proc] the block
        def run(&block)
          later(0, block)
        end
        alias defer run

        # Runs it after that time, once a server runs.
        # @param milliseconds [Integer, nil]
        # @return [Proc] the block
        def run_after(milliseconds, &block)
          later(milliseconds(milliseconds || 0), block)
        end

        # Runs it again and again.
        # @param milliseconds [Integer] between the runs, at least 1
        # @param repetitions [Integer, nil] 0 or nil: without end
        # @return [Proc] the block
        def run_every(milliseconds, repetitions = 0, &block)
          unless repetitions.nil? || repetitions.is_a?(Integer)
            raise TypeError, "repetitions must be an Integer or nil, got #{repetitions.inspect}"
          end

          times = repetitions if repetitions&.positive?
          later([milliseconds(milliseconds), 1].max, block, every: true, times: times)
        end

        # @param state [Symbol] see {Lifecycle::STATES}
        # @return [Proc] the block
        def on_state(state, &block)
          @lifecycle.on(state, &block)
        end

        # Older names of states: `before_fork { }` is `on_state(:before_fork) { }`.
        { before_fork: :before_fork, after_fork: :after_fork, after_fork_in_worker: :enter_child,
          after_fork_in_master: :enter_master, on_shutdown: :on_finish }.each do |name, state|
          define_method(name) { |&block| on_state(state, &block) }
        end

        # Says where {start} is to listen, and for what application.
        # @param settings [Hash] handler (or app, or a block), port, address, url, public, timeout, ping; service: :http
        # @return [#call] the handler
        def listen(settings = {}, **named, &block)
          listener = Listener.new(DEFAULT_SETTINGS.merge(settings.merge(named).compact), block)
          @listeners << listener
          listener.handler
        end

        # The older form of `listen(service: :http)`.
        def listen2http(settings = {}, **named, &block)
          listen(settings, **named, service: :http, &block)
        end

        # Serves what {listen} was told of until {stop}, INT or TERM.
        # @return [nil]
        def start
          if @listeners.empty?
            raise Error, "there is nothing to serve: call Iodine.listen first, or run config.ru by volador --compat iodine"
          end

          *others, last = @listeners.map { |listener| listener.server(@threads) }
          @running = [*others, last].freeze
          others.each(&:start)
          last.run
        ensure
          @running.each(&:halt)
        end

        # Ends {start}, or whatever server runs, gracefully. Returns at once.
        def stop
          servers = Server.running
          FreshThread.start("volador stop") { servers.each(&:stop) }
          nil
        end

        # @return [Boolean] whether a server runs that has not been told to stop
        def running?
          @lifecycle.running?
        end

        # @return [true] there is one process
        def master?
          true
        end
        alias worker? master?

        # Rack's methods are left alone.
        def patch_rack; end

        # @raise [NotImplementedError]
        def connect(*, **)
          raise NotImplementedError, "Volador opens no connections: use a client gem (websocket-client-simple, " \
                                     "async-websocket) in a thread of its own"
        end

        # @raise [NotImplementedError]
        def attach_fd(*)
          raise NotImplementedError, "Volador serves no raw connections: give a thread of its own to the IO, or take that of " \
                                     "a request by rack.hijack (docs/http.md)"
        end

        # @raise [NotImplementedError]
        def on_idle
          raise NotImplementedError, "Volador's threads have no idle moment to tell of: use Iodine.run_every"
        end

        private

        def later(milliseconds, block, **how)
          raise ArgumentError, "a block is needed" unless block

          @tasks.add(milliseconds / 1000.0, **how, &block)
          block
        end

        def milliseconds(value)
          return value if value.is_a?(Integer) && !value.negative?

          raise TypeError, "milliseconds must be an Integer from 0, got #{value.inspect}"
        end
      end

      # `Iodine::Rack.run`, for programs that start it that way.
      module Rack
        # @param app [#call]
        # @param options [Hash] of rackup: Port, Host
        # @return [true]
        def self.run(app, options = {})
          Iodine.listen({ service: :http, handler: app, port: options[:Port], address: options[:Host] }.compact)
          Iodine.start
          true
        end

        def self.shutdown
          Iodine.stop
        end
      end

      Absent.declare(self, "Iodine",
                     Mustache: "use the gem mustache, or ERB",
                     Base: "that is the gem's own inner part; for options of the command line see volador --help")
      Absent.declare(Rack, "Iodine::Rack", Utils: "use Rack::Utils, and Time#httpdate for dates")
      others = "publish to Iodine::PubSub::CLUSTER, which is this server with all its workers"
      Absent.declare(PubSub, "Iodine::PubSub", SIBLINGS: others, PUBLISH2ROOT: others)
    end

    # Of iodine/mustache and iodine/rack_utils there is nothing here: it is the first use that says so.
    claim(:Iodine, Iodine, "iodine", "iodine/version", "iodine/connection", "iodine/pubsub", "iodine/json", "iodine/tls",
          "iodine/mustache", "iodine/rack_utils", "rack/handler/iodine")
    Iodine::ForkBlocks.install
    CallDecides.install
    Push::Client.prepend(Iodine::ClientForms)
    Application.singleton_class.prepend(Iodine::Deployment::Check)
    Server.observers << Iodine.lifecycle
    # For `rackup -s iodine`. Rack 3 has no place for it.
    ::Rack::Handler.register("iodine", "Iodine::Rack") if defined?(::Rack::Handler) && ::Rack::Handler.respond_to?(:register)
  end
end
