# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "The commands for a server with workers" do
  app = <<~'RUBY'
    run(lambda do |env|
      warn "seen #{env['PATH_INFO']}" unless env["PATH_INFO"] == "/"
      sleep if env["PATH_INFO"] == "/forever"
      [200, {}, [Process.pid.to_s]]
    end)
  RUBY

  describe "volador status" do
    it "shows the server and its workers" do
      cluster = start_cluster(app, "-e", "staging", "-t", "3")
      out, err, status = cluster.command("status")
      rows = out.lines.last(2).map(&:split)

      expect([err, status]).to eq(["", 0])
      expect(out).to start_with("volador #{Volador::VERSION}, pid #{cluster.pid}, staging, #{File.realpath(cluster.directory)}\n" \
                                "listening on http://127.0.0.1:#{cluster.port}\nserving, up ")
      expect(out).to include("generation 1, 2 workers")
      expect(rows.map { |row| row.values_at(0, 2, 3) }).to eq([%w[1 1 serving], %w[2 1 serving]])
      expect(rows.map { |row| Integer(row[1]) }).to eq(cluster.workers)
    end

    it "tells all there is to know as JSON" do
      cluster = start_cluster(app)
      cluster.connect do |socket|
        socket.send_request("GET", "/forever")
        cluster.wait_for_output(%r{^seen /forever$})
        out, = cluster.command("status", "--json")
        known = JSON.parse(out, symbolize_names: true)

        expect(known).to include(pid: cluster.pid, state: "running", generation: 1, workers_wanted: 2, deploying: false,
                                 addresses: ["tcp://127.0.0.1:#{cluster.port}"])
        expect(known[:generations].first[:workers].sum { |worker| worker[:in_flight] }).to eq(1)
        expect(known[:stats]).to include(requests: 1, http_connections: 1)
      end
    end

    it "finds the server through -S and through the config file as well" do
      cluster = start_cluster(app, configuration: "control_socket 'tmp/control.sock'\n", files: { "tmp/keep" => "" })

      expect(cluster.command("status").last).to eq(0)
      expect(cluster.command("status", "-S", File.join(cluster.directory, "tmp/control.sock"), chdir: "/").last).to eq(0)
      expect(format("%o", File.stat(File.join(cluster.directory, "tmp/control.sock")).mode & 0o777)).to eq("600")
      cluster.stop
      expect(File.exist?(File.join(cluster.directory, "tmp/control.sock"))).to be(false)
    end

    it "tells of a worker that hangs" do
      cluster = start_cluster(app)
      stopped = cluster.workers.first
      Process.kill(:STOP, stopped)
      Deadline.until("two seconds of silence") do
        cluster.generation[:workers].find { |worker| worker[:pid] == stopped }[:quiet] > 2
      end

      expect(cluster.command("status").first).to match(/^\d +#{stopped} .* [2-9]\.\d s ago$/)
    end
  end

  describe "volador stop" do
    it "returns when the server has ended" do
      cluster = start_cluster(app)
      everything = cluster.processes

      expect(cluster.command("stop")).to eq(["the server has stopped\n", "", 0])
      expect(cluster.wait(seconds: 1).exitstatus).to eq(0)
      expect(everything.select { |pid| Processes.alive?(pid) }).to eq([])
    end

    it "returns for everybody who asks" do
      cluster = start_cluster(app)
      path = Dir["#{cluster.runtime}/*/*.sock"].first
      asking = Array.new(3) { UNIXSocket.new(path) }
      asking.each { |socket| socket.write("{\"do\":\"stop\"}\n") }

      # The end of the connection is that of the process.
      expect(asking.map(&:read)).to eq(["", "", ""])
      expect(cluster.wait(seconds: 1).exitstatus).to eq(0)
      asking.each(&:close)
    end
  end

  %w[status restart stop console].each do |name|
    it "volador #{name} says in one line that there is no server" do
      Dir.mktmpdir do |folder|
        cluster = keep(ClusterServer.cluster(app))
        out, err, status = cluster.command(name, chdir: folder)

        expect([out, status]).to eq(["", 1])
        expect(err).to match(/\Avolador: no volador with workers runs in #{folder}: go to the folder where it was started, or name its control socket with -S\n\z/)
      end
    end

    it "volador #{name} explains itself, and refuses what it does not know in one line" do
      cluster = keep(ClusterServer.cluster(app))

      expect(cluster.command(name, "--help")).to match([a_string_starting_with("Usage: volador #{name} [options]"), "", 0])
      expect(cluster.command(name, "--nope")).to eq(["", "volador: invalid option: --nope; volador #{name} --help lists the options\n", 1])
      expect(cluster.command(name, "more")).to eq(["", "volador: #{name} takes options only, got more\n", 1])
    end
  end

  it "say that the server has ended which was killed" do
    cluster = start_cluster(app)
    cluster.signal(:KILL).wait

    expect(cluster.command("status")[1..]).to match([/\Avolador: no volador with workers runs/, 1])
  end

  it "refuse a second server with the same control socket, which leaves the first alone" do
    cluster = start_cluster(app)
    out, err, status = cluster.command("-w", "1", "-b", "tcp://127.0.0.1:0")

    expect([out, status]).to eq(["", 1])
    expect(err).to match(/\Avolador: another volador has the control socket .*: volador stop ends it, -S PATH gives this one a socket of its own\n\z/)
    expect(cluster.command("status").last).to eq(0)
    expect(cluster.get("/").status).to eq(200)
  end

  it "volador console talks to the running server" do
    cluster = start_cluster("Volador.subscribe('news') { |_, message| warn \"heard \#{message} in \#{Process.pid}\" }\n#{app}")
    out, err, status = cluster.command("console", input: <<~RUBY)
      Volador.publish("news", "hello")
      puts "requests " + Volador.stats[:requests].to_s
      heard = Queue.new
      Volador.subscribe("echo") { |_, message| heard << message }
      Volador.publish("echo", "once")
      puts "back " + heard.pop
      sleep 0.2
      puts "more " + heard.size.to_s
    RUBY

    expect([err, status]).to eq(["", 0])
    expect(out).to include("requests 0", "back once", "more 0")
    cluster.wait_for_output(/heard hello in \d+\n(.*\n)*heard hello in \d+/)
    expect(cluster.output.scan(/heard hello in (\d+)/).flatten.map(&:to_i)).to match_array(cluster.workers)
  end
end
