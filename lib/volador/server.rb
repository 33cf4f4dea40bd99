# frozen_string_literal: true

require "forwardable"
require_relative "address"
require_relative "application"
require_relative "application_threads"
require_relative "clock"
require_relative "commands"
require_relative "configuration"
require_relative "fresh_thread"
require_relative "listening"
require_relative "log"
require_relative "native_worker"
require_relative "output"
require_relative "pub_sub"
require_relative "publishing"
require_relative "servers"
require_relative "signals"
require_relative "version"

module Volador
  # The embedded server: the gateway's threads and the Ruby threads that run the application, in this process.
  #
  #     server = Volador::Server.new(app, Volador::Configuration.new(port: 0))
  #     server.start
  #     server.url    # => "http://127.0.0.1:40123"
  #     server.stop
  #
  # or `server.run`, which stays until INT, TERM or {#stop}.
  #
  # Any thread may call {#start}, {#stop} and {#halt} at any time, also several, and be interrupted in them. The states that
  # it goes through, each of them once at most:
  #
  #     new ── start, run ──▶ starting ──▶ serving ── stop ──▶ draining
  #                              └─────── halt ┴───────────────────┴──▶ ending ──▶ stopped
  #
  # - new: only one thread leads out of it. {#stop} and {#halt} do nothing.
  # - starting: it takes its addresses, which may mean to wait for a look-up of names, and makes its threads. Nobody is served
  #   yet, so {#stop} does what {#halt} does; with `run` it is noted, and done as soon as it serves.
  # - serving: from just before the first connection comes, that is before all threads are there.
  # - draining: by one thread, which halts it then, also when it is interrupted. Others that stop it wait for that one.
  # - ending: by one thread, which ends what is there. Others that halt it wait for that one.
  # - stopped: what its start has made meanwhile is ended by the thread that starts it, before it returns. Until then {#halt}
  #   ends that as well. Only then there is nothing that could be left.
  #
  # A start that fails or is interrupted halts it.
  class Server
    include Publishing

    # Seconds that application threads get to end after the last request was answered, and after they were killed.
    GRACE = 1.0
    # The command behind those that were given before it began to drain.
    DRAINING = :draining
    # The name of a thread that ends it.
    THREAD = "volador stop"
    private_constant :GRACE, :DRAINING, :THREAD

    @servers = Servers.new

    class << self
      extend Forwardable

      # @!method running
      #   @return [Array<Server>] those that run in this process
      # The others are not for applications: see {Servers}.
      def_delegators :@servers, :running, :reach, :join_by, :observers, :add, :remove
    end

    # @return [Configuration]
    attr_reader :configuration

    # @param app [#call] a Rack application
    # @param configuration [Configuration]
    # @param log [Log]
    # @param out [IO, nil] where the lines about listening go; nil: $stdout
    def initialize(app, configuration = Configuration.new, log: configuration.log, out: nil)
      @app = Application.check(app)
      @configuration = configuration
      @log = log
      @out = out
      @commands = Commands.new
      # The thread that waits for commands in `run`.
      @waiting = nil
      # Held by the thread that stops it without `run`.
      @stopping = Mutex.new
      # Held by the thread that ends it.
      @ending = Mutex.new
      # Held for a step from one state to the next, and for nothing else.
      @step = Mutex.new
      @state = :new
      # Its start is over: nothing more is made.
      @whole = false
    end

    # Listens and serves; returns when it does.
    # @return [Server] self
    # @raise [BootError] when an address cannot be listened on
    # @raise [ConfigurationError]
    def start
      begin_start
      set_up
      self
    end

    # Listens and serves until it is stopped by {#stop} or, in the main thread, by INT, TERM or HUP; a second signal stops
    # at once. USR1, by which a server with workers deploys, is noted in the log. HUP and USR1 are left to the program when it
    # has a handler of its own for them, or ignores them.
    # @yieldparam server [Server] itself, once it listens
    # @return [nil]
    def run
      begin_start
      begin
        # First the signals: whoever sees it listen may send one.
        @waiting = Thread.current
        Signals.pass_on(@commands) do
          set_up
          next unless @state == :serving # Another thread has halted it.

          announce
          yield self if block_given?
          reason = await_stop
          finish(reason) unless reason == :closed
        end
      ensure
        @waiting = nil
        halt
      end
      nil
    end

    # Ends at once: running requests are cut off. It has ended when this returns, whoever else halts it meanwhile; the
    # application that it runs does not wait, and a signal handler not for good. One that another thread is starting serves
    # nobody from then on: what that thread has still in its hands it gives back, before {#start} returns. An interrupt ends
    # the waiting, not what is waited for. Does nothing when it has been stopped, or in a forked process. (Its name is not
    # `stop!`: Sinatra would prefer that to {#stop}, and call it in a signal handler.)
    # @return [nil]
    def halt
      # Who ends it may come here again, from an observer.
      return if nothing_to_end? || @ending.owned?

      apart? ? apart { end_once } : undisturbed { end_once }
      nil
    end

    # Stops gracefully: no new connections, running requests are answered, push connections are closed with 1001 and
    # their handlers' on_close is called. A server that {#run} is waited for there, and may be stopped by a signal handler;
    # without `run` it is done here, and whoever stops it as well meanwhile waits until it is. The application that it runs
    # does not wait: it is waited for.
    # @return [nil]
    def stop
      return if nothing_to_end?

      # It may have been ended at a step where it could end nothing.
      if @waiting&.alive? then @commands << :stop
      # Who stops it already may come here again, from a signal handler or an observer.
      elsif @stopping.owned? || @ending.owned? then nil
      # A signal handler may have interrupted the start, without which no request is answered.
      elsif apart? then apart(@whole ? @configuration.drain_timeout : 0) { stop }
      else @stopping.synchronize { stop_here }
      end
      nil
    end

    # @return [Array<String>] "tcp://127.0.0.1:9292", "unix:///run/app.sock": where it really listens
    def addresses
      @gateway ? @gateway.addresses : []
    end

    # @return [String, nil] the first address as a URL; nil when it listens on Unix sockets only, or not yet
    def url
      address = addresses.find { |one| one.start_with?("tcp://") }
      address && Address.url(address)
    end

    # What it has done and what it does now. docs/stats.md says what each figure means.
    # @return [Hash{Symbol => Integer, Float}] {} before it is started
    def stats
      return {} unless @threads

      @gateway.stats.merge!(@worker.stats, handlers: @threads.handlers, workers: 1)
    end

    private

    # @return [Boolean] there is nothing yet, or no more; or what there is is the parent process's
    def nothing_to_end?
      @state == :new || @pid != Process.pid || (@state == :stopped && @whole)
    end

    def begin_start
      @step.synchronize do
        raise Error, "a server starts once: make a new one" unless @state == :new

        # First of all: it tells whose state that is.
        @pid = Process.pid
        @state = :starting
      end
    end

    # @return [Boolean] false when it is in another state than that by now
    def step(from, to)
      @step.synchronize { @state == from && (@state = to) && true }
    end

    # Whatever keeps it from serving, be it the end of the thread that starts it, or another one that has halted it before all
    # of it was there: nothing goes on.
    def set_up
      @gateway = Listening.gateway(@configuration.to_native)
      serve
      complete = true
    ensure
      halt unless complete && %i[serving draining].include?(@state)
      @whole = true
    end

    def serve
      @worker = NativeWorker.make(@configuration, multiprocess: false)
      @threads = ApplicationThreads.new(@worker, @log, development: @configuration.development?)
      # First: who stops it from now on lets requests be answered.
      return unless step(:starting, :serving)

      @gateway.start(@worker)
      Server.add(self)
      PubSub.serve(listeners)
      # Last: what the first request publishes has to find the way here.
      @threads.start(@app, @configuration.threads)
      observe(:started) if @state == :serving
    end

    # @return [Symbol] :signal, :stop; or :closed, when another thread has halted it
    def await_stop
      while (reason = @commands.pop) == Signals::NO_DEPLOY
        note { @log.info("USR1 has no effect: this server has no workers (-w) that it could replace") }
      end
      reason
    end

    def end_once
      @ending.synchronize do
        if @state != :stopped then end_all
        elsif !@whole then end_rest
        end
      end
    end

    def end_all
      @step.synchronize { @state = :ending }
      Server.remove(self) do
        tear_down
      ensure
        @commands.close
        # One that has not listened is no news.
        observe(:stopped) if @gateway
      end
    ensure
      @state = :stopped
    end

    # What its start has made since.
    def end_rest
      Server.remove(self) { tear_down }
    end

    def tear_down
      PubSub.leave(listeners, Server.running.map(&:listeners)) if @threads
    ensure
      end_threads
    end

    def end_threads
      @worker&.stop
      @gateway&.stop
    ensure
      @threads&.kill(GRACE)
    end

    def stop_here
      drain
    ensure
      halt
    end

    # @return [Boolean] nobody can end it in this place
    def apart?
      @threads&.current? || trapped?
    end

    # @return [Boolean] the caller is a signal handler: Ruby lets nobody take a lock there
    def trapped?
      Mutex.new.synchronize { false }
    rescue ThreadError
      true
    end

    # By a thread of its own, of which the application is told nothing: it would wait for itself. A signal handler waits,
    # though not for good: what it has interrupted may hold a lock that is needed.
    # @param seconds [Numeric] that this takes
    # @return [nil]
    def apart(seconds = 0, &work)
      thread = FreshThread.start(THREAD, &work)
      thread.join(seconds + (2 * GRACE)) unless @threads&.current?
      nil
    end

    # By a thread of its own, since what interrupts the caller (Timeout, Thread#kill, a signal) would leave it half done; by
    # the caller when the system has no more threads.
    def undisturbed
      thread = begin
        FreshThread.start(THREAD) do
          Thread.current.report_on_exception = false # The caller has it.
          yield
        end
      rescue ThreadError
        return yield
      end
      thread.join
    end

    def finish(reason)
      say "Volador finishes its requests and stops; the signal once more stops it at once"
      drain(reason)
    end

    # Draining is done by a thread of its own: the main thread has to be free for the second signal. When the system has no
    # more threads, that signal has to wait.
    # @param reason [Symbol] :signal or :stop. A program may stop it in a signal handler of its own and pass the signal on, as
    #   Sinatra does: then that has come by now, and is the first one
    def drain(reason = :stop)
      return unless step(:serving, :draining)

      observe(:draining)
      @commands << DRAINING
      begin
        FreshThread.start("volador drain") { drained }
      rescue ThreadError
        drained
      end
      signalled = reason == :signal
      loop do
        case @commands.pop
        when :drained, :closed then return
        when DRAINING then signalled = true
        when :signal
          return say("Volador stops at once") if signalled

          signalled = true
        end
      end
    end

    # Gives the command :drained at its end, however that comes: the application may have put in the place of $stderr what
    # ends the thread.
    def drained
      seconds = @configuration.drain_timeout
      deadline = Clock.now + seconds
      # What callbacks have written may wait a millisecond for company: it is to come before the connections are closed.
      @worker.flush
      in_time = @gateway.drain(seconds)
      @worker.stop
      deadline = [deadline, Clock.now + GRACE].max
      in_time = @threads.join([deadline - Clock.now, 0].max) && in_time
      # It may have been halted meanwhile, by the end of the program say.
      return if in_time || @state != :draining

      note { @log.warn("the drain timeout of #{seconds} s is over: what still runs is cut off") }
    rescue StandardError => e
      note { @log.error("draining failed", e) }
    ensure
      @commands << :drained
    end

    def observe(state)
      Server.observers.each { |observer| observer.server_changed(self, state) }
    end

    def announce
      threads = @configuration.threads
      addresses.each do |address|
        say "Volador #{VERSION} listening on #{Address.url(address)} (#{threads} thread#{'s' unless threads == 1})"
      end
    end

    def say(line)
      return if @configuration.quiet?

      note { Output.write(@out || $stdout, "#{line}\n") }
    end

    def note(&block)
      FreshThread.note(GRACE, &block)
    end
  end
end
