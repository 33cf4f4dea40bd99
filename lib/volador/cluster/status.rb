# frozen_string_literal: true

require_relative "../version"

module Volador
  module Cluster
    # What `volador status` shows: the server, its generations and their workers.
    class Status
      # @param environment [String]
      # @param directory [String] of the application
      # @param control [String] the control socket's path
      # @param gateway [#addresses, #stats]
      # @param threads [Integer] of each worker
      # @param now [Float] the time of the start
      def initialize(environment:, directory:, control:, gateway:, threads:, now:)
        @environment = environment
        @directory = directory
        @control = control
        @gateway = gateway
        @threads = threads
        @start = now
      end

      # @param now [Float]
      # @param generations [Generations]
      # @param state [Symbol] of the supervisor
      # @return [Hash] for JSON
      def to_h(now, generations, state)
        {
          ok: true, version: VERSION, ruby: RUBY_VERSION, pid: Process.pid, state: state,
          environment: @environment, directory: @directory, control_socket: @control,
          addresses: @gateway.addresses, uptime: (now - @start).round(1), threads: @threads,
          workers_wanted: generations.wanted, generation: generations.current.number,
          deploying: !generations.coming.nil?,
          generations: generations.all.map { |generation| generation(generation, now) },
          stats: @gateway.stats
        }
      end

      private

      def generation(generation, now)
        { number: generation.number, phase: generation.phase, mold: mold(generation.mold),
          workers: generation.workers.map { |worker| worker(worker, now) } }
      end

      def mold(mold)
        { pid: mold.pid, loaded: mold.loaded? } if mold && !mold.ended?
      end

      def worker(worker, now)
        link = worker.link || {}
        { number: worker.number, pid: worker.pid, state: worker.condition, age: worker.age(now).round(1),
          **link.slice(:threads, :in_flight, :handlers), quiet: link[:quiet]&.round(1),
          stuck: link[:stuck]&.round(1) }.compact
      end
    end
  end
end
