# frozen_string_literal: true

require_relative "connections"

module Volador
  module Push
    # Connections whose callbacks run inside of something that a framework has for work outside of requests. So far that is
    # a Rails application's reloader: it gives database connections back afterwards, and does not exchange code meanwhile.
    # An application may enter its executor in there again.
    #
    # Nobody enters twice. Of a Rails request, whose middleware has entered, it is the executor that tells: the reloader
    # itself does not remember a run for which nothing had changed, and would exchange code in the midst of it by the next.
    class SurroundedConnections < Connections
      # Where a thread has whether it is inside, in whatever Fiber.
      INSIDE = :volador_surrounded
      private_constant :INSIDE

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

      # See {Connections#surround}. A beginning or an end must be told, also when new code can't be loaded.
      def surround(&block)
        return yield if inside?

        begun = false
        @surroundings.wrap do
          begun = true
          inside(&block)
        end
      rescue StandardError, ScriptError => e
        raise if begun

        @log.error("the application's reloader raised, a callback runs outside of it", e)
        yield
      end

      # See {Connections#message}. Without the new code it is cut off, as a request would be.
      def message(id, data)
        return super if inside?

        @surroundings.wrap { inside { super } }
      end

      # See {Connections#dispatch}.
      def dispatch(event)
        surround { super }
      end

      private

      def inside?
        return true if Thread.current.thread_variable_get(INSIDE)

        @surroundings.respond_to?(:executor) && @surroundings.executor.active? ? true : false
      end

      def inside
        thread = Thread.current
        thread.thread_variable_set(INSIDE, true)
        yield
      ensure
        thread.thread_variable_set(INSIDE, nil)
      end
    end
  end
end
