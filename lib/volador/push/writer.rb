# frozen_string_literal: true

require_relative "../error"

module Volador
  module Push
    # `env['push.writer']`: sends to one push connection, from any thread and at any time. What is written before the
    # handshake is answered goes out after it, in order.
    class Writer
      # @param connection [Native::Connection]
      def initialize(connection)
        @connection = connection
      end

      # Sends one message (WebSocket: text when the String is valid UTF-8, else binary) or one event (SSE). Returns
      # at once; the gateway sends.
      # @param object [#to_s]
      # @return [true]
      # @raise [ClosedError] once the connection is closed
      def write(object)
        @connection.write(object.to_s) || raise(ClosedError)
      end

      # Closes the connection once what was written has been sent. Closing twice is fine.
      # @return [nil]
      def close
        @connection.close
      end

      # @return [Boolean]
      def open?
        @connection.open?
      end

      # @return [Boolean]
      def closed?
        !@connection.open?
      end
    end
  end
end
