# frozen_string_literal: true

require "timeout"
require_relative "integration_helper"

# 1 GiB each way, with one Ruby thread: the memory stays bounded, and the thread is free while the client is slow.
RSpec.describe "A body of 1 GiB", :slow do
  mib = 1024 * 1024
  count = 1024
  # What the server may take on top of what it took before.
  bound_kib = 64 * 1024

  application = <<~RUBY
    MIB = #{mib}
    COUNT = #{count}
    File.open("big.bin", "wb") { |file| file.truncate(COUNT * MIB) }

    # One String for all blocks, so that the app's own garbage does not hide what the server takes.
    REST = ("x" * (MIB - 8)).freeze

    class Blocks
      def each
        COUNT.times do |index|
          yield [index].pack("Q>")
          yield REST
        end
        warn "each has ended"
      end

      def close
        warn "closed"
      end
    end

    class BigFile < Blocks
      def to_path
        File.expand_path("big.bin")
      end

      def each
        raise "each must not be called"
      end
    end

    lambda do |env|
      sized = { "content-length" => (COUNT * MIB).to_s }
      case env["PATH_INFO"]
      when "/each" then [200, sized, Blocks.new]
      when "/chunked" then [200, {}, Blocks.new]
      when "/to_path" then [200, sized, BigFile.new]
      when "/upload"
        input = env["rack.input"]
        right = 0
        buffer = +""
        right += 1 while input.read(MIB, buffer) && buffer.bytesize == MIB && buffer.unpack1("Q>") == right
        [200, {}, ["\#{right} blocks, \#{input.read.to_s.bytesize} bytes more"]]
      else [200, {}, ["fine"]]
      end
    end
  RUBY

  # @return [Integer] KiB: the peak of resident memory since the process began
  def peak_kib(server)
    File.read("/proc/#{server.pid}/status")[/VmHWM:\s+(\d+) kB/, 1].to_i
  end

  def start(application)
    start_configured(application, threads: 1, body_max_bytes: 2 * 1024**3, write_timeout: 120.0)
  end

  # A server that has answered once, so that what every server takes is counted as taken before.
  def warm(application)
    start(application).tap { |server| 5.times { server.get("/") } }
  end

  # Reads it to its end and checks each block's number, without keeping more than one.
  def right_blocks(io, mib, count, numbered:)
    buffer = String.new(capacity: mib)
    Timeout.timeout(90) do
      (0...count).count { |index| io.read(mib, buffer) && buffer.bytesize == mib && (!numbered || buffer.unpack1("Q>") == index) }
    end
  end

  { "/each" => true, "/to_path" => false }.each do |path, numbered|
    it "goes to a slow reader in bounded memory, and the Ruby thread is free meanwhile (#{path})" do
      server = warm(application)
      before = peak_kib(server)
      server.connect(deadline: 60) do |socket|
        socket.io.setsockopt(Socket::SOL_SOCKET, Socket::SO_RCVBUF, 65_536)
        socket.send_request("GET", path, { "Connection" => "close" })
        head = +""
        head << socket.io.readpartial(1) until head.end_with?("\r\n\r\n")
        # The reader pauses; what it has not taken must not keep the only thread from others.
        server.wait_for_output(/^closed$/, seconds: 60)

        expect(head).to start_with("HTTP/1.1 200 ")
        expect(server.get("/other").body).to eq("fine")
        expect(right_blocks(socket.io, mib, count, numbered: numbered)).to eq(count)
        expect(socket.io.read(1)).to be_nil
      end
      expect(peak_kib(server) - before).to be < bound_kib
    end
  end

  it "leaves no file behind when the reader leaves in its midst" do
    server = warm(application)
    server.connect do |socket|
      socket.send_request("GET", "/each")
      socket.read_head
      server.wait_for_output(/^closed$/, seconds: 60)
    end

    Deadline.until("the spool to be gone") do
      Dir.glob("/proc/#{server.pid}/fd/*").none? do |path|
        File.size(path) >= mib
      rescue SystemCallError
        false
      end
    end
  end

  it "comes from a slow sender in bounded memory, and the Ruby thread is free meanwhile" do
    server = warm(application)
    before = peak_kib(server)
    server.connect(deadline: 60) do |socket|
      socket.send_request("POST", "/upload", { "Content-Length" => (count * mib).to_s })
      block = "x".b * (mib - 8)
      send_block = ->(index) { socket.io.write([index].pack("Q>"), block) }
      Timeout.timeout(90) do
        (0...count / 2).each(&send_block)
        expect(server.get("/other").body).to eq("fine")
        (count / 2...count).each(&send_block)
      end

      expect(socket.read_response.body).to eq("#{count} blocks, 0 bytes more")
    end
    expect(peak_kib(server) - before).to be < bound_kib
  end
end
