# frozen_string_literal: true

require_relative "../error"

module Volador
  module Push
    # How a connection leaves the handler that it has: what {Writer} and {Client} are asked for by those who call the
    # handler; and whether it has left, as they show it. For objects with `@connection`.
    # @api private
    module Leaving
      # The connection is to go on in another worker; from here on nothing is written to it here.
      # @param state [String, nil] what goes along
      def hand_over(state)
        @connection.hand_over(state)
      end

      # Closes with 1011, "an unexpected condition": a callback has raised.
      # @return [nil]
      def fail
        @connection.close(1011)
      end

      private

      # @return [String] for `inspect`, which raises nothing
      def shown_state
        @connection.open? ? "open" : "closed"
      rescue Error
        "closed" # In a forked process: the connection is its parent's.
      end
    end
  end
end
