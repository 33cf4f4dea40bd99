# frozen_string_literal: true

require_relative "../../support/event_stream_client"
require_relative "../../support/web_socket_client"

# What a WebSocket and an EventSource have in common, for facts that hold for both: messages come in, and it ends.
class PushClient
  TRANSPORTS = %i[websocket sse].freeze

  # Raised when the server answered with anything but an open push connection.
  class Refused < StandardError
    attr_reader :response

    def initialize(response)
      @response = response
      super("refused with #{response.status}: #{response.body}")
    end
  end

  # @param transport [Symbol] one of TRANSPORTS
  # @raise [Refused]
  def self.open(transport, port, target = "/", headers: {})
    client = new(transport, port, target, headers)
    return client unless block_given?

    begin
      yield client
    ensure
      client.leave
    end
  end

  # @return [RawSocket::Response] the answer to a request that is expected to be refused
  def self.refusal(transport, port, target = "/", headers: {})
    open(transport, port, target, headers: headers).leave
    raise "a push connection was opened"
  rescue Refused => e
    e.response
  end

  # @return [WebSocketClient, EventStreamClient]
  attr_reader :client

  def initialize(transport, port, target, headers)
    @client = (transport == :websocket ? WebSocketClient : EventStreamClient).open(port, target, headers: headers)
    return if transport == :websocket || @client.stream?

    refusal = @client.response
    read_chunks(refusal.body) if refusal["transfer-encoding"]
    @client.close
    raise Refused, refusal
  rescue WebSocketClient::Refused => e
    raise Refused, e.response
  end

  # @return [RawSocket::Response] the 101, or the head of the stream
  def response
    @client.response
  end

  # @return [String] the next message
  def read
    web_socket? ? @client.read_message : @client.read_data
  end

  # @return [Boolean] true once the server has ended the connection, whatever it sent before that
  def ended?
    return @client.ended? unless web_socket?

    begin
      code = @client.read_close
      @client.send_frame(:close, [code || 1000].pack("n")) # the server waits a while for it
    rescue RawSocket::Ended, Errno::EPIPE, Errno::ECONNRESET
      return true # without a close frame
    end
    @client.socket.read_to_end
    true
  end

  # Leaves with an orderly end of the TCP connection, without any word.
  def leave
    @client.socket.close
  end

  # Leaves with a TCP reset.
  def reset
    @client.socket.reset
  end

  private

  def read_chunks(body)
    while (chunk = @client.socket.read_chunk)
      body << chunk
    end
  end

  def web_socket?
    @client.is_a?(WebSocketClient)
  end
end
