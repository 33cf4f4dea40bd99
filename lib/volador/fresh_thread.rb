# frozen_string_literal: true

module Volador
  # A thread of the server's own. It may be ended and interrupted from the start, whoever starts it: Ruby gives a new thread
  # what its maker holds off at that moment (Thread.handle_interrupt), and some are started in the midst of a change of a
  # {SteadyLock}, or by an application that holds off what it likes. That would stay for the whole life of the thread: no
  # Timeout would end a call in it, and no program that wants to end could end it.
  module FreshThread
    # @param name [String]
    # @yield in the thread
    # @return [Thread]
    # @raise [ThreadError] when the system has none
    def self.start(name, &block)
      Thread.new { Thread.handle_interrupt(Object => :immediate, &block) }.tap { |thread| thread.name = name }
    end

    # For an entry of the log or a line on stdout that must not hold up whoever has it: what the application has put in the
    # place of a stream may keep for good who writes to it. In the caller when the system has no thread.
    # @param seconds [Numeric] that the caller waits at most
    # @yield writes it
    def self.note(seconds, &block)
      start("volador note", &block).join(seconds)
    rescue ThreadError
      yield
    end
  end
end
