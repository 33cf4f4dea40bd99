# frozen_string_literal: true

require "socket"
require "volador/systemd"

RSpec.describe Volador::Systemd do
  let(:pid) { Process.pid.to_s }

  # @return [Array<String>] what systemd is told
  def told(path, address = path)
    socket = Socket.new(:UNIX, :DGRAM)
    socket.bind(Socket.sockaddr_un(path))
    yield described_class.new("NOTIFY_SOCKET" => address)
    messages = []
    while (message = socket.recvfrom_nonblock(4096, exception: false)) != :wait_readable
      messages << message.first
    end
    messages
  ensure
    socket.close
  end

  it "has the sockets that were handed to this process" do
    stdin = instance_double(IO, :close_on_exec= => true)
    allow(IO).to receive(:for_fd).and_return(stdin)
    expect(described_class.new("LISTEN_PID" => pid, "LISTEN_FDS" => "2").binds.map(&:to_s)).to eq %w[fd://3 fd://4]
    expect(IO).to have_received(:for_fd).with(3, autoclose: false)
    expect(stdin).to have_received(:close_on_exec=).with(true).twice
  end

  it "says that there are not as many sockets as it was told" do
    expect { described_class.new("LISTEN_PID" => pid, "LISTEN_FDS" => "5000").binds }
      .to raise_error(Volador::ConfigurationError, /\ALISTEN_FDS says 5000, but there are not as many sockets: /)
  end

  [{}, { "LISTEN_PID" => "1", "LISTEN_FDS" => "2" }, { "LISTEN_FDS" => "2" }].each do |env|
    it "has no sockets given #{env}" do
      expect(described_class.new(env).binds).to eq []
    end
  end

  it "leaves nothing in the environment that children could take for theirs" do
    env = { "LISTEN_PID" => "1", "LISTEN_FDS" => "2", "LISTEN_FDNAMES" => "a:b", "NOTIFY_SOCKET" => "/x", "HOME" => "/" }
    described_class.new(env)
    expect(env).to eq("HOME" => "/")
  end

  it "tells what the service does" do
    Dir.mktmpdir do |folder|
      messages = told(File.join(folder, "notify")) do |systemd|
        systemd.ready("2 workers")
        systemd.reloading
        systemd.stopping
      end
      expect(messages).to match [
        "READY=1\nSTATUS=2 workers",
        /\ARELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=/,
        /\ASTOPPING=1\nSTATUS=/
      ]
    end
  end

  it "tells it to a socket without a file" do
    name = "volador-spec-#{pid}-#{object_id}"
    expect(told("\0#{name}", "@#{name}") { |systemd| systemd.ready("x") }).to eq ["READY=1\nSTATUS=x"]
  end

  it "does not mind that nobody listens" do
    expect([described_class.new({}), described_class.new("NOTIFY_SOCKET" => "/no/such/socket")].map { |one| one.ready("x") })
      .to eq [nil, nil]
  end
end
