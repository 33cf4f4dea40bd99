# frozen_string_literal: true

require "fileutils"
require "rbconfig"

desc "Build the extension with cargo and put it into lib/volador (VOLADOR_PROFILE=dev for an unoptimised one)"
task :compile do
  root = File.expand_path("..", __dir__)
  profile = ENV.fetch("VOLADOR_PROFILE", "release")
  target = File.expand_path(ENV.fetch("CARGO_TARGET_DIR", "target"), root)
  # RUBY: the bindings are generated for the Ruby that runs rake, not for the first one in PATH.
  sh({ "RUBY" => RbConfig.ruby, "CARGO_TARGET_DIR" => target }, ENV.fetch("CARGO", "cargo"), "build",
     "--profile", profile, "--locked", "--package", "volador_ext", chdir: root)

  built = File.join(target, profile == "dev" ? "debug" : profile, "libvolador_ext.#{RbConfig::CONFIG['SOEXT']}")
  wanted = File.join(root, "lib/volador/volador_ext.#{RbConfig::CONFIG['DLEXT']}")
  next if File.exist?(wanted) && FileUtils.compare_file(built, wanted)

  # Renamed into place: a server that runs keeps the file that it has mapped.
  FileUtils.install(built, "#{wanted}.new", mode: 0o755)
  File.rename("#{wanted}.new", wanted)
end
