# frozen_string_literal: true

require_relative "handshake"

module Volador
  module Push
    # How the `call` of an innermost app is intercepted: two modules that are prepended to the singleton class of that
    # one object, and a stand-in for an app that is frozen. Without a push request under way each is one look into env.
    module Endpoint
      # For an app with `on_open`, which is called in the place of `call`.
      module OnOpen
        def call(env)
          handshake = env[Handshake::ENV_KEY]
          handshake&.pending? ? handshake.open(self, env) : super
        end
      end

      # For an app without: it may upgrade by `env['upgrade.websocket']` and an answer whose status is 0.
      module Upgrade
        def call(env)
          answer = super
          handshake = env[Handshake::ENV_KEY]
          handshake ? handshake.present(env, answer) : answer
        end
      end

      # Stands where a frozen app stood, and does for it what {OnOpen} and {Upgrade} do.
      class Frozen
        # @param app [#call]
        # @param on_open [Boolean] as {OnOpen} does, else as {Upgrade}
        def initialize(app, on_open:)
          @app = app
          @on_open = on_open
          freeze
        end

        def call(env)
          handshake = env[Handshake::ENV_KEY]
          return @app.call(env) unless handshake
          return handshake.open(@app, env) if @on_open && handshake.pending?

          handshake.present(env, @app.call(env))
        end

        # Everything else that middleware may ask of the app.
        def respond_to_missing?(name, include_private = false)
          @app.respond_to?(name, include_private)
        end

        def method_missing(name, ...)
          @app.public_send(name, ...)
        end
      end
    end
  end
end
