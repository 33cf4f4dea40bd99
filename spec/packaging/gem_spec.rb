# frozen_string_literal: true

require "fileutils"
require "open3"
require "rbconfig"
require "tmpdir"

# The gem as a user gets it: built, then installed from the file into an empty GEM_HOME, and used from there. Rack comes
# from where it is installed on this machine, so nothing is fetched but what cargo has not yet.
RSpec.describe "the gem", :packaging do
  root = File.expand_path("../..", __dir__)

  # Neither the checkout nor gems of a developer may help: only GEM_HOME and the machine's own gems are seen.
  def environment(home)
    { "GEM_HOME" => home, "GEM_PATH" => nil, "RUBYLIB" => nil, "RUBYOPT" => nil, "BUNDLE_GEMFILE" => nil, "PORT" => nil }
  end

  def run(env, *command, chdir:)
    output, status = Open3.capture2e(env, *command, chdir: chdir)
    raise "#{command.join(' ')} failed (#{status}):\n#{output}" unless status.success?

    output
  end

  def files_below(folder)
    Dir.glob("**/*", File::FNM_DOTMATCH, base: folder).select { |path| File.file?(File.join(folder, path)) }
  end

  context "when installed" do
    before(:context) do
      @folder = Dir.mktmpdir("volador-packaging")
      @home = File.join(@folder, "home")
      package = File.join(@folder, "volador.gem")
      run(environment(@home), RbConfig.ruby, "-S", "gem", "build", "volador.gemspec", "--output", package, chdir: root)
      run(environment(@home).merge("CARGO_TARGET_DIR" => compiled_crates(root)),
          RbConfig.ruby, "-S", "gem", "install", "--local", "--no-document", package, chdir: @folder)
    end

    after(:context) { FileUtils.remove_entry(@folder) }

    # A copy of what the checkout has compiled, so that only Volador's own crates are compiled again. Not the original:
    # cargo would take the gem's crates there for the checkout's.
    def compiled_crates(root)
      original = File.join(File.expand_path(ENV.fetch("CARGO_TARGET_DIR", "target"), root), "release")
      copy = File.join(@folder, "target")
      FileUtils.mkdir_p(copy)
      run({}, "cp", "--archive", "--reflink=auto", original, copy, chdir: @folder) if File.directory?(original)
      copy
    end

    def start(*command)
      directory = Dir.mktmpdir("volador-packaging-app")
      File.write(File.join(directory, "config.ru"), <<~RUBY)
        run ->(_env) { [200, { "content-type" => "text/plain" }, [$LOADED_FEATURES.grep(/volador_ext/).join]] }
      RUBY
      keep(ServerProcess.new([RbConfig.ruby, *command], directory: directory, env: environment(@home)))
    end

    it "needs no rb_sys gem" do
      installed = run(environment(@home), RbConfig.ruby, "-S", "gem", "list", "--no-versions", chdir: @folder).split

      expect(installed).to include("volador")
      expect(installed).not_to include("rb_sys")
    end

    it "brings the command volador, which serves a config.ru" do
      response = start(File.join(@home, "bin/volador"), "-b", "tcp://127.0.0.1:0", "config.ru").get("/")

      expect(response.status).to eq(200)
      expect(response.body).to start_with(@home)
    end

    it "serves a config.ru under `rackup -s volador`" do
      response = start("-S", "rackup", "-s", "volador", "-o", "127.0.0.1", "-p", "0", "config.ru").get("/")

      expect(response.status).to eq(200)
      expect(response.body).to start_with(@home)
    end

    it "leaves neither build folders nor more than 100 MiB behind" do
      files = files_below(@home)

      expect(files.grep(%r{/target/|/release/})).to be_empty
      expect(files.sum { |path| File.size(File.join(@home, path)) }).to be < 100 * 1024 * 1024
    end

    it "holds no tests, no compiled files and nothing of this machine" do
      names = Gem::Specification.load(File.join(root, "volador.gemspec")).files

      expect(names.grep(%r{\A(spec|tmp|target|bench|fuzz|bin|script)/|\.(so|bundle|gem)\z|\A/})).to be_empty
      expect(names).to include("Cargo.lock", "exe/volador", "ext/volador_ext/extconf.rb", "lib/volador.rb", "LICENSE")
    end
  end

  it "has the version of its crates" do
    specification = Gem::Specification.load(File.join(root, "volador.gemspec"))

    expect(File.read(File.join(root, "Cargo.toml"))[/^version = "(.+)"$/, 1]).to eq(specification.version.to_s)
  end

  # With a stand-in for cargo, since what the real one does was shown above.
  context "when its Makefile is written" do
    around do |example|
      Dir.mktmpdir("volador-extconf") do |folder|
        @folder = folder
        example.run
      end
    end

    def stand_in_for_cargo
      path = File.join(@folder, "cargo")
      File.write(path, <<~SH)
        #!/bin/sh
        [ "$1" = build ] || exit 0
        mkdir -p "$CARGO_TARGET_DIR/release" && echo library >"$CARGO_TARGET_DIR/release/libvolador_ext.so"
      SH
      File.chmod(0o755, path)
      path
    end

    define_method(:build) do |env|
      env = { "CARGO_TARGET_DIR" => nil, "VOLADOR_PROFILE" => nil, "MAKEFLAGS" => nil }.merge(env)
      run(env, RbConfig.ruby, File.join(root, "ext/volador_ext/extconf.rb"), chdir: @folder)
      run(env, "make", "all", "install", "DESTDIR=", "sitearchdir=#{@folder}/installed", chdir: @folder)
    end

    it "installs the extension as volador/volador_ext and removes its own build folder" do
      build("CARGO" => stand_in_for_cargo)

      expect(files_below(File.join(@folder, "installed"))).to eq(["volador/volador_ext.so"])
      expect(File).not_to exist(File.join(@folder, "target"))
    end

    it "keeps the build folder that CARGO_TARGET_DIR names" do
      given = File.join(@folder, "given folder")
      build("CARGO" => stand_in_for_cargo, "CARGO_TARGET_DIR" => given)

      expect(files_below(given)).to eq(["release/libvolador_ext.so"])
    end

    it "says what to install when there is no cargo" do
      expect { build("CARGO" => File.join(@folder, "none")) }.to raise_error(%r{no cargo in PATH.*https://rustup\.rs})
    end

    it "says what cargo says when that does not run" do
      cargo = File.join(@folder, "cargo")
      File.write(cargo, "#!/bin/sh\necho 'no toolchain is installed' >&2\nexit 1\n", perm: 0o755)
      expect { build("CARGO" => cargo) }.to raise_error(/cargo does not run: no toolchain is installed/)
    end
  end
end
