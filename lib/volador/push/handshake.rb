# frozen_string_literal: true

require_relative "../process_bound"
require_relative "callbacks"
require_relative "client"
require_relative "upgrade_callbacks"
require_relative "writer"

module Volador
  module Push
    # One WebSocket or SSE request on its way through the middleware, as `env['volador.push']`. The innermost app's
    # `call` is intercepted (see {Interceptor}) and becomes {#open}; what the whole stack answers in the end decides.
    class Handshake
      include ProcessBound

      # Where env carries it.
      ENV_KEY = "volador.push"
      # Statuses that upgrade, those that HTTP does not know as well: Iodine's forms have 0.
      UPGRADING = (...300).freeze
      # Rack knows no status below.
      LOWEST_STATUS = 100
      # Closes a WebSocket over "an unexpected condition" (RFC 6455 §7.4.1).
      FAILED = 1011
      private_constant :LOWEST_STATUS, :FAILED

      # @return [Symbol] :websocket or :sse
      attr_reader :transport
      # @return [Exception, nil] what on_open raised; logged already, unless the client had left
      attr_reader :error

      # @param transport [Symbol] :websocket or :sse
      # @param connection [Native::Connection]
      # @param connections [Connections]
      # @param log [Log]
      # @param resumed [Boolean] the connection is open already and comes from another worker: the request that opened
      #   it is replayed
      def initialize(transport, connection, connections, log, resumed: false)
        @transport = transport
        @connection = connection
        @connections = connections
        @log = log
        @resumed = resumed
        @state = :pending
        bind_to_process
      end

      # @return [Boolean] no app has opened it yet
      def pending?
        @state == :pending
      end

      # @return [Boolean] on_open raised: the connection is to be closed after the answer
      def failed?
        @state == :failed
      end

      # Calls the app's `on_open`.
      # @param app [#on_open]
      # @param env [Hash] as `call` would have got it
      # @return [Array] the answer for the middleware to work on: 101 for a WebSocket, a 200 head for SSE
      def open(app, env)
        writer = Writer.new(@connection)
        env["push.writer"] = writer
        @state = :opening
        handler = app.on_open(env)
        @callbacks = Callbacks.new(handler, writer, @log, resumed: @resumed) unless nil.equal?(handler)
        @state = :open
        provisional_answer
      rescue Exception => e # rubocop:disable Lint/RescueException
        fail_open(env, writer, e) unless forked?
        raise
      ensure
        # Thread#kill inside of on_open.
        @state = :failed if @state == :opening
      end

      # What an app returns that upgrades is made presentable to the middleware, for which 0, say, is no status.
      # @param env [Hash] of the innermost app; middleware may have given it another than the server's
      # @param answer [Object] of the innermost app
      # @return [Object] the same, or with status 101 (200 for SSE)
      def present(env, answer)
        return answer unless @state == :pending

        @innermost_env = env
        return answer unless upgrade?(env) || draft_handler(env)
        return answer unless answer.is_a?(Array) && answer.size == 3
        return answer unless answer[0].is_a?(Integer) && answer[0] < LOWEST_STATUS

        status, headers, body = provisional_answer
        answer[1].each { |name, value| headers[name] = value unless name.to_s.match?(/\Acontent-(type|length)\z/i) }
        answer[2].close if answer[2].respond_to?(:close)
        [status, headers, body]
      end

      # Decides once the whole stack has answered.
      # @param env [Hash]
      # @param answer [Object] of the outermost app
      # @return [Boolean] whether the connection becomes a push connection
      def accepted?(env, answer)
        status = answer[0] if answer.is_a?(Array) && answer.size == 3
        # nil.to_i would be below 300.
        return false unless status && status.respond_to?(:to_i) && UPGRADING.cover?(status.to_i)
        return true if @state == :open

        @callbacks = draft_callbacks(@innermost_env || env) || draft_callbacks(env) || upgrade_callbacks(env)
        @state = :open if @callbacks
        @state == :open
      end

      # Before the handshake is answered: events may come right after.
      # @return [Integer, nil] the events that the handler wants (see {Callbacks#interest}); nil for none, not even the end
      def register
        interest = @callbacks&.interest
        @connections.add(@connection.id, @callbacks) if interest
        interest
      end

      # It has been answered: there is a connection.
      def answered
        @state = :opened
      end

      # Once nothing of the request is left. Whether a resumed connection has come to this worker is told by an event.
      def opened
        @connections.surround { @callbacks.opened } if @callbacks && !@resumed
      end

      # After another answer than an upgrade has been given: an opened handler learns that it is closed. Where an exception or
      # the end of the thread has come between, also when the upgrade has been given, which may not be noted yet: then the
      # connection, which no other answer leaves open, is closed, and its end is told by an event.
      def refused
        return @connection.close(FAILED) if @state == :opened || @connection.open?

        @connections.delete(@connection.id)
        @state = :refused
        @connections.surround { @callbacks.close } if @callbacks
      end

      private

      # @return [Object, nil] of the draft's form
      def draft_handler(env)
        env["rack.upgrade"] || nil if @state == :pending
      end

      def draft_callbacks(env)
        handler = draft_handler(env)
        return unless handler

        Client.new(@connection, env, @transport, handler, @log, resumed: @resumed, connections: @connections).callbacks
      end

      def upgrade_callbacks(env)
        return unless upgrade?(env)

        handler = UpgradeCallbacks.handler(env["upgrade.websocket"])
        UpgradeCallbacks.new(handler, Writer.new(@connection), @log, resumed: @resumed)
      end

      def upgrade?(env)
        @state == :pending && @transport == :websocket && env["upgrade.websocket"] ? true : false
      end

      def fail_open(env, writer, error)
        @state = :failed
        @error = error
        has_left = error.is_a?(ClosedError) && writer&.closed?
        # A resumed connection is closed by the gateway, which tells the client why.
        writer&.close unless @resumed
        # The client has left meanwhile, which is no fault.
        return if has_left

        path = "#{env['SCRIPT_NAME']}#{env['PATH_INFO']}"
        @log.error("on_open for #{path} raised, the connection is closed", error)
      end

      def provisional_answer
        return [101, {}, []] if @transport == :websocket

        [200, { "content-type" => "text/event-stream", "cache-control" => "no-store" }, []]
      end
    end
  end
end
