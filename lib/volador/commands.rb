# frozen_string_literal: true

module Volador
  # What the main thread of a server waits for: commands from signal handlers and other threads.
  #
  # It waits at a pipe and not at a Queue: Ruby takes a process whose threads all wait at Queues and the like for
  # deadlocked, though what they wait for may come from a client. And to write to a pipe is allowed in a signal handler.
  class Commands
    def initialize
      @commands = Queue.new
      @reader, @writer = IO.pipe
    end

    # From any thread, and in signal handlers.
    # @param command [Symbol]
    # @return [Commands] self
    def <<(command)
      @commands << command
      @writer.write_nonblock(".")
      self
    rescue IO::WaitWritable, IOError
      self # Full: it is readable anyway. Closed: nobody waits any more.
    end

    # Waits for the next one.
    # @return [Symbol]
    def pop
      @reader.readpartial(1)
      @commands.pop
    end

    # Nobody will wait any more.
    def close
      @writer.close
      @reader.close
    end
  end
end
