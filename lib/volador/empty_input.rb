# frozen_string_literal: true

module Volador
  # `rack.input` of a request without a body: one frozen object for all of them, always at its end. It answers what
  # the Rack SPEC asks of an input stream (gets, each, read, rewind, close) and what applications commonly ask beyond.
  class EmptyInput
    # @param length [Integer, nil] bytes to read
    # @param buffer [String, nil] emptied, since nothing is read into it
    # @return [String, nil] "" when length is nil or 0; nil, the end, for any other length
    def read(length = nil, buffer = nil)
      buffer&.clear
      return buffer || String.new if length.nil? || length.zero?

      nil
    end

    # @return [nil]
    def gets(*)
      nil
    end

    # @yieldparam line [String] never
    # @return [EmptyInput, Enumerator]
    def each(*)
      return to_enum(:each) unless block_given?

      self
    end
    alias each_line each

    # @raise [EOFError] always, as at the end of any stream
    def readpartial(*)
      raise EOFError, "end of file reached"
    end
    alias read_nonblock readpartial

    # @return [Integer] 0
    def rewind
      0
    end
    alias size rewind
    alias length rewind
    alias pos rewind

    # @return [true]
    def eof?
      true
    end
    alias binmode? eof?
    alias eof eof?

    # @return [self]
    def binmode
      self
    end

    # @return [Encoding] BINARY
    def external_encoding
      Encoding::BINARY
    end

    # @return [nil]
    def close
      nil
    end

    # @return [false] it can be read at any time
    def closed?
      false
    end

    # The one instance.
    INSTANCE = new.freeze
  end
end
