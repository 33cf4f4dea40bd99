# frozen_string_literal: true

module Volador
  # The time for deadlines: it never jumps, and is the same in all processes of the machine.
  # @api private
  module Clock
    # @return [Float] seconds
    def self.now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
