# frozen_string_literal: true

module Volador
  module Compat
    # The constants of another server's module that are not here: whoever names one is told so, and what to do instead.
    # For `defined?` they are not there.
    module Absent
      # @param owner [Module] that lacks them
      # @param name [String] which applications know it by: "Iodine::PubSub"
      # @param instead [Hash{Symbol => String}] what to do, by constant
      def self.declare(owner, name, **instead)
        owner.define_singleton_method(:const_missing) do |constant|
          full = "#{name}::#{constant}"
          error = if instead.key?(constant)
                    NotImplementedError.new("Volador has no #{full}: #{instead[constant]}")
                  else
                    NameError.new("uninitialized constant #{full}", constant, receiver: self)
                  end
          # It is the application's line that counts.
          raise error, error.message, caller(1)
        end
      end
    end
  end
end
