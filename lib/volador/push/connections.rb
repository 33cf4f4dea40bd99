# frozen_string_literal: true

require_relative "../log"
require_relative "hints"

module Volador
  module Push
    # The push connections of this process that have a handler, by stream id. Holds each handler from its handshake
    # until the connection's close event, so that the garbage collector leaves it alone meanwhile; connections without
    # a handler are unknown here and cost Ruby nothing.
    class Connections
      # @return [Hints] about the handlers
      attr_reader :hints

      # @param listeners [PubSub::Listeners, nil] of the process's own subscriptions
      # @param log [Log]
      # @param hints [Hints]
      def initialize(listeners = nil, log: Log.new, hints: Hints.new(log))
        @listeners = listeners
        @log = log
        @hints = hints
        # Only single operations are done on it, each of them atomic under the GVL.
        @callbacks = {}
      end

      # @param id [Integer] stream id
      # @param callbacks [Callbacks]
      def add(id, callbacks)
        @callbacks[id] = callbacks
      end

      # @param id [Integer] stream id
      # @return [Callbacks, nil]
      def delete(id)
        @callbacks.delete(id)
      end

      # Whatever is called of a handler runs in here.
      # @return [Object] what the block returns
      def surround
        yield
      end

      # Runs the callback of a message.
      # @param id [Integer] stream id
      # @param data [String]
      def message(id, data)
        @callbacks[id]&.message(data)
      end

      # Runs the callback of another event. Events of one stream, messages among them, come one at a time and in order.
      # @param event [Array] [stream id Integer, name Symbol, ...]: :drained; :shutdown; :hand_over; :resumed; :released;
      #   :published, listener id Integer, channel String, message String; or :close, Integer. An event for a subscription
      #   of the process has the id of that listener's own mailbox.
      def dispatch(event)
        id = event[0]
        callbacks = @callbacks[id]
        case event[1]
        when :published then (callbacks || @listeners)&.published(event[2], event[3], event[4])
        when :drained then callbacks&.drained
        when :shutdown then callbacks&.shutdown
        when :hand_over then callbacks&.hand_over
        when :resumed then callbacks&.resumed
        when :released then @callbacks.delete(id)&.released
        else @callbacks.delete(id)&.close
        end
      end

      # The callback of an event was cut off, by the end of its thread say: as if it had raised.
      # @param event [Array, Integer] see {dispatch}; that of a message is its stream's id
      # @param error [Exception]
      def interrupted(event, error)
        id, name = event
        name ||= :message
        callbacks = @callbacks[id]
        return callbacks.interrupted(name, error) if callbacks
        return @listeners&.interrupted(error) if name == :published

        # Of the last one nobody is left but the log.
        @log.error("the callback for the end of a connection was cut off", error)
      end

      # The server is gone: no close event comes any more.
      def abandon
        @callbacks.values.each(&:abandon)
        @callbacks.clear
      end

      # @return [Integer] push connections that have a handler
      def size
        @callbacks.size
      end
    end
  end
end
