# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The app's answer" do
  shared_server(<<~RUBY)
    require "rack"
    File.binwrite("file.bin", "0123456789" * 50_000)
    File.write("empty.txt", "")

    # Prints each of its closings, so that they can be counted.
    class Body
      def initialize(name, *parts, &each)
        @name = name
        @parts = parts
        @each = each
      end

      def each(&block)
        return instance_exec(block, &@each) if @each

        @parts.each(&block)
      end

      def close
        warn "closed \#{@name}"
      end
    end

    class FileBody < Body
      def initialize(name, path)
        super(name)
        @path = path
      end

      def to_path
        @path
      end

      def each
        raise "each must not be called"
      end
    end

    # The queue of that name. Two threads may ask for it at once, and must get the same.
    GATES = {}
    LOCK = Mutex.new
    GATE = ->(name) { LOCK.synchronize { GATES[name] ||= Thread::Queue.new } }
    text = { "content-type" => "text/plain" }.freeze
    files = Rack::Files.new(Dir.pwd)

    APP = lambda do |env|
      name = env["QUERY_STRING"]
      case env["PATH_INFO"]
      when "/plain" then [200, text, ["hello"]]
      when "/parts" then [200, text, Body.new(name, "one", "", "two", "three")]
      when "/sized" then [200, text.merge("content-length" => "11"), Body.new(name, "one", "two", "three")]
      when "/empty" then [200, text, []]
      when "/enumerator" then [200, text, Enumerator.new { |yielder| 3.times { |index| yielder << index.to_s } }]
      when "/binary" then [200, text, ["\\xFF\\x00".b, "ä"]]
      when "/frozen" then [200, text, ["hello".freeze].freeze].freeze
      when "/file" then [200, text, FileBody.new(name, File.expand_path("file.bin"))]
      when "/file-sized" then [200, text.merge("content-length" => "500000"), FileBody.new(name, File.expand_path("file.bin"))]
      when "/empty-file" then [200, text, FileBody.new(name, File.expand_path("empty.txt"))]
      when "/array-headers" then [200, text.merge("set-cookie" => %w[a=1 b=2], "x-one" => ["1"]), ["x"]]
      when "/newline-headers" then [200, text.merge("set-cookie" => "a=1\\nb=2"), ["x"]]
      when "/integer-header" then [200, text.merge("x-count" => 5.to_s), ["x"]]
      when "/rack-key" then [200, text.merge("rack.internal" => "secret"), ["x"]]
      when %r{\\A/status/(\\d+)} then [Regexp.last_match(1).to_i, {}, Body.new(name)]
      when %r{\\A/full-status/(\\d+)} then [Regexp.last_match(1).to_i, { "content-type" => "text/plain" }, Body.new(name, "must not be sent")]
      when "/string-status" then ["201", text, ["made"]]
      when "/gate" then GATE.call(name).push(true) && [200, text, ["opened"]]
      when "/flush"
        [200, text, Body.new(name) { |block| block.call("one"); GATE.call(name).pop; block.call("two"); GATE.call(name).pop }]
      when "/endless"
        [200, text, Body.new(name) { |block| loop { block.call("x" * 65_536) } }]
      when "/trickle"
        [200, text, Body.new(name) { |block| loop { block.call("x"); sleep 0.01 } }]
      when "/raises" then raise ArgumentError, "secret cause"
      when "/raises-script-error" then raise NotImplementedError, "secret cause"
      when "/raises-exception" then raise Exception, "secret cause"
      when "/raises-after" then raise "after \#{name}"
      when "/overflows" then (deep = ->(n) { deep.call(n + 1) + 1 }).call(0)
      when "/throws" then throw :nowhere
      when "/each-raises-first" then [200, text, Body.new(name) { |_| raise "secret cause" }]
      when "/each-raises-later" then [200, text, Body.new(name) { |block| block.call("one"); GATE.call(name).pop; raise "secret cause" }]
      when "/each-raises-sized"
        [200, text.merge("content-length" => "10"), Body.new(name) { |block| block.call("one"); raise "secret cause" }]
      when "/too-short" then [200, text.merge("content-length" => "100"), Body.new(name, "short")]
      when "/too-long" then [200, text.merge("content-length" => "3"), Body.new(name, "longer than that")]
      when "/callable"
        [200, text, lambda do |stream|
          stream.write("one")
          stream.write("t", "wo")
          stream << "three"
          stream.flush
          stream.close
        end]
      when "/callable-flush"
        [200, text, ->(stream) { stream.write("one"); GATE.call(name).pop; stream.write("two"); stream.close }]
      when "/callable-unclosed" then [200, text, ->(stream) { stream.write("one") }]
      when "/callable-raises" then [200, text, ->(stream) { stream.write("one"); raise "secret cause" }]
      when "/callable-left"
        [200, text, lambda do |stream|
          loop { stream.write("x"); sleep 0.01 }
        rescue IOError, SystemCallError => e
          warn "stream of \#{name} ended: \#{e.class}"
        end]
      when "/to-ary" then [200, text, Class.new(Body) { def to_ary; ["by", " to_ary"]; end }.new(name)]
      when %r{\\A/files(/.*)} then files.call(env.merge("PATH_INFO" => Regexp.last_match(1)))
      else [404, text, ["nothing"]]
      end
    end
    run APP
  RUBY

  # How often the server has printed that a body was closed, once it has printed it at all and a later one as well.
  def closings(name)
    server.wait_for_output(/^closed #{name}$/)
    barrier = "barrier-#{name}"
    server.get("/parts?#{barrier}")
    server.wait_for_output(/^closed #{barrier}$/)
    server.output.lines.count { |line| line.chomp == "closed #{name}" }
  end

  # @return [RawSocket::Response, nil] nil when the connection was cut before the head
  def answer_or_cut(target)
    server.get(target)
  rescue RawSocket::Ended
    nil
  end

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

    it "goes to HTTP/1.0 unchunked, up to the end of the connection" do
      response = server.connect { |socket| socket.request("GET", "/parts?old", {}, version: "HTTP/1.0") }

      expect(response["transfer-encoding"]).to be_nil
      expect(response.body).to eq("onetwothree")
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

    it "204 has no Content-Length" do
      expect(server.get("/status/204?x")["content-length"]).to be_nil
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

  describe "when the app raises" do
    {
      "/raises" => /secret cause.*ArgumentError/, "/raises-script-error" => /secret cause.*NotImplementedError/,
      "/raises-exception" => /secret cause \(Exception/, "/overflows" => /stack level too deep/, "/throws" => /uncaught throw/
    }.each do |path, logged|
      it "is a 500 that tells the client nothing, and is logged with its backtrace (#{path})" do
        response = server.get(path)

        expect(response.status).to eq(500)
        expect(response.body).not_to match(/secret|config\.ru/)
        server.wait_for_output(/GET #{path}: .*#{logged}.*\n.*config\.ru/)
        # A backtrace may be longer than a pipe takes at once: what other examples print must not come into its midst.
        server.get("/raises-after?#{path}")
        server.wait_for_output(%r{^volador ERROR: GET /raises-after: after #{path} })
      end
    end

    it "keeps the connection or closes it, but the next request is answered" do
      10.times { server.get("/raises") }

      expect(server.get("/plain").body).to eq("hello")
    end

    it "in each before the first chunk, nothing of the answer is on the wire" do
      response = server.get("/each-raises-first?x")

      expect(response.status).to eq(500)
      expect(response.body).not_to include("secret")
    end

    it "in each after the first chunk, the client sees that the answer is cut" do
      server.connect do |socket|
        socket.send_request("GET", "/each-raises-later?cut")
        socket.read_head
        expect(socket.read_chunk).to eq("one")
        server.get("/gate?cut")
        expect { socket.read_chunk }.to raise_error(RawSocket::Ended)
      end
      server.wait_for_output(/secret cause/)
    end

    it "in each of an answer with a Content-Length, the client sees that it is cut, or a 500" do
      response = answer_or_cut("/each-raises-sized?sized-cut")

      expect(response).to be_nil.or have_attributes(status: 500).or have_attributes(complete?: false)
    end
  end

  describe "a Content-Length that differs from the body" do
    it "is never seen as a complete answer when the body is shorter" do
      response = answer_or_cut("/too-short?short")

      expect(response).to be_nil.or have_attributes(status: 500).or have_attributes(complete?: false)
    end

    it "is a 500 when the first chunk is longer already" do
      expect(server.get("/too-long?first")).to have_attributes(status: 500)
    end

    it "never lets the rest of a longer body be taken for an answer" do
      server.connect do |socket|
        socket.send_request("GET", "/too-long?long")
        socket.send_request("GET", "/plain", { "Connection" => "close" })
        answers = socket.read_to_end

        expect(answers.scan("HTTP/1.1 200").size).to be <= 2
        expect(answers).not_to include("longer", "than that")
      end
    end
  end

  describe "that is nonsense" do
    shared_server(<<~RUBY)
      ANSWERS = {
        "nil" => nil, "integer" => 42, "string" => "hello", "short" => [200], "no-body" => [200, {}],
        "status-text" => ["abc", {}, []], "status-nil" => [nil, {}, []], "status-42" => [42, {}, []],
        "status-1000" => [1000, {}, []], "status-negative" => [-1, {}, []], "headers-nil" => [200, nil, []],
        "headers-array" => [200, [1], []], "body-nil" => [200, {}, nil], "body-integer" => [200, {}, 42],
        "body-string" => [200, {}, "hello"], "part-integer" => [200, {}, [42]], "part-nil" => [200, {}, [nil]],
        "value-object" => [200, { "x" => Object.new }, []]
      }.freeze
      HEADERS = {
        "cr" => { "x-a" => "one\\rEvil: 1" }, "crlf" => { "x-a" => "one\\r\\nEvil: 1" }, "nul" => { "x-a" => "one\\0Evil" },
        "array-crlf" => { "x-a" => ["fine", "one\\r\\nEvil: 1"] }, "array-lf" => { "x-a" => ["one\\r\\n\\r\\nEvil"] },
        "name-crlf" => { "x-a\\r\\nEvil" => "1" }, "name-lf" => { "x-a\\nEvil" => "1" }, "name-space" => { "x Evil" => "1" },
        "name-colon" => { "x:Evil" => "1" }, "name-empty" => { "" => "Evil" }, "name-nul" => { "Evil\\0" => "1" },
        "cookie" => { "set-cookie" => "a=1\\r\\nEvil: 1\\nb=2" }, "location" => { "location" => "/\\r\\n\\r\\nEvil" },
        "length" => { "content-length" => "5\\r\\nEvil: 1" }, "length-text" => { "content-length" => "Evil" }
      }.freeze
      run(lambda do |env|
        name = env["QUERY_STRING"]
        case env["PATH_INFO"]
        when "/answer" then ANSWERS.fetch(name)
        when "/header" then [200, HEADERS.fetch(name), ["hello"]]
        when "/streamed" then [200, HEADERS.fetch(name), Enumerator.new { |yielder| yielder << "hello" }]
        else [200, {}, ["fine"]]
        end
      end)
    RUBY

    %w[nil integer string short no-body status-text status-nil status-42 status-1000 status-negative headers-nil
       headers-array body-nil body-integer body-string part-integer part-nil].each do |name|
      it "is answered with 500, and logged (#{name})" do
        expect(server.get("/answer?#{name}").status).to eq(500)
        server.wait_for_output(%r{^volador ERROR: GET /answer})
        expect(server.get("/").body).to eq("fine")
      end
    end

    %w[cr crlf nul array-crlf array-lf name-crlf name-lf name-space name-colon name-empty name-nul cookie location length
       length-text].each do |name|
      %w[header streamed].each do |kind|
        it "by a forbidden byte in a header is a 500, with nothing of it on the wire (#{name}, #{kind})" do
          bytes = server.connect do |socket|
            socket.send_request("GET", "/#{kind}?#{name}", { "Connection" => "close" })
            socket.read_to_end
          end

          expect(bytes).to start_with("HTTP/1.1 500 ")
          expect(bytes).not_to match(/evil|hello|x-a/i)
          server.wait_for_output(%r{^volador ERROR: GET /#{kind}})
        end
      end
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
