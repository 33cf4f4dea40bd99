# frozen_string_literal: true

module Volador
  # What {Server.reach} finds in a process sends by its application threads' link: an embedded server, a worker, a guest.
  # For objects with `@threads`.
  # @api private
  module Publishing
    # See {Volador.broadcast}.
    def broadcast(pattern, data)
      @threads.broadcast(pattern, data)
    end

    # See {Volador.publish}.
    # @return [Boolean]
    def publish(channel, data)
      @threads.publish(channel, data)
    end

    # @return [PubSub::Listeners, nil] nil before it is started
    def listeners
      @threads&.listeners
    end
  end
end
