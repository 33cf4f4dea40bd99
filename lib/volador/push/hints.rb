# frozen_string_literal: true

require_relative "callbacks"

module Volador
  module Push
    # What the log tells the developer of an application that is correct, and yet hardly what was meant. Each is told once,
    # and after {MAX} no more are.
    class Hints
      # Hints that are given. A path is the client's choice, and an application may make classes as it runs.
      MAX = 100

      # @param log [Log]
      # @param development [Boolean] whether paths are told that accept no WebSocket: elsewhere anybody may ask for any
      def initialize(log, development: false)
        @log = log
        @development = development
        @given = {}
        @lock = Mutex.new
      end

      # A connection is opened whose handler has no callback: by the draft that may be, but mostly a method's name is
      # misspelt, or it is no handler.
      # @param name [#to_s] of the handler's class, or of the module that is the handler
      # @param callbacks [Array<Symbol>] that it might have
      def unheard(name, callbacks)
        once("#{name} has none of #{callbacks.join(', ')}: its connections are opened, and it is told nothing. " \
             "Is a name misspelt, or env[\"rack.upgrade\"] no handler?")
      end

      # A WebSocket's request got an answer as if it were none.
      # @param env [Hash]
      # @param answer [Array(Integer, Hash, Object)]
      def unaccepted(env, answer)
        return unless @development && plain?(answer)

        once("a WebSocket asked for #{env['SCRIPT_NAME']}#{env['PATH_INFO']}, and the application answered " \
             "#{answer[0]} without accepting it: docs/push.md has the ways to do that")
      end

      private

      # A refusal says what it is, and an application that takes the connection by `rack.hijack` or `rack.protocol`
      # accepts in its own way.
      def plain?(answer)
        return false unless answer.is_a?(Array) && answer.size == 3

        status, headers, = answer
        status.is_a?(Integer) && status.between?(200, 299) && headers.is_a?(Hash) &&
          !headers.key?("rack.hijack") && !headers.key?("rack.protocol")
      end

      def once(message)
        first = @lock.synchronize { !@given.key?(message) && @given.size < MAX && (@given[message] = true) }
        @log.warn(message) if first
      end
    end
  end
end
