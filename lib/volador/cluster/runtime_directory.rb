# frozen_string_literal: true

require "digest/sha2"
require "fileutils"
require "securerandom"
require "tmpdir"
require_relative "../address"
require_relative "../error"

module Volador
  module Cluster
    # The private folder of one gateway, where its link is. It is in a folder of the user's, the home, where the control
    # sockets are by default:
    #
    #     $XDG_RUNTIME_DIR or /tmp
    #     └─ volador-UID/            home: 0700, of this user
    #        ├─ 0123456789abcdef.sock   a control socket, by its application's folder
    #        └─ PID-89abcdef/           private: 0700
    #           ├─ link.sock
    #           └─ lock                 held by the gateway as long as it lives
    class RuntimeDirectory
      # Seconds after which a private folder whose lock nobody has is nobody's: its gateway takes the lock at once.
      STALE = 2
      HOME = /\Avolador-\d+\z/.freeze
      private_constant :STALE, :HOME

      class << self
        # Makes a private folder, and removes those whose gateways have ended without doing so.
        # @return [RuntimeDirectory]
        # @raise [BootError] when it can't be had
        def create(env = ENV)
          home = enter(homes(env).first || raise(Errno::ENOENT, Dir.tmpdir))
          sweep(home)
          new(make(home))
        rescue SystemCallError => e
          raise BootError, "the private folder of the links cannot be made: #{e.message}; XDG_RUNTIME_DIR or TMPDIR " \
                           "names another place"
        end

        # @param folder [String] of an application
        # @return [Array<String>] where its control socket may be, the place for a new one first
        def control_sockets(folder, env = ENV)
          name = "#{Digest::SHA256.hexdigest(folder)[0, 16]}.sock"
          homes(env).map { |home| File.join(home, name) }
        end

        # Makes the home that this path is in, if it is in one.
        # @raise [BootError] when it is another user's
        def prepare(path)
          home = File.dirname(path)
          enter(home) if home?(home)
        end

        # @param home [String] that is there
        # @raise [BootError] when somebody else may have put there what is in it
        def check_private(home)
          check_owner(home)
          return if (File.stat(home).mode & 0o022).zero?

          raise BootError, "#{home} is a folder that others can write to: chmod 700 #{home} once you know what is in it"
        end

        # @return [String] the path
        # @raise [BootError] when it is too long for a socket
        def check_length(path)
          return path if path.bytesize <= Address::PATH_MAX_BYTES

          raise BootError, "#{path} is too long for a socket, by #{path.bytesize - Address::PATH_MAX_BYTES} bytes: " \
                           "XDG_RUNTIME_DIR, TMPDIR or -S names another place"
        end

        # @return [Boolean] whether the path could be a home
        def home?(path)
          File.basename(path).match?(HOME)
        end

        # @param path [String] of a private folder
        # @return [Boolean] its gateway has ended
        def abandoned?(path)
          File.open(File.join(path, "lock")) { |file| file.flock(File::LOCK_EX | File::LOCK_NB) } ? true : false
        rescue Errno::ENOENT
          !File.exist?(path)
        end

        # Removes the home when nothing is in it any more.
        def leave(home)
          Dir.rmdir(home)
        rescue SystemCallError
          nil # Other servers are there.
        end

        private

        def homes(env)
          bases = [env["XDG_RUNTIME_DIR"].to_s, Dir.tmpdir].select { |base| base.start_with?("/") }
          bases.select { |base| File.directory?(base) && File.writable?(base) }.uniq
               .map { |base| File.join(base, "volador-#{Process.euid}") }
        end

        # In /tmp anybody may have made it first.
        def enter(home)
          begin
            Dir.mkdir(home, 0o700)
          rescue Errno::EEXIST
            nil
          end
          check_owner(home)
          File.chmod(0o700, home) unless (File.stat(home).mode & 0o077).zero?
          home
        end

        def check_owner(home)
          stat = File.lstat(home)
          return if stat.directory? && stat.owned?

          raise BootError, "#{home} is not a folder of this user: remove it, or name another place by XDG_RUNTIME_DIR"
        end

        # The home may be left by its last server at this moment.
        def make(home)
          path = File.join(enter(home), "#{Process.pid}-#{SecureRandom.hex(4)}")
          path.tap { Dir.mkdir(path, 0o700) }
        rescue Errno::ENOENT
          retry
        end

        def sweep(home)
          Dir.glob("#{home}/*-*/").each { |path| FileUtils.rm_rf(path) if stale?(path) }
        end

        def stale?(path)
          return false if Time.now - File.mtime(path) < STALE

          abandoned?(path) || !File.exist?(File.join(path, "lock"))
        rescue Errno::ENOENT
          false # Its gateway has removed it at this moment.
        end
      end

      # @return [String]
      attr_reader :path

      # @api private
      def initialize(path)
        @path = path
        self.class.check_length(link)
        @lock = File.open(File.join(path, "lock"), File::CREAT | File::WRONLY, 0o600)
        @lock.flock(File::LOCK_EX)
      end

      # @return [String] the link's path
      def link
        File.join(@path, "link.sock")
      end

      def remove
        FileUtils.rm_rf(@path)
        @lock.close
        self.class.leave(File.dirname(@path))
      end
    end
  end
end
