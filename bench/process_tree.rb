# frozen_string_literal: true

require "etc"

module Bench
  # A process and everything that it has started, as /proc shows them.
  class ProcessTree
    TICKS_PER_SECOND = Etc.sysconf(Etc::SC_CLK_TCK).to_f
    private_constant :TICKS_PER_SECOND

    # @param pid [Integer] the root of the tree
    def initialize(pid)
      @pid = pid
    end

    # User and system time so far, of ended children too.
    # @return [Float] seconds, in steps of a hundredth
    def cpu_seconds
      # utime, stime, cutime, cstime: fields 14 to 17 of proc(5).
      pids.sum { |pid| stat(pid)&.slice(11, 4)&.sum(&:to_i) || 0 } / TICKS_PER_SECOND
    end

    # Resident memory. Pages that processes of the tree share count once for each of them.
    # @return [Integer] bytes
    def resident_bytes
      pids.sum { |pid| read(pid, "status")[/^VmRSS:\s+(\d+) kB/, 1].to_i * 1024 }
    end

    private

    def pids
      children = Hash.new { |hash, parent| hash[parent] = [] }
      Dir.each_child("/proc") do |entry|
        parent = stat(entry)&.at(1) if entry.match?(/\A\d+\z/)
        children[parent.to_i] << entry.to_i if parent
      end
      tree = [@pid]
      tree.each { |pid| tree.concat(children.fetch(pid, [])) }
    end

    # Fields 3 (state) and following of proc(5). The second one may hold blanks and brackets.
    def stat(pid)
      read(pid, "stat")[/.*\) (.*)/m, 1]&.split
    end

    def read(pid, name)
      File.read("/proc/#{pid}/#{name}")
    rescue Errno::ENOENT, Errno::ESRCH
      "" # It has ended meanwhile.
    end
  end
end
