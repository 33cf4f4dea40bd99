# frozen_string_literal: true

module Volador
  # What a streaming body (Rack 3: a body that responds to `call` and not to `each`) is called with: the response's
  # stream, whose writes are sent at once, and the request's body to read from. Ends with the body's `call`: what is
  # written later raises an IOError. Any thread may write, one chunk at a time.
  class Stream
    CLOSED = "the stream is closed for writing"
    private_constant :CLOSED

    # @param seat [Native::Seat]
    # @param response [Integer] the started one, as the seat names it
    # @param input [#read] the request's `rack.input`
    def initialize(seat, response, input)
      @seat = seat
      @response = response
      @input = input
      @lock = Mutex.new
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
      raise IOError, CLOSED unless @writable

      chunks.sum do |chunk|
        chunk = chunk.to_s
        write_one(chunk) unless chunk.empty?
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

    # Waits for a chunk that another thread is writing.
    # @return [nil]
    def close_write(_error = nil)
      # Before the wait: whoever writes chunk after chunk would be quicker to take the lock again.
      @writable = false
      @lock.synchronize { nil }
    end

    # @return [Boolean] whether both directions are closed
    def closed?
      !@readable && !@writable
    end

    private

    def write_one(chunk)
      @lock.synchronize do
        # Also when it has been closed between two chunks.
        raise IOError, CLOSED unless @writable

        @seat.write(chunk, @response)
      end
    end
  end
end
