# frozen_string_literal: true

require_relative "../clock"
require_relative "../error"
require_relative "backoff"
require_relative "guest"

module Volador
  module Cluster
    # How a process of the server that takes no requests, a mold or the gateway's own, belongs to its gateway: it is a guest
    # from the time on that it has a reason to be, and another one when the link of that fails. What the process has
    # subscribed to stays, and is served by the next one.
    class Membership
      # Seconds before it joins again, at least. A gateway that ends looks like a failed link at first.
      PAUSE = 0.1
      # Seconds that {#hold} waits for one that joins: a gateway that is late to welcome it must not hold up who forks workers,
      # and tells of them.
      HOLD = 2.0
      private_constant :PAUSE, :HOLD

      # @param link [String]
      # @param configuration [Configuration]
      # @param log [Log]
      def initialize(link, configuration:, log:)
        @link = link
        @configuration = configuration
        @log = log
        @lock = Mutex.new
        @backoff = Backoff.new
        @guest = nil
        @listens = @over = false
      end

      # See {Servers#reach}.
      # @param why [Symbol] :subscribe is no reason before it listens
      # @return [Guest, nil]
      # @raise [Error, SystemCallError] when it cannot join
      def reach(why)
        @lock.synchronize { guest unless why == :subscribe && !@listens }
      end

      # The subscriptions of this process are served from now on.
      # @yield what has to be done before anybody joins who serves them
      def listen
        @lock.synchronize do
          yield if block_given?
          @listens = true
          @guest&.listen
        end
      end

      # While nobody joins, unless that takes too long.
      # @return [Object] what the block returns
      def hold
        deadline = Clock.now + HOLD
        sleep(0.01) until (held = @lock.try_lock) || Clock.now >= deadline
        yield
      ensure
        @lock.unlock if held
      end

      # Leaves. It joins again with the next reason.
      def leave
        @lock.synchronize do
          guest = @guest
          @guest = nil
          guest&.close
        end
      end

      # The gateway is gone: a link that is lost by that is not made anew.
      def give_up
        @over = true
      end

      private

      # @return [Guest]
      def guest
        if @guest.nil? || @guest.ended?
          @joined_at = Clock.now
          @guest = Guest.new(@link, configuration: @configuration, log: @log, on_loss: method(:rejoin)).join
        end
        @guest.listen if @listens
        @guest
      end

      # By the thread of the guest that is lost, which has nothing else to do.
      def rejoin
        @backoff.reset if Clock.now - @joined_at >= Backoff::HEALTHY
        loop do
          sleep([@backoff.failed(Clock.now), PAUSE].max)
          break if settled?
        end
      end

      # @return [Boolean] it has joined, unless it has left meanwhile
      def settled?
        @lock.synchronize do
          return true if @over || @guest.nil?

          guest
        end
        @log.warn("the link to the gateway was lost, and is there again: blocks of subscriptions in this process have missed " \
                  "what was published meanwhile")
        true
      rescue StandardError => e
        @log.error("the link to the gateway is lost, and this process cannot join it again yet", e)
        false
      end
    end
  end
end
