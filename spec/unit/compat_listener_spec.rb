# frozen_string_literal: true

require "volador/compat/iodine/listener"

RSpec.describe Volador::Compat::Iodine::Listener do
  it "names the settings that have no effect, known to Iodine or not, and no others" do
    settings = { service: :http, port: "0", address: nil, timeout: 5, ping: 3, public: "/tmp", log: true, foo: 1, max_body: nil }

    expect { described_class.new(settings, proc {}) }
      .to output("volador WARN: Iodine.listen: log, foo is left to Volador's own settings\n").to_stderr
    expect { described_class.new({ port: "0" }, proc {}) }.not_to output.to_stderr
  end
end
