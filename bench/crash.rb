# frozen_string_literal: true

require_relative "figures"
require_relative "soak"
require_relative "table"

module Bench
  # Scenario "crash": a worker is killed every second. Its connections stay, its handlers go on elsewhere, and what it had
  # begun is accounted for.
  class Crash
    # Seconds from one kill to the next.
    INTERVAL = 1.0
    # Seconds that each request and each message takes: else there would hardly ever be one when a worker is killed.
    WORK = 0.005
    HEADINGS = ["", "median", "max"].freeze
    private_constant :INTERVAL, :WORK, :HEADINGS

    # @return [Soak::Outcome] after {run}
    def outcome = @soak.outcome

    # @return [Array<Float>] after {run}: seconds from each kill until all handlers were somewhere again
    attr_reader :absences

    # @param kills [Integer]
    # @param seed [Integer] of the choice of workers
    # @param progress [IO] told of each kill
    # @param load [Hash] see {Soak#initialize}
    def initialize(kills:, seed: Random.new_seed, progress: $stderr, **load)
      @kills = kills
      @random = Random.new(seed)
      @progress = progress
      @soak = Soak.new(work: WORK, **load)
    end

    # @return [String] tables, Markdown
    def run
      @absences = @soak.run { Array.new(@kills) { kill } }
      figures = Figures.new(@absences)
      row = ["seconds until all handlers were back", *[figures.median, figures.max].map { |one| format("%.2f", one) }]
      [@soak.description, "", Table.new(HEADINGS, [row]), "", counts].join("\n")
    end

    # Whether everything that clients have missed is among what the server says that it has lost. It counts a message for
    # lost when its callback had begun and was not known to be over: the answer may have been sent before.
    # @return [Boolean]
    def accounted?
      totals, stats = outcome.to_h.values_at(:totals, :stats)
      totals.lost == stats[:lost_requests] && totals.unanswered <= stats[:lost_messages]
    end

    private

    # @return [Float] seconds until all handlers were somewhere again
    def kill
      start = @soak.now
      pid = @soak.wait { serving.sample(random: @random) }.fetch(:pid)
      Process.kill(:KILL, pid)
      killed = @soak.now
      @soak.wait { serving.then { |all| all.none? { |one| one[:pid] == pid } && settled?(all) } }
      absence = @soak.now - killed
      @progress.puts format("worker %d was killed, its handlers were back after %.2f s", pid, absence)
      sleep [start + INTERVAL - @soak.now, 0].max
      absence
    end

    def serving
      @soak.status.fetch(:generations).last.fetch(:workers).select { |worker| worker[:state] == "serving" }
    end

    def settled?(workers) = workers.sum { |worker| worker[:handlers].to_i } == @soak.handlers

    def counts
      totals, stats = outcome.to_h.values_at(:totals, :stats)
      ["- #{@kills} workers killed, #{stats[:resumed]} handlers resumed",
       "- #{totals.deliveries} deliveries of #{totals.publications} publications, #{totals.messages} messages, " \
       "#{totals.answered} requests answered",
       *outcome.faults.map { |what, count| "- #{what}: #{count}" },
       "- requests answered with 502, or cut: #{totals.lost}; lost_requests of the server: #{stats[:lost_requests]}",
       "- messages unanswered: #{totals.unanswered}; lost_messages of the server: #{stats[:lost_messages]}; callbacks of " \
       "messages cut short: #{outcome.handled - outcome.done}"].join("\n")
    end
  end
end
