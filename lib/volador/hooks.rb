# frozen_string_literal: true

module Volador
  # Blocks of `config/volador.rb` that run at moments of a cluster's processes, in the order in which they were given.
  class Hooks
    # The names that the blocks are given by. Puma has had two for some of them.
    NAMES = {
      # In the mold, once config.ru is loaded and before the first worker is forked.
      before_fork: :before_fork,
      # In each worker after its fork, with its number from 1 on.
      on_worker_boot: :worker_boot, before_worker_boot: :worker_boot,
      # In each worker before it ends, with its number.
      on_worker_shutdown: :worker_shutdown, before_worker_shutdown: :worker_shutdown,
      # In the gateway's process, once all workers serve for the first time.
      on_booted: :booted, after_booted: :booted
    }.freeze

    def initialize
      @blocks = Hash.new { |blocks, moment| blocks[moment] = [] }
    end

    # @param name [Symbol] one of {NAMES}
    # @param block [#call]
    def add(name, block)
      @blocks[NAMES.fetch(name)] << block
    end

    # @param moment [Symbol] one of the values of {NAMES}
    # @raise what a block raises; those after it do not run then
    def run(moment, *arguments)
      @blocks[moment].each { |block| block.call(*arguments) }
    end

    # As {run}, but what a block raises is logged, and those after it run nevertheless.
    # @param log [Log]
    def run_all(moment, *arguments, log:)
      @blocks[moment].each do |block|
        block.call(*arguments)
      rescue StandardError, ScriptError => e
        log.error("a block of #{NAMES.key(moment)} raised", e)
      end
    end
  end
end
