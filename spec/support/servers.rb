# frozen_string_literal: true

require_relative "server_process"

# Included into every example: starts servers that are gone when the example ends.
#
#   server = start_volador("run ->(env) { [200, {}, ['hello']] }", "-t", "2")
#   server.get("/").body   # => "hello"
module Servers
  # @return [ServerProcess] a `volador` that listens
  def start_volador(config, *args, **options)
    keep(ServerProcess.volador(config, *args, **gc_option, **options)).wait_until_listening
  end

  # @return [ServerProcess] a `rackup -s volador` that listens
  def start_rackup(config, *args, **options)
    keep(ServerProcess.rackup(config, *args, **gc_option, **options)).wait_until_listening
  end

  # @return [ServerProcess] a Ruby program; it need not listen
  def start_ruby(program, *args, **options)
    keep(ServerProcess.ruby_program(program, *args, **options))
  end

  # Registers a process to be destroyed after the example.
  def keep(server)
    servers << server
    server
  end

  # Starts a `volador` with this config.ru for the block.
  # @yieldparam server [ServerProcess]
  def with_server(config, *args, **options)
    yield start_volador(config, *args, **options)
  end

  def servers
    @servers ||= []
  end

  # What the example's servers printed, for the message of a failed example.
  def servers_output
    servers.map { |server| "--- pid #{server.pid} printed:\n#{server.output}" }.join("\n")
  end

  private

  # Examples tagged :gc put their servers under the pressure that VOLADOR_GC names.
  def gc_option
    RSpec.current_example.metadata[:gc] && ENV["VOLADOR_GC"] ? { gc: ENV["VOLADOR_GC"] } : {}
  end
end
