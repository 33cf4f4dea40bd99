# frozen_string_literal: true

require "net/http"
require_relative "load"

module Bench
  # Requests that put every application thread to sleep, again and again.
  class SlowRequests
    # Seconds that each of them sleeps; bench/apps/slow.ru does it.
    SLEEP = 0.5
    # For each application thread: one sleeps, the other one waits for the thread.
    PER_THREAD = 2
    # For a first answer to everyone.
    DEADLINE = 20.0
    private_constant :PER_THREAD, :DEADLINE

    # @param server [Server]
    # @param threads [Integer] application threads that it has
    # @yieldparam requests [SlowRequests] every thread is asleep
    # @return what the block returns
    def self.run(server, threads:)
      requests = new(server, threads)
      requests.await
      yield requests
    ensure
      requests&.stop
    end

    # @param server [Server]
    # @param threads [Integer]
    def initialize(server, threads)
      @threads = threads
      @answered = Queue.new
      @clients = Array.new(threads * PER_THREAD) { Thread.new { ask(*server.address.split(":")) } }
      @clients.each { |client| client.report_on_exception = false }
    end

    # Returns when one request for each client has been answered: from then on none of the threads is without one.
    # @raise [Load::Failed]
    def await
      deadline = now + DEADLINE
      until @answered.size >= @clients.size
        raise Load::Failed, "the slow requests are not answered" if now > deadline || @clients.none?(&:alive?)

        sleep 0.02
      end
    end

    # @return [Array(Object, Float)] what the block returns, and the share of the threads' time that was slept meanwhile
    def watch
      before, since = @answered.size, now
      found = yield
      [found, (@answered.size - before) * SLEEP / (@threads * (now - since))]
    end

    # Ends once the requests under way have been answered.
    def stop
      @stopped = true
      @clients.each(&:join)
    rescue SystemCallError, IOError, Timeout::Error => e
      raise Load::Failed, "a slow request failed: #{e.message}"
    end

    private

    def ask(host, port)
      Net::HTTP.start(host, port.to_i, read_timeout: DEADLINE) do |http|
        until @stopped
          response = http.get("/slow")
          raise IOError, response.code unless response.code == "200"

          @answered << true
        end
      end
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
