# frozen_string_literal: true

require "json"
require "timeout"
require_relative "load"
require_relative "product"

module Bench
  # The load generator for push (bench/load), on a core of its own: it opens connections and holds them until the block
  # is over.
  class PushLoad
    # What one run found.
    #
    # - `messages`: Integer, those that arrived
    # - `missing`: Integer, those that had not arrived ten seconds after they were due
    # - `seconds`: Float
    # - `p50`, `p99`: Float, milliseconds from the request to publish, or from the message, to the arrival
    # - `busy`: Float, the share of the time that the load generator did not wait
    Outcome = Struct.new(:messages, :missing, :seconds, :p50, :p99, :busy, keyword_init: true)

    MANIFEST = File.expand_path("load/Cargo.toml", __dir__)
    TARGET = File.expand_path(ENV.fetch("CARGO_TARGET_DIR", "target/load"), Product::ROOT)
    # It has other modes as well: see {Bare}.
    PROGRAM = File.join(TARGET, "release/volador-load")
    # Seconds until all connections are open, and beyond a run until its outcome is there.
    OPENING_DEADLINE = 130
    RUN_DEADLINE = 30
    private_constant :MANIFEST, :TARGET, :OPENING_DEADLINE, :RUN_DEADLINE

    class << self
      # Builds the load generator, unless it is there already.
      # @raise [Load::Failed]
      def build
        return if system({ "CARGO_TARGET_DIR" => TARGET }, ENV.fetch("CARGO", "cargo"), "build", "--quiet", "--release",
                         "--locked", "--manifest-path", MANIFEST)

        raise Load::Failed, "the load generator could not be built: cargo is needed (https://rustup.rs)"
      end

      # @param mode [String] "fanout", "echo" or "idle"
      # @param server [Server]
      # @param core [Integer] which CPU core
      # @param path [String] request path of the connections
      # @param transport [Symbol] :websocket or :sse
      # @param connections [Integer]
      # @param burst [Integer] publications at once
      # @param publication [Symbol] how they are asked for, :query or :body
      # @yieldparam load [PushLoad] all of its connections are open
      # @return what the block returns
      # @raise [Load::Failed]
      def open(mode, server:, core:, path:, connections:, transport: :websocket, burst: 1,
               publication: :query)
        load = new("taskset", "-c", core.to_s, PROGRAM, mode, "--address", server.address, "--path", path,
                   "--connections", connections.to_s, "--transport", transport.to_s, "--burst", burst.to_s,
                   "--publication", publication.to_s)
        load.await
        yield load
      ensure
        load&.close
      end
    end

    # @param command [Array<String>]
    def initialize(*command)
      @io = IO.popen(command, "r+")
    end

    # Returns once all connections are open.
    # @raise [Load::Failed]
    def await
      line(OPENING_DEADLINE)
    end

    # @param seconds [Numeric] how long
    # @return [Outcome]
    # @raise [Load::Failed]
    def run(seconds)
      @io.puts("run #{seconds}")
      fields = JSON.parse(line(seconds + RUN_DEADLINE), symbolize_names: true)
      Outcome.new(**fields, p50: fields.fetch(:p50) / 1e3, p99: fields.fetch(:p99) / 1e3)
    rescue Errno::EPIPE
      failed!
    end

    # Closes all connections.
    def close
      @io.close_write
      Timeout.timeout(RUN_DEADLINE) { @io.read }
    rescue Timeout::Error
      Process.kill(:KILL, @io.pid)
    ensure
      @io.close
    end

    private

    def line(seconds)
      Timeout.timeout(seconds) { @io.gets } || failed!
    rescue Timeout::Error
      Process.kill(:KILL, @io.pid)
      raise Load::Failed, "the load generator did not answer within #{seconds} s"
    end

    # It has said why to standard error.
    def failed! = raise(Load::Failed, "the load generator has given up")
  end
end
