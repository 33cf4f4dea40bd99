# frozen_string_literal: true

require "fileutils"
require_relative "../clock"
require_relative "runtime_directory"

module Volador
  module Cluster
    # The files of a gateway that is killed, and cannot remove them itself: its children do, who learn of its end. A
    # file is removed only if it is still the very one that the gateway has made: another server may be there by now.
    class Leftovers
      # @param folder [String] the private one, with all that is in it
      # @param sockets [Array<String>] elsewhere
      # @return [Leftovers]
      def self.at(folder, sockets = [])
        new([folder, *sockets].filter_map { |path| [path, *identity(path)] if identity(path) })
      end

      # @return [Array(Integer, Integer, Integer), nil] device, inode, and since the system gives the number of one that is
      #   free to the next file, for a socket the nanoseconds of its last change. (A folder's changes with what is in it; the
      #   private one has a name of its own.)
      def self.identity(path)
        stat = File.lstat(path)
        [stat.dev, stat.ino, stat.directory? ? 0 : (stat.ctime.to_i * 1_000_000_000) + stat.ctime.nsec]
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
        @entries.each { |path, *identity| FileUtils.rm_rf(path) if self.class.identity(path) == identity }
        folders = @entries.map { |path, *| File.dirname(path) }.select { |path| RuntimeDirectory.home?(path) }
        folders.uniq.each { |path| RuntimeDirectory.leave(path) }
      end
    end
  end
end
