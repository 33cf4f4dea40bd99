# frozen_string_literal: true

require_relative "generation"

module Volador
  module Cluster
    # All generations: the one that serves, the one that is to take its place, and those before them that finish.
    class Generations
      # Deploys wait while more than these finish still: each of them is a whole application in memory.
      FINISHING_MAX = 1

      # @return [Generation, nil] the one that serves
      attr_reader :current
      # @return [Generation, nil] the one that boots
      attr_reader :coming
      # @return [Array<Generation>] those that finish
      attr_reader :finishing

      # @param gateway [Native::Gateway]
      # @param settings [Settings]
      # @param log [Log]
      # @param events [#call] told of :complete, :deploying, :deployed and :failed, with the generation
      # @param make [#call] makes a Generation, given its number and how many workers there are to be
      def initialize(gateway:, settings:, log:, events:, make:)
        @gateway = gateway
        @settings = settings
        @log = log
        @events = events
        @make = make
        @wanted = settings.workers
        @last = 0
        @finishing = []
        # Blocks that are called when the deploy that is under way has ended, and when the next one has.
        @told_now = []
        @told_next = []
        @complete = false
        @closed = false
      end

      # Starts the first one. It serves what it can from the start on: there is no other.
      def start(now)
        @current = make(now)
        @current.promote
      end

      # Starts a new one with the code that is on disk now; when one is under way already, it is followed by another.
      # @yieldparam error [String, nil] why it has failed
      # @yieldparam details [String, nil] the same with its backtrace
      def deploy(now, &told)
        return told&.call("the server is being stopped") if @closed

        @told_next << (told || proc {})
        begin_deploy(now)
      end

      # @param by [Integer] workers more or less; there is always one
      # @return [Integer] how many there are to be
      def resize(by)
        @wanted = (@wanted + by).clamp(1, Settings::NUMBERS[:workers].range.end)
        [@current, @coming].compact.each { |generation| generation.wanted = @wanted }
        @wanted
      end

      # A worker wants to end: another one takes its place, and it hands over what it has.
      # @param pid [Integer]
      # @return [Boolean] false when it is none, or is ending already
      def retire(pid, now)
        all.any? { |generation| generation.let_go(pid, now) }
      end

      # No more deploys; the one under way is given up.
      def close(now)
        @closed = true
        give_up(now) if @coming
        (@told_now + @told_next).each { |told| told.call("the server is being stopped") }
        @told_now = []
        @told_next = []
      end

      # All workers end. See {Generation#dismiss}.
      def dismiss(now, **how)
        all.each { |generation| generation.dismiss(now, **how) }
      end

      # All workers end now. See {Generation#terminate}.
      def terminate(now, **how)
        all.each { |generation| generation.terminate(now, **how) }
      end

      # @return [Boolean] no process is left
      def ended?
        all.all?(&:ended?)
      end

      # @return [Generation, nil] the first one, when it could not load the application
      def failed
        @current if @current.failed?
      end

      # Takes what has happened, and does what is due.
      def tick(now)
        links = @gateway.workers.to_h { |link| [link[:pid], link] }
        adopt(links, now)
        all.each { |generation| generation.tick(now, links) }
        @finishing.select(&:ended?).each do |generation|
          @finishing.delete(generation)
          @log.info("generation #{generation.number} has ended")
        end
        decide(now) unless @closed
        tell_complete
      end

      # @return [Array<Generation>] the eldest first
      def all
        [*@finishing, @current, @coming].compact
      end

      # @return [Array<#to_io>] to be waited for
      def ios
        all.flat_map(&:ios)
      end

      # @return [Float, nil] when {tick} is due
      def at(now)
        all.filter_map { |generation| generation.at(now) }.min
      end

      # @return [Integer] workers that there are to be
      attr_reader :wanted

      private

      def make(now)
        @make.call(@last += 1, @wanted).start(now)
      end

      def begin_deploy(now)
        return if @coming || @told_next.empty? || @finishing.size > FINISHING_MAX

        @told_now = @told_next
        @told_next = []
        @coming = make(now)
        @log.info("generation #{@coming.number} is started with the code that is on disk now")
        @events.call(:deploying, @coming)
      end

      def decide(now)
        if @coming&.failed?
          report_failure(give_up(now))
        elsif @coming&.complete?
          promote(now)
        end
        begin_deploy(now)
      end

      def promote(now)
        old = @current
        @current = @coming
        @coming = nil
        @current.promote
        old.retire(now)
        @finishing << old
        @log.info("generation #{@current.number} serves; generation #{old.number} finishes")
        tell(:deployed, @current)
      end

      # @return [Generation]
      def give_up(now)
        failed = @coming
        @coming = nil
        failed.terminate(now)
        @finishing << failed
        failed
      end

      def report_failure(failed)
        @log.error("generation #{failed.number} has failed to boot; generation #{@current.number} goes on",
                   details: failed.details || failed.error)
        tell(:failed, failed, failed.error, failed.details)
      end

      def tell(event, generation, *error)
        told = @told_now
        @told_now = []
        @events.call(event, generation)
        told.each { |block| block.call(*error) }
      end

      def tell_complete
        return if @complete || !@current.complete?

        @complete = true
        @events.call(:complete, @current)
      end

      # Those whose mold was killed before it could tell of them; whoever is still not known is not wanted.
      def adopt(links, now)
        known = all.flat_map { |generation| generation.workers.map(&:pid) }
        links.each_value do |link|
          # Guests have no number.
          next if known.include?(link[:pid]) || link[:number].zero?

          generation = all.find { |one| one.number == link[:generation] }
          @gateway.dismiss(link[:pid]) unless generation&.adopt(link, now)
        end
      end
    end
  end
end
