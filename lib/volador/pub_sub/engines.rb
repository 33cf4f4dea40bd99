# frozen_string_literal: true

require "monitor"
require_relative "../log"

module Volador
  module PubSub
    # The engines that are attached, and what they are told: which channels and patterns somebody of this process is
    # subscribed to, each one when its first subscriber comes and when its last one leaves.
    class Engines
      # @param log [Log]
      def initialize(log = Log.new)
        @log = log
        # Reentrant, since an engine may subscribe; held while engines are told, so that they are told in order.
        @lock = Monitor.new
        # By Channel.key: how many subscriptions.
        @counts = Hash.new(0)
        @engines = [].freeze
      end

      # @param engine [#subscribe, #unsubscribe, #publish] told of all subscriptions that there are, and of those to
      #   come; attached once more, it is told of all of them again
      def attach(engine)
        @lock.synchronize do
          @engines = [*@engines, engine].freeze unless attached?(engine)
          @counts.each_key.to_a.each { |key| tell(engine, :subscribe, key) }
        end
      end

      # @return [Boolean] whether it was attached
      def detach(engine)
        @lock.synchronize do
          attached = attached?(engine)
          @engines = @engines.reject { |one| one.equal?(engine) }.freeze
          attached
        end
      end

      # @param key [Array] see {Channel.key}
      def subscribed(key)
        @lock.synchronize do
          count = @counts[key] += 1
          @engines.each { |engine| tell(engine, :subscribe, key) } if count == 1
        end
      end

      # @param key [Array] see {Channel.key}
      def unsubscribed(key)
        @lock.synchronize do
          count = @counts[key] -= 1
          next if count.positive?

          @counts.delete(key)
          @engines.each { |engine| tell(engine, :unsubscribe, key) }
        end
      end

      # These are all subscriptions that there are; the engines know.
      # @param keys [Array<Array>] see {Channel.key}
      def resume(keys)
        @counts.clear
        keys.each { |key| @counts[key] = 1 }
      end

      # @return [Integer] different channels and patterns that are subscribed to
      def size
        @counts.size
      end

      private

      def attached?(engine)
        @engines.any? { |one| one.equal?(engine) }
      end

      def tell(engine, what, key)
        engine.public_send(what, *key)
      rescue StandardError => e
        @log.error("#{what} of the pub/sub engine #{engine.class} raised", e)
      end
    end
  end
end
