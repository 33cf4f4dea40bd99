# frozen_string_literal: true

require_relative "../../log"

module Volador
  module Compat
    module Iodine
      # `Iodine.on_state`, and when tasks run: by what the servers of this process do. With several of them the first
      # one starts and the last one ends. One of {Server.observers}.
      class Lifecycle
        # Those of forks and crashes never come: there is one process.
        STATES = %i[pre_start before_fork after_fork enter_child enter_master on_start on_parent_crush on_child_crush
                    start_shutdown on_finish].freeze

        # @param tasks [Tasks]
        # @param log [Log]
        def initialize(tasks, log = Log.new)
          @tasks = tasks
          @log = log
          @lock = Mutex.new
          @blocks = Hash.new { |blocks, state| blocks[state] = [] }
          # Those that have started and have not stopped, and of them those that do not drain.
          @servers = []
          @running = []
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

        # @return [Boolean] whether a server runs that has not been told to stop
        def running?
          !@running.empty?
        end

        # @param server [Server]
        # @param what [Symbol] :started, :draining or :stopped
        def server_changed(server, what)
          case what
          when :started then started(server)
          when :draining then draining(server)
          else stopped(server)
          end
        end

        private

        def started(server)
          first = @lock.synchronize do
            @running += [server]
            (@servers += [server]).size == 1
          end
          return unless first

          fire(:pre_start)
          @tasks.start(server.configuration.threads)
          fire(:on_start)
        end

        def draining(server)
          last = @lock.synchronize do
            ran = running?
            @running -= [server]
            ran && !running?
          end
          fire(:start_shutdown) if last
        end

        # Also told of a server whose start has failed.
        def stopped(server)
          last = @lock.synchronize do
            ran = !@servers.empty?
            @running -= [server]
            @servers -= [server]
            ran && @servers.empty?
          end
          return unless last

          @tasks.stop
          fire(:on_finish)
        end

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
