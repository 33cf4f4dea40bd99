# frozen_string_literal: true

require "json"
require "rack"

Dir[File.join(__dir__, "support", "*.rb")].sort.each { |file| require file }
