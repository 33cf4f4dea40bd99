# frozen_string_literal: true

require_relative "version"

module Volador
  # What the env of every request has in common.
  module EnvTemplate
    # Pairs for which a copy has room without growing, where Ruby can be had to: these, and what the least request adds.
    ROOM = 32
    # The first Rack whose specification knows the target "*".
    ASTERISK_SINCE = [3, 1].freeze
    # The first Rack whose specification has rack.response_finished.
    FINISHED_SINCE = [3, 0].freeze
    private_constant :ROOM, :ASTERISK_SINCE, :FINISHED_SINCE

    # @param threads [Integer] that run the application in this process
    # @param multiprocess [Boolean] other processes run the same application
    # @return [Hash{String => Object}] frozen
    def self.make(threads:, multiprocess:)
      roomy.update(
        "SCRIPT_NAME" => "",
        # Of `OPTIONS *`, which asks for the server as a whole. Every other request has its own path here. Rack 2.2 and 3.0
        # allow "" and a path alone. From 3.1 on "*" is allowed, and 3.2 refuses "" where SCRIPT_NAME is empty as well.
        "PATH_INFO" => rack_since?(ASTERISK_SINCE) ? "*" : "",
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
        "rack.version" => [1, 3].freeze,
        # That there is one: each request has its own.
        **(rack_since?(FINISHED_SINCE) ? { "rack.response_finished" => [].freeze } : {})
      ).freeze
    end

    # @param version [Array(Integer, Integer)]
    # @return [Boolean] false also when no Rack is loaded
    def self.rack_since?(version)
      return false unless defined?(::Rack.release)

      (::Rack.release.split(".").first(2).map(&:to_i) <=> version) >= 0
    end
    private_class_method :rack_since?

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
