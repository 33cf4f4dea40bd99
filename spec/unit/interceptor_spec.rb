# frozen_string_literal: true

require "delegate"
require "rack"
require "uri" # Rack::Lint of Rack 2.2 uses it without loading it

RSpec.describe Volador::Push::Interceptor do
  # A push app that keeps what it is opened with.
  let(:app_class) do
    Class.new do
      attr_reader :opened

      def call(_env)
        [200, { "content-type" => "text/plain" }, ["plain"]]
      end

      def on_open(env)
        (@opened ||= []) << env
        :handler
      end
    end
  end
  let(:app) { app_class.new }
  let(:connections) { Volador::Push::Connections.new }
  let(:printed) { StringIO.new }
  let(:handshake) { new_handshake(:websocket) }

  # A middleware that marks env on the way in.
  let(:middleware) do
    Class.new do
      def initialize(app)
        @app = app
      end

      def call(env)
        env["marked"] = true
        @app.call(env)
      end
    end
  end

  def new_handshake(transport)
    Volador::Push::Handshake.new(transport, Fakes::Connection.new, connections, Volador::Log.new(printed))
  end

  # @return [Array] the answer of the whole stack to a push request
  def push(stack, path = "/", transport: :websocket)
    result = described_class.install(stack)
    env = Fakes.env(path, "HTTP_UPGRADE" => "websocket")
    @handshake = env["volador.push"] = new_handshake(transport)
    result.direct ? @handshake.open(result.app, env) : result.app.call(env)
  end

  it "leaves an app alone that is the whole stack" do
    result = described_class.install(app)
    expect(result.app).to equal app
    expect(result.direct).to be true
    expect(app.singleton_methods).to be_empty
  end

  it "opens the app behind middleware, which has run before" do
    expect(push(middleware.new(app))[0]).to eq 101
    expect(app.opened.first).to include "marked" => true, "push.writer" => an_instance_of(Volador::Push::Writer)
  end

  it "answers an SSE request with an event stream's head" do
    expect(push(middleware.new(app), transport: :sse)[1]["content-type"]).to eq "text/event-stream"
  end

  it "calls the app for a plain request" do
    stack = described_class.install(middleware.new(app)).app
    expect(stack.call(Fakes.env)[2]).to eq ["plain"]
  end

  it "intercepts once however often it is installed" do
    stack = middleware.new(app)
    2.times { described_class.install(stack) }
    push(stack)
    expect(app.opened.size).to eq 1
  end

  it "opens through Rack::Lint, ShowExceptions and CommonLogger" do
    stack = Rack::CommonLogger.new(Rack::ShowExceptions.new(Rack::Lint.new(app)), StringIO.new)
    expect(push(stack)[0]).to eq 101
    expect(push(stack, transport: :sse)[0]).to eq 200
  end

  it "opens the app that Rack::URLMap chooses, with its SCRIPT_NAME and PATH_INFO" do
    other = app_class.new
    push(Rack::URLMap.new("/one" => middleware.new(app), "/two" => other), "/two/rooms")
    expect(app.opened).to be_nil
    # URLMap puts both back afterwards.
    allow(other).to receive(:on_open) { |env| expect(env).to include "SCRIPT_NAME" => "/two", "PATH_INFO" => "/rooms" }
    push(Rack::URLMap.new("/two" => other), "/two/rooms")
    expect(other).to have_received(:on_open)
  end

  it "opens the app that Rack::Cascade comes to" do
    missing = ->(_) { [404, {}, []] }
    expect(push(Rack::Cascade.new([missing, app]))[0]).to eq 101
  end

  it "opens classes as apps" do
    klass = Class.new do
      def self.call(_env) = [200, {}, []]

      def self.on_open(_env) = nil
    end
    expect(push(middleware.new(klass))[0]).to eq 101
  end

  it "opens lambdas that have an on_open of their own" do
    app = ->(_) { [200, {}, []] }
    app.define_singleton_method(:on_open) { |_env| nil }
    expect(push(middleware.new(app))[0]).to eq 101
  end

  it "opens a frozen app in an unfrozen stack" do
    app = app_class.new.freeze
    allow_opened = Class.new(app_class) { def on_open(_env) = nil }
    expect(push(middleware.new(allow_opened.new.freeze))[0]).to eq 101
    expect(described_class.install(middleware.new(app)).app.call(Fakes.env)[2]).to eq ["plain"]
  end

  it "asks a frozen app that is its own handler by call, wherever it stands" do
    klass = Class.new(app_class) do
      def on_message(_client, _data) = nil
    end
    [klass.new.freeze, middleware.new(klass.new.freeze), Rack::URLMap.new("/" => klass.new.freeze)].each do |stack|
      expect(described_class.install(stack).app.call(Fakes.env("/"))[2]).to eq ["plain"]
      expect(push(stack)[2]).to eq ["plain"]
    end
  end

  it "opens a frozen app in a wholly frozen stack, which stays frozen" do
    klass = Class.new(app_class) { def on_open(_env) = nil }
    map = Rack::URLMap.new("/two" => middleware.new(klass.new.freeze).freeze).freeze
    stack = Rack::Lint.new(map).freeze
    result = described_class.install(stack)
    expect(result.app).to be_frozen.and(be_a(Rack::Lint))
    expect(push(stack, "/two")[0]).to eq 101
  end

  it "copies frozen middleware and leaves the given one as it was" do
    klass = Class.new(app_class) { def on_open(_env) = nil }
    stack = middleware.new(middleware.new(klass.new.freeze).freeze).freeze
    result = described_class.install(stack)
    expect(result.app).to be_frozen.and(be_a(middleware))
    expect(result.app).not_to equal stack
    expect(push(stack)[0]).to eq 101
  end

  it "opens a frozen app that Rack::Builder froze" do
    klass = Class.new(app_class) { def on_open(_env) = nil }
    middleware = self.middleware
    app = Rack::Builder.new do
      freeze_app
      use middleware
      run klass.new
    end
    expect(push(app.to_app)[0]).to eq 101
  end

  it "runs delegating middleware instead of taking its forwarded on_open" do
    delegating = Class.new(SimpleDelegator) do
      def call(_env) = [401, { "content-type" => "text/plain" }, ["no"]]
    end
    expect(push(delegating.new(app))[0]).to eq 401
    expect(app.opened).to be_nil
  end

  it "opens an app that leads to further push apps by itself" do
    router = app_class.new
    router.instance_variable_set(:@routes, { "/" => app })
    push(middleware.new(router))
    expect(router.opened.size).to eq 1
    expect(app.opened).to be_nil
  end

  it "walks through Structs" do
    klass = Struct.new(:app) { def call(env) = app.call(env) }
    expect(push(klass.new(app))[0]).to eq 101
    frozen = Class.new(app_class) { def on_open(_env) = nil }.new.freeze
    expect(push(klass.new(frozen).freeze)[0]).to eq 101
  end

  it "survives cycles, objects that are no Objects, and objects that raise when asked" do
    bare = Class.new(BasicObject) do
      def call(_env) = [200, {}, []]
    end
    angry = Class.new do
      def call(_env) = [200, {}, []]

      def respond_to?(*) = ::Kernel.raise("do not ask")
    end
    stack = middleware.new(app)
    stack.instance_variable_set(:@others, [stack, bare.new, angry.new, { a: stack }])
    stack.instance_variable_set(:@bare, bare.new)
    expect(push(stack)[0]).to eq 101
  end

  it "answers with what middleware says instead of opening" do
    guard = Class.new(middleware) { def call(_env) = [401, { "content-type" => "text/plain" }, ["no"]] }
    expect(push(Rack::Lint.new(guard.new(Rack::Lint.new(app))))[0]).to eq 401
    expect(app.opened).to be_nil
    expect(@handshake).to be_pending
  end

  it "makes Iodine's status 0 a 101 before Rack::Lint sees it" do
    iodine = lambda do |env|
      env["upgrade.websocket"] = Object.new
      [0, { "Content-Type" => "text/plain" }, []]
    end
    expect(push(Rack::Lint.new(iodine))[0..1]).to eq [101, {}]
  end

  it "leaves callables alone that are no apps" do
    formatter = ->(one, two) { one + two }
    app.instance_variable_set(:@formatter, formatter)
    stack = middleware.new(Class.new { def initialize(f) = (@formatter = f); def call(_env) = nil }.new(formatter))
    described_class.install(stack)
    expect(formatter.call(1, 2)).to eq 3
    expect(formatter.singleton_class.ancestors).not_to include Volador::Push::Endpoint::Upgrade
  end
end
