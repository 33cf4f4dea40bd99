# frozen_string_literal: true

require "volador/compat/iodine/listener"

RSpec.describe Volador::Compat::Iodine::Listener do
  it "names the settings that have no effect, known to Iodine or not, and no others" do
    settings = { service: :http, port: "0", address: nil, timeout: 5, ping: 3, public: "/tmp", log: true, foo: 1, max_body: nil }

    expect { described_class.new(settings, proc {}) }
      .to output("volador WARN: Iodine.listen: log, foo is left to Volador's own settings\n").to_stderr
    expect { described_class.new({ port: "0" }, proc { |_env| }) }.not_to output.to_stderr
  end

  it "knows handler: by its older name app:, too" do
    app = ->(env) { env }
    expect { expect(described_class.new({ service: "http", port: "0", app: app }, nil).handler).to equal app }.not_to output.to_stderr
  end

  describe "without a service" do
    # The callbacks of a raw connection.
    let(:protocol) { Class.new { def on_message(client, data) = client.write(data) } }

    it "takes what is called with an env for an app" do
      apps = [proc { |env| env }, proc { |env = nil| env }, ->(*given) { given }, method(:puts),
              Module.new { def self.call(_env) = [] }]
      apps.each { |app| expect(described_class.new({ port: "0", handler: app }, nil).handler).to equal app }
      expect(described_class.new({ url: "unix:///tmp/a", handler: apps.first }, nil).handler).to equal apps.first
    end

    it "refuses what is for raw TCP, and says what Volador speaks" do
      one = protocol
      maker = Module.new { def self.call = self }
      [[{}, proc { one.new }], [{ handler: one.new }, nil], [{ handler: maker }, nil], [{ url: "unix:///tmp/a" }, proc { one.new }]]
        .each do |settings, block|
          expect { described_class.new(settings, block) }
            .to raise_error(NotImplementedError, /raw TCP.*Volador speaks HTTP, WebSocket and SSE only/)
        end
      expect { described_class.new({ url: "raw://:3030", handler: maker }, nil) }.to raise_error(NotImplementedError, /:raw/)
    end
  end

  it "asks for an app where the service is HTTP, and takes a block that needs no env" do
    expect { described_class.new({}, nil) }.to raise_error(ArgumentError, /needs a handler: or a block/)
    expect { described_class.new({ service: :http, handler: Object.new }, nil) }.to raise_error(ArgumentError, /responds to call/)
    expect(described_class.new({ service: "http" }, proc { [200, {}, []] }).handler).to be_a Proc
    expect(described_class.new({ url: "http://:0" }, proc { [200, {}, []] }).handler).to be_a Proc
  end
end
