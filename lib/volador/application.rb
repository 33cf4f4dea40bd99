# frozen_string_literal: true

# Rack::Lint of Rack 2.2 uses URI without loading it, and finds every Host invalid then.
require "uri"
require_relative "error"

module Volador
  # Loads the application of a `config.ru`, with whichever Rack is installed.
  module Application
    # Frames of a backtrace that say nothing about where the application is broken.
    FOREIGN = %r{\A<internal:|/rubygems/|/lib/rack/|/bundled_gems\.rb|/bundler/}.freeze
    private_constant :FOREIGN

    # @param path [String] of a config.ru
    # @return [#call]
    # @raise [BootError] with one line: where and what
    def self.load(path)
      path = File.expand_path(path)
      raise BootError, "#{path} is a folder: give the path of a config.ru" if File.directory?(path)
      raise BootError, "#{path} is not there: run volador where config.ru is, or give its path" unless File.file?(path)

      require_rack
      # Rack 2 returns the app and options, Rack 3 the app.
      app, = Rack::Builder.parse_file(path)
      app
    rescue SystemExit => e
      # Who exits with a failure, as `abort` does, has said why.
      raise unless e.success?

      raise BootError, "#{path} ended the process while it was being loaded, by exit"
    rescue BootError, SignalException
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise BootError, "cannot load the application: #{describe(e, path)}"
    end

    # @param app [Object]
    # @return [#call] the same
    # @raise [ConfigurationError] when it is no Rack application
    def self.check(app)
      return app if app.respond_to?(:call)

      raise ConfigurationError, "the application must respond to call, got #{app.class}"
    end

    def self.require_rack
      require "rack"
    rescue LoadError
      raise BootError, "the rack gem is not installed: gem install rack, or run with bundle exec"
    end
    private_class_method :require_rack

    # A syntax error's message begins with its place already.
    def self.describe(error, path)
      summary = error.message.to_s.scrub("?").lines.first.to_s.strip
      return "#{summary} (SyntaxError)" if error.is_a?(SyntaxError) && summary.match?(/\A\S+:\d+:/)

      place = place(error, path)
      "#{place}: #{summary.empty? ? 'unknown reason' : summary} (#{error.class})"
    end
    private_class_method :describe

    def self.place(error, path)
      loading = error.backtrace.to_a.take_while { |frame| !frame.start_with?("#{__FILE__}:") }
      frame = loading.find { |one| !one.match?(FOREIGN) }
      frame ? frame[/\A.+?:\d+/] || frame : path
    end
    private_class_method :place
  end
end
