# frozen_string_literal: true

require_relative "figures"
require_relative "load"
require_relative "machine"
require_relative "server"

module Bench
  # Servers that take turns, in rounds.
  #
  # On a shared machine the same server differs by tens of percents from one minute to the next. So the servers take
  # turns in short rounds, and the ratio is taken within a round, where they met the same weather. The order rotates, so
  # that none is always the one after the busiest. A peer that fails once is out, so that the others go on.
  class Contest
    # @param products [Array<Product>] all of them installed
    # @param rounds [Integer]
    # @param progress [IO] told of each peer that fails
    def initialize(products:, rounds:, progress: $stderr)
      @products = products
      @rounds = rounds
      @progress = progress
      @turns = products.to_h { |product| [product.name, []] }
      @failed = []
      @stolen = @ticks = 0
    end

    # Takes all turns.
    # @yieldparam product [Product]
    # @yieldparam round [String] for the progress, as in "round 2/7"
    # @yieldreturn [Object] what was found
    # @raise [Server::Failed, Load::Failed] when Volador fails
    def run(&turn)
      @rounds.times { |round| take_round(round, &turn) }
    end

    # Takes the turns of one round, for those who take rounds of several contests in turn. As {#run}.
    # @param round [Integer] from 0 on
    def take_round(round)
      before = Machine.stolen
      @products.rotate(round).each do |product|
        @turns[product.name]&.push(yield(product, "round #{round + 1}/#{@rounds}"))
      rescue Server::Failed, Load::Failed => e
        drop(product, e)
      end
      stolen, ticks = Machine.stolen.zip(before).map { |now, then_| now - then_ }
      @stolen += stolen
      @ticks += ticks
    end

    # @return [Hash{String => Array}] what was found, by the server's name
    attr_reader :turns

    # @return [Array<Product>] those that have not failed
    def finishers = @products.select { |product| @turns.key?(product.name) }

    # @param name [String] of a server
    # @yieldparam turn [Object]
    # @yieldreturn [Numeric]
    # @return [Figures]
    def figures(name, &figure) = Figures.new(@turns.fetch(name).map(&figure))

    # Volador's figure over the peer's in the same round: median, and minimum to maximum.
    # @return [Array(String, String)] "-" where there is nothing to compare
    def ratio(name, &figure)
      return ["-", "-"] if name == "volador" || !@turns.key?("volador")

      Figures.ratios(@turns.fetch("volador").map(&figure), @turns.fetch(name).map(&figure)).cells
    end

    # @return [String] Markdown; after {#run}
    def remarks
      [*losses, format("- CPU time taken by the machine's host meanwhile: %.1f %%", 100.0 * @stolen / [@ticks, 1].max)].join("\n")
    end

    # @return [Array<String>] Markdown: who has failed
    def losses = @failed.map { |name| "- #{name} failed, and is left out" }

    private

    def drop(product, error)
      raise error if product.name.start_with?("volador") || @turns.size == 1

      @progress.puts "#{product.name} is left out from here on: #{error.message}"
      @turns.delete(product.name)
      @failed << product.name
    end
  end
end
