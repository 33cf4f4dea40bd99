# frozen_string_literal: true

require "fileutils"
require_relative "runtime_directory"

module Volador
  module Cluster
    # The files of a gateway that is killed, and cannot remove them itself: its children do, who learn of its end. A
    # file is removed only if it is still the very one that the gateway has made: another server may be there by now.
    class Leftovers
      # @param paths [Array<String>] sockets, and folders with all that is in them
      # @return [Leftovers]
      def self.at(paths)
        new(paths.filter_map { |path| [path, *identity(path)] if identity(path) })
      end

      # @return [Array(Integer, Integer), nil] device and inode
      def self.identity(path)
        stat = File.lstat(path)
        [stat.dev, stat.ino]
      rescue SystemCallError
        nil
      end

      # @param entries [Array<Array(String, Integer, Integer)>] as {to_a} gives them
      def initialize(entries)
        @entries = entries
      end

      # @return [Array<Array(String, Integer, Integer)>] for another process
      def to_a
        @entries
      end

      # Any number of processes may do it at the same time.
      def remove
        @entries.each { |path, *identity| FileUtils.rm_rf(path) if self.class.identity(path) == identity }
        folders = @entries.map { |path, *| File.dirname(path) }.select { |path| RuntimeDirectory.home?(path) }
        folders.uniq.each { |path| RuntimeDirectory.leave(path) }
      end
    end
  end
end
