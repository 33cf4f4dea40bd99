# frozen_string_literal: true

RSpec.describe Volador::EnvTemplate do
  {
    "2.2.22" => "", "3.0.9" => "", "3.1" => "*", "3.2.7" => "*", "3.10.0" => "*", "4.0.0.alpha" => "*"
  }.each do |release, path|
    it "has #{path.inspect} as the PATH_INFO of OPTIONS *, as Rack #{release} wants it" do
      stub_const("Rack", Module.new { define_singleton_method(:release) { release } })

      expect(described_class.make(threads: 1, multiprocess: false)["PATH_INFO"]).to eq(path)
    end
  end

  { "2.2.22" => nil, "3.0.9" => [], "3.2.7" => [] }.each do |release, callables|
    it "has #{callables.inspect} for rack.response_finished, as Rack #{release} has it" do
      stub_const("Rack", Module.new { define_singleton_method(:release) { release } })

      expect(described_class.make(threads: 1, multiprocess: false)["rack.response_finished"]).to eq(callables)
    end
  end

  it "has an empty PATH_INFO of OPTIONS * where no Rack is loaded" do
    hide_const("Rack")

    expect(described_class.make(threads: 1, multiprocess: false)["PATH_INFO"]).to eq("")
  end
end
