# frozen_string_literal: true

require_relative "load"
require_relative "machine"
require_relative "server"
require_relative "soak_journal"
require_relative "soak_load"
require_relative "workers"

module Bench
  # A server with workers, under a load of all kinds at once, while something happens to it: what {Deploy} and {Crash} have
  # in common.
  class Soak
    # What came out, in all.
    #
    # - `totals`: SoakLoad::Totals
    # - `stats`: Hash, the server's own figures
    # - `handlers`: Integer, connections with a handler
    # - `handled`, `done`, `doubled`: Integer, messages that handlers have had, have been over with, and have had more than
    #   once
    # - `closes`, `closed_again`: Integer, handlers that were told the end, and those that were told so more than once
    Outcome = Struct.new(:totals, :stats, :handlers, :handled, :done, :doubled, :closes, :closed_again, keyword_init: true) do
      # @return [Hash{String => Integer}] what must not be, by its name
      def faults
        { "connections dropped" => totals.dropped, "publications missing" => totals.missing,
          "publications that reached some only" => totals.partial,
          "publications doubled or out of order" => totals.disordered, "messages answered twice" => totals.doubled,
          "messages handled twice" => doubled, "requests failed" => totals.failed,
          "handlers not told the end" => handlers - closes, "handlers told so twice" => closed_again }
      end
    end

    # Seconds of load that are not measured, and that a change may take.
    WARM_UP = 2
    DEADLINE = 60
    # Seconds between two looks at the server.
    LOOK = 0.05
    private_constant :WARM_UP, :DEADLINE, :LOOK

    # @return [Outcome] after {run}
    attr_reader :outcome

    # @param connections [Integer] of all kinds together
    # @param workers [Integer]
    # @param publications [Integer] a second, to the rooms in turn
    # @param rooms [Integer] in which the connections are, in turn
    # @param messages [Integer] a second
    # @param requests [Integer] a second
    # @param work [Float] seconds that each request and each message takes
    def initialize(connections:, workers:, publications:, rooms:, messages:, requests:, work: 0.0)
      @product = Workers.new(workers, push_app: "soak.ru", work: work)
      @mix = SoakLoad.mix(connections)
      @rooms = rooms
      @rates = { publications: publications, messages: messages, requests: requests }
    end

    # @return [Integer] connections with a handler
    def handlers = @mix.values_at(:keepers, :talkers, :events).sum

    # @return [String] Markdown
    def description
      connections = @mix.map { |kind, count| "#{count} #{kind}" }.join(", ")
      "- #{@product.label}; #{connections}, in #{@rooms} #{@rooms == 1 ? 'room' : 'rooms'}; a second " \
        "#{@rates.map { |what, count| "#{count} #{what}" }.join(', ')}"
    end

    # Starts the server and the load.
    # @yieldparam soak [Soak] self; the load goes
    # @return what the block returns
    # @raise [Server::Failed, Load::Failed]
    def run
      Server.run(@product, app: @product.push_app, core: Machine::ALL_CORES) do |server|
        @server = server
        result, totals = under_load { yield self }
        journal = SoakJournal.new(@product.journal(server.folder))
        # The end of ten thousand connections takes a moment.
        wait(raises: false) { journal.closes >= handlers && status[:stats][:handlers].zero? }
        @outcome = Outcome.new(totals: totals, stats: status[:stats], handlers: handlers, handled: journal.messages,
                               done: journal.done, doubled: journal.doubled, closes: journal.closes, closed_again: journal.closed_again)
        result
      end
    end

    # @return [SoakLoad::Mark] since the last one
    def mark = @load.mark

    # @return [Hash] see {Workers#status}
    def status = @product.status(@server)

    # @return [Integer] of the gateway
    def pid = @server.pid

    # Looks again and again until the block is content.
    # @param raises [Boolean] whether it is a failure when it is not
    # @return what the block has returned
    # @raise [Server::Failed]
    def wait(raises: true)
      deadline = now + DEADLINE
      until (result = yield)
        if now > deadline
          return unless raises

          raise Server::Failed, "nothing came of it within #{DEADLINE} s. Its last words:\n#{@server.last_words}"
        end
        sleep LOOK
      end
      result
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    private

    def under_load
      SoakLoad.open(server: @server, core: Machine::ALL_CORES, mix: @mix, rooms: @rooms, rates: @rates) do |load|
        @load = load
        load.go
        sleep WARM_UP
        load.mark
        result = yield
        [result, load.stop]
      end
    end
  end
end
