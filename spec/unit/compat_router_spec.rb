# frozen_string_literal: true

require "rack"
require "tmpdir"
require "volador/compat/agoo/router"
require "volador/compat/agoo/subjects"

RSpec.describe Volador::Compat::Agoo::Router do
  def app(text)
    ->(_env) { [200, {}, [text]] }
  end

  # @return [Array(Integer, String)] status and body
  def ask(router, path, method = "GET", env = {})
    status, _, body = router.call(Rack::MockRequest.env_for(path, env.merge(method: method)))
    text = +""
    body.each { |part| text << part }
    [status, text]
  end

  describe Volador::Compat::Agoo::Router::Route do
    {
      "/a" => [%w[/a], %w[/ /ab /a/b]],
      "/*" => [%w[/a], %w[/ /a/b]],
      "/a/*" => [%w[/a/b], %w[/a /a/ /a/b/c]],
      "/a/*/c" => [%w[/a/b/c /a//c], %w[/a/c /a/b/b/c]],
      "/a/x*" => [%w[/a/xyz], %w[/a/x /a/y]],
      "/ab*/c" => [%w[/ab/c /abc/c], %w[/abc]],
      "/a*z" => [[], %w[/az /abz]],
      "/a/**" => [%w[/a/b /a/b/c], %w[/a /a/ /b/a]],
      "/a**" => [%w[/ab /a/b], %w[/a]],
      "/*/**" => [%w[/a/b /a/b/c], %w[/a /a/]],
      "**" => [%w[/ /a/b], []],
      "/a.b" => [%w[/a.b], %w[/axb]]
    }.each do |pattern, (fitting, others)|
      it "#{pattern} fits #{fitting.inspect} and not #{others.inspect}" do
        route = described_class.new(nil, pattern)
        expect(fitting).to all(satisfy { |path| route.match?("GET", path) })
        expect(others.select { |path| route.match?("GET", path) }).to be_empty
      end
    end
  end

  it "asks the first handler that fits method and path" do
    router = described_class.new
    router.handle(:GET, "/x", app("get"))
    router.handle(nil, "/x", app("any"))
    router.handle(:POST, "/x", app("post"))
    expect(ask(router, "/x")).to eq [200, "get"]
    expect(ask(router, "/x/")).to eq [200, "get"]
    expect(ask(router, "/x", "POST")).to eq [200, "any"]
    expect(ask(router, "/y")).to eq [404, "Not Found"]
  end

  it "takes what the handler of a route returns for its answer, also nil" do
    router = described_class.new
    router.handle(:GET, "/nil", ->(_env) {})
    router.handle(:GET, "/false", ->(_env) { false })
    router.handle(nil, "**", app("later"))
    router.handle_not_found(app("not found"))
    answers = %w[/nil /false].map { |path| router.call(Rack::MockRequest.env_for(path)) }
    expect(answers).to eq [nil, false]
  end

  it "serves files, of the root and of groups, behind the handlers or before them" do
    Dir.mktmpdir do |directory|
      Dir.mkdir(File.join(directory, "two"))
      { "index.html" => "home", "x" => "file", "two/only" => "two", ".." => nil }.each do |name, text|
        File.write(File.join(directory, name), text) if text
      end
      router = described_class.new(root: directory)
      router.handle(:GET, "/x", app("handler"))
      router.path_group("/assets", [File.join(directory, "one"), File.join(directory, "two")])

      expect(ask(router, "/")).to eq [200, "home"]
      expect(ask(router, "/x")).to eq [200, "handler"]
      expect(ask(router, "/assets/only")).to eq [200, "two"]
      expect(ask(router, "/assets/x")).to eq [404, "Not Found"]
      expect(ask(router, "/", "POST")[0]).to eq 404
      expect(ask(router, "/two")[0]).to eq 404
      expect(ask(router, "/../#{File.basename(directory)}/x/../../etc/passwd")[0]).to eq 404

      first = described_class.new(root: directory, root_first: true)
      first.handle(nil, "**", app("handler"))
      expect(ask(first, "/x")).to eq [200, "file"]
      expect(ask(first, "/x", "GET", "rack.upgrade?" => :websocket)).to eq [200, "handler"]
      expect(ask(first, "/y")).to eq [200, "handler"]
    end
  end

  it "wraps middleware around the handlers that come after it, the first one outermost" do
    mark = Class.new do
      def initialize(inner, text)
        @app = inner
        @text = text
      end

      def call(env)
        status, headers, body = @app.call(env)
        [status, headers, ["#{@text}(#{body[0]})"]]
      end
    end
    router = described_class.new
    router.handle(:GET, "/bare", app("bare"))
    router.use(mark, "outer")
    router.use(mark, "inner")
    router.handle(:GET, "/x", app("x"))
    expect(ask(router, "/x")[1]).to eq "outer(inner(x))"
    expect(ask(router, "/bare")[1]).to eq "bare"
  end

  it "calls on_request with a request and a response" do
    handler = Class.new do
      def on_request(request, response)
        response.code = 201
        response["X-Path"] = request.path_info
        response.body = "#{request.request_method} #{request.query_string} #{request.body} #{request.server_name}"
      end
    end
    router = described_class.new
    router.handle(:PUT, "/x", handler.new)
    status, headers, body = router.call(Rack::MockRequest.env_for("/x?a=1", method: "PUT", input: "hello"))
    expect([status, headers, body]).to eq [201, { "x-path" => "/x" }, ["PUT a=1 hello example.org"]]
  end

  it "takes the name of a class, and a handler for what is not found" do
    stub_const("NamedHandler", app("named"))
    router = described_class.new
    router.handle(:GET, "/x", "NamedHandler")
    router.handle_not_found(->(_env) { [410, {}, ["gone"]] })
    expect(ask(router, "/x")).to eq [200, "named"]
    expect(ask(router, "/y")).to eq [410, "gone"]
  end

  it "refuses what it can't call" do
    router = described_class.new
    expect { router.handle(:GET, "/x", Object.new) }.to raise_error(ArgumentError, /call or on_request/)
    expect { router.handle(:FETCH, "/x", app("x")) }.to raise_error(ArgumentError, /GET/)
    expect { router.handle(:GET, /x/, app("x")) }.to raise_error(TypeError)
    expect { router.use("x") }.to raise_error(ArgumentError)
  end

  describe Volador::Compat::Agoo::Subjects do
    it "reads wildcards as tokens" do
      expect(described_class.read(:time)).to eq ["time", nil]
      expect(described_class.read("a.*.c")).to eq ["a.*.c", :subject]
      expect(described_class.read("a.>")).to eq ["a.>", :subject]
      expect { described_class.read("a.b*") }.to raise_error(ArgumentError, /whole tokens/)
    end

    it "forgets clients with their last subject" do
      subjects = described_class.new
      client = Object.new
      subjects.add(client, "a")
      subjects.add(client, "b")
      expect(subjects.subscribers("a")).to eq [client]
      subjects.delete(client, "a")
      expect(subjects.subscribers("a")).to be_empty
      subjects.delete(client, "b")
      expect(subjects.size).to eq 0
      subjects.add(client, "c")
      expect(subjects.forget(client)).to eq ["c"]
      expect(subjects.forget(client)).to be_empty
    end
  end
end
