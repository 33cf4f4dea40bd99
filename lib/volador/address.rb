# frozen_string_literal: true

require "socket"

module Volador
  # An address to listen on, as the options give it and as the gateway takes it: "tcp://127.0.0.1:9292" (always a
  # numeric host), "unix:///absolute/path", "unix:///absolute/path?mode=0660", or "fd://3" for an {Inherited} one.
  module Address
    # The port when none is given: rackup's.
    DEFAULT_PORT = 9292

    # What the system has room for in the path of a Unix socket: unix(7), without the byte that ends it.
    PATH_MAX_BYTES = 107
    # The permissions of a socket's file.
    MODE = /\A\?mode=0?[0-7]{3}\z/.freeze
    # The same at the end of an address. The path before it may have a ? of its own.
    MODE_BEHIND = /\?mode=[0-7]+\z/.freeze
    private_constant :MODE, :MODE_BEHIND

    # A listening socket that this process was started with. Only whoever knows that it was is to make one.
    class Inherited
      # @param descriptor [Integer]
      def initialize(descriptor)
        @descriptor = descriptor
      end

      # @return [String] the address for the gateway
      def to_s
        "fd://#{@descriptor}"
      end
    end

    # @param uri [#to_s, Inherited] "tcp://host:port", "tcp://host" (port 9292), "tcp://[::1]:port", "unix:///path",
    #   "unix://relative/path", or one of these with "?mode=0660" behind it: the permissions of the socket's file
    # @return [String] the address for the gateway
    # @raise [ConfigurationError] for anything else
    def self.parse(uri)
      return uri.to_s if uri.is_a?(Inherited)

      case uri = uri.to_s
      when %r{\Atcp://(?:\[([^\]]+)\]|([^:/\[\]]+))(?::(\d+))?/?\z}
        tcp(Regexp.last_match(1) || Regexp.last_match(2), Integer((Regexp.last_match(3) || DEFAULT_PORT).to_s, 10))
      when %r{\Aunix://([^?]+)(\?.*)?\z}
        unix(File.expand_path(Regexp.last_match(1)), Regexp.last_match(2))
      when %r{\Afd://}
        raise ConfigurationError, "bind #{uri}: a socket is handed over by systemd (docs/cluster.md), and not by its number"
      when %r{\Assl://}
        raise ConfigurationError, "bind #{uri}: Volador does not speak TLS yet; bind tcp:// or unix:// and let a " \
                                  "proxy in front of it do TLS"
      else
        raise ConfigurationError, "bind must be tcp://HOST:PORT or unix://PATH, got #{uri.inspect}"
      end
    end

    # @param host [String] a name or a numeric address
    # @param port [Integer] 0 lets the system choose
    # @return [String] the address for the gateway
    # @raise [ConfigurationError] when the host has no address
    def self.tcp(host, port)
      raise ConfigurationError, "port must be an Integer from 0 to 65535, got #{port}" unless port.between?(0, 65_535)

      ip = numeric(host.delete_prefix("[").delete_suffix("]"))
      "tcp://#{ip.include?(':') ? "[#{ip}]" : ip}:#{port}"
    end

    def self.unix(path, query)
      unless query.nil? || query.match?(MODE)
        raise ConfigurationError, "bind unix://#{path}#{query}: behind the ? stands mode= and what chmod takes, as in " \
                                  "?mode=0660, and nothing else; without it the umask decides"
      end
      # None was given: the path ends with the name of the present folder, say, and could not be told from permissions.
      if File.basename(path).include?("?")
        raise ConfigurationError, "bind unix://#{path}: this is a folder: name a file in it"
      end
      return "unix://#{path}#{query&.sub(/=(?=...\z)/, '=0')}" if path.bytesize <= PATH_MAX_BYTES

      raise ConfigurationError, "bind unix://#{path}: a socket's path has #{PATH_MAX_BYTES} bytes at most, this one " \
                                "#{path.bytesize}; choose a shorter one"
    end
    private_class_method :unix

    # @param address [String] as {.parse} gives it
    # @return [String, nil] the path of a Unix socket
    def self.path(address)
      address.delete_prefix("unix://").sub(MODE_BEHIND, "") if address.start_with?("unix://")
    end

    # @param address [String] as the gateway gives it
    # @return [String] what a browser takes: "http://127.0.0.1:9292"; a Unix address as it is
    def self.url(address)
      address.sub(%r{\Atcp://}, "http://")
    end

    # IPv4 first, since "localhost" means 127.0.0.1 to most clients and to every reverse proxy's example.
    def self.numeric(host)
      Addrinfo.getaddrinfo(host, nil, nil, :STREAM).min_by { |info| info.ipv4? ? 0 : 1 }.ip_address
    rescue SocketError => e
      raise ConfigurationError, "host #{host.inspect} has no address (#{e.message}): give a name that resolves, or a " \
                                "numeric address"
    end
    private_class_method :numeric
  end
end
