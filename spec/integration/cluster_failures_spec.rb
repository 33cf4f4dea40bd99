# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A server with workers" do
  include_context "with workers that tell what they see"

  describe "whose gateway is killed" do
    def kill_gateway(cluster)
      everything = cluster.processes
      cluster.signal(:KILL).wait
      Processes.await_end(everything, seconds: 12)
      Deadline.until("the files to be gone") { cluster.files.empty? }
    end

    it "ends all other processes, and leaves no file behind" do
      Dir.mktmpdir do |folder|
        path = File.join(folder, "app.sock")
        cluster = keep(ClusterServer.cluster(telling, bind: "unix://#{path}?mode=0600")).wait_until_listening
        expect(RawSocket.open(path: path) { |socket| socket.request("GET", "/").status }).to eq(200)
        kill_gateway(cluster)

        expect(File.exist?(path)).to be(false)
      end
    end

    it "leaves alone the folder whose name is that of its own up to a question mark" do
      Dir.mktmpdir do |folder|
        kept, config = %w[app/kept app?b/config.ru].map { |name| File.join(folder, name) }
        [kept, config].each { |path| ClusterServer.put(path, "run ->(_) { [200, {}, []] }") }
        command = [ServerProcess.ruby, *ServerProcess.load_path, File.join(ServerProcess::ROOT, "exe/volador"), "-w", "1",
                   "-b", "unix://app.sock?mode=0600"]
        runtime = File.join(folder, "run").tap { |path| Dir.mkdir(path) }
        cluster = ClusterServer.new(command, directory: File.dirname(config), env: { "XDG_RUNTIME_DIR" => runtime })
        cluster.runtime = runtime
        kill_gateway(keep(cluster).wait_until_listening)

        expect(Dir.glob("**/*", base: folder)).to contain_exactly("app", "app/kept", "app?b", "app?b/config.ru", "run")
      end
    end

    it "does so though requests run, a worker is stopped, and another one spins" do
      cluster = start_cluster(telling, workers: 3)
      sockets = %w[/forever /spin].map { |path| cluster.connect.send_request("GET", path) }
      cluster.wait_for_output(%r{^seen /forever$})
      cluster.wait_for_output(%r{^seen /spin$})
      Process.kill(:STOP, cluster.workers.last)
      kill_gateway(cluster)
      sockets.each(&:close)
    end

    it "does so though the application is still being loaded" do
      cluster = keep(ClusterServer.cluster("warn 'loading'\nsleep"))
      cluster.wait_for_output(/^loading$/)
      kill_gateway(cluster)
    end

    it "does so though its mold is killed at the same moment" do
      cluster = start_cluster(telling)
      everything = cluster.processes
      Process.kill(:KILL, cluster.mold)
      cluster.signal(:KILL).wait
      Processes.await_end(everything, seconds: 15)

      Deadline.until("the files to be gone") { cluster.files.empty? }
    end

    it "can be started again in the same place at once" do
      cluster = start_cluster(telling)
      cluster.signal(:KILL).wait
      again = ServerProcess.new([ServerProcess.ruby, *ServerProcess.load_path, File.join(ServerProcess::ROOT, "exe/volador"),
                                 "-w", "1", "-b", "tcp://127.0.0.1:0", "config.ru"],
                                directory: cluster.directory, env: { "XDG_RUNTIME_DIR" => cluster.runtime })
      keep(again).wait_until_listening
      Deadline.until("one server's files alone") { cluster.files.grep(/link\.sock/).size == 1 }

      expect(cluster.command("status").last).to eq(0)
      expect(again.get("/").status).to eq(200)
      expect(again.stop.exitstatus).to eq(0)
      expect(cluster.files).to eq([])
    end
  end

  describe "whose workers end at boot" do
    boot = "on_worker_boot { warn 'booting'; raise 'no database' if File.exist?('broken') }\n"

    it "again and again backs off, says how often and when, and goes on when they boot" do
      cluster = keep(ClusterServer.cluster(telling, workers: 1, configuration: boot, files: { "broken" => "" }))
      cluster.wait_for_output(/as 5 in a row have: another one is started in 0\.8 s/)
      lines = cluster.output.lines.grep(/ERROR: worker 1/)
      File.delete(File.join(cluster.directory, "broken"))
      cluster.wait_until_listening

      expect(lines.size).to be_between(5, 6)
      expect(lines).to all(match(/has ended \(no database \(RuntimeError\)\) \d\.\d s after its start/))
      cluster.wait_for_output(%r{config/volador\.rb:1:in .*no database \(RuntimeError\)})
      expect(cluster.get("/").status).to eq(200)
    end

    it "makes no storm of forks" do
      cluster = keep(ClusterServer.cluster(telling, workers: 4, configuration: boot, files: { "broken" => "" }))
      cluster.wait_for_output(/booting/)
      sleep 3

      expect(cluster.output.scan(/^booting$/).size).to be_between(8, 32)
      cluster.signal(:TERM)
      expect(cluster.wait.exitstatus).to eq(0)
    end
  end

  # Ruby's fork writes out both streams.
  describe "whose workers cannot be forked" do
    {
      "since $stdout is closed" => ["$stdout.close", /closed stream \(IOError\)/],
      "since $stderr is an object that has no flush" =>
        ["$stderr = Class.new { def write(*) = nil }.new", /flush.*\(NoMethodError\)/]
    }.each do |why, (code, message)|
      it "#{why} says so, and stops by TERM" do
        cluster = keep(ClusterServer.cluster("#{code}\nrun ->(_) { [200, {}, []] }", workers: 1))
        cluster.wait_for_output(/worker 1 .*it cannot be forked: .*#{message}.*as 2 in a row have/)
        expect(cluster.output).not_to include("the mold of generation 1 is gone")
        expect(cluster.stop.exitstatus).to eq(0)
      end
    end
  end

  describe "that cannot begin" do
    {
      "the application raises" => ["raise 'no database'", /config\.ru:1: no database \(RuntimeError\)/],
      "the config.ru has a syntax error" => ["run ->(env) {", /config\.ru/],
      "the config.ru runs no application" => ["run 42", /must respond to call, got Integer/],
      "the application ends the process" => ["exit 7", /has ended the process that loads it \(exit status 7\)/],
      "the process that loads it is killed" => ["Process.kill(:KILL, Process.pid); sleep", /the mold has ended while it loaded the application: signal KILL/]
    }.each do |why, (config, message)|
      it "as #{why} says so in one line, exits with 1, and leaves nothing behind" do
        cluster = keep(ClusterServer.cluster(config))

        expect(cluster.wait.exitstatus).to eq(1)
        expect(cluster.output.lines.grep_v(/warning:/)).to contain_exactly(/\Avolador: .*#{message}/)
        expect(cluster.files).to eq([])
      end
    end

    it "as the application does not load in time says so" do
      cluster = keep(ClusterServer.cluster("sleep", configuration: "boot_timeout 1\n"))

      expect(cluster.wait.exitstatus).to eq(1)
      expect(cluster.output).to include("volador: the application has not loaded within the boot timeout of 1.0 s")
    end

    it "prints the whole backtrace when asked" do
      cluster = keep(ClusterServer.cluster("raise 'no database'", "--debug"))
      cluster.wait

      expect(cluster.output).to match(/^\tfrom .*builder\.rb/)
    end

    it "as its port is in use says so, and leaves nothing behind" do
      first = start_cluster(telling)
      second = keep(ClusterServer.cluster(telling, bind: "tcp://127.0.0.1:#{first.port}"))

      expect(second.wait.exitstatus).to eq(1)
      expect(second.output).to match(/^volador: port #{first.port} on 127\.0\.0\.1 is in use/)
      expect(second.files).to eq([])
    end
  end
end
