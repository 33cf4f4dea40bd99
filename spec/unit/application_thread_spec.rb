# frozen_string_literal: true

RSpec.describe Volador::ApplicationThread do
  let(:printed) { StringIO.new }
  let(:log) { Volador::Log.new(printed) }
  let(:connections) { Volador::Push::Connections.new }

  # Runs the jobs to their end, the `nil` of a stopped worker.
  def run(seat, direct: false, &app)
    app = direct || app
    thread = described_class.new(seat: seat, app: app, direct: direct ? true : false, connections: connections,
                                 log: log, name: "spec").start
    expect(thread.join(10)).to be true
    seat.calls
  end

  it "answers request after request until the worker stops" do
    seat = Fakes::Seat.new(Fakes.env("/a"), Fakes.env("/b"))
    calls = run(seat) { |env| [200, {}, [env["PATH_INFO"]]] }
    expect(calls).to eq [[:respond, 200, {}, ["/a"]], [:respond, 200, {}, ["/b"]]]
  end

  [RuntimeError, NotImplementedError, NoMemoryError, SystemStackError, SystemExit, Interrupt, SecurityError,
   Class.new(Exception)].each do |error|
    it "answers 500 when the application raises #{error.name || 'an Exception of its own'}, and goes on" do
      seat = Fakes::Seat.new(Fakes.env("/a"))
      calls = run(seat) { raise error, "secret" }
      expect(calls).to eq [[:respond, 500, { "content-type" => "text/plain" }, ["Internal Server Error"]]]
      expect(printed.string).to start_with "volador ERROR: GET /a: secret"
    end
  end

  it "answers 500 for what the extension finds invalid" do
    seat = Fakes::Seat.new(Fakes.env)
    seat.failure = Volador::ResponseError.new("the header x has a line break in it")
    expect(run(seat) { [200, { "x" => "a\r\nb" }, []] }.dig(0, 1)).to eq 500
    expect(printed.string).to include "the header x has a line break in it (Volador::ResponseError)"
  end

  it "answers 500 and replaces the thread when the application ends it" do
    seat = Fakes::Seat.new(Fakes.env("/kill"), Fakes.env("/next"))
    calls = run(seat) do |env|
      Thread.exit if env["PATH_INFO"] == "/kill"
      [200, {}, ["alive"]]
    end
    expect(calls.map { |call| call[1] }).to eq [500, 200]
    expect(printed.string).to include "it is to be replaced"
  end

  it "cuts the response and closes its body when the thread ends while streaming" do
    body = Fakes::Body.new do |block|
      block.call("a")
      Thread.current.kill
    end
    seat = Fakes::Seat.new(Fakes.env)
    run(seat) { [200, {}, body] }
    expect(seat.steps).to eq %i[start write abort]
    expect(body.closed).to eq 1
  end

  it "answers a request with 500 whose env an exception kept from it, and goes on" do
    seat = Fakes::Seat.new(Fakes.env, Fakes.env)
    seat.interrupt = RuntimeError.new("too early")
    expect(run(seat) { [200, {}, []] }.map { |call| call[1] }).to eq [500, 200]
    expect(printed.string.scan("too early").size).to eq 1
  end

  it "raises nothing of what has ended the thread into whoever waits for it" do
    seat = Fakes::Seat.new
    thread = described_class.new(seat: seat, app: ->(_) {}, direct: false, connections: connections,
                                 log: Volador::Log.new(printed), name: "one")
    dead = Thread.new do
      Thread.current.report_on_exception = false
      raise "late"
    end
    thread.instance_variable_set(:@thread, dead)
    expect(thread.join(Deadline::DEFAULT_SECONDS)).to be true
  end

  it "closes the body once of an answer that an exception keeps from being given" do
    body = Fakes::Body.new(["a"])
    %i[respond_plainly start].each do |where|
      seat = Fakes::Seat.new(Fakes.env)
      seat.define_singleton_method(where) { |*| raise "late" }
      run(seat) { [200, {}, body] }
      expect(seat.calls.map { |call| call[0..1] }).to eq [[:respond, 500]]
    end
    expect(body.closed).to eq 2
  end

  it "survives an exception that is raised into it between two jobs" do
    seat = Fakes::Seat.new(-> { raise "late" }, Fakes.env)
    expect(run(seat) { [200, {}, []] }.dig(0, 1)).to eq 200
    expect(printed.string).to include "outside of any request: late"
  end

  it "runs rack.response_finished when the application raises" do
    errors = []
    run(Fakes::Seat.new(Fakes.env)) do |env|
      env["rack.response_finished"] = [->(_, _, _, error) { errors << error.message }]
      raise "broken"
    end
    expect(errors).to eq ["broken"]
  end

  it "runs each of rack.response_finished once, whatever ends its thread" do
    body = Fakes::Body.new(["a"])
    body.define_singleton_method(:close) { Thread.exit }
    { call: -> { Thread.exit }, close: -> { [200, {}, body] }, callable: -> { [200, {}, []] } }.each do |where, answer|
      calls = []
      run(Fakes::Seat.new(Fakes.env)) do |env|
        env["rack.response_finished"] = [->(*) { calls << 1 }, ->(*) { (calls << 2) && where == :callable && Thread.exit }]
        answer.call
      end
      expect([where, calls]).to eq [where, [2, 1]]
    end
  end

  it "runs each of rack.response_finished once with an env that the application has frozen, whatever ends its thread" do
    body = Fakes::Body.new(["a"])
    body.define_singleton_method(:close) { Thread.exit }
    { raise: -> { raise "broken" }, close: -> { [200, {}, body] }, callable: -> { [200, {}, []] } }.each do |where, answer|
      calls = []
      jobs = Array.new(2) { Fakes.env }
      run(Fakes::Seat.new(*jobs)) do |env|
        callables = [->(*) { calls << 1 }, ->(*) { (calls << 2) && where == :callable && Thread.exit }]
        env["rack.response_finished"] = callables.freeze
        env.freeze
        answer.call
      end
      expect([where, calls]).to eq [where, [2, 1, 2, 1]]
    end
    expect(printed.string).not_to include "FrozenError"
  end

  describe "with push requests" do
    let(:connection) { Fakes::Connection.new(7) }
    let(:handler) do
      Class.new do
        attr_reader :heard

        def initialize
          @heard = []
        end

        def on_message(data) = @heard << data

        def on_close = @heard << :closed
      end.new
    end

    def seat(*events, transport: :websocket)
      Fakes::Seat.new(Fakes.env("/push", "HTTP_UPGRADE" => "websocket"), *events.map { |event| [7, *event] },
                      transport: transport, connection: connection)
    end

    # @return [Object] an app whose on_open does the block
    def push_app(&block)
      Class.new do
        define_method(:call) { |_env| [200, {}, ["plain"]] }
        define_method(:on_open, &block)
      end.new
    end

    it "upgrades, writes in on_open, and runs the handler's callbacks" do
      handler = self.handler
      app = push_app do |env|
        env["push.writer"].write(:hello)
        handler
      end
      calls = run(seat([:message, "hi"], [:close, 1000]), direct: app)
      expect(calls).to eq [[:upgrade, {}, 1]]
      expect(connection.sent).to eq ["hello"]
      expect(handler.heard).to eq ["hi", :closed]
      expect(connections.size).to eq 0
    end

    it "closes the connection, whose end the handler is told, when an exception comes as the upgrade has been given" do
      handler = self.handler
      seat = seat([:close, 1011])
      seat.define_singleton_method(:upgrade) { |*arguments| super(*arguments).then { raise "late" } }
      run(seat, direct: push_app { |_env| handler })
      expect([connection.code, seat.steps, handler.heard, connections.size]).to eq [1011, [:upgrade], [:closed], 0]
    end

    it "wants no events for a handler of nil or one without callbacks" do
      [nil, "accident"].each do |value|
        expect(run(seat, direct: push_app { |_| value })).to eq [[:upgrade, {}, nil]]
      end
      expect(connections.size).to eq 0
    end

    it "closes a handler without on_message" do
      closed = 0
      handler = Object.new
      handler.define_singleton_method(:on_close) { closed += 1 }
      run(seat([:message, "hi"], [:close, 1006], [:close, 1006]), direct: push_app { |_| handler })
      expect(closed).to eq 1
    end

    it "sends the headers that middleware adds, without those of the gateway" do
      handler = self.handler
      stack = Class.new do
        def initialize(app) = (@app = app)

        def call(env)
          status, headers, body = @app.call(env)
          [status, headers.merge("Set-Cookie" => "a=1", "Content-Length" => "0", "Connection" => "x"), body]
        end
      end.new(push_app { |_| handler })
      stack = Volador::Push::Interceptor.install(stack).app
      expect(run(seat) { |env| stack.call(env) }).to eq [[:upgrade, { "Set-Cookie" => "a=1" }, 1]]
    end

    it "answers 500 when on_open raises, logs it once and closes the writer" do
      writer = nil
      app = push_app do |env|
        writer = env["push.writer"]
        raise "no room"
      end
      expect(run(seat, direct: app).first[0..2])
        .to eq [:respond, 500, { "content-type" => "text/plain", "connection" => "close" }]
      expect(printed.string.scan("no room").size).to eq 1
      expect(printed.string).to match(/on_open for \/push raised.*\n\t.*application_thread_spec/)
      expect { writer.write("x") }.to raise_error(Volador::ClosedError, /closed/)
    end

    it "does not log that on_open has written to a client that had left" do
      app = push_app do |env|
        env["push.writer"].close
        env["push.writer"].write("x")
      end
      expect(run(seat, direct: app).first[0..1]).to eq [:respond, 500]
      expect(printed.string).to eq ""
    end

    it "logs that on_open has written to another client, that had left, as it is refused by that" do
      other = Fakes::Connection.new(2).tap { |connection| connection.close(1000) }
      app = push_app { |_| Volador::Push::Writer.new(other).write("x") }
      expect(run(seat, direct: app).first[0..1]).to eq [:respond, 500]
      expect(printed.string).to match(/on_open for \/push raised.*ClosedError/)
    end

    it "closes the handler when middleware refuses after on_open" do
      handler = self.handler
      app = push_app { |_| handler }
      calls = run(seat) do |env|
        env["volador.push"].open(app, env)
        [403, {}, ["no"]]
      end
      expect(calls).to eq [[:respond, 403, {}, ["no"]]]
      expect(handler.heard).to eq [:closed]
    end

    it "answers as call does when nothing opens it" do
      expect(run(seat) { [200, {}, ["plain"]] }).to eq [[:respond, 200, {}, ["plain"]]]
    end

    it "logs a callback that raises and closes its connection only" do
      handler = Class.new { def on_message(_) = raise("oops") }.new
      run(seat([:message, "hi"]), direct: push_app { |_| handler })
      expect(connection).not_to be_open
      expect(printed.string).to include "on_message of", "oops"
    end

    describe "in the draft's form" do
      let(:recorder) do
        Class.new do
          attr_reader :heard

          def initialize = @heard = []

          def on_open(client) = (@heard << [:open, client.protocol]) && client.write("welcome")

          def on_message(_client, data) = @heard << data

          def on_close(_client) = @heard << :closed
        end.new
      end

      # @return [Proc] an app that answers so and sets the handler
      def draft(answer, handler = recorder)
        lambda do |env|
          env["rack.upgrade"] = handler
          answer
        end
      end

      it "says the transport, and nil to plain requests" do
        said = %i[websocket sse].each_with_object([]) do |transport, list|
          run(seat(transport: transport)) { |env| (list << env["rack.upgrade?"]) && [404, {}, []] }
        end
        run(Fakes::Seat.new(Fakes.env)) { |env| (said << env["rack.upgrade?"]) && [200, {}, []] }
        expect(said).to eq [:websocket, :sse, nil]
      end

      %i[websocket sse].each do |transport|
        it "upgrades with a status below 300, closes the body and calls the callbacks (#{transport})" do
          body = Fakes::Body.new(["unsent"])
          events = seat([:message, "hi"], [:drained], [:shutdown], [:close, 1000], transport: transport)
          calls = run(events, &draft([200, { "content-type" => "text/plain", "x-room" => "7" }, body]))
          expect(calls).to eq [[:upgrade, { "x-room" => "7" }, 7]]
          expect(body.closed).to eq 1
          expect(recorder.heard).to eq [[:open, transport], "hi", :closed]
          expect(connection).to have_attributes(sent: ["welcome"], code: 1001)
          expect(connections.size).to eq 0
        end
      end

      it "is refused by a status of 300 and above, which is sent as it is" do
        expect(run(seat, &draft([302, { "location" => "/login" }, ["go"]])))
          .to eq [[:respond, 302, { "location" => "/login" }, ["go"]]]
        expect(recorder.heard).to be_empty
      end

      it "takes no status for none below 300" do
        expect(run(seat, &draft([nil, {}, []])).map { |call| call[0..1] }).to eq [[:respond, 500]]
        expect(recorder.heard).to be_empty
      end

      it "takes the status 0, also below middleware and for SSE" do
        stack = Class.new do
          def initialize(app) = @app = app

          def call(env)
            status, headers, body = @app.call(env)
            [status, headers.merge("x-seen" => status.to_s), body]
          end
        end
        { websocket: "101", sse: "200" }.each do |transport, status|
          app = Volador::Push::Interceptor.install(stack.new(draft([0, { "x" => "y" }, []]))).app
          expect(run(seat(transport: transport)) { |env| app.call(env) })
            .to eq [[:upgrade, { "x" => "y", "x-seen" => status }.then { |headers|
              transport == :sse ? { "cache-control" => "no-store", **headers } : headers
            }, 7]]
        end
      end

      it "finds the handler in the env of the innermost app when middleware gave it a copy" do
        copying = Class.new do
          def initialize(app) = @app = app

          def call(env) = @app.call(env.dup)
        end
        app = Volador::Push::Interceptor.install(copying.new(draft([200, {}, []]))).app
        run(seat) { |env| app.call(env) }
        expect(recorder.heard).to eq [%i[open websocket]]
      end

      it "asks an app by call that is the handler itself, though it has an on_open" do
        heard = []
        app = Class.new do
          define_method(:call) { |env| (env["rack.upgrade"] = self) && [0, {}, []] }
          define_method(:on_open) { |client| heard << client.class }
          define_method(:on_message) { |_client, data| heard << data }
        end.new
        found = Volador::Push::Interceptor.install(app)
        expect(found.direct).to be false
        run(seat([:message, "hi"])) { |env| found.app.call(env) }
        expect(heard).to eq [Volador::Push::Client, "hi"]
      end

      it "wins over Iodine's first form" do
        run(seat) do |env|
          env["upgrade.websocket"] = Object.new
          draft([0, {}, []]).call(env)
        end
        expect(recorder.heard).to eq [%i[open websocket]]
      end

      it "answers a plain request as usual, whatever it set" do
        expect(run(Fakes::Seat.new(Fakes.env), &draft([200, {}, ["plain"]]))).to eq [[:respond, 200, {}, ["plain"]]]
      end

      it "calls no callback when the handshake can't be sent" do
        broken = seat
        broken.failure = Volador::ResponseError.new("the header x has a line break in it")
        expect(run(broken, &draft([200, { "x" => "a\nb" }, []])).dig(0, 1)).to eq 500
        expect(recorder.heard).to be_empty
        expect(connections.size).to eq 0
      end
    end

    describe "in Iodine's first form" do
      def iodine(handler)
        lambda do |env|
          env["upgrade.websocket"] = handler if env["HTTP_UPGRADE"] =~ /websocket/i
          [0, {}, []]
        end
      end

      let(:echo) do
        Class.new do
          attr_reader :heard

          def on_open = write("welcome")

          def on_message(data)
            (@heard ||= []) << data
            write(data)
            close
          end

          def on_close = @heard << :closed
        end
      end

      it "calls on_open, on_message and on_close, and gives write and close" do
        handler = echo.new
        expect(run(seat([:message, "hi"], [:close, 1000]), &iodine(handler))).to eq [[:upgrade, {}, 1]]
        expect(connection.sent).to eq %w[welcome hi]
        expect(connection).not_to be_open
        expect(handler.heard).to eq ["hi", :closed]
        expect(echo.instance_methods).not_to include(:write)
        expect(handler.write("late")).to be false
      end

      it "makes an instance of a class" do
        run(seat, &iodine(echo))
        expect(connection.sent).to eq %w[welcome]
      end

      it "leaves a write of the handler's own alone" do
        own = Class.new do
          attr_reader :written

          def on_open = write("x")

          def write(data) = @written = data
        end.new
        run(seat, &iodine(own))
        expect(own.written).to eq "x"
        expect(connection.sent).to be_empty
      end

      it "takes a frozen handler" do
        handler = Class.new { def on_message(_) = nil }.new.freeze
        expect(run(seat, &iodine(handler))).to eq [[:upgrade, {}, 1]]
      end

      it "means the connection whose callback runs when one handler serves several" do
        handler = Module.new do
          def self.on_message(data) = write(data)
        end
        log = self.log
        made = [1, 2].map { |id| Fakes::Connection.new(id) }
        callbacks = made.map { |one| Volador::Push::UpgradeCallbacks.new(handler, Volador::Push::Writer.new(one), log) }
        callbacks.each_with_index { |one, index| one.message(index.to_s) }
        expect(made.map(&:sent)).to eq [["0"], ["1"]]
      end

      it "does not upgrade an SSE request" do
        calls = run(seat(transport: :sse)) do |env|
          env["upgrade.websocket"] = Object.new
          [200, {}, []]
        end
        expect(calls.dig(0, 0)).to eq :respond
      end
    end
  end
end
