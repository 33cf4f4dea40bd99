# frozen_string_literal: true

require_relative "cluster/settings"
require_relative "configuration"
require_relative "error"
require_relative "hooks"

module Volador
  # The settings of `config/volador.rb`: a Ruby program whose methods are the options of {Configuration} and of
  # {Cluster::Settings}, and {Hooks}.
  #
  #     workers 4
  #     threads 8
  #     bind "unix:///run/app.sock"
  #     on_worker_boot { ActiveRecord::Base.establish_connection }
  #
  # Each setting is looked at where it is made, so that an error has its line.
  class ConfigFile
    # Where it is when nobody says, relative to the folder of the application.
    DEFAULT = File.join("config", "volador.rb")
    # What --compat knows.
    COMPATS = %w[iodine agoo].freeze
    # Settings of Puma that are not here, and what takes their place.
    HINTS = {
      preload_app!: "the application is always loaded once, before the workers are forked: leave it out",
      rackup: "name the config.ru on the command line",
      directory: "give it on the command line, as --directory",
      plugin: "there are none; volador restart does what tmp_restart did",
      pidfile: "volador status, restart and stop find the server by its control_socket",
      state_path: "volador status, restart and stop find the server by its control_socket",
      activate_control_app: "control_socket takes its place",
      worker_boot_timeout: "boot_timeout takes its place",
      worker_shutdown_timeout: "drain_timeout and handover_timeout take its place",
      stdout_redirect: "log_file takes the place of its second path",
      ssl_bind: "Volador does not speak TLS yet: let a proxy in front of it do TLS"
    }.freeze
    private_constant :COMPATS, :HINTS

    # @return [Hash{Symbol => Object}] for {Configuration.new}
    attr_reader :options
    # @return [Hash{Symbol => Object}] for {Cluster::Settings.new}
    attr_reader :cluster
    # @return [Array<String>] as --compat names them
    attr_reader :compats
    # @return [Hooks]
    attr_reader :hooks

    # @param path [String, nil] of the file; nil: {DEFAULT}, if there is one; "-": none
    # @return [ConfigFile]
    # @raise [ConfigurationError] for a file that is not there or that is wrong, with its line
    def self.load(path = nil)
      path ||= File.file?(DEFAULT) ? DEFAULT : "-"
      new.tap { |file| file.evaluate(path) unless path == "-" }
    end

    def initialize
      @options = {}
      @cluster = {}
      @compats = []
      @hooks = Hooks.new
    end

    # @api private
    def evaluate(path)
      text = File.read(path)
      eval(text, BINDING.call(Settings.new(self, path)), path, 1) # rubocop:disable Security/Eval
    rescue SystemCallError => e
      raise ConfigurationError, "#{path} cannot be read: #{e.message[/\A[^@]+/].strip}; -C names another file, and " \
                                "-C - none"
    rescue ConfigurationError
      raise
    rescue SystemExit => e
      # Who exits with a failure, as `abort` does, has said why.
      raise unless e.success?

      raise ConfigurationError, "#{path} ended the process, by exit"
    rescue SyntaxError => e
      raise ConfigurationError, e.message.lines.first.strip
    rescue StandardError, ScriptError => e
      advice = ": the application is not loaded yet; its constants are there in hooks" if e.instance_of?(NameError)
      line = e.backtrace_locations&.find { |location| location.path == path }&.lineno
      raise ConfigurationError, "#{[path, line].compact.join(':')}: #{e.message.lines.first.to_s.strip} (#{e.class})" \
                                "#{advice}"
    end

    # @api private
    # @param name [Symbol] of an option
    # @param values [Array] as the file gives them
    # @raise [ConfigurationError] without a line
    def set(name, values)
      case name
      when :compat then @compats.concat(compat(values))
      when :bind then (@options[:bind] ||= []).concat(Configuration.new(bind: one_or_more(name, values), env: {}).bind)
      when *Cluster::Settings::NUMBERS.keys, :control_socket
        @cluster[name] = one(name, values).tap { |value| Cluster::Settings.new(name => value, env: {}) }
      else
        @options[name] = value(name, values).tap { |value| Configuration.new(name => value, env: {}) }
      end
    end

    # The names of all options.
    NAMES = [:port, :host, :bind, :environment, :quiet, :log_file, :tmpdir, :allowed_origins, :slow_client, :conflate,
             :compat, :control_socket, *Cluster::Settings::NUMBERS.keys, *Configuration::NUMBERS.keys].freeze

    # What the file's methods are called on.
    class Settings
      NAMES.each { |name| define_method(name) { |*values| within_line { @file.set(name, values) } } }

      Hooks::NAMES.each_key do |name|
        define_method(name) do |&block|
          within_line { raise ConfigurationError, "#{name} takes a block" unless block }
          @file.hooks.add(name, block)
        end
      end

      # @param file [ConfigFile]
      # @param path [String]
      def initialize(file, path)
        @file = file
        @path = path
      end

      def respond_to_missing?(_name, _include_private = false)
        false
      end

      private

      def method_missing(name, *)
        within_line { raise ConfigurationError, ConfigFile.unknown(name) }
      end

      def within_line
        yield
      rescue ConfigurationError => e
        line = caller_locations.find { |location| location.path == @path }&.lineno
        raise ConfigurationError, "#{[@path, line].compact.join(':')}: #{e.message}"
      end
    end

    # @api private
    # @param option [#to_s] what has the name
    # @param name [String] of a server
    # @return [String] the name
    # @raise [ConfigurationError] for a server whose applications are not understood
    def self.compat(option, name)
      return name if COMPATS.include?(name)

      raise ConfigurationError, "#{option} must be #{COMPATS.join(' or ')}, got #{name.inspect}"
    end

    # @api private
    # @return [String] why there is no such setting
    def self.unknown(name)
      return "there is no setting #{name}: #{HINTS.fetch(name)}" if HINTS.key?(name)

      names = [*NAMES, *Hooks::NAMES.keys]
      near = DidYouMean::SpellChecker.new(dictionary: names).correct(name).first if defined?(DidYouMean::SpellChecker)
      near ? "there is no setting #{name}; did you mean #{near}?" : "there is no setting #{name}: see docs/configuration.md"
    end

    private

    def value(name, values)
      case name
      when :allowed_origins, :conflate then one_or_more(name, values)
      when :quiet then values.empty? || one(name, values)
      # Puma's minimum and maximum are understood; there are always as many as the maximum.
      when :threads then values.size == 2 ? values.last : one(name, values)
      when :environment then word(name, one(name, values))
      else one(name, values)
      end
    end

    def one(name, values)
      return values.first if values.size == 1 && !values.first.nil?

      raise ConfigurationError, "#{name} takes one value, got #{values.empty? ? 'none' : values.inspect[1...-1]}"
    end

    def one_or_more(name, values)
      values = values.flatten.compact
      values.empty? ? raise(ConfigurationError, "#{name} takes at least one value, got none") : values
    end

    def word(name, value)
      return value.to_s if value.to_s.match?(/\A\w[\w-]*\z/)

      raise ConfigurationError, "#{name} must be a word like \"production\", got #{value.inspect}"
    end

    def compat(values)
      one_or_more(:compat, values).map { |name| ConfigFile.compat(:compat, name.to_s) }
    end
  end
end

# Made outside of all modules, so that constants in the file are the application's, as in config.ru, and none of Volador's.
Volador::ConfigFile::BINDING = ->(_) { _.instance_exec { binding } }
Volador::ConfigFile.private_constant :BINDING
