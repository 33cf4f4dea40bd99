# frozen_string_literal: true

require_relative "../../pub_sub"
require_relative "../../server"

module Volador
  module Compat
    module Iodine
      # `Iodine::PubSub`: engines, over those of {Volador::PubSub}.
      module PubSub
        # The parent of an application's engines. All of its methods may be overridden; none has to call it.
        class Engine
          # @param _channel [String]  @param _match [Symbol, nil] :redis for patterns
          def subscribe(_channel, _match = nil); end

          # @param _channel [String]  @param _match [Symbol, nil] :redis for patterns
          def unsubscribe(_channel, _match = nil); end

          # @return [Boolean] false: this one goes nowhere
          def publish(_channel, _message)
            false
          end
        end

        # For `is_a?`. Volador has no client of Redis.
        class Redis < Engine
          def initialize(*, **) # rubocop:disable Lint/MissingSuper
            raise NotImplementedError, "Volador brings no Redis engine: write an engine with the gem redis, as " \
                                       "docs/pubsub.md shows, and hand it to Iodine::PubSub.attach and .default="
          end
        end

        # An application's engine as Volador tells it of subscriptions: the names of the matches are Iodine's.
        class Attached
          def initialize(engine)
            @engine = engine
          end

          def subscribe(channel, match)
            @engine.subscribe(channel, name(match))
          end

          def unsubscribe(channel, match)
            @engine.unsubscribe(channel, name(match))
          end

          private

          def name(match)
            match == :glob ? :redis : match
          end
        end

        # There is one process, so these are the same: the subscribers of this process.
        CLUSTER = PROCESS = Volador::PubSub::Local

        # Attached engines, by identity.
        @attached = {}.compare_by_identity
        @lock = Mutex.new

        class << self
          # @return [#publish]
          def default
            Volador::PubSub.default
          end

          # @param engine [#publish, nil]
          def default=(engine)
            Volador::PubSub.default = engine
          end

          # @param engine [Engine] told of subscriptions from now on, and of those that there are
          # @return [Engine]
          def attach(engine)
            Volador::PubSub.attach(attached(engine))
            engine
          end
          alias reset attach

          # @param engine [Engine]
          # @return [Engine]
          def detach(engine)
            one = @lock.synchronize { @attached.delete(engine) }
            Volador::PubSub.detach(one) if one
            Volador::PubSub.detach(engine)
            engine
          end
          # The older name.
          alias dettach detach

          private

          def attached(engine)
            return engine if engine.equal?(CLUSTER)

            @lock.synchronize { @attached[engine] ||= Attached.new(engine) }
          end
        end
      end
    end
  end
end
