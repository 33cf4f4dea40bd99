# frozen_string_literal: true

module Volador
  # The version of the gem, as in `Server: Volador/0.1.0`.
  VERSION = "0.1.0"
end
