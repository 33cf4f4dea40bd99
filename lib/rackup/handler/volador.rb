# frozen_string_literal: true

require "rackup/handler"
require "volador/rack_handler"

module Rackup
  module Handler
    # `rackup -s volador` with rackup 2, the rackup of Rack 3.
    module Volador
      extend ::Volador::RackHandler
    end

    register :volador, Volador
  end
end
