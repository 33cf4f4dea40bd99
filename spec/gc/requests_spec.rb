# frozen_string_literal: true

require_relative "../integration/integration_helper"

# Run on its own this is a round through the server; with VOLADOR_GC=stress the server collects at every allocation,
# with VOLADOR_GC=compact its objects move all the time.
RSpec.describe "Requests while the collector is at work", gc: :server do
  application = <<~RUBY
    class Body
      def each
        5.times { |index| yield "part \#{index} " }
      end

      def close
        $stderr.write("closed\\n")
      end
    end

    class FileBody
      def each
        raise "each must not be called"
      end

      def to_path
        File.expand_path("config.ru")
      end
    end

    run(lambda do |env|
      case env["PATH_INFO"]
      when "/env"
        [200, { "content-type" => "text/plain", "x-many" => %w[one two] }, [env.values_at("REQUEST_METHOD", "QUERY_STRING",
                                                                                        "HTTP_X_MINE", "REMOTE_ADDR").inspect]]
      when "/echo" then [200, {}, [env["rack.input"].read]]
      when "/each" then [200, {}, Body.new]
      when "/file" then [200, {}, FileBody.new]
      when "/stream" then [200, {}, ->(stream) { 3.times { |index| stream.write("s\#{index}") } }]
      when "/raise" then raise "it broke"
      when "/bad-header" then [200, { "x-a" => "one\\r\\ntwo" }, []]
      else [404, {}, []]
      end
    end)
  RUBY

  it "are answered with the right env, headers and bodies" do
    server = start_volador(application, "-t", "2")
    small = "0123456789" * 10
    large = "0123456789" * 10_000
    server.connect do |socket|
      3.times do
        response = socket.request("GET", "/env?a=b", { "X-Mine" => "mine" })
        expect(response.body).to eq(%w[GET a=b mine 127.0.0.1].inspect)
        expect(response.all("x-many")).to eq(%w[one two])
        expect(socket.request("POST", "/echo", {}, small).body).to eq(small)
        expect(socket.request("POST", "/echo", {}, large).body).to eq(large)
        expect(socket.request("GET", "/each").body).to eq("part 0 part 1 part 2 part 3 part 4 ")
        expect(socket.request("GET", "/file").body).to eq(application.b)
        expect(socket.request("GET", "/stream").body).to eq("s0s1s2")
        expect(socket.request("GET", "/nothing").status).to eq(404)
      end
    end
  end

  it "that fail are answered with 500" do
    server = start_volador(application, "-t", "2")

    expect(%w[/raise /bad-header].map { |path| server.get(path).status }).to eq([500, 500])
  end

  it "run on several threads at once" do
    server = start_volador(application, "-t", "3")
    sockets = Array.new(6) { server.connect }
    3.times do |round|
      sockets.each { |socket| socket.send_request("POST", "/echo", {}, "round #{round}") }
      expect(sockets.map { |socket| socket.read_response.body }).to all(eq("round #{round}"))
    end
    sockets.each(&:close)
  end

  it "whose clients leave do no harm" do
    server = start_volador(application, "-t", "1")
    5.times { server.connect { |socket| socket.send_request("GET", "/each") } }
    server.wait_for_output(/closed/)

    expect(server.get("/env").status).to eq(200)
    expect(server.stop.exitstatus).to eq(0)
  end
end
