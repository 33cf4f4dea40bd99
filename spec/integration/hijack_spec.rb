# frozen_string_literal: true

require_relative "integration_helper"

# Rack's hijack: applications that speak with the client by themselves.
RSpec.describe "A connection that the application takes" do
  config = <<~'RUBY'
    require "digest/sha1"
    require "json"
    LATE = []

    # As the gems do that bring their own WebSockets: a handshake and frames by hand, from a thread of their own.
    def websocket(env)
      io = env["rack.hijack"].call
      key = Digest::SHA1.base64digest("#{env['HTTP_SEC_WEBSOCKET_KEY']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
      io.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: #{key}\r\n\r\n")
      Thread.new do
        io.write("\x81\x05hello".b)
        io.readpartial(100)
        io.write("\x81\x06thanks".b)
        io.close
      end
      [-1, {}, []]
    end

    echo = lambda do |io|
      while (line = io.gets)
        io.write("heard #{line}")
      end
      io.close
    end

    app = lambda do |env|
      case env["PATH_INFO"]
      when "/raw"
        env["rack.hijack"].call
        io = env["rack.hijack_io"]
        io.write("#{env['rack.input'].read}, and now raw\n")
        Thread.new { echo.call(io) }
        [200, {}, ["nobody reads this"]]
      when "/brief"
        env["rack.hijack"].call.tap { |io| io.write("brief") }.close
        [200, {}, []]
      when "/pid-then-echo"
        io = env["rack.hijack"].call
        io.puts(Process.pid)
        Thread.new { echo.call(io) }
      when "/stats" then [200, { "content-type" => "application/json" }, [JSON.generate(Volador.stats)]]
      when "/raise"
        env["rack.hijack"].call.tap { |io| io.write("before") }.close
        raise "oops"
      when "/ws" then websocket(env)
      when "/late"
        said = (LATE.shift["rack.hijack"].call rescue "#{$!.class}: #{$!.message}") unless LATE.empty?
        LATE << env
        [200, { "content-type" => "text/plain" }, [said.to_s]]
      when "/partial" then [101, { "upgrade" => "echo", "x" => "1", "rack.hijack" => echo }, []]
      when "/answer"
        headers = { "content-type" => "text/plain", "x" => "1" }
        headers["transfer-encoding"] = "chunked" if env["QUERY_STRING"] == "chunked"
        headers["content-length"] = "5" if env["QUERY_STRING"] == "sized"
        body = env["QUERY_STRING"] == "chunked" ? "5\r\nlater\r\n0\r\n\r\n" : "later"
        headers["rack.hijack"] = ->(io) { Thread.new { sleep 0.01; io.write(body); io.close } }
        [200, headers, []]
      when "/switch" then [200, { "rack.protocol" => env["rack.protocol"].last, "content-length" => "5" }, echo]
      when "/inject" then [101, { "upgrade" => "echo\r\nx: y" }, echo]
      when "/offered" then [200, { "content-type" => "text/plain" }, [env["rack.protocol"].inspect]]
      else [200, { "content-type" => "text/plain" }, [env["rack.hijack?"].inspect]]
      end
    end
    map("/lint") { use Rack::Lint; run app }
    map("/") { run app }
  RUBY

  # What there is now.
  def hijacked
    JSON.parse(server.get("/stats").body).fetch("hijacked_connections")
  end

  upgrade = { "Connection" => "Upgrade", "Upgrade" => "other/2, echo" }

  shared_examples "hijack" do
    it "gives it what is sent as it is, both ways, once its body is read" do
      server.connect do |socket|
        socket.send_request("POST", "/raw", {}, "a body")
        expect(socket.read_until("\n")).to eq("a body, and now raw\n")
        expect(socket.send_bytes("\x00\xff\n").read_until("\n")).to eq("heard \x00\xff\n".b)
        socket.close_write
        expect(socket).to be_ended
      end
      expect(server.output).not_to include("ERROR: POST /raw")
    end

    it "works below Rack::Lint" do
      server.connect do |socket|
        socket.send_request("GET", "/lint/brief")
        expect(socket.read_to_end).to eq("brief")
      end
    end

    it "gives it what came together with the request" do
      server.connect do |socket|
        socket.send_bytes("GET /raw HTTP/1.1\r\nHost: a\r\n\r\nearly\n")
        expect(socket.read_until("\n") + socket.read_until("\n")).to eq(", and now raw\nheard early\n")
      end
    end

    it "serves a WebSocket of a gem's own" do
      client = WebSocketClient.open(server.port, "/ws")
      expect(client.read_message).to eq("hello")
      expect(client.send_text("and you?").read_message).to eq("thanks")
      client.close_socket
    end

    it "logs what is raised after it, and sends nothing more" do
      server.connect do |socket|
        socket.send_request("GET", "/raise")
        expect(socket.read_to_end).to eq("before")
      end
      server.wait_for_output(/ERROR: GET \/raise: oops/)
    end

    it "raises when the request is over" do
      # One of two workers has had one before.
      said = Array.new(3) { server.get("/late").body }

      expect(said - [""]).to all(eq("Volador::Error: rack.hijack: the request is over"))
      expect(said.join).not_to be_empty
    end

    it "is counted while it lasts, and its thread serves on" do
      Deadline.until("the others are over") { hijacked.zero? }
      server.connect do |socket|
        socket.send_request("GET", "/raw")
        socket.read_until("\n")
        expect(hijacked).to eq(1)
      end
      Deadline.until("it is over") { hijacked.zero? }
    end

    it "is given by a 101 to its body, with the head sent before" do
      [["/partial", "echo"], ["/switch", "echo"]].each do |path, protocol|
        server.connect do |socket|
          socket.send_request("GET", path, upgrade)
          head = socket.read_head
          expect([head.status, head["upgrade"], head["connection"], head["content-length"]])
            .to eq([101, protocol, "upgrade", nil])
          expect(socket.send_bytes("hi\n").read_until("\n")).to eq("heard hi\n")
        end
      end
    end

    it "is given by an answer to its rack.hijack, behind the head, and lasts until that closes it" do
      ["/answer", "/answer?sized", "/answer?chunked", "/lint/answer"].each do |path|
        server.connect do |socket|
          answer = socket.request("GET", path)
          expect(answer).to have_attributes(status: 200, reason: "OK", body: "later", complete?: true)
          expect([answer["connection"], answer["x"], answer["date"]]).to match(["close", "1", /GMT/])
          expect(socket).to be_ended
        end
      end
    end

    it "may stay with its thread, which takes no other request meanwhile, and ends with the server" do
      server = start.call
      server.connect do |socket|
        socket.send_request("GET", "/switch", upgrade)
        socket.read_head
        # Of one or two threads at least one is busy.
        expect(Array.new(5) { server.get("/pid").status }.uniq).to eq([200]) if server.is_a?(ClusterServer)
        expect(socket.send_bytes("hi\n").read_until("\n")).to eq("heard hi\n")
        expect(server.stop.exitstatus).to eq(0)
        expect(server.output).not_to include("drain timeout")
      end
    end

    it "is not given when a header is not valid, and nothing of it is sent" do
      expect(server.get("/inject", upgrade)).to have_attributes(status: 500, body: "Internal Server Error")
    end

    it "says what the client would change to, as HTTP/1.1 has it" do
      offers = [upgrade, { "Upgrade" => "echo" }].map { |headers| server.get("/offered", headers).body }
      old = server.connect { |socket| socket.request("GET", "/offered", upgrade, version: "HTTP/1.0").body }
      expect(offers << old).to eq(['["other/2", "echo"]', "nil", "nil"])
    end
  end

  context "with the server in one process" do
    shared_server(config, "-t", "1")
    let(:start) { -> { start_volador(config, "-t", "1") } }

    include_examples "hijack"
  end

  context "with workers" do
    shared_cluster(config, "-t", "1")
    let(:start) { -> { start_cluster(config, "-t", "1") } }

    include_examples "hijack"

    it "ends with its worker, and not before" do
      server = start_cluster(config)
      server.connect do |socket|
        socket.send_request("GET", "/pid-then-echo")
        pid = socket.read_until("\n").to_i
        server.workers.reject { |worker| worker == pid }.each { |other| Process.kill(:KILL, other) }
        expect(socket.send_bytes("hi\n").read_until("\n")).to eq("heard hi\n")
        Process.kill(:KILL, pid)
        expect(socket).to be_ended
      end
    end
  end
end
