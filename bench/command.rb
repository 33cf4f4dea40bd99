# frozen_string_literal: true

require "optparse"
require_relative "comparison"
require_relative "endurance"
require_relative "machine"
require_relative "servers"

module Bench
  # The command line of bin/bench.
  class Command
    APP = File.expand_path("apps/hello.ru", __dir__)
    DEFAULTS = { rounds: 7, seconds: 4, connections: 64, requests: 2_000_000 }.freeze
    private_constant :APP, :DEFAULTS

    # @param arguments [Array<String>]
    def initialize(arguments)
      @command = ["bin/bench", *arguments].join(" ")
      @options = DEFAULTS.dup
      @scenario, *rest = parser.parse(arguments)
      @scenario ||= "hello"
      unless %w[hello memory].include?(@scenario) && rest.empty?
        abort "bin/bench: #{[@scenario, *rest].join(' ')}: the scenarios are hello and memory (see --help)"
      end
    rescue OptionParser::ParseError => e
      abort "bin/bench: #{e.message} (see --help)"
    end

    # Measures, and prints the result to standard output; progress goes to standard error.
    def run
      return list if @options[:list]

      missing = Machine.missing
      abort missing.map { |line| "bin/bench: #{line}" }.join("\n") unless missing.empty?
      result = @scenario == "memory" ? memory : hello
      puts "", "- Command: `#{@command}`", @description, "", result
    rescue Server::Failed, Load::Failed => e
      abort "bin/bench: #{e.message}"
    rescue Interrupt
      abort "bin/bench: interrupted"
    end

    private

    def hello
      products = installed(SERVERS.select { |server| wanted.nil? || wanted.include?(server.name) })
      @description = Machine.description
      Comparison.new(products: products, app: APP, **@options.slice(:rounds, :seconds, :connections)).run
    end

    def memory
      names = wanted || ["volador"]
      abort "bin/bench: the scenario memory takes one server" if names.size > 1
      product = installed(SERVERS.select { |server| names.include?(server.name) }).first
      @description = Machine.description
      Endurance.new(product: product, app: APP, **@options.slice(:requests, :connections)).run
    end

    def installed(products)
      found, missing = products.partition(&:found?)
      missing.each { |product| warn "#{product.name} is left out: #{product.advice}" }
      abort "bin/bench: no server to measure" if found.empty?
      found
    end

    def wanted = @options[:only]

    def list
      SERVERS.each { |server| puts server.found? ? server.label : "#{server.name}: not found, #{server.advice}" }
    end

    def parser
      OptionParser.new do |parser|
        parser.banner = <<~TEXT
          Usage: bin/bench [hello] [--rounds N] [--seconds N] [--connections N] [--only NAME,...]
                 bin/bench memory [--requests N] [--connections N] [--only NAME]
                 bin/bench --list

          hello   requests per second of Volador and of each peer that is installed, in turn (the default)
          memory  resident memory of Volador in eight steps of a great number of requests

          The server runs on core #{Machine::SERVER_CORE}, the load generator (wrk) on core #{Machine::LOAD_CORE}.
          Prints a Markdown table. A peer is found when its gem is installed; gems in a
          folder of their own are found by GEM_HOME=FOLDER.

        TEXT
        counts(parser)
        parser.on("--only NAME,...", Array, "Only these servers (see --list)") do |names|
          @options[:only] = known(names)
        end
        parser.on("--list", "Print the servers and whether they are found") { @options[:list] = true }
        parser.on("-h", "--help", "Print this") { puts(parser) || exit }
      end
    end

    def counts(parser)
      { rounds: "Turns of each server", seconds: "Length of a turn", connections: "Kept alive, all busy",
        requests: "In all, for memory" }.each do |name, meaning|
        parser.on("--#{name} N", Integer, "#{meaning} (default #{DEFAULTS[name]})") do |number|
          raise OptionParser::InvalidArgument, "#{number}: must be at least 1" if number < 1

          @options[name] = number
        end
      end
    end

    def known(names)
      unknown = names - SERVERS.map(&:name)
      return names if unknown.empty?

      raise OptionParser::InvalidArgument, "#{unknown.join(', ')}: known are #{SERVERS.map(&:name).join(', ')}"
    end
  end
end
