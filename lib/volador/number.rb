# frozen_string_literal: true

require_relative "error"

module Volador
  # What an option that is a number may be.
  #   type  Integer or Float;  range  what is allowed;  default;  unit  for messages, nil where there is none
  Number = Struct.new(:type, :range, :default, :unit) do
    # Strings are numbers too: they come from the command line, the environment, and rackup's -O.
    # @param name [Symbol] of the option
    # @param value [Object] nil: the default
    # @return [Integer, Float]
    # @raise [ConfigurationError] for a value that the option can't have
    def convert(name, value)
      return default if value.nil?

      converted = type == Integer ? integer(value) : float(value)
      return converted if converted && range.cover?(converted)

      kind = type == Integer ? "an Integer" : "a number"
      raise ConfigurationError, "#{name} must be #{kind} from #{range.begin} to #{range.end}#{" #{unit}" if unit}, " \
                                "got #{value.inspect}"
    end

    private

    def integer(value)
      value.is_a?(Integer) ? value : (Integer(value, 10, exception: false) if value.is_a?(String))
    end

    def float(value)
      Float(value, exception: false) if value.is_a?(Numeric) || value.is_a?(String)
    end
  end
end
