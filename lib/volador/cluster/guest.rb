# frozen_string_literal: true

require_relative "../application_threads"
require_relative "../configuration"
require_relative "../fresh_thread"
require_relative "../log"
require_relative "../native_worker"
require_relative "../pub_sub"
require_relative "../publishing"
require_relative "../server"
require_relative "control_client"

module Volador
  module Cluster
    # A process that is joined to a gateway without taking requests: a console, a script, or a mold. While it is,
    # `Volador.publish`, `broadcast`, `subscribe` and `stats` work in it as they do in a worker.
    class Guest
      include Publishing

      # Seconds that a thread has to end.
      GRACE = 1.0
      # What is never called: a guest is given no requests.
      NOBODY = ->(_env) { [503, {}, []] }
      LOST = "the link to the server is lost: nothing that is published, here or elsewhere, reaches this process or leaves it " \
             "until it calls Volador.connect again"
      NO_NEED = "this process is one of that server's: Volador.publish, broadcast, subscribe and stats work here without " \
                "Volador.connect (in a worker once it has booted)"
      private_constant :GRACE, :NOBODY, :LOST, :NO_NEED

      # Held by the thread that connects.
      @connecting = Mutex.new

      class << self
        # Joins the gateway that a control socket belongs to. The second time for the same one it is the same guest.
        # @param control_socket [String, nil] nil: of the server that runs in the present folder
        # @return [Guest]
        # @raise [ControlClient::Unreachable]
        # @raise [Error] in a process of that server
        def connect(control_socket = nil)
          answer = ControlClient.new(control_socket).ask({ do: "link" })
          link = answer&.fetch(:link, nil) || raise(ControlClient::Unreachable, "the server is ending")
          raise Error, NO_NEED if @home == [Process.pid, link]

          # Two guests of one process would be told everything twice.
          @connecting.synchronize { connected(link) || new(link).join.listen }
        rescue SystemCallError => e
          raise ControlClient::Unreachable, "the server cannot be joined: #{e.message}"
        end

        # This process, and none that is forked from it, is one of the server whose link that is.
        # @api private
        # @param link [String]
        def at_home(link)
          @home = [Process.pid, link].freeze
        end

        private

        # @return [Guest, nil]
        def connected(link)
          Server.running.find { |one| one.is_a?(Guest) && one.link == link && !one.ended? }
        end
      end

      # @return [String] the link's path
      attr_reader :link

      # @param link [String]
      # @param configuration [Configuration]
      # @param log [Log]
      # @param on_loss [#call, nil] called once it has lost its gateway, by a thread that may wait; nil: the log says so
      def initialize(link, configuration: Configuration.new(threads: 1, env: {}), log: Log.new, on_loss: nil)
        @link = link
        @configuration = configuration
        @log = log
        @on_loss = on_loss || -> { log.warn(LOST) }
        @pid = Process.pid
        @ended = false
        @lock = Mutex.new
      end

      # @return [Guest] self
      # @raise [Error, SystemCallError] when there is no gateway
      def join
        @worker = NativeWorker.make(@configuration, multiprocess: true)
        @threads = ApplicationThreads.new(@worker, @log)
        @worker.join(@link, number: 0, generation: 0, threads: 0)
        or_leave do
          @worker.ready
          Server.add(self)
          @watch = FreshThread.start("volador guest") { watch }
        end
        self
      end

      # The subscriptions of this process are served from now on.
      # @return [Guest] self
      def listen
        return self if @listening

        or_leave do
          @lock.synchronize do
            break if @listening || @ended

            @threads.start(NOBODY, 1)
            PubSub.serve(listeners)
            # Last: others return at once, and publish.
            @listening = true
          end
        end
        self
      end

      # @return [Hash{Symbol => Integer, Float}] of the whole cluster
      def stats
        @worker.gateway_stats
      end

      # @return [Boolean] it has left, or has lost its gateway
      def ended?
        @ended
      end

      # Leaves; what was published before is sent. A block that runs is cut off, unless it is the one that calls this. Does
      # nothing the second time.
      # @return [nil]
      def close
        finish(leave: true)
        nil
      end
      alias stop close
      alias halt close

      private

      # A guest is whole, or it is none.
      def or_leave
        complete = false
        yield
        complete = true
      ensure
        finish(leave: true) unless complete
      end

      # The gateway says that it ends, or is gone.
      def watch
        reason = nil
        until reason || @ended
          @worker.beat
          reason = @worker.wait_end(1.0)
        end
        lost = reason == :lost
        @on_loss.call if reason && finish(leave: !lost) && lost
      rescue Error, SystemCallError => e
        @log.error("a guest has lost its gateway", e) unless @ended
        @on_loss.call if finish(leave: false)
      end

      # @return [Boolean] whether it had not ended before
      def finish(leave:)
        return false if @pid != Process.pid

        @lock.synchronize do
          return false if @ended

          @ended = true
        end
        begin
          end_here(counted: leave)
        ensure
          # Last: the gateway is told what was dropped.
          @worker.leave if leave
        end
        true
      end

      def end_here(counted:)
        Server.remove(self)
        PubSub.leave(listeners, Server.running.map(&:listeners))
        @worker.stop
        # Not by one of the application threads themselves: a block may close its guest.
        @threads.kill(GRACE, counted: counted) unless @threads.current?
      end
    end
  end
end
