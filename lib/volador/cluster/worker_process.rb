# frozen_string_literal: true

require_relative "children"

module Volador
  module Cluster
    # A worker as the supervisor sees it, from the moment when the mold is asked to fork it:
    #
    #     forking ─pid─▶ booting ─link─▶ up ─▶ ended
    #
    # It is told what happens, and told regularly what time it is (`tick`); then it does what is due. Times are seconds
    # on the supervisor's clock.
    class WorkerProcess
      # Seconds between the gateway's word, TERM and KILL for a worker that has used up its time, and for the mold to
      # tell that one has ended. To kill a mold is not cheap: the next one loads the code that is on disk then.
      PATIENCE = 5.0
      # Seconds for a worker that has lost its link to end by itself.
      LOST = 10.0

      # Seconds that one has to be up. What dies later has not died at boot, and to fork another one at once is cheap.
      HEALTHY = 0.5

      # @return [Integer] 1 to the number of workers
      attr_reader :number
      # @return [Integer, nil] nil until it is forked
      attr_reader :pid
      # @return [Hash, nil] what the gateway says of it (see Native::Gateway#workers), nil without a link
      attr_reader :link
      # @return [String, nil] how it has ended, in one line
      attr_reader :ending
      # @return [String, nil] the exception that has ended it at boot, with its backtrace
      attr_reader :details

      # @param now [Float]
      # @param gateway [#dismiss]
      # @param settings [Settings]
      # @param children [#signal, #gone?]
      def initialize(number, now, mold:, gateway:, settings:, log:, children: Children)
        @number = number
        @mold = mold
        @gateway = gateway
        @settings = settings
        @log = log
        @children = children
        @state = :forking
        @started = now
        # What is to be done to end it, in order: [when, signal, the limit that is over by then].
        @steps = []
        @leaving = @dismissed = @adopted = false
        # When it got KILL, or should have.
        @killed = nil
        # Since when its process is known to be gone.
        @gone = nil
      end

      # @return [Boolean] it has been up
      def joined?
        @joined ? true : false
      end

      # @return [Boolean] its link is there
      def up?
        @state == :up && !@link.nil?
      end

      # @return [Boolean] it is to end, and has no place among the workers any more
      def leaving?
        @leaving
      end

      def ended?
        @state == :ended
      end

      # @return [Boolean] its process has ended; whoever can tell how may not have done so yet
      def gone?
        !@gone.nil?
      end

      # @return [Boolean] it must have ended long since, and whoever should tell of it does not
      def overdue?(now)
        by = told_by
        !by.nil? && now >= by
      end

      # @return [Boolean] it waits for its pid
      def forking?
        @state == :forking
      end

      # @return [Boolean] it has not died at boot
      def healthy?(now)
        joined? && now - @joined >= HEALTHY
      end

      # @return [Float] seconds since its fork
      def age(now)
        now - @started
      end

      # @return [Symbol] for humans: :booting, :waiting, :serving, :retiring, :idle, :ending
      def condition
        return :ending if @dismissed || @killed || gone? || ended?

        @link ? @link[:state] : :booting
      end

      # The mold has forked it, and will tell of its end.
      def forked(pid)
        @pid = pid
        @adopted = false
        @state = :booting if forking?
      end

      # It has turned up without its mold's word.
      def adopted(pid)
        forked(pid)
        @adopted = true
      end

      # @return [Boolean] no mold tells of its end
      def orphan?
        @adopted || @mold.ended?
      end

      # What the gateway says of it now.
      # @param link [Hash, nil]
      def seen(link, now)
        lost = @link && link.nil?
        # A process that has just been forked does not heed the TERM that it got as one that boots.
        @gateway.dismiss(@pid) if link && @link.nil? && @dismissed
        @link = link
        if link
          @joined ||= now
          @state = :up unless ended?
        elsif lost && @state == :up
          # Its process ends by itself, unless it hangs.
          hurry([[now + LOST, :KILL]])
        end
      end

      # It has ended.
      # @param how [String]
      # @param details [String, nil]
      def over(how, details = nil)
        @state = :ended
        @ending = how
        @details = details
        @link = nil
        @steps = []
      end

      # It is to hand over what it has, and then to end.
      def retire(now)
        return if @leaving

        @leaving = true
        @retired = now
        dismiss(now) unless joined?
      end

      # It is to end: by the gateway's word, upon which it finishes what it has; by TERM, which cuts that off; by KILL. When
      # it was to end before, the shorter time counts.
      # @param cut_at [Float] when it gets TERM
      # @param patience [Float] seconds between TERM and KILL
      # @param limit [String, nil] what is over at `cut_at`, for the log
      def dismiss(now, cut_at: now + PATIENCE, patience: PATIENCE, limit: nil)
        return if ended?

        @gateway.dismiss(@pid) if @link && !@dismissed
        @leaving = @dismissed = true
        # One that boots does not hear the gateway.
        return hurry([[now, :TERM], [now + patience, :KILL]]) unless @link

        hurry([[cut_at, :TERM, limit], [cut_at + patience, :KILL]])
      end

      # It is to end at once.
      # @param patience [Float] seconds between TERM and KILL; nil: KILL alone
      def terminate(now, patience: nil)
        return if ended?

        @leaving = @dismissed = true
        @steps = patience ? [[now, :TERM], [now + patience, :KILL]] : [[now, :KILL]]
      end

      # Does what is due.
      def tick(now)
        return if ended?

        @gone ||= now if @pid && @link.nil? && @children.gone?(@pid)
        return if gone?

        @leaving ? leave(now) : watch(now)
        @killed ||= now if @steps.any? && now >= @steps.last.first
        # Without a pid there is nobody yet whom to signal.
        take_step while @pid && @steps.any? && now >= @steps.first.first
      end

      # @return [Float, nil] when the next thing is due
      def at
        return told_by if gone?

        [
          (@steps.first&.first if @pid),
          (@started + @settings.boot_timeout unless joined? || @leaving || @killed),
          (@retired + @settings.handover_timeout if @retired && !@dismissed),
          told_by
        ].compact.min
      end

      # @return [String] for the log
      def to_s
        "worker #{@number}#{" (pid #{@pid})" if @pid}"
      end

      private

      # Of an orphan's end no mold tells. But when it is gone, and this process has not been able to wait for it, a mold
      # is its parent still.
      # @return [Float, nil] when its end is to have been told
      def told_by
        since = [@gone, (@killed unless orphan?)].compact.min
        since + PATIENCE if since && !ended?
      end

      # What ends it sooner counts.
      def hurry(steps)
        @steps = steps if @steps.empty? || steps.last.first < @steps.last.first
      end

      def take_step
        _, signal, limit = @steps.shift
        late(limit) if limit
        @children.signal(signal, @pid)
      end

      def late(limit)
        @log.warn("#{self} has not finished within the #{limit}: what still runs is cut off")
      end

      def leave(now)
        return outlive(now) if @dismissed

        cut_at = @retired + @settings.handover_timeout
        limit = "handover timeout of #{@settings.handover_timeout} s"
        if now >= cut_at
          late(limit)
          dismiss(now)
        elsif @link.nil? || @link[:state] == :idle
          # The gateway sees requests and handlers alone: blocks, say, may have much to do still.
          dismiss(now, cut_at: cut_at, limit: limit)
        end
      end

      # It says that it lives as long as its threads have something to finish.
      def outlive(now)
        return if @killed || !@link || @link[:quiet] <= @settings.worker_timeout

        kill(now, "is to end and has given no sign of life for #{@link[:quiet].round(1)} s", then_what: "killed")
      end

      def watch(now)
        return if @killed

        limit = @settings.worker_timeout
        if !joined?
          boot = @settings.boot_timeout
          kill(now, "is not ready within the boot timeout of #{boot} s") if age(now) >= boot
        elsif @link && @link[:quiet] > limit
          kill(now, "has given no sign of life for #{@link[:quiet].round(1)} s")
        elsif @link && @link[:stuck] > limit
          kill(now, "has completed nothing for #{@link[:stuck].round(1)} s, while all its threads are taken and " \
                    "requests wait")
        end
      end

      def kill(now, why, then_what: "killed and replaced")
        @log.error("#{self} #{why}: it is #{then_what}")
        @killed = now
        @steps = [[now, :KILL]]
      end
    end
  end
end
