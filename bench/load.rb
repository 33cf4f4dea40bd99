# frozen_string_literal: true

module Bench
  # The load generator: wrk, on a core of its own.
  class Load
    # Raised when wrk does not do what it was asked.
    class Failed < StandardError; end

    # What one load found.
    #
    # - `requests`: Integer, responses that arrived
    # - `seconds`: Float
    # - `failed`: Integer, connections refused or cut, timeouts, and statuses of 400 and more
    # - `p50`, `p99`: Float, milliseconds from request to response
    # - `busy`: Float, the share of its core that the load generator itself used; near 1 the server was not the limit
    Outcome = Struct.new(:requests, :seconds, :failed, :p50, :p99, :busy, keyword_init: true) do
      # @return [Float]
      def requests_per_second = requests / seconds
    end

    SCRIPT = File.expand_path("load.lua", __dir__)
    private_constant :SCRIPT

    # @param core [Integer] which CPU core
    # @param connections [Integer] kept alive and busy all the time
    def initialize(core:, connections:)
      @core = core
      @connections = connections
    end

    # @param url [String]
    # @param seconds [Numeric] how long
    # @param requests [Integer, nil] ends earlier, after this many responses
    # @return [Outcome]
    # @raise [Failed]
    def run(url, seconds:, requests: nil)
      busy_before = cpu_seconds
      output = output_of(command(url, seconds, requests))
      line = output[/^load: (.+)$/, 1]
      raise Failed, "wrk failed:\n#{output}" unless line

      outcome(line.scan(/(\w+)=(\d+)/).to_h.transform_values(&:to_i), cpu_seconds - busy_before)
    end

    private

    def command(url, seconds, requests)
      ["taskset", "-c", @core.to_s, "wrk", "-t1", "-c#{@connections}", "-d#{seconds}s", "-s", SCRIPT, url,
       *(["--", requests.to_s] if requests)]
    end

    # Runs the command to its end, or ends it when this process is told to stop.
    def output_of(command)
      reader, writer = IO.pipe
      pid = Process.spawn(*command, in: File::NULL, %i[out err] => writer)
      writer.close
      reader.each_line.with_object(+"") do |line, output|
        output << line
        Process.kill(:INT, pid) if line == "limit\n"
      end
    ensure
      if pid
        Process.kill(:INT, pid) # Has no effect when it has ended by itself: nobody has waited for it yet.
        Process.wait(pid)
      end
      reader.close
    end

    def outcome(fields, busy)
      seconds = fields.fetch("microseconds") / 1e6
      raise Failed, "wrk got no response at all" if fields.fetch("requests").zero?

      Outcome.new(requests: fields.fetch("requests"), seconds: seconds, failed: fields.fetch("failed"),
                  p50: fields.fetch("p50") / 1e3, p99: fields.fetch("p99") / 1e3, busy: busy / seconds)
    end

    # Of the child processes that have ended, which are the load generators: a server ends only after its load.
    def cpu_seconds
      times = Process.times
      times.cutime + times.cstime
    end
  end
end
