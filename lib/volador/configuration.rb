# frozen_string_literal: true

require "tmpdir"
require_relative "address"
require_relative "error"
require_relative "log"
require_relative "number"

module Volador
  # All options of a server: their defaults, and their validation with a message that says what a value must be.
  #
  #     Volador::Configuration.new(port: 3000, threads: 8).to_native
  #
  # An option that is nil counts as not given. Where it listens:
  #
  # port::  Integer 0 to 65535; ENV["PORT"], else 9292. 0 lets the system choose
  # host::  String; 127.0.0.1 in the development environment, else 0.0.0.0
  # bind::  String or Array of "tcp://HOST:PORT" and "unix://PATH"; replaces host and port
  #
  # All others are listed, with unit, default and effect, in {NUMBERS} and beside {#initialize}.
  class Configuration
    KIB = 1024
    MIB = 1024 * KIB
    # No option is meant to be larger than this; it also keeps every value within what the gateway can hold.
    MOST = 2**53
    # RFC 6454 §6.2: scheme, host, and the port where it is not the scheme's own.
    ORIGIN = %r{\A[a-z][a-z0-9+.-]*://(?:\[[\h:.]+\]|[^/\s:@?#\[\]]+)(?::(?<port>[^/\s]*))?\z}i
    private_constant :KIB, :MIB, :MOST, :ORIGIN

    # The options that are numbers. Those of bytes and seconds say so in their name or unit.
    NUMBERS = {
      # Ruby threads that run the application. Default: ENV["RAILS_MAX_THREADS"], else 5.
      threads: Number.new(Integer, 1..1024, 5, nil),
      # Gateway threads, each with its own event loop. One serves tens of thousands of requests a second.
      # They are numbered from 0 in a byte, and the number 255 is none of theirs (see the crate volador-worker, listeners.rs).
      shards: Number.new(Integer, 1..255, 1, nil),
      # Connections of all kinds that are open at once; more wait until others leave. 0: as many as files may be open.
      connections_max: Number.new(Integer, 0..MOST, 0, nil),
      # Requests that may wait for a Ruby thread; past it the answer is 503 with Retry-After.
      queue_max: Number.new(Integer, 1..1_000_000, 1024, nil),
      # A longer request head is answered with 431; costs as much memory per connection in the worst case.
      head_max_bytes: Number.new(Integer, 1024..(16 * MIB), 32 * KIB, "bytes"),
      # More header fields than these are answered with 431.
      header_fields_max: Number.new(Integer, 1..10_000, 100, nil),
      # A longer request target (path and query) is answered with 414.
      target_max_bytes: Number.new(Integer, 64..MIB, 8 * KIB, "bytes"),
      # A longer request body is answered with 413.
      body_max_bytes: Number.new(Integer, 0..MOST, 64 * MIB, "bytes"),
      # A longer request body goes to a file in tmpdir.
      body_memory_bytes: Number.new(Integer, 0..(1024 * MIB), 64 * KIB, "bytes"),
      # When all request bodies in memory together are longer, more of them go to files, short ones too.
      body_memory_total_bytes: Number.new(Integer, 0..MOST, 64 * MIB, "bytes"),
      # A request head must be complete within this; else 408.
      head_timeout: Number.new(Float, 0.001..86_400.0, 15.0, "seconds"),
      # A request body must come at least this fast; else 408. 0 allows any slowness.
      body_min_rate: Number.new(Integer, 0..MOST, 500, "bytes per second"),
      # An idle keep-alive connection is closed after this.
      keep_alive_timeout: Number.new(Float, 0.001..86_400.0, 65.0, "seconds"),
      # A client that takes no byte of its response for this long is disconnected.
      write_timeout: Number.new(Float, 0.001..86_400.0, 60.0, "seconds"),
      # What a streamed response may have waiting in a file of tmpdir for a slow client; past it the body's `each` waits.
      spool_max_bytes: Number.new(Integer, 0..MOST, 2048 * MIB, "bytes"),
      # What a streamed response may have waiting in memory; past it the file is used.
      response_window_bytes: Number.new(Integer, 1024..(1024 * MIB), 256 * KIB, "bytes"),
      # A longer WebSocket message closes its connection with 1009.
      message_max_bytes: Number.new(Integer, 1..(1024 * MIB), MIB, "bytes"),
      # How hard WebSocket messages are compressed for clients that can take it: 1, fast, to 9, small. 0 turns it off.
      deflate_level: Number.new(Integer, 0..9, 1, nil),
      # A shorter WebSocket message is not compressed: there is little to gain.
      deflate_min_bytes: Number.new(Integer, 0..MOST, 256, "bytes"),
      # What a push connection may have waiting to be sent; past it, slow_client says what happens.
      send_queue_max_bytes: Number.new(Integer, 1..(1024 * MIB), MIB, "bytes"),
      # What may wait for the blocks of one client's subscriptions, or for one block of Volador.subscribe; past it the
      # oldest messages are dropped.
      block_queue_max_bytes: Number.new(Integer, 1..MOST, 16 * MIB, "bytes"),
      # A WebSocket ping goes out this often; two unanswered ones end the connection.
      ping_interval: Number.new(Float, 0.001..86_400.0, 30.0, "seconds"),
      # An SSE comment goes out this often, so that proxies keep the stream and a dead one is noticed.
      heartbeat_interval: Number.new(Float, 0.001..86_400.0, 15.0, "seconds"),
      # A stopping server waits this long for running requests.
      drain_timeout: Number.new(Float, 0.0..86_400.0, 25.0, "seconds")
    }.freeze

    # @return [Array<String>] addresses as the gateway takes them
    attr_reader :bind
    # @return [String] "development", "production", …
    attr_reader :environment
    # @return [String, nil] the file that log lines are appended to; nil: $stderr
    attr_reader :log_file
    # @return [String] the folder of request bodies and spools; Dir.tmpdir by default
    attr_reader :tmpdir
    # @return [Array<String>, nil] origins that may open a WebSocket, "https://example.com" or "*"; nil: the host's own
    attr_reader :allowed_origins
    # @return [Symbol] :disconnect or :drop_oldest: what a push connection that does not keep up meets
    attr_reader :slow_client
    # @return [Array<String>] globs of channels of which a client that does not keep up gets the newest message only
    attr_reader :conflate

    # @!method threads
    #   @return [Integer]; there is a reader for each of {NUMBERS}
    NUMBERS.each_key { |name| define_method(name) { @numbers.fetch(name) } }

    # @param environment [String, nil] ENV["RACK_ENV"], else "development"
    # @param quiet [Boolean] print no lines but warnings and errors
    # @param numbers [Hash] see {NUMBERS}
    # @raise [ConfigurationError] for an unknown option or a value that an option cannot have
    def initialize(port: nil, host: nil, bind: nil, environment: nil, quiet: false, log_file: nil, tmpdir: nil,
                   allowed_origins: nil, slow_client: nil, conflate: nil, env: ENV, **numbers)
      @environment = (presence(environment) || presence(env["RACK_ENV"]) || "development").to_s
      @quiet = flag(:quiet, quiet)
      @bind = addresses(port, host, bind, env)
      @log_io = log_io(log_file)
      @log_file = @log_io&.path.freeze
      @tmpdir = directory(presence(tmpdir) || Dir.tmpdir)
      @allowed_origins = origins(allowed_origins)
      @slow_client = policy(slow_client || :disconnect)
      @conflate = globs(conflate)
      @numbers = all_numbers(numbers, env)
      freeze
    end

    # @return [Boolean]
    def quiet?
      @quiet
    end

    # @return [Boolean] whether the environment is that of a developer
    def development?
      @environment == "development"
    end

    # @return [Log] one that writes where these options say. The gateway's and the worker's own lines go there as well,
    #   from the
    #   first one on that has a file
    def log
      return Log.new(quiet: quiet?) unless log_file

      Native.log_to(log_file)
      Log.new(@log_io, quiet: quiet?)
    end

    # @return [Hash{Symbol => Object}] what Native::Gateway.new and Native::Worker.new take
    def to_native
      @numbers.merge(bind: bind, tmpdir: tmpdir, allowed_origins: allowed_origins,
                     drop_oldest: slow_client == :drop_oldest, conflate: conflate)
    end

    private

    def addresses(port, host, bind, env)
      return Array(bind).map { |uri| Address.parse(uri) } unless bind.nil? || Array(bind).empty?

      host = presence(host) || (development? ? "127.0.0.1" : "0.0.0.0")
      # Puma's and rackup's way to name a Unix socket.
      return [Address.parse("unix://#{host}")] if host.start_with?("/", ".")
      return [Address.parse(host)] if host.include?("://")

      [Address.tcp(host, port.nil? ? usual_port(env) : port_number(port))]
    end

    def usual_port(env)
      port = presence(env["PORT"])
      port ? of_variable("PORT") { port_number(port) } : Address::DEFAULT_PORT
    end

    # Whoever has not set an option has to know where the value comes from.
    def of_variable(name)
      yield
    rescue ConfigurationError => e
      raise ConfigurationError, "#{e.message} by the environment variable #{name}"
    end

    # Strings as rackup's -O gives them.
    def flag(name, value)
      case value.to_s
      when "true" then true
      when "false", "" then false
      else raise ConfigurationError, "#{name} must be true or false, got #{value.inspect}"
      end
    end

    def port_number(value)
      number = Integer(value.to_s, 10, exception: false)
      return number if number&.between?(0, 65_535)

      raise ConfigurationError, "port must be an Integer from 0 to 65535, got #{value.inspect}"
    end

    # Symbols, and Strings as rackup's -O gives them.
    def policy(value)
      policy = %i[disconnect drop_oldest].find { |one| one.to_s == value.to_s }
      return policy if policy

      raise ConfigurationError, "slow_client must be :disconnect or :drop_oldest, got #{value.inspect}"
    end

    def globs(value)
      list = value.is_a?(Array) ? value : [value].compact
      wrong = list.find { |glob| !(glob.is_a?(String) || glob.is_a?(Symbol)) || glob.empty? }
      return list.map { |glob| glob.to_s.dup.freeze }.freeze unless list.include?(wrong)

      raise ConfigurationError, "conflate must be names or globs of channels, got #{wrong.inspect}"
    end

    def all_numbers(given, env)
      unknown = given.keys - NUMBERS.keys
      raise ConfigurationError, no_option(unknown.first) unless unknown.empty?

      threads = presence(env["RAILS_MAX_THREADS"]) if given[:threads].nil?
      threads &&= of_variable("RAILS_MAX_THREADS") { NUMBERS[:threads].convert(:threads, threads) }
      NUMBERS.to_h { |name, number| [name, (threads if name == :threads) || number.convert(name, given[name])] }
    end

    def no_option(name)
      require_relative "cluster/settings"
      if [:compat, :control_socket, *Cluster::Settings::NUMBERS.keys].include?(name)
        return "#{name} is an option of the command volador and of config/volador.rb: a program that starts a server is one " \
               "process (docs/configuration.md)"
      end

      "there is no option #{name}; there are port, host, bind, environment, quiet, log_file, tmpdir, allowed_origins, " \
        "slow_client, conflate, #{NUMBERS.keys.join(', ')}"
    end

    def directory(path)
      path = File.expand_path(path.to_s)
      return path if File.directory?(path) && File.writable?(path)

      raise ConfigurationError, "tmpdir must be a folder that can be written to, got #{path.inspect}"
    end

    # Opened here: to find out at the first fault that it can't be written to would be late. It stays open, since the reader
    # of a FIFO leaves with the last writer. NONBLOCK: a FIFO that nobody reads would be waited for, without a word.
    def log_io(path)
      return if presence(path).nil?

      path = File.expand_path(path.to_s)
      File.open(path, File::WRONLY | File::APPEND | File::CREAT | File::NONBLOCK).tap { |file| file.sync = true }
    rescue SystemCallError => e
      unread = e.is_a?(Errno::ENXIO) && File.pipe?(path)
      why = unread ? "nobody reads this FIFO: start its reader first" : e.message[/\A[^@-]+/].strip
      raise ConfigurationError, "log_file must be a file that can be written to, got #{path.inspect} (#{why})"
    end

    def origins(value)
      return if value.nil?

      Array(value).map(&:to_s).each do |origin|
        fault = origin_fault(origin) unless origin == "*"
        raise ConfigurationError, "allowed_origins #{fault}, got #{origin.inspect}" if fault
      end
    end

    # What no browser sends as it stands there would never match.
    def origin_fault(origin)
      unless origin.ascii_only?
        return "must name hosts as browsers do, by Punycode where they are not ASCII (\"https://xn--bcher-kva.example\")"
      end
      return "knows no patterns: list each origin, or \"*\" for all" if origin.include?("*")

      match = ORIGIN.match(origin)
      return "must be \"*\" or origins like \"https://example.com\", without a path" unless match

      port = match[:port]
      return if port.nil? || (port.match?(/\A(0|[1-9]\d{0,4})\z/) && port.to_i <= 65_535)

      "must name ports as browsers do, up to 65535 and without leading zeros"
    end

    def presence(string)
      string unless string.nil? || string.to_s.empty?
    end
  end
end
