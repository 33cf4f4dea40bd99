# frozen_string_literal: true

require "tmpdir"
require "volador/compat/iodine/deployment"
require "volador/compat/iodine/listener"

RSpec.describe Volador::Compat::Iodine::Deployment do
  subject(:deployment) { described_class.new(settings, listeners, Volador::Log.new(log)) }

  let(:settings) { { port: "3000", address: nil } }
  let(:listeners) { [] }
  let(:log) { StringIO.new }
  let(:app) { ->(_env) { [200, {}, ["app"]] } }

  def listener(**named)
    Volador::Compat::Iodine::Listener.new({ service: :http, port: "0", **named }, app)
  end

  def ask(app, path)
    body = app.call(Rack::MockRequest.env_for(path))[2]
    body.enum_for(:each).to_a.join
  end

  it "leaves an app alone of which Iodine was told nothing, without a word" do
    expect(deployment.prepare(app)).to equal app
    expect(log.string).to be_empty
  end

  it "puts the public folder that has been set before the app" do
    Dir.mktmpdir do |directory|
      File.write(File.join(directory, "index.html"), "home")
      deployment
      settings[:public] = directory
      served = deployment.prepare(app)
      expect([ask(served, "/"), ask(served, "/other")]).to eq %w[home app]
      expect(log.string).to be_empty
    end
  end

  it "names once the settings that have been changed to no effect, with what stands for them" do
    deployment
    settings.merge!(port: "3000", max_body: 70, ping: 5, timeout: 1, max_msg: 64, log: true, max_clients: 9, tls: nil)
    deployment.prepare(app)
    expect(log.string.lines.size).to eq 1
    expect(log.string).to include("max_body (use body_max_bytes)", "ping (use ping_interval and heartbeat_interval)",
                                  "timeout (use keep_alive_timeout)", "max_msg (use message_max_bytes)",
                                  "log (use Rack::CommonLogger)", " max_clients.", "config/volador.rb")
    expect(log.string).not_to match(/port|tls|address/)
  end

  it "says that listeners are not served, and what to do" do
    listeners.push(listener, listener)
    deployment.prepare(app)
    expect(log.string).to match(/\A[^\n]*Iodine\.listen has no effect without Iodine\.start \(calls: 2\)[^\n]* by -b[^\n]*\n\z/)
  end

  it "leaves the servers of listeners to them" do
    deployment
    settings[:ping] = 3
    listeners.push(listener, listener)
    listeners.first.server(1)
    expect(deployment.prepare(app)).to equal app
    expect(log.string).to be_empty
  end
end
