# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The log of the gateway" do
  app = 'run ->(_env) { [200, {}, ["fine"]] }'

  def refuse(port, origin = "http://elsewhere.example")
    expect(WebSocketClient.refusal(port, "/", headers: { "Origin" => origin }).status).to eq(403)
  end

  # Both ends of a pipe that takes nothing more.
  def full_pipe
    IO.pipe.tap { |_, writer| nil until writer.write_nonblock("x" * 4096, exception: false) == :wait_writable }
  end

  # The first line that comes out of a full pipe.
  def first_line(reader)
    text = +""
    Deadline.until("a line of the log") do
      bytes = reader.read_nonblock(65_536, exception: false)
      text << bytes if bytes.is_a?(String)
      text.end_with?("\n")
    end
    text.sub(/\Ax*/, "")
  end

  it "holds up neither requests nor the end when nobody reads it" do
    reader, writer = full_pipe
    server = start_volador(app, descriptors: { err: writer })
    refuse(server.port)
    expect(server.get("/").body).to eq("fine")
    expect(server.stop.exitstatus).to eq(0)
  ensure
    [reader, writer].each(&:close)
  end

  it "is written when it is read again" do
    reader, writer = full_pipe
    server = start_volador(app, descriptors: { err: writer })
    refuse(server.port)
    expect(server.get("/").body).to eq("fine")
    expect(first_line(reader)).to match(/\Avolador WARN: refused a WebSocket from .*elsewhere/)
  ensure
    [reader, writer].each(&:close)
  end

  it "has few lines of what clients do, and shows the beginning of what they send" do
    server = start_volador(app)
    20.times { |n| refuse(server.port, "http://#{n}.example/#{"\xff".b * 10_000}") }
    expect(server.stop.exitstatus).to eq(0)
    lines = server.output.lines.grep(/WARN/)
    expect(lines.map { |line| line[/refused a WebSocket from origin "http:..(\d+)\.example/, 1] }).to eq(%w[0 1 2 3 4])
    expect(lines.map(&:bytesize)).to all(be < 350)
    expect(lines.last).to match(/add the origin to allowed_origins if its pages may connect. More like this are counted for a minute$/)
  end

  # What comes out of a full pipe that is read only as the program ends. Nil when it was read too late: at its end the
  # program waits for a second, and on a busy machine that may be over.
  def last_line
    reader, writer = full_pipe
    server = start_ruby(<<~RUBY, descriptors: { err: writer })
      require "volador"
      ended = Queue.new
      app = ->(env) { ended << true if env["PATH_INFO"] == "/end"; [200, {}, []] }
      server = Volador::Server.new(app, Volador::Configuration.new(port: 0)).start
      $stdout.write("listening on \#{server.url}\\n")
      $stdout.flush
      ended.pop
      server.stop
      $stdout.write("it ends at \#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}\\n")
      $stdout.flush
    RUBY
    refuse(server.port)
    server.get("/end")
    ended = server.wait_for_output(/^it ends at (.+)$/)[1].to_f
    sleep 0.3 # The reader is slow.
    reader.readpartial(65_536)
    first_line(reader) if Process.clock_gettime(Process::CLOCK_MONOTONIC) - ended < 0.8
  ensure
    [reader, writer].each(&:close)
  end

  it "has its last line when the process ends, also if that is read slowly" do
    line = Deadline.until("the pipe to be read in time") { last_line }
    expect(line).to match(/\Avolador WARN: refused a WebSocket from .*elsewhere/)
  end

  it "is written in a process that was forked from one that has written" do
    server = start_ruby(<<~RUBY)
      require "volador"
      def serve(name)
        ended = Queue.new
        app = ->(env) { ended << true if env["PATH_INFO"] == "/end"; [200, {}, []] }
        server = Volador::Server.new(app, Volador::Configuration.new(port: 0)).start
        $stdout.write("\#{name} listens: \#{server.url[/\\d+\\z/]}\\n")
        $stdout.flush
        ended.pop
        server.stop
      end
      serve("parent")
      Process.wait(fork { serve("child") })
    RUBY
    %w[parent child].each do |name|
      port = server.wait_for_output(/^#{name} listens: (\d+)$/)[1]
      refuse(port, "http://#{name}.example")
      server.wait_for_output(/WARN: .*#{name}\.example/)
      RawSocket.open(port: port) { |socket| socket.request("GET", "/end", { "Connection" => "close" }) }
    end
    expect(server.wait.exitstatus).to eq(0)
  end
end
