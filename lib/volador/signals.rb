# frozen_string_literal: true

module Volador
  # The signals that a server heeds while it runs: each one is passed on as a command, since Ruby allows a handler little.
  module Signals
    # Signals that stop it, whatever the program does with them.
    STOPPING = %w[INT TERM].freeze
    # The command that notes that it does not deploy.
    NO_DEPLOY = :no_deploy
    # What Signal.trap returns for a signal that the program leaves to Ruby or the system.
    UNHANDLED = ["DEFAULT", "SYSTEM_DEFAULT", nil].freeze
    private_constant :STOPPING, :UNHANDLED

    class << self
      # Passes on :signal and NO_DEPLOY for the block. In other threads than the main one signals are the program's.
      # @param commands [Commands]
      # @return [Object] what the block returns
      def pass_on(commands)
        return yield unless Thread.current.equal?(Thread.main)

        before = STOPPING.to_h { |name| [name, trap(name, commands, :signal)] }
        begin
          [["HUP", :signal], ["USR1", NO_DEPLOY]].each do |name, command|
            handler = trap(name, commands, command)
            UNHANDLED.include?(handler) ? before[name] = handler : Signal.trap(name, handler)
          end
          yield
        ensure
          before.each { |name, handler| Signal.trap(name, handler || "SYSTEM_DEFAULT") }
        end
      end

      private

      def trap(name, commands, command)
        Signal.trap(name) { commands << command }
      end
    end
  end
end
