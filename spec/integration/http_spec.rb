# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "HTTP/1.1" do
  include_context "with a server that tells what it sees"

  describe "a connection" do
    it "is kept alive" do
      connected do |socket|
        expect(Array.new(5) { |index| socket.request("GET", "/#{index}").body }).to eq(Array.new(5) { |index| "at /#{index}" })
      end
    end

    it "is kept alive after an answer that was streamed" do
      connected { |socket| expect(Array.new(3) { socket.request("GET", "/stream").body }).to all(eq("onetwo")) }
    end

    it "ends after Connection: close of the client" do
      connected do |socket|
        response = socket.request("GET", "/", { "Connection" => "close" })

        expect(response["connection"]).to match(/close/i)
        expect(socket).to be_ended
      end
    end

    it "ends after connection: close of the app" do
      connected do |socket|
        expect(socket.request("GET", "/close").body).to eq("bye")
        expect(socket).to be_ended
      end
    end

    it "of HTTP/1.0 ends after the answer" do
      connected do |socket|
        expect(socket.request("GET", "/x", {}, version: "HTTP/1.0").body).to eq("at /x")
        expect(socket).to be_ended
      end
    end

    it "of HTTP/1.0 is kept alive when the client asks for it" do
      connected do |socket|
        response = socket.request("GET", "/x", { "Connection" => "keep-alive" }, version: "HTTP/1.0")

        expect(response["connection"]).to match(/keep-alive/i)
        expect(socket.request("GET", "/y", {}, version: "HTTP/1.0").body).to eq("at /y")
      end
    end

    it "may be half closed by the client after its request" do
      connected do |socket|
        socket.send_request("GET", "/half")
        socket.close_write

        expect(socket.read_response.body).to eq("at /half")
      end
    end

    it "that is idle is closed after the keep-alive timeout" do
      server = start_configured(application, keep_alive_timeout: 0.2)
      server.connect do |socket|
        socket.request("GET", "/")

        expect(socket).to be_ended
      end
    end

    it "that never says anything is closed" do
      server = start_configured(application, head_timeout: 0.2)
      server.connect { |socket| expect(socket.read_to_end).to eq("").or start_with("HTTP/1.1 408 ") }
    end
  end

  describe "pipelining" do
    it "is answered in order" do
      connected do |socket|
        50.times { |index| socket.send_request("GET", "/#{index}") }

        expect(Array.new(50) { socket.read_response.body }).to eq(Array.new(50) { |index| "at /#{index}" })
      end
    end

    it "is answered in order when the first takes longest" do
      connected do |socket|
        socket.send_request("GET", "/wait")
        socket.send_request("GET", "/second")
        connected { |other| other.request("GET", "/go") }

        expect([socket.read_response.body, socket.read_response.body]).to eq(["waited", "at /second"])
      end
    end

    it "works with bodies, chunked ones as well, in one piece or byte by byte" do
      request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst" \
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n" \
                "GET /third HTTP/1.1\r\nHost: x\r\n\r\n"
      [[request], request.chars].each do |pieces|
        connected do |socket|
          socket.io.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
          pieces.each { |piece| socket.send_bytes(piece) }

          expect(Array.new(3) { socket.read_response.body }).to eq(["first", "second", "at /third"])
        end
      end
    end

    it "works for HEAD, whose answers have no body" do
      connected do |socket|
        socket.send_request("HEAD", "/one")
        socket.send_request("GET", "/two")

        expect(socket.read_response(head_only: true)["content-length"]).to eq("7")
        expect(socket.read_response.body).to eq("at /two")
      end
    end
  end

  describe "Expect: 100-continue" do
    it "is answered with 100 before the body is sent" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Expect" => "100-continue", "Content-Length" => "5" })
        expect(socket.read_response.status).to eq(100)
        socket.send_bytes("hello")

        expect(socket.read_response.body).to eq("hello")
      end
    end

    it "is answered with the final status alone when the body is there already, or with 100 first" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Expect" => "100-continue" }, "hello")
        first = socket.read_response
        first = socket.read_response if first.status == 100

        expect(first).to have_attributes(status: 200, body: "hello")
      end
    end

    it "is answered with 413 when the body will not be taken" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Expect" => "100-continue", "Content-Length" => "1000001" })

        expect(socket.read_response.status).to eq(413)
      end
    end

    it "of anything else is answered with 417" do
      expect(answer("POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nContent-Length: 1\r\n\r\nx").status).to eq(417)
    end

    it "is not answered with 100 when the client speaks HTTP/1.0" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Expect" => "100-continue" }, "hello", version: "HTTP/1.0")

        expect(socket.read_response).to have_attributes(status: 200, body: "hello")
      end
    end
  end

  describe "a chunked upload" do
    {
      "plain" => "5\r\nhello\r\n0\r\n\r\n", "in pieces" => "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
      "with chunk extensions" => "5;name=value\r\nhello\r\n0;last\r\n\r\n", "with trailers" => "5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n",
      "with leading zeros" => "0005\r\nhello\r\n000\r\n\r\n"
    }.each do |what, body|
      it "is taken apart: #{what}" do
        connected do |socket|
          socket.send_request("POST", "/echo", { "Transfer-Encoding" => "chunked" })
          socket.send_bytes(body)
          expect(socket.read_response.body).to eq("hello")
          expect(socket.request("GET", "/after").body).to eq("at /after")
        end
      end
    end

    it "takes sizes in upper and lower case" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Transfer-Encoding" => "CHUNKED" })
        socket.send_bytes("A\r\n0123456789\r\nb\r\n0123456789x\r\n0\r\n\r\n")

        expect(socket.read_response.body).to eq("01234567890123456789x")
      end
    end

    it "that ends in its midst never reaches the app" do
      connected do |socket|
        socket.send_request("POST", "/half-upload", { "Transfer-Encoding" => "chunked" })
        socket.send_bytes("5\r\nhel")
        socket.close_write
        socket.read_to_end
      end
      server.get("/barrier-half-upload")

      expect(server.output).not_to include("seen /half-upload")
    end
  end

  it "is spoken over IPv6 and over a Unix socket as well" do
    Dir.mktmpdir do |directory|
      path = File.join(directory, "app.sock")
      config = "run ->(env) { [200, {}, [env['PATH_INFO']]] }"
      server = start_volador(config, "-b", "unix://#{path}", "-b", "tcp://[::1]:0")
      server.wait_for_output(/unix:/)
      port = server.wait_for_output(/http:\/\/\[::1\]:(\d+)/)[1].to_i

      RawSocket.open(path: path) { |socket| expect(socket.request("GET", "/unix").body).to eq("/unix") }
      RawSocket.open(host: "::1", port: port) { |socket| expect(socket.request("GET", "/six").body).to eq("/six") }
      expect(server.get("/four").body).to eq("/four")
    end
  end
end
