# frozen_string_literal: true

require "rack/version"

if Rack.release.to_i >= 3
  # There Rack::Handler is Rackup::Handler, if anything.
  require_relative "../../rackup/handler/volador"
else
  require "rack/handler"
  require "volador/rack_handler"

  module Rack
    module Handler
      # `rackup -s volador` with Rack 2.
      module Volador
        extend ::Volador::RackHandler
      end

      register :volador, "Rack::Handler::Volador"
    end
  end
end
