# frozen_string_literal: true

require_relative "../../event"
require_relative "messages"
require_relative "subjects"

module Volador
  module Compat
    module Agoo
      # What Agoo's clients understand beyond those of Volador; prepended to {Push::Client}. Calls with keywords or
      # blocks are those of others, and go on to them.
      module ClientForms
        # @return [Symbol, nil] nil once the connection is closed
        def protocol
          super if open?
        end

        # @param data [#to_s, Event]
        # @param fields [Hash] see {Push::Client#write}; of an event stream's the type is "msg" unless they name another
        # @return [Boolean] false once the connection is closed
        def write(data, **fields)
          return super if data.is_a?(Event)

          data = data.to_s unless data.is_a?(String)
          fields = { event: Messages::EVENT, **fields } if protocol == :sse
          super(data, **fields)
        end

        # @param subject [#to_s] "people.fred"; "*" stands for one token, a last ">" for any tail
        # @return [Object, nil] nil once the connection is closed
        def subscribe(*given, **named, &block)
          return super unless given.size == 1 && named.empty? && block.nil? && !given[0].is_a?(Hash)

          name, match = Subjects.read(given[0])
          # First, so that an end of the connection or an Agoo.unsubscribe meanwhile finds it.
          Agoo.subjects.add(self, name)
          subscription = match ? super(name, match: match) : super(name)
        ensure
          # The name was refused, or the connection is closed.
          Agoo.subjects.delete(self, name) if name && !subscription
        end

        # @param subject [#to_s, nil] none: all that were subscribed to in this form
        # @return [Boolean] whether there was one
        def unsubscribe(subject = nil, **named)
          return super unless named.empty?
          return Agoo.subjects.forget(self).map { |name| unsubscribe(name) }.any? if subject.nil?

          name, match = Subjects.read(subject)
          Agoo.subjects.delete(self, name)
          match ? super(name, match: match) : super(name)
        end

        # @param given [Array] subject and message, see {Agoo.publish}
        def publish(*given, **named)
          return super unless given.size == 2 && named.empty?

          super(given[0].to_s, Messages.published(given[1]))
        end

        # @api private
        def ended
          super
          Agoo.subjects.forget(self)
        end
      end
    end
  end
end
