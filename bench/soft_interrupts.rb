# frozen_string_literal: true

require_relative "process_tree"

module Bench
  # The kernel's thread for soft interrupts on one core. What TCP does over loopback runs within whoever sends, and is in
  # the sender's CPU time. But what piles up meanwhile goes to this thread, which belongs to no process: on a core that
  # one server has for itself it works for that server.
  class SoftInterrupts
    # @param core [Integer]
    def initialize(core)
      name = "ksoftirqd/#{core}\n"
      pid = Dir.glob("/proc/[0-9]*/comm").find { |path| name_in(path) == name }&.split("/")&.at(2)
      @thread = ProcessTree.new(pid.to_i) if pid
    end

    # @return [Float] seconds so far; 0 where the thread is not to be seen, in a container say
    def cpu_seconds = @thread ? @thread.cpu_seconds : 0.0

    private

    def name_in(path)
      File.read(path)
    rescue Errno::ENOENT, Errno::ESRCH
      nil # It has ended meanwhile.
    end
  end
end
