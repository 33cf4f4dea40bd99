# frozen_string_literal: true

require_relative "output"

module Volador
  # Where the server writes what an operator has to know: one entry per event, each of them one line that starts with
  # its level; an application's exception is followed by its backtrace. Lines that follow are indented, whatever is in
  # them, and other control characters are shown: what clients send, a channel's name say, can't pass for an entry.
  #
  #     volador WARN: the drain timeout of 25.0 s is over: ...
  #     volador ERROR: GET /boom: undefined method `x' for nil:NilClass (NoMethodError)
  #     	config.ru:3:in `call'
  #
  # Thread-safe, waits for nobody who reads it ({Output}), and raises nothing, whatever an application's exception does when
  # it is asked for its message. Not to be used inside of a signal handler, where Ruby allows no Mutex.
  class Log
    # Causes of an exception that are shown.
    CAUSES_MAX = 20
    # Characters of an exception's message: one that a method is missing for may have the whole env in it.
    MESSAGE_MAX = 2000
    # Encodings whose bytes are taken for UTF-8.
    BYTES = [Encoding::UTF_8, Encoding::BINARY, Encoding::US_ASCII].freeze
    # What ends a line, or a terminal obeys. Not the tab.
    CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/.freeze
    # By these, since exceptions and their classes may have methods of the same names.
    CLASS_OF = Kernel.instance_method(:class)
    NAME_OF = Module.instance_method(:to_s)
    private_constant :CAUSES_MAX, :MESSAGE_MAX, :BYTES, :CONTROLS, :CLASS_OF, :NAME_OF

    # @param io [#write, nil] where to; nil: whatever $stderr is at that moment
    # @param quiet [Boolean] leave out what is merely informative
    def initialize(io = nil, quiet: false)
      @io = io
      @quiet = quiet
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
    # @param error [Exception, nil] its class, message (2,000 characters at most), backtrace and the first 20 causes follow
    # @param details [String, nil] what follows instead: what another process has said of an exception
    def error(message, error = nil, details: error && describe(error))
      write("ERROR", message, details)
    end

    private

    def write(level, message, details = nil)
      entry = "volador #{level}: #{shown(text { message })}#{": #{indented(text { details })}" if details}\n"
      Output.write(@io || $stderr, entry)
    end

    def indented(text)
      text.split(/\r?\n/).map { |line| shown(line.delete_prefix("\t")) }.join("\n\t")
    end

    def shown(text)
      text.gsub(CONTROLS) { |character| character.dump[1..-2] }
    end

    def describe(error)
      lines = [summary(error), *backtrace(error).map { |line| "\t#{line}" }]
      causes(error).each { |cause| lines << "caused by: #{summary(cause)}" << "\t#{backtrace(cause).first}" }
      lines.join("\n")
    end

    # An application may override `cause`, so that it comes back to where it was; and where a thread was killed and raises
    # on its way out, Ruby gives a number.
    def causes(error)
      shown = {}.compare_by_identity
      until shown.size > CAUSES_MAX || shown.key?(error)
        shown[error] = true
        error = attempt { error.cause }
        break unless Exception === error # rubocop:disable Style/CaseEquality
      end
      shown.keys.drop(1)
    end

    def summary(error)
      message = text { error.message }
      message = "#{message[0, MESSAGE_MAX]}... (cut, of #{message.size} characters)" if message.size > MESSAGE_MAX
      name = "(#{text { NAME_OF.bind_call(CLASS_OF.bind_call(error)) }})"
      message.empty? ? name : "#{message} #{name}"
    end

    # @return [Array<String>]
    def backtrace(error)
      attempt { [].replace(error.backtrace) }.to_a.map { |line| text { line } }
    end

    # @return [String] UTF-8, of what the block returns; empty when it raises
    def text
      # A String of its own: a subclass may have other methods.
      utf8(attempt { String.new.replace("#{yield}") } || "") # rubocop:disable Style/RedundantInterpolation
    end

    # What the block calls is the application's, and may raise anything.
    def attempt
      yield
    rescue Exception # rubocop:disable Lint/RescueException
      nil
    end

    def utf8(text)
      return text.dup.force_encoding(Encoding::UTF_8).scrub("?") if BYTES.include?(text.encoding)

      text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace, replace: "?")
    rescue EncodingError
      # There is no way from some encodings to UTF-8.
      text.b.force_encoding(Encoding::UTF_8).scrub("?")
    end
  end
end
