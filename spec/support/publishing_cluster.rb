# frozen_string_literal: true

# For specs of publishing in a cluster.
module PublishingCluster
  # Publishes what its path says; its clients are subscribed.
  APP = <<~'RUBY'
    class App
      def call(env)
        case env["PATH_INFO"]
        when %r{\A/publish/(\w+)} then [200, {}, [Volador.publish("news", $1).inspect]]
        when %r{\A/broadcast/(\w+)} then [200, {}, [Volador.broadcast("/rooms/*", $1).inspect]]
        when "/stats"
          [200, {}, [Volador.stats.values_at(:websocket_connections, :subscriptions, :handlers).inspect]]
        when %r{\A/rooms/}
          env["rack.upgrade"] = Client if env["rack.upgrade?"]
          [200, {}, []]
        else [200, {}, [Process.pid.to_s]]
        end
      end
    end

    module Client
      def self.on_open(client)
        client.subscribe("news")
        client.write(Process.pid.to_s)
      end
    end
    run App.new
  RUBY

  # `cut.call` ends the links of its process, as it sees them.
  CUT = <<~'RUBY'
    require "socket"
    cut = lambda do
      Dir.children("/proc/self/fd").each do |descriptor|
        socket = Socket.for_fd(Integer(descriptor)).tap { |one| one.autoclose = false }
        socket.shutdown if socket.remote_address.unix_path.end_with?("/link.sock")
      rescue SystemCallError, ArgumentError, SocketError, TypeError
        nil # Another descriptor.
      end
    end
  RUBY

  # @return [Array<WebSocketClient>] whose handlers are in both workers
  def clients(cluster)
    found = Array.new(8) { |index| WebSocketClient.open(cluster.port, "/rooms/#{index}") }
    pids = found.map { |client| client.read_message.to_i }
    expect(pids.uniq).to match_array(cluster.workers)
    found
  end

  def close(clients)
    clients.each(&:close_socket)
  end
end
