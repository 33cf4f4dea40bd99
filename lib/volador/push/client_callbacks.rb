# frozen_string_literal: true

require_relative "callbacks"
require_relative "thread_lock"

module Volador
  module Push
    # The draft's form: `env['rack.upgrade'] = handler`. Every callback gets the {Client} and is optional. `on_open` runs
    # after the handshake and before any other callback.
    class ClientCallbacks < Callbacks
      # All that a handler may have.
      NAMES = %i[on_open on_message on_drained on_shutdown on_close].freeze
      # Of a WebSocket's client when the server stops (RFC 6455 §7.4.1).
      GOING_AWAY = 1001
      # Messages, drained and shutdown, by the bits of the extension: a later handler may want what this one does not.
      ALL_EVENTS = 1 | 2 | 4
      # A BasicObject has neither.
      PUBLIC_SEND = Kernel.instance_method(:public_send)
      METHOD = Kernel.instance_method(:method)
      private_constant :ALL_EVENTS, :GOING_AWAY, :PUBLIC_SEND, :METHOD

      # An application may give a class, whose instances are then the handlers, one per connection.
      # @param given [Object] env['rack.upgrade']
      # @return [Object] the handler
      def self.handler(given)
        Class === given && !any?(given) ? given.new : given
      end

      # @return [Boolean] whether the object has a callback
      def self.any?(object)
        NAMES.any? { |name| Callbacks.handles?(object, name) }
      end

      # @param handler [Object]
      # @param client [Client]
      # @param connection [Native::Connection]
      # @param log [Log]
      # @param resumed [Boolean] see {Callbacks}
      # @param connections [Connections] that it will be among
      def initialize(handler, client, connection, log, connections:, resumed: false)
        super(handler, client, log, resumed: resumed)
        @client = client
        @connection = connection
        @connections = connections
        @opened = false
        @replacing = false
        look_at_handler
        # The extension lets no events overlap; this holds back a new handler, which any thread may set. The thread of a
        # callback may set it at once, from any of its Fibers.
        @lock = ThreadLock.new
      end

      # @return [Integer, nil] nil for a handler without any callback, which nobody could give another
      def interest
        return ALL_EVENTS if ClientCallbacks.any?(@handler)

        @connections.hints.unheard(name, NAMES)
        nil
      end

      def opened
        @lock.synchronize do
          @opened = true
          run(:on_open)
        end
      end

      def message(data)
        @lock.synchronize do
          # The usual one is asked without a detour.
          is_heard = @can_be_asked ? @handler.respond_to?(:on_message) : handles?(:on_message)
          @handler.on_message(@client, data) if is_heard
        rescue ClosedError
          nil # Another client has left, to whose writer this one wrote.
        rescue Exception => e # rubocop:disable Lint/RescueException
          raise if forked?

          failed(:on_message, e)
        end
      end

      # @return [Boolean] whether the handler wants to know when what it has written is sent
      def drains? = @drains

      # Nothing has waited for the client. Since then more may have been written than the sockets took, in the same callback
      # say: then the gateway will say so again. Or it was closed.
      def drained
        @lock.synchronize do
          @client.drained
          run(:on_drained) if @client.pending.zero?
        end
      end

      # The server stops: the handler's last word, and the end.
      def shutdown
        @lock.synchronize { run(:on_shutdown) unless @moving }
        told = true
      ensure
        @connection.close(GOING_AWAY) if told || !forked?
      end

      # The connection has come from another worker: `on_resume`, or `on_open` where there is none.
      def resumed
        @lock.synchronize do
          super
          @opened = true
          run(handles?(:on_resume) ? :on_resume : :on_open)
        end
      end

      def hand_over
        @lock.synchronize { super }
      end

      def released
        @lock.synchronize do
          super
          @client.ended
        end
      end

      # What a block raises is logged only, and so it is when it is cut off.
      def interrupted(name, error)
        return super unless name == :published

        @log.error("the block of a client's subscription was cut off", error)
      end

      # A message for a subscription that has a block.
      # @param listener [Integer]
      # @param channel [String]
      # @param message [String]
      def published(listener, channel, message)
        @lock.synchronize { @client.published(listener, channel, message) }
      rescue ClosedError
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        @log.error("the block of a client's subscription raised, for the channel #{channel}", e)
      end

      # Calls `on_close` the first time, and only then; not when there was no `on_open` because the handshake failed.
      def close
        @lock.synchronize do
          next if @closed

          @closed = true
          @client.ended
          run(:on_close) if @opened
        end
      end

      # The server is gone, and with it whatever the client was subscribed to. Nobody is told.
      def abandon
        @client.ended
      end

      # Another handler takes over: the old one is told that it is over, the new one that it begins.
      # @param handler [Object] or a class, see {.handler}
      def replace(handler)
        handler = ClientCallbacks.handler(handler)
        # Events have entered the surroundings when they wait for the lock. The other way round a thread could wait for each.
        @connections.surround { @lock.synchronize { exchange(handler) } }
      end

      private

      def exchange(handler)
        # One that moves stays the one that it is: it is let go of, or told the end of its connection on the way.
        return if @moving

        @next = handler
        return if @replacing # by the old handler's on_close: of those that it names, the last one takes over
        return take_over if @closed || !@opened

        begin
          take_leave
          told = true
        ensure
          # Also when the old handler's on_close is cut off, by Thread.exit or a timeout: it has been told.
          succeed if told || !forked?
        end
      end

      def take_leave
        @replacing = true
        run(:on_close)
      ensure
        @replacing = false
      end

      def succeed
        take_over
        run(:on_open)
      end

      def take_over
        @handler = @next
        look_at_handler
      end

      def look_at_handler
        @can_be_asked = Kernel === @handler
        @drains = handles?(:on_drained)
      end

      # With the client, like the other callbacks, unless it takes no argument.
      def push_state
        METHOD.bind_call(@handler, :push_state).arity.zero? ? super : @handler.push_state(@client)
      end

      def run(callback)
        PUBLIC_SEND.bind_call(@handler, callback, @client) if handles?(callback)
      rescue ClosedError
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        failed(callback, e)
      end
    end
  end
end
