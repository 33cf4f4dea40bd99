# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "env" do
  shared_server(<<~RUBY)
    require "json"
    require "rack"

    PICTURE = lambda do |env|
      body = env["rack.input"]&.read
      strings = env.select { |_, value| value.is_a?(String) || value == true || value == false }
      # JSON takes no binary ones from its version 3 on.
      strings = strings.transform_values { |value| value.is_a?(String) ? value.dup.force_encoding("UTF-8") : value }
      JSON.generate(strings.merge("body.bytes" => body.to_s.bytesize, "body.encoding" => body&.encoding.to_s,
                                  "body.sum" => body.to_s.sum(32)))
    end

    linted = Rack::Lint.new(->(env) { [200, { "content-type" => "application/json" }, [PICTURE.call(env)]] })

    # What a parser of forms does: reads, rewinds, reads in pieces.
    reading = lambda do |env|
      input = env["rack.input"]
      first = input.read
      input.rewind
      again = +""
      buffer = +""
      again << buffer while input.read(1000, buffer)
      at_end = [input.read, input.read(1), input.gets]
      input.rewind
      line = input.gets
      input.rewind
      lines = input.each.to_a rescue (all = []; input.rewind; input.each { |one| all << one }; all)
      nothing = input.read(0)
      [200, {}, [JSON.generate("same" => first.b == again.b, "bytes" => first.bytesize, "at_end" => at_end, "line" => line,
                               "lines" => lines.join.b == first.b, "nothing" => nothing,
                               "encoding" => first.encoding.to_s)]]
    end

    run(lambda do |env|
      case env["PATH_INFO"]
      when "/reading" then reading.call(env)
      when "/form" then [200, {}, [JSON.generate(Rack::Request.new(env).params.transform_values do |value|
        value.is_a?(Hash) ? value[:tempfile].read.bytesize : value
      end)]]
      when "/ignoring" then [200, {}, ["ignored"]]
      when "/finished"
        callables = env["rack.response_finished"]
        found = [callables.class, callables&.size].to_s
        callables&.push(->(_env, status, *) { warn "finished with \#{status}" })
        [200, {}, [found]]
      when "/keeps" then env["PATH_INFO"] << "changed"; env["SERVER_NAME"].dup << "x"; [200, {}, [env["PATH_INFO"]]]
      when "/request"
        request = Rack::Request.new(env)
        [200, {}, [JSON.generate("url" => request.url, "host" => request.host, "port" => request.port, "ip" => request.ip)]]
      else linted.call(env)
      end
    end)
  RUBY

  def env(target = "/", method: "GET", body: nil, version: "HTTP/1.1", **headers)
    server.connect { |socket| picture(socket.request(method, target, headers, body, version: version)) }
  end

  # For bytes that RawSocket#send_request would not write.
  def env_of(bytes)
    server.connect { |socket| picture(socket.send_bytes(bytes).read_response) }
  end

  def picture(response)
    expect(response.status).to eq(200), -> { "#{response.status}: #{response.body}\n#{server.output}" }
    JSON.parse(response.body)
  end

  it "satisfies Rack::Lint for every method" do
    %w[GET POST PUT PATCH DELETE OPTIONS TRACE PROPFIND].each do |method|
      expect(env(method: method)).to include("REQUEST_METHOD" => method)
    end
  end

  it "has the parts of the request target" do
    expect(env("/a/b?x=1&y=2?z")).to include("SCRIPT_NAME" => "", "PATH_INFO" => "/a/b", "QUERY_STRING" => "x=1&y=2?z")
  end

  it "has an empty QUERY_STRING when there is no query" do
    expect(env("/a")).to include("QUERY_STRING" => "")
    expect(env("/a?")).to include("QUERY_STRING" => "", "PATH_INFO" => "/a")
  end

  it "keeps the path percent-encoded, as Ruby's servers do" do
    expect(env("/a%20b%2Fc%3F%C3%A4?q=%26")).to include("PATH_INFO" => "/a%20b%2Fc%3F%C3%A4", "QUERY_STRING" => "q=%26")
  end

  it "keeps doubled slashes and dots of the path" do
    expect(env("//a//./../b")).to include("PATH_INFO" => "//a//./../b")
  end

  it "has the protocol's version" do
    expect(env("/", version: "HTTP/1.1")).to include("SERVER_PROTOCOL" => "HTTP/1.1")
    expect(env("/", version: "HTTP/1.0")).to include("SERVER_PROTOCOL" => "HTTP/1.0")
  end

  it "has the scheme http and the client's address" do
    expect(env).to include("rack.url_scheme" => "http", "REMOTE_ADDR" => "127.0.0.1")
  end

  it "says that several threads run the app, in one process" do
    expect(env).to include("rack.multithread" => true, "rack.multiprocess" => false, "rack.run_once" => false)
  end

  it "says that one thread runs the app when there is one" do
    server = start_volador("run ->(env) { [200, {}, [env['rack.multithread'].inspect]] }", "-t", "1")

    expect(server.get("/").body).to eq("false")
  end

  it "has SERVER_NAME and SERVER_PORT of the Host" do
    expect(env("/", "Host" => "fish.example:8080")).to include("SERVER_NAME" => "fish.example", "SERVER_PORT" => "8080",
                                                               "HTTP_HOST" => "fish.example:8080")
  end

  it "has SERVER_NAME and SERVER_PORT of each request's own Host, however they change" do
    hosts = %w[fish.example:8080 fish.example sea.example:8080] * 8
    server.connect do |socket|
      found = hosts.map { |host| picture(socket.request("GET", "/", { "Host" => host })) }
      expect(found.map { |one| [one["SERVER_NAME"], one["SERVER_PORT"]] })
        .to eq(hosts.map { |host| host.split(":").then { |name, port| [name, port || "80"] } })
    end
  end

  it "has SERVER_NAME and SERVER_PORT of a Host with an IPv6 address" do
    expect(env("/", "Host" => "[::1]:8080")).to include("SERVER_NAME" => "[::1]", "SERVER_PORT" => "8080")
    expect(env("/", "Host" => "[2001:db8::1]")).to include("SERVER_NAME" => "[2001:db8::1]")
  end

  it "has a numeric SERVER_PORT when the Host has none" do
    expect(env("/", "Host" => "fish.example")["SERVER_PORT"]).to match(/\A\d+\z/)
  end

  it "has the address that it listens on when HTTP/1.0 gives no Host" do
    found = env_of("GET /old HTTP/1.0\r\n\r\n")

    expect(found).to include("SERVER_NAME" => "127.0.0.1", "SERVER_PORT" => server.port.to_s, "PATH_INFO" => "/old")
    expect(found).not_to include("HTTP_HOST")
  end

  it "has an address when the Host of HTTP/1.1 is empty" do
    expect(env("/", "Host" => "")["SERVER_NAME"]).not_to be_empty
  end

  it "takes path and host of a target in absolute form, whose host wins over Host" do
    found = env("http://fish.example:81/deep/x?q=1", "Host" => "other.example")

    expect(found).to include("PATH_INFO" => "/deep/x", "QUERY_STRING" => "q=1", "SERVER_NAME" => "fish.example",
                             "SERVER_PORT" => "81")
    expect(found["HTTP_HOST"]).to eq("fish.example:81")
  end

  it "takes a target in absolute form without a path as the root" do
    expect(env("http://fish.example")).to include("PATH_INFO" => "/")
    expect(env("http://fish.example?q")).to include("PATH_INFO" => "/", "QUERY_STRING" => "q")
  end

  it "satisfies Rack::Lint for OPTIONS *" do
    path_info = Gem::Version.new(Rack.release) < Gem::Version.new("3.1") ? "" : "*"

    expect(env("*", method: "OPTIONS")).to include("PATH_INFO" => path_info, "REQUEST_PATH" => "*", "SCRIPT_NAME" => "")
    expect(env("/", method: "OPTIONS")).to include("PATH_INFO" => "/")
  end

  it "lets Rack::Request build the URL" do
    response = server.get("/request?a=b", "Host" => "fish.example:99")

    expect(JSON.parse(response.body)).to eq("url" => "http://fish.example:99/request?a=b", "host" => "fish.example",
                                            "port" => 99, "ip" => "127.0.0.1")
  end

  it "belongs to the app, which may change its Strings" do
    expect(Array.new(2) { server.get("/keeps").body }).to eq(%w[/keepschanged /keepschanged])
  end

  it "has an Array of its own for what is called at the end of a request, with Rack 3 and later" do
    is_there = Gem::Version.new(Rack.release) >= Gem::Version.new("3")

    expect(Array.new(2) { server.get("/finished").body }).to eq([is_there ? "[Array, 0]" : "[NilClass, nil]"] * 2)
    server.wait_for_output(/(?:finished with 200.*){2}/m) if is_there
  end

  it "has nothing of the request before, whichever that was" do
    requests = [
      "GET /a?q=1 HTTP/1.1\r\nHost: a:1\r\nAccept: x\r\n\r\n", "GET /b HTTP/1.1\r\nHost: b\r\n\r\n",
      "POST /c HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\nbody", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: c\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    ]
    server = start_volador(<<~'RUBY', "-t", "1")
      require "json"
      run ->(env) { [200, {}, [JSON.generate(env.merge("rack.input" => env["rack.input"].read, "rack.hijack" => "")) << "\n"]] }
    RUBY
    server.connect do |socket|
      env = ->(request) { JSON.parse(socket.send_bytes(request).read_response.body) }
      requests.each do |request|
        expected = Array.new(2) { env.call(request) }.last
        requests.each { |other| env.call(other).then { expect(env.call(request)).to eq(expected) } }
      end
    end
  end

  describe "headers" do
    it "have the prefix HTTP_ and upper case names" do
      expect(env("/", "X-Mine" => "1", "x-OTHER-name" => "2")).to include("HTTP_X_MINE" => "1", "HTTP_X_OTHER_NAME" => "2")
    end

    it "that are repeated are joined" do
      found = env("/", "X-Many" => %w[one two three], "Accept" => %w[text/html text/plain])

      expect(found["HTTP_X_MANY"].split(/,\s*/)).to eq(%w[one two three])
      expect(found["HTTP_ACCEPT"].split(/,\s*/)).to eq(%w[text/html text/plain])
    end

    it "Cookie that are repeated are joined as cookies" do
      expect(env("/", "Cookie" => %w[a=1 b=2])).to include("HTTP_COOKIE" => "a=1; b=2")
    end

    it "with an underscore are dropped" do
      expect(env("/", "X_Forwarded_For" => "evil")).not_to include("HTTP_X_FORWARDED_FOR")
    end

    it "with an underscore never merge with those with a hyphen" do
      found = env("/", "X-User" => "good", "X_User" => "evil", "X_user" => "evil")

      expect(found["HTTP_X_USER"]).to eq("good")
    end

    it "with an underscore do not become CONTENT_LENGTH, CONTENT_TYPE or HTTP_HOST" do
      found = env("/", "Host" => "good.example", "Content_Length" => "7", "Content_Type" => "evil", "_Host" => "evil")

      expect(found["HTTP_HOST"]).to eq("good.example")
      expect(found["CONTENT_TYPE"]).to be_nil.or eq("")
      expect(found["CONTENT_LENGTH"]).to be_nil.or eq("0")
    end

    it "Content-Type and Content-Length have no prefix" do
      found = env("/", method: "POST", body: "12345", "Content-Type" => "text/plain")

      expect(found).to include("CONTENT_TYPE" => "text/plain", "CONTENT_LENGTH" => "5")
      expect(found.keys).not_to include("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
    end

    it "Proxy is never seen as HTTP_PROXY" do
      expect(env("/", "Proxy" => "http://evil.example")).not_to include("HTTP_PROXY")
    end

    it "may have bytes beyond ASCII in their values" do
      expect(env_of("GET / HTTP/1.1\r\nHost: x\r\nX-Name: J\xC3\xBCrgen\r\n\r\n".b)["HTTP_X_NAME"].b).to eq("Jürgen".b)
    end

    it "lose the white space around their values" do
      expect(env_of("GET / HTTP/1.1\r\nHost: x\r\nX-Space: \t a b \t\r\n\r\n")["HTTP_X_SPACE"]).to eq("a b")
    end
  end

  describe "rack.input" do
    # Sizes on both sides of the 64 KiB from which bodies are files.
    { "empty" => 0, "small" => 10, "of 64 KiB" => 65_536, "over 64 KiB" => 65_537, "of 3 MB" => 3_000_000 }.each do |what, size|
      body = Random.new(1).bytes(size)

      it "gives a body that is #{what}, under Rack::Lint" do
        found = env("/", method: "POST", body: body)

        expect(found).to include("body.bytes" => size, "body.sum" => body.sum(32))
      end

      it "gives a chunked body that is #{what}, under Rack::Lint" do
        chunks = body.scan(/.{1,50000}/mn).map { |chunk| "#{chunk.bytesize.to_s(16)}\r\n".b << chunk << "\r\n" }.join
        found = server.connect do |socket|
          socket.send_request("POST", "/", { "Transfer-Encoding" => "chunked" })
          picture(socket.send_bytes(chunks << "0\r\n\r\n").read_response)
        end

        expect(found).to include("body.bytes" => size, "body.sum" => body.sum(32))
      end

      it "is rewindable and reads like a file: a body that is #{what}" do
        text = "line one\n".ljust(size, "x")[0, size]
        found = server.connect { |socket| picture(socket.request("POST", "/reading", {}, text)) }

        expect(found).to include("same" => true, "bytes" => size, "lines" => true, "at_end" => ["", nil, nil],
                                 "nothing" => "", "encoding" => "ASCII-8BIT")
        expect(found["line"]).to eq(size.zero? ? nil : text.lines.first)
      end
    end

    it "of a GET is empty, and rewindable" do
      expect(picture(server.get("/reading"))).to include("same" => true, "bytes" => 0, "at_end" => ["", nil, nil])
    end

    it "lets Rack parse a form" do
      response = server.connect do |socket|
        socket.request("POST", "/form", { "Content-Type" => "application/x-www-form-urlencoded" }, "a=1&b=%C3%A4")
      end

      expect(JSON.parse(response.body)).to eq("a" => "1", "b" => "ä")
    end

    it "lets Rack parse an upload" do
      body = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n" \
             "Content-Type: application/octet-stream\r\n\r\n#{'x' * 200_000}\r\n--B--\r\n"
      response = server.connect do |socket|
        socket.request("POST", "/form", { "Content-Type" => "multipart/form-data; boundary=B" }, body)
      end

      expect(JSON.parse(response.body)).to eq("f" => 200_000)
    end

    it "need not be read: the next request on the connection is intact" do
      server.connect do |socket|
        [10, 200_000].each do |size|
          expect(socket.request("POST", "/ignoring", {}, "x" * size).body).to eq("ignored")
        end
        expect(picture(socket.request("GET", "/after"))).to include("PATH_INFO" => "/after", "body.bytes" => 0)
      end
    end

    it "leaves no file behind" do
      env("/", method: "POST", body: "x" * 200_000)
      # The answer is sent before the request's things are put away.
      Deadline.until("the file of the body to be closed") do
        files = Dir.glob("/proc/#{server.pid}/fd/*").filter_map { |path| File.readlink(path) rescue nil }
        # Those of Rack's own parser wait for Ruby's collector.
        files.grep(%r{\A/tmp/|deleted}).grep_v(/RackMultipart/).empty?
      end
    end
  end

  it "is that of the innermost place under Rack::URLMap" do
    server = start_volador(<<~RUBY)
      require "rack"
      picture = ->(env) { [200, { "content-type" => "text/plain" }, [env.values_at("SCRIPT_NAME", "PATH_INFO").inspect]] }
      map("/a") { map("/b") { use Rack::Lint; run picture } }
      map("http://fish.example/") { run ->(_env) { [200, {}, ["by host"]] } }
    RUBY

    expect(server.get("/a/b/c").body).to eq(%(["/a/b", "/c"]))
    expect(server.get("/", "Host" => "fish.example").body).to eq("by host")
  end
end
