# frozen_string_literal: true

require_relative "../error"

module Volador
  module Compat
    # The files of some folders, the first that has one: what Iodine calls `public` and Agoo its root.
    class StaticFiles
      METHODS = %w[GET HEAD].freeze
      private_constant :METHODS

      # @param folders [Array<String>]
      # @param prefix [String] of the request paths, without a "/" at the end: "/assets" or ""
      def initialize(folders, prefix = "")
        require "rack"
        @prefix = prefix
        @roots = folders.map { |folder| File.expand_path(folder) }
        # Rack 2.1 gave File another name.
        files = ::Rack.const_defined?(:Files) ? ::Rack::Files : ::Rack::File
        @files = @roots.map { |root| files.new(root) }
      end

      # @param env [Hash]
      # @return [Array, nil] nil when there is no such file, and for requests for push connections: a page may open its
      #   WebSocket at the path that it has itself
      def call(env)
        return if env["rack.upgrade?"] || !METHODS.include?(env["REQUEST_METHOD"])

        path = env["PATH_INFO"]
        return unless path.start_with?("#{@prefix}/")

        path = path.delete_prefix(@prefix)
        path += "index.html" if path.end_with?("/")
        @roots.each_with_index do |root, index|
          return @files[index].call(env.merge("PATH_INFO" => path)) if file?(root, path)
        end
        nil
      end

      # @param app [#call]
      # @return [#call] which is asked where there is no such file
      def before(app)
        Before.new(self, app)
      end

      # Files first, the app else.
      class Before
        # @param files [StaticFiles]
        # @param app [#call]
        def initialize(files, app)
          @files = files
          @app = app
        end

        # @param env [Hash]
        # @return [Array]
        def call(env)
          @files.call(env) || @app.call(env)
        end
      end
      private_constant :Before

      private

      # Rack's app looks once more, and says what of the file is to be sent.
      def file?(root, path)
        path = ::Rack::Utils.unescape_path(path)
        return false unless ::Rack::Utils.valid_path?(path)

        path = File.join(root, ::Rack::Utils.clean_path_info(path))
        File.file?(path) && File.readable?(path)
      end
    end
  end
end
