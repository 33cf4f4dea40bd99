# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A server that may have few files open" do
  page = "A page of a file.\n" * 1000
  # Answers with a file, which crosses the link as a descriptor.
  application = <<~RUBY
    class Page
      def initialize(path) = @path = path
      def to_path = @path
      def each = yield(File.read(@path))
    end
    File.write("page", "A page of a file.\\n" * 1000)
    File.open("endless", "w") { |file| file.truncate(64 << 20) }
    held = []
    hoard = lambda do
      loop { held << File.open(File::NULL) }
    rescue Errno::EMFILE
      held.size
    end
    run(lambda do |env|
      name = env["PATH_INFO"].delete_prefix("/")
      next [200, {}, ["no file"]] if name == "none"
      next [200, {}, [sleep(1).to_s]] if name == "slow"
      next [200, {}, Enumerator.new { |chunks| 500.times { chunks << "x" * 65_536 } }] if name == "stream"
      next [200, {}, [hoard.call.to_s]] if name == "hoard"
      next [200, {}, [Volador.stats[:refused_busy].to_s]] if name == "refused"

      [200, { "content-type" => "text/plain" }, Page.new(File.expand_path(name.empty? ? "page" : name))]
    end)
  RUBY
  # Idle clients are not to leave before the example is over.
  patient = "head_timeout 120\nkeep_alive_timeout 120\n"
  advice = /new clients wait until others leave: this process may have 128 files open, .*ulimit -n, or LimitNOFILE=/

  # More clients than the server may have files open, who say nothing.
  def crowd(server)
    Array.new(160) { server.connect }
  end

  # Each process says it once for itself, in its own time.
  def expect_want_to_be_said_once(server, processes: 1)
    server.wait_for_output(/are given up until/)
    expect(server.output.scan("are given up until").size).to be_between(1, processes)
  end

  def expect_late_client_to_be_served_when(server)
    server.connect do |late|
      late.send_request("GET", "/")
      expect(late).to be_silent(0.5)
      yield
      expect(late.read_response.status).to eq(200)
    end
  end

  it "with workers serves files to those who are there, loses no worker, and lets new workers and then new clients in" do
    cluster = start_cluster(application, configuration: patient, limits: { rlimit_nofile: 128 })
    workers = cluster.workers
    cluster.connect do |socket|
      crowd = crowd(cluster)
      cluster.wait_for_output(advice)
      bodies = Array.new(50) { socket.request("GET", "/").body }

      expect(bodies).to all(eq(page))
      expect(cluster.workers).to eq(workers)

      Process.kill(:KILL, workers.first)
      cluster.wait_for_workers(2, without: workers.take(1))

      expect(Array.new(10) { socket.request("GET", "/").body }).to all(eq(page))
      expect_late_client_to_be_served_when(cluster) { crowd.each(&:close) }
    end
    expect(cluster.output.scan("new clients wait").size).to eq(1)
    expect(cluster.output.scan(/worker \d \(pid \d+\) has ended/).size).to eq(1)
  end

  describe "gives up, with workers and without losing one," do
    attr_reader :cluster, :workers

    before do
      @cluster = start_cluster(application, configuration: patient, limits: { rlimit_nofile: 512 })
      @workers = cluster.workers
    end

    def expect_to_have_lost_nothing
      expect(cluster.workers).to eq(workers)
      Deadline.until("files to be served again") { cluster.get("/").status == 200 }
      expect_want_to_be_said_once(cluster, processes: 1 + workers.size)
      expect(cluster.output).not_to include("has ended")
    end

    it "answers from files that clients do not read" do
      crowd = Array.new(350) { cluster.connect }
      statuses = crowd.map { |client| client.send_request("GET", "/endless").read_head.status }

      expect(statuses.tally).to match(200 => be > 50, 502 => be > 50)
      expect(crowd.first).not_to be_silent
      expect(cluster.get("/none").status).to eq(200)

      crowd.each(&:close)
      expect_to_have_lost_nothing
    end

    it "bodies that clients do not complete" do
      crowd = Array.new(350) { cluster.connect.send_bytes("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n") }
      crowd.each { |client| client.send_bytes("x" * 80_000) }
      refused = Deadline.until("50 refusals") do
        readable, = IO.select(crowd.map(&:io), nil, nil, 0)
        readable if readable && readable.size > 50
      end

      expect(refused.map { |io| RawSocket.new(io).read_head.status }).to all(eq(503))
      expect(refused.size).to be < 300
      expect(cluster.get("/none").status).to eq(200)

      crowd.each(&:close)
      expect_to_have_lost_nothing
    end
  end

  # They leave the worker together, many more than the gateway has room for.
  it "with workers answers 502 for files that it has no room for, and loses none of the requests beside them" do
    cluster = start_cluster(application, configuration: patient, limits: { rlimit_nofile: 200 })
    workers = cluster.workers
    plain = Array.new(4) { cluster.connect.send_request("GET", "/slow") }
    crowd = Array.new(120) { cluster.connect }
    crowd.each { |client| client.send_request("GET", "/endless") }

    expect(crowd.map { |client| client.read_head.status }.tally).to match(200 => be > 20, 502 => be > 20)
    expect(plain.map { |client| client.read_response.status }).to all(eq(200))
    expect(cluster.workers).to eq(workers)
    expect_want_to_be_said_once(cluster, processes: 1 + workers.size)
    expect(cluster.output.lines.grep(/WARN|ERROR/)).to all(include("are given up until"))
  end

  it "in one process answers 502 for files that it has no room for, and says so once" do
    server = start_cluster(application, workers: nil, configuration: patient, limits: { rlimit_nofile: 200 })
    # All of them are there before the first file is: who came later might find no descriptor for itself.
    plain, *crowd = Array.new(121) { server.connect.tap { |client| client.request("GET", "/none") } }
    crowd.each { |client| client.send_request("GET", "/endless") }

    expect(crowd.map { |client| client.read_head.status }.tally).to match(200 => be > 20, 502 => be > 20)
    expect(plain.request("GET", "/none").status).to eq(200)
    expect_want_to_be_said_once(server)
    expect(server.output.scan(/WARN|ERROR/)).to eq(["WARN"])
  end

  it "gives up what needs a file where the application has taken all descriptors, and says so once" do
    cluster = start_cluster(application, workers: 1, configuration: patient, limits: { rlimit_nofile: 128 })
    expect(cluster.get("/hoard").body.to_i).to be > 64

    cluster.connect do |socket|
      socket.send_request("GET", "/stream")
      cluster.wait_for_output(/are given up until/)
      expect(socket.read_to_end.bytesize).to be < 500 * 65_536
    end
    expect(cluster.get("/").status).to eq(502)
    cluster.connect do |socket|
      socket.send_bytes("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n#{'x' * 90_000}")
      expect(socket.read_head.status).to eq(503)
    end
    expect(cluster.get("/refused").body).to eq("1")
    expect(cluster.get("/none").body).to eq("no file")
    expect(cluster.output.scan(/WARN|ERROR/)).to eq(["WARN"])
  end

  it "in one process leaves some to the application" do
    server = start_cluster(application, workers: nil, configuration: patient, limits: { rlimit_nofile: 128 })
    server.connect do |socket|
      crowd = crowd(server)
      server.wait_for_output(advice)

      expect(Array.new(50) { socket.request("GET", "/").body }).to all(eq(page))
      expect_late_client_to_be_served_when(server) { crowd.each(&:close) }
    end
  end

  it "raises the limit as far as the system allows it, and says nothing about that" do
    [nil, 2].each do |workers|
      server = start_cluster(application, workers: workers, limits: { rlimit_nofile: [64, 300] })

      expect(File.read("/proc/#{server.pid}/limits")).to match(/^Max open files +300 +300 /)
      expect(server.output).not_to include("WARN")
    end
  end
end
