# frozen_string_literal: true

module Volador
  module PubSub
    # What `subscribe` returns: a subscription, by which it can be ended. It is over as well when a later `subscribe` of the
    # same owner to the same channel has replaced it, and then ends nothing: its successor is somebody else's.
    class Subscription
      # @api private
      # @param owner [#cancel] called with key and number
      # @param key [Array(String, Symbol)] see {Channel.key}
      # @param number [Integer] which of the owner's subscriptions
      def initialize(owner, key, number)
        @owner = owner
        @key = key
        @number = number
      end

      # @return [String] the channel or pattern
      def channel
        @key[0]
      end

      # @return [nil, :glob, :subject]
      def match
        @key[1]
      end

      # @return [Boolean] false when it was not there any more
      def unsubscribe
        @owner.cancel(@key, @number)
      end
      alias close unsubscribe

      # @return [String] the channel or pattern
      def to_s
        channel
      end

      # @param other [Object]
      # @return [Boolean] whether it is a subscription to that channel or pattern, or the same text
      def ==(other)
        case other
        when String then channel == other
        when Subscription then channel == other.channel && match == other.match
        else false
        end
      end
    end
  end
end
