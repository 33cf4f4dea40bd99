# frozen_string_literal: true

require_relative "../../support/server_process"

# For groups whose examples can live with one server: it is started once, before the first of them.
#
#   shared_server(<<~RUBY, "-t", "2")
#     run ->(env) { [200, {}, ["hello"]] }
#   RUBY
#   it("answers") { expect(server.get("/").body).to eq("hello") }
module SharedServer
  # @param config [String] a config.ru
  # @param args command line arguments
  def shared_server(config, *args, **options)
    share { ServerProcess.volador(config, *args, **options) }
  end

  # The same with workers: see {ClusterServer.cluster}.
  def shared_cluster(config, *args, **options)
    share { ClusterServer.cluster(config, *args, **options) }
  end

  # The same with options that the command has no flag for.
  # @param app [String] the source of a Ruby expression that is a Rack application
  # @param options [Hash] of Volador.run
  def shared_configured_server(app, **options)
    share { ServerProcess.ruby_program(ConfiguredServer.program(app, options)) }
  end

  private

  def share(&start)
    before(:context) { @shared_server = start.call.wait_until_listening }
    after(:context) { @shared_server&.destroy }
    after do |example|
      next unless example.exception

      example.metadata[:extra_failure_lines] = @shared_server.output.lines.last(60).map(&:chomp)
    end
    define_method(:server) { @shared_server }
  end
end

# A server with options of Volador.run that the command has no flag for.
module ConfiguredServer
  # @return [String] a Ruby program
  def self.program(app, options)
    <<~RUBY
      require "volador"
      app = begin
        #{app}
      end
      Volador.run(app, **#{{ host: '127.0.0.1', port: 0 }.merge(options).inspect})
    RUBY
  end

  # @param app [String] the source of a Ruby expression that is a Rack application
  # @return [ServerProcess] a server that listens
  def start_configured(app, **options)
    start_ruby(ConfiguredServer.program(app, options)).wait_until_listening
  end
end

RSpec.configure do |config|
  config.extend SharedServer
  config.include ConfiguredServer
end
