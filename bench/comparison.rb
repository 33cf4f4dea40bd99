# frozen_string_literal: true

require_relative "figures"
require_relative "load"
require_relative "machine"
require_relative "server"
require_relative "table"

module Bench
  # Scenario "hello": requests per second of each server, in turn.
  #
  # On a shared machine the same server differs by tens of percents from one minute to the next. So the servers take
  # turns in short rounds, and the ratio is taken within a round, where they met the same weather. The order rotates, so
  # that none is always the one after the busiest.
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
      @products = products
      @app = app
      @rounds = rounds
      @seconds = seconds
      @load = Load.new(core: Machine::LOAD_CORE, connections: connections)
      @progress = progress
      @turns = products.to_h { |product| [product.name, []] }
    end

    # @return [String] the table, Markdown, and remarks on what limits its worth
    def run
      stolen_before, ticks_before = Machine.stolen
      @rounds.times { |round| @products.rotate(round).each { |product| take_turn(product, round) } }
      stolen, ticks = Machine.stolen
      stolen_share = 100.0 * (stolen - stolen_before) / [ticks - ticks_before, 1].max
      [Table.new(HEADINGS, @products.map { |product| row(product) }), "", *remarks,
       format("- CPU time taken by the machine's host meanwhile: %.1f %%", stolen_share)].join("\n")
    end

    private

    def take_turn(product, round)
      turn = Server.run(product, app: @app, core: Machine::SERVER_CORE) { |server| measure(server) }
      @turns.fetch(product.name) << turn
      @progress.puts format("round %d/%d  %-8s %9.0f requests/s", round + 1, @rounds, product.name,
                            turn.load.requests_per_second)
    end

    def measure(server)
      memory_before = server.processes.resident_bytes
      @load.run(server.url, seconds: WARM_UP)
      cpu_before = server.processes.cpu_seconds
      load = @load.run(server.url, seconds: @seconds)
      cpu = (server.processes.cpu_seconds - cpu_before) * 1000 / load.requests
      Turn.new(load: load, cpu: cpu, memory_before: memory_before, memory_after: server.processes.resident_bytes)
    end

    def row(product)
      turns = @turns.fetch(product.name)
      rates = Figures.new(rates(product.name))
      [product.label, format("%.0f", rates.median), format("%.0f-%.0f", rates.min, rates.max), *ratio(product),
       format("%.4f", median(turns, &:cpu)), format("%.2f", median(turns) { |turn| turn.load.p50 }),
       format("%.2f", median(turns) { |turn| turn.load.p99 }), mebibytes(turns, &:memory_before),
       mebibytes(turns, &:memory_after)]
    end

    # Median, and minimum to maximum, of Volador's rate over the peer's in the same round.
    def ratio(product)
      return ["-", "-"] if product.name == "volador" || !@turns.key?("volador")

      ratios = Figures.new(rates("volador").zip(rates(product.name)).map { |volador, peer| volador / peer })
      [format("%.2f", ratios.median), format("%.2f-%.2f", ratios.min, ratios.max)]
    end

    def rates(name) = @turns.fetch(name).map { |turn| turn.load.requests_per_second }

    def median(turns, &figure) = Figures.new(turns.map(&figure)).median

    def mebibytes(turns, &figure) = format("%.1f", median(turns, &figure) / 1024**2)

    def remarks
      @turns.flat_map do |name, turns|
        failed = turns.sum { |turn| turn.load.failed }
        busy = median(turns) { |turn| turn.load.busy }
        [("- #{name}: #{failed} requests failed, so its figures mean little" if failed.positive?),
         (format("- %s: the load generator used %.0f %% of its core; the server may do more", name, busy * 100) if
           busy >= BUSY)].compact
      end
    end
  end
end
