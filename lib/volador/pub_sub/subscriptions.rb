# frozen_string_literal: true

require_relative "channel"
require_relative "subscription"

module Volador
  module PubSub
    # The subscriptions of the process itself, those of `Volador.subscribe`. They are there before a server runs and
    # outlive it. When several servers run, every publication reaches each of them, so one of them serves: the home.
    class Subscriptions
      #   block  called with channel and message;  id  of the home's listener, nil without a home
      Entry = Struct.new(:block, :id)
      private_constant :Entry

      # @param engines [Engines]
      def initialize(engines)
        @engines = engines
        @lock = Mutex.new
        # By Channel.key.
        @entries = {}
        @home = nil
      end

      # @param block [#call]
      # @return [Subscription]
      def subscribe(channel, match:, block:)
        key = Channel.key(channel, match)
        # The engines are told when the lock is free again, since they may subscribe in there.
        @engines.telling { @lock.synchronize { set(key, block) } }
        Subscription.new(self, key)
      end

      # @return [Boolean] whether there was one
      def unsubscribe(channel, match: nil)
        key = Channel.key(channel, match)
        @engines.telling { @lock.synchronize { delete(key) } }
      end

      # @return [Array<Array>] see {Channel.key}
      def keys
        @entries.keys
      end

      # A server serves from now on.
      # @param listeners [Listeners] its own
      def serve(listeners)
        @lock.synchronize { settle(listeners) unless @home }
      end

      # It no longer does.
      # @param listeners [Listeners] the server's own
      # @param others [Array<Listeners>] of the servers that still run
      def leave(listeners, others)
        @lock.synchronize { settle(others.first) if @home.equal?(listeners) }
      end

      private

      def set(key, block)
        if (entry = @entries[key])
          entry.block = block
        else
          @entries[key] = entry = Entry.new(block)
          entry.id = @home&.add(key, entry)
          @engines.subscribed(key)
        end
      end

      # @return [Boolean] whether there was one
      def delete(key)
        entry = @entries.delete(key)
        return false unless entry

        @home&.remove(entry.id)
        @engines.unsubscribed(key)
        true
      end

      def settle(home)
        @home = home
        @entries.each { |key, entry| entry.id = home&.add(key, entry) }
      end
    end
  end
end
