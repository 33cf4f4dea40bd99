# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A deploy" do
  # @return [String] a config.ru that tells which release it is
  def release(name, extra = "")
    <<~RUBY
      #{extra}
      run(lambda do |env|
        warn "seen \#{env['PATH_INFO']}" unless env["PATH_INFO"] == "/"
        case env["PATH_INFO"]
        when "/stand"
          File.read("gate")
          [200, {}, ["stood in #{name}"]]
        when "/forever" then sleep
        else [200, {}, ["#{name} \#{Process.pid}"]]
        end
      end)
    RUBY
  end

  def name_of(cluster)
    cluster.get("/").body.split.first
  end

  # Clients that ask without a pause while the block runs.
  # @return [Array<String>] what they were answered, by status
  def under_load(cluster)
    stop = false
    clients = Array.new(3) { Thread.new { [].tap { |all| all << cluster.get("/").status until stop } } }
    yield
    stop = true
    clients.flat_map(&:value)
  ensure
    stop = true
  end

  it "by USR1 moves to the code that is on disk, without losing a request" do
    cluster = start_cluster(release("one"))
    before = cluster.processes
    statuses = under_load(cluster) do
      cluster.write(release("two"))
      cluster.signal(:USR1)
      cluster.wait_for_output(/generation 2 serves; generation 1 finishes/)
      cluster.wait_for_output(/generation 1 has ended/)
    end

    expect(statuses.tally.keys).to eq([200])
    expect(Array.new(10) { name_of(cluster) }).to all(eq("two"))
    expect(before.select { |pid| Processes.alive?(pid) }).to eq([cluster.pid])
    expect(cluster.processes.size).to eq(4)
  end

  it "by volador restart returns when the new generation serves, with 0" do
    cluster = start_cluster(release("one"))
    cluster.write(release("two"))

    expect(cluster.command("restart")).to eq(["generation 2 serves\n", "", 0])
    expect(Array.new(10) { name_of(cluster) }).to all(eq("two"))
  end

  it "follows a symbolic link to another folder, with the config file and what the application requires" do
    Dir.mktmpdir do |base|
      base = File.realpath(base)
      %w[one two].each do |name|
        ClusterServer.put("#{base}/releases/#{name}/config.ru", "require_relative 'lib/name'\nrun ->(_) { [200, {}, [NAME + ' ' + Dir.pwd + ' ' + $hook]] }")
        ClusterServer.put("#{base}/releases/#{name}/lib/name.rb", "NAME = '#{name}'")
        ClusterServer.put("#{base}/releases/#{name}/config/volador.rb", "workers 2\non_worker_boot { $hook = 'hook-#{name}' }")
      end
      File.symlink("releases/one", "#{base}/current")
      cluster = start_cluster("", "--directory", "#{base}/current", "config.ru", workers: nil)
      first = cluster.get("/").body
      File.symlink("releases/two", "#{base}/next")
      File.rename("#{base}/next", "#{base}/current")
      FileUtils.rm_rf("#{base}/releases/one")

      expect(cluster.command("restart", "-C", "-", chdir: "#{base}/current")).to eq(["generation 2 serves\n", "", 0])
      expect(first).to eq("one #{base}/releases/one hook-one")
      expect(cluster.get("/").body).to eq("two #{base}/releases/two hook-two")
    end
  end

  it "follows the link that the shell has entered the folder by" do
    Dir.mktmpdir do |base|
      base = File.realpath(base)
      %w[one two].each { |name| ClusterServer.put("#{base}/#{name}/config.ru", release(name)) }
      File.symlink("one", "#{base}/current")
      runtime = Dir.mktmpdir("volador-run")
      cluster = keep(ClusterServer.new([ServerProcess.ruby, *ServerProcess.load_path, File.join(ServerProcess::ROOT, "exe/volador"),
                                        "-w", "1", "-b", "tcp://127.0.0.1:0"],
                                       directory: "#{base}/current",
                                       env: { "XDG_RUNTIME_DIR" => runtime, "PWD" => "#{base}/current" }))
      cluster.runtime = runtime
      cluster.wait_until_listening
      first = name_of(cluster)
      File.symlink("two", "#{base}/next")
      File.rename("#{base}/next", "#{base}/current")
      cluster.signal(:USR1)
      cluster.wait_for_output(/generation 2 serves/)

      expect([first, name_of(cluster)]).to eq(%w[one two])
      expect(cluster.stop.exitstatus).to eq(0)
    end
  end

  {
    "the application raises" => ["raise 'no database'", /config\.ru:1: no database \(RuntimeError\)/],
    "the config.ru has a syntax error" => ["run ->(env) {", /config\.ru/],
    "before_fork raises" => [nil, /no queue \(RuntimeError\)/, "before_fork { raise 'no queue' }"],
    "a worker cannot boot" => [nil, /worker \d \(pid \d+\) has ended at boot: no database \(RuntimeError\)/, "on_worker_boot { raise 'no database' }"],
    "a worker exits at boot" => [nil, /has ended at boot: it has called exit \(status 4\)/, "on_worker_boot { exit 4 }"],
    "the config file is wrong" => [nil, %r{config/volador\.rb:2: there is no setting thread; did you mean threads\?}, "\nthread 3"],
    "a worker is not ready in time" => [nil, /not all workers are ready within the boot timeout of 2\.0 s/, "on_worker_boot { sleep }"],
    "the application does not load in time" => ["sleep", /within the boot timeout of 2\.0 s/]
  }.each do |why, (config, message, file)|
    it "that fails since #{why} keeps the old generation, and says why" do
      cluster = start_cluster(release("one"), configuration: "boot_timeout 2\n")
      workers = cluster.workers
      cluster.write(config || release("two"))
      cluster.write(file, "config/volador.rb") if file
      out, err, status = nil
      statuses = under_load(cluster) { out, err, status = cluster.command("restart", "-S", Dir["#{cluster.runtime}/*/*.sock"].first) }

      expect([out, status]).to eq(["", 1])
      expect(err).to match(/\Avolador: the new generation has failed to boot, generation 1 goes on: .*#{message}/)
      expect(err.lines.size).to eq(1)
      expect(statuses.tally.keys).to eq([200])
      expect(cluster.workers).to eq(workers)
      expect(name_of(cluster)).to eq("one")
      Deadline.until("the end of the new generation") { cluster.processes.size == 4 }
    end
  end

  it "that fails shows the backtrace in the log, and one that follows succeeds" do
    cluster = start_cluster(release("one"))
    cluster.write("def broken = raise('no database')\nbroken")
    expect(cluster.command("restart").last).to eq(1)
    cluster.wait_for_output(/ERROR: generation 2 has failed to boot; generation 1 goes on: .*config\.ru:1:in `?.*broken.*no database.*\n\tfrom .*config\.ru:2/)
    cluster.write(release("three"))

    expect(cluster.command("restart")).to eq(["generation 3 serves\n", "", 0])
    expect(name_of(cluster)).to eq("three")
  end

  it "prints the backtrace when it is asked to" do
    cluster = start_cluster(release("one"))
    cluster.write("raise 'no database'")

    expect(cluster.command("restart", "--debug")[1]).to match(/^\tfrom .*builder\.rb/)
  end

  it "lets the old generation finish the requests that run" do
    cluster = start_cluster(release("one"))
    gate = Gate.new(cluster)
    cluster.connect do |socket|
      socket.send_request("GET", "/stand")
      cluster.wait_for_output(%r{^seen /stand$})
      cluster.write(release("two"))
      cluster.command("restart")
      name = name_of(cluster)
      gate.open

      expect([name, socket.read_response.body]).to eq(["two", "stood in one"])
    end
    cluster.wait_for_output(/generation 1 has ended/)
  end

  it "cuts off what the old generation has not finished when the handover timeout is over" do
    cluster = start_cluster(release("one"), configuration: "handover_timeout 1\ndrain_timeout 2\n")
    cluster.connect do |socket|
      socket.send_request("GET", "/forever")
      cluster.wait_for_output(%r{^seen /forever$})
      cluster.write(release("two"))
      cluster.command("restart")
      cluster.wait_for_output(/has not finished within the handover timeout of 1\.0 s/)
      cluster.wait_for_output(/generation 1 has ended/)

      socket.read_to_end
    end
    expect(name_of(cluster)).to eq("two")
    expect(cluster.processes.size).to eq(4)
  end

  it "ends an old worker that is stopped" do
    cluster = start_cluster(release("one"), configuration: "handover_timeout 1\n")
    Process.kill(:STOP, cluster.workers.first)
    cluster.write(release("two"))
    expect(cluster.command("restart").last).to eq(0)
    cluster.wait_for_output(/generation 1 has ended/, seconds: 30)

    expect(Array.new(10) { name_of(cluster) }).to all(eq("two"))
    expect(cluster.processes.size).to eq(4)
  end

  it "fails when its mold is stopped, and ends it" do
    cluster = start_cluster(release("one"), configuration: "boot_timeout 2\n")
    cluster.write("warn \"loading \#{Process.pid}\"\nProcess.kill(:STOP, Process.pid)\n#{release('two')}")
    out, err, status = cluster.command("restart")

    expect([out, status]).to eq(["", 1])
    expect(err).to include("within the boot timeout of 2.0 s")
    Deadline.until("the end of the new generation") { cluster.processes.size == 4 }
    expect(name_of(cluster)).to eq("one")
  end

  it "that is asked for during another one follows it" do
    cluster = start_cluster(release("one"))
    cluster.write(release("two", 'sleep 0.01 until File.exist?("go")'))
    first = Thread.new { cluster.command("restart") }
    cluster.wait_for_output(/generation 2 is started/)
    socket = Dir["#{cluster.runtime}/*/*.sock"].first
    others = Array.new(3) { UNIXSocket.new(socket).tap { |io| io.write("{\"do\":\"restart\"}\n") } }
    # It is answered after those that came before it.
    cluster.status
    cluster.write(release("three"))
    cluster.write("", "go")

    expect(first.value).to eq(["generation 2 serves\n", "", 0])
    expect(others.map { |io| JSON.parse(io.gets)["generation"] }).to eq([3, 3, 3])
    expect(name_of(cluster)).to eq("three")
  end

  it "is given up when the server is stopped meanwhile, and everything ends" do
    cluster = start_cluster(release("one"))
    cluster.write("warn 'loading'\nsleep")
    restart = Thread.new { cluster.command("restart") }
    cluster.wait_for_output(/^loading$/)
    everything = cluster.processes
    cluster.signal(:TERM)

    expect(cluster.wait.exitstatus).to eq(0)
    expect(restart.value).to eq(["", "volador: no new generation serves: the server is being stopped\n", 1])
    expect(everything.size).to eq(5)
    expect(everything.select { |pid| Processes.alive?(pid) }).to eq([])
    expect(cluster.files).to eq([])
  end

  it "ends with all processes when the gateway is killed meanwhile" do
    cluster = start_cluster(release("one"))
    cluster.write("warn 'loading'\nsleep")
    cluster.signal(:USR1)
    cluster.wait_for_output(/^loading$/)
    everything = cluster.processes
    cluster.signal(:KILL).wait

    Processes.await_end(everything, seconds: 12)
    Deadline.until("the files to be gone") { cluster.files.empty? }
  end

  it "takes the number of workers that TTIN has made" do
    cluster = start_cluster(release("one"), workers: 1)
    cluster.signal(:TTIN)
    cluster.wait_for_workers(2)
    cluster.command("restart")

    expect(cluster.wait_for_workers(2).size).to eq(2)
    expect(cluster.status[:workers_wanted]).to eq(2)
  end

  it "ends with one worker less when TTOU comes meanwhile" do
    slow = "on_worker_boot { sleep 0.01 until File.exist?('go') || !File.exist?('slow') }\nboot_timeout 30\n"
    cluster = start_cluster(release("one"), configuration: slow)
    cluster.write("", "slow")
    restart = Thread.new { cluster.command("restart") }
    Deadline.until("workers that boot") { cluster.processes.size == 7 }
    cluster.signal(:TTOU)
    Deadline.until("one to be too many") { cluster.status[:workers_wanted] == 1 }
    cluster.write("", "go")

    expect(restart.value).to eq(["generation 2 serves\n", "", 0])
    expect(cluster.wait_for_workers(1).size).to eq(1)
  end

  {
    "of 250,000 characters" => ["raise 'x' * 250_000", /: x{1000}/],
    "of two million characters" => ["raise 'x' * 2_000_000", /: x{1000}/],
    "that is not valid text" => ["raise \"caf\\xE9\"", /: caf[?\uFFFD] \(RuntimeError\)/],
    "of characters that JSON spells out" => ["raise \"no\" + (\"\\u0001\" * 12_000)", /: no\u0001/]
  }.each do |what, (raising, message)|
    ["config.ru", "config/volador.rb"].each do |file|
      it "that fails by a message #{what} in #{file} says why all the same" do
        cluster = start_cluster(release("one"), configuration: "boot_timeout 10\n")
        text = file == "config.ru" ? raising : "on_worker_boot { #{raising} }\nboot_timeout 10\n"
        cluster.write(text, file)
        _, err, status = cluster.command("restart")

        expect(status).to eq(1)
        expect(err.dup.force_encoding("UTF-8")).to match(/generation 1 goes on: .*#{message.source}/)
        expect(name_of(cluster)).to eq("one")
      end
    end
  end

  it "goes on while workers of both generations are killed" do
    cluster = start_cluster(release("one"))
    cluster.write(release("two", "sleep 1"))
    restart = Thread.new { cluster.command("restart") }
    cluster.wait_for_output(/generation 2 is started/)
    killed = cluster.workers
    killed.each { |pid| Process.kill(:KILL, pid) }

    expect(restart.value.last).to eq(0)
    expect(Array.new(5) { name_of(cluster) }).to all(eq("two"))
  end

  it "leaves nothing behind, fifty times in a row" do
    cluster = start_cluster(release("one"))
    settle = -> { Deadline.until("one generation alone") { cluster.status[:generations].size == 1 && cluster.processes.size == 4 } }
    figures = -> { [Processes.descriptors(cluster.pid).size, Dir["/proc/#{cluster.pid}/task/*"].size] }
    memory = -> { Integer(File.read("/proc/#{cluster.pid}/status")[/VmRSS:\s+(\d+)/, 1]) }
    socket = Dir["#{cluster.runtime}/*/*.sock"].first
    deploys = lambda do |count|
      answers = Array.new(count) do
        UNIXSocket.open(socket) { |io| io.write("{\"do\":\"restart\"}\n") && JSON.parse(io.gets)["ok"] }
      end
      expect(answers).to all(be(true))
      settle.call
    end
    # The first ones allocate what all others use.
    deploys.call(15)
    before = figures.call
    resident = memory.call
    deploys.call(35)

    expect(cluster.status[:generation]).to eq(51)
    expect(memory.call - resident).to be < 3 << 10
    # What was asked for last may still be on its way out.
    Deadline.until("no more descriptors and threads than #{before}") do
      figures.call.zip(before).all? { |now, then_| now <= then_ }
    end
  end
end
