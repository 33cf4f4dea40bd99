# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A faulty answer of the app" do
  include_context "with an app of many answers"

  describe "that ends in an exception" do
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

  describe "whose Content-Length differs from the body" do
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
      class Text < String
        def initialize(text = "", &block)
          super(text)
          @block = block
        end

        def inspect = @block.call
      end
      class Other
        def initialize(&block) = @block = block
        def inspect = @block.call
      end
      INSPECTS = {
        "raises" => -> { raise IOError, "from inspect" }, "ends-its-thread" => -> { Thread.current.kill }
      }.freeze
      ODDS = {
        "name" => ->(other, _) { { other => "1" } }, "value" => ->(other, _) { { "x-a" => other } },
        "values" => ->(other, _) { { "x-a" => ["1", other] } },
        "text-name" => ->(_, text) { { text => "1" } }, "text-value" => ->(_, text) { { "x-a" => text } }
      }.freeze
      HEADERS = {
        "cr" => { "x-a" => "one\\rEvil: 1" }, "crlf" => { "x-a" => "one\\r\\nEvil: 1" }, "nul" => { "x-a" => "one\\0Evil" },
        "array-crlf" => { "x-a" => ["fine", "one\\r\\nEvil: 1"] }, "array-lf" => { "x-a" => ["one\\r\\n\\r\\nEvil"] },
        "name-crlf" => { "x-a\\r\\nEvil" => "1" }, "name-lf" => { "x-a\\nEvil" => "1" }, "name-space" => { "x Evil" => "1" },
        "name-colon" => { "x:Evil" => "1" }, "name-empty" => { "" => "Evil" }, "name-nul" => { "Evil\\0" => "1" },
        "cookie" => { "set-cookie" => "a=1\\r\\nEvil: 1\\nb=2" }, "location" => { "location" => "/\\r\\n\\r\\nEvil" },
        "length" => { "content-length" => "5\\r\\nEvil: 1" }, "many" => { "x-a" => (["evil"] * 10_001).join("\\n") }, "length-text" => { "content-length" => "Evil" }
      }.freeze
      run(lambda do |env|
        name = env["QUERY_STRING"]
        case env["PATH_INFO"]
        when "/answer" then ANSWERS.fetch(name)
        when "/header" then [200, HEADERS.fetch(name), ["hello"]]
        when "/streamed" then [200, HEADERS.fetch(name), Enumerator.new { |yielder| yielder << "hello" }]
        when %r{\\A/odd/(.*)}
          block = INSPECTS.fetch(name)
          other = Other.new(&block)
          next [200, {}, [other]] if $1 == "part"

          [200, ODDS.fetch($1).call(other, Text.new("a\\r\u00e4", &block)), []]
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

    {
      "name" => "the name of a header must be a String, got Other",
      "value" => "header \"x-a\" must be a String or an Array of Strings, got Other",
      "values" => "header \"x-a\" must have Strings in its Array, got Other",
      "text-name" => "header name \"a\\r\u00e4\" is not a valid one",
      "text-value" => "header \"x-a\" has a control character in its value: \"a\\r\u00e4\"",
      "part" => "the body must give Strings, got Other"
    }.each do |where, message|
      %w[raises ends-its-thread].each do |how|
        it "is named in the log without its inspect, which #{how} (#{where})" do
          expect(server.get("/odd/#{where}?#{how}").status).to eq(500)
          server.wait_for_output(/^volador ERROR: GET .odd.#{where}: #{Regexp.escape(message)} \(Volador::ResponseError\)$/)
        end
      end
    end

    %w[cr crlf nul array-crlf array-lf name-crlf name-lf name-space name-colon name-empty name-nul cookie location length
       length-text many].each do |name|
      %w[header streamed].each do |kind|
        it "by a header that is not valid is a 500, with nothing of it on the wire (#{name}, #{kind})" do
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

  it "is none, and logs nothing, when the client leaves in the midst of a large one" do
    large = start_volador("run ->(_env) { [200, {}, ['z' * 3_000_000]] }")
    100.times do
      large.connect do |socket|
        socket.send_request("GET", "/")
        socket.reset
      end
    end
    large.stop

    expect(large.output).not_to include("ERROR")
  end
end
