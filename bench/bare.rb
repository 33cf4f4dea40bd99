# frozen_string_literal: true

require_relative "product"
require_relative "push_load"

module Bench
  # No server, but the floor under all of them: a program of bench/load that receives, sends and does nothing else. What
  # it needs is the kernel's part of a figure, on the machine at hand.
  class Bare < Product
    def initialize
      super(name: "bare", gem: nil, executable: nil, setting: "1 thread", push_app: "push.ru",
            arguments: ->(port:, **) { ["bare", "--address", "127.0.0.1:#{port}"] })
    end

    # Built with the load generator, before it is started.
    def found? = true

    def version = nil

    def label = "bare sockets (1 thread)"

    # Its application is its own.
    def command(port:, **) = [PushLoad::PROGRAM, *@arguments.call(port: port)]
  end

  BARE = Bare.new
end
