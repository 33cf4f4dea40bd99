# frozen_string_literal: true

require "etc"

module Bench
  # The machine that measures, and what it must have.
  module Machine
    # The server's core and the load generator's.
    SERVER_CORE = 0
    LOAD_CORE = 1
    # Both of them, for whom it is not about the core.
    ALL_CORES = "#{SERVER_CORE},#{LOAD_CORE}".freeze

    PACKAGES = { "wrk" => "wrk", "taskset" => "util-linux" }.freeze
    private_constant :PACKAGES

    module_function

    # @return [Array<String>] what is missing, in words; empty when all is there
    def missing
      missing = PACKAGES.reject { |program, _| program?(program) }.map do |program, package|
        "#{program} is missing: install the package `#{package}` (apt-get install #{package})"
      end
      missing << "two CPU cores are needed, one for the server and one for the load" if Etc.nprocessors < 2
      missing
    end

    # What somebody needs in order to judge or repeat the figures.
    # @return [String] Markdown
    def description
      <<~TEXT
        - Machine: #{processor}, #{Etc.nprocessors} cores, #{memory_gib} GiB; #{system}, Linux #{Etc.uname[:release]}
        - Ruby #{RUBY_VERSION}, Rack #{Gem::Specification.find_by_name('rack').version}, Volador at #{revision}
        - Load average before: #{File.read('/proc/loadavg').split.first(3).join(' ')}
      TEXT
    end

    # CPU time that the host of a virtual machine has taken away, since boot, and all CPU time.
    # @return [Array(Integer, Integer)] ticks
    def stolen
      ticks = File.read("/proc/stat")[/^cpu +(.+)/, 1].split.first(8).map(&:to_i)
      [ticks[7], ticks.sum]
    end

    def program?(name)
      ENV.fetch("PATH", "").split(File::PATH_SEPARATOR).any? { |folder| File.executable?(File.join(folder, name)) }
    end

    def processor = File.read("/proc/cpuinfo")[/^model name\s*: (.+)/, 1] || Etc.uname[:machine]

    def memory_gib = (File.read("/proc/meminfo")[/MemTotal:\s+(\d+)/, 1].to_i / 1024.0**2).round(1)

    def system = File.read("/etc/os-release")[/^PRETTY_NAME="(.+)"/, 1]

    def revision
      revision = IO.popen(["git", "-C", __dir__, "describe", "--always", "--dirty"], err: File::NULL, &:read).strip
      revision.empty? ? "an unknown revision" : revision
    rescue Errno::ENOENT
      "an unknown revision"
    end
  end
end
