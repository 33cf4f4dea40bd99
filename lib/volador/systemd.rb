# frozen_string_literal: true

require "socket"
require_relative "address"
require_relative "error"

module Volador
  # What systemd hands to a service and wants to hear from it: listening sockets (sd_listen_fds(3)) and notifications
  # (sd_notify(3)). Without systemd there are no sockets, and notifications go nowhere.
  class Systemd
    # The first of the descriptors that are handed over.
    FIRST_DESCRIPTOR = 3
    VARIABLES = %w[LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET].freeze
    private_constant :FIRST_DESCRIPTOR, :VARIABLES

    # @param env [Hash, ENV] what is meant for this process alone is removed from it, so that no child takes it for its own
    def initialize(env = ENV)
      @socket = env["NOTIFY_SOCKET"] unless env["NOTIFY_SOCKET"].to_s.empty?
      # Of a process that started this one, and did not clear them, they are not meant for it.
      ours = env["LISTEN_PID"] == Process.pid.to_s
      @descriptors = ours ? Integer(env["LISTEN_FDS"], 10, exception: false).to_i : 0
      VARIABLES.each { |name| env.delete(name) }
    end

    # @return [Array<Address::Inherited>] the sockets that were handed over, for {Configuration}
    # @raise [ConfigurationError] when there are not as many as it says
    def binds
      Array.new(@descriptors) do |index|
        descriptor = FIRST_DESCRIPTOR + index
        # Nor are they meant for the programs that the application starts.
        IO.for_fd(descriptor, autoclose: false).close_on_exec = true
        Address::Inherited.new(descriptor)
      end
    rescue SystemCallError, ArgumentError => e
      raise ConfigurationError, "LISTEN_FDS says #{@descriptors}, but there are not as many sockets: #{e.message}"
    end

    # It serves.
    # @param status [String] for `systemctl status`
    def ready(status)
      notify("READY=1\nSTATUS=#{status}")
    end

    # A new generation is being started; {ready} follows, whatever becomes of it.
    def reloading
      microseconds = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
      notify("RELOADING=1\nMONOTONIC_USEC=#{microseconds}\nSTATUS=a new generation is being started")
    end

    def stopping
      notify("STOPPING=1\nSTATUS=requests are being finished")
    end

    # What a server in one process does. One of Server.observers.
    def server_changed(_server, what)
      case what
      when :started then ready("serving")
      when :draining then stopping
      end
    end

    private

    # A name that begins with "@" is one without a file.
    def notify(text)
      return unless @socket

      address = Socket.sockaddr_un(@socket.sub(/\A@/, "\0"))
      Socket.open(:UNIX, :DGRAM) { |socket| socket.sendmsg(text, 0, address) }
    rescue SystemCallError, ArgumentError
      nil # Nobody listens: no reason not to serve.
    end
  end
end
