# frozen_string_literal: true

require "erb"
require "open3"
require_relative "product"

module Bench
  # A server of Debian's, in which no application sees what is pushed. It is found when dpkg knows its package as
  # installed.
  class DebianProduct < Product
    # @param package [String]
    def initialize(name:, package:, setting:, push_app:, transports: %i[websocket sse])
      super(name: name, gem: nil, executable: nil, arguments: nil, setting: setting, push_app: push_app,
            transports: transports)
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

    # No application sees the messages.
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

  # Pushpin, which stands before an application: that one starts it. WebSocket only: of a thousand event streams that
  # get a message at once Debian's Pushpin cancels some ("received message out of sequence").
  class Pushpin < DebianProduct
    def initialize
      super(name: "pushpin", package: "pushpin", setting: "its default threads", push_app: "pushpin.rb",
            transports: %i[websocket])
    end

    def command(port:, app:, folder:) = [RbConfig.ruby, app, port.to_s, folder]
  end
end
