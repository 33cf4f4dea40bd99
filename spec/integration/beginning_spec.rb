# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A server" do
  config = <<~RUBY
    class App
      def call(_env) = [200, {}, ["fine"]]

      def on_open(env)
        env["push.writer"].write("open")
        nil
      end
    end

    run App.new
  RUBY

  # Warnings of gems that are not ours do not count: the servers run under `ruby -w`.
  def lines(server)
    server.output.lines.reject { |line| line.include?("warning:") }
  end

  describe "that cannot begin" do
    it "because its port is in use says so in one line and exits with 1" do
      first = start_volador(config)
      second = keep(ServerProcess.volador(config, bind: "tcp://127.0.0.1:#{first.port}"))

      expect(second.wait.exitstatus).to eq(1)
      expect(lines(second)).to contain_exactly(/\Avolador: .*#{first.port}.* in use/)
      expect(first.get("/").body).to eq("fine")
    end

    it "because its port is in use says so in one line and exits with 1, under rackup as well" do
      first = start_volador(config)
      directory = Dir.mktmpdir("volador-spec")
      File.write(File.join(directory, "config.ru"), config)
      second = keep(ServerProcess.new([ServerProcess.ruby, *ServerProcess.load_path, "-S", "rackup", "-s", "volador",
                                       "-o", "127.0.0.1", "-p", first.port.to_s], directory: directory))

      expect(second.wait.exitstatus).to eq(1)
      expect(lines(second)).to contain_exactly(/\Avolador: .*#{first.port}.* in use/)
    end

    it "because an address is not this machine's says so in one line and exits with 1" do
      server = keep(ServerProcess.volador(config, bind: "tcp://192.0.2.1:9292"))

      expect(server.wait.exitstatus).to eq(1)
      expect(lines(server)).to contain_exactly(/\Avolador: .*192\.0\.2\.1/)
    end

    it "because there is no config.ru says so in one line and exits with 1" do
      server = keep(ServerProcess.volador(config, "other.ru", bind: nil))
      missing = keep(ServerProcess.new([ServerProcess.ruby, *ServerProcess.load_path,
                                        File.join(ServerProcess::ROOT, "exe/volador"), "-p", "0"],
                                       directory: Dir.mktmpdir("volador-spec")))

      expect(missing.wait.exitstatus).to eq(1)
      expect(lines(missing)).to contain_exactly(/\Avolador: .*config\.ru/)
      expect(server.wait.exitstatus).to eq(1)
    end

    it "because it is given a folder says so in one line and exits with 1" do
      server = keep(ServerProcess.new([ServerProcess.ruby, *ServerProcess.load_path,
                                       File.join(ServerProcess::ROOT, "exe/volador"), "."], directory: Dir.mktmpdir("volador-spec")))

      expect(server.wait.exitstatus).to eq(1)
      expect(lines(server)).to contain_exactly(/\Avolador: .* is a folder: give the path of a config\.ru/)
    end

    {
      "has a syntax error" => ["run ->(env) {", /config\.ru/],
      "raises" => [%(raise "no database"), /config\.ru.*no database/],
      "raises what is no StandardError" => [%(raise Exception, "no database"), /config\.ru.*no database/],
      "requires what is not there" => [%(require "not/there"), /config\.ru.*not\/there/],
      "uses a name that is not defined" => ["run Nothing.new", /config\.ru.*Nothing/],
      "exits" => ["exit", /config\.ru.*exit/],
      "runs nothing" => ["# nothing\n", /config\.ru|run/],
      "runs something that has no call" => ["run 42", /call/]
    }.each do |what, (broken, message)|
      it "because its config.ru #{what} says so in one line and exits with 1" do
        server = keep(ServerProcess.volador(broken))

        expect(server.wait.exitstatus).to eq(1)
        expect(lines(server)).to contain_exactly(/\Avolador: .*#{message}/)
      end
    end

    it "exits with 1 under rackup when the config.ru is missing or broken" do
      directory = Dir.mktmpdir("volador-spec")
      missing = keep(ServerProcess.new([ServerProcess.ruby, *ServerProcess.load_path, "-S", "rackup", "-s", "volador"],
                                       directory: directory))
      broken = keep(ServerProcess.rackup(%(raise "no database")))

      expect([missing, broken].map { |server| server.wait.exitstatus }).to eq([1, 1])
      expect(broken.output).to include("no database")
    end
  end

  describe "on a Unix socket" do
    let(:directory) { Dir.mktmpdir("volador-spec") }
    let(:path) { File.join(directory, "app.sock") }

    after { FileUtils.rm_rf(directory) }

    def ask
      RawSocket.open(path: path) { |socket| socket.request("GET", "/").body }
    end

    it "begins and ends with the socket's file" do
      server = start_volador(config, bind: "unix://#{path}")

      expect(ask).to eq("fine")
      expect(server.stop.exitstatus).to eq(0)
      expect(File.exist?(path)).to be(false)
    end

    it "replaces the file that a killed server has left" do
      start_volador(config, bind: "unix://#{path}").signal(:KILL).wait
      expect(File.exist?(path)).to be(true)
      start_volador(config, bind: "unix://#{path}")

      expect(ask).to eq("fine")
    end

    it "does not take the file of a server that lives" do
      start_volador(config, bind: "unix://#{path}")
      second = keep(ServerProcess.volador(config, bind: "unix://#{path}"))

      expect(second.wait.exitstatus).to eq(1)
      expect(lines(second)).to contain_exactly(/\Avolador: .*app\.sock.* in use/)
      expect(ask).to eq("fine")
    end

    it "cannot begin where there is no folder, and says so in one line" do
      server = keep(ServerProcess.volador(config, bind: "unix:///no/such/folder/app.sock?mode=0660"))

      expect(server.wait.exitstatus).to eq(1)
      expect(lines(server)).to contain_exactly(%r{\Avolador: .*/no/such/folder/app\.sock})
    end

    it "does not take a file that is no socket" do
      File.write(path, "precious")
      server = keep(ServerProcess.volador(config, bind: "unix://#{path}"))

      expect(server.wait.exitstatus).to eq(1)
      expect(lines(server)).to contain_exactly(/\Avolador: .*app\.sock is a file, and no socket/)
      expect(File.read(path)).to eq("precious")
    end

    it "takes push connections" do
      start_volador(config, bind: "unix://#{path}")

      WebSocketClient.open(nil, "/w", path: path) { |client| expect(client.read_message).to eq("open") }
    end
  end
end
