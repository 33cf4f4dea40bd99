# frozen_string_literal: true

require "open3"
require_relative "integration_helper"

RSpec.describe "The command volador" do
  telling = %(run ->(env) { [200, {}, [ENV.values_at("RACK_ENV", "RAILS_ENV").inspect]] })

  # Runs it to its end.
  # @return [[String, String, Integer]] stdout, stderr, exit status
  def volador(*arguments, **environment)
    out, err, status = Open3.capture3({ "RUBYOPT" => nil, "RACK_ENV" => nil, "PORT" => nil }.merge(environment), ServerProcess.ruby,
                                      *ServerProcess.load_path, File.join(ServerProcess::ROOT, "exe/volador"), *arguments)
    [out, err.lines.grep_v(/warning:/).join, status.exitstatus]
  end

  # A server whose address is not given by the helper.
  def start(config, *arguments, **options)
    keep(ServerProcess.volador(config, *arguments, bind: nil, **options)).wait_until_listening
  end

  %w[--help -h].each do |option|
    it "explains its options with #{option}" do
      out, err, status = volador(option)

      expect(out).to match(/\AUsage: volador/)
      expect(out).to include("--port", "--bind", "--threads", "--environment", "--version")
      expect([err, status]).to eq(["", 0])
    end
  end

  it "tells its version with --version" do
    expect(volador("--version")).to eq(["volador #{Volador::VERSION}\n", "", 0])
  end

  { "an unknown option" => ["--nonsense"], "a port that is no number" => %w[-p many], "a port too large" => %w[-p 65536],
    "an address of no kind" => %w[-b http://x], "a path too long" => ["-b", "unix:///#{'a' * 107}"],
    "no threads" => %w[-t 0], "threads that are no number" => %w[-t many],
    "an option without its value" => %w[-p], "two config.ru" => %w[a.ru b.ru], "TLS" => %w[-b ssl://127.0.0.1:1] }.each do |what, arguments|
    it "refuses #{what} in one line, with exit status 1" do
      Dir.mktmpdir do |directory|
        config = File.join(directory, "config.ru")
        File.write(config, telling)
        out, err, status = volador(*arguments, *(config unless what == "an option without its value"))

        expect(err.lines).to contain_exactly(/\Avolador: /)
        expect([out, status]).to eq(["", 1])
      end
    end
  end

  it "listens on the port of -p, on this machine only in development" do
    server = start(telling, "-p", "0")

    expect(server.output).to match(%r{listening on http://127\.0\.0\.1:\d+ })
    expect(server.get("/").status).to eq(200)
  end

  it "listens on every address outside of development" do
    expect(start(telling, "-p", "0", "-e", "production").output).to match(%r{listening on http://0\.0\.0\.0:\d+ })
  end

  it "listens on the port of the variable PORT" do
    ReservedPort.open { |port| expect(start(telling, env: { "PORT" => port.to_s }).port).to eq(port) }
  end

  it "listens on each -b" do
    Dir.mktmpdir do |directory|
      path = File.join(directory, "app.sock")
      server = start(telling, "-b", "tcp://127.0.0.1:0", "-b", "tcp://127.0.0.1:0", "-b", "unix://#{path}")
      server.wait_for_output(/unix:/)
      ports = server.output.scan(%r{http://127\.0\.0\.1:(\d+)}).flatten.map(&:to_i)

      expect(ports.uniq.size).to eq(2)
      expect(ports.map { |port| RawSocket.open(port: port) { |socket| socket.request("GET", "/").status } }).to eq([200, 200])
      expect(RawSocket.open(path: path) { |socket| socket.request("GET", "/").status }).to eq(200)
    end
  end

  it "gives a Unix socket's file the permissions of -b, whatever the umask" do
    Dir.mktmpdir do |directory|
      path = File.join(directory, "app.sock")
      start(telling, "-b", "tcp://127.0.0.1:0", "-b", "unix://#{path}?mode=0662").wait_for_output(/unix:.*app\.sock /)

      expect(File.stat(path).mode & 0o777).to eq(0o662)
      expect(RawSocket.open(path: path) { |socket| socket.request("GET", "/").status }).to eq(200)
    end
  end

  it "sets RACK_ENV to development, and to what -e says" do
    expect(start_volador(telling).get("/").body).to start_with(%(["development"))
    expect(start_volador(telling, "-e", "staging").get("/").body).to start_with(%(["staging"))
    expect(start_volador(telling, env: { "RACK_ENV" => "test" }).get("/").body).to start_with(%(["test"))
  end

  it "runs as many threads as -t says, and says so" do
    expect(start_volador(telling, "-t", "7").output).to include("7 threads")
    expect(start_volador(telling, "-t", "1:3").output).to include("3 threads")
    expect(start_volador(telling, env: { "RAILS_MAX_THREADS" => "4" }).output).to include("4 threads")
  end

  it "serves the config.ru of its folder when none is named" do
    directory = Dir.mktmpdir("volador-spec")
    File.write(File.join(directory, "config.ru"), telling)
    server = keep(ServerProcess.new([ServerProcess.ruby, *ServerProcess.load_path,
                                     File.join(ServerProcess::ROOT, "exe/volador"), "-p", "0"], directory: directory))

    expect(server.wait_until_listening.get("/").status).to eq(200)
  end

  it "gives the config.ru its own folder for require_relative and __dir__" do
    server = start_volador("DIRECTORY = __dir__\nrun ->(_env) { [200, {}, [DIRECTORY]] }")

    expect(File.realpath(server.get("/").body)).to eq(File.realpath(server.directory))
  end

  it "evaluates the magic comments of the config.ru" do
    server = start_volador("# frozen_string_literal: true\nFROZEN = 'x'.frozen?\nrun ->(_env) { [200, {}, [FROZEN.inspect]] }")

    expect(server.get("/").body).to eq("true")
  end

  it "prints nothing but faults with -q" do
    ReservedPort.open do |port|
      server = keep(ServerProcess.volador(telling, "-q", bind: "tcp://127.0.0.1:#{port}"))
      ReservedPort.answer(port)

      expect(server.stop.exitstatus).to eq(0)
      expect(server.output.lines.grep_v(/warning:/)).to be_empty
    end
  end
end
