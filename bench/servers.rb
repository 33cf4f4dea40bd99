# frozen_string_literal: true

require_relative "product"

module Bench
  # The servers that are compared. Each one as its own documentation starts it, in production, without request logs,
  # with one process: there is one core.
  SERVERS = [
    Checkout.new,
    Product.new(
      name: "puma", gem: "puma", executable: "puma", setting: "5 threads",
      arguments: lambda { |port:, app:|
        ["--no-config", "-b", "tcp://127.0.0.1:#{port}", "-t", "5:5", "-w", "0", "-e", "production", app]
      }
    ),
    Product.new(
      name: "iodine", gem: "iodine", executable: "iodine", setting: "1 thread", push_app: "iodine.ru",
      arguments: ->(port:, app:) { ["-b", "127.0.0.1", "-p", port.to_s, "-t", "1", "-w", "1", app] }
    ),
    # Its command has no effect on the number of threads when it runs a rackup file.
    Product.new(
      name: "agoo", gem: "agoo", executable: "agoo", setting: "its default threads",
      arguments: ->(port:, app:) { ["--silent", "-b", "http://127.0.0.1:#{port}", "-w", "1", app] }
    ),
    Product.new(
      name: "falcon", gem: "falcon", executable: "falcon", setting: "1 fork",
      arguments: lambda { |port:, app:|
        ["serve", "--bind", "http://127.0.0.1:#{port}", "--forked", "--count", "1", "--config", app]
      }
    ),
    Product.new(
      name: "itsi", gem: "itsi-server", executable: "itsi", setting: "1 thread",
      arguments: lambda { |port:, app:|
        ["serve", "-b", "http://127.0.0.1:#{port}", "-w", "1", "-t", "1", "-r", app]
      }
    )
  ].freeze
end
