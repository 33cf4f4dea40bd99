# frozen_string_literal: true

require "socket"
require_relative "../error"
require_relative "application_directory"
require_relative "runtime_directory"
require_relative "wire"

module Volador
  module Cluster
    # Asks the server of an application through its control socket, once it is sure that it is this user's, or root's:
    # whoever answers says which link to join, and what is published there.
    class ControlClient
      # There is no server, or it does not answer.
      class Unreachable < Error; end

      # @param path [String, nil] of the control socket; nil: of the server that runs in the present folder
      def initialize(path = nil)
        @named = path && File.expand_path(path)
        @paths = @named ? [@named] : self.class.default_paths
      end

      # By the folder's name and by its real one: not everybody who asks has come through the same link.
      def self.default_paths
        folder = ApplicationDirectory.new
        [folder.path, folder.real].uniq.flat_map { |path| RuntimeDirectory.control_sockets(path) }
      end

      # @param request [Hash]
      # @param seconds [Numeric, nil] for the answer; nil: as long as it takes
      # @return [Hash, nil] nil when the server ends instead
      # @raise [Unreachable]
      def ask(request, seconds: 10)
        wire = Wire.new(connect)
        wire.write(request)
        answer = wire.read(seconds)
        return answer if answer || wire.ended?

        raise Unreachable, "the server does not answer within #{seconds} s"
      ensure
        wire&.close
      end

      private

      def connect
        failures = @paths.map do |path|
          return open(path)
        rescue SystemCallError, ArgumentError, Unreachable => e
          e
        end
        raise Unreachable, why(failures)
      end

      # In /tmp anybody may have made the folder, and the socket in it.
      def open(path)
        RuntimeDirectory.check_private(File.dirname(path)) unless @named
        socket = UNIXSocket.new(path)
        return socket if trusted?(socket)

        socket.close
        raise Errno::EACCES, path
      rescue BootError => e
        raise Unreachable, "#{e.message}, or name the server's control socket with -S"
      end

      # Root may ask whomever it names.
      def trusted?(socket)
        [Process.euid, 0].include?(socket.getpeereid.first) || (@named && Process.euid.zero?)
      end

      def why(failures)
        denied = failures.find { |error| error.is_a?(Errno::EACCES) }
        return "the control socket #{@paths[failures.index(denied)]} is another user's: ask as that user" if denied
        return "no server has the control socket #{@named}" if @named

        foreign = failures.grep(Unreachable).first
        return foreign.message if foreign

        "no volador with workers runs in #{Dir.pwd}: go to the folder where it was started, or name its control socket " \
          "with -S"
      end
    end
  end
end
