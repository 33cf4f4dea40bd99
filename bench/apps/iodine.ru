# frozen_string_literal: true

# The same as push.ru for Iodine, in its own interface: its fastest way for each.
class Push
  MESSAGE = ("x" * 64).freeze
  OK = [200, { "content-type" => "text/plain", "content-length" => "14" }.freeze, ["Hello, world!\n"].freeze].freeze
  UPGRADE = [0, {}.freeze, [].freeze].freeze

  # All connections to /fanout.
  module Subscriber
    def self.on_open(client) = client.subscribe("fanout")
  end

  # All connections that only wait. There is no upgrade without a handler.
  module Silent
    def self.on_open(_client); end
  end

  # One connection to /echo, and its object.
  class Echo
    def on_message(client, data) = client.write(data)

    def on_close(_client); end
  end

  def call(env)
    if env["rack.upgrade?"]
      env["rack.upgrade"] = handler(env["PATH_INFO"])
      return UPGRADE
    end
    env["QUERY_STRING"].to_s[/\Acount=(\d+)/, 1].to_i.times { Iodine.publish("fanout", MESSAGE) }
    OK
  end

  private

  def handler(path)
    case path
    when "/echo" then Echo.new
    when "/fanout" then Subscriber
    else Silent
    end
  end
end

run Push.new
