# frozen_string_literal: true

require "rbconfig"
require "socket"
require_relative "../version"
require_relative "children"
require_relative "wire"

module Volador
  module Cluster
    # A mold as the supervisor sees it. What runs in the mold itself is {Mold}.
    #
    #     loading ─loaded─▶ loaded ─▶ ended
    #        └─failed─────────────────▶
    class MoldProcess
      # Seconds for a mold that is to end.
      PATIENCE = 5.0
      # The mold's descriptor of the wire.
      DESCRIPTOR = 3
      LIBRARY = File.expand_path("../..", __dir__)
      private_constant :PATIENCE, :DESCRIPTOR, :LIBRARY

      # Starts a fresh Ruby: nothing of this process is in it, and the code is the one that is on disk now.
      # @param directory [ApplicationDirectory] where it runs
      # @param boot [Hash] what the mold is told at first
      # @return [MoldProcess]
      # @raise [SystemCallError] when there is no such folder, or no more processes
      def self.start(directory:, boot:, now:, boot_timeout:)
        ours, theirs = UNIXSocket.pair
        pid = Process.spawn(directory.environment, *command,
                            DESCRIPTOR => theirs, chdir: directory.path, close_others: true)
        new(pid, Wire.new(ours), now, boot_timeout: boot_timeout).tap { |mold| mold.tell(boot) }
      ensure
        theirs&.close
      end

      def self.command
        extension = $LOADED_FEATURES.find { |path| path.end_with?("/volador/volador_ext.so") }
        folders = [LIBRARY, extension && File.expand_path("../..", extension)].compact.uniq
        [RbConfig.ruby, *("-w" if $VERBOSE), *("--yjit" if defined?(RubyVM::YJIT) && RubyVM::YJIT.enabled?),
         *folders.flat_map { |folder| ["-I", folder] },
         "-rvolador/cluster/mold", "-e", "Volador::Cluster::Mold.main(#{DESCRIPTOR})"]
      end
      private_class_method :command

      # @return [Integer]
      attr_reader :pid
      # @return [String, nil] why it has failed to load the application, in one line
      attr_reader :error
      # @return [String, nil] the same with its backtrace
      attr_reader :details
      # @return [String, nil] how it has ended
      attr_reader :ending

      # @param wire [Wire]
      # @param now [Float]
      # @param boot_timeout [Float] seconds
      def initialize(pid, wire, now, boot_timeout:, children: Children)
        @pid = pid
        @wire = wire
        @children = children
        @boot_timeout = boot_timeout
        @state = :loading
        @kill_at = now + boot_timeout
      end

      def loading?
        @state == :loading
      end

      # @return [Boolean] it can fork workers
      def loaded?
        @state == :loaded && !@finishing
      end

      def ended?
        @state == :ended
      end

      # @return [Array<Wire>] to be waited for
      def ios
        ended? || @wire.ended? ? [] : [@wire]
      end

      # @return [Float, nil] when {tick} is due
      def at
        @kill_at unless ended?
      end

      # @param number [Integer]
      def fork_worker(number, now)
        kill(now) unless tell({ do: "fork", number: number })
      end

      # @api private
      # @return [Boolean] whether it was taken
      def tell(message)
        @wire.put(message)
      end

      # It is to end; its workers have ended, or are being ended. When it was to end before, the shorter time counts.
      # @param patience [Float, nil] seconds, of which it gets five at most; nil: those
      def finish(now, patience: nil)
        return if ended?

        # While it loads it does not listen.
        told = @finishing || (loaded? && tell({ do: "end" }))
        @finishing = true
        @kill_at = [@kill_at, told ? now + [patience, PATIENCE].compact.min : now].compact.min
      end

      # It is to end at once.
      # @return [Boolean] false when that was known
      def kill(now)
        return false if @killed

        @finishing = @killed = true
        @kill_at = now
        true
      end

      # Takes what has been sent, and does what is due.
      # @yieldparam message [Hash] of its workers: those that were forked, and those that have ended
      def tick(now, &block)
        return if ended?

        receive(&block)
        expire(now)
        return unless (@ending = @children.ending(@pid))

        receive(&block) # its last words
        @error ||= "the mold has ended while it loaded the application: #{@ending}" if loading?
        @state = :ended
        @wire.close
      end

      def to_s
        "mold (pid #{@pid})"
      end

      private

      def receive
        @wire.take.each do |message|
          case message[:is]
          when "hello" then check(message[:version])
          when "loaded" then loaded
          when "failed" then fail_with(message[:message], message[:details])
          else yield message
          end
        end
      end

      def check(version)
        return if version == VERSION

        fail_with("the application's Volador is #{version}, but its gateway is #{VERSION}: stop the server and start " \
                  "it anew")
      end

      def loaded
        return unless loading?

        @state = :loaded
        @kill_at = nil unless @finishing
      end

      def fail_with(message, details = nil)
        @error ||= message
        @details ||= details
        @finishing = true
        # It ends by itself, as a rule.
        @kill_at = nil
      end

      def expire(now)
        # It hangs up and stays, or has said why it fails and does not end.
        @kill_at ||= now + PATIENCE if @wire.ended? || @error
        return unless @kill_at && now >= @kill_at

        if loading? && !@finishing
          fail_with("the application has not loaded within the boot timeout of #{@boot_timeout} s")
        end
        @children.signal(:KILL, @pid)
        @kill_at = now + PATIENCE
      end
    end
  end
end
