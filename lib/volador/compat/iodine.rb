# frozen_string_literal: true

require "forwardable"
require "json"
require "volador"
require_relative "tasks"

raise LoadError, "the gem iodine is loaded already: volador/compat/iodine stands in for it" if defined?(Iodine)

# The application's own `require "iodine"` finds what is here.
$LOADED_FEATURES << "iodine.rb"

# What applications call of Iodine 0.7, for one process: pub/sub, tasks and hooks. Serving is Volador's.
module Iodine
  JSON = ::JSON
  # Hooks by what happens to a server here; those of processes that fork are taken and never called.
  STATES = {
    pre_start: :started, on_start: :started, enter_child: :started, enter_master: :started,
    start_shutdown: :draining, on_finish: :stopped,
    before_fork: nil, after_fork: nil, on_child_crush: nil, on_parent_crush: nil, on_idle: nil
  }.freeze
  private_constant :STATES

  # Engines, see {Volador::PubSub}.
  module PubSub
    # What an engine may descend from.
    class Engine
      def subscribe(_channel, _match = nil)
        true
      end

      def unsubscribe(_channel, _match = nil)
        true
      end

      def publish(channel, message)
        Volador::PubSub::Local.publish(channel, message)
      end
    end

    # There is one process.
    CLUSTER = PROCESS = Volador::PubSub::Local

    class << self
      extend Forwardable

      def_delegators Volador::PubSub, :attach, :detach, :default, :default=
    end
  end

  @log = Volador::Log.new
  @tasks = Volador::Compat::Tasks.new(@log)
  @hooks = Hash.new { |hooks, state| hooks[state] = [] }

  class << self
    # @return [Boolean]
    def publish(channel, message, engine = nil)
      Volador.publish(channel, message, engine: engine)
    end

    # @return [Volador::PubSub::Subscription]
    def subscribe(channel, match: nil, handler: nil, &block)
      Volador.subscribe(channel, match: match, handler: handler, &block)
    end

    # @return [Boolean]
    def unsubscribe(channel, match: nil)
      Volador.unsubscribe(channel, match: match)
    end

    # Runs the block soon, on another thread, once a server runs.
    # @return [Proc] the block
    def run(&block)
      @tasks.add(0, &block)
      block
    end
    alias defer run

    # @param milliseconds [Numeric]
    # @return [Proc] the block
    def run_after(milliseconds, &block)
      @tasks.add(milliseconds / 1000.0, &block)
      block
    end

    # @param milliseconds [Numeric]
    # @param repetitions [Integer] 0 for no end
    # @return [Proc] the block
    def run_every(milliseconds, repetitions = 0, &block)
      @tasks.add(milliseconds / 1000.0, every: true, times: repetitions.positive? ? repetitions : nil, &block)
      block
    end

    # Calls the block when a server starts (:pre_start, :on_start, :enter_child, :enter_master), begins to stop
    # (:start_shutdown) or has stopped (:on_finish).
    # @return [Proc] the block
    def on_state(event, &block)
      state = STATES.fetch(event) { raise ArgumentError, "on_state knows #{STATES.keys.join(', ')}, got #{event.inspect}" }
      @hooks[state] << block if state
      block
    end

    # @return [Boolean]
    def running?
      Volador::Server.running.any?
    end

    # @return [true] there is one process
    def master?
      true
    end

    # @return [true] there is one process
    def worker?
      true
    end

    # @return [Integer] 0, "the server decides"
    def threads
      0
    end

    # @return [Integer] 0, "the server decides"
    def workers
      0
    end

    def threads=(count)
      @log.warn("Iodine.threads = #{count} has no effect: start volador with -t #{count}")
    end

    def workers=(count)
      @log.warn("Iodine.workers = #{count} has no effect: volador runs in one process")
    end

    # What the servers of this process tell.
    # @api private
    def server_changed(server, state)
      @tasks.start(server.configuration.threads) if state == :started
      @hooks[state].each do |hook|
        hook.call
      rescue Exception => e # rubocop:disable Lint/RescueException
        @log.error("a hook of Iodine.on_state raised", e)
      end
      @tasks.stop if state == :stopped && !running?
    end
  end

  Volador::Server.observers << self
end
