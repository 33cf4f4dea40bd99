# frozen_string_literal: true

require_relative "../../event"
require_relative "../../push/payload"
require_relative "../text"

module Volador
  module Compat
    module Agoo
      # What Agoo sends to event streams has the type "msg", and pages written for it listen to that:
      # `source.addEventListener("msg", ...)`. WebSockets and blocks get the text alone.
      module Messages
        # The type of events.
        EVENT = "msg"
        TEXT = [Encoding::UTF_8, Encoding::US_ASCII].freeze
        private_constant :TEXT

        # @param message [Object] to be published
        # @return [Object] an Event for a String that is text; an Event has its own type, and binary has none
        def self.published(message)
          return message unless message.is_a?(String)

          text = Push::Payload.of(Text.of(message))
          TEXT.include?(text.encoding) && text.valid_encoding? ? Event.new(text, event: EVENT) : message
        end
      end
    end
  end
end
