# frozen_string_literal: true

require_relative "contest"
require_relative "machine"
require_relative "push_load"
require_relative "server"
require_relative "table"

module Bench
  # Scenario "idle": resident memory of the server's processes for each connection that only waits.
  class Idle
    # Connections that come and go before: a server that has never had one has yet to allocate what it needs once.
    WARM_UP = 100
    # The memory is read when it has not changed for so long, or at the deadline. Seconds.
    STILL = 1.0
    DEADLINE = 10.0
    # What a row is about, and the path of its connections.
    KINDS = { "without handler" => "/idle", "with a Ruby handler" => "/echo" }.freeze
    HEADINGS = ["server", "KiB/connection", "min-max", "MiB before", "MiB after"].freeze
    Turn = Struct.new(:before, :after, :each, keyword_init: true)
    private_constant :WARM_UP, :STILL, :DEADLINE, :KINDS, :HEADINGS, :Turn

    # @param products [Array<Product>] all of them installed, and with an application for push
    # @param transports [Array<Symbol>] of :websocket and :sse
    # @param progress [IO] told of each turn
    def initialize(products:, rounds:, connections:, transports:, progress: $stderr)
      @products = products
      @rounds = rounds
      @connections = connections
      @transports = transports
      @losses = []
      @progress = progress
    end

    # @return [String] the table, Markdown
    def run
      rows = @transports.product(KINDS.to_a).flat_map do |transport, (kind, path)|
        products = @products.select { |product| product.transports.include?(transport) }
        products = products.select(&:echoes?) if path == "/echo"
        rows(products, transport, kind, path)
      end
      [Table.new(HEADINGS, rows), *@losses].join("\n")
    end

    private

    def rows(products, transport, kind, path)
      contest = Contest.new(products: products, rounds: @rounds)
      contest.run do |product, round|
        turn = Server.run(product, app: product.push_app, core: Machine::SERVER_CORE) do |server|
          measure(server, path, transport)
        end
        @progress.puts format("%s  %-8s %s %s: %.2f KiB", round, product.name, transport, kind, turn.each)
        turn
      end
      @losses.concat(contest.losses.map { |loss| "#{loss}: #{transport} #{kind}" })
      contest.finishers.map { |product| row(contest, product, "#{product.name}, #{transport} #{kind}") }
    end

    def measure(server, path, transport)
      open = lambda { |connections, &held|
        PushLoad.open("idle", server: server, core: Machine::LOAD_CORE, path: path, transport: transport,
                              connections: connections, &held)
      }
      open.call(WARM_UP) { still(server) }
      before = still(server)
      after = open.call(@connections) { still(server) }
      Turn.new(before: before, after: after, each: (after - before) / 1024.0 / @connections)
    end

    # @return [Integer] bytes
    def still(server)
      deadline = now + DEADLINE
      last, since = server.processes.resident_bytes, now
      while now - since < STILL && now < deadline
        sleep 0.1
        bytes = server.processes.resident_bytes
        last, since = bytes, now if bytes != last
      end
      last
    end

    def row(contest, product, name)
      each = contest.figures(product.name, &:each)
      mebibytes = %i[before after].map { |part| contest.figures(product.name, &part).median / 1024**2 }
      [name, format("%.2f", each.median), format("%.2f-%.2f", each.min, each.max),
       *mebibytes.map { |figure| format("%.1f", figure) }]
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
