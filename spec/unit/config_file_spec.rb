# frozen_string_literal: true

require "volador/config_file"

RSpec.describe Volador::ConfigFile do
  around do |example|
    Dir.mktmpdir { |folder| Dir.chdir(folder) { example.run } }
  end

  def load(text, path = "config/volador.rb")
    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, text)
    described_class.load(path)
  end

  it "has every option of the server and of the cluster" do
    file = load(<<~RUBY)
      port 3000
      host "127.0.0.1"
      environment :production
      quiet
      log_file "volador.log"
      threads 8
      drain_timeout 5.5
      allowed_origins "https://a.example", "https://b.example"
      slow_client :drop_oldest
      conflate "price.*"
      workers 4
      worker_timeout 30
      control_socket "control.sock"
      compat :iodine
    RUBY

    expect(file.options).to eq(port: 3000, host: "127.0.0.1", environment: "production", quiet: true,
                               log_file: "volador.log", threads: 8, drain_timeout: 5.5,
                               allowed_origins: ["https://a.example", "https://b.example"],
                               slow_client: :drop_oldest, conflate: ["price.*"])
    expect(file.cluster).to eq(workers: 4, worker_timeout: 30, control_socket: "control.sock")
    expect(file.compats).to eq ["iodine"]
  end

  it "has a setting for each option that there is" do
    names = Volador::Configuration.instance_method(:initialize).parameters.filter_map { |kind, name| name if kind == :key }
    expect(described_class::NAMES).to include(*(names - [:env]), *Volador::Configuration::NUMBERS.keys,
                                              *Volador::Cluster::Settings::NUMBERS.keys, :control_socket)
  end

  it "gathers addresses" do
    expect(load("bind 'tcp://127.0.0.1:1'\nbind 'unix:///a', 'unix:///b'").options[:bind])
      .to eq ["tcp://127.0.0.1:1", "unix:///a", "unix:///b"]
  end

  it "takes the larger of Puma's two numbers of threads" do
    expect(load("threads 0, 16").options).to eq(threads: 16)
  end

  it "runs hooks in order, by both of Puma's names" do
    file = load(<<~RUBY)
      SEEN = []
      before_fork { SEEN << :fork }
      on_worker_boot { |number| SEEN << [:boot, number] }
      before_worker_boot { |number| SEEN << [:boot_too, number] }
      on_worker_shutdown { |number| SEEN << [:shutdown, number] }
      on_booted { SEEN << :booted }
    RUBY
    file.hooks.run(:before_fork)
    file.hooks.run(:worker_boot, 2)
    file.hooks.run(:worker_shutdown, 2)
    file.hooks.run(:booted)
    expect(Object.send(:remove_const, :SEEN)).to eq [:fork, [:boot, 2], [:boot_too, 2], [:shutdown, 2], :booted]
  end

  it "is Ruby, with methods and constants of its own" do
    expect(load("def twice(number) = 2 * number\nthreads twice(Integer('3'))").options).to eq(threads: 6)
    expect(load("class Configuration; N = 7; end\nthreads Configuration::N").options).to eq(threads: 7)
  ensure
    Object.send(:remove_const, :Configuration)
  end

  it "is read where it is by default, and only if it is there" do
    expect(described_class.load.options).to eq({})
    load("threads 3")
    expect(described_class.load.options).to eq(threads: 3)
    expect(described_class.load("-").options).to eq({})
  end

  it "says that it is not there" do
    expect { described_class.load("other.rb") }
      .to raise_error(Volador::ConfigurationError, /\Aother\.rb cannot be read: No such file or directory/)
  end

  {
    "workers 2\n\nthread 3" => "config/volador.rb:3: there is no setting thread; did you mean threads?",
    "theads" => "config/volador.rb:1: there is no setting theads; did you mean threads?",
    "zzzzzzzz 1" => "config/volador.rb:1: there is no setting zzzzzzzz: see docs/configuration.md",
    "\npreload_app!" => "config/volador.rb:2: there is no setting preload_app!: the application is always loaded once",
    "plugin :tmp_restart" => "config/volador.rb:1: there is no setting plugin: there are none; volador restart does what",
    "threads 0" => "config/volador.rb:1: threads must be an Integer from 1 to 1024, got 0",
    "threads" => "config/volador.rb:1: threads takes one value, got none",
    "threads 1, 2, 3" => "config/volador.rb:1: threads takes one value, got 1, 2, 3",
    "workers 'many'" => "config/volador.rb:1: workers must be an Integer from 0 to 256, got \"many\"",
    "bind 'ssl://x'" => "config/volador.rb:1: bind ssl://x: Volador does not speak TLS yet",
    "slow_client :wait" => "config/volador.rb:1: slow_client must be :disconnect or :drop_oldest, got :wait",
    "environment ''" => "config/volador.rb:1: environment must be a word like \"production\", got \"\"",
    "compat :puma" => "config/volador.rb:1: compat must be iodine or agoo, got \"puma\"",
    "\non_worker_boot" => "config/volador.rb:2: on_worker_boot takes a block",
    "\n\nraise 'no'" => "config/volador.rb:3: no (RuntimeError)",
    "\nNothing" => "config/volador.rb:2: uninitialized constant Nothing (NameError): the application is not loaded yet",
    "require 'not/there'" => "config/volador.rb:1: cannot load such file -- not/there (LoadError)",
    "\nthreads(" => "config/volador.rb:2: syntax error"
  }.each do |text, message|
    it "refuses #{text.inspect} with its line" do
      expect { load(text) }.to raise_error(Volador::ConfigurationError, a_string_starting_with(message))
    end
  end

  it "names the line within the file also for a setting that is made in a method" do
    expect { load("def more\n  threads 0\nend\nmore") }
      .to raise_error(Volador::ConfigurationError, a_string_starting_with("config/volador.rb:2: threads"))
  end
end
