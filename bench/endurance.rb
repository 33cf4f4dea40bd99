# frozen_string_literal: true

require_relative "load"
require_relative "machine"
require_relative "server"
require_relative "table"

module Bench
  # Scenario "memory": one server, a great number of requests, its resident memory after each part of them.
  class Endurance
    PARTS = 8
    # Seconds for one part; it ends when its requests are done.
    PART_DEADLINE = 900
    private_constant :PARTS, :PART_DEADLINE

    # @param product [Product] installed
    # @param app [String] path of the rackup file
    # @param requests [Integer] in all
    # @param progress [IO] told of each part
    def initialize(product:, app:, requests:, connections:, progress: $stderr)
      @product = product
      @app = app
      @part = [requests / PARTS, 1].max
      @load = Load.new(core: Machine::LOAD_CORE, connections: connections)
      @progress = progress
    end

    # @return [String] the table, Markdown, and what it comes to
    def run
      samples = Server.run(@product, app: @app, core: Machine::SERVER_CORE) { |server| measure(server) }
      headings = [@product.label, "resident KiB", "since the row above"]
      [Table.new(headings, rows(samples)), "", summary(samples)].join("\n")
    end

    private

    # Pairs of requests so far and resident bytes.
    def measure(server)
      samples = [[1, server.processes.resident_bytes]]
      PARTS.times do
        load = @load.run(server.url, seconds: PART_DEADLINE, requests: @part)
        raise Load::Failed, "#{load.failed} requests to #{@product.name} failed" if load.failed.positive?
        raise Load::Failed, "#{@part} requests took over #{PART_DEADLINE} s" if load.requests < @part

        samples << [samples.last.first + load.requests, server.processes.resident_bytes]
        @progress.puts format("%9d requests  %7d KiB", samples.last.first, samples.last.last / 1024)
      end
      samples
    end

    def rows(samples)
      previous = nil
      samples.map do |requests, bytes|
        change = previous ? format("%+d", (bytes - previous) / 1024) : ""
        previous = bytes
        ["after #{requests} requests", (bytes / 1024).to_s, change]
      end
    end

    # The first part is left out: a server that has never been under load has yet to allocate its buffers.
    def summary(samples)
      (first_requests, first_bytes), (last_requests, last_bytes) = samples.values_at(1, -1)
      format("After the first %d requests: %+d KiB in %d requests, %.3f bytes for each.", first_requests,
             (last_bytes - first_bytes) / 1024, last_requests - first_requests,
             (last_bytes - first_bytes).fdiv([last_requests - first_requests, 1].max))
    end
  end
end
