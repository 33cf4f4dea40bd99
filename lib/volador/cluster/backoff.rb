# frozen_string_literal: true

module Volador
  module Cluster
    # When to try again what fails again and again: the first time at once, then after 0.1 s, 0.2 s, … up to 30 s.
    # Times are seconds on the clock that is handed in.
    class Backoff
      FIRST = 0.1
      MOST = 30.0
      # Seconds after which a mold counts as well.
      HEALTHY = 10.0

      # @return [Integer] failures in a row
      attr_reader :failures

      def initialize
        reset
      end

      # It has failed. What fails while the next try is still to come belongs to the same try.
      # @return [Float] seconds until the next try
      def failed(now)
        @failures += 1
        if now >= @at
          @delay = @delay.nil? ? 0.0 : (@delay * 2).clamp(FIRST, MOST)
          @at = now + @delay
        end
        @at - now
      end

      # @return [Boolean] whether it may be tried
      def ready?(now)
        now >= @at
      end

      # @return [Float, nil] when it may be tried; nil: now
      def at(now)
        @at unless ready?(now)
      end

      # It has worked.
      def reset
        @failures = 0
        @delay = nil
        @at = 0.0
      end
    end
  end
end
