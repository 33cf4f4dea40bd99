# frozen_string_literal: true

require_relative "callbacks"

module Volador
  module Push
    # Iodine's first form: `env['upgrade.websocket'] = handler`. The handler's `on_open` runs after the handshake, and
    # before any other callback. A handler without a `write` or `close` of its own is given them, by extending that one
    # object; its class is left alone.
    class UpgradeCallbacks < Callbacks
      # `write` and `close` of a handler. One handler object may serve several connections (a module, a constant): the
      # connection meant is the one whose callback runs in this thread, else the one that was opened last.
      module Write
        # @param data [#to_s] sent as by {Writer#write}
        # @return [Boolean] false once the connection is closed
        def write(data)
          UpgradeCallbacks.writer_of(self)&.write(data) || false
        rescue ClosedError
          false
        end
      end

      # See {Write}.
      module Close
        # Closes the connection once what was written has been sent.
        # @return [nil]
        def close
          UpgradeCallbacks.writer_of(self)&.close
          nil
        end
      end

      # Where a thread has the callbacks that run in it at the moment, in whatever Fiber.
      CURRENT = :volador_upgrade_callbacks
      # Where a handler keeps its own writer.
      WRITER = :@_volador_writer
      IVAR_GET = Kernel.instance_method(:instance_variable_get)
      private_constant :CURRENT, :WRITER, :IVAR_GET

      class << self
        # An application may give a class, whose instances are then the handlers, one per connection.
        # @param given [Object] env['upgrade.websocket']
        # @return [Object] the handler
        def handler(given)
          Class === given && !callbacks?(given) ? given.new : given
        end

        # @return [Writer, nil]
        def writer_of(handler)
          current = Thread.current.thread_variable_get(CURRENT)
          return current.writer if current&.handler.equal?(handler)

          IVAR_GET.bind_call(handler, WRITER)
        end

        private

        def callbacks?(object)
          %i[on_open on_message on_close].any? { |name| handles?(object, name) }
        end
      end

      # @return [Writer]
      attr_reader :writer

      def initialize(handler, writer, log, resumed: false)
        super
        # on_open may still run in the thread of the request when the first message is dispatched to another.
        @gate = Mutex.new
        equip
      end

      def opened
        during { handler.on_open if handles?(:on_open) }
      rescue ClosedError
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        failed(:on_open, e)
      end

      # `on_resume`, or `on_open` where there is none.
      def resumed
        super
        during { handles?(:on_resume) ? handler.on_resume : (handler.on_open if handles?(:on_open)) }
      rescue ClosedError
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException
        raise if forked?

        failed(:on_resume, e)
      end

      def message(data)
        during { super }
      end

      def hand_over
        during { super }
      end

      def close
        during { super }
      end

      private

      # A frozen handler, or one that has no singleton class, stays as it is.
      def equip
        return if call_kernel(:frozen?)

        call_kernel(:extend, Write) unless handles?(:write)
        call_kernel(:extend, Close) unless handles?(:close)
        call_kernel(:instance_variable_set, WRITER, @writer)
      rescue NoMethodError, TypeError
        nil
      end

      # A BasicObject that forwards to another object has that one equipped, which will be the one that writes. Others have
      # no such methods.
      def call_kernel(method, *arguments)
        handler.__send__(method, *arguments)
      rescue StandardError
        Kernel.instance_method(method).bind_call(handler, *arguments)
      end

      def during
        @gate.synchronize do
          thread = Thread.current
          before = thread.thread_variable_get(CURRENT)
          thread.thread_variable_set(CURRENT, self)
          begin
            yield
          ensure
            thread.thread_variable_set(CURRENT, before)
          end
        end
      end
    end
  end
end
