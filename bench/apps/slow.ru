# frozen_string_literal: true

# A thread of the application publishes by the clock, to everyone at /timed, when it is; /slow keeps an application
# thread asleep.
class Slow
  # Messages per second, and how long the request sleeps, in seconds: bench/slow.rb knows both.
  RATE = 50
  SLEEP = 0.5
  OK = [200, { "content-type" => "text/plain", "content-length" => "14" }.freeze, ["Hello, world!\n"].freeze].freeze

  def initialize
    Thread.new { publish }
  end

  def call(env)
    sleep SLEEP if env["PATH_INFO"] == "/slow"
    OK
  end

  def on_open(_env); end

  private

  def publish
    due = now
    loop do
      due += 1_000_000_000 / RATE
      wait = due - now
      sleep wait / 1e9 if wait.positive?
      Volador.broadcast("/timed", now.to_s.rjust(20, "0").ljust(64, "x"))
    end
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
end

run Slow.new
