# frozen_string_literal: true

module Volador
  module Push
    # A lock that is held by a thread, whatever Fiber of it is running. Mutex and Monitor are held by a Fiber: one that a
    # callback makes, an Enumerator's for instance, would wait for the callback, which waits for it.
    class ThreadLock
      def initialize
        # Held by the Fiber that came first, and released by the same.
        @mutex = Mutex.new
        # The thread of that Fiber; nil while nobody has the lock. Whoever reads it compares it with the thread that reads,
        # which is the only one that could have changed the answer.
        @owner = nil
      end

      # Waits for other threads, never for the own one. The lock is free again when the outermost call of its thread ends,
      # however that is.
      # @return [Object] what the block returns
      def synchronize
        return yield if @owner.equal?(Thread.current)

        @mutex.synchronize do
          @owner = Thread.current
          yield
        ensure
          @owner = nil
        end
      end
    end
  end
end
