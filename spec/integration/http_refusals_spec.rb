# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "HTTP/1.1 that is refused" do
  include_context "with a server that tells what it sees"

  describe "bad syntax" do
    {
      "no version" => "GET /\r\n\r\n",
      "an unknown version" => "GET / HTTP/1.9x\r\nHost: x\r\n\r\n",
      "a version in lower case" => "GET / http/1.1\r\nHost: x\r\n\r\n",
      "no target" => "GET HTTP/1.1\r\nHost: x\r\n\r\n",
      "two spaces" => "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
      "a target with a space" => "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
      "a target that is no path" => "GET path HTTP/1.1\r\nHost: x\r\n\r\n",
      "a target that is a host and port" => "GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
      "the target * with another method than OPTIONS" => "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
      "a target with a NUL" => "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
      "a method that is no token" => "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
      "bytes of TLS" => "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03#{'x' * 50}\r\n\r\n",
      "no Host" => "GET / HTTP/1.1\r\n\r\n",
      "a second Host" => "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
      "a second Host that differs" => "GET / HTTP/1.1\r\nHost: x\r\nX-Y: 1\r\nhost: y\r\n\r\n",
      "a Host with a path" => "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
      "a Host with a space" => "GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
      "a Host with a user" => "GET / HTTP/1.1\r\nHost: a@x\r\n\r\n",
      "a target with a user" => "GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
      "a target with a port that is no number" => "GET http://x:8a/ HTTP/1.1\r\nHost: x\r\n\r\n",
      "a target with an empty host" => "GET http://:80/ HTTP/1.1\r\nHost: x\r\n\r\n",
      "a trailer section that ends with a bare LF" =>
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
      "a trailer that ends with a bare LF" =>
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Y: 1\n\r\n",
      "a Host with a port that is no number" => "GET / HTTP/1.1\r\nHost: x:8a\r\n\r\n",
      "a header without a colon" => "GET / HTTP/1.1\r\nHost: x\r\nNonsense\r\n\r\n",
      "a header without a name" => "GET / HTTP/1.1\r\nHost: x\r\n: value\r\n\r\n",
      "a space before the colon" => "GET / HTTP/1.1\r\nHost: x\r\nX-Y : 1\r\n\r\n",
      "a space in a name" => "GET / HTTP/1.1\r\nHost: x\r\nX Y: 1\r\n\r\n",
      "a line folded" => "GET / HTTP/1.1\r\nHost: x\r\nX-Y: 1\r\n  2\r\n\r\n",
      "a space before the first header" => "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
      "a NUL in a value" => "GET / HTTP/1.1\r\nHost: x\r\nX-Y: a\0b\r\n\r\n",
      "a bare CR in a value" => "GET / HTTP/1.1\r\nHost: x\r\nX-Y: a\rb\r\n\r\n",
      "Content-Length with Transfer-Encoding" =>
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding with Content-Length" =>
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      "two Content-Lengths" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "a list of Content-Lengths" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\nab",
      "a signed Content-Length" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
      "a negative Content-Length" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\na",
      "a hexadecimal Content-Length" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na",
      "an empty Content-Length" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\na",
      "a Content-Length beyond 64 bits" => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\na",
      "an unknown transfer coding" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
      "an unknown transfer coding before chunked" =>
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "chunked before another coding" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
      "chunked twice" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
      "chunked in two headers" =>
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "identity" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
      "something like chunked" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      "chunked with a vertical tab" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding in HTTP/1.0" => "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "an unlimited chunk size" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na",
      "a chunk size that is no number" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "a chunk size with 0x" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
      "a negative chunk size" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
      "a chunk without its line end" => "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"
    }.each do |what, bytes|
      it "is answered with 400 and the end of the connection: #{what}" do
        connected do |socket|
          response = socket.send_bytes(bytes).read_response

          expect(response.status).to eq(400)
          expect(socket).to be_ended
        end
      end
    end

    it "of a later request leaves the earlier answers intact" do
      connected do |socket|
        socket.send_bytes("GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\n\r\n")

        expect(socket.read_response.body).to eq("at /one")
        expect(socket.read_response.status).to eq(400)
      end
    end

    it "of a version that is not spoken is answered with 505 or 400" do
      expect(answer("GET / HTTP/2.0\r\nHost: x\r\n\r\n").status).to eq(505).or eq(400)
    end

    it "never is the empty line that some clients send before a request" do
      expect(answer("\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n").body).to eq("at /x")
    end
  end

  describe "smuggling" do
    {
      "behind Content-Length and Transfer-Encoding" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n#{inner}"
      },
      "behind a Content-Length of a list" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: 0, #{inner.bytesize}\r\n\r\n#{inner}"
      },
      "behind two Content-Lengths" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: #{inner.bytesize}\r\nContent-Length: 0\r\n\r\n#{inner}"
      },
      "behind Transfer-Encoding with a space before its colon" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n#{inner}"
      },
      "behind a folded Transfer-Encoding" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n#{inner}"
      },
      "behind Transfer-Encoding of HTTP/1.0" => lambda { |inner|
        "POST /outer HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n#{inner}"
      },
      "behind an unknown coding" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cow\r\nContent-Length: 0\r\n\r\n#{inner}"
      },
      "behind a bare LF in a chunk size" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n#{inner}"
      },
      "behind a chunk extension with a bare LF" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n#{inner}"
      },
      "behind a bare CR" => lambda { |inner|
        "GET /outer HTTP/1.1\r\nHost: x\r\nX-Y: 1\rTransfer-Encoding: chunked\r\n\r\n#{inner}"
      },
      "behind a body that is too large" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n#{inner}"
      },
      "behind an expectation that fails" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nExpect: cow\r\nContent-Length: #{inner.bytesize}\r\n\r\n#{inner}"
      },
      "inside of a body" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: #{inner.bytesize}\r\n\r\n#{inner}"
      },
      "behind a Connection: close" => lambda { |inner|
        "GET /outer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n#{inner}"
      },
      "behind a Content_Length" => lambda { |inner|
        "POST /outer HTTP/1.1\r\nHost: x\r\nContent_Length: 0\r\nContent-Length: #{inner.bytesize}\r\nConnection: close\r\n\r\n#{inner}"
      }
    }.each_with_index do |(what, bytes), index|
      it "of a request does not work #{what}" do
        path = "/smuggled-#{index}-"
        connected do |socket|
          socket.send_bytes(bytes.call("GET #{path} HTTP/1.1\r\nHost: x\r\n\r\n"))
          answers = socket.read_to_end

          expect(answers.scan("HTTP/1.1 ").size).to eq(1)
        end
        server.get("/barrier-#{index}")
        server.wait_for_output(%r{^seen /barrier-#{index}$})

        expect(server.output).not_to include(path)
      end
    end

    it "of a WebSocket's first bytes does not work when the upgrade is refused" do
      connected do |socket|
        socket.send_request("GET", "/refused", { "Connection" => "Upgrade", "Upgrade" => "websocket",
                                                 "Sec-WebSocket-Version" => "13",
                                                 "Sec-WebSocket-Key" => "dGhlIHNhbXBsZSBub25jZQ==" })
        socket.send_request("GET", "/next")

        expect(Array.new(2) { socket.read_response.body }).to eq(["at /refused", "at /next"])
      end
    end
  end

  describe "a limit" do
    it "of the body is 413" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Content-Length" => "1000001" })

        expect(socket.read_response.status).to eq(413)
      end
    end

    it "of a chunked body is 413" do
      connected do |socket|
        socket.send_request("POST", "/echo", { "Transfer-Encoding" => "chunked" })
        11.times { socket.send_bytes("186a0\r\n#{'x' * 100_000}\r\n") }

        expect(socket.read_response.status).to eq(413)
      end
    end

    it "of the body lets the longest body pass" do
      connected { |socket| expect(socket.request("POST", "/echo", {}, "x" * 1_000_000).body.bytesize).to eq(1_000_000) }
    end

    it "is answered so that a client can read it that sends all of its body first" do
      connected do |socket|
        begin
          socket.send_request("POST", "/echo", {}, "x" * 6_000_000)
        rescue Errno::EPIPE, Errno::ECONNRESET
          raise "the connection was reset while the client was sending"
        end

        expect(socket.read_response.status).to eq(413)
      end
    end

    it "of the target is 414" do
      expect(answer("GET /#{'x' * 8192} HTTP/1.1\r\nHost: x\r\n\r\n").status).to eq(414)
      expect(answer("GET /#{'x' * 30_000} HTTP/1.1\r\nHost: x\r\n\r\n").status).to eq(414)
      expect(answer("GET /?#{'x' * 8000} HTTP/1.1\r\nHost: x\r\n\r\n").status).to eq(200)
    end

    it "of the head's size is 431" do
      expect(answer("GET / HTTP/1.1\r\nHost: x\r\nX-Long: #{'x' * 40_000}\r\n\r\n").status).to eq(431)
      expect(answer("GET / HTTP/1.1\r\nHost: x\r\nX-Long: #{'x' * 30_000}\r\n\r\n").status).to eq(200)
    end

    it "of the head's size is 431 also for a head without an end" do
      expect(answer("GET / HTTP/1.1\r\nHost: x\r\nX-Long: #{'x' * 100_000}").status).to eq(431)
    end

    it "of the number of headers is 431" do
      fields = ->(count) { Array.new(count) { |index| "X-#{index}: 1\r\n" }.join }

      expect(answer("GET / HTTP/1.1\r\nHost: x\r\n#{fields.call(100)}\r\n").status).to eq(431)
      expect(answer("GET / HTTP/1.1\r\nHost: x\r\n#{fields.call(99)}\r\n").status).to eq(200)
    end
  end

  describe "a slow client" do
    it "whose head does not come is answered with 408" do
      server = start_configured(application, head_timeout: 1.5)
      server.connect do |socket|
        expect(socket.send_bytes("GET / HTTP/1.1\r\nHost:").read_response.status).to eq(408)
        expect(socket).to be_ended
      end
    end

    it "whose second head does not come is answered with 408" do
      server = start_configured(application, head_timeout: 1.5)
      server.connect do |socket|
        socket.request("GET", "/")

        expect(socket.send_bytes("GET / HTTP/1.1\r\nHo").read_response.status).to eq(408)
      end
    end

    it "whose body does not come is answered with 408" do
      server = start_configured(application, body_min_rate: 100_000, head_timeout: 1.5)
      server.connect do |socket|
        socket.send_request("POST", "/never", { "Content-Length" => "100000" })
        socket.send_bytes("x")

        expect(socket.read_response.status).to eq(408)
      end
      server.stop
      expect(server.output).not_to include("seen /never")
    end

    it "never holds a Ruby thread with its request" do
      server = start_configured(application, threads: 1)
      sockets = Array.new(5) do
        server.connect.send_request("POST", "/slow-upload", { "Content-Length" => "10" }).send_bytes("half ")
      end

      expect(server.get("/other").body).to eq("at /other")
      expect(server.output).not_to include("seen /slow-upload")
      sockets.each { |socket| socket.send_bytes("whole") }
      expect(sockets.map { |socket| socket.read_response.body }).to all(eq("at /slow-upload"))
      sockets.each(&:close)
    end

    it "never holds a Ruby thread with its answer" do
      server = start_configured(application, threads: 1)
      sockets = Array.new(3) { server.connect.send_request("GET", "/large") }
      sockets.each(&:read_head)

      expect(server.get("/other").body).to eq("at /other")
      expect(sockets.map { |socket| size = 0; (size += socket.read_chunk.bytesize) while size < 320 * 65_536; size })
        .to all(eq(320 * 65_536))
      sockets.each(&:close)
    end

    it "that takes nothing of its answer is disconnected after the write timeout" do
      server = start_configured(<<~RUBY, threads: 1, write_timeout: 0.3)
        Body = Struct.new(:size) do
          def each
            400.times { yield "x" * 100_000 }
          end

          def close
            warn "closed"
          end
        end
        ->(env) { [200, {}, env["PATH_INFO"] == "/large" ? Body.new : ["fine"]] }
      RUBY
      server.connect do |socket|
        socket.send_request("GET", "/large")
        server.wait_for_output(/^closed$/)
        expect(server.get("/").body).to eq("fine")
        Deadline.until("the end of the connection, seen by the server") do
          File.readlines("/proc/#{server.pid}/net/tcp").none? do |line|
            fields = line.split
            fields[3] == "01" && fields[1].end_with?(format(":%04X", server.port)) &&
              fields[2].end_with?(format(":%04X", socket.io.local_address.ip_port))
          end
        end
      end
    end
  end

  describe "the queue in front of the Ruby threads" do
    standing = QueueWatch::SOURCE + <<~RUBY
      lambda do |env|
        warn "seen \#{env['PATH_INFO']}"
        if env["PATH_INFO"] == "/first"
          WATCH_QUEUE.call
          File.read("gate")
        end
        [200, {}, [env["PATH_INFO"]]]
      end
    RUBY

    it "that is full is answered with 503 and Retry-After; what waits is answered later" do
      server = start_configured(standing, threads: 1, queue_max: 2)
      gate = Gate.new(server)
      first = server.connect.send_request("GET", "/first")
      server.wait_for_output(%r{^seen /first$})
      waiting = Array.new(2) { |index| server.connect.send_request("GET", "/#{index}") }
      QueueWatch.await(server, 2)
      refusals = Array.new(3) { server.get("/refused") }

      expect(refusals.map(&:status)).to all(eq(503))
      expect(refusals.map { |response| response["retry-after"] }).to all(match(/\A\d+\z/))
      gate.open
      expect([first, *waiting].map { |socket| socket.read_response.body }).to eq(%w[/first /0 /1])
    end

    it "lets those through who waited, in order" do
      server = start_configured(standing, threads: 1, queue_max: 10)
      gate = Gate.new(server)
      first = server.connect.send_request("GET", "/first")
      server.wait_for_output(%r{^seen /first$})
      waiting = Array.new(5) do |index|
        server.connect.send_request("GET", "/#{index}").tap { QueueWatch.await(server, index + 1) }
      end
      gate.open

      expect([first, *waiting].map { |socket| socket.read_response.body }).to eq(%w[/first /0 /1 /2 /3 /4])
      server.wait_for_output(%r{^seen /4$})
      expect(server.output.scan(%r{^seen (/\d)$}).flatten).to eq(%w[/0 /1 /2 /3 /4])
    end
  end
end
