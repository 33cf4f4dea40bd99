# frozen_string_literal: true

require "volador/cluster/application_directory"

RSpec.describe Volador::Cluster::ApplicationDirectory do
  around do |example|
    Dir.mktmpdir do |base|
      @base = File.realpath(base)
      Dir.mkdir(File.join(@base, "1"))
      File.symlink("1", File.join(@base, "current"))
      Dir.chdir(File.join(@base, "1")) { example.run }
    end
  end

  it "keeps the name by which it was entered" do
    directory = described_class.new("PWD" => "#{@base}/current")
    expect(directory).to have_attributes(path: "#{@base}/current", real: "#{@base}/1")
  end

  [nil, "", "relative", "/", "/no/such/folder"].each do |pwd|
    it "has its real name when PWD is #{pwd.inspect}" do
      expect(described_class.new({ "PWD" => pwd }.compact).path).to eq "#{@base}/1"
    end
  end

  it "lets Bundler follow the link" do
    env = { "PWD" => "#{@base}/current", "BUNDLE_GEMFILE" => "#{@base}/1/gems/Gemfile" }
    expect(described_class.new(env).environment)
      .to eq("PWD" => "#{@base}/current", "BUNDLE_GEMFILE" => "#{@base}/current/gems/Gemfile")
  end

  it "leaves a Gemfile elsewhere alone" do
    [nil, "#{@base}/Gemfile", "#{@base}/10/Gemfile"].each do |gemfile|
      env = { "PWD" => "#{@base}/current", "BUNDLE_GEMFILE" => gemfile }
      expect(described_class.new(env).environment["BUNDLE_GEMFILE"]).to eq gemfile
    end
  end
end
