# frozen_string_literal: true

require "erb"
require "open3"
require_relative "product"

module Bench
  # A server of Debian's that publishes what it is sent by HTTP. It is found when dpkg knows its package as installed.
  class DebianProduct < Product
    # @param package [String]
    def initialize(name:, package:, setting:, push_app:)
      super(name: name, gem: nil, executable: nil, arguments: nil, setting: setting, push_app: push_app)
      @package = package
    end

    def version
      return @version if defined?(@version)

      output, status = Open3.capture2("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", @package,
                                      err: File::NULL)
      # Without the epoch, and without what Debian adds.
      @version = (output[/\Ainstalled (?:\d+:)?([\d.]+)/, 1] if status.success?)
    rescue Errno::ENOENT
      @version = nil
    end

    def found? = !version.nil?

    def advice = "its Debian package `#{@package}` is not installed (bin/setup peers installs it)"

    # There is no application in it.
    def echoes? = false
  end

  # Nchan, a module of nginx. Its application is a configuration.
  class Nchan < DebianProduct
    def initialize
      super(name: "nchan", package: "libnginx-mod-nchan", setting: "1 worker process", push_app: "nchan.conf.erb")
    end

    def publication = :body

    def command(port:, app:, folder:)
      configuration = File.join(folder, "nginx.conf")
      File.write(configuration, ERB.new(File.read(app)).result_with_hash(port: port, folder: folder))
      # Debian has nginx where only root's PATH leads.
      ["/usr/sbin/nginx", "-e", "stderr", "-p", folder, "-c", configuration]
    end
  end
end
