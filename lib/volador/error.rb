# frozen_string_literal: true

# The exceptions of Volador. Loaded before the extension, which raises some of them.
module Volador
  # What every exception of Volador that is not an IOError descends from.
  class Error < StandardError; end

  # An option has a value that it cannot have. The message names the option, what it may be, and what it got.
  class ConfigurationError < Error; end

  # The server cannot start: an address is in use or not allowed, or `config.ru` is missing or broken. The message is
  # one line that says what to do; the cause is the original exception.
  class BootError < Error
    # @api private
    # @return [String, nil] the exception with its backtrace, when another process has met it
    attr_accessor :details
  end

  # The application's answer is not a valid Rack response. Logged; the client gets a plain 500.
  class ResponseError < Error; end

  # A write to a push connection that is closed. Stop writing: `on_close` has been called, or will be.
  class ClosedError < IOError
    def initialize(message = "the push connection is closed: stop writing to it once on_close has been called")
      super
    end
  end

  # The client left while its response was being streamed. Raised out of the body's `each` (or out of the stream's
  # `write`), so that the application can stop producing; never logged as an error.
  class ClientGone < IOError; end
end
