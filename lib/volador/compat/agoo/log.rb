# frozen_string_literal: true

require_relative "../../log"

module Volador
  module Compat
    module Agoo
      # `Agoo::Log`: what an application writes goes where Volador's own entries go, $stderr. What is configured is
      # remembered as far as it says which entries are wanted; files, rotation and colours are left to whoever keeps
      # the process's output.
      module Log
        @log = Volador::Log.new
        @states = { INFO: true, DEBUG: false }

        class << self
          # @param settings [Hash] states: {INFO:, DEBUG:}; the rest has no effect
          # @return [nil]
          def configure(settings)
            settings.fetch(:states, {}).each { |name, on| @states[name.to_sym] = on ? true : false }
            nil
          end

          def error(message)
            @log.error(message.to_s)
          end

          def warn(message)
            @log.warn(message.to_s)
          end

          def info(message)
            @log.info(message.to_s) if info?
          end

          def debug(message)
            @log.info(message.to_s) if debug?
          end

          # @return [true]
          def error?
            true
          end
          alias warn? error?

          def info?
            @states[:INFO]
          end

          def debug?
            @states[:DEBUG]
          end

          # @return [Boolean] whether those entries are wanted
          def state(name)
            @states.fetch(name.to_sym, false)
          end

          def set_state(name, wanted) # rubocop:disable Naming/AccessorMethodName
            @states[name.to_sym] = wanted ? true : false
          end

          # Without effect.
          def ignore(*)
            nil
          end
          %i[color set_color flush rotate console= classic json max_size= max_files= shutdown].each do |name|
            alias_method name, :ignore
          end
          private :ignore
        end
      end
    end
  end
end
