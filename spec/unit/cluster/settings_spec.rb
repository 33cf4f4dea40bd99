# frozen_string_literal: true

require "volador/cluster/settings"

RSpec.describe Volador::Cluster::Settings do
  def settings(env: {}, **options)
    described_class.new(env: env, **options)
  end

  it "has no workers unless it is told" do
    expect(settings).to have_attributes(workers: 0, worker_timeout: 60.0, boot_timeout: 60.0, handover_timeout: 60.0,
                                        control_socket: nil)
  end

  it "takes WEB_CONCURRENCY, and what is given before it" do
    expect(settings(env: { "WEB_CONCURRENCY" => "3" }).workers).to eq 3
    expect(settings(env: { "WEB_CONCURRENCY" => "3" }, workers: 0).workers).to eq 0
    expect(settings(env: { "WEB_CONCURRENCY" => "" }).workers).to eq 0
  end

  it "takes as many workers as there are processors for auto" do
    expect([settings(workers: :auto), settings(env: { "WEB_CONCURRENCY" => "auto" })].map(&:workers))
      .to all(eq(Etc.nprocessors))
  end

  it "makes the path of the control socket absolute" do
    expect(settings(control_socket: "tmp/control.sock").control_socket).to eq File.expand_path("tmp/control.sock")
  end

  {
    { workers: -1 } => "workers must be an Integer from 0 to 256, got -1",
    { workers: "many" } => "workers must be an Integer from 0 to 256, got \"many\"",
    { worker_timeout: 1 } => "worker_timeout must be a number from 2.0 to 86400.0 seconds, got 1",
    { control_socket: "" } => "control_socket must be a path, got \"\""
  }.each do |options, message|
    it "refuses #{options}" do
      expect { settings(**options) }.to raise_error(Volador::ConfigurationError, message)
    end
  end
end
