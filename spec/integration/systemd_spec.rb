# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "As a service of systemd" do
  app = "run ->(_) { [200, {}, ['served']] }"

  # A server that is started as systemd starts one: with a listening socket, and told where to notify.
  # @yieldparam cluster [ClusterServer]  @yieldparam port [Integer]  @yieldparam told [#call] waits for the next notification
  def service(config, *arguments)
    Dir.mktmpdir do |folder|
      File.write("#{folder}/config.ru", config)
      notify = Socket.new(:UNIX, :DGRAM)
      notify.bind(Socket.sockaddr_un("#{folder}/notify"))
      listener = TCPServer.new("127.0.0.1", 0)
      yield start(folder, listener, arguments), listener.local_address.ip_port, -> { told(notify) }
    ensure
      listener.close
      notify.close
    end
  end

  # The pid that the socket is meant for is known only to the process itself, as systemd sets it between fork and exec.
  def start(folder, listener, arguments)
    runtime = Dir.mktmpdir("volador-run")
    command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", ServerProcess.ruby, *ServerProcess.load_path,
               File.join(ServerProcess::ROOT, "exe/volador"), *arguments]
    env = { "XDG_RUNTIME_DIR" => runtime, "LISTEN_FDS" => "1", "NOTIFY_SOCKET" => "#{folder}/notify" }
    cluster = ClusterServer.new(command, directory: folder, env: env, descriptors: { 3 => listener })
    cluster.runtime = runtime
    keep(cluster)
  end

  def told(socket)
    socket.wait_readable(Deadline::DEFAULT_SECONDS) ? socket.recv(4096) : raise(Deadline::Missed, "a notification")
  end

  it "a server with workers serves the socket that it is given, and tells what it does" do
    service(app, "-w", "2", "-b", "tcp://127.0.0.1:1") do |cluster, port, told|
      expect(told.call).to eq("READY=1\nSTATUS=generation 1 serves")
      expect(cluster.wait_until_listening.port).to eq(port)
      expect(cluster.get("/").body).to eq("served")
      cluster.signal(:USR1)
      expect(told.call).to match(/\ARELOADING=1\nMONOTONIC_USEC=\d+\n/)
      expect(told.call).to eq("READY=1\nSTATUS=generation 2 serves")
      File.write(File.join(cluster.directory, "config.ru"), "raise 'no'")
      cluster.command("restart")
      expect(told.call).to start_with("RELOADING=1")
      expect(told.call).to eq("READY=1\nSTATUS=generation 3 has failed to boot; the one before it serves")
      cluster.signal(:TERM)
      expect(told.call).to start_with("STOPPING=1")
      expect(cluster.wait.exitstatus).to eq(0)
    end
  end

  it "says in one line that what it is handed is no socket to listen on" do
    Dir.mktmpdir do |folder|
      File.write("#{folder}/config.ru", app)
      File.open("#{folder}/config.ru") do |file|
        server = start(folder, file, [])
        expect(server.wait.exitstatus).to eq(1)
        expect(server.output.lines)
          .to contain_exactly(/\Avolador: a socket that systemd has handed over cannot be listened on: .*; see the \.socket unit$/)
      end
    end
  end

  [%w[-w 1], []].each do |arguments|
    it "has nothing of that in the application and what it starts (#{arguments.inspect})" do
      service(<<~'RUBY', *arguments) do |cluster, _, told|
        run ->(_) { [200, {}, [ENV.slice("LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET").inspect, `ls -l /proc/self/fd | grep -c socket:`]] }
      RUBY
        told.call

        expect(cluster.wait_until_listening.get("/").body).to eq("{}0
")
        expect(cluster.stop.exitstatus).to eq(0)
      end
    end
  end

  it "a server without workers does the same" do
    service(app) do |cluster, port, told|
      expect(told.call).to eq("READY=1\nSTATUS=serving")
      expect(cluster.wait_until_listening.port).to eq(port)
      expect(cluster.get("/").body).to eq("served")
      cluster.signal(:TERM)
      expect(told.call).to start_with("STOPPING=1")
      expect(cluster.wait.exitstatus).to eq(0)
    end
  end
end
