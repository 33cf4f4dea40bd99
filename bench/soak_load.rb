# frozen_string_literal: true

require_relative "push_load"

module Bench
  # The load generator as a soak: push connections of all kinds, publications, messages and requests at once, and every
  # number checked.
  class SoakLoad < PushLoad
    # How long requests took since the last mark, in milliseconds.
    Mark = Struct.new(:requests, :p50, :p99, :max, keyword_init: true)

    # What a soak found, in all.
    #
    # - `connections`: Integer, push connections that are open still
    # - `dropped`: those that the server has closed
    # - `publications`, `deliveries`: how many were made, and have arrived anywhere
    # - `missing`: deliveries that have not, of publications whose request was answered
    # - `partial`: publications whose request was lost that have arrived at some connections and not at others
    # - `disordered`: deliveries behind a later one of the same connection, or for the second time
    # - `messages`, `unanswered`, `doubled`: of clients; answers that came twice
    # - `forgotten`: answers of handlers that had not kept their state
    # - `answered`, `lost`, `failed`: requests that got 200; 502, or an end; anything else, or nothing
    Totals = Struct.new(:connections, :dropped, :publications, :deliveries, :missing, :partial, :disordered, :messages,
                        :unanswered, :doubled, :forgotten, :answered, :lost, :failed, keyword_init: true)

    # Of eleven connections: WebSockets whose handler keeps a state, has none, or does not exist; and event streams.
    SHARES = { keepers: 2, talkers: 6, listeners: 2, events: 1 }.freeze
    # Seconds for what is under way at the end.
    LATE = 30
    private_constant :LATE

    # @param connections [Integer] of all kinds together
    # @return [Hash{Symbol => Integer}] by kind
    def self.mix(connections)
      mix = SHARES.transform_values { |share| connections * share / SHARES.values.sum }
      mix.merge(talkers: mix[:talkers] + connections - mix.values.sum)
    end

    # @param server [Server]
    # @param core [Integer, String] which CPU core, or cores
    # @param mix [Hash{Symbol => Integer}] connections by kind
    # @param rooms [Integer]
    # @param rates [Hash{Symbol => Integer}] :publications, :messages and :requests a second
    # @yieldparam load [SoakLoad] all of its connections are open
    # @return what the block returns
    # @raise [Load::Failed]
    def self.open(server:, core:, mix:, rooms:, rates:)
      options = { **mix, rooms: rooms, **rates }.flat_map { |name, number| ["--#{name}", number.to_s] }
      load = new("taskset", "-c", core.to_s, PROGRAM, "soak", "--address", server.address, *options)
      load.await
      yield load
    ensure
      load&.close
    end

    # From now on there are publications, messages and requests.
    def go = @io.puts("go")

    # @return [Mark]
    # @raise [Load::Failed]
    def mark
      fields = ask("mark")
      Mark.new(requests: fields.delete(:requests), **fields.transform_values { |micros| micros / 1e3 })
    end

    # No more of them; what is under way is waited for.
    # @return [Totals]
    # @raise [Load::Failed]
    def stop
      Totals.new(**ask("stop"))
    end

    private

    def ask(command)
      @io.puts(command)
      JSON.parse(line(LATE), symbolize_names: true)
    rescue Errno::EPIPE
      failed!
    end
  end
end
