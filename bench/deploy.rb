# frozen_string_literal: true

require_relative "soak"
require_relative "table"

module Bench
  # Scenario "deploy": what clients notice of deploys in a row. They should notice nothing.
  class Deploy
    # One deploy, in seconds: until the new generation served, from then until the old one had no handler, and until its
    # processes had ended. `mark` are the requests meanwhile.
    Turn = Struct.new(:boot, :handover, :ending, :mark, keyword_init: true)
    HEADINGS = ["", "boot s", "handover s", "end s", "requests", "p50 ms", "p99 ms", "max ms", "p99 / quiet"].freeze
    private_constant :HEADINGS

    # @return [Soak::Outcome] after {run}
    def outcome = @soak.outcome

    # @param deploys [Integer]
    # @param seconds [Numeric] without a deploy, before the first one
    # @param progress [IO] told of each deploy
    # @param load [Hash] see {Soak#initialize}
    def initialize(deploys:, seconds:, progress: $stderr, **load)
      @deploys = deploys
      @seconds = seconds
      @progress = progress
      @soak = Soak.new(**load)
    end

    # @return [String] tables, Markdown
    def run
      @soak.run do
        sleep @seconds
        @quiet = @soak.mark
        @turns = Array.new(@deploys) { deploy }
      end
      [@soak.description, "", Table.new(HEADINGS, rows), "", counts].join("\n")
    end

    private

    def deploy
      before = @soak.status.fetch(:generation)
      start = @soak.now
      Process.kill(:USR1, @soak.pid)
      @soak.wait { @soak.status.fetch(:generation) > before }
      served = @soak.now
      @soak.wait { handlers_of(before).zero? }
      handed_over = @soak.now
      @soak.wait { @soak.status.values_at(:generations, :deploying).then { |all, more| all.one? && !more } }
      turn = Turn.new(boot: served - start, handover: handed_over - served, ending: @soak.now - handed_over,
                      mark: @soak.mark)
      @progress.puts format("a deploy took %.1f s, the handover %.2f s of it", @soak.now - start, turn.handover)
      turn
    end

    def handlers_of(number)
      old = @soak.status.fetch(:generations).find { |generation| generation[:number] == number }
      old ? old[:workers].sum { |worker| worker[:handlers].to_i } : 0
    end

    def rows
      quiet = ["quiet", "", "", "", *requests(@quiet), ""]
      [quiet, *@turns.each_with_index.map do |turn, index|
        ["deploy #{index + 1}", *[turn.boot, turn.handover, turn.ending].map { |seconds| format("%.2f", seconds) },
         *requests(turn.mark), format("%.1f", turn.mark.p99 / @quiet.p99)]
      end]
    end

    def requests(mark)
      [mark.requests.to_s, *[mark.p50, mark.p99, mark.max].map { |milliseconds| format("%.1f", milliseconds) }]
    end

    # Nothing may be lost either, as no process has died.
    def counts
      totals = outcome.totals
      faults = outcome.faults.merge("messages unanswered" => totals.unanswered, "requests lost" => totals.lost,
                                    "answers of handlers without their state" => totals.forgotten)
      ["- #{outcome.handlers} handlers moved #{@deploys} times: #{outcome.stats[:resumed]} moves",
       "- #{totals.deliveries} deliveries of #{totals.publications} publications, #{totals.messages} messages, " \
       "#{totals.answered} requests answered",
       *faults.map { |what, count| "- #{what}: #{count}" }].join("\n")
    end
  end
end
