# frozen_string_literal: true

require_relative "contest"
require_relative "load"
require_relative "machine"
require_relative "server"
require_relative "servers"
require_relative "table"
require_relative "workers"

module Bench
  # Scenario "cluster": what the border between processes costs a small request, and what a second worker brings a request
  # that keeps Ruby busy.
  class Isolation
    APPS = File.expand_path("apps", __dir__)
    # Seconds of load that are not measured.
    WARM_UP = 1
    # The load of the busy application: enough for two workers, and hardly any work itself.
    BUSY_CONNECTIONS = 16
    HEADINGS = ["server", "requests/s", "min-max", "to the first", "min-max", "CPU s / 1000", "p50 ms", "p99 ms"].freeze
    private_constant :APPS, :WARM_UP, :BUSY_CONNECTIONS, :HEADINGS

    Turn = Struct.new(:load, :cpu, keyword_init: true) do
      # @return [Float]
      def rate = load.requests_per_second
    end
    private_constant :Turn

    # @param progress [IO] told of each turn
    def initialize(rounds:, seconds:, connections:, progress: $stderr)
      @rounds = rounds
      @seconds = seconds
      @connections = connections
      @progress = progress
    end

    # @return [String] tables, Markdown
    def run
      embedded, one, two = SERVERS.first, Workers.new(1), Workers.new(2)
      ["#### Hello world, the server on one core", "",
       contest([embedded, one], app: "hello.ru", core: Machine::SERVER_CORE, connections: @connections), "",
       "#### 5 ms of Ruby for each request, the server on both cores", "",
       contest([one, two], app: "busy.ru", core: Machine::ALL_CORES, connections: BUSY_CONNECTIONS)].join("\n")
    end

    private

    def contest(products, app:, core:, connections:)
      contest = Contest.new(products: products, rounds: @rounds)
      load = Load.new(core: Machine::LOAD_CORE, connections: connections)
      contest.run do |product, round|
        turn = Server.run(product, app: File.join(APPS, app), core: core) { |server| measure(server, load) }
        @progress.puts format("%s  %-12s %s %9.0f requests/s", round, product.name, app, turn.rate)
        turn
      end
      [Table.new(HEADINGS, products.map { |product| row(contest, product, products.first) }), "",
       contest.remarks].join("\n")
    end

    def measure(server, load)
      load.run(server.url, seconds: WARM_UP)
      cpu_before = server.cpu_seconds
      outcome = load.run(server.url, seconds: @seconds)
      raise Load::Failed, "#{outcome.failed} requests have failed" if outcome.failed.positive?

      Turn.new(load: outcome, cpu: (server.cpu_seconds - cpu_before) * 1000 / outcome.requests)
    end

    def row(contest, product, first)
      rates = contest.figures(product.name, &:rate)
      [product.label, format("%.0f", rates.median), format("%.0f-%.0f", rates.min, rates.max),
       *ratio(contest, product, first), format("%.4f", contest.figures(product.name, &:cpu).median),
       *%i[p50 p99].map { |name| format("%.2f", contest.figures(product.name) { |turn| turn.load[name] }.median) }]
    end

    def ratio(contest, product, first)
      return ["-", "-"] if product == first

      Figures.ratios(*[product, first].map { |one| contest.turns.fetch(one.name).map(&:rate) }).cells
    end
  end
end
