# frozen_string_literal: true

require_relative "../../log"

module Volador
  module Compat
    module Agoo
      # `Agoo::Log`: what an application writes goes where Volador's own entries go, $stderr. What is configured is
      # remembered as far as it says which entries are wanted; files, rotation and colours are left to whoever keeps
      # the process's output.
      module Log
        # How entries of each state are written. Of the last five only the application has any.
        LEVELS = { FATAL: :error, ERROR: :error, WARN: :warn, INFO: :info, DEBUG: :info, connect: :info, request: :info,
                   response: :info, eval: :info, push: :info }.freeze
        private_constant :LEVELS

        @log = Volador::Log.new
        @states = LEVELS.to_h { |name, _| [name, %i[FATAL ERROR WARN INFO].include?(name)] }

        class << self
          # @param settings [Hash] states: by their names, true or false; the rest has no effect
          # @return [nil]
          def configure(settings)
            settings.fetch(:states, {}).each do |name, wanted|
              @states[name.to_sym] = wanted if @states.key?(name.to_sym) && [true, false].include?(wanted)
            end
            nil
          end

          %w[error warn info debug].each do |name|
            define_method(name) { |message| log(name, message) }
            define_method("#{name}?") { state(name) }
          end

          # @param name [#to_s] of a state, in whatever case
          # @param message [#to_s]
          # @raise [ArgumentError] for a state that there is not
          # @return [nil]
          def log(name, message)
            state = known(name)
            @log.public_send(LEVELS.fetch(state), message.to_s) if @states[state]
            nil
          end

          # @return [Boolean] whether those entries are wanted
          def state(name)
            @states.fetch(find(name), false)
          end

          # @raise [ArgumentError] for a state that there is not
          # @return [Boolean] as {state}
          def set_state(name, wanted)
            @states[known(name)] = wanted == true
          end

          # Without effect.
          def ignore(*)
            nil
          end
          %i[color set_color flush rotate console= classic json max_size= max_files= shutdown].each do |name|
            alias_method name, :ignore
          end
          private :ignore

          private

          def find(name)
            LEVELS.each_key.find { |one| one.to_s.casecmp?(name.to_s) }
          end

          def known(name)
            find(name) ||
              raise(ArgumentError, "#{name.inspect} is no state of Agoo::Log: they are #{LEVELS.keys.join(', ')}")
          end
        end
      end
    end
  end
end
