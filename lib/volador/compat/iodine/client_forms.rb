# frozen_string_literal: true

require_relative "../../event"
require_relative "arguments"

module Volador
  module Compat
    module Iodine
      # What Iodine's clients understand beyond those of Volador; prepended to {Push::Client}.
      module ClientForms
        # @param fields [Hash] see {Push::Client#write}
        # @return [Boolean] false once the connection is closed
        def write(data, **fields)
          data = data.to_s unless data.is_a?(String) || data.is_a?(Event)
          super
        end

        # `(to)`, `(to:)`, with `match: :redis`, `as: :binary`, `handler:` or a block.
        # @return [String, Symbol, nil] the channel as it was given, for {#unsubscribe}; nil once the connection is
        #   closed, and for binary messages to an EventSource
        def subscribe(*given, **named, &block)
          wanted = Arguments.subscribe(given, named, block)
          block = wanted.block
          if wanted.binary && !block
            return nil if protocol == :sse

            block = ->(_channel, message) { write(message.b) }
          end
          wanted.channel if super(wanted.channel, match: wanted.match, &block)
        end

        # Exact or pattern: Iodine knows subscriptions by their name alone.
        # @return [Boolean] whether there was one
        def unsubscribe(channel, **named)
          return super unless named.empty?

          [nil, :glob].map { |match| super(channel, match: match) }.any?
        end

        # `(to, message)`, `(to, message, engine)`, `(to:, message:, engine:)`.
        # @return [Boolean]
        def publish(*given, **named)
          channel, message, engine = Arguments.publish(given, named)
          super(channel, message, engine: engine)
        end
      end
    end
  end
end
