# frozen_string_literal: true

require_relative "../../log"
require_relative "../../server"
require_relative "../static_files"
require_relative "tls"
require_relative "url"

module Volador
  module Compat
    module Iodine
      # What one `Iodine.listen` says.
      class Listener
        # Those that have their effect. Others Volador has settings of its own for, or none.
        KNOWN = %i[service tls handler app url address port public timeout ping].freeze
        HTTP = %i[http ws].freeze
        ONLY_HTTP = "Volador speaks HTTP, WebSocket and SSE only"
        private_constant :KNOWN, :HTTP, :ONLY_HTTP

        # @return [#call]
        attr_reader :handler

        # @param settings [Hash{Symbol => Object}]
        # @param block [Proc, nil] the handler, unless settings have one
        # @raise [NotImplementedError] for anything but HTTP without TLS
        # @raise [ArgumentError]
        def initialize(settings, block)
          @settings = settings
          @url = Url.new(settings[:url]) if settings[:url]
          # `app` is the older name.
          @handler = settings[:handler] || settings[:app] || block
          @served = nil
          check
        end

        # @param threads [Integer] 0 or less: Volador's default
        # @return [Server] to be started
        def server(threads)
          options = address
          options[:threads] = threads if threads.positive?
          options[:keep_alive_timeout] = @settings[:timeout] if positive?(:timeout)
          options[:ping_interval] = options[:heartbeat_interval] = @settings[:ping] if positive?(:ping)
          @served = app
          Server.new(@served, Configuration.new(**options))
        end

        # @return [Boolean] whether {#server} has been asked for
        def served?
          !@served.nil?
        end

        # @param app [#call] of a server
        # @return [Boolean] whether that is the server of this listener
        def serves?(app)
          @served.equal?(app)
        end

        private

        def check
          check_service
          raise NotImplementedError, TLS::INSTEAD if @settings[:tls]
          raise ArgumentError, "Iodine.listen needs a handler: or a block" if @handler.nil?

          check_handler
          ignored = @settings.reject { |name, value| KNOWN.include?(name) || value.nil? }.keys
          Log.new.warn("Iodine.listen: #{ignored.join(', ')} is left to Volador's own settings") unless ignored.empty?
        end

        def check_service
          return if service.nil? || HTTP.include?(service)

          raise NotImplementedError, "Iodine.listen(service: #{service.inspect}): #{ONLY_HTTP}"
        end

        # Where nothing names a service, the gem speaks raw TCP, and calls its handler or block without an env.
        def check_handler
          return if @handler.respond_to?(:call) && (service || takes_env?)
          raise ArgumentError, "Iodine.listen takes a handler: that responds to call, got #{@handler.inspect}" if service

          raise NotImplementedError, "Iodine.listen without service: :http is for raw TCP where the handler or block takes " \
                                     "no env, as here. #{ONLY_HTTP}"
        end

        # @return [Symbol, nil] a Unix socket's URL names none
        def service
          named = @settings[:service] || @url&.scheme
          named.to_sym unless named.nil? || named.to_sym == :unix
        end

        def takes_env?
          called = @handler.respond_to?(:parameters) ? @handler : @handler.method(:call)
          called.parameters.any?
        end

        # An address may be a path as well.
        def address
          @url ? @url.address(@settings[:port]) : { host: @settings[:address], port: @settings[:port] }
        end

        def app
          @settings[:public] ? StaticFiles.new([@settings[:public]]).before(@handler) : @handler
        end

        def positive?(name)
          @settings[name].is_a?(Numeric) && @settings[name].positive?
        end
      end
    end
  end
end
