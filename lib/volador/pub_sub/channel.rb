# frozen_string_literal: true

require_relative "../push/payload"

module Volador
  module PubSub
    # Names of channels, and what a subscription is meant for. The gateway has the same rules; here they are looked at
    # first, so that a wrong name raises where it is written, also before a server runs.
    module Channel
      # Bytes of a name or a pattern.
      BYTES_MAX = 1024
      # Tokens of a subject pattern.
      TOKENS_MAX = 32
      # How a subscription's name is read. The pub/sub draft has names of products for the same rules.
      MATCHES = { nil => nil, glob: :glob, redis: :glob, subject: :subject, nats: :subject }.freeze
      private_constant :BYTES_MAX, :TOKENS_MAX, :MATCHES

      # @param channel [String, Symbol]
      # @return [String] frozen, UTF-8
      # @raise [TypeError]
      # @raise [ArgumentError] when it is empty or too long
      def self.name(channel)
        unless channel.is_a?(String) || channel.is_a?(Symbol)
          raise TypeError, "a channel is a String or a Symbol, got #{channel.class}"
        end

        name = Push::Payload.of(channel.to_s)
        return utf8(name) if name.bytesize.between?(1, BYTES_MAX)

        raise ArgumentError, "the name of a channel has 1 to #{BYTES_MAX} bytes, got #{name.bytesize}"
      end

      # @param channel [String, Symbol]
      # @param match [nil, :glob, :subject] exactly this channel, or a pattern
      # @return [Array(String, Symbol)] name and match: equal for what is the same subscription; frozen
      # @raise [TypeError]
      # @raise [ArgumentError]
      def self.key(channel, match)
        kind = MATCHES.fetch(match) do
          raise ArgumentError, "match is nil, :glob or :subject, got #{match.inspect}"
        end
        name = name(channel)
        check_subject(name) if kind == :subject
        [name, kind].freeze
      end

      def self.check_subject(pattern)
        tokens = pattern.b.split(".", -1)
        raise ArgumentError, "a subject pattern has at most #{TOKENS_MAX} tokens" if tokens.size > TOKENS_MAX
        return unless tokens[0...-1].include?(">")

        raise ArgumentError, "\">\" stands for any tail, at the end of a subject pattern only, got #{pattern.inspect}"
      end
      private_class_method :check_subject

      # Names are bytes for the gateway.
      def self.utf8(name)
        return name if name.frozen? && name.encoding == Encoding::UTF_8

        name.dup.force_encoding(Encoding::UTF_8).freeze
      end
      private_class_method :utf8
    end
  end
end
