# frozen_string_literal: true

require_relative "../log"
require_relative "announcements"
require_relative "../steady_lock"

module Volador
  module PubSub
    # The engines that are attached, and what they are told: which channels and patterns somebody of this process is
    # subscribed to, each one when its first subscriber comes and when its last one leaves.
    class Engines
      # @param log [Log]
      def initialize(log = Log.new)
        # Held while something is counted and announced, so that the announcements are in the order of the counts; never
        # while an engine is told.
        @lock = SteadyLock.new
        @announcements = Announcements.new(log)
        # By Channel.key: how many subscriptions.
        @counts = Hash.new(0)
        @engines = [].freeze
      end

      # @param names [Array<Symbol>] methods that will be called
      # @return [Object] the engine
      # @raise [ArgumentError] for an object without them
      def self.check(engine, *names)
        missing = names.reject { |name| engine.respond_to?(name) }
        return engine if missing.empty?

        raise ArgumentError, "an engine has the methods subscribe, unsubscribe and publish, got a #{engine.class} without " \
                             "#{missing.join(' and ')}"
      end

      # @param engine [#subscribe, #unsubscribe, #publish] told of all subscriptions that there are, and of those to
      #   come; attached once more, it is told of all of them again
      # @return [void]
      # @raise [ArgumentError] see {.check}
      def attach(engine)
        Engines.check(engine, :subscribe, :unsubscribe)
        telling do
          @lock.change do
            @engines = [*@engines, engine].freeze unless attached?(engine)
            @counts.each_key { |key| @announcements.add(engine, :subscribe, key, known: true) }
          end
        end
      end

      # @return [Boolean] whether it was attached
      def detach(engine)
        attached = @lock.change do
          attached?(engine).tap { @engines = @engines.reject { |one| one.equal?(engine) }.freeze }
        end
        # Not under the lock: an engine that is told something just now may want it.
        @announcements.take_back(engine)
        attached
      end

      # Never calls an engine, and never waits for one: the caller may hold any lock. The engines are told by another
      # thread, or by this one at the end of {#telling}.
      # @param key [Array] see {Channel.key}
      # @return [void]
      def subscribed(key)
        @lock.change { announce(:subscribe, key) if (@counts[key] += 1) == 1 }
      end

      # As {#subscribed}.
      # @param key [Array] see {Channel.key}
      # @return [void]
      def unsubscribed(key)
        @lock.change do
          next if (@counts[key] -= 1).positive?

          @counts.delete(key)
          announce(:unsubscribe, key)
        end
      end

      # Calls the block, and waits until the engines know what this thread has subscribed to and unsubscribed from, inside
      # of it or earlier. See {Announcements#telling}.
      # @return [Object] what the block returns
      def telling(&block)
        @announcements.telling(&block)
      end

      # As {#telling}, for what this thread has done earlier.
      # @return [void]
      def settle
        @announcements.settle
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

      def announce(what, key)
        @engines.each { |engine| @announcements.add(engine, what, key) }
      end
    end
  end
end
