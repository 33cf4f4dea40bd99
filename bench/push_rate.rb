# frozen_string_literal: true

require_relative "contest"
require_relative "load"
require_relative "machine"
require_relative "push_load"
require_relative "server"
require_relative "table"

module Bench
  # Scenarios "fanout" and "echo": messages per second of the server's CPU time.
  #
  # Not per second of the clock: to read a message costs the load generator about as much as it costs the server to
  # write it, so that the server would be shown as fast as its client.
  class PushRate
    # One server in one round. `cpu` is in seconds of the server's processes.
    Turn = Struct.new(:outcome, :cpu, keyword_init: true) do
      # @return [Float] messages per CPU second
      def rate = outcome.messages / cpu
    end
    private_constant :Turn

    # Seconds of load that are not measured.
    WARM_UP = 1
    HEADINGS = ["server", "%s/CPU s", "min-max", "Volador / it", "min-max", "%s/s", "p50 ms", "p99 ms",
                "load busy"].freeze
    private_constant :WARM_UP, :HEADINGS

    # @param mode [String] "fanout" or "echo"; also the path of the connections
    # @param products [Array<Product>] all of them installed, and with an application for push
    # @param transport [Symbol] :websocket or :sse
    # @param burst [Integer] publications at once
    # @param progress [IO] told of each turn
    def initialize(mode:, products:, rounds:, seconds:, connections:, transport: :websocket, burst: 1,
                   progress: $stderr)
      @mode = mode
      @noun = mode == "fanout" ? "deliveries" : "messages"
      @contest = Contest.new(products: products.select { |product| product.transports.include?(transport) },
                             rounds: rounds)
      @rounds = rounds
      @seconds = seconds
      @load = { core: Machine::LOAD_CORE, path: "/#{mode}", connections: connections, transport: transport,
                burst: burst }
      @progress = progress
    end

    # @return [String] see {#report}
    def run
      @rounds.times { |round| take_round(round) }
      report
    end

    # @param round [Integer] from 0 on
    def take_round(round)
      @contest.take_round(round) { |product, progress| take_turn(product, progress) }
    end

    # @return [Array<String>] of the servers that have not failed
    def names = @contest.finishers.map(&:name)

    # @param name [String] of a server
    # @return [Array<Float>, nil] messages per CPU second, by round; nil where it did not take part
    def rates(name) = @contest.turns[name]&.map(&:rate)

    # @return [String] the table, Markdown, and remarks on what limits its worth
    def report
      headings = HEADINGS.map { |heading| heading.sub("%s", @noun) }
      [Table.new(headings, @contest.finishers.map { |product| row(product) }), "", *remarks,
       @contest.remarks].join("\n")
    end

    private

    def take_turn(product, round)
      turn = Server.run(product, app: product.push_app, core: Machine::SERVER_CORE) do |server|
        measure(product, server)
      end
      @progress.puts format("%s  %-8s %9.0f %s/CPU s", round, product.name, turn.rate, @noun)
      turn
    end

    def measure(product, server)
      PushLoad.open(@mode, server: server, publication: product.publication, **@load) do |load|
        load.run(WARM_UP)
        cpu_before = server.cpu_seconds
        outcome = load.run(@seconds)
        raise Load::Failed, "no message arrived" if outcome.messages.zero?

        Turn.new(outcome: outcome, cpu: server.cpu_seconds - cpu_before)
      end
    end

    def row(product)
      rates = @contest.figures(product.name, &:rate)
      [product.label, format("%.0f", rates.median), format("%.0f-%.0f", rates.min, rates.max),
       *@contest.ratio(product.name, &:rate),
       format("%.0f", median(product) { |outcome| outcome.messages / outcome.seconds }),
       format("%.2f", median(product, &:p50)), format("%.2f", median(product, &:p99)),
       format("%.0f %%", median(product, &:busy) * 100)]
    end

    def median(product) = @contest.figures(product.name) { |turn| yield turn.outcome }.median

    def remarks
      @contest.turns.filter_map do |name, turns|
        missing = turns.sum { |turn| turn.outcome.missing }
        "- #{name}: #{missing} #{@noun} never arrived, so its figures mean little" if missing.positive?
      end
    end
  end
end
