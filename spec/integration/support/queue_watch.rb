# frozen_string_literal: true

# For examples whose app keeps all of its threads, so that no request could ask how many others wait by now. The request
# that takes the last thread calls WATCH_QUEUE, and from there on the server prints "queued 1" and so on.
module QueueWatch
  # Ruby that defines WATCH_QUEUE, to be put in front of an app.
  SOURCE = <<~'RUBY'
    WATCH_QUEUE = lambda do
      Thread.new do
        told = 0
        while (queued = Volador.stats[:queued])
          warn "queued #{queued}" unless queued == told
          told = queued
          sleep 0.005
        end
      end
    end
  RUBY

  # @param server [ServerProcess]
  # @param count [Integer] how many requests are to wait
  def self.await(server, count)
    server.wait_for_output(/^queued #{count}$/)
  end
end
