# frozen_string_literal: true

require "optparse"
require_relative "error"
require_relative "version"

module Volador
  # The command `volador [config.ru]`, and the way to {ControlCommand}.
  class CLI
    # @param arguments [Array<String>]
    # @param env [Hash, ENV] environment variables; RACK_ENV is set in it
    # @param out [IO]  @param err [IO]
    def initialize(arguments, env: ENV, out: $stdout, err: $stderr)
      @arguments = arguments
      @env = env
      @out = out
      @err = err
      @options = {}
      @cluster = {}
      @compats = []
      @config_file = nil
      @debug = env["VOLADOR_DEBUG"] == "1"
    end

    # @return [Integer] exit status: 0 after a stop, 1 when it could not start
    def run
      require_relative "control_command"
      if ControlCommand::NAMES.key?(@arguments.first)
        return ControlCommand.new(@arguments.first, @arguments.drop(1), out: @out, err: @err).run
      end

      config = parse
      return 0 if config.nil?

      serve(config)
      0
    rescue OptionParser::ParseError => e
      complain("#{e.message}; volador --help lists the options", e)
    rescue Error => e
      complain(e.message, e)
    end

    private

    # @return [String, nil] the path of the config.ru; nil when there is nothing to serve
    def parse
      rest = parser.parse(@arguments)
      return if @answered
      raise ConfigurationError, "one config.ru at most, got #{rest.join(' ')}" if rest.size > 1

      rest.first || "config.ru"
    end

    def serve(config)
      enter(@directory) if @directory
      set_environment(@options[:environment]) if @options[:environment]
      file = ConfigFile.load(@config_file)
      set_environment(@options[:environment] || file.options[:environment] || presence("RACK_ENV") ||
                      presence("RAILS_ENV") || "development")
      require_relative "systemd"
      systemd = Systemd.new(@env)
      options = merge(file.options, systemd)
      # First, since a wrong option should not wait for the application to load.
      configuration = Configuration.new(**options, env: @env)
      settings = Cluster::Settings.new(**file.cluster, **@cluster, env: @env)
      # The extension is loaded late, so that --help and --version need none.
      require "volador"
      if settings.workers.zero?
        serve_here(config, configuration, file, systemd)
      else
        serve_in_workers(config, configuration, settings, options, file, systemd)
      end
    end

    def serve_here(config, configuration, file, systemd)
      require_relative "application"
      [*file.compats, *@compats].uniq.each { |name| require_relative "compat/#{name}" }
      server = Server.new(Application.load(config), configuration, out: @out)
      Server.observers << systemd
      server.run { file.hooks.run_all(:booted, log: configuration.log) }
    end

    def serve_in_workers(config, configuration, settings, options, file, systemd)
      require_relative "cluster/gateway_process"
      # The addresses are this process's; all others are the workers' as well.
      application = { config: config, config_file: @config_file, compats: @compats,
                      options: options.reject { |name, _| %i[bind host port].include?(name) } }
      Cluster::GatewayProcess.new(configuration: configuration, settings: settings, application: application,
                                  hooks: file.hooks, systemd: systemd, out: @out).run
    end

    # The name of the folder counts, not what it leads to: see Cluster::ApplicationDirectory.
    def enter(directory)
      path = File.expand_path(directory)
      Dir.chdir(path)
      @env["PWD"] = path
    rescue SystemCallError => e
      raise ConfigurationError, "--directory #{directory} cannot be entered: #{e.message}"
    end

    # What is given on the command line wins. An address there takes the place of all that the file has.
    def merge(options, systemd)
      options = options.reject { |name, _| %i[bind port].include?(name) } if @options.key?(:bind) || @options.key?(:port)
      options = options.merge(@options)
      systemd.binds.empty? ? options : options.merge(bind: systemd.binds)
    end

    # As Puma: the application sees the environment that the server runs in.
    def set_environment(environment)
      @options[:environment] = @env["RACK_ENV"] = environment
      @env["RAILS_ENV"] ||= environment
    end

    def presence(name)
      @env[name] unless @env[name].to_s.empty?
    end

    def complain(message, error)
      @err.puts("volador: #{message}")
      @err.puts(details(error)) if @debug
      1
    end

    # Another process may have met the exception.
    def details(error)
      return error.details if error.is_a?(BootError) && error.details

      (error.cause || error).full_message(highlight: false)
    end

    def parser
      OptionParser.new do |parser|
        parser.banner = "Usage: volador [options] [config.ru]\n" \
                        "       volador #{ControlCommand::NAMES.keys.join('|')} [options]"
        parser.separator("")
        listening_options(parser)
        running_options(parser)
        answers(parser)
        parser.separator("")
        ControlCommand::NAMES.each { |name, effect| parser.separator("    volador #{name.ljust(24)} #{effect}") }
      end
    end

    def listening_options(parser)
      parser.on("-p", "--port PORT", "TCP port; default: the variable PORT, else 9292") do |port|
        @options[:port] = port
      end
      parser.on("-b", "--bind URI", "tcp://HOST:PORT or unix://PATH (?mode=0660 behind it), instead of -p; repeatable.",
                "Default: tcp://127.0.0.1:9292 in development, else tcp://0.0.0.0:9292") do |uri|
        (@options[:bind] ||= []) << uri
      end
    end

    def running_options(parser)
      parser.on("-w", "--workers COUNT", "processes that run the application, or auto: as many as processors;",
                "default: the variable WEB_CONCURRENCY, else 0: it runs in this one") do |workers|
        @cluster[:workers] = workers
      end
      parser.on("-t", "--threads COUNT", "Ruby threads that run the application, in each process;",
                "default: the variable RAILS_MAX_THREADS, else 5") do |threads|
        # Puma's MIN:MAX is understood; threads are cheap, there are always MAX.
        @options[:threads] = threads[/\A\d+:(\d+)\z/, 1] || threads
      end
      parser.on("-e", "--environment NAME", "sets RACK_ENV (and RAILS_ENV, if it is unset);",
                "default: development") { |name| @options[:environment] = name }
      parser.on("-C", "--config PATH", "settings and hooks; - for none;",
                "default: config/volador.rb, if it is there") do |path|
        @config_file = path
      end
      parser.on("-S", "--control PATH", "the control socket, with -w; default: one that volador status finds",
                "in this folder") { |path| @cluster[:control_socket] = path }
      parser.on("--directory PATH", "go there first; a symbolic link is followed anew by each restart") do |path|
        @directory = path
      end
      parser.on("--compat NAME", "serve an application that was written for iodine or agoo;",
                "repeatable. It need not be edited: docs/compat.md") do |name|
        @compats << ConfigFile.compat("--compat", name)
      end
      parser.on("-q", "--quiet", "print warnings and errors only") { @options[:quiet] = true }
      parser.on("--debug", "print the whole backtrace when it cannot start (or VOLADOR_DEBUG=1)") { @debug = true }
    end

    def answers(parser)
      parser.on("-h", "--help", "print this") { answer(parser.help) }
      parser.on("-v", "--version", "print the version") { answer("volador #{VERSION}") }
    end

    def answer(text)
      @out.puts(text) unless @answered
      @answered = true
    end
  end
end
