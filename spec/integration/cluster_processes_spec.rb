# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A server with workers" do
  include_context "with workers that tell what they see"

  def pid_of(response)
    Integer(response.body[/\A\d+/])
  end

  def refused?(server)
    server.connect(&:close)
    false
  rescue Errno::ECONNRESET
    false
  rescue Errno::ECONNREFUSED
    true
  end

  it "loads the application once, in the mold, and runs it in the workers" do
    cluster = start_cluster(telling)
    mold = cluster.mold
    workers = cluster.workers
    seen = Array.new(30) { cluster.get("/").body.split }

    expect(File.readlines(File.join(cluster.directory, "loaded"), chomp: true)).to eq([mold.to_s])
    expect(seen.map { |pid, *| Integer(pid) } - workers).to eq([])
    expect(seen.map { |_, parent, multiprocess| [Integer(parent), multiprocess] }.uniq).to eq([[mold, "true"]])
    expect(cluster.processes).to contain_exactly(cluster.pid, mold, *workers)
  end

  it "has as many workers as -w and WEB_CONCURRENCY say, and says so" do
    expect(start_cluster(telling, workers: 3).output).to match(/listening on \S+ \(3 workers, 5 threads each\)$/)
    expect(start_cluster(telling, "-t", "1", workers: 1).output).to match(/\(1 worker, 1 thread\)$/)
    by_variable = keep(ServerProcess.volador(telling, env: { "WEB_CONCURRENCY" => "2" })).wait_until_listening
    expect(by_variable.output).to include("(2 workers, 5 threads each)")
    expect(by_variable.stop.exitstatus).to eq(0)
  end

  it "has none of the gateway's descriptors in its other processes, and none of one worker in another" do
    cluster = start_cluster("Thread.new { loop { sleep 0.1; Volador.publish('clock', 'tick') } }\n#{telling}", workers: 3)
    # One that is forked while the mold is a guest and other workers are there.
    first, *others = cluster.workers
    Process.kill(:KILL, first)
    workers = cluster.wait_for_workers(3, without: [first])
    shared = Processes.descriptors(cluster.pid).grep(%r{\A/dev/null|\Apipe}).tally.select { |_, count| count > 1 }.keys
    own = lambda do |pid|
      # Those without a name are alike and mean nothing.
      Processes.descriptors(pid).grep(/\A(socket|pipe):/) - shared
    end
    all = [cluster.pid, cluster.mold, *workers].map { |pid| own.call(pid).uniq }

    expect(others - workers).to eq([])
    expect(all.flatten.tally.select { |_, count| count > 1 }).to eq({})
    # stdin, stdout, stderr, the link with its journal, and what Ruby has for itself.
    expect(workers.map { |pid| Processes.descriptors(pid).size }).to all(be <= 8)
  end

  it "has its files in folders for its user alone" do
    cluster = start_cluster(telling)
    home = "volador-#{Process.euid}"
    private = Dir.children(File.join(cluster.runtime, home)).find { |name| name.start_with?("#{cluster.pid}-") }
    modes = cluster.files.to_h { |path| [path, format("%o", File.lstat(File.join(cluster.runtime, path)).mode & 0o777)] }
    control = modes.keys.grep(/\h{16}\.sock\z/).first

    expect(modes).to include(home => "700", "#{home}/#{private}" => "700", control => "600")
    expect(modes.keys - [home, control]).to all(start_with("#{home}/#{private}"))
  end

  describe "that is stopped" do
    %i[TERM INT].each do |name|
      it "by #{name} answers what it has, exits with 0, and leaves no process and no file" do
        cluster = start_cluster(telling)
        everything = cluster.processes
        gate = Gate.new(cluster)
        cluster.connect do |socket|
          socket.send_request("GET", "/stand")
          cluster.wait_for_output(%r{^seen /stand$})
          cluster.signal(name)
          Deadline.until("the port to be closed") { refused?(cluster) }
          gate.open
          expect(socket.read_response).to have_attributes(status: 200, body: "stood")
        end

        expect(cluster.wait.exitstatus).to eq(0)
        expect(everything.select { |pid| Processes.alive?(pid) }).to eq([])
        expect(cluster.files).to eq([])
      end
    end

    it "by Ctrl-C answers what it has, though the terminal interrupts all its processes" do
      cluster = start_cluster(telling)
      gate = Gate.new(cluster)
      cluster.connect do |socket|
        socket.send_request("GET", "/stand")
        cluster.wait_for_output(%r{^seen /stand$})
        Process.kill(:INT, -cluster.pid)
        Deadline.until("the port to be closed") { refused?(cluster) }
        gate.open
        expect(socket.read_response.body).to eq("stood")
      end

      expect(cluster.wait.exitstatus).to eq(0)
      expect(cluster.output).not_to include("Interrupt")
    end

    it "closes push connections with 1001, and calls each on_close once" do
      cluster = start_cluster(telling)
      clients = Array.new(4) { WebSocketClient.open(cluster.port, "/").tap(&:read_message) }
      cluster.signal(:TERM)

      expect(clients.map(&:read_close)).to all(eq(1001))
      clients.each(&:close_socket)
      expect(cluster.wait.exitstatus).to eq(0)
      expect(cluster.output.scan(/^closed in/).size).to eq(4)
    end

    it "at once by a second signal" do
      cluster = start_cluster(telling)
      everything = cluster.processes
      cluster.connect do |socket|
        socket.send_request("GET", "/forever")
        cluster.wait_for_output(%r{^seen /forever$})
        cluster.signal(:TERM)
        Deadline.until("the port to be closed") { refused?(cluster) }
        cluster.signal(:TERM)

        expect(cluster.wait(seconds: 8).exitstatus).to eq(0)
        socket.read_to_end
      end
      expect(everything.select { |pid| Processes.alive?(pid) }).to eq([])
    end

    it "ends though a request never does, when the drain timeout is over" do
      cluster = start_cluster(telling, configuration: "drain_timeout 0.5\n")
      cluster.connect do |socket|
        socket.send_request("GET", "/forever")
        cluster.wait_for_output(%r{^seen /forever$})
        cluster.signal(:TERM)

        expect(cluster.wait(seconds: 10).exitstatus).to eq(0)
        socket.read_to_end
      end
      expect(cluster.output).to include("the drain timeout of 0.5 s is over")
    end

    it "ends though a worker is stopped by SIGSTOP and its mold as well" do
      cluster = start_cluster(telling, configuration: "drain_timeout 0.5\n")
      everything = cluster.processes
      Process.kill(:STOP, cluster.workers.first)
      Process.kill(:STOP, cluster.mold)
      cluster.signal(:TERM)

      expect(cluster.wait(seconds: 20).exitstatus).to eq(0)
      expect(everything.select { |pid| Processes.alive?(pid) }).to eq([])
    end
  end

  describe "whose mold is stopped" do
    it "ends long before the drain timeout is over, and names no worker that has finished in time" do
      cluster = start_cluster(telling, configuration: "drain_timeout 30\n")
      everything = cluster.processes
      Process.kill(:STOP, cluster.mold)
      cluster.signal(:TERM)

      expect(cluster.wait.exitstatus).to eq(0)
      expect(everything.select { |pid| Processes.alive?(pid) }).to eq([])
      expect(cluster.output).not_to include("has not finished")
    end

    it "replaces a worker that is killed, when the mold has not told of it for five seconds" do
      cluster = start_cluster(telling)
      killed, mold = cluster.workers.first, cluster.mold
      Process.kill(:STOP, mold)
      # All of it: a thread that waits for workers, and stops a moment later, would reap this one and tell nobody.
      Deadline.until("the mold to be stopped") do
        Dir["/proc/#{mold}/task/*/stat"].all? { |file| File.read(file)[/\) (\w)/, 1] == "T" }
      end
      Process.kill(:KILL, killed)
      cluster.wait_for_output(/the mold of generation 1 does not tell what has become of worker \d \(pid #{killed}\): it is killed/,
                              seconds: 12)

      cluster.wait_for_workers(2, without: [killed])
      cluster.wait_for_output(/worker \d \(pid #{killed}\) has ended \(signal KILL\) and is replaced/)
      expect(cluster.mold).not_to eq(mold)
    end
  end

  describe "that loses a worker" do
    it "by KILL starts another one, and answers meanwhile" do
      cluster = start_cluster(telling)
      killed, survivor = cluster.workers
      Process.kill(:KILL, killed)
      answers = Array.new(20) { cluster.get("/").status }
      workers = cluster.wait_for_workers(2, without: [killed])

      expect(answers).to all(eq(200))
      expect(workers).to include(survivor)
      cluster.wait_for_output(/worker \d \(pid #{killed}\) has ended \(signal KILL\)/)
    end

    it "by an application that ends it says with which status" do
      cluster = start_cluster(telling)
      cluster.connect do |socket|
        socket.send_request("GET", "/exit")
        socket.read_to_end
      end

      cluster.wait_for_output(/has ended \(exit status 3\)/)
      cluster.wait_for_workers(2)
      expect(cluster.get("/").status).to eq(200)
    end

    it "by TERM, which lets it finish, loses no request and no push connection" do
      cluster = start_cluster(telling, workers: 2)
      first = cluster.workers.first
      clients = Array.new(4) { WebSocketClient.open(cluster.port, "/").tap(&:read_message) }
      stop = false
      statuses = Array.new(4) { Thread.new { [].tap { |all| all << cluster.get("/").status until stop } } }
      Process.kill(:TERM, first)
      cluster.wait_for_workers(2, without: [first])
      stop = true

      expect(statuses.flat_map(&:value).tally.keys).to eq([200])
      cluster.wait_for_output(/worker 1 \(pid #{first}\) has got TERM: it finishes, and another one takes its place/)
      Deadline.until("the end of the worker") { !Processes.alive?(first) }
      clients.each { |client| client.send_frame(:ping, "there?") }
      frames = clients.map { |client| Deadline.until("a pong") { (frame = client.read_frame).opcode == :pong && frame } }
      expect(frames.map(&:payload)).to eq(["there?"] * 4)
      expect(cluster.output).not_to match(/^closed in/)
      clients.each(&:close_socket)
    end

    it "whose own child lives on sends no request there any more" do
      cluster = start_cluster(telling, workers: 1)
      worker = cluster.workers.first
      child = Integer(cluster.get("/fork").body)
      Process.kill(:KILL, worker)
      cluster.wait_for_workers(1, without: [worker])

      expect(Array.new(10) { pid_of(cluster.get("/")) }).not_to include(worker)
    ensure
      Process.kill(:KILL, child) if child
    end

    it "kills and replaces one that gives no sign of life" do
      cluster = start_cluster(telling, configuration: "worker_timeout 2\n")
      stopped = cluster.workers.first
      Process.kill(:STOP, stopped)
      cluster.wait_for_output(/worker \d \(pid #{stopped}\) has given no sign of life for \d\.\d s: it is killed and replaced/)

      cluster.wait_for_workers(2, without: [stopped])
      expect(Array.new(10) { cluster.get("/").status }).to all(eq(200))
    end

    it "kills and replaces one that completes nothing while requests wait" do
      cluster = start_cluster(telling, "-t", "1", workers: 1, configuration: "worker_timeout 2\n")
      stuck = cluster.workers.first
      sockets = %w[/forever / / /].map { |path| cluster.connect.send_request("GET", path) }
      cluster.wait_for_output(/pid #{stuck}\) has completed nothing for \d\.\d s, while all its threads are taken and requests wait/)

      cluster.wait_for_workers(1, without: [stuck])
      expect(cluster.get("/").status).to eq(200)
      sockets.each(&:close)
    end

    it "leaves one alone whose threads are all taken while nobody waits" do
      cluster = start_cluster(telling, "-t", "1", workers: 1, configuration: "worker_timeout 2\n")
      worker = cluster.workers.first
      cluster.connect do |socket|
        socket.send_request("GET", "/forever")
        cluster.wait_for_output(%r{^seen /forever$})
        sleep 3

        expect(cluster.workers).to eq([worker])
      end
    end
  end

  describe "that loses its mold" do
    it "changes nothing for its workers, and starts another mold" do
      cluster = start_cluster(telling)
      mold = cluster.mold
      workers = cluster.workers
      Process.kill(:KILL, mold)
      answers = Array.new(20) { cluster.get("/").status }
      Deadline.until("another mold") { (one = cluster.generation[:mold]) && one[:loaded] && one[:pid] != mold }

      expect(answers).to all(eq(200))
      expect(cluster.workers).to eq(workers)
      cluster.wait_for_output(/the mold of generation 1 is gone \(it has ended: signal KILL\), its workers go on/)
    end

    it "learns of the end of workers that have lost theirs, and replaces them" do
      cluster = start_cluster(telling)
      Process.kill(:KILL, cluster.mold)
      Deadline.until("another mold") { cluster.generation.dig(:mold, :loaded) }
      killed = cluster.workers.first
      Process.kill(:KILL, killed)
      cluster.wait_for_workers(2, without: [killed])

      cluster.wait_for_output(/pid #{killed}\) has ended \(signal KILL\)/)
      expect(cluster.processes.size).to eq(4)
    end

    it "goes on though the code on disk does not load any more, with the reason in the log" do
      cluster = start_cluster(telling)
      cluster.write("raise 'half deployed'")
      Process.kill(:KILL, cluster.mold)
      cluster.wait_for_output(/half deployed.*its workers go on: another one is started in 0\.\d s/, seconds: 30)
      expect(Array.new(5) { cluster.get("/").status }).to all(eq(200))
      cluster.write(telling)

      Deadline.until("another mold") { cluster.generation.dig(:mold, :loaded) }
    end
  end

  it "has a worker more by TTIN, and one less by TTOU, down to one, without losing a request" do
    cluster = start_cluster(telling, workers: 1)
    stop = false
    statuses = Thread.new { [].tap { |all| all << cluster.get("/").status until stop } }
    2.times { cluster.signal(:TTIN) && cluster.wait_for_output(/there are to be/) }
    cluster.wait_for_workers(3)
    3.times { cluster.signal(:TTOU) && sleep(0.05) }
    cluster.wait_for_workers(1)
    Deadline.until("the end of the other two") { cluster.processes.size == 3 }
    stop = true

    expect(statuses.value.tally.keys).to eq([200])
    expect(cluster.output.scan(/there are to be (\d) worker/).flatten.last(3)).to eq(%w[2 1 1])
  end

  it "goes on after HUP, which the end of a terminal sends to all its processes" do
    cluster = start_cluster(telling)
    workers = cluster.workers
    Process.kill(:HUP, -cluster.pid)
    cluster.wait_for_output(/HUP has no effect/)

    expect(cluster.get("/").status).to eq(200)
    expect(cluster.workers).to eq(workers)
  end
end
