# frozen_string_literal: true

require_relative "figures"
require_relative "push_rate"
require_relative "table"

module Bench
  # Scenario "fanout": publications to subscribers of several numbers, over both transports. The cases take turns within a
  # round, as the servers do within a case, so that they can be compared with each other as well.
  class Fanout
    HEADINGS = ["server and case", "deliveries/CPU s", "to the first", "min-max"].freeze
    private_constant :HEADINGS

    # @param products [Array<Product>] all of them installed, and with an application for push
    # @param sizes [Array<Integer>] numbers of subscribers
    # @param transports [Array<Symbol>] :websocket, :sse
    # @param rounds [Integer]
    # @param options [Hash] see {PushRate#initialize}
    def initialize(products:, sizes:, transports:, rounds:, **options)
      @rounds = rounds
      @cases = sizes.product(transports).to_h do |connections, transport|
        ["#{connections} subscribers, #{transport}",
         PushRate.new(mode: "fanout", products: products, connections: connections, transport: transport, rounds: rounds,
                      **options)]
      end
    end

    # @return [String] tables, Markdown
    def run
      @rounds.times do |round|
        @cases.each do |title, rate|
          warn title
          rate.take_round(round)
        end
      end
      [*@cases.map { |title, rate| "#### #{title}\n\n#{rate.report}" }, *comparison].join("\n\n")
    end

    private

    # The cases of each server beside its first one.
    def comparison
      rows = @cases.values.flat_map(&:names).uniq.flat_map { |name| rows(name) }
      rows.empty? ? [] : ["#### The cases beside each other\n\n#{Table.new(HEADINGS, rows)}"]
    end

    def rows(name)
      rates = @cases.transform_values { |rate| rate.rates(name) }.compact
      return [] if rates.size < 2

      first = rates.values.first
      rates.map do |title, own|
        ratio = own.equal?(first) ? ["-", "-"] : Figures.ratios(own, first).cells
        ["#{name}, #{title}", format("%.0f", Figures.new(own).median), *ratio]
      end
    end
  end
end
