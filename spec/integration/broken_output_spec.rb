# frozen_string_literal: true

require_relative "integration_helper"

# What an application puts in the place of a stream may have faults of its own.
RSpec.describe "A server whose application has replaced" do
  %w[$stderr $stdout].each do |stream|
    {
      "raises" => 'raise "no log"',
      "raises an Exception of its own" => 'raise Exception, "no log"',
      "calls itself" => "write",
      "ends the program" => "exit(3) unless Thread.current == Thread.main",
      "ends its thread" => "Thread.exit unless Thread.current == Thread.main",
      "never returns" => "sleep"
    }.each do |what, code|
      context "#{stream} by what #{what} when it is written to" do
        app = <<~RUBY
          broken = Object.new
          def broken.write(*)
            #{code}
          end
          run(lambda do |env|
            case env["PATH_INFO"]
            when "/break" then #{stream} = broken
            when "/raise" then raise "boom"
            when "/sleep"
              File.write("begun", "")
              sleep
            end
            [200, {}, ["fine"]]
          end)
        RUBY

        # Servers with one thread: whoever takes the next request is seen.
        def start(app, *args)
          server = keep(ServerProcess.volador(app, "-t", "1", *args)).wait_until_listening
          expect(server.get("/break").status).to eq(200)
          server
        end

        it "stops by TERM" do
          expect(start(app).stop.exitstatus).to eq(0)
        end

        it "stops by TERM after a USR1 that has no effect" do
          server = start(app)
          server.signal(:USR1)
          expect(server.stop.exitstatus).to eq(0)
        end

        it "stops at once by a second signal" do
          server = start(app)
          RawSocket.open(port: server.port) do |socket|
            socket.send_request("GET", "/sleep")
            Deadline.until("the request's beginning") { File.exist?(File.join(server.directory, "begun")) }
            server.signal(:TERM)
            # While it drains it takes no new clients. (Of two signals that come together only one is seen.)
            Deadline.until("the drain") { refused?(server.port) }
            expect(server.stop.exitstatus).to eq(0)
          end
        end

        # Whoever has an entry waits for the application's own object.
        it "answers on" do
          server = start(app)
          2.times do
            expect(server.get("/raise").status).to eq(500)
            expect(server.get("/").body).to eq("fine")
          end
        end unless what == "never returns"

        it "stops when the drain timeout is over" do
          server = start(app, "-C", config("drain_timeout 1"))
          RawSocket.open(port: server.port) do |socket|
            socket.send_request("GET", "/sleep")
            Deadline.until("the request's beginning") { File.exist?(File.join(server.directory, "begun")) }
            expect(server.stop.exitstatus).to eq(0)
          end
        end
      end
    end
  end

  context "$stderr by what takes for ever" do
    it "answers what has raised, and closes what its callback has raised for, before it is written to" do
      server = start_volador(<<~'RUBY', "-t", "3")
        broken = Object.new
        def broken.write(*) = sleep
        handler = Object.new
        def handler.on_open(client) = client.write("open")
        def handler.on_message(*) = raise("boom")
        each = Object.new
        def each.each = (yield "a"; raise "boom")
        run(lambda do |env|
          case env["PATH_INFO"]
          when "/push" then env["rack.upgrade"] = handler
          when "/break" then $stderr = broken
          when "/raise" then raise "boom"
          when "/each" then next [200, {}, each]
          end
          [200, {}, ["fine"]]
        end)
      RUBY
      WebSocketClient.open(server.port, "/push") do |client|
        expect(client.read_message).to eq("open")
        expect(server.get("/break").status).to eq(200)
        expect(server.get("/raise").status).to eq(500)
        expect(server.get("/each")).to have_attributes(body: "a", complete: false)
        client.send_text("hello")
        expect(client.read_close).to eq(1011)
      end
    end
  end

  def refused?(port)
    TCPSocket.new("127.0.0.1", port).close
    false
  rescue Errno::ECONNREFUSED
    true
  end

  def config(text)
    @directory = Dir.mktmpdir
    File.join(@directory, "volador.rb").tap { |path| File.write(path, text) }
  end

  after { FileUtils.remove_entry(@directory) if @directory }
end
