# frozen_string_literal: true

module Volador
  module Compat
    module Iodine
      # The methods that the gem has everywhere, for what Puma and Unicorn have in their configuration: a config.ru may
      # call `on_worker_boot { }`. With the gem, too, their blocks are of forks, and never run where one process serves.
      module ForkBlocks
        # The states that the methods stand for.
        STATES = { before_fork: :before_fork, on_worker_fork: :before_fork, after_fork: :after_fork,
                   on_worker_boot: :after_fork, after_fork_in_worker: :enter_child,
                   after_fork_in_master: :enter_master }.freeze

        # As the gem does: private methods of all objects, but for names that are taken.
        # @param log [Log]
        def self.install(log = Volador::Log.new)
          STATES.each do |name, state|
            next if Object.method_defined?(name) || Object.private_method_defined?(name)

            Object.define_method(name) do |*, &block|
              log.warn("#{name} is an old name of Iodine.on_state(:#{state}), and here its block never runs. Use " \
                       "Iodine.on_state(:on_start), or before_fork and on_worker_boot of config/volador.rb")
              Iodine.on_state(state, &block)
            end
            Object.send(:private, name)
          end
        end
      end
    end
  end
end
