# frozen_string_literal: true

require_relative "figures"
require_relative "machine"
require_relative "push_load"
require_relative "server"
require_relative "slow_requests"
require_relative "table"

module Bench
  # Scenario "slow": how late messages arrive while the application threads have nothing to do, and while all of them
  # sleep in slow requests.
  class Slow
    # Messages per second; bench/apps/slow.ru publishes them.
    RATE = 50
    # Seconds of messages that are not measured.
    WARM_UP = 1
    # From here on the threads count as asleep all the time: a request that begins or ends at the edge of the time that
    # is measured makes a difference.
    ASLEEP = 0.9
    KINDS = { idle: "idle", asleep: "all asleep" }.freeze
    HEADINGS = ["application threads", "deliveries/s", "p50 ms", "min-max", "p99 ms", "min-max"].freeze
    # The delivery, and the share of the threads' time that they slept.
    Turn = Struct.new(:outcome, :slept, keyword_init: true)
    private_constant :RATE, :WARM_UP, :ASLEEP, :KINDS, :HEADINGS, :Turn

    # @param product [Checkout] built
    # @param progress [IO] told of each turn
    def initialize(product:, rounds:, seconds:, connections:, progress: $stderr)
      @product = product
      @rounds = rounds
      @seconds = seconds
      @connections = connections
      @progress = progress
    end

    # @return [String] the table, Markdown, and what it comes to
    def run
      stolen_before, ticks_before = Machine.stolen
      rounds = Array.new(@rounds) { |round| take_round(round) }
      stolen, ticks = Machine.stolen
      [Table.new(HEADINGS, KINDS.keys.map { |kind| row(rounds, kind) }), "", ratio(rounds, :p50), ratio(rounds, :p99),
       *remarks(rounds),
       format("- CPU time taken by the machine's host meanwhile: %.1f %%",
              100.0 * (stolen - stolen_before) / [ticks - ticks_before, 1].max)].join("\n")
    end

    private

    # Both, one after the other, with the same server and connections; the order changes from round to round.
    def take_round(round)
      Server.run(@product, app: @product.slow_app, core: Machine::SERVER_CORE) do |server|
        PushLoad.open("timed", server: server, core: Machine::LOAD_CORE, path: "/timed",
                               connections: @connections) do |load|
          load.run(WARM_UP)
          label = "round #{round + 1}/#{@rounds}"
          KINDS.keys.rotate(round).to_h { |kind| [kind, take_turn(kind, server, load, label)] }
        end
      end
    end

    def take_turn(kind, server, load, round)
      turn = kind == :idle ? Turn.new(outcome: load.run(@seconds), slept: 0.0) : sleeping(server, load)
      raise Load::Failed, "no message arrived" if turn.outcome.messages.zero?

      @progress.puts format("%s  %-10s  p50 %.2f ms, p99 %.2f ms, slept %.0f %%", round, KINDS.fetch(kind),
                            turn.outcome.p50, turn.outcome.p99, turn.slept * 100)
      turn
    end

    def sleeping(server, load)
      SlowRequests.run(server, threads: @product.threads) do |requests|
        outcome, slept = requests.watch { load.run(@seconds) }
        Turn.new(outcome: outcome, slept: slept)
      end
    end

    def row(rounds, kind)
      outcomes = rounds.map { |turns| turns.fetch(kind).outcome }
      rate = Figures.new(outcomes.map { |outcome| outcome.messages.fdiv(@seconds) })
      [KINDS.fetch(kind), format("%.0f", rate.median), *%i[p50 p99].flat_map { |part| range(outcomes.map(&part)) }]
    end

    # Median, and minimum to maximum.
    def range(values)
      figures = Figures.new(values)
      [format("%.2f", figures.median), format("%.2f-%.2f", figures.min, figures.max)]
    end

    def ratio(rounds, part)
      ratios = rounds.map { |turns| turns.fetch(:asleep).outcome[part] / turns.fetch(:idle).outcome[part] }
      median, extremes = range(ratios)
      "- #{part} asleep / idle, median of the ratios within a round: #{median} (#{extremes})"
    end

    def remarks(rounds)
      turns = rounds.flat_map(&:values)
      due = RATE * @connections * @seconds
      late = turns.count { |turn| turn.outcome.missing.positive? || turn.outcome.messages < 0.98 * due }
      slept = rounds.map { |round| round.fetch(:asleep).slept }
      [format("- The threads slept %.0f-%.0f %% of the time", *slept.minmax.map { |share| share * 100 }),
       ("- They were not asleep all the time, so the figures mean little" if slept.min < ASLEEP),
       ("- #{late} turns without all of their messages, so the figures mean little" if late.positive?)].compact
    end
  end
end
