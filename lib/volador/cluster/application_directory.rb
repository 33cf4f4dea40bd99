# frozen_string_literal: true

module Volador
  module Cluster
    # The folder that the application is in, by the name that it was entered by. When a part of that name is a symbolic
    # link, as `current` is for deploys into folders of their own, every generation follows it anew.
    class ApplicationDirectory
      # @return [String] absolute, links not resolved
      attr_reader :path
      # @return [String] what it was at the start, links resolved
      attr_reader :real

      # @param env [Hash, ENV] PWD is how shells name the folder; it counts only if it is the folder
      def initialize(env = ENV)
        @env = env
        @real = Dir.pwd
        named = env["PWD"].to_s
        @path = named.start_with?("/") && File.identical?(named, @real) ? File.expand_path(named) : @real
        @path.freeze
      end

      # @return [Hash{String => String, nil}] what a process that is started there needs in its environment
      def environment
        { "PWD" => path, "BUNDLE_GEMFILE" => gemfile }
      end

      private

      # Bundler has resolved the links, and would stay with the old folder's.
      def gemfile
        given = @env["BUNDLE_GEMFILE"]
        given&.start_with?("#{real}/") ? File.join(path, given.delete_prefix("#{real}/")) : given
      end
    end
  end
end
