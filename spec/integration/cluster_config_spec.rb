# frozen_string_literal: true

require "etc"
require_relative "integration_helper"

RSpec.describe "config/volador.rb" do
  app = "run ->(env) { [200, {}, [[Process.pid, ENV['RACK_ENV'], $seen].inspect]] }"

  it "says how the server runs" do
    Dir.mktmpdir do |folder|
      cluster = start_cluster(app, workers: nil, bind: nil, configuration: <<~RUBY)
        workers 3
        threads 2
        environment "staging"
        bind "tcp://127.0.0.1:0"
        bind "unix://#{folder}/app.sock"
        log_file "volador.log"
      RUBY

      cluster.wait_for_output(%r{listening on unix://#{folder}/app\.sock \(3 workers, 2 threads each\)})
      expect(cluster.get("/").body).to include('"staging"')
      killed = cluster.workers.first
      Process.kill(:KILL, killed)
      Deadline.until("the log") { File.read(File.join(cluster.directory, "volador.log")).include?("worker 1 (pid #{killed}) has ended") }
      expect(cluster.output).not_to include("has ended")
    end
  end

  it "is overruled by the command line, and overrules environment variables" do
    configuration = "workers 3\nthreads 2\nbind 'unix:///no/such/folder/socket'\nenvironment 'staging'\n"
    env = { "WEB_CONCURRENCY" => "4", "RAILS_MAX_THREADS" => "7", "PORT" => "1", "RACK_ENV" => "test" }
    by_file = start_cluster(app, workers: nil, configuration: configuration, env: env)
    by_line = start_cluster(app, "-t", "1", "-e", "production", workers: 1, configuration: configuration, env: env)

    expect(by_file.output).to include("(3 workers, 2 threads each)")
    expect(by_file.get("/").body).to include('"staging"')
    expect(by_line.output).to include("(1 worker, 1 thread)")
    expect(by_line.get("/").body).to include('"production"')
  end

  it "is another one with -C, and none with -C -" do
    cluster = start_cluster(app, "-C", "other.rb", workers: nil, configuration: "nonsense", files: { "other.rb" => "workers 1" })
    without = start_cluster(app, "-C", "-", workers: 1, configuration: "nonsense")

    expect([cluster, without].map { |one| one.output.lines.grep(/listening/).size }).to eq([1, 1])
  end

  it "works without workers as well" do
    server = start_cluster(app, workers: nil, configuration: "threads 2\nquiet false\non_booted { warn 'booted' }\nbefore_fork { warn 'no' }")

    expect(server.output).to match(/listening on \S+ \(2 threads\)$/)
    server.wait_for_output(/^booted$/)
    expect(server.stop.exitstatus).to eq(0)
    expect(server.output).not_to match(/^no$/)
  end

  {
    "workers 2\n\nthread 3" => "config/volador.rb:3: there is no setting thread; did you mean threads?",
    "threads 0" => "config/volador.rb:1: threads must be an Integer from 1 to 1024, got 0",
    "workers(" => /config\/volador\.rb:\d: .*syntax error/,
    "raise 'no'" => "config/volador.rb:1: no (RuntimeError)"
  }.each do |text, message|
    it "that is wrong (#{text.inspect}) is refused in one line, with exit status 1" do
      cluster = keep(ClusterServer.cluster(app, configuration: text))

      expect(cluster.wait.exitstatus).to eq(1)
      expect(cluster.output.lines.grep_v(/warning:/)).to contain_exactly(/\Avolador: #{message.is_a?(Regexp) ? message : Regexp.escape(message)}/)
    end
  end

  it "that is not there is missed when it was named" do
    cluster = keep(ClusterServer.cluster(app, "-C", "missing.rb"))

    expect(cluster.wait.exitstatus).to eq(1)
    expect(cluster.output).to match(/^volador: missing\.rb cannot be read: No such file or directory/)
  end

  it "has hooks that run where they belong, in their order" do
    cluster = start_cluster("warn \"load \#{Process.pid}\"\n$seen = []\n#{app}", configuration: <<~'RUBY')
      before_fork { warn "before_fork #{Process.pid}"; $seen << :before_fork }
      on_worker_boot { |number| warn "boot #{number} #{Process.pid}"; $seen << [:boot, number] }
      on_worker_boot { $seen << :second }
      on_worker_shutdown { |number| warn "shutdown #{number} #{Process.pid}" }
      on_booted { warn "booted #{Process.pid}" }
    RUBY
    mold = cluster.mold
    workers = cluster.workers
    cluster.wait_for_output(/booted #{cluster.pid}/)
    seen = Array.new(20) { cluster.get("/").body }.uniq
    cluster.stop
    lines = cluster.output.lines.map(&:chomp).grep(/\A(load|before_fork|boot|booted|shutdown) /)

    expect(lines.first(2)).to eq(["load #{mold}", "before_fork #{mold}"])
    expect(lines[2, 2]).to match_array(workers.map.with_index(1) { |pid, number| "boot #{number} #{pid}" })
    expect(lines[4]).to eq("booted #{cluster.pid}")
    expect(lines[5..]).to match_array(workers.map.with_index(1) { |pid, number| "shutdown #{number} #{pid}" })
    expect(seen).to match_array(workers.map.with_index(1) { |pid, number| [pid, "development", [:before_fork, [:boot, number], :second]].inspect })
  end

  it "has a hook in which a connection is made anew for each worker" do
    Dir.mktmpdir do |folder|
      # A stand-in for a database: it tells each connection its number.
      path = File.join(folder, "database.sock")
      database = UNIXServer.new(path)
      count = 0
      serving = Thread.new { loop { database.accept.puts(count += 1) } }
      cluster = start_cluster(<<~RUBY, workers: 3, configuration: "before_fork { DATABASE.disconnect }\non_worker_boot { DATABASE.connect }\n")
        require "socket"
        class Database
          attr_reader :number
          def connect = @number = (@socket = UNIXSocket.new("#{path}")).gets.to_i
          def disconnect = @socket.close
        end
        DATABASE = Database.new.tap(&:connect)
        run ->(_) { [200, {}, [DATABASE.number.to_s]] }
      RUBY
      numbers = Array.new(40) { cluster.get("/").body.to_i }.uniq

      expect(numbers).to match_array([2, 3, 4])
      serving.kill.join
      database.close
    end
  end

  if Process.euid.zero?
    it "has a boot hook that may take another user for its worker, which serves, is replaced by a deploy, and ends" do
      uid, gid = Etc.getpwnam("nobody").then { |user| [user.uid, user.gid] }
      cluster = start_cluster("run ->(_) { [200, {}, [[Process.euid, Process.egid].inspect]] }", configuration: <<~RUBY)
        on_worker_boot do
          Process::GID.change_privilege(#{gid})
          Process::UID.change_privilege(#{uid})
        end
      RUBY

      expect(cluster.get("/").body).to eq([uid, gid].inspect)
      expect(cluster.command("restart")).to eq(["generation 2 serves\n", "", 0])
      expect(cluster.get("/").body).to eq([uid, gid].inspect)
      expect(cluster.stop.exitstatus).to eq(0)
    end
  elsif ENV["VOLADOR_UNTESTED"]
    # bin/test has these lines in its result.
    File.write(ENV["VOLADOR_UNTESTED"], "a worker's boot hook that takes another user is tried by root alone\n", mode: "a")
  end

  it "has shutdown hooks whose failure does not keep a worker from ending" do
    cluster = start_cluster(app, configuration: "on_worker_shutdown { raise 'no' }\non_worker_shutdown { warn 'second' }\n")

    expect(cluster.stop.exitstatus).to eq(0)
    expect(cluster.output.scan(/a block of on_worker_shutdown raised: no \(RuntimeError\)/).size).to eq(2)
    expect(cluster.output.scan(/^second$/).size).to eq(2)
  end

  it "may name an application of another server" do
    cluster = start_cluster("require 'iodine'\nrun ->(_) { [200, {}, [Iodine.running?.to_s]] }", configuration: "compat :iodine\n")

    # A worker may be asked before it has told everybody that it runs.
    Deadline.until("it runs") { cluster.get("/").body == "true" }
  end

  it "is read anew by a deploy, as to hooks" do
    cluster = start_cluster("$seen = nil\n#{app}", configuration: "on_worker_boot { $seen = :old }\n")
    cluster.write("on_worker_boot { $seen = :new }\n", "config/volador.rb")
    cluster.command("restart")

    expect(cluster.get("/").body).to include(":new")
  end
end
