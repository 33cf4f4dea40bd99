# frozen_string_literal: true

require_relative "connections"

module Volador
  module Push
    # Connections whose callbacks run inside of something that a framework has for work outside of requests. So far that is
    # a Rails application's reloader: it gives database connections back afterwards, and does not exchange code meanwhile.
    # (Requests, and the `on_open` that follows one, have middleware for that.) To be inside twice does no harm: an
    # application may do the same by itself.
    class SurroundedConnections < Connections
      # @return [#wrap, nil] what callbacks of this process have to run inside of
      def self.surroundings
        application = ::Rails.application if defined?(::Rails) && ::Rails.respond_to?(:application)
        application.reloader if application.respond_to?(:reloader)
      end

      # @param surroundings [#wrap] yields
      # @param arguments see {Connections}
      def initialize(surroundings, *arguments, **named)
        super(*arguments, **named)
        @surroundings = surroundings
      end

      # See {Connections#message}.
      def message(id, data)
        @surroundings.wrap { super }
      end

      # See {Connections#dispatch}. An end must be told, also when new code can't be loaded.
      def dispatch(event)
        begun = false
        @surroundings.wrap do
          begun = true
          super
        end
      rescue StandardError, ScriptError => e
        raise if begun

        @log.error("the application's reloader raised, a callback runs outside of it", e)
        super
      end
    end
  end
end
