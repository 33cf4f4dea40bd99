# frozen_string_literal: true

require_relative "event"
require_relative "pub_sub/channel"
require_relative "pub_sub/engines"
require_relative "pub_sub/listeners"
require_relative "pub_sub/subscriptions"
require_relative "push/payload"

module Volador
  # Channels: whoever subscribes to one gets what is published to it. `Volador.publish`, `Volador.subscribe` and the
  # clients of push connections come here.
  #
  # An engine carries publications to other processes and machines. It is any object with
  #
  #     subscribe(channel, match)     # somebody of this process is subscribed now; match: nil, :glob or :subject
  #     unsubscribe(channel, match)   # nobody is any more
  #     publish(channel, message)     # -> true or false; send it to all processes. A String, or an Event
  #
  # and hands over what it receives by `Volador::PubSub.publish(channel, message, engine: false)`.
  module PubSub
    # The engine that is there from the start: what is published reaches the subscribers of this process.
    module Local
      # @return [true] nothing is to be done: the gateway has the subscriptions
      def self.subscribe(_channel, _match = nil)
        true
      end

      # @return [true]
      def self.unsubscribe(_channel, _match = nil)
        true
      end

      # @return [Boolean] false when no server runs
      def self.publish(channel, message)
        name = Channel.name(channel)
        payload = message.is_a?(Event) ? message : Push::Payload.of(message)
        # Every one of them, whatever the first says.
        Server.reach.map { |server| server.publish(name, payload) }.any?
      end
    end

    @engines = Engines.new
    @subscriptions = Subscriptions.new(@engines)
    @default = Local

    class << self
      # The engine of publications that name none; {Local} unless it has been set. To be told of subscriptions it has
      # to be attached as well.
      # @return [#publish]
      attr_reader :default

      # @api private
      # @return [Engines]
      attr_reader :engines

      # @param engine [#publish, nil] nil: {Local} again
      # @raise [ArgumentError] for an object that can't publish
      def default=(engine)
        @default = engine ? Engines.check(engine, :publish) : Local
      end

      # Tells the engine of all subscriptions, those that there are and those to come.
      # @param engine [#subscribe, #unsubscribe, #publish]
      # @return [Object] the engine
      # @raise [ArgumentError] for an object that can't be told
      def attach(engine)
        @engines.attach(engine)
        engine
      end

      # @param engine [Object]
      # @return [Boolean] whether it was attached
      def detach(engine)
        @default = Local if @default.equal?(engine)
        @engines.detach(engine)
      end

      # See {Volador.publish}.
      # @param engine [nil, false, #publish] nil: the {default}; false: the subscribers of this process
      # @return [Boolean]
      # @raise [ArgumentError] also for an engine that can't publish
      def publish(channel, message, engine: nil)
        unless message.is_a?(String) || message.is_a?(Event)
          raise TypeError, "what is published must be a String or a Volador::Event, got #{message.class}: call to_s or to_json first"
        end

        engine = carrier(engine)
        name = Channel.name(channel)
        # Whoever subscribes and publishes gets the message: the engine knows of the subscription first.
        @engines.settle unless engine.equal?(Local)
        engine.publish(name, message) ? true : false
      end

      # See {Volador.subscribe}.
      # @return [Subscription]
      def subscribe(channel, match: nil, handler: nil, &block)
        block ||= handler
        raise ArgumentError, "subscribe takes a block, which is called with channel and message" unless block

        @subscriptions.subscribe(channel, match: match, block: block).tap { Server.reach(:subscribe) }
      end

      # See {Volador.unsubscribe}.
      # @return [Boolean]
      def unsubscribe(channel, match: nil)
        @subscriptions.unsubscribe(channel, match: match)
      end

      # @api private
      def serve(listeners)
        @subscriptions.serve(listeners)
      end

      # @api private
      def leave(listeners, others)
        @subscriptions.leave(listeners, others)
      end

      # @api private
      # What has been subscribed to is for processes that will be forked from this one; it begins anew itself.
      # @return [Subscriptions] for {resume}
      def set_aside
        @subscriptions.tap { @subscriptions = Subscriptions.new(@engines) }
      end

      # @api private
      # In a process that has been forked: these are its subscriptions, and it has no others.
      def resume(subscriptions)
        @subscriptions = subscriptions
        @engines.resume(subscriptions.keys)
      end

      private

      # @return [#publish]
      def carrier(engine)
        return @default if engine.nil?

        engine ? Engines.check(engine, :publish) : Local
      end
    end
  end
end
