# frozen_string_literal: true

module Bench
  # One figure, measured several times.
  class Figures
    # @param mine [Array<Numeric>] one of each round
    # @param its [Array<Numeric>] of the same rounds, in which both have met the same weather
    # @return [Figures] the ratios
    def self.ratios(mine, its) = new(mine.zip(its).map { |one, other| one.fdiv(other) })

    # @param values [Array<Numeric>] at least one
    def initialize(values)
      @values = values.sort
    end

    # @return [Float]
    def median
      middle = @values.size / 2
      @values.size.odd? ? @values[middle].to_f : (@values[middle - 1] + @values[middle]) / 2.0
    end

    # @return [Numeric]
    def min = @values.first

    # @return [Numeric]
    def max = @values.last

    # @return [Array(String, String)] cells of a table: median, and minimum to maximum
    def cells = [format("%.2f", median), format("%.2f-%.2f", min, max)]
  end
end
