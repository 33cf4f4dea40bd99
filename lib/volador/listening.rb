# frozen_string_literal: true

require_relative "address"
require_relative "error"

module Volador
  # Takes the addresses of a server, or says why they can't be had and what to do.
  module Listening
    # @param options [Hash] see {Configuration#to_native}
    # @param cluster [Boolean] its workers are processes of their own
    # @return [Native::Gateway] that listens, and serves once it is started
    # @raise [BootError] when an address cannot be listened on
    def self.gateway(options, cluster: false)
      cluster ? Native::Gateway.cluster(options) : Native::Gateway.new(options)
    rescue SystemCallError => e
      raise BootError, explain(e, options.fetch(:bind))
    end

    # The gateway's message names the address; with one address there is no doubt.
    def self.explain(error, binds)
      address = binds.find { |one| error.message.include?(one.sub(%r{\A\w+://}, "")) } || binds.first
      if address.start_with?("fd://")
        return "a socket that systemd has handed over cannot be listened on: #{error.message}; see the .socket unit"
      end

      host, port = address.delete_prefix("tcp://").split(/:(?=\d+\z)/)
      place = Address.path(address) || "port #{port} on #{host}"
      case error
      when Errno::EADDRINUSE
        return "#{place} is a file, and no socket: remove it, or choose another path with -b" if port.nil? && no_socket?(place)

        "#{place} is in use: stop the other server or choose another #{port ? 'with -p' : 'path with -b'}"
      when Errno::EACCES, Errno::EPERM
        if port.nil? && File.socket?(place)
          return "#{place} is another user's socket: remove it if its server has ended, or choose another path with -b"
        end

        "#{place} is not allowed to this user: choose #{port ? 'a port from 1024 with -p' : 'another path with -b'}"
      when Errno::EADDRNOTAVAIL
        "#{place} cannot be had: this machine has no address #{host}"
      else
        "#{place} cannot be listened on: #{error.message}"
      end
    end
    private_class_method :explain

    def self.no_socket?(path)
      File.exist?(path) && !File.socket?(path)
    end
    private_class_method :no_socket?
  end
end
