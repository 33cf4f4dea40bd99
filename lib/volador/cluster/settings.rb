# frozen_string_literal: true

require "etc"
require_relative "../number"

module Volador
  # The server in several processes: see docs/cluster.md.
  module Cluster
    # How many workers there are, and how long they are waited for. What a server in one process has as well is in
    # {Configuration}. An option that is nil counts as not given.
    class Settings
      NUMBERS = {
        # Worker processes; 0: none, the application runs in the gateway's process. Default: ENV["WEB_CONCURRENCY"].
        workers: Number.new(Integer, 0..256, 0, nil),
        # A worker without a sign of life for this long is killed and replaced; so is one whose threads are all taken
        # and complete nothing for this long while requests wait.
        worker_timeout: Number.new(Float, 2.0..86_400.0, 60.0, "seconds"),
        # What the application may take to load, and a worker until it is ready.
        boot_timeout: Number.new(Float, 1.0..86_400.0, 60.0, "seconds"),
        # What the workers of an old generation may take to finish; then they are ended.
        handover_timeout: Number.new(Float, 0.0..86_400.0, 60.0, "seconds")
      }.freeze

      # @return [String, nil] where the control socket is to be, absolute; nil: at the default place
      attr_reader :control_socket

      # @!method workers
      #   @return [Integer]; there is a reader for each of {NUMBERS}
      NUMBERS.each_key { |name| define_method(name) { @numbers.fetch(name) } }

      # @param workers [Integer, String, Symbol, nil] :auto for as many as there are processors
      # @param numbers [Hash] see {NUMBERS}
      # @raise [ConfigurationError] for a value that an option cannot have
      def initialize(workers: nil, control_socket: nil, env: ENV, **numbers)
        numbers[:workers] = workers.nil? ? usual_workers(env) : count(workers)
        @numbers = NUMBERS.to_h { |name, number| [name, number.convert(name, numbers[name])] }
        @control_socket = path(control_socket)
        freeze
      end

      private

      def count(workers)
        workers.to_s == "auto" ? Etc.nprocessors : workers
      end

      # Whoever has not set an option has to know where the value comes from.
      def usual_workers(env)
        workers = env["WEB_CONCURRENCY"]
        NUMBERS[:workers].convert(:workers, count(workers)) unless workers.to_s.empty?
      rescue ConfigurationError => e
        raise ConfigurationError, "#{e.message} by the environment variable WEB_CONCURRENCY"
      end

      def path(value)
        return if value.nil?
        raise ConfigurationError, "control_socket must be a path, got \"\"" if value.to_s.empty?

        File.expand_path(value.to_s).freeze
      end
    end
  end
end
