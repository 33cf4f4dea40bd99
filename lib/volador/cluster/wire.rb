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
        # What has been read and is no message yet.
        @buffer = String.new(encoding: Encoding::BINARY)
        # What a read brings. A new one for each read would be 64 KiB that stay until the collector comes.
        @chunk = String.new(encoding: Encoding::BINARY, capacity: READ_BYTES)
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

      # @return [Boolean] the other side has ended, or has sent what is no message; there are no more messages
      def ended?
        @ended && !@buffer.include?("\n")
      end

      # Waits for the next message.
      # @param seconds [Numeric, nil] at most; nil: as long as it takes
      # @return [Hash, nil] nil at the end, or when the time is over
      def read(seconds = nil)
        deadline = seconds && (Clock.now + seconds)
        until (message = parse) || @ended
          return unless @io.wait_readable(deadline && [deadline - Clock.now, 0].max)

          fill
        end
        message
      end

      # @return [Array<Hash>] what has arrived, without waiting. A side that goes on writing holds whoever asks
      def take
        messages = []
        loop do
          more = fill
          while (message = parse)
            messages << message
          end
          return messages unless more
        end
      end

      # For those who may not be trusted: it neither waits nor reads more than once.
      # @return [Hash, nil] the next message, when it has arrived
      def take_one
        fill
        parse
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

      # @return [Boolean] whether there may be more
      def fill
        return false if @ended

        bytes = @io.read_nonblock(READ_BYTES, @chunk, exception: false)
        return false if bytes == :wait_readable

        @buffer << bytes if bytes
        @ended = bytes.nil?
        !@ended
      rescue IOError, SystemCallError
        @ended = true
        false
      end

      # @return [Hash, nil] the next message of what has been read
      def parse
        line = @buffer.slice!(/\A[^\n]*\n/n)
        return give_up if (line || @buffer).bytesize > @line_max
        return unless line

        message = JSON.parse(line, symbolize_names: true)
        message.is_a?(Hash) ? message : give_up
      rescue JSON::ParserError
        give_up
      end

      # What has been sent is no message.
      def give_up
        @buffer.clear
        @ended = true
        nil
      end
    end
  end
end
