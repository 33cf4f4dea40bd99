# frozen_string_literal: true

require_relative "children"

module Volador
  module Cluster
    # The processes that the application has started and left. As the gateway is their subreaper, the system makes them
    # its children, and they would stay as zombies when they end.
    class Orphans
      # Seconds between two looks. What has ended is left alone for one look: whoever waits for it comes first.
      INTERVAL = 5.0
      private_constant :INTERVAL

      # @param folder [String] of this process in /proc
      def initialize(folder = "/proc/self")
        @folder = folder
        @zombies = []
        @next = 0.0
      end

      # @param now [Float]
      # @param known [Array<Integer>] pids that others look after
      def reap(now, known)
        return if now < @next

        @next = now + INTERVAL
        zombies = children.select { |pid| !known.include?(pid) && Children.zombie?(pid) }
        (zombies & @zombies).each { |pid| Children.ending(pid) }
        @zombies = zombies
      end

      private

      def children
        Dir.glob("#{@folder}/task/*/children").flat_map { |path| File.read(path).split.map(&:to_i) }
      rescue SystemCallError
        [] # A thread that has ended meanwhile; or a system without.
      end
    end
  end
end
