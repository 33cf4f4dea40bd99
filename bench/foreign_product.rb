# frozen_string_literal: true

require "open3"
require_relative "product"

module Bench
  # A server of another language, whose program is its application. It is found when its interpreter finds its package.
  class ForeignProduct < Product
    # @param interpreter [String]
    # @param probe [Array<String>] arguments with which the interpreter prints the package's version
    # @param package [String] what to install, in words
    def initialize(name:, interpreter:, probe:, package:, push_app:)
      super(name: name, gem: nil, executable: nil, setting: "1 thread", push_app: push_app, transports: %i[websocket],
            arguments: ->(port:, app:) { [app, port.to_s] })
      @interpreter = interpreter
      @probe = probe
      @package = package
    end

    def version
      return @version if defined?(@version)

      output, status = Open3.capture2(@interpreter, *@probe, err: File::NULL, chdir: File.dirname(push_app))
      @version = (output.strip if status.success?)
    rescue Errno::ENOENT
      @version = nil
    end

    def found? = !version.nil?

    def advice = "#{@interpreter} does not find #{@package}"

    def command(port:, app:, **) = [@interpreter, *@arguments.call(port: port, app: app)]
  end
end
