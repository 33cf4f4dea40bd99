# frozen_string_literal: true

require "socket"
require_relative "deadline"

# A client socket that sends exactly the bytes it is told to and reads answers with a deadline: what a specification
# of bytes on the wire needs, and nothing that "repairs" a request or an answer.
class RawSocket
  # One answer as it stood on the wire.
  #   status  Integer;  reason String;  version String, "HTTP/1.1"
  #   headers [[name as sent, value], ...] in order;  body String (BINARY), decoded from chunks when it was chunked
  #   complete  false when the connection ended before the body was complete
  Response = Struct.new(:version, :status, :reason, :headers, :body, :complete, keyword_init: true) do
    # @return [String, nil] the value of a header, several joined by ", "; the name in any case
    def [](name)
      values = all(name)
      values.empty? ? nil : values.join(", ")
    end

    # @return [Array<String>] each value of a repeated header
    def all(name)
      headers.select { |key, _| key.casecmp?(name) }.map(&:last)
    end

    def complete?
      complete
    end
  end

  # Raised when the peer closed the connection before what was asked for had arrived.
  class Ended < StandardError; end

  READ_BYTES = 65_536

  # @param port [Integer, nil] TCP port
  # @param path [String, nil] path of a Unix socket, instead of the port
  # @param deadline [Numeric] seconds each operation may last
  def self.open(port: nil, host: "127.0.0.1", path: nil, deadline: Deadline::DEFAULT_SECONDS)
    socket = new(path ? UNIXSocket.new(path) : Socket.tcp(host, port, connect_timeout: deadline), deadline: deadline)
    return socket unless block_given?

    begin
      yield socket
    ensure
      socket.close
    end
  end

  attr_reader :io
  # @return [Integer] bytes that have been read from the system so far
  attr_reader :received_bytes

  def initialize(io, deadline: Deadline::DEFAULT_SECONDS)
    @io = io
    @seconds = deadline
    @buffer = String.new(encoding: Encoding::BINARY)
    @received_bytes = 0
    @ended = false
  end

  # Sends the bytes as they are.
  # @return [RawSocket] self
  def send_bytes(bytes)
    deadline = Deadline.new(@seconds, "sending #{bytes.bytesize} bytes")
    rest = bytes.b
    until rest.empty?
      sent = @io.write_nonblock(rest, exception: false)
      if sent == :wait_writable
        @io.wait_writable(deadline.left!) || deadline.miss!("#{rest.bytesize} bytes not taken")
      else
        rest = rest.byteslice(sent, rest.bytesize)
      end
    end
    self
  end
  alias << send_bytes

  # Sends a request whose Host (and Content-Length, for a body) is filled in; every other header is the caller's.
  # @return [RawSocket] self
  def send_request(method, target, headers = {}, body = nil, version: "HTTP/1.1")
    head = +"#{method} #{target} #{version}\r\n"
    head << "Host: localhost\r\n" unless headers.any? { |name, _| name.casecmp?("host") }
    headers.each { |name, value| Array(value).each { |one| head << "#{name}: #{one}\r\n" } }
    head << "Content-Length: #{body.bytesize}\r\n" if body
    send_bytes("#{head}\r\n".b << body.to_s.b)
  end

  # Sends a request and reads its answer.
  # @return [Response]
  def request(method, target, headers = {}, body = nil, version: "HTTP/1.1")
    send_request(method, target, headers, body, version: version)
    read_response(head_only: method == "HEAD")
  end

  # @return [Response] the next answer, 1xx answers included (100 Continue is an answer of its own)
  # @raise [Ended] when the connection ends before a whole head has arrived
  def read_response(head_only: false)
    response = read_head
    return response if head_only || response.status < 200 || [204, 304].include?(response.status)

    if response["transfer-encoding"].to_s.downcase.include?("chunked")
      read_chunked(response)
    elsif response["content-length"]
      read_sized(response, Integer(response["content-length"]))
    else
      response.body = read_to_end
      response.complete = true
    end
    response
  end

  # @return [Response] the next head; its body is still on the wire
  def read_head
    lines = read_until("\r\n\r\n").split("\r\n")
    version, status, reason = lines.shift.split(" ", 3)
    headers = lines.map { |line| line.split(/:[ \t]*/, 2) }
    Response.new(version: version, status: Integer(status, 10), reason: reason, headers: headers,
                 body: String.new(encoding: Encoding::BINARY), complete: true)
  end

  # @return [String, nil] one chunk of a chunked body; nil at its end
  def read_chunk
    size = Integer(read_until("\r\n").chomp.split(";").first, 16)
    if size.zero?
      nil until read_until("\r\n") == "\r\n"
      return nil
    end
    read_exactly(size).tap { read_exactly(2) }
  end

  # @return [String] all bytes up to and with the mark
  def read_until(mark)
    deadline = Deadline.new(@seconds, "reading up to #{mark.inspect}")
    from = 0
    until (at = @buffer.index(mark, from))
      from = [@buffer.bytesize - mark.bytesize, 0].max
      fill(deadline) || raise(Ended, "the connection ended before #{mark.inspect}, after #{@buffer.inspect}")
    end
    @buffer.slice!(0, at + mark.bytesize)
  end

  # @return [String] that many bytes
  def read_exactly(size)
    deadline = Deadline.new(@seconds, "reading #{size} bytes")
    while @buffer.bytesize < size
      fill(deadline) || raise(Ended, "the connection ended after #{@buffer.bytesize} of #{size} bytes")
    end
    @buffer.slice!(0, size)
  end

  # @return [String] whatever comes until the peer closes; a reset counts as the end
  def read_to_end
    deadline = Deadline.new(@seconds, "the end of the connection")
    nil while fill(deadline)
    @buffer.slice!(0, @buffer.bytesize)
  end

  # @return [Boolean] true once the peer has closed; waits for it, and false when bytes arrive instead
  def ended?
    return false unless @buffer.empty?

    !fill(Deadline.new(@seconds, "the end of the connection"))
  end

  # @return [Boolean] whether nothing at all arrives for so many seconds (for "is not sent" facts)
  def silent?(seconds = 0.2)
    @buffer.empty? && !@io.wait_readable(seconds)
  end

  # Closes so that the peer sees a reset instead of an orderly end.
  def reset
    @io.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
    close
  end

  def close_write
    @io.close_write
  end

  def close
    @io.close unless @io.closed?
  end

  private

  def read_chunked(response)
    while (chunk = read_chunk)
      response.body << chunk
    end
  rescue Ended
    response.complete = false
  end

  def read_sized(response, length)
    response.body = read_exactly(length)
  rescue Ended
    response.body = @buffer.slice!(0, @buffer.bytesize)
    response.complete = false
  end

  # @return [Boolean] false at the end of the connection
  def fill(deadline)
    return false if @ended

    loop do
      case bytes = @io.read_nonblock(READ_BYTES, exception: false)
      when :wait_readable
        @io.wait_readable(deadline.left!) || deadline.miss!("so far #{@buffer.byteslice(0, 500).inspect}")
      when nil
        @ended = true
        return false
      else
        @buffer << bytes
        @received_bytes += bytes.bytesize
        return true
      end
    end
  rescue Errno::ECONNRESET, Errno::EPIPE
    @ended = true
    false
  end
end
