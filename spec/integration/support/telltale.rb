# frozen_string_literal: true

# A server for requests that are written byte by byte.
RSpec.shared_context "with a server that tells what it sees" do
  # Prints every path that reaches it, so that what must not reach it can be shown.
  source = <<~RUBY
    GATE = Thread::Queue.new
    lambda do |env|
      warn "seen \#{env['PATH_INFO']}"
      case env["PATH_INFO"]
      when "/echo" then [200, {}, [env["rack.input"].read]]
      when "/wait" then GATE.pop && [200, {}, ["waited"]]
      when "/go" then GATE.push(true) && [200, {}, ["gone"]]
      when "/large" then [200, {}, Enumerator.new { |yielder| 320.times { yielder << "x" * 65_536 } }]
      when "/stream" then [200, {}, Enumerator.new { |yielder| yielder << "one" << "two" }]
      when "/close" then [200, { "connection" => "close" }, ["bye"]]
      else [200, {}, ["at \#{env['PATH_INFO']}"]]
      end
    end
  RUBY
  shared_configured_server(source, threads: 2, body_max_bytes: 1_000_000)

  # For servers of their own.
  let(:application) { source }

  def connected(&block)
    server.connect(&block)
  end

  # @return [RawSocket::Response] the answer to exactly these bytes
  def answer(bytes)
    connected { |socket| socket.send_bytes(bytes).read_response }
  end
end
