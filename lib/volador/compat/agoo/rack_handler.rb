# frozen_string_literal: true

require_relative "log"
require_relative "server"

module Volador
  module Compat
    module Agoo
      # `Rack::Handler::Agoo.run`, for programs that start it that way.
      module RackHandler
        # Other names of options.
        NAMES = { p: :port, dir: :root, d: :root, b: :bind, wc: :worker_count, workers: :worker_count, g: :graphql,
                  s: :silent }.freeze
        private_constant :NAMES

        class << self
          # Puts it into Rack::Handler. Rack 3 has none: there it is rackup's, by its old name. Without rackup nothing is
          # done.
          def install
            require "rack"
            unless ::Rack.const_defined?(:Handler)
              require "rackup/handler"
              ::Rack.const_set(:Handler, ::Rackup::Handler)
            end
            ::Rack::Handler.const_set(:Agoo, self)
          rescue LoadError
            nil
          end

          # Serves until it is stopped.
          # @param app [#call, nil] asked for every path that has no handler
          # @param options [Hash] port, root, bind, workers, silent, debug; "/path" => handler, nil => handler of what is not
          #   found; others are those of {Server.init}
          # @raise [NotImplementedError] for GraphQL, TLS and several processes
          # @return [nil]
          def run(app, options = nil, **named)
            paths, options = (options || {}).merge(named).partition { |name, _| name.to_s.start_with?("/") }
            options = options.to_h { |name, value| [NAMES.fetch(name, name), value] }
            Log.configure(states: { INFO: !options[:silent], DEBUG: options.key?(:debug) })
            Server.init(Integer(options[:port] || 0), options.fetch(:root, "./public"), settings(options))
            paths.each { |path, handler| Server.handle(nil, path.to_s, handler) }
            Server.handle(nil, "**", app) if app
            Server.handle_not_found(options[nil]) if options[nil]
            Server.start
          end

          # Stops the server and ends the process.
          def shutdown
            Agoo.shutdown
          end

          private

          # Agoo serves in the thread that called, and leaves the files to what the app does not take. Addresses take the
          # place of rackup's port.
          def settings(options)
            settings = options.compact.slice(:Port, :connection_timeout, :worker_count, :graphql, :ssl_cert)
            settings.update(thread_count: 0, worker_count: Integer(options[:worker_count] || 1), quiet: options[:silent])
            return settings unless options[:bind]

            binds = options[:bind].is_a?(String) ? options[:bind].split(",") : options[:bind]
            settings.update(bind: binds, Port: options[:port] || 0)
          end
        end
      end
    end
  end
end
