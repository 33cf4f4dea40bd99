# frozen_string_literal: true

require_relative "../push/interceptor"

module Volador
  module Compat
    # Applications for Iodine and Agoo are mostly one module that has both `call(env)` and the callbacks of the clients,
    # `on_open(client)` among them. So the `on_open` of an app is not what the seed's `on_open(env)` is: `call` is
    # always asked, and decides by env['rack.upgrade'].
    module CallDecides
      # For all servers of this process that start from now on.
      def self.install
        Push::Interceptor.prepend(self)
      end

      private

      def push?(_app)
        false
      end
    end
  end
end
