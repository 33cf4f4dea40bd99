# frozen_string_literal: true

require_relative "../application_threads"
require_relative "../configuration"
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
        @worker.ready
        Server.add(self)
        @watch = Thread.new { watch }
        @watch.name = "volador guest"
        self
      end

      # The subscriptions of this process are served from now on.
      # @return [Guest] self
      def listen
        @lock.synchronize do
          break if @listening || @ended

          @listening = true
          @threads.start(NOBODY, 1)
          PubSub.serve(listeners)
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

      # Leaves; what was published before is sent. Does nothing the second time.
      # @return [nil]
      def close
        finish(leave: true)
      end
      alias stop close
      alias halt close

      private

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
        Server.remove(self)
        PubSub.leave(listeners, Server.running.map(&:listeners)) if @listening
        @worker.stop
        @worker.leave if leave
        # Not by one of the application threads themselves: a block may close its guest.
        @threads.kill(GRACE) unless Thread.current.name.to_s.start_with?("volador ")
        nil
      end
    end
  end
end
