# frozen_string_literal: true

require "tmpdir"
require "volador/application"

RSpec.describe Volador::Application do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  def config(text)
    File.join(@folder, "config.ru").tap { |path| File.write(path, text) }
  end

  def failure(text)
    path = config(text)
    described_class.load(path)
    raise "it was loaded"
  rescue Volador::BootError => e
    expect(e.message.lines.size).to eq 1
    e.message.gsub(path, "config.ru")
  end

  it "loads a config.ru with the installed Rack" do
    app = described_class.load(config("run ->(env) { [200, {}, ['loaded']] }"))
    expect(app.call({})[2]).to eq ["loaded"]
  end

  it "says that a file is missing" do
    expect { described_class.load("/no/config.ru") }
      .to raise_error(Volador::BootError, %r{\A/no/config.ru is not there: run volador where config.ru is})
  end

  it "says where an exception came from" do
    expect(failure("\n\nfoo_bar")).to match(/config\.ru:3: undefined local variable or method .foo_bar.*\(NameError\)\z/)
  end

  it "says where the syntax is wrong" do
    expect(failure("run(\n")).to match(/config\.ru:\d+: .*syntax err.*\(SyntaxError\)\z/)
  end

  it "says where a missing library is required" do
    expect(failure("\nrequire 'no/such/library'"))
      .to match(/config\.ru:2: cannot load such file -- no.such.library \(LoadError\)\z/)
  end

  it "says that nothing is run" do
    expect(failure("# nothing")).to match(/config\.ru: missing run or map statement/)
  end
end
