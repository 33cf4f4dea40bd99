# frozen_string_literal: true

require_relative "../../fresh_thread"
require_relative "../../server"
require_relative "graph_ql"
require_relative "log"
require_relative "router"

module Volador
  module Compat
    module Agoo
      # `Agoo::Server`: one server per process, made of handlers.
      module Server
        @router = @server = @runner = nil
        @exit = false

        class << self
          # @param port [Integer] 0: none, with bind
          # @param root [String, nil] the folder of files
          # @param options [Hash] thread_count, bind, root_first, connection_timeout; Port
          # @raise [NotImplementedError] for GraphQL, TLS and several processes
          # @return [nil]
          def init(port, root = nil, options = nil, **named)
            options = (options || {}).merge(named)
            check(options)
            @threads = options.fetch(:thread_count, 0)
            root = nil if root.to_s.empty?
            @router = Router.new(root: root, root_first: options[:root_first] || false)
            @settings = settings(Integer(options[:Port] || port), options)
            nil
          end

          # @param method [Symbol, nil] :GET, …; nil: all
          # @param pattern [String] a path, with "*" and "**", see {Router::Route}
          # @param handler [#call, #on_request, String]
          # @return [nil]
          def handle(method, pattern, handler)
            router.handle(method, pattern, handler)
          end

          # @return [nil]
          def handle_not_found(handler)
            router.handle_not_found(handler)
          end

          # @return [nil]
          def path_group(path, folders)
            router.path_group(path, folders)
          end

          # @return [nil]
          def use(type, *arguments, &block)
            router.use(type, *arguments, &block)
          end

          # There are none, the env has no early_hints: that costs a page some time, and no more.
          # @param wanted [Boolean, nil]
          # @return [false]
          def rack_early_hints(wanted)
            if wanted
              Log.warn("Agoo::Server.rack_early_hints has no effect, the env has no early_hints: let Link headers go with " \
                       "the answer")
            end
            false
          end

          # @raise [NotImplementedError]
          def domain(_host, _root)
            raise NotImplementedError, "Volador has no roots by host: dispatch by env['HTTP_HOST'] in a handler"
          end

          # @raise [NotImplementedError]
          def add_mime(_suffix, _type)
            raise NotImplementedError, "Volador sends files by Rack::Files: register the type in Rack::Mime::MIME_TYPES"
          end

          # @raise [NotImplementedError]
          def header_rule(_path, _mime, _name, _value)
            raise NotImplementedError, "Volador has no rules for the headers of files: add them by middleware (use)"
          end

          # With a thread_count of 0 it returns when the server has been stopped; else at once, and INT or TERM stop
          # the server and then end the process.
          # @raise [BootError] when an address cannot be listened on
          # @return [nil]
          def start
            server = Volador::Server.new(router, Configuration.new(**@settings))
            @server = server
            return server.run unless @threads.positive?

            listening = Queue.new
            @runner = FreshThread.start("volador agoo") { serve(server, listening) }
            @runner.report_on_exception = false
            error = listening.pop
            raise error if error

            stop_by_signals(server)
          end

          # Stops the server gracefully; in the main thread it returns when that is done.
          # @return [nil]
          def shutdown
            @server&.stop
            @runner&.join if Thread.current.equal?(Thread.main)
            nil
          end

          # @api private
          # The process is to end when the server has.
          def exit_afterwards
            @exit = true
          end

          private

          def router
            @router || raise(Error, "call Agoo::Server.init(port, root) first")
          end

          def check(options)
            GraphQL.schema if options[:graphql]
            if options[:ssl_cert]
              raise NotImplementedError, "Volador does not speak TLS: let a proxy in front of it do TLS"
            end
            return if options.fetch(:worker_count, 1) <= 1

            raise NotImplementedError, "Volador is one process: leave worker_count out, or start several of them"
          end

          # Agoo has one thread for each thread_count, or the one that called start.
          def settings(port, options)
            binds = Array(options[:bind]).map { |uri| bind(uri) }
            binds << "tcp://0.0.0.0:#{port}" if port.positive? || binds.empty?
            settings = { bind: binds, threads: [@threads, 1].max }
            settings[:keep_alive_timeout] = options[:connection_timeout] if options[:connection_timeout]
            settings[:quiet] = true if options[:quiet]
            settings
          end

          # "http://127.0.0.1:6464", "http://:6464", "unix:///tmp/agoo.socket"
          def bind(uri)
            uri.sub(%r{\Ahttp://:}, "tcp://0.0.0.0:").sub(%r{\Ahttp://}, "tcp://")
          end

          def serve(server, listening)
            server.run { listening << nil }
            Thread.main.raise(SystemExit.new(0, "the server has stopped")) if @exit
          rescue BootError, ConfigurationError => e
            listening << e
          end

          # As in `start`: a signal handler may only pass it on. The handlers that an application has set stay.
          def stop_by_signals(server)
            %w[INT TERM].each do |name|
              before = Signal.trap(name) do
                exit_afterwards
                server.stop
              end
              Signal.trap(name, before) if before.respond_to?(:call)
            end
            nil
          end
        end
      end
    end
  end
end
