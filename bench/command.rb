# frozen_string_literal: true

require "optparse"
require_relative "bare"
require_relative "comparison"
require_relative "crash"
require_relative "deploy"
require_relative "endurance"
require_relative "fanout"
require_relative "idle"
require_relative "isolation"
require_relative "machine"
require_relative "push_peers"
require_relative "push_rate"
require_relative "servers"
require_relative "slow"

module Bench
  # The command line of bin/bench.
  class Command
    APP = File.expand_path("apps/hello.ru", __dir__)
    # By scenario. All options that it knows, besides --only.
    DEFAULTS = {
      "hello" => { rounds: 7, seconds: 4, connections: 64 },
      "memory" => { requests: 2_000_000, connections: 64 },
      "fanout" => { rounds: 5, seconds: 3, connections: [1000, 10_000], transport: %i[websocket sse], burst: 1 },
      "echo" => { rounds: 7, seconds: 4, connections: 100 },
      "slow" => { rounds: 7, seconds: 4, connections: 1000 },
      "idle" => { rounds: 3, connections: 15_000, transport: %i[websocket sse] },
      "deploy" => { rounds: 3, seconds: 10, connections: 11_000, publications: 100, rooms: 25, messages: 500, requests: 200 },
      "crash" => { rounds: 60, connections: 11_000, publications: 100, rooms: 25, messages: 500, requests: 200 },
      "cluster" => { rounds: 7, seconds: 4, connections: 64 }
    }.freeze
    ALL_SERVERS = (SERVERS + PUSH_SERVERS).uniq.freeze
    # Descriptors that a process needs besides its connections.
    OTHER_FILES = 200
    private_constant :APP, :DEFAULTS, :ALL_SERVERS, :OTHER_FILES

    # @param arguments [Array<String>]
    def initialize(arguments)
      @command = ["bin/bench", *arguments].join(" ")
      @given = {}
      @scenario, *rest = parser.parse(arguments)
      @scenario ||= "hello"
      defaults = DEFAULTS[@scenario]
      unless defaults && rest.empty?
        abort "bin/bench: #{[@scenario, *rest].join(' ')}: the scenarios are #{DEFAULTS.keys.join(', ')} (see --help)"
      end
      unknown = @given.keys - defaults.keys
      abort "bin/bench: #{@scenario} does not take --#{unknown.first} (see --help)" unless unknown.empty?
      @options = defaults.merge(@given)
    rescue OptionParser::ParseError => e
      abort "bin/bench: #{e.message} (see --help)"
    end

    # Measures, and prints the result to standard output; progress goes to standard error.
    def run
      return list if @list

      missing = Machine.missing
      abort missing.map { |line| "bin/bench: #{line}" }.join("\n") unless missing.empty?
      result = send(@scenario)
      puts "", "- Command: `#{@command}`", @description, "", result
    rescue Server::Failed, Load::Failed => e
      abort "bin/bench: #{e.message}"
    rescue Interrupt
      abort "bin/bench: interrupted"
    end

    private

    # The scenarios, by their names. Each returns Markdown.

    def hello
      products = installed([*SERVERS, BARE])
      PushLoad.build if products.include?(BARE)
      @description = Machine.description
      Comparison.new(products: products, app: APP, **@options).run
    end

    def memory
      @only ||= ["volador"]
      abort "bin/bench: the scenario memory takes one server" if @only.size > 1
      product = installed(SERVERS).first
      @description = Machine.description
      Endurance.new(product: product, app: APP, **@options).run
    end

    def fanout
      products = prepare_push
      sizes = Array(@options[:connections]).map { |wanted| possible(wanted) }
      Fanout.new(products: products, sizes: sizes, transports: @options[:transport],
                 **@options.slice(:rounds, :seconds, :burst)).run
    end

    def echo
      products = prepare_push(PUSH_SERVERS.select(&:echoes?))
      PushRate.new(mode: "echo", products: products, connections: possible(@options[:connections]),
                   **@options.slice(:rounds, :seconds)).run
    end

    def slow
      @only ||= ["volador"]
      abort "bin/bench: the scenario slow is Volador's alone" if @only != ["volador"]
      product = prepare_push.first
      Slow.new(product: product, **@options.merge(connections: possible(@options[:connections]))).run
    end

    def idle
      # Bare sockets have neither handlers nor anything to keep for a connection.
      products = prepare_push(PUSH_SERVERS - [BARE])
      Idle.new(products: products, rounds: @options[:rounds], connections: possible(@options[:connections]),
               transports: @options[:transport]).run
    end

    def deploy
      prepare_push([SERVERS.first])
      Deploy.new(deploys: @options[:rounds], seconds: @options[:seconds], **soak).run
    end

    def crash
      prepare_push([SERVERS.first])
      Crash.new(kills: @options[:rounds], **soak).run
    end

    def cluster
      prepare_push([SERVERS.first])
      Isolation.new(**@options).run
    end

    # What is asked of a cluster while something happens to it.
    def soak
      { workers: 2, connections: possible(@options[:connections]),
        **@options.slice(:publications, :rooms, :messages, :requests) }
    end

    def prepare_push(servers = PUSH_SERVERS)
      products = installed(servers)
      PushLoad.build
      # Inherited by the servers and the load generator.
      Process.setrlimit(:NOFILE, Process.getrlimit(:NOFILE).last)
      @description = Machine.description
      products
    end

    # As many connections as descriptors allow for.
    def possible(connections)
      most = Process.getrlimit(:NOFILE).last - OTHER_FILES
      return connections if connections <= most

      warn "#{most} connections instead of #{connections}: a process may have no more files (ulimit -Hn)"
      most
    end

    def installed(products)
      wanted = products.select { |product| @only.nil? || @only.include?(product.name) }
      found, missing = wanted.partition(&:found?)
      missing.each { |product| warn "#{product.name} is left out: #{product.advice}" }
      abort "bin/bench: no server to measure" if found.empty?
      found
    end

    def list
      ALL_SERVERS.each { |server| puts server.found? ? server.label : "#{server.name}: not found, #{server.advice}" }
    end

    def parser
      OptionParser.new do |parser|
        parser.banner = <<~TEXT
          Usage: bin/bench [hello] [--rounds N] [--seconds N] [--connections N] [--only NAME,...]
                 bin/bench memory [--requests N] [--connections N] [--only NAME]
                 bin/bench fanout [--rounds N] [--seconds N] [--connections N] [--burst N]
                                  [--transport NAME] [--only NAME,...]
                 bin/bench echo [--rounds N] [--seconds N] [--connections N] [--only NAME,...]
                 bin/bench slow [--rounds N] [--seconds N] [--connections N]
                 bin/bench idle [--rounds N] [--connections N] [--transport NAME] [--only NAME,...]
                 bin/bench deploy [--rounds N] [--seconds N] [--connections N] [--publications N] [--rooms N]
                                  [--messages N] [--requests N]
                 bin/bench crash [--rounds N] [--connections N] [--publications N] [--rooms N]
                                 [--messages N] [--requests N]
                 bin/bench cluster [--rounds N] [--seconds N] [--connections N]
                 bin/bench --list

          hello   requests per second of Volador and of each peer that is installed, in turn (the default)
          memory  resident memory of Volador in eight steps of a great number of requests
          fanout  deliveries per CPU second, of publications to 1000 and to 10000 subscribers
          echo    messages per CPU second, through the application, over 100 WebSockets
          slow    how late messages arrive, with idle application threads and with all of them asleep
          idle    resident memory for each of 15000 connections that only wait
          deploy  what clients notice of three deploys under load, with 11000 push connections: nothing, it should be
          crash   what they notice of 60 workers that are killed, one every second
          cluster requests per second through the border between processes, and on two cores by a second worker

          The server runs on core #{Machine::SERVER_CORE}, the load generator on core #{Machine::LOAD_CORE}: wrk, and for push bench/load.
          Prints a Markdown table. `bare` is no server, but the kernel's part: sockets that are read
          from and written to, and nothing else. A peer is found when its gem or package is installed; gems
          in a folder of their own are found by GEM_HOME=FOLDER.

        TEXT
        counts(parser)
        parser.on("--transport NAME", %w[websocket sse], "Only websocket, or only sse (default both)") do |name|
          @given[:transport] = [name.to_sym]
        end
        parser.on("--only NAME,...", Array, "Only these servers (see --list)") { |names| @only = known(names) }
        parser.on("--list", "Print the servers and whether they are found") { @list = true }
        parser.on("-h", "--help", "Print this") { puts(parser) || exit }
      end
    end

    def counts(parser)
      { rounds: "Turns of each server; deploys; kills", seconds: "Length of a turn", connections: "Open at once",
        requests: "In all for memory, else a second", burst: "Publications at once", publications: "A second, to the rooms in turn",
        rooms: "In which the connections are", messages: "A second" }.each do |name, meaning|
        parser.on("--#{name} N", Integer, "#{meaning} (default #{defaults_of(name)})") do |number|
          raise OptionParser::InvalidArgument, "#{number}: must be at least 1" if number < 1

          @given[name] = number
        end
      end
    end

    # In words: one number, or one for each scenario.
    def defaults_of(name)
      defaults = DEFAULTS.filter_map do |scenario, options|
        [scenario, Array(options[name]).join(" and ")] if options[name]
      end
      values = defaults.map(&:last).uniq
      values.one? ? values.first : defaults.map { |scenario, value| "#{value} for #{scenario}" }.join(", ")
    end

    def known(names)
      unknown = names - ALL_SERVERS.map(&:name)
      return names if unknown.empty?

      raise OptionParser::InvalidArgument, "#{unknown.join(', ')}: known are #{ALL_SERVERS.map(&:name).join(', ')}"
    end
  end
end
