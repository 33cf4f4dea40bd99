# frozen_string_literal: true

require_relative "../error"

module Volador
  module Push
    # Calls the handler of one push connection: the object that the seed's `on_open` returned. What a callback raises
    # is logged and closes that connection, and nothing else.
    class Callbacks
      # @return [Object] the application's object
      attr_reader :handler

      # @param handler [Object]
      # @param writer [Writer]
      # @param log [Log]
      def initialize(handler, writer, log)
        @handler = handler
        @writer = writer
        @log = log
        @closed = false
      end

      # @return [Integer, nil] the events that are wanted besides the end, as the extension counts them: 1 for messages,
      #   2 for drained, 4 for shutdown; nil when not even the end is
      def interest
        return 1 if @handler.respond_to?(:on_message)

        0 if @handler.respond_to?(:on_close)
      end

      # The handshake has been accepted. The seed's handler was made by `on_open` and is told nothing.
      def opened; end

      # @param data [String] UTF-8 for a text message, BINARY for a binary one
      def message(data)
        @handler.on_message(data) if @handler.respond_to?(:on_message)
      rescue ClosedError
        nil # The client left while it was being answered; on_close follows.
      rescue Exception => e # rubocop:disable Lint/RescueException
        failed(:on_message, e)
      end

      # Calls `on_close` the first time, and only then.
      def close
        return if @closed

        @closed = true
        @handler.on_close if @handler.respond_to?(:on_close)
      rescue Exception => e # rubocop:disable Lint/RescueException
        failed(:on_close, e)
      end

      # The server is gone without telling; there is nothing to let go of.
      def abandon; end

      private

      def failed(callback, error)
        @log.error("#{callback} of #{name} raised, its connection is closed", error)
        @writer.fail
      end

      # `class` and `inspect` of an application's object may be anything; this cannot fail.
      def name
        handler_class = Kernel.instance_method(:class).bind_call(@handler)
        handler_class <= Module ? Module.instance_method(:name).bind_call(@handler) : handler_class
      end
    end
  end
end
