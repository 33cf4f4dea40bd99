# frozen_string_literal: true

module Bench
  # A Markdown table that can be read as it is: columns of equal width, figures to the right.
  class Table
    # @param headings [Array<String>]
    # @param rows [Array<Array<String>>] the first cell of each is its name
    def initialize(headings, rows)
      @headings = headings
      @rows = rows
    end

    # @return [String]
    def to_s
      [line(@headings), rule, *@rows.map { |row| line(row) }].join("\n")
    end

    private

    def widths
      @widths ||= [@headings, *@rows].transpose.map { |cells| cells.map(&:length).max }
    end

    def line(cells)
      first, *others = cells.zip(widths)
      "| #{[first[0].ljust(first[1]), *others.map { |cell, width| cell.rjust(width) }].join(' | ')} |"
    end

    def rule
      first, *others = widths
      "|#{['-' * (first + 2), *others.map { |width| "#{'-' * (width + 1)}:" }].join('|')}|"
    end
  end
end
