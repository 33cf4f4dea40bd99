# frozen_string_literal: true

require_relative "channel"
require_relative "subscription"
require_relative "../steady_lock"

module Volador
  module PubSub
    # The subscriptions of the process itself, those of `Volador.subscribe`. They are there before a server runs and
    # outlive it. When several servers run, every publication reaches each of them, so one of them serves: the home.
    class Subscriptions
      #   block  called with channel and message;  number  of its Subscription;  id  of the home's listener, nil without a
      # home
      Entry = Struct.new(:block, :number, :id)
      private_constant :Entry

      # @param engines [Engines]
      def initialize(engines)
        @engines = engines
        @lock = SteadyLock.new
        # By Channel.key.
        @entries = {}
        # The number given last.
        @last = 0
        @home = nil
      end

      # @param block [#call]
      # @return [Subscription]
      def subscribe(channel, match:, block:)
        key = Channel.key(channel, match)
        # The engines are told when the lock is free again, since they may subscribe in there.
        Subscription.new(self, key, @engines.telling { @lock.change { set(key, block) } })
      end

      # @return [Boolean] whether there was one
      def unsubscribe(channel, match: nil)
        key = Channel.key(channel, match)
        @engines.telling { @lock.change { delete(key) } }
      end

      # See {Subscription#unsubscribe}.
      # @return [Boolean] whether it was there
      def cancel(key, number)
        @engines.telling { @lock.change { @entries[key]&.number == number && delete(key) } }
      end

      # @return [Array<Array>] see {Channel.key}
      def keys
        @entries.keys
      end

      # A server serves from now on.
      # @param listeners [Listeners] its own
      def serve(listeners)
        @lock.change { settle(listeners) unless @home }
      end

      # It no longer does.
      # @param listeners [Listeners] the server's own
      # @param others [Array<Listeners>] of the servers that still run
      def leave(listeners, others)
        @lock.change { settle(others.first) if @home.equal?(listeners) }
      end

      private

      # @return [Integer] its number
      def set(key, block)
        number = @last += 1
        if (entry = @entries[key])
          entry.block = block
          entry.number = number
        else
          @entries[key] = entry = Entry.new(block, number)
          entry.id = @home&.add(key, entry)
          @engines.subscribed(key)
        end
        number
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
