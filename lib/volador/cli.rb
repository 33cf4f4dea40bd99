# frozen_string_literal: true

require "optparse"
require_relative "error"
require_relative "version"

module Volador
  # The command `volador [config.ru]`.
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
      @binds = []
      @compats = []
      @debug = env["VOLADOR_DEBUG"] == "1"
    end

    # @return [Integer] exit status: 0 after a stop, 1 when it could not start
    def run
      config = parse
      return 0 if config.nil?

      serve(config)
      0
    rescue OptionParser::ParseError => e
      complain("#{e.message}; volador --help lists the options", e)
    rescue ConfigurationError, BootError => e
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
      set_environment
      # The extension is loaded late, so that --help and --version need none.
      require "volador"
      require_relative "application"
      @compats.each { |name| require_relative "compat/#{name}" }
      options = @options
      options[:bind] = @binds unless @binds.empty?
      # First, since a wrong option should not wait for the application to load.
      configuration = Configuration.new(**options, env: @env)
      Server.new(Application.load(config), configuration, out: @out).run
    end

    # As Puma: the application sees the environment that the server runs in.
    def set_environment
      environment = @options[:environment] || presence("RACK_ENV") || presence("RAILS_ENV") || "development"
      @options[:environment] = @env["RACK_ENV"] = environment
      @env["RAILS_ENV"] ||= environment
    end

    def presence(name)
      @env[name] unless @env[name].to_s.empty?
    end

    def complain(message, error)
      @err.puts("volador: #{message}")
      error = error.cause || error
      @err.puts(error.full_message(highlight: false)) if @debug
      1
    end

    def parser
      OptionParser.new do |parser|
        parser.banner = "Usage: volador [options] [config.ru]"
        parser.separator("")
        listening_options(parser)
        running_options(parser)
        answers(parser)
      end
    end

    def listening_options(parser)
      parser.on("-p", "--port PORT", "TCP port; default: the variable PORT, else 9292") do |port|
        @options[:port] = port
      end
      parser.on("-b", "--bind URI", "tcp://HOST:PORT or unix://PATH, instead of -p; repeatable.",
                "Default: tcp://127.0.0.1:9292 in development, else tcp://0.0.0.0:9292") { |uri| @binds << uri }
    end

    def running_options(parser)
      parser.on("-t", "--threads COUNT", "Ruby threads that run the application;",
                "default: the variable RAILS_MAX_THREADS, else 5") do |threads|
        # Puma's MIN:MAX is understood; threads are cheap, there are always MAX.
        @options[:threads] = threads[/\A\d+:(\d+)\z/, 1] || threads
      end
      parser.on("-e", "--environment NAME", "sets RACK_ENV (and RAILS_ENV, if it is unset);",
                "default: development") { |name| @options[:environment] = name }
      parser.on("--compat NAME", %w[iodine agoo], "serve an application that was written for iodine or agoo;",
                "repeatable. It need not be edited: docs/compat.md") { |name| @compats << name }
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
