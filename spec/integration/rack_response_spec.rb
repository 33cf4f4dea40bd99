# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The app's answer" do
  include_context "with an app of many answers"

  describe "body by each" do
    it "is sent in order" do
      expect(server.get("/parts?each").body).to eq("onetwothree")
    end

    it "is chunked when it has no Content-Length" do
      response = server.connect { |socket| socket.request("GET", "/parts?chunked") }

      expect(response["transfer-encoding"] || response["content-length"]).to eq("chunked").or eq("11")
      expect(response).to have_attributes(body: "onetwothree", complete?: true)
    end

    it "keeps the app's Content-Length" do
      response = server.get("/sized?sized")

      expect(response.all("content-length")).to eq(["11"])
      expect(response["transfer-encoding"]).to be_nil
      expect(response.body).to eq("onetwothree")
    end

    it "may be empty, an Enumerator, frozen or binary" do
      expect(%w[/empty /enumerator /frozen /binary].map { |path| server.get(path).body })
        .to eq(["", "012", "hello", "\xFF\x00ä".b])
    end

    it "is flushed chunk by chunk" do
      server.connect do |socket|
        socket.send_request("GET", "/flush?flush")
        socket.read_head
        expect(socket.read_chunk).to eq("one")
        server.get("/gate?flush")
        expect(socket.read_chunk).to eq("two")
        server.get("/gate?flush")
        expect(socket.read_chunk).to be_nil
      end
    end

    it "goes to HTTP/1.0 with its end as the connection's, also when that was to be kept" do
      server.connect do |socket|
        answer = socket.request("GET", "/parts?x", { "Connection" => "keep-alive" }, version: "HTTP/1.0")

        expect(answer.body).to eq("onetwothree")
        expect(answer["connection"]).to be_nil
        expect(socket).to be_ended
      end
    end

    it "keeps a connection of HTTP/1.0 whose end it does not need" do
      server.connect do |socket|
        2.times do
          answer = socket.request("GET", "/full-status/304?x", { "Connection" => "keep-alive" }, version: "HTTP/1.0")
          expect([answer.status, answer["connection"]]).to eq([304, "keep-alive"])
        end
      end
    end

    it "that the app has framed by itself is framed anew" do
      expect(server.get("/framed")).to have_attributes(body: "hello", complete?: true)
    end

    it "goes to HTTP/1.0 unchunked, up to the end of the connection" do
      response = server.connect { |socket| socket.request("GET", "/parts?old", {}, version: "HTTP/1.0") }

      expect(response["transfer-encoding"]).to be_nil
      expect(response.body).to eq("onetwothree")
    end

    { "nil" => "nil", "an Enumerator" => "each" }.each do |what, path|
      it "whose to_ary answers #{what}, as that of Rails does, is sent in pieces" do
        answer = server.get("/to-ary-#{path}?#{path}-ary")

        expect([answer.body, answer["transfer-encoding"]]).to eq(["piece by piece", "chunked"])
        expect(closings("#{path}-ary")).to eq(1)
      end
    end

    it "that answers to to_ary is taken whole" do
      expect(server.get("/to-ary?ary").body).to eq("by to_ary").or eq("")
    end
  end

  describe "body by to_path" do
    it "is the file, without a call of each" do
      response = server.get("/file?file")

      expect(response.body).to eq("0123456789" * 50_000)
      expect(response).to be_complete
    end

    it "has the app's Content-Length or the file's" do
      expect(server.get("/file-sized?sized")["content-length"]).to eq("500000")
      expect(server.get("/file?own")["content-length"]).to eq("500000")
    end

    it "may be an empty file" do
      expect(server.get("/empty-file?none")).to have_attributes(status: 200, body: "", complete?: true)
    end

    it "that has grown since the app looked is sent as far as the app's Content-Length" do
      server.connect do |socket|
        expect(socket.request("GET", "/file-grown?grown")).to have_attributes(status: 200, body: "012345678901")
        expect(socket.request("HEAD", "/file-grown?head")["content-length"]).to eq("12")
        expect(socket.request("GET", "/plain").body).to eq("hello")
      end
    end

    it "that is shorter than the app's Content-Length is a 500" do
      expect(server.get("/file-short?short").status).to eq(500)
      server.wait_for_output(/Content-Length is 500001, but the file has 500000 bytes/)
    end

    it "that shrinks meanwhile is seen to be cut, and logged" do
      server.connect do |socket|
        socket.send_request("GET", "/shrinking-file?x")
        server.wait_for_output(/an answer is cut \d+ bytes before its end, as its file can't be read/)

        expect(socket.read_to_end.bytesize).to be < 20_000_000
      end
    end

    it "is not sent for HEAD" do
      server.connect do |socket|
        expect(socket.request("HEAD", "/file-sized?head")["content-length"]).to eq("500000")
        expect(socket.request("GET", "/plain").body).to eq("hello")
      end
    end

    it "serves Rack::Files, with ranges" do
      whole = server.get("/files/file.bin")
      part = server.get("/files/file.bin", "Range" => "bytes=5-14")

      expect(whole).to have_attributes(status: 200, body: "0123456789" * 50_000)
      expect(part).to have_attributes(status: 206, body: "5678901234")
      expect(part["content-range"]).to eq("bytes 5-14/500000")
    end

    it "is closed once" do
      server.get("/file?closing-file")

      expect(closings("closing-file")).to eq(1)
    end
  end

  describe "headers" do
    it "that are Arrays are sent one by one" do
      response = server.get("/array-headers")

      expect(response.all("set-cookie")).to eq(%w[a=1 b=2])
      expect(response.all("x-one")).to eq(["1"])
    end

    it "with newlines are sent one by one" do
      expect(server.get("/newline-headers").all("set-cookie")).to eq(%w[a=1 b=2])
    end

    it "with newlines at their end or in a row are sent without empty ones" do
      response = server.get("/newlines-in-headers")

      expect([response.all("set-cookie"), response.all("x-empty")]).to eq([%w[a=1 b=2], [""]])
    end

    it "for the server itself (rack.*) are not sent" do
      expect(server.get("/rack-key").headers.map(&:first).grep(/rack/i)).to be_empty
    end

    it "have a Date" do
      expect(server.get("/plain")["date"]).to match(/\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\z/)
    end
  end

  describe "status" do
    it "is sent" do
      expect([200, 201, 302, 404, 418, 500, 599].map { |status| server.get("/full-status/#{status}?s").status })
        .to eq([200, 201, 302, 404, 418, 500, 599])
    end

    it "may be a String of digits" do
      expect(server.get("/string-status").status).to eq(201)
    end

    [204, 304].each do |status|
      it "#{status} has no body, and the next answer is intact" do
        server.connect do |socket|
          response = socket.request("GET", "/full-status/#{status}?no-body-#{status}")

          expect(response.status).to eq(status)
          expect(response["transfer-encoding"]).to be_nil
          expect(socket.request("GET", "/plain").body).to eq("hello")
        end
        expect(closings("no-body-#{status}")).to eq(1)
      end
    end

    it "204 has no Content-Length, whatever the app says" do
      expect([server.get("/status/204?x"), server.get("/sized-204?x")].map { |answer| answer["content-length"] }).to all(be_nil)
      server.connect do |socket|
        expect(socket.request("HEAD", "/sized-204?x")["content-length"]).to be_nil
        expect(socket.request("GET", "/plain").body).to eq("hello")
      end
    end

    %w[/reset /reset-by-each].each do |path|
      it "205 has no content (#{path})" do
        server.connect do |socket|
          expect(socket.request("GET", "#{path}?x")).to have_attributes(status: 205, body: "", complete?: true)
          expect(socket.request("GET", "/plain").body).to eq("hello")
        end
      end
    end

    it "426 keeps the app's Upgrade" do
      expect(server.get("/upgrade-required"))
        .to have_attributes(status: 426, headers: include(%w[upgrade foo/2], ["connection", "Upgrade, close"]))
    end

    it "without a usual reason has an empty one" do
      expect(server.connect { |socket| socket.send_request("GET", "/status/299?x", { "Connection" => "close" }).read_to_end })
        .to start_with("HTTP/1.1 299 \r\n")
    end
  end

  describe "to HEAD" do
    it "has the head of GET and no body" do
      server.connect do |socket|
        expect(socket.request("HEAD", "/sized?head")["content-length"]).to eq("11")
        expect(socket.request("HEAD", "/parts?head").status).to eq(200)
        expect(socket.request("GET", "/plain").body).to eq("hello")
      end
    end

    it "closes the body once" do
      server.connect { |socket| socket.request("HEAD", "/parts?closing-head") }

      expect(closings("closing-head")).to eq(1)
    end
  end

  describe "close" do
    it "is called once after the body" do
      server.get("/parts?closing-parts")

      expect(closings("closing-parts")).to eq(1)
    end

    %w[endless trickle].each do |kind|
      it "is called once when the client leaves in the midst of a body (#{kind})" do
        server.connect do |socket|
          socket.send_request("GET", "/#{kind}?left-#{kind}")
          socket.read_head
          socket.read_chunk
        end

        expect(closings("left-#{kind}")).to eq(1)
      end

      it "is called once when the client resets in the midst of a body (#{kind})" do
        socket = server.connect
        socket.send_request("GET", "/#{kind}?reset-#{kind}")
        socket.read_head
        socket.reset

        expect(closings("reset-#{kind}")).to eq(1)
      end
    end

    it "is called once when each raises before its first chunk" do
      server.get("/each-raises-first?closing-first")

      expect(closings("closing-first")).to eq(1)
    end

    it "is called once when each raises later" do
      server.connect do |socket|
        socket.send_request("GET", "/each-raises-later?closing-later")
        socket.read_head
        server.get("/gate?closing-later")
        socket.read_to_end
      end

      expect(closings("closing-later")).to eq(1)
    end
  end

  describe "body of Rack 3 that is called with a stream" do
    it "sends what is written" do
      expect(server.get("/callable")).to have_attributes(body: "onetwothree", complete?: true)
    end

    it "is flushed write by write" do
      server.connect do |socket|
        socket.send_request("GET", "/callable-flush?callable")
        socket.read_head
        expect(socket.read_chunk).to eq("one")
        server.get("/gate?callable")
        expect(socket.read_chunk).to eq("two")
      end
    end

    it "that closes nothing is complete when it returns" do
      expect(server.get("/callable-unclosed")).to have_attributes(body: "one", complete?: true)
    end

    it "that raises cuts the answer visibly, and is logged" do
      response = answer_or_cut("/callable-raises")

      expect(response).to be_nil.or have_attributes(status: 500).or have_attributes(complete?: false)
      server.wait_for_output(/secret cause/)
    end

    it "learns that the client has left" do
      server.connect do |socket|
        socket.send_request("GET", "/callable-left?leaver")
        socket.read_head
        socket.read_chunk
      end

      server.wait_for_output(/^stream of leaver ended: /)
    end
  end

  if Rack.release < "3.1"
    it "may be chunked already by Rack::Chunked" do
      server = start_volador(<<~RUBY)
        require "rack"
        use Rack::Chunked
        run ->(_env) { [200, { "content-type" => "text/plain" }, Enumerator.new { |yielder| yielder << "one" << "two" }] }
      RUBY

      expect(server.connect { |socket| socket.request("GET", "/") }).to have_attributes(body: "onetwo", complete?: true)
    end
  end
end
