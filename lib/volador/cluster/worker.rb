# frozen_string_literal: true

require_relative "../application_threads"
require_relative "../clock"
require_relative "../fresh_thread"
require_relative "../native_worker"
require_relative "../pub_sub"
require_relative "../publishing"
require_relative "../server"
require_relative "children"
require_relative "control_client"
require_relative "wire"

module Volador
  module Cluster
    # What runs in a worker process, forked from the mold: application threads, and the main thread that tells the
    # gateway that it lives and waits to be told to end. In its process it stands among {Server.running}.
    class Worker
      include Publishing

      # Seconds between two signs of life.
      BEAT = 1.0
      # Seconds for a worker whose gateway is gone.
      LOST = 5.0
      # Seconds that application threads have to end after they were killed.
      GRACE = 1.0
      SLICE = 0.05
      # Bytes of why it can't boot, in one line and in all.
      WHY_MAX = 4096
      DETAILS_MAX = 32_768
      # Bytes of what goes through the report's pipe, which must hold them.
      REPORT_MAX = 60_000
      private_constant :BEAT, :LOST, :GRACE, :SLICE, :WHY_MAX, :DETAILS_MAX, :REPORT_MAX

      # @return [Configuration]
      attr_reader :configuration

      # @param app [#call]
      # @param number [Integer] 1 to the number of workers
      # @param generation [Integer]
      # @param link [String] path
      # @param gateway [Integer] its pid
      # @param control [String] the control socket's path
      # @param configuration [Configuration]
      # @param hooks [Hooks]
      # @param leftovers [Leftovers]
      # @param log [Log]
      # @param report [IO] where it says why it can't boot; closed when it has
      def initialize(app, number:, generation:, link:, gateway:, control:, configuration:, hooks:, leftovers:, log:, report:)
        @app = app
        @number = number
        @generation = generation
        @link = link
        @gateway = gateway
        @control = control
        @configuration = configuration
        @hooks = hooks
        @leftovers = leftovers
        @log = log
        @report = report
        @terms = 0
      end

      # Works until it is told to end.
      # @return [Integer] exit status
      def run
        trap_signals
        Process.setproctitle("volador: worker #{@number} of generation #{@generation}")
        return 1 unless boot

        finish(stay)
      end

      # @return [Hash{Symbol => Integer, Float}] of the whole cluster
      def stats
        @native.gateway_stats
      end

      # Stops the whole server gracefully. Returns at once.
      # @return [nil]
      def stop
        Children.signal(:TERM, @gateway)
        nil
      end

      # The process ends though it was not told to: the application has called `exit`, say.
      # @api private
      def halt
        leave_cluster
        @native.leave
      end

      private

      def trap_signals
        # Those of the terminal are for the gateway. A block, since programs that the worker starts inherit "IGNORE".
        Signal.trap("INT") {}
        Signal.trap("TERM") { @terms += 1 }
      end

      # @return [Boolean]
      def boot
        @native = NativeWorker.make(@configuration, multiprocess: true)
        # The link is the gateway's user's alone, and the hook may take another one.
        @native.join(@link, number: @number, generation: @generation, threads: @configuration.threads)
        @hooks.run(:worker_boot, @number)
        @threads = ApplicationThreads.new(@native, @log, development: @configuration.development?)
        Server.add(self)
        PubSub.serve(listeners)
        @threads.start(@app, @configuration.threads)
        # Requests come from now on, and what the first one publishes has to find the way to the gateway. The other workers'
        # requests may publish, too, once all are ready: each has said by then what it listens to.
        @native.ready
        observe(:started)
        @report.close
        true
      rescue Exception => e # rubocop:disable Lint/RescueException
        tell_why(e)
        false
      end

      def tell_why(error)
        why = error.is_a?(SystemExit) ? "it has called exit (status #{error.status})" : "#{error.message} (#{error.class})"
        report = { error: why.b.lines.first.to_s.strip.byteslice(0, WHY_MAX),
                   details: error.full_message(highlight: false, order: :top).byteslice(0, DETAILS_MAX) }
        line = Wire.line(report)
        # Characters that JSON has to spell out.
        line = Wire.line(report.transform_values { |text| text.byteslice(0, text.bytesize / 8) }) if line.bytesize > REPORT_MAX
        @report.write(line)
        @report.close
      rescue IOError, SystemCallError, JSON::GeneratorError
        @log.error("worker #{@number} cannot boot", error)
      end

      # @return [Symbol] :stop, :lost, or :term
      def stay
        asked = false
        loop do
          if @terms.positive? && !asked
            return :term unless ask_to_retire

            asked = true
          end
          @native.beat
          reason = @native.wait_end(BEAT)
          return reason if reason
        end
      end

      # By TERM: the gateway has to know, so that it sends nothing more and finds another place for what is here. It says
      # stop when that is done.
      # @return [Boolean] false when it doesn't: the worker was to end anyway
      def ask_to_retire
        ControlClient.new(@control).ask({ do: "retire", pid: Process.pid }, seconds: LOST)&.fetch(:ok, false)
      rescue ControlClient::Unreachable
        false
      end

      # @return [Integer] exit status
      def finish(reason)
        end_anyway if reason == :lost
        terms = @terms
        observe(:draining)
        @native.finish
        wait_for_threads(reason, terms)
        @threads.kill(GRACE, counted: reason != :lost)
        @hooks.run_all(:worker_shutdown, @number, log: @log)
        leave_cluster
        return clear_up if reason == :lost

        @native.leave
        0
      end

      # Until they have finished; or it is told once more, by TERM: the gateway's process, which has said stop, knows when the
      # time is over. Nobody does when it has not.
      def wait_for_threads(reason, terms)
        limit = { lost: LOST, term: @configuration.drain_timeout }[reason]
        deadline = limit && (Clock.now + limit)
        beat_at = Clock.now
        until @threads.join(SLICE) || @terms > terms || (deadline && Clock.now >= deadline)
          next unless Clock.now >= beat_at

          beat_at += BEAT
          @native.beat
        end
      end

      def leave_cluster
        Server.remove(self)
        PubSub.leave(listeners, Server.running.map(&:listeners))
        @native.stop
        @threads.kill(GRACE)
        observe(:stopped)
      end

      # The mold sees to it as well, if there is one still.
      def end_anyway
        FreshThread.start("volador end") do
          sleep(LOST)
          clear_up
          Output.finish
          exit!(1)
        end
      end

      # @return [Integer] exit status
      def clear_up
        @leftovers.clear
        1
      end

      def observe(state)
        Server.observers.each { |observer| observer.server_changed(self, state) }
      end
    end
  end
end
