# frozen_string_literal: true

require_relative "../error"
require_relative "../process_bound"

module Volador
  module Push
    # Calls the handler of one push connection: the object that the seed's `on_open` returned. What a callback raises
    # is logged and closes that connection, and nothing else.
    #
    # In a cluster a handler may have to move to another worker: {#hand_over} asks it for its `push_state`, and either
    # {#released} or {#close} follows. Where it comes to, the replayed request makes a new handler, whose connection is its
    # own after {#resumed}.
    class Callbacks
      include ProcessBound

      # Bytes of a `push_state`.
      STATE_BYTES_MAX = 64 * 1024
      RESPOND_TO = Kernel.instance_method(:respond_to?)
      private_constant :RESPOND_TO

      # @param object [Object] also a BasicObject, which can't be asked: what it does instead is its own affair
      # @return [Boolean]
      def self.handles?(object, callback)
        object.respond_to?(callback)
      rescue StandardError
        RESPOND_TO.bind_call(object, callback)
      end

      # @return [Object] the application's object
      attr_reader :handler

      # @param handler [Object]
      # @param writer [Writer]
      # @param log [Log]
      # @param resumed [Boolean] the connection comes from another worker, and is not here yet
      def initialize(handler, writer, log, resumed: false)
        @handler = handler
        @writer = writer
        @log = log
        @arriving = resumed
        @moving = false
        @closed = false
        bind_to_process
      end

      # @return [Integer, nil] the events that are wanted besides the end, as the extension counts them: 1 for messages,
      #   2 for drained, 4 for shutdown; nil when not even the end is
      def interest
        return 1 if handles?(:on_message)

        0 if handles?(:on_close)
      end

      # The handshake has been accepted. The seed's handler was made by `on_open` and is told nothing.
      def opened; end

      # @param data [String] UTF-8 for a text message, BINARY for a binary one; there are none for a handler that had no
      #   `on_message` when {#interest} was asked
      def message(data)
        @handler.on_message(data)
      rescue ClosedError
        nil # The client left while it was being answered; on_close follows.
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        failed(:on_message, e)
      end

      # The connection, which comes from another worker, is here. The seed's handler was made by `on_open` with
      # `env['push.resumed']`.
      def resumed
        @arriving = false
      end

      # The connection is to go on in another worker: what the handler's `push_state` returns goes along.
      def hand_over
        @moving = true
        state = state_left
        asked = true
      ensure
        # Also when the application ends the thread.
        @writer.hand_over(state) if asked || !forked?
      end

      # The connection has gone on in another worker. The handler is told nothing.
      def released
        @closed = true
      end

      # Calls `on_close` the first time, and only then; not for a connection that has not come to be this handler's.
      def close
        return if @closed

        @closed = true
        @handler.on_close if !@arriving && handles?(:on_close)
      rescue ClosedError
        nil # Another client has left, to whose writer this one wrote.
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        failed(:on_close, e)
      end

      # What an event had called was cut off: as if it had raised.
      # @param name [Symbol] of the event
      # @param error [Exception]
      def interrupted(name, error)
        # A push_state only leaves nothing.
        return @log.error("the callback for #{name} of #{self.name} was cut off", error) if name == :hand_over

        failed(name, error)
      end

      # The server is gone without telling; there is nothing to let go of.
      def abandon; end

      private

      # @return [String, nil]
      def state_left
        return unless handles?(:push_state)

        state = push_state
        return state if state.nil? || (state.is_a?(String) && state.bytesize <= STATE_BYTES_MAX)

        what = state.is_a?(String) ? "a String of #{state.bytesize} bytes" : "a #{state.class}"
        @log.error("push_state of #{name} returned #{what}: it must be a String of #{STATE_BYTES_MAX} bytes at most, " \
                   "or nil; nothing is handed over")
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        @log.error("push_state of #{name} raised, nothing is handed over", e)
        nil
      end

      def push_state
        @handler.push_state
      end

      def handles?(callback)
        Callbacks.handles?(@handler, callback)
      end

      def failed(callback, error)
        @writer.fail
      ensure
        # The client comes first: a log may be the application's, and take its time.
        @log.error("#{callback} of #{name} raised, its connection is closed", error)
      end

      # `class`, `inspect` and `to_s` of an application's object may be anything; this cannot fail.
      def name
        handler_class = Kernel.instance_method(:class).bind_call(@handler)
        Module.instance_method(:to_s).bind_call(handler_class <= Module ? @handler : handler_class)
      end
    end
  end
end
