# frozen_string_literal: true

require_relative "../../log"

module Volador
  module Compat
    module Iodine
      # `Iodine.run`, `run_after` and `run_every`: runs blocks on threads of its own while a server runs. What is
      # scheduled before that waits for it, and its time is counted from then on.
      class Scheduler
        # One block.
        class Task
          # @return [Float] seconds between its runs
          attr_reader :seconds
          # @return [Float, nil] when it is due, by the monotonic clock; nil until a server runs
          attr_accessor :due

          # @param block [Proc]
          # @param seconds [Float]
          # @param times [Integer, nil] nil: without end
          def initialize(block, seconds, times)
            @block = block
            @seconds = seconds
            @left = times
          end

          def run
            @left -= 1 if @left
            @block.call
          end

          # @return [Boolean] whether it is to run once more
          def again?
            @left.nil? || @left.positive?
          end
        end

        THREADS = 4
        private_constant :THREADS

        # @param log [Log]
        def initialize(log = Log.new)
          @log = log
          @lock = Mutex.new
          @changed = ConditionVariable.new
          # Not due yet.
          @waiting = []
          # Due, for the threads; nil ends one of them.
          @ready = Queue.new
          @threads = []
        end

        # @param milliseconds [Integer]
        # @param times [Integer, nil] nil: again and again
        # @param block [Proc] its next run begins after it has returned
        # @return [Proc] the block
        def add(milliseconds, times, block)
          task = Task.new(block, milliseconds / 1000.0, times)
          milliseconds.zero? && times == 1 ? @ready << task : wait(task)
          block
        end

        # A server runs.
        def start
          @lock.synchronize do
            return unless @threads.empty?

            @running = true
            @waiting.each { |task| task.due = now + task.seconds }
            @threads = [thread("clock") { tell_time }] +
                       Array.new(THREADS) { |index| thread(index + 1) { work } }
          end
        end

        # None runs any more. What runs now is waited for a second.
        def stop
          threads = @lock.synchronize do
            @running = false
            @changed.broadcast
            @threads.tap { @threads = [] }
          end
          threads.drop(1).each { @ready << nil }
          threads.each { |thread| thread.join(1) || thread.kill unless thread.equal?(Thread.current) }
          @lock.synchronize { @waiting.clear }
          @ready.clear
        end

        private

        def wait(task)
          @lock.synchronize do
            task.due ||= now + task.seconds if @running
            @waiting << task
            @changed.broadcast
          end
        end

        def tell_time
          @lock.synchronize do
            while @running
              task = @waiting.min_by(&:due)
              left = task.due - now if task
              if left && left <= 0
                @waiting.delete(task)
                @ready << task
              else
                @changed.wait(@lock, left)
              end
            end
          end
        end

        def work
          while (task = @ready.pop)
            run(task)
            repeat(task) if task.again?
          end
        end

        def run(task)
          task.run
        rescue Exception => e # rubocop:disable Lint/RescueException
          @log.error("a block of Iodine.run, run_after or run_every raised", e)
        end

        # In step with the first run, unless it takes longer than its own interval.
        def repeat(task)
          task.due = [task.due + task.seconds, now].max
          wait(task)
        end

        def thread(name, &block)
          Thread.new(&block).tap { |thread| thread.name = "volador iodine #{name}" }
        end

        def now
          Process.clock_gettime(Process::CLOCK_MONOTONIC)
        end
      end
    end
  end
end
