# frozen_string_literal: true

module Volador
  module Push
    # What a String becomes on its way out: text when it is valid UTF-8 (or US-ASCII), else binary. The extension looks
    # at the encoding; this brings other encodings into one that it knows.
    module Payload
      # @param string [String]
      # @return [String] in UTF-8; BINARY stays what it is, and what can't be converted keeps the bytes that it has
      def self.of(string)
        case string.encoding
        when Encoding::UTF_8, Encoding::US_ASCII, Encoding::BINARY then string
        else string.encode(Encoding::UTF_8)
        end
      rescue EncodingError
        string
      end
    end
  end
end
