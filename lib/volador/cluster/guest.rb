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
      private_constant :GRACE, :NOBODY

      # Joins the gateway that a control socket belongs to. The second time for the same one it is the same guest.
      # @param control_socket [String, nil] nil: of the server that runs in the present folder
      # @return [Guest]
      # @raise [ControlClient::Unreachable]
      def self.connect(control_socket = nil)
        answer = ControlClient.new(control_socket).ask({ do: "link" })
        link = answer&.fetch(:link, nil) || raise(ControlClient::Unreachable, "the server is ending")
        Server.running.find { |one| one.is_a?(Guest) && one.link == link } || new(link).join.listen
      rescue SystemCallError => e
        raise ControlClient::Unreachable, "the server cannot be joined: #{e.message}"
      end

      # @return [String] the link's path
      attr_reader :link

      # @param link [String]
      # @param log [Log]
      def initialize(link, log: Log.new)
        @link = link
        @log = log
        @pid = Process.pid
        @ended = false
        @lock = Mutex.new
      end

      # @return [Guest] self
      # @raise [Error, SystemCallError] when there is no gateway
      def join
        @worker = NativeWorker.make(Configuration.new(threads: 1, env: {}), multiprocess: true)
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
        finish(leave: reason != :lost) if reason
      rescue Error, SystemCallError => e
        @log.error("a guest has lost its gateway", e) unless @ended
        finish(leave: false)
      end

      def finish(leave:)
        return if @pid != Process.pid

        @lock.synchronize do
          return if @ended

          @ended = true
        end
        begin
          end_here
        ensure
          # Last: the gateway is told what was dropped.
          @worker.leave if leave
        end
        nil
      end

      def end_here
        Server.remove(self)
        PubSub.leave(listeners, Server.running.map(&:listeners))
        @worker.stop
        # Not by one of the application threads themselves: a block may close its guest.
        @threads.kill(GRACE) unless @threads.current?
      end
    end
  end
end
