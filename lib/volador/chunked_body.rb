# frozen_string_literal: true

require_relative "error"

module Volador
  # The body of an answer that the application has framed itself, by `Transfer-Encoding: chunked` (Rack::Chunked of
  # Rack 2, Rails' streaming). The gateway frames every body, so the application's own framing is taken off again:
  # RFC 9112 §7.1, chunk extensions and trailers are dropped.
  class ChunkedBody
    # @param headers [Hash]
    # @return [Boolean] whether they declare such a body
    def self.declared?(headers)
      headers.any? { |name, value| name.to_s.casecmp?("transfer-encoding") && value.to_s.casecmp?("chunked") }
    end

    # @param body [#each]
    def initialize(body)
      @body = body
      @buffer = String.new
      @size = nil
      @ended = false
    end

    # @yieldparam chunk [String] BINARY
    # @raise [ResponseError] when the body is not chunked as its header says, or has no last chunk
    def each
      @body.each do |part|
        @buffer << part.b unless @ended
        while (chunk = next_chunk)
          yield chunk
        end
      end
      invalid unless @ended
    end

    private

    # @return [String, nil] nil while the next one is not complete, and after the last one
    def next_chunk
      return if @ended

      @size ||= next_size
      @ended = true if @size&.zero?
      return if @size.nil? || @ended || @buffer.bytesize < @size + 2

      chunk = @buffer.slice!(0, @size)
      invalid unless @buffer.slice!(0, 2) == "\r\n"
      @size = nil
      chunk
    end

    def next_size
      line_end = @buffer.index("\r\n")
      return invalid if line_end.nil? && @buffer.bytesize > 1024
      return if line_end.nil?

      Integer(@buffer.slice!(0, line_end + 2)[/\A\h{1,15}(?=[\r; \t])/] || invalid, 16)
    end

    def invalid
      raise ResponseError, "the answer has Transfer-Encoding: chunked, but its body is not in chunks: leave that " \
                           "header out, Volador chunks by itself"
    end
  end
end
