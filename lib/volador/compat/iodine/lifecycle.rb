# frozen_string_literal: true

require_relative "../../log"

module Volador
  module Compat
    module Iodine
      # `Iodine.on_state`, and the scheduler's beginning and end: what the servers of this process do. With several, the
      # first one starts and the last one ends.
      class Lifecycle
        # Of them those of forks and crashes never come: there is one process.
        STATES = %i[pre_start before_fork after_fork enter_child enter_master on_start on_parent_crush on_child_crush
                    start_shutdown on_finish].freeze

        # Tells of a server; prepended to {Server}.
        module Told
          def start
            Iodine.lifecycle.starting
            super.tap { Iodine.lifecycle.started }
          end

          private

          def drain
            Iodine.lifecycle.draining if @state == :running
            super
          end

          def halt
            state = @state
            super
            Iodine.lifecycle.finished if %i[running draining].include?(state) && @state == :stopped
          end
        end

        # @param scheduler [Scheduler]
        # @param log [Log]
        def initialize(scheduler, log = Log.new)
          @scheduler = scheduler
          @log = log
          @lock = Mutex.new
          @blocks = Hash.new { |blocks, state| blocks[state] = [] }
          @servers = 0
        end

        # @param state [Symbol] one of STATES
        # @raise [TypeError] for another
        # @return [Proc] the block
        def on(state, &block)
          raise TypeError, "on_state takes one of #{STATES.join(', ')}, got #{state.inspect}" unless STATES.include?(state)
          raise ArgumentError, "on_state takes a block" unless block

          @lock.synchronize { @blocks[state] << block }
          block
        end

        # @return [Boolean] whether a server runs
        def running?
          @servers.positive?
        end

        def starting
          fire(:pre_start) unless running?
        end

        def started
          return unless @lock.synchronize { @servers += 1 } == 1

          @scheduler.start
          fire(:on_start)
        end

        def draining
          fire(:start_shutdown) if @lock.synchronize { @servers } == 1
        end

        def finished
          last = @lock.synchronize do
            next false unless running?

            (@servers -= 1).zero?
          end
          return unless last

          @scheduler.stop
          fire(:on_finish)
        end

        private

        def fire(state)
          @lock.synchronize { @blocks[state].dup }.each do |block|
            block.call
          rescue StandardError, ScriptError => e
            @log.error("a block of Iodine.on_state(:#{state}) raised", e)
          end
        end
      end
    end
  end
end
