# frozen_string_literal: true

require "volador"

Dir[File.join(__dir__, "support", "*.rb")].sort.each do |file|
  require file unless File.basename(file) == "gc_pressure.rb" # for server processes only
end

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.expect_with(:rspec) { |expectations| expectations.syntax = :expect }
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }
  config.order = :random
  Kernel.srand config.seed
  config.warnings = true
  config.example_status_persistence_file_path = nil

  config.include Servers

  config.after do |example|
    if example.exception && !servers.empty?
      example.metadata[:extra_failure_lines] = servers_output.lines.last(60).map(&:chomp)
    end
    servers.each(&:destroy)
  end

  # VOLADOR_GC=stress or VOLADOR_GC=compact runs the examples tagged :gc alone, under that pressure: GC.stress collects
  # at every allocation, "compact" lets every collection move objects. It is put on the servers that they start (see
  # Servers); on the example's own process only when it is tagged :in_process as well, since matchers allocate so much
  # that GC.stress makes them take minutes.
  case ENV["VOLADOR_GC"]
  when nil, "" then nil
  when "stress"
    config.filter_run_including :gc
    config.around(:each, :in_process) do |example|
      GC.stress = true
      example.run
    ensure
      GC.stress = false
    end
  when "compact"
    config.filter_run_including :gc
    config.around(:each, :in_process) do |example|
      GC.auto_compact = true
      example.run
    ensure
      GC.auto_compact = false
      GC.compact
    end
  else
    raise "VOLADOR_GC must be stress or compact, got #{ENV['VOLADOR_GC'].inspect}"
  end
end
