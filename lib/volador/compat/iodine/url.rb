# frozen_string_literal: true

module Volador
  module Compat
    module Iodine
      # The `url:` of `Iodine.listen`. As in the gem, the path is a socket where there is neither a host nor a port, and else
      # it says nothing about where to listen.
      class Url
        FORM = %r{
          \A(?<scheme>[a-z]+)://
          (?:\[(?<ip6>[\h:.]+)\]|(?<host>[^:/\[\]?\#@\s]*))
          (?::(?<port>\d{1,5}))?
          (?<path>/[^?\#]*)?
          (?:[?\#].*)?\z
        }xi.freeze
        PORT_MAX = 65_535
        EXAMPLES = '"http://127.0.0.1:3000", "http://:3000", "http://[::1]:3000" or "http:///run/app.sock"'
        private_constant :FORM, :PORT_MAX, :EXAMPLES

        # @return [Symbol] :http, :ws, :unix, …
        attr_reader :scheme

        # @param text [#to_s]
        # @raise [ArgumentError] for what does not say where to listen
        def initialize(text)
          match = FORM.match(text.to_s)
          unreadable(text) unless match

          @scheme = match[:scheme].downcase.to_sym
          @host = [match[:ip6], match[:host]].compact.find { |host| !host.empty? }
          @port = match[:port] && Integer(match[:port], 10)
          @path = match[:path] unless match[:path] == "/"
          unreadable(text) unless valid?
        end

        # @param default [#to_s] the port where the URL has only a host
        # @return [Hash{Symbol => Object}] options of {Configuration}
        def address(default)
          socket? ? { bind: "unix://#{@path}" } : { host: @host, port: @port || default }
        end

        private

        def socket?
          @path && !@host && (@port || 0).zero?
        end

        # A socket's URL has no host: "unix://run/app.sock" lacks a slash.
        def valid?
          return socket? if @scheme == :unix

          (@host || @port || @path) && (@port || 0) <= PORT_MAX
        end

        def unreadable(text)
          raise ArgumentError, "Iodine.listen takes a url: like #{EXAMPLES}, got #{text.inspect}"
        end
      end
    end
  end
end
