# frozen_string_literal: true

require_relative "../error"
require_relative "../process_bound"
require_relative "../steady_lock"

module Volador
  module PubSub
    # The process's subscriptions as one server serves them: what the worker is told is published runs their blocks, on
    # the server's application threads.
    class Listeners
      include ProcessBound

      # @param worker [Native::Worker]
      # @param log [Log] where exceptions of blocks go
      def initialize(worker, log)
        @worker = worker
        @log = log
        @lock = SteadyLock.new
        # By listener id.
        @entries = {}
        bind_to_process
      end

      # @param key [Array] see {Channel.key}
      # @param entry [#block] its block is called with channel and message; it may change
      # @return [Integer] listener id
      def add(key, entry)
        # The first message may come before this returns, and waits there.
        @lock.change { @worker.listen(*key).tap { |id| @entries[id] = entry } }
      end

      # @param id [Integer] listener id
      def remove(id)
        @lock.change do
          @entries.delete(id)
          @worker.unlisten(id)
        end
      end

      # A block was cut off, by the end of its thread say.
      # @param error [Exception]
      def interrupted(error)
        @log.error("the block of a subscription was cut off", error)
      end

      # Calls the block. One call at a time for each listener, in the order of the messages.
      # @param id [Integer] listener id
      # @param channel [String]
      # @param message [String]
      def published(id, channel, message)
        @lock.synchronize { @entries[id] }&.block&.call(channel, message)
      rescue ClosedError
        nil # A client has left, to whose writer the block wrote.
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        @log.error("the block of a subscription raised, for the channel #{channel}", e)
      end
    end
  end
end
