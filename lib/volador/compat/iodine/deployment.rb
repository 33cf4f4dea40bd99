# frozen_string_literal: true

require_relative "../../log"
require_relative "../static_files"

module Volador
  module Compat
    module Iodine
      # An application that is not served by `Iodine.start` but by `volador` or `rackup`, which go by settings of their own:
      # what its config.ru has set otherwise has its effect as far as it can, and is named in the log where it has none.
      class Deployment
        # What stands for the settings of Iodine.
        INSTEAD = {
          ping: "ping_interval and heartbeat_interval", timeout: "keep_alive_timeout", max_body: "body_max_bytes",
          max_msg: "message_max_bytes", max_headers: "head_max_bytes", port: "-p or -b", address: "-b",
          log: "Rack::CommonLogger"
        }.freeze
        private_constant :INSTEAD

        # Prepended to {Application}: every app is checked before it is served, with workers once for all of them.
        module Check
          # @param app [Object]
          # @return [#call]
          # @raise [ConfigurationError] when it is no Rack application
          def check(app)
            Iodine.deployment.prepare(super)
          end
        end

        # @param settings [Hash{Symbol => Object}] the DEFAULT_SETTINGS, as they are before the application changes them
        # @param listeners [Array<Listener>] of the calls of Iodine.listen, to which others are added
        # @param log [Log]
        def initialize(settings, listeners, log = Log.new)
          @settings = settings
          @before = settings.dup.freeze
          @listeners = listeners
          @log = log
        end

        # @param app [#call] that is about to be served
        # @return [#call] the same, behind the files of the public folder if there is one
        def prepare(app)
          return app if @listeners.any? { |listener| listener.serves?(app) }

          tell_settings
          tell_listeners
          folder = @settings[:public]
          folder ? StaticFiles.new([folder]).before(app) : app
        end

        private

        def tell_settings
          changed = @settings.reject { |name, value| name == :public || value.nil? || value == @before[name] }.keys
          return if changed.empty?

          names = changed.map { |name| INSTEAD.key?(name) ? "#{name} (use #{INSTEAD[name]})" : name }
          @log.warn("these of Iodine::DEFAULT_SETTINGS have no effect: #{names.join(', ')}. Volador's own options are " \
                    "settings of config/volador.rb, see docs/configuration.md")
        end

        def tell_listeners
          idle = @listeners.count { |listener| !listener.served? }
          return if idle.zero?

          @log.warn("Iodine.listen has no effect without Iodine.start (calls: #{idle}): only the app of config.ru is served. " \
                    "Give volador further addresses by -b, or run a program by ruby -rvolador/compat/iodine that calls " \
                    "Iodine.start at its end")
        end
      end
    end
  end
end
