# frozen_string_literal: true

module Volador
  # Where the server writes what an operator has to know: one entry per event, each of them one line that starts with
  # its level; an application's exception is followed by its backtrace.
  #
  #     volador WARN: the drain timeout of 25.0 s is over: ...
  #     volador ERROR: GET /boom: undefined method `x' for nil:NilClass (NoMethodError)
  #     	config.ru:3:in `call'
  #
  # Thread-safe. Not to be used inside of a signal handler, where Ruby allows no Mutex.
  class Log
    # @param io [#write, nil] where to; nil: whatever $stderr is at that moment
    # @param quiet [Boolean] leave out what is merely informative
    def initialize(io = nil, quiet: false)
      @io = io
      @quiet = quiet
      @lock = Mutex.new
    end

    # @param message [String]
    def info(message)
      write("INFO", message) unless @quiet
    end

    # @param message [String]
    def warn(message)
      write("WARN", message)
    end

    # @param message [String]
    # @param error [Exception, nil] its class, message, backtrace and causes follow
    def error(message, error = nil)
      write("ERROR", error ? "#{message}: #{describe(error)}" : message)
    end

    private

    def write(level, message)
      entry = "volador #{level}: #{message}\n"
      @lock.synchronize { (@io || $stderr).write(entry) }
    rescue IOError, SystemCallError
      nil # A log that cannot be written must not end the server.
    end

    def describe(error)
      lines = [summary(error), *error.backtrace&.map { |line| "\t#{line}" }]
      while (error = error.cause)
        lines << "caused by: #{summary(error)}" << "\t#{error.backtrace&.first}"
      end
      lines.join("\n")
    end

    # An application may override `message` and may raise there as well.
    def summary(error)
      "#{error.message.to_s.scrub('?')} (#{error.class})"
    rescue StandardError
      "(#{error.class})"
    end
  end
end
