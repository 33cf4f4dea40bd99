# frozen_string_literal: true

require "timeout"
require "volador/cluster/settings"

RSpec.describe Volador::Configuration do
  def configuration(env: {}, **options)
    described_class.new(env: env, **options)
  end

  it "listens on 127.0.0.1:9292 in development and on all addresses elsewhere" do
    expect(configuration.bind).to eq ["tcp://127.0.0.1:9292"]
    expect(configuration(environment: "production").bind).to eq ["tcp://0.0.0.0:9292"]
    expect(configuration(env: { "RACK_ENV" => "production" }).bind).to eq ["tcp://0.0.0.0:9292"]
  end

  it "takes PORT, RAILS_MAX_THREADS and RACK_ENV from the environment, and options before them" do
    env = { "PORT" => "3000", "RAILS_MAX_THREADS" => "3", "RACK_ENV" => "test" }
    expect(configuration(env: env).bind).to eq ["tcp://0.0.0.0:3000"]
    expect(configuration(env: env)).to have_attributes(threads: 3, environment: "test")
    expect(configuration(env: env, threads: 7, port: 1, host: "::1"))
      .to have_attributes(threads: 7, bind: ["tcp://[::1]:1"])
  end

  it "treats empty environment variables as unset" do
    env = { "PORT" => "", "RAILS_MAX_THREADS" => "", "RACK_ENV" => "" }
    expect(configuration(env: env)).to have_attributes(threads: 5, bind: ["tcp://127.0.0.1:9292"])
  end

  describe "docs/configuration.md" do
    rows = File.readlines(File.expand_path("../../docs/configuration.md", __dir__), encoding: "UTF-8")

    def written(number, unit)
      size, name = [[1024**3, "GiB"], [1024**2, "MiB"], [1024, "KiB"]].find { |one, _| number >= one && (number % one).zero? }
      return "#{number / size} #{name}" if size && unit == "bytes"

      number = number.to_i if number == number.to_i
      number >= 10_000 ? number.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",") : number.to_s
    end

    described_class::NUMBERS.merge(Volador::Cluster::Settings::NUMBERS).each do |name, number|
      it "has the range of #{name}" do
        row = rows.find { |line| line.start_with?("| `#{name}` |") }
        limits = number.range.minmax.map { |limit| written(limit, number.unit) }
        # What is there for the gateway's sake, and not for the user's, needs no word.
        range = number.range.end == 2**53 ? /from #{limits[0]}\b|\b#{limits[0]}:/ : /\b#{limits.join(' to ')}\b/
        expect(row).to match(range)
      end
    end
  end

  it "gives the documented defaults to the extension" do
    expect(configuration.to_native).to include(
      bind: ["tcp://127.0.0.1:9292"], threads: 5, shards: 1, connections_max: 0, queue_max: 1024, head_max_bytes: 32_768,
      header_fields_max: 100, target_max_bytes: 8192, body_max_bytes: 67_108_864, body_memory_bytes: 65_536,
      body_memory_total_bytes: 67_108_864,
      tmpdir: Dir.tmpdir, head_timeout: 15.0, body_min_rate: 500, keep_alive_timeout: 65.0, write_timeout: 60.0,
      spool_max_bytes: 2_147_483_648, response_window_bytes: 262_144, message_max_bytes: 1_048_576,
      deflate_level: 1, deflate_min_bytes: 256,
      send_queue_max_bytes: 1_048_576, block_queue_max_bytes: 16_777_216, ping_interval: 30.0, heartbeat_interval: 15.0, allowed_origins: nil,
      drop_oldest: false, conflate: [], drain_timeout: 25.0
    )
  end

  it "allows no more shards than the extension can number" do
    options = configuration(port: 0, shards: described_class::NUMBERS[:shards].range.end).to_native
    gateway = Volador::Native::Gateway.new(options)
    expect(gateway.addresses).to contain_exactly(start_with("tcp://127.0.0.1:"))
  ensure
    gateway&.stop
  end

  it "takes an empty environment for none, and a Symbol for its name" do
    expect(configuration(environment: "")).to have_attributes(environment: "development", bind: ["tcp://127.0.0.1:9292"])
    expect(configuration(environment: :production).environment).to eq "production"
  end

  it "takes true and false for quiet, as Strings too, and nothing else" do
    expect([true, "true", false, "false", nil].map { |value| configuration(quiet: value).quiet? })
      .to eq [true, true, false, false, false]
    expect { configuration(quiet: "no") }.to raise_error(Volador::ConfigurationError, 'quiet must be true or false, got "no"')
  end

  it "says which variable of the environment a wrong value comes from" do
    { "PORT" => "abc", "RAILS_MAX_THREADS" => "many" }.each do |name, value|
      expect { configuration(env: { name => value }) }
        .to raise_error(Volador::ConfigurationError, /got "#{value}" by the environment variable #{name}/)
    end
  end

  it "says of an option of workers that a program has none" do
    expect { configuration(workers: 2) }
      .to raise_error(Volador::ConfigurationError, %r{workers is an option of the command volador and of config/volador\.rb})
  end

  it "takes numbers as Strings and Integers for seconds" do
    expect(configuration(threads: "8", ping_interval: 5, head_timeout: "1.5"))
      .to have_attributes(threads: 8, ping_interval: 5.0, head_timeout: 1.5)
  end

  it "takes several addresses, and Unix sockets by absolute or relative path" do
    binds = ["tcp://127.0.0.1:1", "unix:///run/app.sock", "unix://tmp/app.sock", "tcp://[::1]:2"]
    expect(configuration(bind: binds).bind)
      .to eq ["tcp://127.0.0.1:1", "unix:///run/app.sock", "unix://#{Dir.pwd}/tmp/app.sock", "tcp://[::1]:2"]
    expect(configuration(host: "/run/app.sock").bind).to eq ["unix:///run/app.sock"]
    expect(configuration(bind: "unix://app.sock?mode=660").bind).to eq ["unix://#{Dir.pwd}/app.sock?mode=0660"]
  end

  it "takes an address without a port as one of the usual port" do
    expect(configuration(bind: ["tcp://127.0.0.1", "tcp://[::1]/"]).bind).to eq ["tcp://127.0.0.1:9292", "tcp://[::1]:9292"]
  end

  it "refuses the path of a Unix socket that the system has no room for" do
    expect(configuration(bind: "unix:///#{'a' * 106}").bind).to eq ["unix:///#{'a' * 106}"]
    expect { configuration(bind: "unix:///#{'a' * 107}") }
      .to raise_error(Volador::ConfigurationError, /has 107 bytes at most, this one 108/)
  end

  it "resolves names, localhost to 127.0.0.1" do
    expect(configuration(host: "localhost", port: 0).bind).to eq ["tcp://127.0.0.1:0"]
  end

  it "takes what happens to slow clients" do
    native = configuration(slow_client: "drop_oldest", conflate: "price.*").to_native
    expect(native).to include(drop_oldest: true, conflate: ["price.*"])
  end

  it "takes names of channels to conflate, and nothing else" do
    expect(configuration(conflate: [:price, "a*"]).conflate).to eq %w[price a*]
    [5, [:a, nil], "", [""], { a: 1 }].each do |wrong|
      expect { configuration(conflate: wrong) }
        .to raise_error(Volador::ConfigurationError, /\Aconflate must be names or globs of channels, got /)
    end
  end

  it "takes origins" do
    expect(configuration(allowed_origins: "*").allowed_origins).to eq ["*"]
    origins = %w[https://a.example:444 http://a.example:80 http://[::1]:9292 http://[::1] https://xn--bcher-kva.example
                 HTTPS://A_b.example capacitor://localhost moz-extension://0c2a-11]
    expect(configuration(allowed_origins: origins).allowed_origins).to eq origins
  end

  it "logs to the file that it is given, and to $stderr without one" do
    Dir.mktmpdir do |folder|
      path = File.join(folder, "volador.log")
      configuration(log_file: path).log.warn("one")
      configuration(log_file: path).log.warn("two")
      expect(File.read(path)).to eq "volador WARN: one\nvolador WARN: two\n"
    end
    expect { configuration.log.warn("three") }.to output("volador WARN: three\n").to_stderr
  end

  it "refuses a FIFO that nobody reads as its log file, and does not wait for a reader" do
    Dir.mktmpdir do |folder|
      path = File.join(folder, "log").tap { |fifo| File.mkfifo(fifo) }
      refused = raise_error(Volador::ConfigurationError, "log_file must be a file that can be written to, got " \
                                                         "#{path.inspect} (nobody reads this FIFO: start its reader first)")
      expect { Timeout.timeout(5) { configuration(log_file: path) } }.to refused

      File.open(path, File::RDONLY | File::NONBLOCK) do |reader|
        configuration(log_file: path).log.warn("one")
        expect(reader.gets).to eq "volador WARN: one\n"
      end
    end
  end

  it "leaves informative lines out of the log when it is quiet" do
    expect { configuration(quiet: true).log.info("one") }.not_to output.to_stderr
  end

  {
    { threads: 0 } => "threads must be an Integer from 1 to 1024, got 0",
    { shards: 256 } => "shards must be an Integer from 1 to 255, got 256",
    { threads: "many" } => "threads must be an Integer from 1 to 1024, got \"many\"",
    { threads: 1.5 } => "threads must be an Integer from 1 to 1024, got 1.5",
    { head_timeout: -1 } => "head_timeout must be a number from 0.001 to 86400.0 seconds, got -1",
    { head_timeout: Float::NAN } => "head_timeout must be a number",
    { port: 70_000 } => "port must be an Integer from 0 to 65535, got 70000",
    { port: "x" } => "port must be an Integer from 0 to 65535, got \"x\"",
    { bind: "ssl://0.0.0.0:443" } => "does not speak TLS yet",
    { bind: "fd://77" } => "bind fd://77: a socket is handed over by systemd (docs/cluster.md), and not by its number",
    { bind: "unix:///a?umask=0111" } => "bind unix:///a?umask=0111: behind the ? stands mode= and what chmod takes",
    { bind: "unix:///a?mode=1777" } => "bind unix:///a?mode=1777: behind the ? stands mode=",
    { bind: "127.0.0.1:80" } => "bind must be tcp://HOST:PORT or unix://PATH, got \"127.0.0.1:80\"",
    { bind: "tcp://127.0.0.1:99999" } => "port must be an Integer from 0 to 65535, got 99999",
    { host: "no-such-host.invalid" } => "host \"no-such-host.invalid\" has no address",
    { tmpdir: "/no/such/folder" } => "tmpdir must be a folder that can be written to, got \"/no/such/folder\"",
    { log_file: "/no/such/folder/log" } => "log_file must be a file that can be written to, got " \
                                           "\"/no/such/folder/log\" (No such file or directory)",
    { slow_client: :wait } => "slow_client must be :disconnect or :drop_oldest, got :wait",
    { allowed_origins: "example.com" } => "allowed_origins must be \"*\" or origins like",
    { allowed_origins: "https://example.com/" } => "without a path, got \"https://example.com/\"",
    { allowed_origins: "https://me@example.com" } => "origins like \"https://example.com\"",
    { allowed_origins: "https://example.com?a" } => "origins like \"https://example.com\"",
    { allowed_origins: "https://\xff.example" } => "allowed_origins must name hosts as browsers do",
    { allowed_origins: ["*", "https://bücher.example"] } =>
      "allowed_origins must name hosts as browsers do, by Punycode where they are not ASCII " \
      "(\"https://xn--bcher-kva.example\"), got \"https://bücher.example\"",
    { allowed_origins: "https://*.example.com" } =>
      "allowed_origins knows no patterns: list each origin, or \"*\" for all, got \"https://*.example.com\"",
    { allowed_origins: "https://example.com:0443" } =>
      "allowed_origins must name ports as browsers do, up to 65535 and without leading zeros, got \"https://example.com:0443\"",
    { allowed_origins: "https://example.com:" } => "allowed_origins must name ports as browsers do",
    { allowed_origins: "https://[::1]:65536" } => "allowed_origins must name ports as browsers do",
    { allowed_origins: "https://example.com:*" } => "allowed_origins knows no patterns",
    { thread: 5 } => "there is no option thread"
  }.each do |options, message|
    it "refuses #{options}" do
      expect { configuration(**options) }.to raise_error(Volador::ConfigurationError, a_string_including(message))
    end
  end
end
