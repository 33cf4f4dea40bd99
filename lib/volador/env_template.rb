# frozen_string_literal: true

require_relative "version"

module Volador
  # What the env of every request has in common.
  module EnvTemplate
    # Pairs for which a copy has room without growing, where Ruby can be had to: these, and what the least request adds.
    ROOM = 32
    private_constant :ROOM

    # @param threads [Integer] that run the application in this process
    # @param multiprocess [Boolean] other processes run the same application
    # @return [Hash{String => Object}] frozen
    def self.make(threads:, multiprocess:)
      roomy.update(
        "SCRIPT_NAME" => "",
        "SERVER_SOFTWARE" => "Volador/#{VERSION}",
        "rack.errors" => $stderr,
        "rack.multithread" => threads > 1,
        "rack.multiprocess" => multiprocess,
        "rack.run_once" => false,
        "rack.hijack?" => true,
        # The draft of native push: this server speaks it, and this request is for no transport.
        "rack.upgrade?" => nil,
        "rack.url_scheme" => "http",
        # Rack 2 wants it, Rack 3 ignores it.
        "rack.version" => [1, 3].freeze
      ).freeze
    end

    # To grow costs more than a request's own pairs.
    # @return [Hash] empty
    def self.roomy
      return Hash.new(capacity: ROOM) if RUBY_VERSION >= "3.4"

      # Ruby 3.1 keeps the table of a Hash that is cleared, and copies it as it is; 3.3 does not.
      (1..ROOM).to_h { |key| [key, nil] }.clear
    end
    private_class_method :roomy
  end
end
