# frozen_string_literal: true

require_relative "contest"
require_relative "load"
require_relative "machine"
require_relative "server"
require_relative "table"

module Bench
  # Scenario "hello": requests per second of each server, in turn.
  class Comparison
    # One server in one round. `cpu` is seconds of the server's processes per 1000 requests, the memory is in bytes.
    Turn = Struct.new(:load, :cpu, :memory_before, :memory_after, keyword_init: true)
    private_constant :Turn

    # From this share of its core on, the load generator may be what limits.
    BUSY = 0.95
    # Seconds of load that are not measured.
    WARM_UP = 1
    HEADINGS = ["server", "requests/s", "min-max", "Volador / it", "min-max", "CPU s / 1000", "p50 ms", "p99 ms",
                "MiB before", "MiB after"].freeze
    private_constant :BUSY, :WARM_UP, :HEADINGS

    # @param products [Array<Product>] all of them installed
    # @param app [String] path of the rackup file
    # @param progress [IO] told of each turn
    def initialize(products:, app:, rounds:, seconds:, connections:, progress: $stderr)
      @app = app
      @contest = Contest.new(products: products, rounds: rounds)
      @seconds = seconds
      @load = Load.new(core: Machine::LOAD_CORE, connections: connections)
      @progress = progress
    end

    # @return [String] the table, Markdown, and remarks on what limits its worth
    def run
      @contest.run { |product, round| take_turn(product, round) }
      rows = @contest.finishers.map { |product| row(product) }
      [Table.new(HEADINGS, rows), "", *remarks, @contest.remarks].join("\n")
    end

    private

    def take_turn(product, round)
      turn = Server.run(product, app: @app, core: Machine::SERVER_CORE) { |server| measure(server) }
      @progress.puts format("%s  %-8s %9.0f requests/s", round, product.name, rate(turn))
      turn
    end

    def measure(server)
      memory_before = server.processes.resident_bytes
      @load.run(server.url, seconds: WARM_UP)
      cpu_before = server.cpu_seconds
      load = @load.run(server.url, seconds: @seconds)
      cpu = (server.cpu_seconds - cpu_before) * 1000 / load.requests
      Turn.new(load: load, cpu: cpu, memory_before: memory_before, memory_after: server.processes.resident_bytes)
    end

    def row(product)
      turns = @contest.turns.fetch(product.name)
      rates = @contest.figures(product.name, &method(:rate))
      [product.label, format("%.0f", rates.median), format("%.0f-%.0f", rates.min, rates.max),
       *@contest.ratio(product.name, &method(:rate)),
       format("%.4f", median(turns, &:cpu)), format("%.2f", median(turns) { |turn| turn.load.p50 }),
       format("%.2f", median(turns) { |turn| turn.load.p99 }), mebibytes(turns, &:memory_before),
       mebibytes(turns, &:memory_after)]
    end

    def rate(turn) = turn.load.requests_per_second

    def median(turns, &figure) = Figures.new(turns.map(&figure)).median

    def mebibytes(turns, &figure) = format("%.1f", median(turns, &figure) / 1024**2)

    def remarks
      @contest.turns.flat_map do |name, turns|
        failed = turns.sum { |turn| turn.load.failed }
        busy = median(turns) { |turn| turn.load.busy }
        [("- #{name}: #{failed} requests failed, so its figures mean little" if failed.positive?),
         (format("- %s: the load generator used %.0f %% of its core; the server may do more", name, busy * 100) if
           busy >= BUSY)].compact
      end
    end
  end
end
