# frozen_string_literal: true

require "json"
require "socket"
require "volador"
require_relative "../application"
require_relative "../clock"
require_relative "../commands"
require_relative "../config_file"
require_relative "../fresh_thread"
require_relative "../version"
require_relative "children"
require_relative "guest"
require_relative "leftovers"
require_relative "membership"
require_relative "wire"
require_relative "worker"

module Volador
  module Cluster
    # What runs in a mold: it loads the application once and forks the workers. The supervisor, at the other end of the
    # wire, says when; it is told which workers have been forked and how they have ended. The end of the wire is the end
    # of the gateway: then the mold ends its workers, and removes the files that the gateway cannot remove any more.
    class Mold
      # Seconds for workers whose gateway is gone.
      PATIENCE = 5.0
      # Bytes of an exception's message and of all its text. In JSON either may be six times as long.
      MESSAGE_MAX = 4096
      DETAILS_MAX = 65_536
      private_constant :PATIENCE, :MESSAGE_MAX, :DETAILS_MAX

      # The program of the mold's process.
      # @param descriptor [Integer] of the wire
      def self.main(descriptor)
        # A worker that is killed takes with it what it has not written.
        $stdout.sync = true
        socket = UNIXSocket.for_fd(descriptor)
        socket.close_on_exec = true
        exit new(Wire.new(socket)).run
      end

      # @param wire [Wire]
      def initialize(wire)
        @wire = wire
        # By pid: where it says why it cannot boot.
        @workers = {}
        # [pid, Process::Status] of those that have ended.
        @ended = Commands.new
        @finishing = @told = false
      end

      # @return [Integer] exit status
      def run
        boot = @wire.read || (return 1)
        @boot = boot
        @leftovers = Leftovers.new(boot[:leftovers])
        Process.setproctitle("volador: mold of generation #{boot[:generation]} [#{Dir.pwd}]")
        trap_signals
        @wire.write({ is: "hello", version: VERSION })
        return 1 unless watching { load }

        serve
      end

      private

      # The supervisor decides when it ends, not the terminal. Blocks, since programs that it starts inherit "IGNORE".
      def trap_signals
        %w[INT TERM HUP USR1 TTIN TTOU].each { |name| Signal.trap(name) {} }
      end

      # ---- loading

      # @return [Boolean]
      def load
        @configuration = Configuration.new(**@boot[:options])
        @log = @configuration.log
        @membership = Membership.new(@boot[:link], configuration: @configuration, log: @log)
        Guest.at_home(@boot[:link])
        Server.join_by { |why| join(why) }
        file = ConfigFile.load(@boot[:config_file])
        @hooks = file.hooks
        [*@boot[:compats], *file.compats].uniq.each { |name| require_relative "../compat/#{name}" }
        @app = Application.check(Application.load(@boot[:config]))
        settle
        @hooks.run(:before_fork)
        # Workers share the memory that is not written to: better to clean up before than in each of them.
        Process.respond_to?(:warmup) ? Process.warmup : GC.start
        @wire.write({ is: "loaded" })
      rescue Exception => e # rubocop:disable Lint/RescueException
        @wire.write({ is: "failed", message: message(e).byteslice(0, MESSAGE_MAX), details: details(e) })
        false
      end

      # What was subscribed to so far is each worker's; what is from now on, the mold's own.
      def settle
        @membership.listen { @subscriptions = PubSub.set_aside }
      end

      def message(error)
        case error
        when BootError, ConfigurationError then error.message
        when SystemExit then "the application has ended the process that loads it (exit status #{error.status})"
        else "#{error.message.to_s.b.lines.first.to_s.strip} (#{error.class})"
        end
      end

      def details(error)
        (error.cause || error).full_message(highlight: false, order: :top).byteslice(0, DETAILS_MAX)
      end

      # While the application loads, nobody looks at the wire but for its end.
      def watching
        watcher = FreshThread.start("volador watch") do
          io = @wire.to_io
          io.wait_readable
          gone if io.recv_nonblock(1, Socket::MSG_PEEK, exception: false).to_s.empty?
        end
        watcher.report_on_exception = false
        yield
      ensure
        watcher.kill
        watcher.join
      end

      # ---- serving

      def serve
        loop do
          IO.select([@wire, @ended])
          @wire.take.each { |message| obey(message) }
          @ended.take.each { |pid, status| tell_end(pid, status) }
          return orphaned if @wire.ended?
          return leave if @finishing && @workers.empty?
        end
      end

      def obey(message)
        case message[:do]
        when "fork" then fork_worker(message[:number])
        when "end" then @finishing = true
        end
      end

      def fork_worker(number)
        reader, writer = IO.pipe
        # Not while another thread joins: the worker would have a half made link of the mold's. (One that a Timeout has cut
        # short, or that takes long, may still be on its way: then the worker has a socket too many, which ends with it.)
        pid = @membership.hold { Process.fork { exit(work(number, reader, writer)) } }
        writer.close
        @workers[pid] = reader
        wait_for(pid)
        @wire.write({ is: "forked", number: number, pid: pid })
      rescue StandardError => e
        # Not only the system refuses: Ruby's fork writes out $stdout and $stderr, which may be closed, or the
        # application's.
        raise if pid # It lives, and nobody would tell of its end.

        [reader, writer].compact.each(&:close)
        @wire.write({ is: "unforked", number: number, error: "it cannot be forked: #{why_not(e)}" })
      end

      def why_not(error)
        return error.message if error.is_a?(SystemCallError)

        closed = { "$stdout" => $stdout, "$stderr" => $stderr }.select { |_, io| io.is_a?(IO) && io.closed? }.keys.first
        advice = ": the application has closed #{closed}, let it open #{closed} on /dev/null instead" if closed
        "#{message(error)}#{advice}"
      end

      # Nobody else's children are waited for, and no signal handler of the application is in the way.
      def wait_for(pid)
        waiter = Process.detach(pid)
        FreshThread.start("volador wait") { @ended << [pid, waiter.value] }
      end

      def tell_end(pid, status)
        reader = @workers.delete(pid)
        report = reader.read_nonblock(DETAILS_MAX, exception: false)
        reader.close
        report = report.is_a?(String) ? JSON.parse(report, symbolize_names: true) : {}
        @wire.write({ is: "ended", pid: pid, how: Children.describe(status), **report })
      rescue JSON::ParserError
        @wire.write({ is: "ended", pid: pid, how: Children.describe(status) })
      end

      # The gateway has asked for it.
      def leave
        @membership.leave
        0
      end

      # ---- in the forked process

      # @return [Integer] exit status
      def work(number, reader, writer)
        [@wire, @ended, reader, *@workers.values].each(&:close)
        Guest.at_home(@boot[:link])
        Server.join_by
        PubSub.resume(@subscriptions)
        Worker.new(@app, number: number, generation: @boot[:generation], link: @boot[:link], gateway: @boot[:gateway],
                         control: @boot[:control], configuration: @configuration, hooks: @hooks,
                         leftovers: @leftovers, log: @log, report: writer).run
      end

      # ---- without a gateway

      # @return [Integer] exit status
      def orphaned
        @membership.give_up
        @workers.each_key { |pid| Children.signal(:TERM, pid) }
        deadline = Clock.now + PATIENCE
        until @workers.empty? || Clock.now >= deadline
          IO.select([@ended], nil, nil, [deadline - Clock.now, 0].max)
          @ended.take.each { |pid, _| @workers.delete(pid) }
        end
        @workers.each_key { |pid| Children.signal(:KILL, pid) }
        gone
      end

      # Without the application's at_exit blocks, which might wait for something.
      def gone
        @leftovers.clear
        Output.finish
        exit!(1)
      end

      # ---- as a guest

      # @param why [Symbol] :subscribe or another
      # @return [Guest, nil]
      def join(why)
        @membership.reach(why)
      rescue Error, SystemCallError => e
        # Threads of the application may try it again and again while the gateway ends.
        @log.error("the mold cannot join its gateway", e) unless @told
        @told = true
        nil
      end
    end
  end
end
