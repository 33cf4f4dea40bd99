# frozen_string_literal: true

module Volador
  module Compat
    # What is published under Iodine and Agoo is text wherever it can be. Their applications make messages of what is in
    # the env or has come in as binary, and both are BINARY in Ruby, whatever they contain.
    module Text
      # @param message [Object]
      # @return [Object] a BINARY String that is valid UTF-8 as a UTF-8 copy; all else as it is
      def self.of(message)
        return message unless message.is_a?(String) && message.encoding == Encoding::BINARY

        text = message.dup.force_encoding(Encoding::UTF_8)
        text.valid_encoding? ? text : message
      end
    end
  end
end
