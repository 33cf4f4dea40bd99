# frozen_string_literal: true

require_relative "../clock"
require_relative "../commands"
require_relative "../fresh_thread"
require_relative "generations"
require_relative "orphans"
require_relative "status"

module Volador
  module Cluster
    # The Ruby half of the gateway's process: one thread that waits for signals, molds, the gateway and commands, and
    # sees to it that there are the workers that there are to be.
    #
    #     running ─TERM─▶ draining ─drained─▶ finishing ─▶ over
    #                        └──────────TERM again──┴─▶ ending ─▶ over
    #
    # The gateway drains first: requests and push connections. Then the workers finish what clients do not see.
    class Supervisor
      # Seconds between two looks when nothing happens: a hung worker makes no noise.
      INTERVAL = 1.0
      # Seconds for workers that are to end at once, and for those that have used up the drain timeout.
      GRACE = 1.0
      SIGNALS = %w[TERM INT USR1 TTIN TTOU HUP CHLD].freeze
      private_constant :INTERVAL, :GRACE

      # Signals become commands inside of the block, and nothing else: Ruby allows their handlers little.
      # @param commands [Commands] of the supervisor, which may come later: signals may come as soon as something listens
      def self.with_signals(commands)
        before = SIGNALS.to_h { |name| [name, Signal.trap(name) { commands << name.to_sym }] }
        yield
      ensure
        before&.each { |name, handler| Signal.trap(name, handler || "SYSTEM_DEFAULT") }
      end

      # @param gateway [Native::Gateway] started
      # @param notification [IO] readable when the gateway has news
      # @param generations [Generations]
      # @param control [ControlServer]
      # @param status [Status]
      # @param link [String] the link's path, for guests
      # @param systemd [Systemd]
      # @param drain_timeout [Float] seconds
      # @param log [Log]
      # @param say [#call] prints a line for whoever has started the server
      # @param commands [Commands]
      # @param clock [#call] seconds
      def initialize(gateway:, notification:, generations:, control:, status:, link:, systemd:, drain_timeout:, log:, say:,
                     commands: Commands.new, clock: Clock.method(:now))
        @gateway = gateway
        @notification = notification
        @generations = generations
        @control = control
        @status = status
        @link = link
        @systemd = systemd
        @drain_timeout = drain_timeout
        @log = log
        @say = say
        @commands = commands
        @clock = clock
        @orphans = Orphans.new
        @waiting = []
        @state = :running
      end

      # Serves until it is stopped.
      # @return [nil]
      # @raise [BootError] when the application cannot be loaded at the start
      def run
        @generations.start(@clock.call)
        turn until @state == :over
        raise failure if failure
      end

      # Waits for what comes next, and does it.
      def turn
        now = @clock.call
        times = [@generations.at(now), @control.at, now + INTERVAL].compact
        IO.select([@commands, @notification, *@generations.ios, *@control.ios], nil, nil, [times.min - now, 0.0].max)
        look(@clock.call)
      rescue StandardError => e
        # A fault of ours must not take the sockets with it.
        @log.error("the supervisor has failed at something and goes on", e)
        sleep(INTERVAL)
      end

      # Does what there is to do.
      # @param now [Float]
      def look(now)
        drain_notification
        @commands.take.each { |command| obey(command, now) }
        @control.receive(now) { |request, connection| answer(request, connection, now) }
        @generations.tick(now)
        @orphans.reap(now, @generations.all.flat_map { |one| [one.mold&.pid, *one.workers.map(&:pid)] })
        fail_to_boot(now) if @state == :running && @generations.failed
        @state = :over if %i[finishing ending].include?(@state) && @generations.ended?
      end

      # @return [Symbol] :running, :draining, :finishing, :ending, :over
      attr_reader :state

      private

      def failure
        failed = @generations.failed
        BootError.new(failed.error).tap { |error| error.details = failed.details } if failed
      end

      # Nothing serves, and nothing will.
      def fail_to_boot(now)
        @state = :ending
        @generations.close(now)
        @generations.terminate(now)
      end

      def drain_notification
        nil while @notification.read_nonblock(4096, exception: false).is_a?(String)
      end

      # ---- signals

      def obey(command, now)
        case command
        when :TERM, :INT then stop(now)
        when :USR1 then @generations.deploy(now)
        when :TTIN then resize(1)
        when :TTOU then resize(-1)
        when :HUP then @log.info("HUP has no effect: USR1 restarts the workers, TERM stops the server")
        when :drained
          finish(now, cut_at: [@drain_until, now + GRACE].max, limit: "drain timeout of #{@drain_timeout} s")
        when :cut_off
          @log.warn("the drain timeout of #{@drain_timeout} s is over: what still runs is cut off")
          finish(now, cut_at: now + GRACE)
        end
      end

      def resize(by)
        return unless @state == :running

        count = @generations.resize(by)
        @log.info("there are to be #{count} worker#{'s' unless count == 1} now")
      end

      # The first time it finishes what has begun, the second time it ends, however far it has come.
      def stop(now)
        case @state
        when :running
          @state = :draining
          @drain_until = now + @drain_timeout
          @say.call("Volador finishes its requests and stops; the signal once more stops it at once")
          @systemd.stopping
          @generations.close(now)
          drain
        when :draining, :finishing
          @state = :ending
          @say.call("Volador stops at once")
          @generations.terminate(now, patience: GRACE)
        end
      end

      # By a thread of its own: the loop goes on meanwhile.
      def drain
        gateway, seconds, commands = @gateway, @drain_timeout, @commands
        FreshThread.start("volador drain") do
          commands << (gateway.drain(seconds) ? :drained : :cut_off)
        rescue StandardError => e
          commands << :cut_off
          @log.error("draining failed", e)
        end
      end

      def finish(now, **how)
        return unless @state == :draining

        @state = :finishing
        @generations.dismiss(now, **how, patience: GRACE)
        @gateway.dismiss_all
      end

      # ---- commands

      def answer(request, connection, now)
        case request[:do]
        when "status"
          # As it is now, not as it was when something happened last.
          @generations.tick(now)
          connection.answer(@status.to_h(now, @generations, @state))
        when "link" then connection.answer({ ok: true, link: @link })
        when "restart" then restart(connection, now)
        when "retire" then connection.answer({ ok: @generations.retire(request[:pid], now) })
        when "stop"
          # The end of the connection is the answer: it stays open as long as this process lives.
          @waiting << connection
          @commands << :TERM if @state == :running
        when "more", "fewer"
          resize(request[:do] == "more" ? 1 : -1)
          connection.answer({ ok: true, workers: @generations.wanted })
        else connection.answer({ ok: false, error: "there is no command #{request[:do].inspect}" })
        end
      end

      def restart(connection, now)
        @generations.deploy(now) do |error, details|
          connection.answer({ ok: error.nil?, error: error, details: details, stopping: (true unless @state == :running),
                              generation: @generations.current.number }.compact)
        end
      end
    end
  end
end
