# frozen_string_literal: true

# What the push scenarios ask of a server, for Volador: an echo at /echo, subscribers at
# /fanout, and anywhere else connections that only wait. Neither of these has a handler.
class Push
  MESSAGE = ("x" * 64).freeze
  OK = [200, { "content-type" => "text/plain", "content-length" => "14" }.freeze, ["Hello, world!\n"].freeze].freeze

  # One connection to /echo, and its object.
  class Echo
    def initialize(writer)
      @writer = writer
    end

    def on_message(data) = @writer.write(data)

    def on_close; end
  end

  def call(env)
    env["QUERY_STRING"][/\Acount=(\d+)/, 1].to_i.times { Volador.broadcast("/fanout", MESSAGE) }
    OK
  end

  def on_open(env)
    Echo.new(env["push.writer"]) if env["PATH_INFO"] == "/echo"
  end
end

run Push.new
