# frozen_string_literal: true

module Volador
  module Compat
    module Agoo
      # A request, for handlers with `on_request(request, response)`: Rack's env under names of its own.
      class Request
        # Readers of the env by their names.
        READERS = {
          request_method: "REQUEST_METHOD", script_name: "SCRIPT_NAME", path_info: "PATH_INFO",
          query_string: "QUERY_STRING", server_name: "SERVER_NAME", server_protocol: "SERVER_PROTOCOL",
          remote_addr: "REMOTE_ADDR", rack_version: "rack.version", rack_url_scheme: "rack.url_scheme",
          rack_input: "rack.input", rack_errors: "rack.errors", rack_multithread: "rack.multithread",
          rack_multiprocess: "rack.multiprocess", rack_run_once: "rack.run_once", rack_logger: "rack.logger"
        }.freeze
        READERS.each { |name, key| define_method(name) { @env[key] } }

        # @return [Hash] Rack's env
        attr_reader :env
        alias to_h env
        alias environment env

        def initialize(env)
          @env = env
        end

        # @return [String, nil] of the Host header; nil where that names none
        def server_port
          @env["HTTP_HOST"]&.slice(/:(\d+)\z/, 1)
        end

        # @return [Symbol, nil] :websocket or :sse
        def rack_upgrade?
          @env["rack.upgrade?"]
        end

        # @return [Hash{String => String}] the fields of the request's head, as the env names them
        def headers
          @env.select { |name, _| name.start_with?("HTTP_", "CONTENT_") && name != "HTTP_VERSION" }
        end

        # @return [String]
        def body
          @body ||= @env["rack.input"]&.read.to_s
        end

        # Takes the connection: what the handler answers is not sent.
        # @return [IO]
        def call
          @env["rack.hijack"].call
        end

        # Puts something into the env.
        def set(key, value)
          @env[key] = value
        end

        # @return [String]
        def to_s
          @env.to_s
        end
      end

      # The answer that such a handler fills in.
      class Response
        # @return [Integer] the status, 200 at first
        attr_reader :code
        # @return [String]
        attr_accessor :body
        alias content body
        alias content= body=

        def initialize
          @code = 200
          @body = ""
          @headers = {}
        end

        # @param code [Integer] 100 to 599
        def code=(code)
          raise ArgumentError, "a status is from 100 to 599, got #{code}" unless Integer(code).between?(100, 599)

          @code = Integer(code)
        end

        # @param name [#to_s] of a header
        def [](name)
          @headers[name.to_s.downcase]
        end

        # @param name [#to_s] of a header
        # @param value [#to_s, nil] nil takes it away
        def []=(name, value)
          value.nil? ? @headers.delete(name.to_s.downcase) : @headers[name.to_s.downcase] = value.to_s
        end

        # @return [Array] for Rack
        def to_a
          [@code, @headers, [@body.to_s]]
        end

        # @return [String] as it is sent, but for what the server adds
        def to_s
          require "rack/utils"
          head = ["HTTP/1.1 #{@code} #{::Rack::Utils::HTTP_STATUS_CODES[@code]}",
                  "content-length: #{@body.to_s.bytesize}", *@headers.map { |name, value| "#{name}: #{value}" }]
          "#{head.join("\r\n")}\r\n\r\n#{@body}"
        end
      end

      # Makes a Rack app of a handler with `on_request`.
      class BaseHandler
        # @param handler [#on_request]
        def initialize(handler)
          @handler = handler
        end

        def call(env)
          response = Response.new
          @handler.on_request(Request.new(env), response)
          response.to_a
        end
      end
    end
  end
end
