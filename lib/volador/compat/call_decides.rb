# frozen_string_literal: true

require_relative "../push/interceptor"

module Volador
  module Compat
    # Applications for Iodine and Agoo are mostly one module that has both `call(env)` and the callbacks of the clients,
    # `on_open(client)` among them. So the `on_open` of an app is not what the seed's `on_open(env)` is: `call` is
    # always asked, and decides by env['rack.upgrade'].
    module CallDecides
      FROZEN = Kernel.instance_method(:frozen?)
      private_constant :FROZEN

      # A stand-in for a frozen app whose `on_open` is not called either.
      class Frozen < Push::Endpoint::Frozen
        def call(env)
          handshake = env[Push::Handshake::ENV_KEY]
          handshake ? handshake.present(env, @app.call(env)) : @app.call(env)
        end
      end

      # For all servers of this process that start from now on.
      def self.install
        Push::Interceptor.prepend(self)
      end

      private

      def push?(_app)
        false
      end

      def intercept(app, endpoint)
        FROZEN.bind_call(app) ? Frozen.new(app) : super
      end
    end
  end
end
