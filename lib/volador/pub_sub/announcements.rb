# frozen_string_literal: true

require "set"
require_relative "../fresh_thread"

module Volador
  module PubSub
    # What engines are to be told, until they have been: one thing at a time, in the order in which it was added.
    #
    # No lock is held while an engine is told, so that it may do anything in there: subscribe, publish, attach another one.
    # What it adds by that is told once it has returned. What is added inside of {#telling} is told by the thread that adds
    # it, which waits for its turn; anything else by a thread that is there as long as there is something for it to do.
    # So whoever adds may hold locks which the engine is going to want: those of a client that it subscribes, say.
    #
    # A subscription that has come and gone before the engine was told of it is nothing to it. So no more waits than there are
    # subscriptions, and than there were as the engine was told last, however many come and go while one call takes its time.
    class Announcements
      #   thread  that has added it
      Note = Struct.new(:engine, :what, :key, :thread) do
        # What it is about.
        def subject
          [engine.__id__, key]
        end
      end
      private_constant :Note

      # @param log [Log] where exceptions of engines go
      def initialize(log)
        @log = log
        # Innermost: nothing that takes another lock is called under it.
        @lock = Mutex.new
        # One of the following has changed.
        @changed = ConditionVariable.new
        begin_anew
      end

      # Never waits for an engine.
      # @param engine [Object]
      # @param what [Symbol] :subscribe or :unsubscribe
      # @param key [Array] see {Channel.key}
      # @param known [Boolean] the engine may know that already, and is told all the same
      # @return [void]
      def add(engine, what, key, known: false)
        synchronize do
          thread = Thread.current
          note = Note.new(engine, what, key, thread)
          news = @news.delete(note.subject)
          next drop(news) if news && what == :unsubscribe

          @news[note.subject] = note if what == :subscribe && !known
          @notes << note
          @owed[thread] += 1
          call_helper
        end
      end

      # Takes back what the engine has not been told, and waits for what it is told just now, unless it calls this itself.
      # @param engine [Object]
      # @return [void]
      def take_back(engine)
        synchronize do
          @notes.to_a.each { |note| drop(note) if note.engine.equal?(engine) }
          current = @told
          next if current.nil? || !current.engine.equal?(engine) || @teller.equal?(Thread.current)

          @changed.wait(@lock) while @told.equal?(current)
        end
      end

      # Returns when everything that this thread has added, inside of the block or earlier, has been told, or is over; at
      # once when it is an engine that calls this. To be called without any lock that an engine may want.
      # @yield adds, under what locks it likes
      # @return [Object] what the block returns
      def telling
        return yield if inside?

        begin
          synchronize { @attending[Thread.current] = true }
          result = yield
          while (note = own)
            tell(note)
          end
          result
        ensure
          leave { @attending.delete(Thread.current) }
        end
      end

      # As {#telling} for what has been added earlier. Takes no lock when there is nothing, in a signal handler say.
      # @return [void]
      def settle
        telling { nil } if @owed.key?(Thread.current)
      end

      private

      # Threads do not survive a fork; what the parent has added is the parent's to tell.
      def synchronize
        @lock.synchronize do
          begin_anew unless @pid == Process.pid
          yield
        end
      end

      def begin_anew
        @pid = Process.pid
        # In order.
        @notes = Set.new.compare_by_identity
        # Those of them by which an engine hears of a subscription for the first time, and after which none is about the same
        # one; by their subjects.
        @news = {}
        # By thread: how many of its notes have not been told.
        @owed = Hash.new(0).compare_by_identity
        # The threads in {#telling}.
        @attending = {}.compare_by_identity
        # What an engine is told at the moment, and the thread in which it is.
        @told = @teller = nil
        # Tells the notes of threads that do not attend.
        @helper = nil
      end

      # An engine has called this thread's method.
      def inside?
        synchronize { @teller.equal?(Thread.current) }
      end

      # @return [Note, nil] the next one of this thread, when it is its turn; nil when there is none any more. Before that,
      #   one that nobody else tells
      def own
        thread = Thread.current
        synchronize do
          while @owed.key?(thread)
            return start if !@told && (@notes.first.thread.equal?(thread) || (left? && !helped?))

            @changed.wait(@lock)
          end
        end
      end

      # @return [Note, nil] the next one, unless its thread tells it, or somebody tells another one: they call again
      def left
        synchronize { start if left? }
      end

      def left?
        !@told && !@notes.empty? && !@attending.key?(@notes.first.thread)
      end

      def start
        @teller = Thread.current
        @told = take(@notes.first)
      end

      # @return [Note] that waits no longer
      def take(note)
        @notes.delete(note)
        @news.delete(note.subject) if @news[note.subject].equal?(note)
        note
      end

      # Nobody is told.
      def drop(note)
        settled(take(note))
        move_on
      end

      def tell(note)
        note.engine.public_send(note.what, *note.key)
      rescue StandardError, ScriptError => e
        @log.error("#{note.what} of the pub/sub engine #{note.engine.class} raised", e)
      ensure
        synchronize { finish(note) }
      end

      def finish(note)
        # An engine may have forked: the child has forgotten it.
        return unless @told.equal?(note)

        @told = @teller = nil
        settled(note)
        move_on
      end

      def settled(note)
        thread = note.thread
        @owed.delete(thread) if (@owed[thread] -= 1).zero?
      end

      def move_on
        @changed.broadcast
        call_helper
      end

      # This thread tells nothing more, perhaps because it is cut off, wherever it is: others tell what it has left.
      def leave
        synchronize do
          finish(@told) if @teller.equal?(Thread.current)
          yield
          move_on
        end
      end

      # Whoever ends threads may have ended it before it came to {#help}.
      def helped?
        @helper&.alive?
      end

      def call_helper
        @helper = FreshThread.start("volador engines") { help } if left? && !helped?
      rescue ThreadError
        @helper = nil # The system has none at the moment, or the program ends: with the next change it is tried again.
      end

      def help
        while (note = left)
          tell(note)
        end
      ensure
        # An engine may end the thread.
        leave { @helper = nil if @helper.equal?(Thread.current) }
      end
    end
  end
end
