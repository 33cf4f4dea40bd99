# frozen_string_literal: true

require "volador"
require_relative "../address"
require_relative "../clock"
require_relative "../commands"
require_relative "../fresh_thread"
require_relative "../listening"
require_relative "../output"
require_relative "application_directory"
require_relative "control_server"
require_relative "guest"
require_relative "leftovers"
require_relative "membership"
require_relative "mold_process"
require_relative "runtime_directory"
require_relative "settings"
require_relative "supervisor"

module Volador
  module Cluster
    # The program of the gateway's process: it takes the addresses, makes the private folder and the control socket, and
    # lets the {Supervisor} work until the end. No application code is loaded here.
    class GatewayProcess
      # @param configuration [Configuration]
      # @param settings [Settings]
      # @param application [Hash] what the molds are to load:
      #   config (path of the config.ru), config_file (nil, path or "-"), compats, options (for Configuration)
      # @param hooks [Hooks] of which :booted is this process's
      # @param systemd [Systemd]
      # @param out [IO] where the lines about listening go
      def initialize(configuration:, settings:, application:, hooks:, systemd:, out:)
        @configuration = configuration
        @settings = settings
        @application = application
        @hooks = hooks
        @systemd = systemd
        @out = out
        @log = configuration.log
        @directory = ApplicationDirectory.new
        @commands = Commands.new
      end

      # Serves until it is stopped.
      # @return [nil]
      # @raise [BootError] when it can't start
      def run
        Process.setproctitle("volador: gateway [#{@directory.path}]")
        Supervisor.with_signals(@commands) do
          prepare
          supervisor.run
        end
        nil
      ensure
        Server.join_by
        @membership&.leave
        # First no more clients, then no more traces.
        @gateway&.stop
        @control&.close
        @runtime&.remove
      end

      private

      def prepare
        path = @settings.control_socket || RuntimeDirectory.control_sockets(@directory.path).first
        @control = ControlServer.new(path, log: @log)
        @runtime = RuntimeDirectory.create
        @gateway = Listening.gateway(@configuration.to_native, cluster: true)
        Native.become_subreaper
        @notification = IO.for_fd(@gateway.start_cluster(@runtime.link), autoclose: false)
        # The molds remove them when this process is killed.
        sockets = @configuration.bind.filter_map { |address| Address.path(address) }
        # What hooks of this process publish and subscribe to.
        @membership = Membership.new(@runtime.link, configuration: @configuration, log: @log)
        @membership.listen
        Guest.at_home(@runtime.link)
        Server.join_by { |why| @membership.reach(why) }
        @leftovers = Leftovers.at(folder: @runtime.path, sockets: [@control.path, *sockets])
      end

      def supervisor
        Supervisor.new(gateway: @gateway, notification: @notification, generations: generations, control: @control,
                       status: status, link: @runtime.link, systemd: @systemd,
                       drain_timeout: @configuration.drain_timeout, log: @log, say: method(:say), commands: @commands)
      end

      def generations
        Generations.new(gateway: @gateway, settings: @settings, log: @log, events: method(:happened),
                        make: lambda do |number, wanted|
                          Generation.new(number, wanted: wanted, gateway: @gateway, settings: @settings, log: @log,
                                                 start_mold: method(:start_mold))
                        end)
      end

      def start_mold(number, now)
        boot = @application.merge(do: "boot", generation: number, link: @runtime.link, gateway: Process.pid,
                                  control: @control.path, leftovers: @leftovers.to_a)
        MoldProcess.start(directory: @directory, boot: boot, now: now, boot_timeout: @settings.boot_timeout)
      end

      def status
        Status.new(environment: @configuration.environment, directory: @directory.path, control: @control.path,
                   gateway: @gateway, threads: @configuration.threads,
                   now: Clock.now)
      end

      # One of the events of {Generations}.
      def happened(event, generation)
        case event
        when :complete
          announce(generation.wanted)
          # By a thread of its own: the supervisor has no time to wait.
          FreshThread.start("volador booted") { @hooks.run_all(:booted, log: @log) }
          @systemd.ready("generation #{generation.number} serves")
        when :deploying then @systemd.reloading
        when :deployed then @systemd.ready("generation #{generation.number} serves")
        when :failed then @systemd.ready("generation #{generation.number} has failed to boot; the one before it serves")
        end
      end

      def announce(workers)
        threads = @configuration.threads
        kind = "#{workers} worker#{'s' unless workers == 1}, #{threads} thread#{'s' unless threads == 1}" \
               "#{' each' unless workers == 1}"
        @gateway.addresses.each { |address| say("Volador #{VERSION} listening on #{Address.url(address)} (#{kind})") }
      end

      def say(line)
        return if @configuration.quiet?

        Output.write(@out, "#{line}\n")
      end
    end
  end
end
