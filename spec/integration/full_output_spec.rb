# frozen_string_literal: true

require_relative "integration_helper"

# Pipes that take nothing more, from the start on: nobody reads them.
RSpec.describe "A server whose output nobody reads" do
  app = <<~RUBY
    run(lambda do |env|
      raise "boom" if env["PATH_INFO"] == "/raise"

      if env["PATH_INFO"] == "/sleep"
        File.write("begun", "")
        sleep
      end
      [200, {}, [Process.pid.to_s]]
    end)
  RUBY

  around do |example|
    reader, writer = IO.pipe
    nil until writer.write_nonblock("." * 4096, exception: false) == :wait_writable
    @full = writer
    ReservedPort.open do |port|
      @port = port
      example.run
    end
  ensure
    [reader, writer].each(&:close)
  end

  def get(path)
    RawSocket.open(port: @port) { |socket| socket.request("GET", path, { "Connection" => "close" }) }
  end

  # @param streams [Array<Symbol>] :out, :err
  # @param seconds [Integer] the drain timeout
  def start(app, workers, streams, seconds)
    descriptors = streams.to_h { |name| [name, @full] }
    server = keep(ClusterServer.cluster(app, "-t", "2", workers: workers, bind: "tcp://127.0.0.1:#{@port}",
                                                        configuration: "drain_timeout #{seconds}\n",
                                                        descriptors: descriptors))
    expect(ReservedPort.answer(@port).status).to eq(200)
    server
  end

  # With a request that has begun and does not end.
  def occupy(server)
    RawSocket.open(port: @port) do |socket|
      socket.send_request("GET", "/sleep")
      Deadline.until("the request's beginning") { File.exist?(File.join(server.directory, "begun")) }
      yield
    end
  end

  # It listens no more.
  def wait_for_drain
    Deadline.until("the end of listening") do
      Socket.tcp("127.0.0.1", @port).close
    rescue Errno::ECONNREFUSED
      true
    end
  end

  def ended_after(server)
    begun = Volador::Clock.now
    server.wait
    Volador::Clock.now - begun
  end

  { "no workers" => 0, "workers" => 2 }.each do |name, workers|
    %i[out err].each do |stream|
      context "with #{name} and a full std#{stream}" do
        it "stops by TERM" do
          server = start(app, workers, [stream], 60)
          expect(get("/raise").status).to eq(500)
          expect(server.stop.exitstatus).to eq(0)
        end

        it "cuts off what runs when the drain timeout is over" do
          server = start(app, workers, [stream], 1)
          occupy(server) do
            server.signal(:TERM)
            expect(ended_after(server)).to be < 8
          end
        end

        it "stops at once by a second signal" do
          server = start(app, workers, [stream], 60)
          occupy(server) do
            server.signal(:TERM)
            wait_for_drain
            server.signal(:TERM)
            expect(ended_after(server)).to be < 8
          end
        end
      end
    end
  end

  it "has its workers replaced" do
    server = start(app, 2, %i[out err], 60)
    2.times do
      before = server.wait_for_workers(2)
      Process.kill(:KILL, before.first)
      server.wait_for_workers(2, without: before.first(1))
    end
    expect(server.command("restart").last).to eq(0)
    expect(server.stop.exitstatus).to eq(0)
  end
end
