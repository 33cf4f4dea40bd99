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
    ["--compat", "puma"] => "invalid argument: --compat puma; volador --help lists the options",
    ["-p", "x"] => "port must be an Integer from 0 to 65535, got \"x\"",
    ["-b", "ssl://localhost"] => "does not speak TLS yet",
    %w[a.ru b.ru] => "one config.ru at most, got a.ru b.ru",
    ["/no/config.ru"] => "/no/config.ru is not there"
  }.each do |arguments, message|
    it "answers #{arguments.join(' ')} with one line and status 1" do
      expect(run(*arguments)).to eq 1
      expect(err.string.lines.size).to eq 1
      expect(err.string).to start_with("volador: ").and include(message)
    end
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

  it "loads config.ru of the present folder by default" do
    configuration
    expect(Volador::Application).to have_received(:load).with("config.ru")
  end
end
