# frozen_string_literal: true

module Volador
  module Push
    # The push connections of this process that have a handler, by stream id. Holds each handler from its handshake
    # until the connection's close event, so that the garbage collector leaves it alone meanwhile; connections without
    # a handler are unknown here and cost Ruby nothing.
    class Connections
      def initialize
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

      # Runs the callback of one event. Events of one stream come one at a time and in order.
      # @param id [Integer] stream id
      # @param event [Array] [:message, String] or [:close, Integer]
      def dispatch(id, event)
        if event[0] == :message
          @callbacks[id]&.message(event[1])
        else
          @callbacks.delete(id)&.close
        end
      end

      # @return [Integer] push connections that have a handler
      def size
        @callbacks.size
      end
    end
  end
end
