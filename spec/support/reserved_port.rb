# frozen_string_literal: true

require "socket"
require_relative "deadline"
require_relative "raw_socket"

# A TCP port on 127.0.0.1 for a server that has to be told one. It is bound, yet not listened on, while the block runs:
# the system gives it to no other socket, neither to listen on nor to connect from, and a server may still listen on it,
# since both sides set SO_REUSEADDR (socket(7)). A port that was merely seen to be free may be taken a moment later.
module ReservedPort
  # @yieldparam port [Integer]
  # @return [Object] what the block returns
  def self.open
    Socket.open(:INET, :STREAM) do |socket|
      socket.setsockopt(:SOCKET, :REUSEADDR, true)
      socket.bind(Addrinfo.tcp("127.0.0.1", 0))
      yield socket.local_address.ip_port
    end
  end

  # @return [RawSocket::Response] to GET /, as soon as a server listens on the port
  def self.answer(port)
    Deadline.until("an answer from port #{port}") do
      RawSocket.open(port: port) { |socket| socket.request("GET", "/") }
    rescue Errno::ECONNREFUSED
      nil
    end
  end
end
