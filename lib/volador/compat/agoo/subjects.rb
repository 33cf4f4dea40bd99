# frozen_string_literal: true

module Volador
  module Compat
    module Agoo
      # Who is subscribed to which subject, since `Agoo.unsubscribe` ends the subscriptions of all clients, and a
      # client's `unsubscribe` all of its own. And how a subject is read.
      class Subjects
        WILDCARD = /[*>]/.freeze
        private_constant :WILDCARD

        # @param subject [#to_s]
        # @return [Array(String, Symbol)] name and match, :subject for one with wildcards
        # @raise [ArgumentError] for a wildcard that is a part of a token only
        def self.read(subject)
          name = subject.to_s
          return [name, nil] unless name.match?(WILDCARD)

          tokens = name.split(".", -1)
          return [name, :subject] if tokens.grep(WILDCARD).all? { |token| token.size == 1 }

          raise ArgumentError, "\"*\" and \">\" stand for whole tokens of a subject, got #{name.inspect}"
        end

        def initialize
          @lock = Mutex.new
          # By client, which may be equal to others for the application: Hashes of subjects.
          @clients = {}.compare_by_identity
        end

        def add(client, subject)
          @lock.synchronize { (@clients[client] ||= {})[subject] = true }
        end

        def delete(client, subject)
          @lock.synchronize do
            subjects = @clients[client]
            subjects&.delete(subject)
            @clients.delete(client) if subjects && subjects.empty?
          end
        end

        # @return [Array<String>] the subjects that the client had
        def forget(client)
          @lock.synchronize { @clients.delete(client) }&.keys || []
        end

        # @return [Array] clients
        def subscribers(subject)
          @lock.synchronize { @clients.filter_map { |client, subjects| client if subjects.key?(subject) } }
        end

        # @return [Integer] clients that are subscribed to something
        def size
          @clients.size
        end
      end
    end
  end
end
