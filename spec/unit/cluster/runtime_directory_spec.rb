# frozen_string_literal: true

require "json"
require "volador/cluster/leftovers"
require "volador/cluster/runtime_directory"

RSpec.describe Volador::Cluster::RuntimeDirectory do
  around do |example|
    Dir.mktmpdir do |base|
      @base = base
      example.run
    end
  end

  let(:env) { { "XDG_RUNTIME_DIR" => @base } }
  let(:home) { File.join(@base, "volador-#{Process.euid}") }

  def mode(path)
    format("%o", File.stat(path).mode & 0o777)
  end

  it "is for its user alone" do
    directory = described_class.create(env)
    expect([mode(home), mode(directory.path)]).to eq %w[700 700]
    expect(directory.link).to eq File.join(directory.path, "link.sock")
    expect(File.dirname(directory.path)).to eq home
  end

  it "leaves nothing behind" do
    first = described_class.create(env)
    second = described_class.create(env)
    first.remove
    expect(Dir.children(home)).to eq [File.basename(second.path)]
    second.remove
    expect(Dir.children(@base)).to eq []
  end

  it "takes permissions for others away from a home that is there" do
    Dir.mkdir(home, 0o755)
    described_class.create(env)
    expect(mode(home)).to eq "700"
  end

  it "does not enter a home that is no folder" do
    File.symlink("/", home)
    expect { described_class.create(env) }.to raise_error(Volador::BootError, /is not a folder of this user/)
  end

  it "is below TMPDIR where there is no XDG_RUNTIME_DIR" do
    allow(Dir).to receive(:tmpdir).and_return(@base)
    expect(described_class.create({}).path).to start_with(home)
    expect(described_class.create("XDG_RUNTIME_DIR" => "/no/such").path).to start_with(home)
  end

  it "removes what gateways have left that were killed, and nothing else" do
    living = described_class.create(env)
    killed = File.join(home, "1-89abcdef")
    starting = File.join(home, "2-89abcdef")
    forgotten = File.join(home, "3-89abcdef")
    [killed, starting, forgotten].each { |path| Dir.mkdir(path) }
    File.write(File.join(killed, "lock"), "")
    [killed, forgotten, living.path].each { |path| File.utime(Time.now - 100, Time.now - 100, path) }
    File.write(File.join(home, "0123456789abcdef.sock"), "")

    mine = described_class.create(env)
    expect(Dir.children(home)).to match_array [living, mine].map { |one| File.basename(one.path) } +
                                              ["2-89abcdef", "0123456789abcdef.sock"]
  end

  it "refuses a path that is too long for a socket" do
    long = File.join(@base, "x" * 80)
    Dir.mkdir(long)
    expect { described_class.create("XDG_RUNTIME_DIR" => long) }
      .to raise_error(Volador::BootError, /link\.sock is too long for a socket, by \d+ bytes/)
  end

  it "has a control socket for each folder, at one of two places" do
    allow(Dir).to receive(:tmpdir).and_return("/tmp")
    one = described_class.control_sockets("/srv/one", env)
    expect(one.map { |path| File.dirname(path) }).to eq [home, "/tmp/volador-#{Process.euid}"]
    expect(one).to all(match(%r{/\h{16}\.sock\z}))
    expect(described_class.control_sockets("/srv/one", env)).to eq one
    expect(described_class.control_sockets("/srv/two", env) & one).to eq []
  end

  describe Volador::Cluster::Leftovers do
    let(:path) { File.join(@base, "app.sock") }

    def listen(path)
      UNIXServer.new(path).close
    end

    it "are removed by others in the gateway's place" do
      directory = Volador::Cluster::RuntimeDirectory.create(env)
      control = File.join(home, "0123456789abcdef.sock")
      [control, directory.link].each { |path| listen(path) }
      entries = described_class.at(folder: directory.path, sockets: [control, "/no/such/file"]).to_a

      2.times { described_class.new(JSON.parse(JSON.generate(entries))).remove }
      expect(Dir.children(@base)).to eq []
    end

    it "stay as long as the gateway lives" do
      gateway = Process.spawn(env, RbConfig.ruby, "-I#{ServerProcess::ROOT}/lib", "-rvolador/cluster/runtime_directory", "-e",
                              "$it = Volador::Cluster::RuntimeDirectory.create; $stdin.read", in: (pipe = IO.pipe).first)
      path = Deadline.until("a private folder with its lock") do
        found = Dir["#{home}/*"].first
        found if found && File.exist?("#{found}/lock") && !Volador::Cluster::RuntimeDirectory.abandoned?(found)
      end
      leftovers = described_class.at(folder: path)
      expect([leftovers.clear(0.05), File.exist?(path)]).to eq [false, true]
      Process.kill(:KILL, gateway)
      # It is a zombie, of which the system still says that it is there.
      expect([leftovers.clear, File.exist?(path), leftovers.clear]).to eq [true, false, true]
    ensure
      Process.wait(gateway)
      pipe.each(&:close)
    end

    it "are no folder and no file that a socket's path names" do
      file = File.join(@base, "file")
      kept = File.join(path, "kept")
      Dir.mkdir(path)
      [file, kept].each { |one| File.write(one, "") }
      described_class.at(sockets: [path, file]).remove
      expect([file, kept]).to all(satisfy("be there") { |one| File.exist?(one) })
    end

    it "are left alone when they are another's by now that has got the number of the old one" do
      listen(path)
      leftovers = described_class.at(sockets: [path])
      File.unlink(path)
      sleep 0.02 # the system's clock for files is coarse
      listen(path)
      leftovers.remove
      expect(File.socket?(path)).to be(true)
    end

    {
      "socket" => ->(path) { UNIXServer.new(path).close },
      "file" => ->(path) { File.write(path, "") },
      "folder" => ->(path) { Dir.mkdir(path) }
    }.each do |kind, make|
      it "are left alone when there is another's #{kind} by now" do
        listen(path)
        leftovers = described_class.at(sockets: [path])
        make.call("#{path}.new")
        File.rename(path, "#{path}.old")
        File.rename("#{path}.new", path)
        leftovers.remove
        expect(File.exist?(path)).to be(true)
      end
    end
  end
end
