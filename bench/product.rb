# frozen_string_literal: true

require "rbconfig"

module Bench
  # A server that can be measured: how to find it, and how to start it for one core.
  class Product
    ROOT = File.expand_path("..", __dir__)

    APPS = File.expand_path("apps", __dir__)
    private_constant :APPS

    # @return [String]
    attr_reader :name

    # @return [String, nil] path of its application for the push scenarios; nil when it takes no part in them
    attr_reader :push_app

    # @return [Array<Symbol>] what it can push over, of :websocket and :sse
    attr_reader :transports

    # @param name [String] as people say it and `--only` takes it, in lower case
    # @param gem [String] the gem that holds its executable
    # @param executable [String]
    # @param arguments [Proc] given `port:` and `app:`, returns the command's arguments
    # @param setting [String] its threads and processes, for the table
    # @param push_app [String, nil] file below bench/apps, for the push scenarios
    # @param transports [Array<Symbol>] see {#transports}
    def initialize(name:, gem:, executable:, setting:, arguments:, push_app: nil, transports: %i[websocket sse])
      @name = name
      @gem = gem
      @executable = executable
      @setting = setting
      @arguments = arguments
      @push_app = File.join(APPS, push_app) if push_app
      @transports = transports
    end

    # @return [String, nil] nil when it is not installed
    def version = specification&.version&.to_s

    # @return [Boolean]
    def found? = !specification.nil?

    # @return [String] what to do when it is not found
    def advice
      "its gem `#{@gem}` is not installed for #{RbConfig.ruby} (a gem folder elsewhere is named by GEM_HOME)"
    end

    # @return [String] for the table
    def label = "#{name} #{version} (#{@setting})"

    # @return [Boolean] whether an application of its own can answer to messages
    def echoes? = true

    # How a publication is asked for.
    # @return [Symbol] :query when the application has the message, :body when the request brings it
    def publication = :query

    # What its processes find in their environment, besides what every server finds there.
    # @param folder [String] see {#command}
    # @return [Hash{String => String}]
    def environment(folder:) = {} # rubocop:disable Lint/UnusedMethodArgument

    # @param port [Integer] of 127.0.0.1
    # @param app [String] path of the application
    # @param folder [String] an empty folder that is removed when the server has ended
    # @return [Array<String>]
    def command(port:, app:, **)
      [RbConfig.ruby, specification.bin_file(@executable), *@arguments.call(port: port, app: app)]
    end

    private

    def specification
      return @specification if defined?(@specification)

      @specification = Gem::Specification.find_all_by_name(@gem).max_by(&:version)
    end
  end

  # Volador, as it stands in this checkout.
  class Checkout < Product
    THREADS = 5
    private_constant :THREADS

    def initialize(name: "volador", setting: "#{THREADS} threads", push_app: "push.ru")
      super(name: name, gem: "volador", executable: "volador", setting: setting, push_app: push_app,
            arguments: lambda { |port:, app:|
              ["-b", "tcp://127.0.0.1:#{port}", "-t", THREADS.to_s, "-e", "production", "--quiet", app]
            })
    end

    # @return [Integer] application threads
    def threads = THREADS

    # @return [String] path of the application with slow requests
    def slow_app = File.join(File.dirname(push_app), "slow.ru")

    def version
      File.read(File.join(ROOT, "lib/volador/version.rb"))[/VERSION = "(.+)"/, 1] if found?
    end

    def found?
      File.exist?(File.join(ROOT, "exe/volador")) && !Dir.glob("lib/volador/volador_ext.{so,bundle}", base: ROOT).empty?
    end

    def advice = "it is not built here: run `rake compile`"

    def command(port:, app:, **)
      [RbConfig.ruby, "-I#{ROOT}/lib", "#{ROOT}/exe/volador", *@arguments.call(port: port, app: app)]
    end
  end
end
