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
    def initialize(id)
      @id = id
      @count = 0
    end

    def on_open(client)
      client.subscribe("soak")
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
    def initialize(id, state)
      super(id)
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
      id = env["QUERY_STRING"][/\Aid=(\d+)/, 1]
      env["rack.upgrade"] = env["PATH_INFO"] == "/state" ? Keeper.new(id, env["push.state"]) : Talker.new(id)
      return OK
    end
    sleep(WORK) if WORK.positive?
    if env["PATH_INFO"] == "/publish"
      publication = "p #{env['QUERY_STRING'][/\An=(\d+)/, 1]}"
      Volador.publish("soak", publication)
      Volador.broadcast("/listen", publication)
    end
    OK
  end
end

map("/listen") { run Soak::Listeners.new }
run Soak.new
