# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Volador.broadcast" do
  # /send?PATTERN broadcasts the request's body and answers with how long that took, in microseconds.
  broadcasting = <<~RUBY
    require "rack"

    class App
      def call(env)
        pattern = env["QUERY_STRING"]
        data = env["rack.input"].read
        data.force_encoding(env["HTTP_X_ENCODING"] || "UTF-8") unless env["HTTP_X_BINARY"]
        count = (env["HTTP_X_COUNT"] || 1).to_i
        from = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
        result = count.times.map { |index| Volador.broadcast(pattern, count == 1 ? data : "\#{data}\#{index}") }.last
        spent = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond) - from
        [200, { "x-result" => result.inspect }, [spent.to_s]]
      rescue ArgumentError => e
        [422, {}, [e.message]]
      end

      def on_open(env)
        env["push.writer"].write("open")
        nil
      end
    end

    map("/mapped") { run App.new }
    run App.new
  RUBY
  shared_server(broadcasting)

  def broadcast(pattern, data, headers = {})
    server.connect { |socket| socket.request("POST", "/send?#{pattern}", headers, data) }
  end

  def opened(transport, target)
    client = PushClient.open(transport, server.port, target)
    client.read
    (@opened ||= []) << client
    client
  end

  after { @opened&.each(&:leave) }

  # What a client got of two broadcasts: one by the pattern, one (the mark) by its own exact path.
  def reached?(client, target, pattern)
    broadcast(pattern, "by pattern")
    broadcast(target[/\A[^?]+/], "mark")
    first = client.read
    client.read unless first == "mark"
    first == "by pattern"
  end

  PushClient::TRANSPORTS.each do |transport|
    context "over #{transport}" do
      {
        "/rooms/7" => { "/rooms/7" => true, "/rooms/7?a=b" => true, "/rooms/8" => false, "/rooms" => false,
                        "/rooms/7/x" => false, "/rooms/77" => false },
        "/rooms/*" => { "/rooms/7" => true, "/rooms/8" => true, "/rooms/7/x" => false, "/rooms" => false,
                        "/halls/7" => false },
        "/*/talk" => { "/a/talk" => true, "/a/b/talk" => false, "/talk" => false, "/a/walk" => false },
        "/*/*" => { "/a/b" => true, "/a" => false, "/a/b/c" => false },
        "/rooms/**" => { "/rooms/7" => true, "/rooms/7/x" => true, "/rooms/7/x/y/z" => true, "/halls/7" => false,
                         "/roomsy/7" => false },
        "/*/x/**" => { "/a/x/b" => true, "/a/x/b/c" => true, "/a/y/b" => false },
        "/**" => { "/" => true, "/a" => true, "/a/b/c" => true },
        "/" => { "/" => true, "/a" => false },
        "/mapped/x" => { "/mapped/x" => true, "/x" => false }
      }.each do |pattern, targets|
        it "to #{pattern} reaches #{targets.select { |_, reached| reached }.keys.join(' and ')} only" do
          clients = targets.to_h { |target, _| [target, opened(transport, target)] }

          expect(clients.to_h { |target, client| [target, reached?(client, target, pattern)] }).to eq(targets)
        end
      end

      it "keeps the order for each connection" do
        clients = Array.new(3) { opened(transport, "/order") }
        broadcast("/order", "m", "X-Count" => "200")

        clients.each { |client| expect(Array.new(200) { client.read }).to eq(Array.new(200) { |index| "m#{index}" }) }
      end

      it "does not reach those who have left" do
        left = opened(transport, "/leaving")
        stayed = opened(transport, "/leaving")
        left.reset

        expect(broadcast("/leaving", "still here").status).to eq(200)
        expect(stayed.read).to eq("still here")
      end
    end
  end

  it "reaches WebSocket and SSE at once" do
    clients = PushClient::TRANSPORTS.map { |transport| opened(transport, "/both") }
    broadcast("/both", "zwölf")

    expect(clients.map(&:read)).to eq(%w[zwölf zwölf])
  end

  it "sends UTF-8 as text and BINARY as binary frames" do
    client = opened(:websocket, "/types").client
    broadcast("/types", "täxt")
    broadcast("/types", "\x00\xFF".b, "X-Binary" => "1")

    expect(client.read_frame).to have_attributes(opcode: :text, payload: "täxt")
    expect(client.read_frame).to have_attributes(opcode: :binary, payload: "\x00\xFF".b)
  end

  it "returns nil, also when nobody listens" do
    expect(broadcast("/nobody", "x")["x-result"]).to eq("nil")
  end

  it "returns at once, whatever its readers do" do
    lazy = Array.new(20) { opened(:websocket, "/lazy") }
    spent = broadcast("/lazy", "x" * 10_000, "X-Count" => "1000").body.to_i

    expect(spent).to be < 10_000_000 # microseconds: its readers never read
    expect(lazy.size).to eq(20)
  end

  it "leaves the memory bounded when nobody reads: such a connection is closed" do
    lazy = opened(:websocket, "/never-reads")
    100.times { broadcast("/never-reads", "x" * 100_000, "X-Count" => "3") }

    expect(lazy).to be_ended
  end

  it "of something that is not a path pattern is an ArgumentError" do
    expect(broadcast("rooms", "x")).to have_attributes(status: 422)
  end

  it "sends text of other encodings as UTF-8, as a writer does" do
    client = opened(:websocket, "/latin")
    broadcast("/latin", "caf\xE9".b, "X-Encoding" => "ISO-8859-1")

    expect(client.read).to eq("café").and have_attributes(encoding: Encoding::UTF_8)
  end

  it "works from a thread that no request started, also from several at once" do
    server = start_volador(<<~RUBY)
      4.times do |index|
        Thread.new do
          loop do
            Volador.broadcast("/clock", "thread \#{index}")
            sleep 0.01
          end
        end
      end
      class App
        def call(_env)
          [404, {}, []]
        end

        def on_open(_env)
          nil
        end
      end
      run App.new
    RUBY
    PushClient.open(:sse, server.port, "/clock") do |client|
      heard = []
      heard |= [client.read] until heard.size == 4

      expect(heard).to match_array(Array.new(4) { |index| "thread #{index}" })
    end
  end

  it "reaches a connection of an app that it is called by, from on_open and from on_message" do
    server = start_volador(<<~RUBY)
      class Talk
        def on_message(data)
          Volador.broadcast("/talk/**", "said: \#{data}")
        end
      end

      class App
        def call(_env)
          [404, {}, []]
        end

        def on_open(env)
          Volador.broadcast("/talk/first", "someone joined") if env["PATH_INFO"] == "/talk/second"
          env["push.writer"].write("open")
          Talk.new
        end
      end
      run App.new
    RUBY
    WebSocketClient.open(server.port, "/talk/first") do |first|
      first.read_message
      WebSocketClient.open(server.port, "/talk/second") do |second|
        expect(first.read_message).to eq("someone joined")
        second.read_message
        second.send_text("hello")

        expect([first.read_message, second.read_message]).to eq(["said: hello", "said: hello"])
      end
    end
  end
end
