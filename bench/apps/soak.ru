# frozen_string_literal: true

# What the scenarios deploy and crash ask of a server: see `volador-load soak --help`. What handlers are told is noted in
# the file SOAK_JOURNAL, a line each and by one system call, so that it is there when the process has been killed. Every
# request and every message takes SOAK_WORK seconds, half of them after the answer of a message.
class Soak
  JOURNAL = File.open(ENV.fetch("SOAK_JOURNAL", File::NULL), File::WRONLY | File::APPEND | File::CREAT)
  JOURNAL.sync = true
  WORK = ENV.fetch("SOAK_WORK", "0").to_f
  OK = [200, { "content-type" => "text/plain", "content-length" => "14" }.freeze, ["Hello, world!\n"].freeze].freeze

  # One connection that sends messages, or gets events only.
  class Talker
    def initialize(id, room)
      @id = id
      @room = room
      @count = 0
    end

    def on_open(client)
      client.subscribe("room #{@room}")
    end

    def on_message(client, data)
      number = data[/\Am (\d+)\z/, 1]
      JOURNAL.write("message #{@id} #{number}\n")
      @count += 1
      sleep(WORK / 2) if WORK.positive?
      client.write("a #{number} #{@count}")
      sleep(WORK / 2) if WORK.positive?
      JOURNAL.write("done #{@id} #{number}\n")
    end

    def on_close(_client)
      JOURNAL.write("close #{@id}\n")
    end
  end

  # It knows how many messages there have been, wherever it is.
  class Keeper < Talker
    def initialize(id, room, state)
      super(id, room)
      @count = state.to_i
    end

    def push_state
      @count.to_s
    end
  end

  # Connections without a handler.
  class Listeners
    def call(_env) = OK

    def on_open(_env) = nil
  end

  def call(env)
    if env["rack.upgrade?"]
      id, room = env["QUERY_STRING"].match(/\Aid=(\d+)&room=(\d+)/).captures
      env["rack.upgrade"] = env["PATH_INFO"] == "/state" ? Keeper.new(id, room, env["push.state"]) : Talker.new(id, room)
      return OK
    end
    sleep(WORK) if WORK.positive?
    if env["PATH_INFO"] == "/publish"
      number, room = env["QUERY_STRING"].match(/\An=(\d+)&room=(\d+)/).captures
      Volador.publish("room #{room}", "p #{number}")
      Volador.broadcast("/listen/#{room}", "p #{number}")
    end
    OK
  end
end

map("/listen") { run Soak::Listeners.new }
run Soak.new
