# frozen_string_literal: true

require "rack"

require "volador/rack_handler"

RSpec.describe Volador::RackHandler do
  let(:handler) do
    if Rack.release.to_i >= 3
      require "rackup"
      Rackup::Handler.get("volador")
    else
      Rack::Handler.get("volador")
    end
  end

  it "is found by its name" do
    expect(handler.name).to end_with "Handler::Volador"
    expect(handler.valid_options).to include("Host=HOST", "Port=PORT", "Threads=COUNT")
  end

  it "takes rackup's options and leaves the others alone" do
    chosen = described_class.configuration(Host: "localhost", Port: "3", Threads: "0:4", AccessLog: [], config: "x",
                                           environment: "development", queue_max: "7", slow_client: "drop_oldest", conflate: "a*")
    expect(Volador::Configuration.new(**chosen))
      .to have_attributes(bind: ["tcp://127.0.0.1:3"], threads: 4, queue_max: 7, slow_client: :drop_oldest, conflate: ["a*"])
  end

  it "ends with one line when it cannot start" do
    expect { handler.run(->(_) {}, Port: "x") }
      .to raise_error(SystemExit).and output("volador: port must be an Integer from 0 to 65535, got \"x\"\n").to_stderr
  end
end
