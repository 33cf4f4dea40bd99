# frozen_string_literal: true

require_relative "empty_input"
require_relative "env_template"

module Volador
  # Makes the native half of a worker, wherever its gateway is.
  module NativeWorker
    # @param configuration [Configuration]
    # @param multiprocess [Boolean] other processes run the same application
    # @return [Native::Worker]
    def self.make(configuration, multiprocess:)
      env = EnvTemplate.make(threads: configuration.threads, multiprocess: multiprocess)
      Native::Worker.new(configuration.to_native.merge(env: env, empty_input: EmptyInput::INSTANCE))
    end
  end
end
