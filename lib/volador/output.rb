# frozen_string_literal: true

require_relative "clock"
require_relative "fresh_thread"

module Volador
  # Writes whole entries to a stream, $stdout or a log, and never waits for whoever reads it: the one thread that a
  # signal can reach may have an entry, too. What crates/volador-link/src/log.rs is for the Rust half.
  #
  #     Output.write($stderr, "volador WARN: ...\n")
  #
  # A stream's entries are written by a thread, which is there while there are some and shortly after. A caller whose stream
  # takes more is kept until its own are written, so that what it does next (prints, ends the process) comes behind them. Where the
  # stream takes nothing, they wait in a queue of 256 KiB. What does not fit is dropped, and counted there.
  #
  # What is no IO, a StringIO say, is written to at once, by the caller. Raises nothing that a stream's `write` raises.
  # Not to be used inside of a signal handler, where Ruby allows no Mutex.
  class Output
    # While so much waits no entry is taken.
    BYTES_MAX = 256 * 1024
    # Seconds that a caller waits at most. The stream may have been filled by others in the moment after it was asked.
    PATIENCE = 1.0
    # Seconds for what has not been written when the process ends: who has not read it by then may never do so.
    LAST_ENTRIES = 1.0
    # Seconds that a thread waits for another entry before it ends: they come in groups, and a thread for each takes memory
    # until the garbage collector has its turn.
    LINGER = 2.0
    # Bytes that a pipe takes at once when it is said to take something: PIPE_BUF of pipe(7).
    PIECE = 4096
    METHOD_OF = Kernel.instance_method(:method)
    private_constant :BYTES_MAX, :PATIENCE, :LAST_ENTRIES, :LINGER, :PIECE, :METHOD_OF

    @lock = Mutex.new
    # Held while what is no IO is written to.
    @turn = Mutex.new
    # Those that have entries, by their streams. They are of the process with this id: one that has been forked since
    # has neither their threads nor their entries.
    @busy = {}.compare_by_identity
    @pid = nil

    class << self
      # @param stream [#write]
      # @param entry [String] whole lines
      # @return [nil]
      def write(stream, entry)
        return hand_over(stream, entry) unless descriptor?(stream)

        attend = takes_more?(stream)
        @lock.synchronize do
          output = busy[stream] ||= new(stream, @lock) { busy.delete(stream) }
          output.put(entry, attend ? PATIENCE : 0)
        end
        nil
      end

      # To be called before the process ends: what was said last is written, by the Rust half as well, unless that takes
      # too long.
      # @return [nil]
      def finish
        deadline = Clock.now + LAST_ENTRIES
        # The threads go on meanwhile.
        Native.flush_log
        outputs = @lock.synchronize { busy.values.each { |output| output.attend(deadline) } }
        outputs.each { |output| output.write_left(deadline) }
        nil
      end

      private

      def busy
        @busy, @pid = {}.compare_by_identity, Process.pid unless @pid == Process.pid
        @busy
      end

      # @return [Boolean] its `write` is Ruby's own: what the application has made of it may be meant to be called
      def descriptor?(stream)
        IO === stream && METHOD_OF.bind_call(stream, :write).owner.equal?(IO) # rubocop:disable Style/CaseEquality
      end

      def takes_more?(stream)
        !IO.select(nil, [stream], nil, 0).nil?
      rescue IOError, SystemCallError
        false
      end

      # It is the application's, and may raise anything. None of that is to end the server, or what the entry is about.
      def hand_over(stream, entry)
        @turn.synchronize do
          stream.write(entry)
          stream.flush if stream.respond_to?(:flush)
        end
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException
        # A signal, or what its handler does, comes to the main thread, whatever that is doing.
        raise if Thread.current.equal?(Thread.main) && (SignalException === e || SystemExit === e) # rubocop:disable Style/CaseEquality
      end
    end

    # @api private
    # @param stream [IO]
    # @param lock [Mutex] held by whoever calls {#put} and {#attend}
    # @yield when nothing waits any more: it is of no use then
    def initialize(stream, lock, &done)
      @stream = stream
      @lock = lock
      @done = done
      @entries = []
      @bytes = @dropped = 0
      # How many were taken into the queue, and how many of them have been written.
      @taken = @written = 0
      @changed = ConditionVariable.new
    end

    # @api private
    # @param seconds [Numeric] to wait until it is written
    def put(entry, seconds)
      return @dropped += 1 if @bytes >= BYTES_MAX

      @entries << entry
      @bytes += entry.bytesize
      @taken += 1
      @changed.broadcast
      attend(Clock.now + seconds)
    end

    # @api private
    # Waits until that is written which is there now.
    # @param deadline [Float]
    def attend(deadline)
      last = @taken
      while start && @written < last && (left = deadline - Clock.now).positive?
        @changed.wait(@lock, left)
      end
    end

    # @api private
    # Where the system has no thread for the entries, the caller writes those that wait.
    # @param deadline [Float]
    def write_left(deadline)
      entries = @lock.synchronize { batch unless @thread&.alive? }
      entries&.each { |entry| write_until(deadline, entry) }
    end

    private

    # The application may have ended the thread, as all others.
    # @return [Boolean] false where the system has none at the moment: the next entry tries again
    def start
      return true if @thread&.alive?

      @thread = FreshThread.start("volador output") { write_all }
      @thread.report_on_exception = false
      true
    rescue ThreadError
      false
    end

    def write_all
      while (entries = take)
        entries.each { |entry| write(entry) }
      end
    end

    # @return [Array<String>, nil] those that wait, the ones of before having been written
    def take
      @lock.synchronize do
        @written = @taken - @entries.size
        @changed.broadcast
        linger
        next batch unless @entries.empty?

        @done.call
        nil
      end
    end

    # @return [Array<String>] those that wait, which do no longer
    def batch
      entries = @entries
      entries << missing if @dropped.positive?
      @entries = []
      @bytes = @dropped = 0
      entries
    end

    def linger
      deadline = Clock.now + LINGER
      while @entries.empty? && (left = deadline - Clock.now).positive?
        @changed.wait(@lock, left)
      end
    end

    def missing
      "volador WARN: #{@dropped} lines are missing here, since the log took nothing for a while: whoever reads it was " \
        "too slow, or its disk was\n"
    end

    # By the descriptor, and not by the stream: its buffer may hold what the application has printed, and another thread
    # that waits for the reader has it locked. Nor would Ruby end while an entry is left in there.
    def write(entry)
      # First what has been printed before.
      @stream.flush unless @stream.sync
      rest = entry.b
      rest = rest.byteslice(write_some(rest)..) until rest.empty?
    rescue StandardError
      nil # Nobody reads it, or it is closed.
    end

    # As {write}, by pieces for which the stream has room. (O_NONBLOCK would hold for all who have the same pipe or terminal,
    # other programs as well.)
    def write_until(deadline, entry)
      rest = entry.b
      until rest.empty?
        return unless IO.select(nil, [@stream], nil, [deadline - Clock.now, 0].max)

        @stream.flush unless @stream.sync
        rest = rest.byteslice(write_some(rest.byteslice(0, PIECE))..)
      end
    rescue StandardError
      nil
    end

    # @return [Integer] bytes
    def write_some(bytes)
      descriptor = IO.for_fd(@stream.fileno, "w", autoclose: false)
      descriptor.syswrite(bytes)
    rescue Errno::EAGAIN
      # A FIFO, or another program that has the same pipe has made it so that writing does not wait.
      IO.select(nil, [descriptor])
      retry
    end
  end
end
