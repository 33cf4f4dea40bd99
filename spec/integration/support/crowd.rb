# frozen_string_literal: true

require "socket"
require_relative "../../support/deadline"

# Push clients that come and go at random, thousands of them at once: some leave in the midst of the handshake, some
# before its answer, the others by a close frame, without a word, in the midst of a frame or by a fault; each with a
# regular end of the connection or with a reset. They read nothing but the handshake's answer.
class Crowd
  WEB_SOCKET = "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
  EVENT_STREAM = "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
  # "hello" in a masked text frame.
  HELLO = [0x81, 0x85, 0, 0, 0, 0].pack("C*").concat("hello").freeze
  # The last bytes of a WebSocket: nothing, a part of a frame, an unmasked frame, a close frame.
  LAST_BYTES = ["", HELLO.byteslice(0, 7), [0x81, 0x05].pack("C*") << "plain", [0x88, 0x80, 0, 0, 0, 0].pack("C*")].freeze
  # Connections that are opened at a time.
  BATCH = 100

  #   socket TCPSocket;  request String;  stage :begun, :asked or :open
  Client = Struct.new(:socket, :request, :stage)
  private_constant :Client

  # @param alive [Integer] connections that are there at once, at most
  # @param targets [Array<String>] paths, one of which each client asks for
  # @param random [Random]
  def initialize(port, alive:, targets:, random:)
    @port = port
    @alive = alive
    @targets = targets
    @random = random
    @clients = []
  end

  # Has so many clients come. The last of them stay; see {#leave}.
  # @return [Integer] how many of them have been accepted for sure
  def come(count)
    (count / BATCH).times.sum do
      batch = Array.new(BATCH) { open }
      accepted = batch.count { |client| client.stage == :asked && @random.rand(3).positive? && accepted!(client) }
      @clients.concat(batch)
      vanish while @clients.size > @alive
      accepted
    end
  end

  # Has all of them leave.
  def leave
    vanish until @clients.empty?
  end

  private

  def open
    socket = TCPSocket.new("127.0.0.1", @port)
    request = @random.rand(3).zero? ? EVENT_STREAM : WEB_SOCKET
    bytes = format(request, @targets.sample(random: @random))
    whole = @random.rand(10).positive?
    socket.write(whole ? bytes : bytes.byteslice(0, @random.rand(bytes.bytesize)))
    Client.new(socket, request, whole ? :asked : :begun)
  end

  # Reads the handshake's answer, and sends a message now and then.
  def accepted!(client)
    client.socket.wait_readable(Deadline::DEFAULT_SECONDS) || raise(Deadline::Missed, "no answer to a handshake")
    answer = client.socket.readpartial(64)
    raise "the handshake was answered with #{answer}" unless answer.match?(%r{\AHTTP/1.1 (101|200) })

    client.socket.write(HELLO) if client.request == WEB_SOCKET && @random.rand(300).zero?
    client.stage = :open
  end

  def vanish
    at = @random.rand(@clients.size)
    @clients[at], @clients[-1] = @clients[-1], @clients[at]
    client = @clients.pop
    socket = client.socket
    # A reset; or a regular end, by which the port stays taken for a while.
    socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii")) if @random.rand(4).positive?
    socket.write_nonblock(LAST_BYTES.sample(random: @random), exception: false) if client.stage == :open
  rescue SystemCallError
    nil # The server was first.
  ensure
    socket.close
  end
end
