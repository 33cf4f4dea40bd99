# frozen_string_literal: true

require "json"
require "optparse"
require_relative "cluster/control_client"
require_relative "config_file"
require_relative "error"
require_relative "status_table"

module Volador
  # The commands `volador status`, `restart`, `stop` and `console`, which ask a server with workers through its control
  # socket.
  class ControlCommand
    # The commands, and what they do.
    NAMES = {
      "status" => "shows the server and its workers",
      "restart" => "starts a new generation with the code that is on disk now, and waits until it serves",
      "stop" => "stops the server gracefully, and waits for its end",
      "console" => "opens irb, with Volador.publish, broadcast, subscribe and stats for the running server"
    }.freeze

    # @param name [String] one of {NAMES}
    # @param arguments [Array<String>] what follows it
    # @param out [IO]  @param err [IO]
    def initialize(name, arguments, out: $stdout, err: $stderr)
      @name = name
      @arguments = arguments
      @out = out
      @err = err
      @debug = ENV["VOLADOR_DEBUG"] == "1"
    end

    # @return [Integer] exit status
    def run
      rest = parser.parse(@arguments)
      return 0 if @helped
      raise ConfigurationError, "#{@name} takes options only, got #{rest.join(' ')}" unless rest.empty?

      send(@name)
    rescue OptionParser::ParseError => e
      complain("#{e.message}; volador #{@name} --help lists the options")
    rescue Error => e
      complain(e.message)
    end

    private

    def parser
      OptionParser.new do |parser|
        parser.banner = "Usage: volador #{@name} [options]\n\n#{NAMES.fetch(@name)}"
        parser.separator("")
        parser.on("-S", "--control PATH", "the server's control socket; default: control_socket in the config file,",
                  "else that of the server that was started in this folder") { |path| @control = path }
        parser.on("-C", "--config PATH", "the server's config file; default: config/volador.rb, if it is there") do |path|
          @config_file = path
        end
        parser.on("--json", "print all that is known, as JSON") { @json = true } if @name == "status"
        parser.on("--debug", "print the whole backtrace of what fails (or VOLADOR_DEBUG=1)") { @debug = true }
        parser.on("-h", "--help", "print this") do
          @out.puts(parser.help)
          @helped = true
        end
      end
    end

    # What comes after -C on the command line must not be evaluated when -S says all there is to know.
    def control_socket
      @control || ConfigFile.load(@config_file).cluster[:control_socket]
    end

    def ask(request, **options)
      Cluster::ControlClient.new(control_socket).ask(request, **options)
    end

    def status
      answer = ask({ do: "status" }) || raise(Error, "the server is ending")
      @out.puts(@json ? JSON.pretty_generate(answer.reject { |key, _| key == :ok }) : StatusTable.new(answer).to_s)
      0
    end

    def restart
      answer = ask({ do: "restart" }, seconds: nil) || raise(Error, "the server has ended meanwhile")
      if answer[:ok]
        @out.puts("generation #{answer[:generation]} serves")
        return 0
      end

      return complain("no new generation serves: #{answer[:error]}") if answer[:stopping]

      complain("the new generation has failed to boot, generation #{answer[:generation]} goes on: #{answer[:error]}",
               answer[:details])
    end

    def stop
      ask({ do: "stop" }, seconds: nil)
      @out.puts("the server has stopped")
      0
    end

    def console
      require "volador"
      Volador.connect(control_socket)
      begin
        require "irb"
      rescue LoadError
        raise Error, "the irb gem is not installed: gem install irb, or add it to the Gemfile"
      end
      # irb takes the arguments of the program for its own.
      ARGV.clear
      IRB.start
      0
    end

    def complain(message, details = nil)
      @err.puts("volador: #{message}")
      @err.puts(details) if @debug && details
      1
    end
  end
end
