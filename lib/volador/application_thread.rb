# frozen_string_literal: true

require_relative "clock"
require_relative "process_bound"
require_relative "push/handshake"
require_relative "responder"
require_relative "steady_lock"

module Volador
  # One of the Ruby threads that run the application: takes a job from its seat, a request or an event of a push
  # connection, and completes it. A thread that the application ends (Thread#kill, Thread.exit) is replaced: it starts its
  # successor as it dies. Where the system has none to give, it goes on meanwhile, and nothing ends it within a request then.
  class ApplicationThread
    include ProcessBound

    # @param seat [Native::Seat] the thread's own
    # @param app [#call]
    # @param direct [Boolean] a push request goes to on_open of app itself (see Push::Interceptor)
    # @param connections [Push::Connections]
    # @param log [Log]
    # @param name [String] of the Ruby thread
    def initialize(seat:, app:, direct:, connections:, log:, name:)
      @seat = seat
      @app = app
      @direct = direct
      @connections = connections
      @log = log
      @name = name
      @responder = Responder.new(seat, log)
      # What is under way: its kind, as the seat numbers it, what the seat gives for it, and the handshake of a request.
      @kind = nil
      @job = seat.job
      @handshake = nil
      @ended = false
      # Why the system had no thread for a successor, when it dies and goes on.
      @scarcity = nil
      # Once it is halted no thread is started any more: both are done with this lock.
      @halted = false
      @lock = SteadyLock.new
      bind_to_process
    end

    # Starts the Ruby thread, unless it has been killed before.
    # @return [ApplicationThread] self
    # @raise [ThreadError] when the system has none
    def start
      @lock.change { begin_thread unless @halted }
      self
    end

    # Waits for the end, which comes when the worker has stopped and no job is left.
    # @param seconds [Numeric]
    # @return [Boolean] whether it has come
    def join(seconds)
      deadline = Clock.now + seconds
      loop do
        thread = @thread
        return true unless thread # It has not begun.
        return false unless ended?(thread, [deadline - Clock.now, 0].max)
        # Else the application has ended it, and another one has taken its place.
        return true if @ended || thread.equal?(@thread)
      end
    end

    # @return [Boolean] the caller runs in it
    def current?
      Thread.current.equal?(@thread)
    end

    # Ends it now, whatever it does, and for good.
    def kill
      @lock.change do
        @halted = true
        @thread&.kill
      end
    end

    private

    def begin_thread
      @scarcity = nil
      @thread = Thread.new do
        # Who starts it may not have come so far.
        @thread = Thread.current
        live
      end
      @thread.name = @name
    end

    # It was started, and dies, while interrupts have to wait: what is raised into it just then does not keep it from starting
    # its successor.
    def live
      interruptible { run }
    ensure
      replace unless @ended
    end

    def interruptible(&block)
      Thread.handle_interrupt(Object => :immediate, &block)
    end

    # @return [Boolean]
    def ended?(thread, seconds)
      thread.join(seconds) ? true : false
    rescue Exception # rubocop:disable Lint/RescueException
      # What was raised into it as it died is nothing to whoever waits for it.
      raise if thread.alive?

      true
    end

    def run
      seat = @seat
      job = @job
      # What ends the thread may have been lost, as the application has raised on its way out.
      until @halted || (@scarcity && succeeded?)
        # Kept before anything else is done: between two steps of Ruby the thread may be ended.
        kind = @kind = seat.take
        unless kind
          @ended = true
          break
        end

        if kind == Native::Seat::REQUEST
          serve(job[0])
        elsif kind == Native::Seat::MESSAGE
          @connections.message(job[0], job[1])
        elsif kind == Native::Seat::EVENT
          @connections.dispatch(job[0])
        else
          serve_push(job[0], job[1])
        end
        @kind = nil
      end
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if unseated?

      # Raised into the thread (Thread#raise, a late Timeout) between two jobs, or by a failure to answer.
      abandon(e)
      retry
    end

    # The way of a plain request: nothing here but what it needs.
    def serve(env)
      answer = @app.call(env)
      finished = env["rack.response_finished"]
      unless (!finished.is_a?(Array) || finished.empty?) && @seat.respond_plainly(answer)
        @responder.deliver(env, given = answer)
      end
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if forked?
      # In the midst of a large answer: nobody's fault.
      return @seat.abort if e.is_a?(ClientGone) && @seat.streaming?

      @responder.fail(env, e)
      # It came from outside, before the body had somebody who closes it.
      @responder.discard(env, answer) unless given
      @responder.finished(env, nil, nil, e)
    end

    def serve_push(env, transport)
      resumed = @seat.resumed?
      handshake = @handshake = Push::Handshake.new(transport, @seat.connection, @connections, @log, resumed: resumed)
      env[Push::Handshake::ENV_KEY] = handshake
      if resumed
        env["push.resumed"] = true
        env["push.state"] = @seat.state
      end
      env["rack.upgrade?"] = transport
      answer = @direct ? handshake.open(@app, env) : @app.call(env)
      if !@seat.hijacked? && accepted?(handshake, env, answer)
        @responder.upgrade(env, answer, handshake)
      else
        @connections.hints.unaccepted(env, answer) if transport == :websocket && !@seat.hijacked?
        @responder.deliver(env, answer, close_connection: handshake.failed?)
        handshake.refused
      end
      @handshake = nil
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if forked?

      # on_open has logged its own.
      @responder.fail(env, e.equal?(handshake&.error) ? nil : e, close_connection: true)
      @responder.finished(env, nil, nil, e)
      handshake&.refused
      @handshake = nil
    end

    # May make the handler, whose constructor is the application's.
    def accepted?(handshake, env, answer)
      accepted = nil
      accepted = handshake.accepted?(env, answer)
    ensure
      # It has raised, or ended the thread.
      @responder.discard(env, answer) if accepted.nil? && !forked?
    end

    # A request that was taken may not have got as far as @kind: it is answered all the same, else no other can be taken.
    def abandon(error)
      env, event = under_way
      handshake = @handshake
      @kind = @handshake = nil
      return @connections.interrupted(event, error) if event

      @log.error("an exception outside of any request", error) unless env
      @responder.fail(env || {}, (error if env), close_connection: !handshake.nil?) if env || pending?
      @responder.finished(env, nil, nil, error) if env
      handshake&.refused
    rescue Exception => e # rubocop:disable Lint/RescueException
      # First of all: a log may be the application's, and end the thread.
      @seat.abort if pending?
      @log.error("the request could not be answered", e)
    end

    # @return [Array(Hash, Object)] the env of the request, or the event; one of them is nil at least
    def under_way
      case @kind
      when nil then [nil, nil]
      when Native::Seat::MESSAGE, Native::Seat::EVENT then [nil, @job[0]]
      else [@job[0], nil]
      end
    end

    # Runs while the thread dies.
    def replace
      return if @halted || unseated?

      begin
        interruptible { abandon_last } if @kind || pending?
      ensure
        # Whatever happens here, somebody has to answer.
        hand_over
      end
    end

    def abandon_last
      abandon(ThreadError.new("the application ended the thread that answers (Thread#kill or Thread.exit); " \
                              "it is to be replaced"))
    end

    def hand_over
      # When the process ends Ruby starts no threads any more.
      go_on unless !Thread.main.alive? || succeeded?
    end

    # @return [Boolean] another thread has its place from now on
    def succeeded?
      start
      true
    rescue ThreadError => e
      @scarcity = e
      false
    end

    # Without a successor, in the thread that dies.
    def go_on
      @log.error("the system has no thread that could take the place of one that the application ended, which goes on " \
                 "until there is one: #{@scarcity.message}")
    ensure
      live
    end

    def pending?
      !@seat.answered?
    end

    # The seat is no longer this thread's.
    def unseated?
      !current? || forked?
    end
  end
end
