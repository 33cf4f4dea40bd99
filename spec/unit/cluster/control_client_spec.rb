# frozen_string_literal: true

require "volador/cluster/control_client"
require "volador/cluster/guest"

RSpec.describe Volador::Cluster::ControlClient do
  around do |example|
    Dir.mktmpdir do |base|
      @base = File.realpath(base)
      example.run
    ensure
      opened.each { |io| io.close unless io.closed? }
    end
  end

  let(:opened) { [] }

  # A server that anybody may have made.
  def impostor(folder, name = File.basename(Volador::Cluster::RuntimeDirectory.control_sockets(@base).first))
    UNIXServer.new(File.join(folder, name)).tap { |socket| opened << socket }
  end

  describe "of the present folder" do
    let(:client) { Dir.chdir(@base) { described_class.new } }
    let(:home) { File.join(@base, "volador-#{Process.euid}") }

    before { allow(Volador::Cluster::RuntimeDirectory).to receive(:homes).and_return([home]) }

    def expect_nothing_said(server, message)
      expect { client.ask({ do: "link" }) }.to raise_error(described_class::Unreachable, message)
      heard = server.accept_nonblock(exception: false)
      expect(heard == :wait_readable ? "" : heard.read).to eq ""
    end

    it "is asked in a home of this user's" do
      Dir.mkdir(home, 0o700)
      server = impostor(home)
      answer = Thread.new { server.accept.tap { |socket| opened << socket }.puts("{}") }
      expect(client.ask({ do: "status" })).to eq({})
      answer.join
    end

    it "is not asked in a home that others can write to" do
      Dir.mkdir(home)
      File.chmod(0o777, home)
      expect_nothing_said(impostor(home), /\A#{home} is a folder that others can write to: .* -S\z/)
    end

    it "is not asked in a home that is another user's, or leads to one" do
      Dir.mkdir("#{home}.other", 0o700)
      File.symlink("#{home}.other", home)
      expect_nothing_said(impostor("#{home}.other"), /\A#{home} is not a folder of this user: .* -S\z/)
    end

    it "is not asked when it is another user's process" do
      Dir.mkdir(home, 0o700)
      server = impostor(home)
      allow_any_instance_of(UNIXSocket).to receive(:getpeereid).and_return([4711, 4711])
      expect_nothing_said(server, /is another user's: ask as that user/)
    end
  end

  it "is not asked when it is named and another user's, but by root" do
    client = described_class.new(File.join(@base, "control.sock"))
    server = impostor(@base, "control.sock")
    allow_any_instance_of(UNIXSocket).to receive(:getpeereid).and_return([4711, 4711])
    allow(Process).to receive(:euid).and_return(4712)
    expect { client.ask({ do: "status" }) }.to raise_error(described_class::Unreachable, /is another user's/)
    expect(server.accept.read).to eq ""
    allow(Process).to receive(:euid).and_return(0)
    answer = Thread.new { server.accept.tap { |socket| opened << socket }.puts("{}") }
    expect(client.ask({ do: "status" })).to eq({})
    answer.join
  end

  it "says that a guest cannot join when the gateway is gone meanwhile" do
    server = impostor(@base, "control.sock")
    answer = Thread.new { server.accept.tap { |socket| opened << socket }.puts('{"link":"/no/such/link.sock"}') }
    expect { Volador::Cluster::Guest.connect(File.join(@base, "control.sock")) }
      .to raise_error(described_class::Unreachable, %r{\Athe server cannot be joined: .*/no/such/link\.sock})
    answer.join
  end
end
