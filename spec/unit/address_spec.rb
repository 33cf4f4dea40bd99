# frozen_string_literal: true

RSpec.describe Volador::Address do
  around do |example|
    Dir.mktmpdir { |folder| Dir.chdir(folder) { example.run } }
  end

  def within(folder)
    Dir.mkdir(folder)
    Dir.chdir(folder) { yield Dir.pwd }
  end

  def path(uri)
    described_class.path(described_class.parse(uri))
  end

  it "has a path without the permissions, and none on TCP" do
    expect(path("unix:///run/app.sock")).to eq("/run/app.sock")
    expect(path("unix:///run/app.sock?mode=660")).to eq("/run/app.sock")
    expect(path("tcp://127.0.0.1:1")).to be_nil
  end

  ["a?b", "a?mode=0660", "a?mode=x", "a?\nb"].each do |name|
    it "has the whole path of a socket in a folder with the name #{name.inspect}" do
      within(name) do |folder|
        expect(path("unix://app.sock")).to eq("#{folder}/app.sock")
        expect(path("unix://app.sock?mode=0600")).to eq("#{folder}/app.sock")
      end
    end
  end

  it "refuses a folder whose name would pass for permissions: the socket would be in another place" do
    within("a?mode=0660") do
      expect { described_class.parse("unix://.") }
        .to raise_error(Volador::ConfigurationError, /this is a folder: name a file in it/)
    end
  end

  it "is where the gateway listens" do
    within("a?mode=0") do |folder|
      configuration = Volador::Configuration.new(bind: "unix://s?mode=0600", quiet: true)
      server = Volador::Server.new(->(_) { [200, {}, []] }, configuration).start
      expect(File.stat("#{folder}/s")).to have_attributes(socket?: true, mode: 0o140600)
    ensure
      server&.halt
    end
  end
end
