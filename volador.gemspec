# frozen_string_literal: true

require_relative "lib/volador/version"

Gem::Specification.new do |spec|
  spec.name = "volador"
  spec.version = Volador::VERSION
  spec.authors = ["Volador maintainers"]
  spec.license = "MIT"
  spec.summary = "A Rack server written in Rust, with native WebSocket and SSE push"
  spec.description = <<~TEXT
    Volador serves any Rack 2 or 3 application over HTTP/1.1 and speaks Rack Push: WebSocket and SSE connections that
    live outside of Ruby, answered by plain Ruby objects. Its sockets are owned by Rust threads (tokio, hyper).
  TEXT
  spec.metadata = { "rubygems_mfa_required" => "true" }

  # What builds the extension from source, what runs, and what explains it. All members of the cargo workspace are
  # needed: cargo reads them even when it builds one.
  spec.files = Dir.glob(
    [
      "Cargo.{toml,lock}", "crates/**/*.{rs,toml}", "ext/**/*.{rs,toml,rb}",
      "lib/**/*.rb", "exe/*", "docs/**/*.md", "examples/**/*.{ru,html}", "*.md", "LICENSE"
    ],
    base: __dir__
  ).grep_v(%r{/target/})
  spec.bindir = "exe"
  spec.executables = ["volador"]
  spec.extensions = ["ext/volador_ext/extconf.rb"]
  spec.require_paths = ["lib"]

  spec.required_ruby_version = ">= 3.1"
  spec.requirements = ["Rust 1.89 or newer (cargo)", "libclang", "a C compiler"]
  spec.add_dependency "rack", ">= 2.2", "< 4"
end
