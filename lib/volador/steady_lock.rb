# frozen_string_literal: true

module Volador
  # A Mutex for things that are changed in several steps. Whatever is to end or interrupt the thread that changes them
  # (Thread#kill, Thread#raise, Timeout) waits until all steps are done: else one half would be there for good.
  class SteadyLock < Mutex
    NEVER = { Object => :never }.freeze
    private_constant :NEVER

    # Nothing in the block may wait for anything that takes its time.
    # @return [Object] what the block returns
    def change(&block)
      Thread.handle_interrupt(NEVER) { synchronize(&block) }
    end
  end
end
