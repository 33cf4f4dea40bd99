# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Middleware around on_open" do
  # `use`, `map` and `run` of one config.ru: what differs between the examples. All have this app and these parts.
  parts = <<~RUBY
    require "rack"
    require "delegate"

    class App
      def call(_env)
        [200, { "content-type" => "text/plain" }, ["plain"]]
      end

      def on_open(env)
        env["push.writer"].write("open at \#{env['SCRIPT_NAME']} \#{env['PATH_INFO']} \#{env['mark']}")
        nil
      end
    end

    # Calls the next as the block says.
    class Around
      def initialize(app, &block)
        @app = app
        @block = block
      end

      def call(env)
        @block.call(@app, env)
      end
    end
  RUBY

  PushClient::TRANSPORTS.each do |transport|
    context "over #{transport}" do
      define_method(:config) { |rest| "#{parts}\n#{rest}" }
      define_method(:greeting) do |server, target = "/x", headers: {}|
        PushClient.open(transport, server.port, target, headers: headers, &:read)
      end
      define_method(:refusal) do |server, target = "/x", headers: {}|
        PushClient.refusal(transport, server.port, target, headers: headers)
      end

      # Each of these stacks must let the push connection through, and plain requests as well.
      {
        "Rack::Lint at every place" => <<~RUBY,
          use Rack::Lint
          use(Around) { |app, env| app.call(env) }
          use Rack::Lint
          run App.new
        RUBY
        "Rack::ShowExceptions" => <<~RUBY,
          use Rack::ShowExceptions
          run App.new
        RUBY
        "Rack::CommonLogger" => <<~RUBY,
          use Rack::CommonLogger
          run App.new
        RUBY
        "middleware that changes bodies" => <<~RUBY,
          use Rack::Head
          use Rack::ConditionalGet
          use Rack::ETag
          use Rack::ContentLength
          use Rack::Deflater
          use Rack::Runtime
          use Rack::TempfileReaper
          use Rack::Sendfile
          run App.new
        RUBY
        "middleware that passes on a copy of env" => <<~RUBY,
          use(Around) { |app, env| app.call(env.dup) }
          run App.new
        RUBY
        "middleware that calls the next in a thread of its own" => <<~RUBY,
          use(Around) { |app, env| Thread.new { app.call(env) }.value }
          run App.new
        RUBY
        "middleware that calls the next in a fiber" => <<~RUBY,
          use(Around) { |app, env| Fiber.new { app.call(env) }.resume }
          run App.new
        RUBY
        "middleware that rescues every exception" => <<~RUBY,
          use(Around) { |app, env| begin; app.call(env); rescue Exception; [500, {}, ["rescued"]]; end }
          run App.new
        RUBY
        "frozen middleware" => <<~RUBY,
          class Frozen < Around
            def initialize(app, &block)
              super
              freeze
            end
          end
          use(Frozen) { |app, env| app.call(env) }
          run App.new.freeze
        RUBY
        "a frozen app" => "run App.new.freeze",
        "a frozen app under Rack::Lint" => <<~RUBY,
          use Rack::Lint
          run App.new.freeze
        RUBY
        "a lambda with an on_open of its own" => <<~RUBY,
          app = ->(_env) { [200, {}, ["plain"]] }
          def app.on_open(env)
            App.new.on_open(env)
          end
          run app
        RUBY
        "a frozen lambda with an on_open of its own" => <<~RUBY,
          app = ->(_env) { [200, {}, ["plain"]] }
          def app.on_open(env)
            App.new.on_open(env)
          end
          run app.freeze
        RUBY
        "a class" => <<~RUBY,
          class Whole
            def self.call(env)
              App.new.call(env)
            end

            def self.on_open(env)
              App.new.on_open(env)
            end
          end
          run Whole
        RUBY
        "a frozen class" => <<~RUBY,
          class Whole
            def self.call(env)
              App.new.call(env)
            end

            def self.on_open(env)
              App.new.on_open(env)
            end
          end
          run Whole.freeze
        RUBY
        "a class with a constructor like middleware" => <<~RUBY,
          class Whole
            class << self
              def new(*)
                raise "the app was made anew"
              end

              def call(env)
                [200, {}, ["plain"]]
              end

              def on_open(env)
                env["push.writer"].write("open at  \#{env['PATH_INFO']} ")
                nil
              end
            end
          end
          run Whole
        RUBY
        "a module" => <<~RUBY,
          module Whole
            extend self

            def call(env)
              App.new.call(env)
            end

            def on_open(env)
              App.new.on_open(env)
            end
          end
          run Whole
        RUBY
        "a delegator" => "run SimpleDelegator.new(App.new)",
        "an app that answers to on_open by method_missing" => <<~RUBY,
          class Ghost
            def call(env)
              App.new.call(env)
            end

            def method_missing(name, *arguments)
              name == :on_open ? App.new.on_open(*arguments) : super
            end

            def respond_to_missing?(name, all = false)
              name == :on_open || super
            end
          end
          run Ghost.new
        RUBY
        "a Rack::Builder inside of a Rack::Builder" => <<~RUBY,
          use(Around) { |app, env| app.call(env) }
          run(Rack::Builder.new do
            use(Around) { |app, env| app.call(env) }
            run App.new
          end.to_app)
        RUBY
        "Rack::Cascade, in second place" => <<~RUBY,
          run Rack::Cascade.new([->(_env) { [404, {}, []] }, App.new])
        RUBY
        "Rack::Cascade, in first place" => <<~RUBY
          run Rack::Cascade.new([App.new, ->(_env) { [404, {}, []] }])
        RUBY
      }.each do |stack, rest|
        it "lets it through: #{stack}" do
          server = start_volador(config(rest))

          expect(greeting(server)).to eq("open at  /x ")
          expect(server.get("/x").body).to eq("plain")
        end
      end

      it "runs before it, and its headers go out with the handshake" do
        server = start_volador(config(<<~RUBY))
          use(Around) do |app, env|
            env["mark"] = "marked"
            status, headers, body = app.call(env)
            [status, headers.merge("x-mark" => "outer", "set-cookie" => "seen=1"), body]
          end
          run App.new
        RUBY

        PushClient.open(transport, server.port, "/x") do |client|
          expect(client.read).to eq("open at  /x marked")
          expect(client.response["x-mark"]).to eq("outer")
          expect(client.response["set-cookie"]).to eq("seen=1")
        end
      end

      it "shows on_open the session" do
        server = start_volador(config(<<~RUBY))
          SESSIONS = { "7" => { "user" => "ann" } }.freeze
          use(Around) do |app, env|
            env["rack.session"] = SESSIONS[Rack::Request.new(env).cookies["session"]]
            app.call(env)
          end
          class Greeter < App
            def on_open(env)
              env["push.writer"].write("hello \#{env['rack.session']['user']}")
              nil
            end
          end
          run Greeter.new
        RUBY

        expect(greeting(server, headers: { "Cookie" => "session=7" })).to eq("hello ann")
      end

      begin
        require "rack/session/cookie"
      rescue LoadError
        nil # a gem of its own since Rack 3, and not everywhere
      end

      if defined?(Rack::Session::Cookie)
        it "shows on_open the session of Rack::Session::Cookie" do
          server = start_volador(config(<<~RUBY))
            require "rack/session/cookie"
            use Rack::Session::Cookie, secret: "x" * 64
            class Greeter < App
              def call(env)
                env["rack.session"]["user"] = "ann"
                super
              end

              def on_open(env)
                env["push.writer"].write("hello \#{env['rack.session']['user']}")
                nil
              end
            end
            run Greeter.new
          RUBY
          cookie = server.get("/login")["set-cookie"][/\A[^;]+/]

          expect(greeting(server, headers: { "Cookie" => cookie })).to eq("hello ann")
        end
      end

      context "with authentication" do
        basic = <<~RUBY
          use Rack::Auth::Basic, "flying fish" do |name, password|
            name == "ann" && password == "secret"
          end
          class Witness < App
            def on_open(env)
              warn "on_open was called"
              super
            end
          end
          run Witness.new
        RUBY

        it "refuses with its 401, and on_open is not called" do
          server = start_volador(config(basic))
          response = refusal(server)
          server.stop

          expect(response.status).to eq(401)
          expect(response["www-authenticate"]).to match(/\ABasic realm="flying fish"/)
          expect(server.output).not_to include("on_open was called")
        end

        it "lets those through who are known" do
          server = start_volador(config(basic))
          known = { "Authorization" => "Basic #{['ann:secret'].pack('m0')}" }

          expect(greeting(server, headers: known)).to eq("open at  /x ")
        end
      end

      { 302 => "a redirect", 403 => "a refusal", 503 => "a failure", 200 => "an answer of its own" }.each do |status, what|
        it "decides: #{what} (#{status}) goes out as it is, and the connection lives on" do
          server = start_volador(config(<<~RUBY))
            use(Around) do |app, env|
              next app.call(env) if env["PATH_INFO"] == "/plain"

              [#{status}, { "content-type" => "text/plain", "location" => "/login", "x-by" => "middleware" }, ["no"]]
            end
            run App.new
          RUBY
          server.connect do |socket|
            upgrade = if transport == :websocket
                        { "Connection" => "Upgrade", "Upgrade" => "websocket", "Sec-WebSocket-Version" => "13",
                          "Sec-WebSocket-Key" => "dGhlIHNhbXBsZSBub25jZQ==" }
                      else
                        { "Accept" => "text/event-stream" }
                      end
            response = socket.request("GET", "/x", upgrade)

            expect(response).to have_attributes(status: status, body: "no")
            expect(response["x-by"]).to eq("middleware")
            expect(socket.request("GET", "/plain").body).to eq("plain")
          end
        end
      end

      it "may turn the opened connection down after on_open: the client sees its status" do
        server = start_volador(config(<<~RUBY))
          use(Around) do |app, env|
            app.call(env)
            [403, { "content-type" => "text/plain" }, ["changed my mind"]]
          end
          run App.new
        RUBY

        expect(refusal(server)).to have_attributes(status: 403, body: "changed my mind")
      end

      it "has its bodies closed once when the connection is opened" do
        server = start_volador(config(<<~RUBY))
          require "rack/body_proxy"
          use(Around) do |app, env|
            status, headers, body = app.call(env)
            [status, headers, Rack::BodyProxy.new(body) { warn "body closed" }]
          end
          run App.new
        RUBY
        greeting(server)
        server.wait_for_output(/^body closed$/)
        server.stop

        expect(server.output.scan("body closed").size).to eq(1)
      end

      it "has an exception of on_open pass through it" do
        server = start_volador(config(<<~RUBY))
          use Rack::ShowExceptions
          class Failing < App
            def on_open(_env)
              raise "no opening"
            end
          end
          run Failing.new
        RUBY
        begin
          PushClient.open(transport, server.port) { |client| expect(client).to be_ended }
        rescue PushClient::Refused => e
          expect(e.response.status).to eq(500)
        end

        expect(server.get("/").body).to eq("plain")
      end

      context "under map" do
        mapped = <<~RUBY
          shared = App.new
          map("/a") { run shared }
          map("/a/deeper") { run shared }
          map("/b") do
            use Rack::Lint
            map("/c") { run App.new.freeze }
            run ->(_env) { [404, { "content-type" => "text/plain" }, ["nothing here"]] }
          end
          run App.new
        RUBY

        it "finds each app, with the places that map sets" do
          server = start_volador(config(mapped))
          found = %w[/a /a/1 /a/deeper/2 /b/c/3 /elsewhere].map { |target| greeting(server, target) }

          expect(found).to eq(["open at /a  ", "open at /a /1 ", "open at /a/deeper /2 ", "open at /b/c /3 ",
                               "open at  /elsewhere "])
        end

        it "answers where there is no on_open as call does" do
          expect(refusal(start_volador(config(mapped)), "/b/x")).to have_attributes(status: 404, body: "nothing here")
        end
      end

      context "under rackup" do
        %w[development deployment none].each do |environment|
          it "is opened in the environment #{environment}" do
            server = start_rackup(config("run App.new"), "-E", environment)

            expect(greeting(server)).to eq("open at  /x ")
            expect(server.get("/x").body).to eq("plain")
          end
        end

        it "is opened below map in the environment development" do
          server = start_rackup(config(%(map("/deep") { run App.new })), "-E", "development")

          expect(greeting(server, "/deep/x")).to eq("open at /deep /x ")
        end

        it "is opened when the app is frozen, a lambda or a class" do
          server = start_rackup(config(<<~RUBY), "-E", "development")
            opening = ->(_env) { [404, { "content-type" => "text/plain" }, []] }
            def opening.on_open(env)
              App.new.on_open(env)
            end
            class Whole
              def self.call(env)
                App.new.call(env)
              end

              def self.on_open(env)
                App.new.on_open(env)
              end
            end
            map("/frozen") { run App.new.freeze }
            map("/lambda") { run opening }
            map("/class") { run Whole }
          RUBY

          expect(%w[frozen lambda class].map { |kind| greeting(server, "/#{kind}/x") })
            .to eq(["open at /frozen /x ", "open at /lambda /x ", "open at /class /x "])
        end
      end
    end
  end
end
