# frozen_string_literal: true

# The flying-fish clock: tells the time over WebSocket and over Server-Sent Events, with the same few lines.
#
#     rackup -s volador        and then open http://localhost:9292/

require "rack/head"

class Clock
  PAGE = File.read(File.join(__dir__, "index.html"), encoding: "UTF-8").freeze

  # A plain request: any Rack app's business.
  def call(env)
    return [404, { "content-type" => "text/plain" }, ["No fish here.\n"]] unless env["PATH_INFO"] == "/"

    [200, { "content-type" => "text/html; charset=utf-8", "content-length" => PAGE.bytesize.to_s }, [PAGE]]
  end

  # A WebSocket or an EventSource. What is returned here is called when a message comes and when the connection ends.
  def on_open(env)
    Ticker.new(env["push.writer"])
  end

  # One connection, and the thread that writes the time to it.
  class Ticker
    def initialize(writer)
      @writer = writer
      @lock = Mutex.new
      @wake = ConditionVariable.new
      @closed = false
      Thread.new { tick }
    end

    # The client sent a message, which only a WebSocket can: answer it, and tell every EventSource.
    def on_message(text)
      @writer.write("You said: #{text}")
      Volador.broadcast("/events", "Somebody said: #{text}")
    rescue Volador::ClosedError
      # Gone without waiting for the answer. Nothing to do: on_close comes next.
    end

    # Called exactly once, however the connection ended. Wakes the thread, which then ends by itself.
    def on_close
      @lock.synchronize do
        @closed = true
        @wake.signal
      end
    end

    private

    def tick
      loop do
        @writer.write(Time.now.strftime("%H:%M:%S"))
        break if closed_within?(1 - (Time.now.to_f % 1)) # the rest of this second
      end
    rescue Volador::ClosedError
      # The client left while the time was on its way.
    end

    # Sleeps, but not longer than the connection lives.
    def closed_within?(seconds)
      @lock.synchronize do
        @wake.wait(@lock, seconds) unless @closed
        @closed
      end
    end
  end
end

use Rack::Head # HEAD is answered like GET, without the page. Push requests pass through middleware as well.
run Clock.new
