# frozen_string_literal: true

require_relative "raw_socket"

# An EventSource (WHATWG HTML, section 9.2) on a raw socket: opens the stream and reads it event by event.
class EventStreamClient
  #   event String ("message" by default);  data String;  id String or nil;  retry String or nil
  Event = Struct.new(:event, :data, :id, :retry, keyword_init: true)

  # Connects and asks for the stream.
  # @return [EventStreamClient] look at #response: it may be a refusal, whose body has been read
  def self.open(port, target = "/", headers: {}, **options)
    client = new(RawSocket.open(port: port, **options), target, headers)
    return client unless block_given?

    begin
      yield client
    ensure
      client.close
    end
  end

  # @return [RawSocket::Response] the head of the stream, or the whole refusal
  attr_reader :response, :socket

  def initialize(socket, target, headers)
    @socket = socket
    @lines = String.new(encoding: Encoding::UTF_8)
    socket.send_request("GET", target, { "Accept" => "text/event-stream" }.merge(headers))
    @response = socket.read_head
    @chunked = @response["transfer-encoding"].to_s.downcase.include?("chunked")
    @sized = @response["content-length"]
    @response.body = socket.read_exactly(Integer(@sized)) if @sized
  end

  def stream?
    @response.status == 200 && @response["content-type"].to_s.start_with?("text/event-stream") && !@sized
  end

  # @return [Event] the next event; comments (heartbeats) and blocks without data are passed over
  # @raise [RawSocket::Ended] when the stream ends instead
  def read_event
    loop do
      fields = read_block.filter_map { |line| line.split(/: ?/, 2) unless line.start_with?(":") }
      data = fields.select { |name, _| name == "data" }
      next if data.empty?

      fields = fields.to_h
      return Event.new(event: fields["event"] || "message", data: data.map { |_, text| text.to_s }.join("\n"),
                       id: fields["id"], retry: fields["retry"])
    end
  end

  # @return [String] the data of the next event
  def read_data
    read_event.data
  end

  # @return [Boolean] true once the server has ended the stream; what was before the end is dropped
  def ended?
    loop { read_line }
  rescue RawSocket::Ended
    true
  end

  def close
    @socket.close
  end

  private

  def read_block
    block = []
    loop do
      line = read_line
      return block if line.empty? && !block.empty?

      block << line unless line.empty?
    end
  end

  def read_line
    return @socket.read_until("\n").force_encoding(Encoding::UTF_8).chomp unless @chunked

    until @lines.include?("\n")
      @lines << (@socket.read_chunk || raise(RawSocket::Ended, "the stream ended")).force_encoding(Encoding::UTF_8)
    end
    @lines.slice!(0, @lines.index("\n") + 1).chomp
  end
end
