# frozen_string_literal: true

module Volador
  module PubSub
    # What `subscribe` returns: the name of a subscription, by which it can be ended. A later `subscribe` of the same
    # owner to the same channel replaces the subscription, and both objects mean what is there then.
    class Subscription
      # @return [String] the channel or pattern
      attr_reader :channel
      # @return [nil, :glob, :subject]
      attr_reader :match

      # @api private
      # @param owner [#unsubscribe]
      # @param key [Array(String, Symbol)] see {Channel.key}
      def initialize(owner, key)
        @owner = owner
        @channel, @match = key
      end

      # @return [Boolean] false when it was not there any more
      def unsubscribe
        @owner.unsubscribe(@channel, match: @match)
      end
      alias close unsubscribe

      # @return [String] the channel or pattern
      def to_s
        @channel
      end

      # @param other [Object]
      # @return [Boolean] whether it is a subscription to that channel or pattern, or the same text
      def ==(other)
        case other
        when String then @channel == other
        when Subscription then @channel == other.channel && @match == other.match
        else false
        end
      end
    end
  end
end
