# frozen_string_literal: true

require_relative "../text"

module Volador
  module Compat
    module Iodine
      # The many ways in which Iodine's `publish` and `subscribe` take their arguments.
      module Arguments
        #   channel  String or Symbol;  match  nil or :redis;  binary  Boolean;  block  Proc or nil
        Subscription = Struct.new(:channel, :match, :binary, :block)

        # `(to, message)`, `(to, message, engine)`, `(to:, message:, engine:)`; `channel:` is an old name of `to:`.
        # @param given [Array]  @param named [Hash]
        # @return [Array] channel, message (see {Text}), engine
        # @raise [ArgumentError]
        def self.publish(given, named)
          given, named = split(given, named)
          unless given.empty? || given.size.between?(2, 3)
            raise ArgumentError, "publish takes to, message and an engine, or to: and message:"
          end

          channel, message, engine = given
          channel = named[:to] || named[:channel] if given.empty?
          message = named[:message] if given.empty?
          engine = named[:engine] if given.size < 3
          raise ArgumentError, "publish needs a channel: publish(to, message) or publish(to:, message:)" unless channel
          raise ArgumentError, "publish needs a message: publish(to, message) or publish(to:, message:)" unless message

          [channel, Text.of(message), engine]
        end

        # `(to) { }`, `(to, match: :redis, as: :binary, handler: callable)`, `(to:, ...)`.
        # @param given [Array]  @param named [Hash]  @param block [Proc, nil]
        # @return [Subscription]
        # @raise [ArgumentError]
        def self.subscribe(given, named, block)
          given, named = split(given, named)
          raise ArgumentError, "subscribe takes one channel, got #{given.size}" if given.size > 1

          channel = given.first || named[:to] || named[:channel]
          raise ArgumentError, "subscribe needs a channel: subscribe(to) or subscribe(to:)" unless channel

          handler = named[:handler]
          block = handler.is_a?(Proc) ? handler : handler.method(:call).to_proc if handler
          Subscription.new(channel, named[:match], named[:as] == :binary, block)
        end

        # A Hash in braces is as good as keywords.
        def self.split(given, named)
          return [given, named] unless given.last.is_a?(Hash)

          [given[0...-1], given.last.merge(named)]
        end
        private_class_method :split
      end
    end
  end
end
