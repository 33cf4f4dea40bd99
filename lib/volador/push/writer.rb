# frozen_string_literal: true

require_relative "../error"
require_relative "../event"
require_relative "leaving"

module Volador
  module Push
    # `env['push.writer']`: sends to one push connection, from any thread and at any time. What is written before the
    # handshake is answered goes out after it, in order.
    class Writer
      include Leaving

      # @param connection [Native::Connection]
      def initialize(connection)
        @connection = connection
      end

      # Sends one message (WebSocket: text when the String is valid UTF-8, else binary) or one event (SSE). Text in
      # another encoding is sent as UTF-8; BINARY stays what it is. The gateway sends: no client is waited for.
      # @param object [Event, #to_s] of an Event a WebSocket gets the text
      # @return [true]
      # @raise [ClosedError] once the connection is closed
      # @raise [Error] for what is longer than 1 GiB
      def write(object)
        # Else it is no mere String, or the connection is closed, which it finds out for less than it costs to ask here.
        @connection.write(object) || write_other(object)
      end

      # Closes the connection once what was written has been sent. Closing twice is fine.
      # @param code [Integer] what a WebSocket's client is told (RFC 6455 §7.4): 1000, or 3000 to 4999 for codes of the
      #   application's own
      # @return [nil]
      # @raise [ArgumentError] for another code
      def close(code: 1000)
        return @connection.close(code) if code == 1000 || (code.is_a?(Integer) && code.between?(3000, 4999))

        raise ArgumentError, "a close code is 1000, or from 3000 to 4999, got #{code.inspect}"
      end

      # @return [Boolean]
      def open?
        @connection.open?
      end

      # @return [Boolean]
      def closed?
        !@connection.open?
      end

      # @return [String]
      def inspect
        "#<#{self.class} #{shown_state}>"
      end

      private

      # @return [true]
      # @raise [ClosedError]
      def write_other(object)
        written = object.is_a?(Event) ? @connection.write_event(*object) : @connection.write(String.new(object.to_s))
        written || raise(ClosedError)
      end
    end
  end
end
