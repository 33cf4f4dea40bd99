# frozen_string_literal: true

require_relative "volador/version"
require_relative "volador/error"
require "volador/volador_ext"
require_relative "volador/server"

# A Rack server whose WebSocket and SSE connections live outside of Ruby.
#
#     Volador.run(app, port: 3000, threads: 8)
#
#     class Clock
#       def call(env) = [200, { "content-type" => "text/html" }, [PAGE]]
#       def on_open(env) = Ticker.new(env["push.writer"])   # its on_message(data) and on_close are called
#     end
#
#     Volador.broadcast("/rooms/*", "hello")
module Volador
  # Path segments separated by "/"; "*" and "**" are segments of their own.
  PATTERN_RULE = 'broadcast takes a path like "/rooms/7", "/rooms/*" (one segment) or "/rooms/**" (any tail)'
  private_constant :PATTERN_RULE

  class << self
    # Serves the application until {Server#stop}, or INT or TERM when called in the main thread.
    # @param app [#call] a Rack application
    # @param options see {Configuration}: port, host, bind, threads, …
    # @yieldparam server [Server] once it listens
    # @return [nil]
    # @raise [BootError] when an address cannot be listened on
    # @raise [ConfigurationError] for an unknown option or a value that an option cannot have
    def run(app, **options, &block)
      Server.new(app, Configuration.new(**options)).run(&block)
    end

    # Sends to every push connection, WebSocket and SSE, of this process's server whose request path matches. Returns
    # at once; from any thread, also outside of a request. When no server runs, nobody is connected.
    # @param path [String] "/rooms/7" exactly; "*" stands for one segment; "**", at the end, for any tail
    # @param data [#to_s] a UTF-8 String goes as text, a BINARY one as binary
    # @return [nil]
    # @raise [ArgumentError] for a path that does not start with "/" or has "**" anywhere but at the end
    def broadcast(path, data)
      path = path.to_s
      unless path.start_with?("/") && !path.include?("/**/")
        raise ArgumentError, "#{PATTERN_RULE}, got #{path.inspect}"
      end

      data = data.to_s
      Server.running.each { |server| server.broadcast(path, data) }
      nil
    end
  end
end
