# frozen_string_literal: true

require_relative "backoff"
require_relative "children"
require_relative "worker_process"

module Volador
  module Cluster
    # One state of the application's code: a mold and the workers that are forked from it.
    #
    #     booting ─promote─▶ serving ─retire─▶ finishing ─▶ ended
    #        └─────────────fail────────────────▶
    #
    # While it boots, whatever goes wrong fails it: the generation before it goes on. Once it serves, what is lost is
    # replaced, again and again if it has to be.
    class Generation
      # @return [Integer] from 1 on
      attr_reader :number
      # @return [Array<WorkerProcess>] those that live
      attr_reader :workers
      # @return [MoldProcess, nil]
      attr_reader :mold
      # @return [Symbol]
      attr_reader :phase
      # @return [String, nil] why it has failed, in one line
      attr_reader :error
      # @return [String, nil] the same with the backtrace
      attr_reader :details
      # @return [Integer] workers that there should be
      attr_accessor :wanted

      # @param number [Integer]
      # @param wanted [Integer] workers
      # @param gateway [#dismiss, #retire]
      # @param settings [Settings]
      # @param start_mold [#call] makes a MoldProcess, given the number and the time
      # @param log [Log]
      # @param children [#ending, #signal, #alive?, #gone?]
      def initialize(number, wanted:, gateway:, settings:, start_mold:, log:, children: Children)
        @number = number
        @wanted = wanted
        @gateway = gateway
        @settings = settings
        @start_mold = start_mold
        @log = log
        @children = children
        @workers = []
        @phase = :booting
        @worker_backoff = Backoff.new
        @mold_backoff = Backoff.new
        @loaded = false
      end

      # Starts the mold.
      # @return [Generation] self
      def start(now)
        @boot_until = now + @settings.boot_timeout
        start_mold(now)
        self
      end

      # Its workers are given requests from now on.
      def promote
        @phase = :serving
        @gateway.promote(@number)
      end

      # @return [Boolean] all workers are there
      def complete?
        workers = staff
        workers.size == @wanted && workers.all?(&:up?)
      end

      # A worker of it is to end, by its own wish.
      # @return [Boolean] false when it is none of this generation, or is ending already
      def let_go(pid, now)
        worker = @workers.find { |one| one.pid == pid && one.up? && !one.leaving? }
        return false unless worker && @phase == :serving

        @log.info("#{worker} has got TERM: it finishes, and another one takes its place")
        retire_worker(worker, now)
        true
      end

      # @return [Boolean] it could not even load the application
      def failed?
        !@error.nil?
      end

      # Its workers hand over what they have, and end.
      def retire(now)
        finish { |worker| worker.retire(now) }
      end

      # Its workers end, the requests being finished, and then the mold. See {WorkerProcess#dismiss}.
      # @param cut_at [Float] when workers get TERM
      # @param patience [Float] seconds between TERM and KILL. At that time the mold is to have ended, too; but it gets so
      #   many seconds after its last worker
      def dismiss(now, cut_at:, patience:, limit: nil)
        @mold_time = [cut_at + patience, patience]
        finish { |worker| worker.dismiss(now, cut_at: cut_at, patience: patience, limit: limit) }
      end

      # Its workers end now, and its mold with them.
      # @param patience [Float, nil] see {WorkerProcess#terminate}. The mold has it as well; with nil, its usual one
      def terminate(now, patience: nil)
        finish { |worker| worker.terminate(now, patience: patience) }
        @mold&.finish(now, patience: patience)
      end

      def ended?
        @phase == :ended
      end

      # Takes what has happened, and does what is due.
      # @param links [Hash{Integer => Hash}] what the gateway says of workers, by pid
      def tick(now, links)
        mold_tick(now)
        look_at_orphans
        @workers.each do |worker|
          worker.seen(links[worker.pid], now) unless worker.ended?
          worker.tick(now)
        end
        mistrust_mold(now)
        bury(now)
        send(@phase, now)
      end

      # A worker that nobody knows has joined as one of this generation: its mold was killed before it could tell.
      # @param link [Hash]
      # @return [Boolean] whether it is taken
      def adopt(link, now)
        worker = @workers.find { |one| one.forking? && one.number == link[:number] }
        # The gateway may not have seen yet that it has ended.
        return false unless worker && @children.alive?(link[:pid])

        worker.adopted(link[:pid])
        worker.seen(link, now)
        true
      end

      # @return [Array<#to_io>] to be waited for
      def ios
        @mold ? @mold.ios : []
      end

      # @return [Float, nil] when {tick} is due
      def at(now)
        times = [@mold&.at, *@workers.map(&:at)]
        times << @boot_until if booting?
        times.push(@worker_backoff.at(now), @mold_backoff.at(now)) if @phase == :serving
        times.compact.min
      end

      # @return [Boolean]
      def booting?
        @phase == :booting
      end

      private

      # Those that are to stay.
      def staff
        @workers.reject(&:leaving?)
      end

      def start_mold(now)
        @mold_started = now
        @mold = @start_mold.call(@number, now)
      rescue SystemCallError => e
        @mold = nil
        @spawn_error = "the mold cannot be started: #{e.message}"
      end

      def finish(&block)
        @phase = :finishing unless ended?
        @workers.each(&block)
      end

      def fail(now, error, details = nil)
        return if failed?

        @error = error
        @details = details
        terminate(now)
      end

      # ---- phases

      def booting(now)
        return fail(now, @spawn_error) unless @mold
        if @mold.error || @mold.ended?
          return fail(now, @mold.error || "the mold has ended: #{@mold.ending}", @mold.details)
        end

        if now >= @boot_until
          return fail(now, "not all workers are ready within the boot timeout of #{@settings.boot_timeout} s")
        end

        retire_surplus(now)
        staff_up(now) if @mold.loaded?
      end

      def serving(now)
        mind_mold(now)
        retire_surplus(now)
        settle(now)
        staff_up(now) if @mold&.loaded? && @worker_backoff.ready?(now)
      end

      def finishing(now)
        # A mold that hangs never tells that they have ended, and is not waited for.
        return unless @workers.all?(&:gone?)

        @mold&.finish(now, patience: mold_patience(now))
        @phase = :ended if @workers.empty? && (@mold.nil? || @mold.ended?)
      end

      def ended(_now); end

      # @return [Float, nil] seconds; nil: as many as usual
      def mold_patience(now)
        by, least = @mold_time
        [by - now, least].max if by
      end

      # ---- steps

      def staff_up(now)
        there = staff.map(&:number)
        ((1..@wanted).to_a - there).each do |number|
          @workers << WorkerProcess.new(number, now, mold: @mold, gateway: @gateway, settings: @settings, log: @log,
                                                     children: @children)
          @mold.fork_worker(number, now)
        end
      end

      # There are to be fewer now.
      def retire_surplus(now)
        staff.select { |worker| worker.number > @wanted }.each { |worker| retire_worker(worker, now) }
      end

      def retire_worker(worker, now)
        @gateway.retire(worker.pid) if worker.up?
        worker.retire(now)
      end

      # What was forked since the last failure lives.
      def settle(now)
        return if @worker_backoff.failures.zero? || !complete?

        @worker_backoff.reset if staff.all? { |worker| worker.healthy?(now) }
      end

      # Also without a worker to fork: the application may have threads there.
      def mind_mold(now)
        @mold_backoff.reset if @mold&.loaded? && now - @mold_started >= Backoff::HEALTHY
        return start_again(now) if @mold_down && @mold_backoff.ready?(now)
        return unless !@mold_down && (@mold.nil? || @mold.ended?)

        why = @mold ? @mold.error || "it has ended: #{@mold.ending}" : @spawn_error
        # Nobody has seen this code run, so there is nothing to go on with.
        return fail(now, why, @mold&.details) unless @loaded

        delay = @mold_backoff.failed(now)
        @mold_down = true
        @log.error("the mold of generation #{@number} is gone (#{why}), its workers go on: another one is started " \
                   "#{soon(delay)}", details: @mold&.details)
      end

      def start_again(now)
        @mold_down = false
        start_mold(now)
      end

      def mold_tick(now)
        @mold&.tick(now) { |message| heard(message) }
        @loaded ||= @mold&.loaded?
        return unless @mold&.ended?

        # Forked or not, nobody tells any more.
        @workers.each { |worker| worker.over("its mold has ended") if worker.forking? }
      end

      def heard(message)
        case message[:is]
        when "forked" then forked(message)
        when "unforked" then forking(message)&.over(message[:error])
        when "ended"
          worker = @workers.find { |one| one.pid == message[:pid] && !one.ended? }
          worker&.over(message[:error] || message[:how], message[:details])
        end
      end

      # It was asked for a worker, or should tell of the end of one, and does not: it hangs. Without it they are known.
      def mistrust_mold(now)
        return if @mold.nil? || @mold.ended?

        overdue = @workers.find { |worker| worker.overdue?(now) }
        return unless overdue && @mold.kill(now)

        @log.error("the mold of generation #{@number} does not tell what has become of #{overdue}: it is killed")
      end

      def forking(message)
        @workers.find { |one| one.forking? && one.number == message[:number] }
      end

      def forked(message)
        # It may have joined already.
        worker = @workers.find { |one| one.pid == message[:pid] } || forking(message)
        worker ? worker.forked(message[:pid]) : @children.signal(:TERM, message[:pid])
      end

      # Whoever has lost its mold is a child of this process now.
      def look_at_orphans
        @workers.each do |worker|
          next if worker.ended? || worker.pid.nil? || !worker.orphan?

          how = @children.ending(worker.pid)
          worker.over(how) if how
        end
      end

      def bury(now)
        gone, @workers = @workers.partition(&:ended?)
        gone.each { |worker| mourn(worker, now) unless worker.leaving? }
      end

      def mourn(worker, now)
        return fail(now, "#{worker} has ended at boot: #{worker.ending}", worker.details) if booting?
        return unless @phase == :serving
        return @log.warn("#{worker} has ended (#{worker.ending}) and is replaced") if worker.healthy?(now)

        again = @worker_backoff.ready?(now)
        delay = @worker_backoff.failed(now)
        row = @worker_backoff.failures
        return unless again

        @log.error("#{worker} has ended (#{worker.ending}) #{worker.age(now).round(1)} s after its start" \
                   "#{", as #{row} in a row have" if row > 1}: another one is started #{soon(delay)}", details: worker.details)
      end

      def soon(delay)
        delay.zero? ? "now" : "in #{delay.round(1)} s"
      end
    end
  end
end
