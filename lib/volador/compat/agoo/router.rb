# frozen_string_literal: true

require_relative "../static_files"
require_relative "base_handler"

module Volador
  module Compat
    module Agoo
      # The Rack application that `Agoo::Server` makes of its handlers and folders: the first handler that fits, else a
      # file, else 404. With root_first the files come first.
      class Router
        METHODS = %w[CONNECT DELETE GET HEAD OPTIONS POST PUT PATCH].freeze
        NOT_FOUND = [404, { "content-type" => "text/plain" }, ["Not Found"]].freeze
        private_constant :METHODS, :NOT_FOUND

        # Whether a request is for one handler.
        class Route
          # @param method [String, nil] nil: all
          # As Agoo reads it (agoo_hook_match in its hook.c): what "*" stands for reaches to the end of its segment.
          # @param pattern [String] "*" is the rest of a segment, "**" of the path; at the end of the pattern neither is
          #   empty, elsewhere "*" may be
          def initialize(method, pattern)
            @method = method
            head, tail = pattern.split("**", 2)
            source = Regexp.escape(head.to_s).gsub(/\\\*(\z)?/) { Regexp.last_match(1) ? "[^/]+" : "[^/]*+" }
            @pattern = /\A#{source}#{'.+' if tail}\z/m
          end

          def match?(method, path)
            (@method.nil? || @method == method) && @pattern.match?(path)
          end
        end

        # @param root [String, nil] the folder of files
        # @param root_first [Boolean]
        def initialize(root: nil, root_first: false)
          @root = StaticFiles.new([root]) if root
          @root_first = root_first
          @groups = []
          @middleware = []
          # Pairs of a route and an app; by this name the servers look for apps.
          @mapping = []
          @not_found = nil
        end

        # @param method [Symbol, nil] :GET, …; nil: all
        # @param pattern [String] see {Route}
        # @param handler [#call, #on_request, String] or the name of a class
        # @raise [ArgumentError, TypeError]
        def handle(method, pattern, handler)
          raise TypeError, "a path pattern is a String, got #{pattern.class}" unless pattern.is_a?(String)
          unless method.nil? || METHODS.include?(method.to_s)
            raise ArgumentError, "a method is nil or one of #{METHODS.join(', ')}, got #{method.inspect}"
          end

          app = @middleware.reverse.inject(app(handler)) do |inner, (type, arguments, block)|
            type.new(inner, *arguments, &block)
          end
          @mapping << [Route.new(method&.to_s, pattern), app]
          nil
        end

        # @param handler [Object] as for {#handle}
        def handle_not_found(handler)
          @not_found = app(handler)
          nil
        end

        # For the handlers that come after it; the first one used is the outermost.
        # @param type [Class] of Rack middleware
        def use(type, *arguments, &block)
          raise ArgumentError, "use takes a class first, got #{type.inspect}" unless type.is_a?(Class)

          @middleware << [type, arguments, block]
          nil
        end

        # @param path [String] "/assets"
        # @param folders [Array<#to_s>] the first that has the file
        def path_group(path, folders)
          @groups << StaticFiles.new(folders.map(&:to_s), path.chomp("/"))
          nil
        end

        def call(env)
          answer = file(env) if @root_first
          return answer if answer

          app = handler(env)
          # Whatever it answers, nil as well: that is an error, and no reason to look for a file.
          return app.call(env) if app

          answer = file(env) unless @root_first
          answer || (@not_found ? @not_found.call(env) : [404, NOT_FOUND[1].dup, NOT_FOUND[2].dup])
        end

        private

        # @return [#call, nil]
        def handler(env)
          method = env["REQUEST_METHOD"]
          path = env["PATH_INFO"]
          path = path.chomp("/") if path.size > 1
          _, app = @mapping.find { |route, _| route.match?(method, path) }
          app
        end

        def file(env)
          @groups.each do |group|
            answer = group.call(env)
            return answer if answer
          end
          @root&.call(env)
        end

        def app(handler)
          handler = Object.const_get(handler) if handler.is_a?(String)
          return BaseHandler.new(handler) if handler.respond_to?(:on_request)
          return handler if handler.respond_to?(:call)

          raise ArgumentError, "a handler responds to call or on_request, got #{handler.inspect}"
        end
      end
    end
  end
end
