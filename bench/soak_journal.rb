# frozen_string_literal: true

module Bench
  # What the handlers of bench/apps/soak.ru were told, as they have noted it.
  class SoakJournal
    # @param path [String]
    def initialize(path)
      @path = path
    end

    # @return [Integer] messages that were handled, each counted once
    def messages = count("message").size

    # @return [Integer] messages that were handled more than once
    def doubled = count("message").count { |_, times| times > 1 }

    # @return [Integer] messages whose handling has come to its end
    def done = count("done").size

    # @return [Integer] connections that were told that they are closed
    def closes = count("close").size

    # @return [Integer] connections that were told so more than once
    def closed_again = count("close").count { |_, times| times > 1 }

    private

    def count(kind)
      File.foreach(@path, chomp: true).select { |line| line.start_with?(kind) }.tally
    end
  end
end
