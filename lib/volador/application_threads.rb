# frozen_string_literal: true

require_relative "application_thread"
require_relative "clock"
require_relative "event"
require_relative "fresh_thread"
require_relative "pub_sub/listeners"
require_relative "push/connections"
require_relative "push/hints"
require_relative "push/interceptor"
require_relative "push/surrounded_connections"

module Volador
  # The Ruby threads that run the application for one native worker, with what they share: the handlers of push
  # connections and the blocks of subscriptions. The same whether the gateway is in this process or in another.
  class ApplicationThreads
    # @return [PubSub::Listeners] of the process's own subscriptions
    attr_reader :listeners

    # @param worker [Native::Worker]
    # @param log [Log]
    # @param development [Boolean] see {Push::Hints}
    def initialize(worker, log, development: false)
      @worker = worker
      @log = log
      @listeners = PubSub::Listeners.new(worker, log)
      @connections = connections(Push::Hints.new(log, development: development))
      @threads = []
    end

    # @param app [#call] the root of the application's stack, which is prepared for push here
    # @param count [Integer] how many threads
    def start(app, count)
      found = Push::Interceptor.install(app)
      # One by one: when the system has no more threads, those that have begun can be ended.
      count.times do |index|
        thread = ApplicationThread.new(seat: @worker.seat, app: found.app, direct: found.direct,
                                       connections: @connections, log: @log, name: "volador #{index + 1}")
        # Before it begins: who is interrupted here would lose it.
        @threads << thread
        thread.start
      end
    end

    # See {Volador.broadcast}.
    def broadcast(pattern, data)
      data.is_a?(Event) ? @worker.broadcast_event(pattern, *data) : @worker.broadcast(pattern, data)
    end

    # See {Volador.publish}.
    # @return [Boolean]
    def publish(channel, data)
      data.is_a?(Event) ? @worker.publish_event(channel, *data) : @worker.publish(channel, data)
    end

    # @return [Integer] push connections that have a handler
    def handlers
      @connections.size
    end

    # @return [Boolean] the caller is one of them: the application, or a callback
    def current?
      @threads.any?(&:current?)
    end

    # Waits for their end, which comes when the worker has stopped and no job is left.
    # @param seconds [Numeric] for all of them together
    # @return [Boolean] whether it has come
    def join(seconds)
      deadline = Clock.now + seconds
      @threads.all? { |thread| thread.join([deadline - Clock.now, 0].max) }
    end

    # Ends those that still run, whatever they do. What blocks of subscriptions had still to be told is dropped and counted.
    # @param seconds [Numeric] that each of them is waited for then
    # @param counted [Boolean] there is a gateway still that has the count
    def kill(seconds, counted: true)
      @threads.each { |thread| thread.kill unless thread.join(0) }
      @threads.each { |thread| thread.join(seconds) }
      @connections.abandon
      tell_dropped(@worker.drop_published, seconds, counted)
    end

    private

    def tell_dropped(count, seconds, counted)
      return if count.zero?

      where = ", and counted in Volador.stats[:dropped_block]" if counted
      FreshThread.note(seconds) do
        @log.warn("#{count} publication#{'s' unless count == 1} that waited for blocks of subscriptions when the threads were " \
                  "ended #{count == 1 ? 'is' : 'are'} dropped#{where}")
      end
    end

    # @return [Push::Connections]
    def connections(hints)
      surroundings = Push::SurroundedConnections.surroundings
      return Push::Connections.new(@listeners, log: @log, hints: hints) unless surroundings

      Push::SurroundedConnections.new(surroundings, @listeners, log: @log, hints: hints)
    end
  end
end
