# frozen_string_literal: true

require "digest"
require "securerandom"
require_relative "raw_socket"

# A WebSocket client (RFC 6455) on a raw socket that hides nothing: frames go out as they are told to and come in one
# by one. Pings are answered when `read_message` meets them.
class WebSocketClient
  #   fin Boolean;  opcode Symbol (see OPCODES);  payload String (UTF-8 for text, else BINARY)
  Frame = Struct.new(:fin, :opcode, :payload, keyword_init: true) do
    # @return [Integer, nil] the close code of a close frame; nil when it has none
    def code
      payload.unpack1("n") if opcode == :close && payload.bytesize >= 2
    end
  end

  # Raised when the server answered the handshake with anything but 101.
  class Refused < StandardError
    attr_reader :response

    def initialize(response)
      @response = response
      super("the handshake was answered with #{response.status}: #{response.body}")
    end
  end

  OPCODES = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xA }.freeze
  MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  # Connects and performs the handshake.
  # @param headers [Hash] further request headers
  def self.open(port, target = "/", headers: {}, **options)
    socket = RawSocket.open(port: port, **options)
    client = new(socket)
    client.handshake(target, headers)
    return client unless block_given?

    begin
      yield client
    ensure
      client.close_socket
    end
  rescue Refused
    socket.close
    raise
  end

  # @return [RawSocket::Response] the answer to a handshake that is expected to be refused
  def self.refusal(port, target = "/", headers: {}, **options)
    open(port, target, headers: headers, **options)
    raise "the handshake was accepted"
  rescue Refused => e
    e.response
  end

  # @return [RawSocket::Response] the 101
  attr_reader :response, :socket

  def initialize(socket)
    @socket = socket
  end

  def handshake(target, headers)
    key = SecureRandom.base64(16)
    @socket.send_request("GET", target, { "Connection" => "Upgrade", "Upgrade" => "websocket",
                                          "Sec-WebSocket-Version" => "13", "Sec-WebSocket-Key" => key }.merge(headers))
    @response = @socket.read_response
    raise Refused, @response unless @response.status == 101

    accept = [Digest::SHA1.digest(key + MAGIC)].pack("m0")
    raise "wrong Sec-WebSocket-Accept" unless @response["sec-websocket-accept"] == accept
  end

  def send_text(string)
    send_frame(:text, string)
  end

  def send_binary(string)
    send_frame(:binary, string)
  end

  # @param opcode [Symbol, Integer] see OPCODES, or the bare number
  # @param mask [Boolean] a client that does not mask breaks the protocol
  def send_frame(opcode, payload = "", fin: true, mask: true, rsv: 0)
    payload = payload.b
    first = (fin ? 0x80 : 0) | (rsv << 4) | (OPCODES[opcode] || opcode)
    bit = mask ? 0x80 : 0
    head = case payload.bytesize
           when 0..125 then [first, bit | payload.bytesize].pack("CC")
           when 126..0xFFFF then [first, bit | 126, payload.bytesize].pack("CCn")
           else [first, bit | 127, payload.bytesize].pack("CCQ>")
           end
    @socket.send_bytes(mask ? head << masked(payload) : head << payload)
    self
  end

  # @return [Frame]
  def read_frame
    first, second = @socket.read_exactly(2).unpack("CC")
    raise "the server masked a frame" if second & 0x80 != 0

    size = second & 0x7F
    size = @socket.read_exactly(2).unpack1("n") if size == 126
    size = @socket.read_exactly(8).unpack1("Q>") if size == 127
    opcode = OPCODES.key(first & 0x0F) || (first & 0x0F)
    payload = @socket.read_exactly(size)
    payload.force_encoding(Encoding::UTF_8) if opcode == :text
    Frame.new(fin: first & 0x80 != 0, opcode: opcode, payload: payload)
  end

  # @return [String] the next message (UTF-8 for text, BINARY for binary); pings are answered on the way
  # @raise [RuntimeError] when the server closes instead
  def read_message
    message = nil
    loop do
      frame = read_frame
      case frame.opcode
      when :ping then send_frame(:pong, frame.payload)
      when :pong then next
      when :close then raise "the server closed with #{frame.code.inspect}"
      else
        message = message ? message << frame.payload.b.force_encoding(message.encoding) : frame.payload
        return message if frame.fin
      end
    end
  end

  # @return [Integer, nil] the code of the server's close frame; messages before it are dropped
  def read_close
    loop do
      frame = read_frame
      return frame.code if frame.opcode == :close
    end
  end

  # Closes as the protocol wants it: close frame, the server's close frame, the end of the connection.
  # @return [Integer, nil] the server's code
  def close(code = 1000, reason = "")
    send_frame(:close, [code].pack("n") + reason.b)
    read_close.tap { close_socket }
  end

  def close_socket
    @socket.close
  end

  private

  def masked(payload)
    key = SecureRandom.bytes(4).b
    mask = (key * (payload.bytesize / 4 + 1)).bytes
    key + payload.bytes.each_with_index.map { |byte, index| byte ^ mask[index] }.pack("C*")
  end
end
