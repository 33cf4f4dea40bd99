# frozen_string_literal: true

module Volador
  module Cluster
    # Child processes by their ids. Nobody else's children are waited for: a hook may have some of its own.
    module Children
      # Looks whether a process has ended; reaps it if it is a child of this one.
      # @return [String, nil] how it has ended, nil while it lives
      def self.ending(pid)
        _, status = Process.waitpid2(pid, Process::WNOHANG)
        status && describe(status)
      rescue Errno::ECHILD
        alive?(pid) ? nil : "reaped by somebody else"
      end

      # @param status [Process::Status, nil]
      # @return [String] "exit status 1", "signal KILL"
      def self.describe(status)
        return "reaped by somebody else" unless status
        return "signal #{Signal.signame(status.termsig) || status.termsig}" if status.signaled?

        "exit status #{status.exitstatus}"
      end

      # @return [Boolean] false when it is gone
      def self.signal(name, pid)
        Process.kill(name, pid) == 1
      rescue Errno::ESRCH, Errno::EPERM
        false
      end

      # @return [Boolean] it has ended, though its parent may not have waited for it
      def self.gone?(pid)
        zombie?(pid) || !alive?(pid)
      end

      # Its state comes after its name, which may have spaces and parentheses in it.
      # @return [Boolean] it has ended, and its parent has not waited for it
      def self.zombie?(pid)
        File.read("/proc/#{pid}/stat").rpartition(")").last.split.first == "Z"
      rescue SystemCallError
        false
      end

      # @return [Boolean] also while it is a zombie
      def self.alive?(pid)
        Process.kill(0, pid) == 1
      rescue Errno::EPERM
        true
      rescue Errno::ESRCH
        false
      end
    end
  end
end
