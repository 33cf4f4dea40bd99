# frozen_string_literal: true

require_relative "../clock"
require_relative "../fresh_thread"

module Volador
  # What lets applications run here that were written for another server.
  module Compat
    # Blocks that run later, or again and again, on threads of their own. They wait until it is started.
    class Tasks
      #   at  seconds on the monotonic clock;  every  seconds, nil for once;  left  runs, nil for no end;  block
      Task = Struct.new(:at, :every, :left, :block)
      private_constant :Task

      # @param log [Log] where exceptions go
      def initialize(log)
        @log = log
        @lock = Mutex.new
        @changed = ConditionVariable.new
        # The one that is due first comes first.
        @tasks = []
        @threads = []
        @threads_max = 0
      end

      # @param delay [Numeric] seconds
      # @param every [Boolean] again and again, after the delay each time
      # @param times [Integer, nil] how often, nil for no end
      def add(delay, every: false, times: nil, &block)
        put(Task.new(Clock.now + delay, (delay if every), times, block))
      end

      # @param threads [Integer] on how many threads at most
      def start(threads)
        @lock.synchronize do
          @threads_max = threads
          staff
        end
      end

      # Waits for none of those that run; what is not due yet stays.
      def stop
        @lock.synchronize do
          @threads_max = 0
          @threads = []
          @changed.broadcast
        end
      end

      private

      def put(task)
        @lock.synchronize do
          place = @tasks.bsearch_index { |one| one.at > task.at } || @tasks.size
          @tasks.insert(place, task)
          staff
          @changed.signal
        end
      end

      # As many threads as there are tasks, up to the limit.
      def staff
        @threads.select!(&:alive?) # A block may have ended its thread.
        @threads << FreshThread.start("volador task") { work } while @threads.size < [@threads_max, @tasks.size].min
      end

      def work
        pid = Process.pid
        while (task = take)
          run(task, pid)
          task.left -= 1 if task.left
          next if task.every.nil? || task.left&.zero?

          task.at = Clock.now + task.every
          put(task)
        end
      end

      def take
        @lock.synchronize do
          loop do
            return unless @threads.include?(Thread.current)

            task = @tasks.first
            left = task && (task.at - Clock.now)
            return @tasks.shift if left && left <= 0

            @changed.wait(@lock, left)
          end
        end
      end

      # @param pid [Integer] of the thread's process
      def run(task, pid)
        task.block.call
      rescue Exception => e # rubocop:disable Lint/RescueException
        # A child that the block has forked ends.
        raise unless pid == Process.pid

        @log.error("a task raised", e)
      end
    end
  end
end
