# frozen_string_literal: true

require "fileutils"
require "net/http"
require "socket"
require "tmpdir"
require_relative "process_tree"
require_relative "soft_interrupts"

module Bench
  # One running server, from its start until it has ended.
  class Server
    # Raised when a server does not start, or answers something else than the application's response.
    class Failed < StandardError; end

    # Seconds for a server to start, and to end after TERM.
    DEADLINE = 20.0
    private_constant :DEADLINE

    # Starts a server on a free port and yields it; ends it in any case.
    #
    # @param product [Product] which server
    # @param app [String] path of the rackup file
    # @param core [Integer, String] which CPU core, or cores ("0,1")
    # @yieldparam server [Server] ready for requests
    # @return what the block returns
    # @raise [Failed]
    def self.run(product, app:, core:)
      server = new(product, app: app, core: core)
      server.await
      yield server
    ensure
      server&.stop
    end

    # @return [String] where it answers
    attr_reader :url

    # @return [String] the same, for a program that speaks to sockets
    attr_reader :address

    # @return [Integer] of its first process
    attr_reader :pid

    # @return [String] a folder of its own, which is removed when it has ended
    attr_reader :folder

    # @return [ProcessTree]
    attr_reader :processes

    def initialize(product, app:, core:)
      @product = product
      @port = free_port
      @address = "127.0.0.1:#{@port}"
      @url = "http://#{@address}/"
      @parent = Dir.mktmpdir("volador-bench")
      @log = File.join(@parent, "log")
      @folder = File.join(@parent, "server")
      Dir.mkdir(@folder)
      # A process group of its own, so that children which outlive the server can be ended with it. In the folder of
      # the application: no server finds a configuration of its own there.
      @pid = Process.spawn({ "RACK_ENV" => "production", "WEB_CONCURRENCY" => nil, "RAILS_MAX_THREADS" => nil,
                             **product.environment(folder: @folder) },
                           "taskset", "-c", core.to_s, *product.command(port: @port, app: app, folder: @folder),
                           %i[out err] => @log, in: File::NULL, pgroup: true, chdir: File.dirname(app))
      @processes = ProcessTree.new(@pid)
      # Of several cores one is the load generator's as well.
      @soft_interrupts = SoftInterrupts.new(core) if core.is_a?(Integer)
    end

    # CPU time of its processes so far, and what the kernel has done for them apart.
    # @return [Float] seconds
    def cpu_seconds
      @processes.cpu_seconds + (@soft_interrupts&.cpu_seconds || 0)
    end

    # Returns once the application answers.
    # @raise [Failed]
    def await
      deadline = now + DEADLINE
      until answers?
        fail!("ended while it started") if ended?
        fail!("did not answer on #{@url} within #{DEADLINE.to_i} s") if now > deadline
        sleep 0.02
      end
    end

    # Ends the server: TERM, and KILL for what is left of it at the deadline.
    def stop
      Process.kill(:TERM, @pid) unless ended?
      deadline = now + DEADLINE
      sleep 0.02 until ended? || now > deadline
      begin
        Process.kill(:KILL, -@pid)
      rescue Errno::ESRCH
        # Nothing is left.
      end
      Process.wait(@pid) unless @ended
      @ended = true
      FileUtils.rm_rf(@parent)
    end

    # @return [String] what it has printed last
    def last_words = File.readlines(@log).last(20).join

    private

    def answers?
      response = Net::HTTP.start("127.0.0.1", @port, open_timeout: 5, read_timeout: 5) { |http| http.get("/") }
      return true if response.code == "200" && response.body == "Hello, world!\n"

      fail!("answered #{response.code} with #{response.body.inspect}")
    rescue SystemCallError, EOFError, Net::ReadTimeout, Net::OpenTimeout, Net::HTTPBadResponse
      false
    end

    def ended?
      @ended ||= !Process.wait(@pid, Process::WNOHANG).nil?
    end

    def fail!(what)
      raise Failed, "#{@product.name} #{what}. --only leaves it out. Its last words:\n#{last_words}"
    end

    def free_port
      TCPServer.open("127.0.0.1", 0) { |listener| listener.addr[1] }
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
