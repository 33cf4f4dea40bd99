# frozen_string_literal: true

require "json"

module Volador
  module Compat
    module Iodine
      # `Iodine::JSON`: Ruby's parser, whose errors are of the class that the gem's are. Strict, where the gem's lets
      # comments and hexadecimal numbers pass.
      module JSON
        class << self
          # @param text [String]
          # @param options [Hash] of Ruby's parser: symbolize_names
          # @raise [EncodingError] for what is no JSON
          def parse(text, options = {})
            ::JSON.parse(text, options)
          rescue ::JSON::ParserError => e
            raise EncodingError, "malformed JSON: #{e.message}"
          end
          alias parse! parse
        end
      end
    end
  end
end
