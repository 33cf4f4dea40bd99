# frozen_string_literal: true

module Volador
  module Compat
    module Iodine
      # Not there: says so, and what to use instead.
      class TLS
        # What the gem says where it was built without OpenSSL.
        SUPPORTED = false
        # What to do.
        INSTEAD = "Volador does not speak TLS: let a proxy in front of it do TLS, and leave tls: out"

        # @raise [NotImplementedError]
        def initialize(*, **)
          raise NotImplementedError, INSTEAD, caller(1)
        end
      end
    end
  end
end
