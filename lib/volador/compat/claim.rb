# frozen_string_literal: true

require_relative "../error"

module Volador
  # Modules of the names and methods of other servers, for applications that were written for those. They are put over
  # Volador's own API; nothing of the other gems is loaded, copied or patched.
  module Compat
    # Takes the name of another server's module, so that an application's `require "iodine"` finds it there, and what else
    # there is to require of that gem.
    #
    # @param name [Symbol] of the constant: :Iodine
    # @param mod [Module] that stands there from now on
    # @param feature [String] what applications require
    # @param others [Array<String>] of its other files, whose methods are here as well
    # @raise [ConfigurationError] when that gem is loaded already
    def self.claim(name, mod, feature, *others)
      if Object.const_defined?(name)
        raise ConfigurationError, "the gem #{feature} is loaded already, and Volador does not change it: leave it out " \
                                  "of the Gemfile, or require \"volador/compat/#{feature}\" before anything requires " \
                                  "\"#{feature}\""
      end
      Object.const_set(name, mod)
      # Ruby, RubyGems and Bundler take it for loaded.
      [feature, *others].each { |one| $LOADED_FEATURES << "#{one}.rb" }
    end
  end
end
