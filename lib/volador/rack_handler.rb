# frozen_string_literal: true

require "volador"

module Volador
  # What `rackup -s volador` calls, the same for Rack 2 (Rack::Handler) and rackup 2 (Rackup::Handler).
  module RackHandler
    # Options of `-O NAME=VALUE`, as rackup's --help shows them.
    OPTIONS = {
      "Host=HOST" => "Host to listen on (default: localhost in development, else 0.0.0.0)",
      "Port=PORT" => "Port to listen on (default: 9292)",
      "Bind=URI" => "tcp://HOST:PORT or unix://PATH (?mode=0660 behind it), instead of Host and Port",
      "Threads=COUNT" => "Ruby threads that run the application (default: 5)",
      "Quiet" => "Print warnings and errors only"
    }.freeze

    # Serves until it is stopped.
    # @param app [#call]
    # @param options of rackup; of them Host, Port, Bind, Threads, Quiet (or Silent) and environment count, and those of
    #   {Configuration} that have no other name here, such as every one of {Configuration::NUMBERS}. Others are rackup's own
    # @yieldparam server [Server]
    def run(app, **options, &block)
      Volador.run(app, **RackHandler.configuration(options), &block)
    rescue ConfigurationError, BootError => e
      warn "volador: #{e.message}"
      exit 1
    end

    # @return [Hash{String => String}]
    def valid_options
      OPTIONS
    end

    # @api private
    def self.configuration(options)
      chosen = options.slice(*Configuration::NUMBERS.keys, :environment, :log_file, :tmpdir, :allowed_origins,
                             :slow_client, :conflate)
      # Those of our own names are -O's: rackup gives its own always.
      chosen[:host] = options[:host] || options[:Host]
      chosen[:port] = options[:port] || options[:Port]
      chosen[:bind] = options[:Bind] || options[:bind]
      threads = options[:Threads]&.to_s
      chosen[:threads] = threads[/\A\d+:(\d+)\z/, 1] || threads if threads
      chosen[:quiet] = options[:Quiet] || options[:Silent] || options[:quiet]
      chosen.compact
    end
  end
end
