# frozen_string_literal: true

require "json"
require_relative "../clock"

module Volador
  module Cluster
    # One end of a Unix stream over which Hashes go as lines of JSON: between supervisor and mold, and between control
    # server and control client. Either side may wait (`read`, `write`) or not (`take`, `put`).
    class Wire
      # Bytes of a line; a longer one ends the wire.
      LINE_MAX = 1024 * 1024
      READ_BYTES = 65_536
      private_constant :READ_BYTES

      # @param io [UNIXSocket]
      # @param line_max [Integer] bytes
      def initialize(io, line_max: LINE_MAX)
        @io = io
        @line_max = line_max
        @buffer = String.new(encoding: Encoding::BINARY)
        @messages = []
        @ended = false
      end

      # Texts may come from anywhere, an exception's message say, and JSON takes only what is valid.
      # @param message [Hash]
      # @return [String] a line
      def self.line(message)
        "#{JSON.generate(valid(message))}\n"
      end

      def self.valid(value)
        case value
        when String then utf8(value)
        when Array then value.map { |one| valid(one) }
        when Hash then value.transform_values { |one| valid(one) }
        else value
        end
      end
      private_class_method :valid

      def self.utf8(string)
        string = string.dup.force_encoding(Encoding::UTF_8) if string.encoding == Encoding::BINARY
        string.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
      end
      private_class_method :utf8

      # @return [UNIXSocket] for IO.select
      def to_io
        @io
      end

      # @return [Boolean] the other side has ended, or has sent what is no message; {take} and {read} give nothing more
      def ended?
        @ended && @messages.empty?
      end

      # Waits for the next message.
      # @param seconds [Numeric, nil] at most; nil: as long as it takes
      # @return [Hash, nil] nil at the end, or when the time is over
      def read(seconds = nil)
        deadline = seconds && (Clock.now + seconds)
        while @messages.empty? && !@ended
          return unless @io.wait_readable(deadline && [deadline - Clock.now, 0].max)

          fill
        end
        @messages.shift
      end

      # @return [Array<Hash>] what has arrived, without waiting
      def take
        fill
        @messages.slice!(0, @messages.size)
      end

      # Waits until the other side's buffer has room.
      # @param message [Hash]
      # @return [Boolean] whether it was written; false when the other side has ended
      def write(message)
        @io.write(Wire.line(message))
        true
      rescue IOError, SystemCallError
        false
      end

      # @param message [Hash]
      # @return [Boolean] whether it was written, without waiting; false also when the other side does not read
      def put(message)
        line = Wire.line(message)
        @io.write_nonblock(line) == line.bytesize
      rescue IOError, SystemCallError
        false
      end

      def close
        @io.close
      end

      private

      def fill
        until @ended
          case bytes = @io.read_nonblock(READ_BYTES, exception: false)
          when :wait_readable then return
          when nil then @ended = true
          else split(@buffer << bytes)
          end
        end
      rescue IOError, SystemCallError
        @ended = true
      end

      def split(buffer)
        while (line = buffer.slice!(/\A[^\n]*\n/n))
          message = JSON.parse(line, symbolize_names: true)
          message.is_a?(Hash) ? @messages << message : @ended = true
        end
        @ended = true if buffer.bytesize > @line_max
      rescue JSON::ParserError
        @ended = true
      end
    end
  end
end
