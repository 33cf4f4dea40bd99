# frozen_string_literal: true

require_relative "endpoint"

module Volador
  module Push
    # Finds the innermost apps of a middleware stack, once at boot, and intercepts their `call` (see {Endpoint}), so
    # that a push request passes through all middleware and reaches `on_open` with the env that `call` would be given.
    #
    # The stack is walked from the root through everything that responds to `call`: instance variables, the members of
    # Structs, delegates, and Arrays and Hashes of them (Rack::URLMap, Rack::Cascade). Of two apps that respond to
    # `on_open`, one around the other as middleware (by `@app` or as a delegate), the inner one counts.
    #
    #     CommonLogger ─@app─▶ Lint ─@app─▶ URLMap ─@mapping─▶ [[host, path, regexp, chat], ...]
    #                                                                                 ▲ intercepted
    #
    # What is frozen cannot be intercepted in place: a stand-in takes its place in its parent, and frozen parents are
    # copied up to the root. That is why a new root is returned.
    class Interceptor
      # What {Interceptor.install} found.
      #   app     what the server is to call
      #   direct  true when app itself is the one with `on_open`, and nothing has to be intercepted
      Result = Struct.new(:app, :direct)

      # Bounds of the walk; a framework's object graph is large.
      DEPTH_MAX = 100
      OBJECTS_MAX = 20_000
      # By these names middleware holds the apps that it calls; what is reached by another name is looked at for
      # `on_open` only, since nothing says that its `call` takes an env.
      APP_NAMES = %i[@app @apps @mapping @run @map @target @delegate_sd_obj @delegate_dc_obj app apps].freeze
      # Around one inner app: then `on_open` of the outer object is taken for a forwarded one.
      AROUND_NAMES = %i[@app @target @delegate_sd_obj @delegate_dc_obj app].freeze
      # Objects that are no containers of apps, however they look.
      OPAQUE = [Proc, Method, UnboundMethod, Thread, IO, String, Symbol, Numeric].freeze
      private_constant :DEPTH_MAX, :OBJECTS_MAX, :APP_NAMES, :AROUND_NAMES, :OPAQUE

      # An object may be a BasicObject, or have methods of its own by these names.
      CLASS = Kernel.instance_method(:class)
      FROZEN = Kernel.instance_method(:frozen?)
      SINGLETON_CLASS = Kernel.instance_method(:singleton_class)
      IVARS = Kernel.instance_method(:instance_variables)
      IVAR_GET = Kernel.instance_method(:instance_variable_get)
      IVAR_SET = Kernel.instance_method(:instance_variable_set)
      CLONE = Kernel.instance_method(:clone)
      private_constant :CLASS, :FROZEN, :SINGLETON_CLASS, :IVARS, :IVAR_GET, :IVAR_SET, :CLONE

      # @param app [#call] the root of the stack
      # @return [Result]
      def self.install(app)
        new.install(app)
      end

      def initialize
        @seen = {}.compare_by_identity
      end

      # @return [Result]
      def install(app)
        return Result.new(app, true) if push?(app) && !around_push?(app)

        Result.new(visit(app, 0, true, true), false)
      end

      private

      # @param named [Boolean] reached by one of APP_NAMES all the way
      # @return [Object] what is to stand in the app's place: mostly itself
      def visit(app, depth, named, root = false)
        return @seen[app] if @seen.key?(app)
        # A stand-in from another time, for a server before this one.
        return app if Endpoint::Frozen === app

        @seen[app] = app
        return app if depth > DEPTH_MAX || @seen.size > OBJECTS_MAX

        @seen[app] = if push?(app) && !around_push?(app)
                       intercept(app, Endpoint::OnOpen)
                     else
                       inner(app, depth, named, root)
                     end
      rescue StandardError
        app # An object that does not want to be looked at is left alone.
      end

      # Middleware, or an innermost app without on_open.
      def inner(app, depth, named, root)
        # Whoever holds it, it calls what is in its @app, and refuses the status 0 of Iodine's form.
        named ||= defined?(::Rack::Lint) && ::Rack::Lint === app
        children = children(app)
        innermost = named && !root && children.none? { |name, value| APP_NAMES.include?(name) && !value.nil? }
        replaced = children.filter_map do |name, value|
          replacement = visit_value(value, depth + 1, named && APP_NAMES.include?(name))
          [name, replacement] unless replacement.equal?(value)
        end
        app = replace(app, replaced) unless replaced.empty?
        innermost ? intercept(app, Endpoint::Upgrade) : app
      end

      # A variable's value: an app, or an Array or Hash with apps in it at any level.
      def visit_value(value, depth, named)
        return value if depth > DEPTH_MAX

        case value
        when Array then visit_elements(value, value.each_index, depth, named)
        when Hash then visit_elements(value, value.keys, depth, named)
        else callable?(value) ? visit(value, depth, named) : value
        end
      end

      def visit_elements(container, keys, depth, named)
        return container if @seen.key?(container) || container.size > OBJECTS_MAX

        @seen[container] = container
        changes = keys.filter_map do |key|
          element = container[key]
          replacement = visit_value(element, depth + 1, named)
          [key, replacement] unless replacement.equal?(element)
        end
        return container if changes.empty?

        copy = container.frozen? ? container.dup : container
        changes.each { |key, replacement| copy[key] = replacement }
        container.frozen? ? copy.freeze : copy
      end

      # @return [Hash{Symbol => Object}] variables and members
      def children(app)
        return {} if OPAQUE.any? { |type| type === app }

        found = IVARS.bind_call(app).to_h { |name| [name, IVAR_GET.bind_call(app, name)] }
        found.merge!(app.to_h) if record?(app)
        found
      end

      def record?(app)
        Struct === app || (defined?(::Data) && ::Data.respond_to?(:define) && ::Data === app)
      end

      def replace(app, replaced)
        return app if Module === app && FROZEN.bind_call(app) # its copy would be another class

        frozen = FROZEN.bind_call(app)
        return app.with(**replaced.to_h) if record?(app) && !(Struct === app)

        copy = frozen ? CLONE.bind_call(app, freeze: false) : app
        replaced.each do |name, value|
          name.start_with?("@") ? IVAR_SET.bind_call(copy, name, value) : copy[name] = value
        end
        frozen ? copy.freeze : copy
      end

      def intercept(app, endpoint)
        return Endpoint::Frozen.new(app, on_open: endpoint.equal?(Endpoint::OnOpen)) if FROZEN.bind_call(app)

        singleton = SINGLETON_CLASS.bind_call(app)
        singleton.prepend(endpoint) unless singleton.include?(endpoint)
        app
      end

      # Whether on_open of the app is that of an app which it is wrapped around.
      def around_push?(app, looked_at = {}.compare_by_identity)
        looked_at[app] = true
        children(app).any? do |name, value|
          AROUND_NAMES.include?(name) && !looked_at.key?(value) && callable?(value) &&
            (push?(value) || around_push?(value, looked_at))
        end
      end

      def push?(app)
        callable?(app) && !(Endpoint::Frozen === app) && app.respond_to?(:on_open) && !draft_handler?(app)
      rescue StandardError
        false
      end

      # An app may be the handler of the draft's form as well (`env['rack.upgrade'] = self`): its `on_open` then takes a
      # client, and it is asked by `call`. The other callbacks tell the two apart: here they have the client as their
      # first argument, in the seed's form they have none.
      def draft_handler?(app)
        return true if app.respond_to?(:on_drained) || app.respond_to?(:on_shutdown)

        { on_message: 2, on_close: 1 }.any? do |name, arguments|
          app.respond_to?(name) && app.method(name).parameters.count { |kind, _| kind == :req } == arguments
        end
      end

      def callable?(object)
        object.respond_to?(:call) ? true : false
      rescue StandardError
        false
      end
    end
  end
end
