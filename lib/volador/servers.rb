# frozen_string_literal: true

module Volador
  # What serves in this process, embedded servers or a cluster's worker or guest, and who is told of it. See
  # {Server.running}.
  # @api private
  class Servers
    NONE = [].freeze
    private_constant :NONE

    # @return [Array<#server_changed>] told of each server that has :started, is :draining or has :stopped
    attr_reader :observers

    def initialize
      # Replaced, never changed, so that broadcasts need no lock. They are servers of the process with this id: one that
      # has been forked since has none of them.
      @running = NONE
      @pid = nil
      # Those that are being ended.
      @ending = NONE
      @observers = []
      @lock = Mutex.new
      @join = nil
    end

    # @return [Array<#broadcast, #publish, #stats>] those that run in this process
    def running
      @pid == Process.pid ? @running : NONE
    end

    # Those that run; in a process that has none but may join a gateway, what it becomes by that.
    # @param why [Symbol] :subscribe or another
    # @return [Array<#broadcast, #publish, #stats>]
    def reach(why = :send)
      servers = running
      return servers unless @join && servers.empty?

      [@join.call(why)].compact
    end

    # How this process joins a gateway once it has a reason to. Without a block: it does not.
    def join_by(&join)
      @join = join
    end

    # @param server [#halt] that runs from now on
    def add(server)
      @lock.synchronize do
        # A program that ends without stopping its server: before Ruby ends the threads, which would be replaced.
        @at_exit ||= at_exit { stop_running }
        @running = [*running, server].freeze
        @pid = Process.pid
      end
    end

    # @param server [#halt] that runs no more
    # @yield what there is to do to end it; the end of the program waits for that
    def remove(server)
      @lock.synchronize do
        @running = running.reject { |one| one.equal?(server) }.freeze
        @ending += [server]
      end
      yield if block_given?
    ensure
      @lock.synchronize { @ending -= [server] }
    end

    private

    # Blocks of the application may run after this one, and begin another server: that one is stopped as well.
    def stop_running
      @lock.synchronize { @at_exit = nil }
      [*running, *@ending].each(&:halt)
    end
  end
end
