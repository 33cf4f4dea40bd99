# frozen_string_literal: true

require "volador"
require_relative "absent"
require_relative "agoo/client_forms"
require_relative "agoo/graph_ql"
require_relative "agoo/log"
require_relative "agoo/messages"
require_relative "agoo/rack_handler"
require_relative "agoo/server"
require_relative "agoo/subjects"
require_relative "call_decides"
require_relative "claim"

module Volador
  module Compat
    # `Agoo`, for applications that were written for it: publishing, and the server of a program with its handlers. See
    # docs/compat.md.
    module Agoo
      # The version whose methods these are.
      VERSION = "2.15.15"
      # The class of clients.
      Upgraded = Push::Client

      @subjects = Subjects.new

      class << self
        # @api private
        # @return [Subjects]
        attr_reader :subjects

        # @param subject [#to_s]
        # @param message [String, Event] a String goes to event streams as an event of the type "msg"
        # @return [Boolean] whether it was scheduled; false when no server runs
        def publish(subject, message)
          Volador.publish(subject.to_s, Messages.published(message))
        end

        # Ends the subscriptions of all clients to this subject.
        # @param subject [#to_s] as it was subscribed to
        # @return [nil]
        def unsubscribe(subject)
          name = subject.to_s
          @subjects.subscribers(name).each { |client| client.unsubscribe(name) }
          nil
        end

        # Stops the server gracefully and ends the process.
        def shutdown
          Server.exit_afterwards
          Server.shutdown
          exit(0) if Thread.current.equal?(Thread.main)
        end
      end

      Absent.declare(self, "Agoo",
                     EarlyHints: "let Link headers go with the answer",
                     ErrorStream: "use env['rack.errors']",
                     RackLogger: "use Agoo::Log, or the middleware Rack::Logger")
    end

    claim(:Agoo, Agoo, "agoo", "agoo/version", "agoo/graphql", "rack/handler/agoo")
    CallDecides.install
    Push::Client.prepend(Agoo::ClientForms)
    Agoo::RackHandler.install
  end
end
