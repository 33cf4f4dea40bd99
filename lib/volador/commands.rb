# frozen_string_literal: true

module Volador
  # What the main thread of a server waits for: commands from signal handlers and other threads. It waits for them
  # alone ({#pop}), or for them among others (IO.select and {#take}).
  #
  # It waits at a pipe and not at a Queue: Ruby takes a process whose threads all wait at Queues and the like for
  # deadlocked, though what they wait for may come from a client. And to write to a pipe is allowed in a signal handler.
  class Commands
    def initialize
      @commands = Queue.new
      @reader, @writer = IO.pipe
    end

    # From any thread, and in signal handlers.
    # @param command [Object] mostly a Symbol
    # @return [Commands] self
    def <<(command)
      @commands << command
      @writer.write_nonblock(".")
      self
    rescue IO::WaitWritable, IOError
      self # Full: it is readable anyway. Closed: nobody waits any more.
    end

    # Waits for the next one.
    # @return [Object] :closed once nobody is to wait any more
    def pop
      @reader.readpartial(1)
      @commands.pop
    rescue IOError
      :closed
    end

    # @return [IO] readable when there is one
    def to_io
      @reader
    end

    # @return [Array<Object>] those that there are, without waiting
    def take
      nil while @reader.read_nonblock(4096, exception: false).is_a?(String)
      Array.new(@commands.size) { @commands.pop }
    end

    # Nobody will wait any more.
    def close
      @writer.close
      @reader.close
    end
  end
end
