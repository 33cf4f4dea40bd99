# frozen_string_literal: true

require "volador/cli"
require "volador/application"

RSpec.describe Volador::CLI do
  let(:out) { StringIO.new }
  let(:err) { StringIO.new }
  let(:env) { {} }
  let(:app) { ->(_) { [200, {}, []] } }

  def run(*arguments)
    described_class.new(arguments, env: env, out: out, err: err).run
  end

  # @return [Volador::Configuration] what a server would be started with
  def configuration(*arguments)
    found = nil
    allow(Volador::Application).to receive(:load).and_return(app)
    allow(Volador::Server).to receive(:new) do |_, given, **|
      found = given
      instance_double(Volador::Server, run: nil)
    end
    expect(run(*arguments)).to eq(0), err.string
    found
  end

  it "prints its version" do
    expect(run("--version")).to eq 0
    expect(out.string).to eq "volador #{Volador::VERSION}\n"
  end

  it "prints its options" do
    expect(run("--help")).to eq 0
    expect(out.string).to include("--port", "--bind", "--threads", "--environment", "--compat", "127.0.0.1:9292",
                                  "PORT")
  end

  {
    ["--nope"] => "invalid option: --nope; volador --help lists the options",
    ["-t"] => "missing argument: -t",
    ["-t", "0"] => "threads must be an Integer from 1 to 1024, got \"0\"",
    ["--compat", "puma"] => "--compat must be iodine or agoo, got \"puma\"",
    ["-p", "x"] => "port must be an Integer from 0 to 65535, got \"x\"",
    ["-b", "ssl://localhost"] => "does not speak TLS yet",
    ["-b", "fd://99999999999"] => "bind fd://99999999999: a socket is handed over by systemd",
    %w[a.ru b.ru] => "one config.ru at most, got a.ru b.ru",
    ["-w", "many"] => "workers must be an Integer from 0 to 256, got \"many\"",
    ["-C", "/no/volador.rb"] => "/no/volador.rb cannot be read: No such file or directory",
    ["--directory", "/no"] => "--directory /no cannot be entered: No such file or directory",
    ["/no/config.ru"] => "/no/config.ru is not there"
  }.each do |arguments, message|
    it "answers #{arguments.join(' ')} with one line and status 1" do
      expect(run(*arguments)).to eq 1
      expect(err.string.lines.size).to eq 1
      expect(err.string).to start_with("volador: ").and include(message)
    end
  end

  it "answers any error of Volador's own with one line and status 1" do
    allow(Volador::Application).to receive(:load).and_return(app)
    allow(Volador::Server).to receive(:new).and_raise(Volador::Error, "it cannot be")
    expect(run).to eq 1
    expect(err.string).to eq "volador: it cannot be\n"
  end

  it "prints the backtrace of what it cannot load when asked" do
    expect(run("--debug", "/no/config.ru")).to eq 1
    expect(err.string).to include "application.rb:"
  end

  it "hands its options to the server" do
    expect(configuration("-p", "1", "-t", "2", "-q", "-e", "production"))
      .to have_attributes(bind: ["tcp://0.0.0.0:1"], threads: 2, quiet?: true, environment: "production")
    expect(env).to eq "RACK_ENV" => "production", "RAILS_ENV" => "production"
  end

  it "leaves RAILS_ENV as it is" do
    env["RAILS_ENV"] = "staging"
    configuration("-e", "production")
    expect(env["RAILS_ENV"]).to eq "staging"
  end

  it "takes several addresses" do
    expect(configuration("-b", "tcp://127.0.0.1:1", "-b", "unix:///a").bind).to eq ["tcp://127.0.0.1:1", "unix:///a"]
  end

  it "understands Puma's MIN:MAX threads" do
    expect(configuration("-t", "0:16").threads).to eq 16
  end

  it "takes what is given on the command line before what the config file has" do
    Dir.mktmpdir do |folder|
      path = File.join(folder, "volador.rb")
      File.write(path, "threads 3\nbind 'unix:///a'\nenvironment 'staging'\nqueue_max 7\n")
      expect(configuration("-C", path)).to have_attributes(threads: 3, bind: ["unix:///a"], environment: "staging", queue_max: 7)
      expect(env).to eq "RACK_ENV" => "staging", "RAILS_ENV" => "staging"
      expect(configuration("-C", path, "-t", "4", "-p", "1", "-e", "test"))
        .to have_attributes(threads: 4, bind: ["tcp://0.0.0.0:1"], environment: "test", queue_max: 7)
    end
  end

  it "takes systemd's sockets before all other addresses" do
    allow(IO).to receive(:for_fd).and_return(instance_double(IO, :close_on_exec= => true))
    env.update("LISTEN_PID" => Process.pid.to_s, "LISTEN_FDS" => "1")
    expect(configuration("-b", "unix:///a").bind).to eq ["fd://3"]
  end

  describe "with workers" do
    # @return [Hash] what the gateway's process would be started with
    def gateway(*arguments)
      require "volador/cluster/gateway_process"
      found = nil
      allow(Volador::Cluster::GatewayProcess).to receive(:new) do |**given|
        found = given
        instance_double(Volador::Cluster::GatewayProcess, run: nil)
      end
      expect(run(*arguments)).to eq(0), err.string
      found
    end

    it "loads no application, and hands on what the molds need to" do
      found = gateway("-w", "2", "-t", "3", "-b", "unix:///a", "--compat", "agoo", "-S", "/control", "some.ru")
      expect(found[:settings]).to have_attributes(workers: 2, control_socket: "/control")
      expect(found[:configuration]).to have_attributes(threads: 3, bind: ["unix:///a"])
      expect(found[:application]).to eq(config: "some.ru", config_file: nil, compats: ["agoo"],
                                        options: { threads: "3", environment: "development" })
    end

    it "takes their number from the command line, the config file, and WEB_CONCURRENCY" do
      Dir.mktmpdir do |folder|
        path = File.join(folder, "volador.rb")
        File.write(path, "workers 3\n")
        env["WEB_CONCURRENCY"] = "4"
        expect([gateway, gateway("-C", path), gateway("-C", path, "-w", "5"), gateway("-w", "auto")]
          .map { |found| found[:settings].workers }).to eq [4, 3, 5, Etc.nprocessors]
      end
    end
  end

  it "goes to the folder that it is told, by its name" do
    Dir.mktmpdir do |folder|
      here = Dir.pwd
      File.symlink(folder, "#{folder}/link")
      configuration("--directory", "#{folder}/link")
      expect([Dir.pwd, env["PWD"]]).to eq [File.realpath(folder), "#{folder}/link"]
    ensure
      Dir.chdir(here)
    end
  end

  it "loads config.ru of the present folder by default" do
    configuration
    expect(Volador::Application).to have_received(:load).with("config.ru")
  end
end
