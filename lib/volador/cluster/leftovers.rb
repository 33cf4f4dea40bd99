# frozen_string_literal: true

require "fileutils"
require_relative "../clock"
require_relative "runtime_directory"

module Volador
  module Cluster
    # The files of a gateway that is killed, and cannot remove them itself: its children do, who learn of its end. A
    # file is removed only if it is still the very one that the gateway has made: another server may be there by now.
    class Leftovers
      # @param folder [String, nil] the private one, with all that is in it
      # @param sockets [Array<String>] elsewhere; what is no socket is not the gateway's
      # @return [Leftovers]
      def self.at(folder: nil, sockets: [])
        entries = [folder, *sockets].compact.map { |path| [path, *identity(path)] }
        # Without an identity, or another folder.
        new(entries.reject { |path, *, change| change.nil? || (change.zero? && path != folder) })
      end

      # @return [Array(Integer, Integer, Integer), nil] device, inode, and since the system gives the number of one that is
      #   free to the next file, for a socket the nanoseconds of its last change; 0 for a folder. (It changes with what is in
      #   it, and the private one has a name of its own.)
      def self.identity(path)
        stat = File.lstat(path)
        return [stat.dev, stat.ino, 0] if stat.directory?

        [stat.dev, stat.ino, (stat.ctime.to_i * 1_000_000_000) + stat.ctime.nsec] if stat.socket?
      rescue SystemCallError
        nil
      end

      # @param entries [Array<Array(String, Integer, Integer, Integer)>] as {to_a} gives them
      def initialize(entries)
        @entries = entries
      end

      # @return [Array<Array(String, Integer, Integer, Integer)>] for another process
      def to_a
        @entries
      end

      # Removes them, unless the gateway lives. Any number of processes may do it at the same time.
      # @param seconds [Numeric] that a gateway which is just ending may take for it
      # @return [Boolean] whether it was gone
      def clear(seconds = 1.0)
        deadline = Clock.now + seconds
        until (gone = RuntimeDirectory.abandoned?(@entries.first.first)) || Clock.now >= deadline
          sleep(0.01)
        end
        remove if gone
        gone
      end

      # Removes them.
      def remove
        @entries.each do |path, *identity|
          next unless self.class.identity(path) == identity

          identity.last.zero? ? FileUtils.rm_rf(path) : unlink(path)
        end
        folders = @entries.map { |path, *| File.dirname(path) }.select { |path| RuntimeDirectory.home?(path) }
        folders.uniq.each { |path| RuntimeDirectory.leave(path) }
      end

      private

      # One file at most, whatever stands there by now.
      def unlink(path)
        File.unlink(path)
      rescue SystemCallError
        nil # Another process has removed it, or this one is not allowed to.
      end
    end
  end
end
