# frozen_string_literal: true

require_relative "version"

module Volador
  # What the env of every request has in common.
  module EnvTemplate
    # @param multiprocess [Boolean] other processes run the same application
    # @return [Hash{String => Object}] frozen
    def self.make(multiprocess:)
      {
        "SCRIPT_NAME" => "",
        "SERVER_SOFTWARE" => "Volador/#{VERSION}",
        "rack.errors" => $stderr,
        "rack.multithread" => true,
        "rack.multiprocess" => multiprocess,
        "rack.run_once" => false,
        "rack.hijack?" => false,
        # The draft of native push: this server speaks it, and this request is for no transport.
        "rack.upgrade?" => nil,
        "rack.url_scheme" => "http",
        # Rack 2 wants it, Rack 3 ignores it.
        "rack.version" => [1, 3].freeze
      }.freeze
    end
  end
end
