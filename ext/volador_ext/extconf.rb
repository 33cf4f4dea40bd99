# frozen_string_literal: true

# Run by `gem install`: writes a Makefile that lets cargo build the extension, without the rb_sys gem.
#
# RubyGems then runs `make clean`, `make`, and `make install` with sitearchdir set to where the gem's extensions go. The
# file lands in a folder volador/, so that `require "volador/volador_ext"` finds it there as it does in a checkout,
# where `rake compile` has put it into lib/.
#
# CARGO, CARGO_TARGET_DIR and VOLADOR_PROFILE (default: release) are honoured.

require "open3"
require "rbconfig"
require "shellwords"

# Descriptors over sockets, files in memory, who is on the other side: much of it is asked of Linux itself.
abort "volador runs on Linux, and this is #{RUBY_PLATFORM}" unless RUBY_PLATFORM.include?("linux")

cargo = ENV.fetch("CARGO", "cargo")
begin
  complaint, status = Open3.capture2e(cargo, "--version")
  # rustup's, with no toolchain to call, say.
  abort "volador is built with Rust 1.89 or newer, and cargo does not run: #{complaint}" unless status.success?
rescue SystemCallError
  abort "volador is built with Rust 1.89 or newer, and there is no cargo in PATH. Install it from https://rustup.rs"
end

profile = ENV.fetch("VOLADOR_PROFILE", "release")
given_target = ENV.fetch("CARGO_TARGET_DIR", "")
target = given_target.empty? ? File.join(Dir.pwd, "target") : File.expand_path(given_target)
built = File.join(target, profile == "dev" ? "debug" : profile, "libvolador_ext.#{RbConfig::CONFIG['SOEXT']}")
# Hundreds of megabytes: they must not stay in the folder of the installed gem. A folder that was given is its owner's.
tidy = given_target.empty? ? "rm -rf #{target.shellescape}" : "true"

File.write("Makefile", <<~MAKEFILE)
  SHELL = /bin/sh
  DESTDIR =
  sitearchdir = #{RbConfig::CONFIG['sitearchdir']}
  sitelibdir = #{RbConfig::CONFIG['sitelibdir']}
  DLLIB = volador_ext.#{RbConfig::CONFIG['DLEXT']}

  .PHONY: all install clean distclean

  all:
  \tRUBY=#{RbConfig.ruby.shellescape} CARGO_TARGET_DIR=#{target.shellescape} #{cargo.shellescape} build \\
  \t  --profile #{profile.shellescape} --locked --manifest-path #{File.join(__dir__, 'Cargo.toml').shellescape}
  \tinstall -m 755 #{built.shellescape} $(DLLIB)
  \t#{tidy}

  install:
  \tmkdir -p "$(DESTDIR)$(sitearchdir)/volador"
  \tinstall -m 755 $(DLLIB) "$(DESTDIR)$(sitearchdir)/volador/$(DLLIB)"

  clean distclean:
  \trm -f $(DLLIB)
  \t#{tidy}
MAKEFILE
