# frozen_string_literal: true

# The server that the suite talks to: sends every message back, text as text and binary as binary.

require "volador"

class Echo
  def call(_env)
    [404, { "content-type" => "text/plain" }, ["Open a WebSocket here.\n"]]
  end

  def on_open(env)
    Handler.new(env["push.writer"])
  end

  class Handler
    def initialize(writer)
      @writer = writer
    end

    def on_message(data)
      @writer.write(data)
    rescue Volador::ClosedError
      # The suite has closed without waiting for the echo.
    end
  end
end

# Section 9 sends messages of 16 MiB, and many at once without reading.
most = 64 * 1024 * 1024
Volador.run(Echo.new, bind: "tcp://127.0.0.1:0", message_max_bytes: most, send_queue_max_bytes: most)
