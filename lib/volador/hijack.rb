# frozen_string_literal: true

require "socket"

module Volador
  # `env["rack.hijack"]`: takes the connection of its request away from the server, by the Rack specification's full hijack.
  # The extension makes one for each request.
  class Hijack
    # From here on the connection is the application's, and what it answers to the request is ignored. The socket is one of
    # a pair: the gateway has the other one, and carries the bytes to the client and back. The application closes it.
    # @return [UNIXSocket] the same one with each call; also in `env["rack.hijack_io"]`, unless the env is frozen
    # @raise [Error] when the request has been answered, or is over
    def call
      @socket ||= take
    end

    # There is one connection, so there are no copies: middleware that copies an env with all that is in it gets this.
    # @return [Hijack] self
    def dup
      self
    end

    # @return [Hijack] self
    def clone(freeze: nil) # rubocop:disable Lint/UnusedMethodArgument
      self
    end

    # @return [String]
    def inspect
      "#<#{self.class}#{' taken' if @socket}>"
    end

    private

    def take
      # First: behind the call the request's thread may go on to another one.
      env = seat.env
      @socket = UNIXSocket.for_fd(seat.hijack(self))
      # Rack 2 wants it there, Rack 3 only the return value. A frozen env is no reason to lose a connection that is taken.
      env["rack.hijack_io"] = @socket unless env.frozen?
      @socket
    end
  end
end
