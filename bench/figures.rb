# frozen_string_literal: true

module Bench
  # One figure, measured several times.
  class Figures
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
  end
end
