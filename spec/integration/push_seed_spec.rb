# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "on_open, its writer and its handler" do
  # How often the server printed a line, over its whole life.
  def printed(server, line)
    server.output.lines.count { |one| one.chomp == line }
  end

  PushClient::TRANSPORTS.each do |transport|
    context "over #{transport}" do
      def open(...)
        PushClient.open(...)
      end

      describe "env" do
        shared_server(<<~RUBY)
          require "json"

          PICTURE = lambda do |env|
            JSON.generate(env.to_h { |key, value| [key, value.is_a?(String) || value == true || value == false ? value : value.class.name] })
          end

          class Mark
            def initialize(app)
              @app = app
            end

            def call(env)
              env["mark.seen"] = "by the middleware"
              @app.call(env)
            end
          end

          class Opening
            def call(_env)
              [500, {}, ["call must not be called"]]
            end

            def on_open(env)
              env["push.writer"].write(PICTURE.call(env))
              nil
            end
          end

          use Mark
          map("/open/deep") { run Opening.new }
          map("/plain/deep") { run ->(env) { [200, { "content-type" => "application/json" }, [PICTURE.call(env)]] } }
        RUBY

        let(:headers) { { "Cookie" => "a=1", "X-Mine" => "yes" } }

        def env_of_on_open(transport, headers)
          open(transport, server.port, "/open/deep/er?x=1&y=%20", headers: headers) { |client| JSON.parse(client.read) }
        end

        it "is what call is given at that place, plus the writer" do
          given = env_of_on_open(transport, headers)
          response = PushClient.refusal(transport, server.port, "/plain/deep/er?x=1&y=%20", headers: headers)
          wanted = JSON.parse(response.body.gsub("/plain/deep", "/open/deep"))
          [given, wanted].each { |env| %w[HTTP_SEC_WEBSOCKET_KEY REMOTE_PORT].each { |name| env.delete(name) } }

          expect(given.keys - wanted.keys).to eq(["push.writer"])
          expect(given.reject { |name, _| name == "push.writer" }).to eq(wanted)
        end

        it "has SCRIPT_NAME and PATH_INFO as map sets them" do
          expect(env_of_on_open(transport, headers)).to include(
            "SCRIPT_NAME" => "/open/deep", "PATH_INFO" => "/er", "QUERY_STRING" => "x=1&y=%20"
          )
        end

        it "shows what the middleware before it put there" do
          expect(env_of_on_open(transport, headers)).to include("mark.seen" => "by the middleware",
                                                                "HTTP_X_MINE" => "yes", "HTTP_COOKIE" => "a=1")
        end
      end

      describe "the writer" do
        shared_server(<<~RUBY)
          class Loud < String
            def to_s = upcase
          end

          class Words
            def call(_env)
              [404, {}, []]
            end

            def on_open(env)
              writer = env["push.writer"]
              case env["PATH_INFO"]
              when "/objects" then [42, :symbol, 1.5, [1], "s", Loud.new("h\\u00e4")].each { |object| writer.write(object) }
              when "/inside" then 100.times { |index| writer.write("m\#{index}") }
              when "/joined" then Thread.new { 20.times { |index| writer.write("t\#{index}") } }.join
              when "/lines" then writer.write("one\\ntwo\\nevent: three")
              when "/frozen" then writer.write("frozen".freeze)
              when "/encodings" then %w[ISO-8859-1 UTF-16LE].each { |name| writer.write("h\\u00e4".encode(name)) }
              when "/large" then writer.write("x" * 300_000)
              when "/threads"
                4.times { |thread| Thread.new { 50.times { |index| writer.write("\#{thread} \#{index}") } } }
              when "/later"
                Thread.new do
                  sleep 0.1
                  writer.write("later")
                end
              when "/ticks"
                Thread.new do
                  loop do
                    writer.write("tick")
                    sleep 0.005
                  end
                rescue IOError => e
                  warn "write after the end of \#{env['QUERY_STRING']}: \#{e.class}"
                end
              when "/close"
                Thread.new do
                  writer.write("before")
                  writer.close
                  begin
                    writer.write("after")
                  rescue => e
                    warn "write after close: \#{e.class}, an IOError: \#{e.is_a?(IOError)}"
                  end
                end
              when "/close-inside"
                writer.write("last words")
                writer.close
              end
              nil
            end
          end
          run Words.new
        RUBY

        it "sends the to_s of any object" do
          open(transport, server.port, "/objects") do |client|
            expect(Array.new(6) { client.read }).to eq(["42", "symbol", "1.5", "[1]", "s", "H\u00c4"])
          end
        end

        it "sends frozen strings" do
          open(transport, server.port, "/frozen") { |client| expect(client.read).to eq("frozen") }
        end

        it "sends text of other encodings as UTF-8" do
          open(transport, server.port, "/encodings") { |client| expect(Array.new(2) { client.read }).to eq(["h\u00e4"] * 2) }
        end

        it "delivers what on_open writes after the handshake, in order" do
          open(transport, server.port, "/inside") do |client|
            expect(Array.new(100) { client.read }).to eq(Array.new(100) { |index| "m#{index}" })
          end
        end

        it "can be used by another thread while on_open runs" do
          open(transport, server.port, "/joined") do |client|
            expect(Array.new(20) { client.read }).to eq(Array.new(20) { |index| "t#{index}" })
          end
        end

        it "can be used by several threads at once, each of which keeps its order" do
          open(transport, server.port, "/threads") do |client|
            lines = Array.new(200) { client.read.split.map(&:to_i) }

            expect(lines.group_by(&:first).transform_values { |of_thread| of_thread.map(&:last) })
              .to eq((0..3).to_h { |thread| [thread, (0..49).to_a] })
          end
        end

        it "can be used after on_open has returned" do
          open(transport, server.port, "/later") { |client| expect(client.read).to eq("later") }
        end

        it "sends line breaks as data" do
          open(transport, server.port, "/lines") { |client| expect(client.read).to eq("one\ntwo\nevent: three") }
        end

        it "sends large messages whole" do
          open(transport, server.port, "/large") { |client| expect(client.read.bytesize).to eq(300_000) }
        end

        it "raises ClosedError, an IOError, once it has been closed" do
          open(transport, server.port, "/close") do |client|
            expect(client.read).to eq("before")
            expect(client).to be_ended
          end
          server.wait_for_output(/^write after close: Volador::ClosedError, an IOError: true$/)
        end

        it "raises ClosedError once the client has left" do
          open(transport, server.port, "/ticks?#{transport}-left", &:read)

          server.wait_for_output(/^write after the end of #{transport}-left: Volador::ClosedError$/)
        end

        it "raises ClosedError once the client has reset the connection" do
          open(transport, server.port, "/ticks?#{transport}-reset").tap(&:read).reset

          server.wait_for_output(/^write after the end of #{transport}-reset: Volador::ClosedError$/)
        end

        it "can be closed inside of on_open, after what was written" do
          open(transport, server.port, "/close-inside") do |client|
            expect(client.read).to eq("last words")
            expect(client).to be_ended
          end
        end
      end

      describe "no handler" do
        shared_server(<<~RUBY)
          class Open
            def call(env)
              Volador.broadcast(env["QUERY_STRING"], "to \#{env['QUERY_STRING']}")
              [200, {}, ["done"]]
            end

            def on_open(env)
              env["push.writer"].write("open")
              nil
            end
          end
          run Open.new
        RUBY

        it "leaves the connection open, and broadcasts reach it" do
          open(transport, server.port, "/quiet/#{transport}") do |client|
            client.read
            server.get("/?/quiet/#{transport}")

            expect(client.read).to eq("to /quiet/#{transport}")
          end
        end
      end

      describe "on_open that raises" do
        shared_server(<<~RUBY)
          class Raising
            def call(_env)
              [200, {}, ["alive"]]
            end

            def on_open(env)
              raise "broken \#{env['QUERY_STRING']}"
            end
          end
          run Raising.new
        RUBY

        def open_and_end(transport, target)
          open(transport, server.port, target) { |client| expect(client).to be_ended }
        rescue PushClient::Refused => e
          expect(e.response.status).to be >= 500
          expect(e.response.body).not_to include("broken")
        end

        it "closes the connection" do
          open_and_end(transport, "/?quick")
        end

        it "is logged with its backtrace" do
          open_and_end(transport, "/?#{transport}")

          server.wait_for_output(/broken #{transport}.*\n.*config\.ru:7/)
        end

        it "leaves the server alive, with all of its threads" do
          10.times { open_and_end(transport, "/?again") }

          expect(Array.new(6) { server.get("/").body }).to all(eq("alive"))
        end
      end

      describe "on_close" do
        closing = <<~RUBY
          class Handler
            def initialize(name, writer)
              @name = name
              @writer = writer
            end

            def on_message(data)
              raise "on_message is broken" if data == "raise"

              @writer.close if data == "close"
            end

            def on_close
              warn "closed \#{@name}"
            end
          end

          class App
            def call(_env)
              [200, {}, []]
            end

            def on_open(env)
              writer = env["push.writer"]
              writer.write("open")
              writer.close if env["PATH_INFO"] == "/close-inside"
              Thread.new { writer.close } if env["PATH_INFO"] == "/close-thread"
              Handler.new(env["QUERY_STRING"], writer)
            end
          end
          run App.new
        RUBY

        # Opens, does what the block says, then stops the server so that all that it could ever print is there.
        def closed_count(transport, config, path = "/", signal: :TERM)
          server = start_volador(config)
          client = open(transport, server.port, "#{path}?it")
          client.read
          if block_given?
            yield client, server
            server.wait_for_output(/^closed it$/)
          end
          server.signal(signal)
          client.ended? unless block_given?
          server.wait
          printed(server, "closed it")
        end

        it "is called once when the client ends the connection" do
          expect(closed_count(transport, closing) { |client, _| client.leave }).to eq(1)
        end

        it "is called once when the client resets the connection" do
          expect(closed_count(transport, closing) { |client, _| client.reset }).to eq(1)
        end

        it "is called once when the writer is closed inside of on_open" do
          expect(closed_count(transport, closing, "/close-inside") { |client, _| client.ended? }).to eq(1)
        end

        it "is called once when the writer is closed by another thread" do
          expect(closed_count(transport, closing, "/close-thread") { |client, _| client.ended? }).to eq(1)
        end

        %i[TERM INT].each do |name|
          it "is called once when the server stops by #{name}" do
            expect(closed_count(transport, closing, signal: name)).to eq(1)
          end
        end

        next unless transport == :websocket

        it "is called once when the client sends a close frame" do
          expect(closed_count(transport, closing) { |client, _| client.client.close }).to eq(1)
        end

        it "is called once when on_message closes the writer" do
          count = closed_count(transport, closing) do |client, _|
            client.client.send_text("close")
            client.ended?
          end
          expect(count).to eq(1)
        end

        it "is called once when on_message has raised" do
          count = closed_count(transport, closing) do |client, server|
            client.client.send_text("raise")
            server.wait_for_output(/on_message is broken.*\n.*config\.ru:8/)
            client.leave
          end
          expect(count).to eq(1)
        end

        it "is called once when the client breaks the protocol" do
          count = closed_count(transport, closing) do |client, _|
            client.client.send_frame(:text, "unmasked", mask: false)
            client.client.read_close
            client.leave
          end
          expect(count).to eq(1)
        end
      end
    end
  end
end
