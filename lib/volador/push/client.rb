# frozen_string_literal: true

require_relative "client_callbacks"
require_relative "connections"
require_relative "leaving"
require_relative "../event"
require_relative "../pub_sub"
require_relative "../steady_lock"

module Volador
  module Push
    # One push connection as the `rack.upgrade?` draft has it: the argument of every callback. All methods may be called
    # from any thread, and wait for no client; {#write} waits for a gateway that is 2 MiB behind, a second at most.
    class Client
      include Leaving

      #   id  of the native listener;  block  called with channel and message;  number  of its PubSub::Subscription
      Listener = Struct.new(:id, :block, :number)
      # Seconds that {#timeout=} takes beside 0.
      TIMEOUTS = (0.001..86_400.0).freeze
      private_constant :Listener, :TIMEOUTS

      # @return [Hash] the request's env, the very Hash that the application had
      attr_reader :env
      # @return [Symbol] :websocket or :sse
      attr_reader :protocol
      # @api private
      # @return [ClientCallbacks]
      attr_reader :callbacks

      # @api private
      # @param connection [Native::Connection]
      # @param env [Hash]
      # @param protocol [Symbol]
      # @param handler [Object] env['rack.upgrade']
      # @param log [Log]
      # @param resumed [Boolean] the connection comes from another worker
      # @param connections [Connections] that it will be among
      def initialize(connection, env, protocol, handler, log, resumed: false, connections: Connections.new(log: log))
        @connection = connection
        @env = env
        @protocol = protocol
        @resumed = resumed
        @callbacks = ClientCallbacks.new(ClientCallbacks.handler(handler), self, connection, log,
                                         resumed: resumed, connections: connections)
        @lock = SteadyLock.new
        @ended = false
        # Whether the gateway will say when nothing waits for the client.
        @asked = false
        # By PubSub::Channel.key: a Listener; or, without a block, the number of the PubSub::Subscription. nil until there
        # is one.
        @subscriptions = nil
        # The number given last.
        @last_number = 0
        # By id: the Listeners of @subscriptions. nil until there is one.
        @listeners = nil
      end

      # Sends one message (WebSocket: text when the String is valid UTF-8, binary when it is BINARY) or one event (SSE).
      # @param data [String, Event]
      # @param fields [Hash, nil] event:, id: and retry: of the event, as {Event} has them; a WebSocket gets the data alone.
      #   (Keywords that are gathered here would be an object for each call, also without any.)
      # @return [Boolean] false once the connection is closed
      # @raise [TypeError] for anything but a String or an Event
      # @raise [ArgumentError] for fields that an event can't have
      # @raise [Error] for data that is longer than 1 GiB, together with the fields
      def write(data, fields = nil)
        # nil: it is no mere String, which the connection finds out for less than it costs to ask here.
        written = fields ? write_event(data, fields) : @connection.write(data)
        written = write_other(data) if written.nil?
        ask_drained if written && @callbacks.drains?
        written
      end

      # Closes the connection once what was written has been sent. Closing twice is fine.
      # @return [nil]
      def close
        @connection.close(1000)
      end

      # @return [Boolean] false once the connection is closed, or about to be
      def open?
        @connection.open?
      end

      # @return [Integer] messages that wait to be sent, as last told by the gateway; -1 once the connection is closed
      def pending
        @connection.open? ? @connection.pending : -1
      end

      # @return [Integer, Float] seconds between two looks after the peer: WebSocket pings, SSE comments. Until another is
      #   set it is the server's `ping_interval` or `heartbeat_interval`
      def timeout
        seconds = @connection.timeout
        whole = seconds.to_i
        whole == seconds ? whole : seconds
      end

      # Looks after the peer of this connection that often from now on, by a ping or a comment: a WebSocket whose client is
      # still silent after two of them is dropped, unless it takes something of what waits for it, and so is an event stream
      # of which nothing is taken meanwhile. Whatever a client sends counts, not pongs alone. Ignored once the connection is
      # closed.
      # @param seconds [Numeric] 0.001 to 86400; 0: the server's own interval again
      # @raise [TypeError] for what is no number
      # @raise [ArgumentError] for a number out of that range
      def timeout=(seconds)
        unless seconds.is_a?(Numeric) && seconds.real?
          raise TypeError, "timeout takes seconds, a number, got #{seconds.inspect}"
        end
        unless seconds.zero? || TIMEOUTS.cover?(seconds.to_f)
          raise ArgumentError, "timeout takes 0.001 to 86400 seconds, or 0 for the server's own, got #{seconds.inspect}"
        end

        @connection.timeout_millis = (seconds * 1000).round
      end

      # @return [Object] whose callbacks are called
      def handler
        @callbacks.handler
      end

      # Calls the `on_close` of the handler that there is, and the `on_open` of the new one. Waits for a callback of this
      # connection that runs in another thread.
      # @param handler [Object] a class stands for a new instance, unless it has callbacks itself
      def handler=(handler)
        @callbacks.replace(handler)
      end

      # @return [true] there are {#subscribe}, {#unsubscribe} and {#publish}
      def pubsub?
        true
      end

      # Subscribes the connection until it ends. Without a block the client gets the messages, and Ruby has nothing to do
      # with them. A second subscription to the same channel, with the same match, replaces the first.
      # @param channel [String, Symbol]
      # @param match [nil, :glob, :subject] exactly this channel, or a pattern
      # @param handler [#call, nil] instead of the block
      # @param as [Object] of the draft, without effect: a message keeps the kind that it was published with
      # @yieldparam channel [String] the one that was published to
      # @yieldparam message [String] UTF-8 for text, BINARY for binary. The block never runs at the same time as another
      #   callback of this connection; what it raises is logged
      # @return [PubSub::Subscription, nil] nil once the connection is closed
      # @raise [TypeError, ArgumentError] for what can't be a channel
      def subscribe(channel, match: nil, handler: nil, as: nil, &block) # rubocop:disable Lint/UnusedMethodArgument
        key = PubSub::Channel.key(channel, match)
        block ||= handler
        @lock.change do
          return nil if @ended || !@connection.open?

          number = @last_number += 1
          current = @subscriptions && @subscriptions[key]
          subscription = block ? listen(key, current, block, number) : direct(key, current, number)
          return nil unless subscription

          (@subscriptions ||= {})[key] = subscription
          PubSub.engines.subscribed(key) unless current
          PubSub::Subscription.new(self, key, number)
        end
      end

      # @param channel [String, Symbol]
      # @param match [nil, :glob, :subject] as it was subscribed to
      # @return [Boolean] whether there was such a subscription
      def unsubscribe(channel, match: nil)
        key = PubSub::Channel.key(channel, match)
        @lock.change do
          current = @subscriptions && @subscriptions[key]
          # The gateway may have one that the handler in the former worker made.
          current ? remove(key, current) : @resumed && @connection.unsubscribe(*key)
        end
      end

      # See {Volador.publish}.
      # @return [Boolean]
      def publish(channel, message, engine: nil)
        PubSub.publish(channel, message, engine: engine)
      end

      # @return [String]
      def inspect
        "#<#{self.class} #{@protocol} #{shown_state}>"
      end

      # See {PubSub::Subscription#unsubscribe}.
      # @api private
      # @return [Boolean] whether it was there
      def cancel(key, number)
        @lock.change do
          current = @subscriptions && @subscriptions[key]
          its = current.is_a?(Listener) ? current.number : current
          its == number && remove(key, current)
        end
      end

      # Nothing waits any more, and a handler is being told so: what is written from now on is another time.
      # @api private
      def drained
        @asked = false
      end

      # Runs the block of a listener; what is left of one that was unsubscribed is dropped.
      # @api private
      def published(id, channel, message)
        listener = @lock.synchronize { @listeners && @listeners[id] }
        listener&.block&.call(channel, message)
      end

      # The connection has ended, and its subscriptions in the gateway with it.
      # @api private
      def ended
        @lock.change do
          @ended = true
          @listeners = nil
          @subscriptions&.each_key { |key| PubSub.engines.unsubscribed(key) }
          @subscriptions = nil
        end
      end

      private

      # Once for all that is written until the answer comes.
      def ask_drained
        return if @asked

        @asked = true
        @connection.ask_drained
      end

      # @return [Boolean]
      def write_other(data)
        return @connection.write_event(*data) if data.is_a?(Event)
        raise TypeError, "write takes a String, got #{data.class}: call to_s or to_json first" unless data.is_a?(String)

        @connection.write(String.new(data))
      end

      # @return [Boolean]
      def write_event(data, fields)
        raise ArgumentError, "write takes the fields of an event by name, got #{fields.class}" unless fields.is_a?(Hash)
        raise TypeError, "write takes a String with these fields, got #{data.class}" unless data.is_a?(String)

        @connection.write_event(*Event.new(data, **fields))
      end

      # @return [Listener, nil] nil once the connection is closed
      def listen(key, current, block, number)
        if current.is_a?(Listener)
          current.block = block
          current.number = number
          return current
        end
        if current
          forget(key, current)
        elsif @resumed
          # The handler in the former worker may have had one without a block, of which only the gateway knows.
          @connection.unsubscribe(*key)
        end
        id = @connection.listen(*key)
        id && ((@listeners ||= {})[id] = Listener.new(id, block, number))
      end

      # @return [Integer, nil] the number; nil once the connection is closed
      def direct(key, current, number)
        return number if current.is_a?(Integer)

        forget(key, current) if current
        number if @connection.subscribe(*key)
      end

      # @return [true] there was one
      def remove(key, current)
        @subscriptions.delete(key)
        forget(key, current)
        PubSub.engines.unsubscribed(key)
        true
      end

      def forget(key, subscription)
        return @connection.unsubscribe(*key) if subscription.is_a?(Integer)

        @listeners.delete(subscription.id)
        @connection.unlisten(subscription.id)
      end
    end
  end
end
