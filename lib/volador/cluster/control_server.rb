# frozen_string_literal: true

require "socket"
require_relative "leftovers"
require_relative "wire"

module Volador
  module Cluster
    # Where `volador status`, `restart`, `stop` and consoles ask: a Unix socket for this user alone. One request a
    # connection, a line of JSON; the answer is another. It never waits: the supervisor's loop calls it.
    class ControlServer
      # Bytes of a request.
      REQUEST_MAX = 65_536
      # Those that come while so many are connected are turned away. And so many are taken in one turn.
      CLIENTS_MAX = 64
      # Seconds in which a request must have come.
      PATIENCE = 10.0
      # What the system says when it has nothing to take a client with. The client stays, so the socket stays readable.
      WANTS = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM].freeze
      # Seconds until clients are looked at again after that, and between two lines in the log about it.
      PAUSE = 0.5
      SILENCE = 60.0
      # Bytes of a text in an answer, which has to fit into the socket's buffer though JSON may make it six times as long.
      TEXT_MAX = 12_288
      private_constant :REQUEST_MAX, :CLIENTS_MAX, :PATIENCE, :WANTS, :PAUSE, :SILENCE, :TEXT_MAX

      # One client.
      class Connection
        # @api private
        # @return [Wire]
        attr_reader :wire
        # @api private
        # @return [Float] when its request must have come
        attr_reader :until

        # @api private
        def initialize(wire, by)
          @wire = wire
          @until = by
        end

        # Answers and closes.
        # @param message [Hash]
        def answer(message)
          @wire.put(message.transform_values { |value| value.is_a?(String) ? value.byteslice(0, TEXT_MAX) : value })
          @wire.close
        end
      end

      # @return [String]
      attr_reader :path

      # @param path [String] of the socket, which is made here; the socket that a killed server has left is replaced
      # @param log [Log]
      # @raise [BootError] when another server has it, or when it cannot be made
      def initialize(path, log:)
        @path = RuntimeDirectory.check_length(path)
        RuntimeDirectory.prepare(path)
        replace
        @server = UNIXServer.new(path)
        File.chmod(0o600, path)
        @leftovers = Leftovers.at(sockets: [path])
        @log = log
        # Those whose request is still to come.
        @connections = []
        # When clients are looked at again, while there is nothing to take them with.
        @paused_until = nil
        # When the log was told of that last.
        @told = nil
      rescue SystemCallError => e
        raise BootError, "the control socket #{path} cannot be made: #{e.message}"
      end

      # @return [Array<IO>] to be waited for
      def ios
        ios = @connections.map { |connection| connection.wire.to_io }
        @paused_until ? ios : [@server, *ios]
      end

      # @return [Float, nil] when {receive} is to be called though nothing is readable
      def at
        [*@connections.map(&:until), @paused_until].compact.min
      end

      # Takes the requests that have come.
      # @param now [Float]
      # @yieldparam request [Hash]
      # @yieldparam connection [Connection] to be answered, then or later
      def receive(now, &block)
        accept(now) unless @paused_until && now < @paused_until
        @connections.dup.each { |connection| look_at(connection, now, &block) }
      end

      # Connections that wait for an answer stay; they end with the process.
      def close
        @server.close
        @connections.each { |connection| connection.wire.close }
        @connections.clear
        @leftovers.remove
      end

      private

      def replace
        stat = File.lstat(@path)
        raise BootError, "the control socket #{@path} cannot be made: there is a file that is none" unless stat.socket?

        UNIXSocket.new(@path).close
        raise BootError, "another volador has the control socket #{@path}: volador stop ends it, -S PATH gives this one " \
                         "a socket of its own"
      rescue Errno::ECONNREFUSED
        File.unlink(@path)
      rescue Errno::ENOENT
        nil
      end

      def accept(now)
        @paused_until = nil
        # Not until there are no more: they may connect again and again.
        CLIENTS_MAX.times do
          socket = @server.accept_nonblock(exception: false)
          break if socket == :wait_readable

          admit(socket, now)
        end
      rescue *WANTS => e
        pause(now, e)
      rescue SystemCallError
        nil # It has left already.
      end

      def admit(socket, now)
        return socket.close unless @connections.size < CLIENTS_MAX && ours?(socket)

        @connections << Connection.new(Wire.new(socket, line_max: REQUEST_MAX), now + PATIENCE)
      end

      def pause(now, error)
        @paused_until = now + PAUSE
        return if @told && now < @told + SILENCE

        @told = now
        @log.warn("the control socket can't take a client (#{error.message}), commands wait: raise that limit " \
                  "(ulimit -n, or LimitNOFILE= for systemd; fs.file-max for all processes together), or give the " \
                  "machine more memory")
      end

      # The folder of the socket may be one that others can enter.
      def ours?(socket)
        [Process.euid, 0].include?(socket.getpeereid.first)
      end

      def look_at(connection, now)
        request = connection.wire.take_one
        if request
          @connections.delete(connection)
          yield request, connection
        elsif connection.wire.ended? || now >= connection.until
          @connections.delete(connection)
          connection.wire.close
        end
      end
    end
  end
end
