# frozen_string_literal: true

module Volador
  # What a streaming body (Rack 3: a body that responds to `call` and not to `each`) is called with: the response's
  # stream, whose writes are sent at once, and the request's body to read from. Ends with the body's `call`: what is
  # written later raises an IOError.
  class Stream
    # @param seat [Native::Seat] with a started response
    # @param input [#read] the request's `rack.input`
    def initialize(seat, input)
      @seat = seat
      @input = input
      @readable = true
      @writable = true
    end

    # Reads from the request's body.
    # @param length [Integer, nil] bytes; nil: all that is left
    # @param buffer [String, nil] to read into
    # @return [String, nil] nil at the end when a length was given
    # @raise [IOError] after close_read
    def read(length = nil, buffer = nil)
      raise IOError, "the stream is closed for reading" unless @readable

      buffer ? @input.read(length, buffer) : @input.read(length)
    end

    # Sends chunks at once. Waits while the client takes too little and the spool is full.
    # @param chunks [Array<#to_s>] their bytes are sent as they are
    # @return [Integer] bytes
    # @raise [ClientGone] when the client has left
    # @raise [IOError] after close or close_write
    def write(*chunks)
      raise IOError, "the stream is closed for writing" unless @writable

      chunks.sum do |chunk|
        chunk = chunk.to_s
        @seat.write(chunk) unless chunk.empty?
        chunk.bytesize
      end
    end

    # As {#write}.
    # @return [Stream] self
    def <<(chunk)
      write(chunk)
      self
    end

    # Every write is sent at once: there is nothing to flush.
    # @return [Stream] self
    def flush
      self
    end

    # Ends both directions.
    # @param _error [Exception, nil] accepted for bodies that give a reason
    # @return [nil]
    def close(_error = nil)
      close_read
      close_write
    end

    # @return [nil]
    def close_read
      @readable = false
      nil
    end

    # @return [nil]
    def close_write(_error = nil)
      @writable = false
      nil
    end

    # @return [Boolean] whether both directions are closed
    def closed?
      !@readable && !@writable
    end
  end
end
