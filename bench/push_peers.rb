# frozen_string_literal: true

require_relative "bare"
require_relative "debian_product"
require_relative "foreign_product"
require_relative "servers"

module Bench
  # The servers that take part in the push scenarios.
  PUSH_SERVERS = [
    *SERVERS.select(&:push_app),
    BARE,
    ForeignProduct.new(
      name: "uwebsockets", interpreter: "python3", package: "the package `socketify`", push_app: "socketify_push.py",
      probe: ["-c", "import socketify; from importlib.metadata import version; print(version('socketify'))"]
    ),
    ForeignProduct.new(
      name: "ws", interpreter: "node", push_app: "ws.js",
      package: "the package `ws` (NODE_PATH names a folder of packages)",
      probe: ["-e", "require('ws'); console.log(require('ws/package.json').version)"]
    ),
    Nchan.new,
    Pushpin.new
  ].freeze
end
