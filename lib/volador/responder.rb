# frozen_string_literal: true

require "socket"
require_relative "chunked_body"
require_relative "error"
require_relative "hijack"
require_relative "process_bound"
require_relative "stream"

module Volador
  # Hands the application's answers over to the gateway, for one application thread. Whatever happens, the request gets
  # exactly one answer and the body is closed exactly once.
  #
  #     to_path ─▶ the file;  to_ary ─▶ all at once;  each ─▶ chunk by chunk;  call ─▶ a Stream, or, with 101, the socket
  class Responder
    include ProcessBound

    # What the client sees of an application's failure.
    FAILURE = "Internal Server Error"
    SWITCHING_PROTOCOLS = 101
    STATUSES = (100..999).freeze
    # Statuses of answers without content, whatever their headers have left of it (RFC 9110 §6.4.1, §15.3.6).
    NO_CONTENT = [204, 205, 304].freeze
    private_constant :SWITCHING_PROTOCOLS, :STATUSES, :NO_CONTENT
    # Headers of a push handshake that are the gateway's own business.
    HANDSHAKE_HEADERS = %w[
      connection content-length content-type date keep-alive sec-websocket-accept sec-websocket-extensions
      sec-websocket-version trailer transfer-encoding upgrade
    ].to_h { |name| [name, true] }.freeze
    private_constant :HANDSHAKE_HEADERS

    # @param seat [Native::Seat]
    # @param log [Log]
    def initialize(seat, log)
      @seat = seat
      @log = log
      # The last env that the application has frozen, and what is left of its rack.response_finished.
      @frozen_env = @left = nil
      bind_to_process
    end

    # Gives an answer of any kind; none where the application has taken the connection.
    # @param env [Hash]
    # @param answer [Object] what the application returned
    # @param close_connection [Boolean] the connection ends after this answer
    def deliver(env, answer, close_connection: false)
      body = body_of(answer)
      return if @seat.hijacked?

      status, headers = head_of(answer)
      headers = headers.merge("connection" => "close") if close_connection
      send_body(env, status, headers, body)
    rescue ClientGone => e
      error = e
      @seat.abort if @seat.streaming?
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if (child = forked?)

      error = e
      fail(env, e)
    ensure
      # What comes from outside may come before the first line.
      close_and_finish(env, body || body_of(answer), status, headers, error) unless child
    end

    # Accepts a push handshake. The body is closed before `on_open`, as the draft has it: what middleware holds until then (a
    # lock, a database connection) is free, and `on_open` has the same surroundings as each later callback.
    # @param env [Hash]
    # @param answer [Array] what the middleware made of the provisional answer
    # @param handshake [Push::Handshake]
    def upgrade(env, answer, handshake)
      handshake.opened if accept(env, answer, handshake)
    end

    # Answers 500, or cuts the connection when the answer has begun. Nothing of the error goes to the client, who comes first:
    # a log may be the application's, and take its time.
    # @param env [Hash]
    # @param error [Exception, nil] logged with its backtrace; nil when it has been logged
    # @param close_connection [Boolean]
    def fail(env, error, close_connection: false)
      return (@seat.abort if @seat.streaming?) if @seat.answered?

      headers = { "content-type" => "text/plain" }
      headers["connection"] = "close" if close_connection
      @seat.respond(500, headers, [FAILURE])
    ensure
      @log.error("#{env['REQUEST_METHOD']} #{path(env)}", error) if error
    end

    # Closes the body of an answer that is not given.
    # @param env [Hash]
    # @param answer [Object]
    def discard(env, answer)
      close(env, body_of(answer))
    end

    # Runs what the application put into env['rack.response_finished'] (Rack 3), last one first. Each is taken out, of a copy:
    # should one end the thread, the others run when this is called again.
    def finished(env, status, headers, error)
      callables = env["rack.response_finished"]
      return unless callables.is_a?(Array)

      callables = left_of(env, callables)
      call_finished(callables.pop, env, status, headers, error) until callables.empty?
    end

    private

    # @return [Array<#call>] in the env; kept here for one that the application has frozen
    def left_of(env, callables)
      return env["rack.response_finished"] = callables.dup unless env.frozen?

      @frozen_env, @left = env, callables.dup unless @frozen_env.equal?(env)
      @left
    end

    def call_finished(callable, env, *arguments)
      callable.call(env, *arguments)
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if forked?

      @log.error("#{env['REQUEST_METHOD']} #{path(env)}: rack.response_finished raised", e)
    end

    # @return [Boolean]
    def accept(env, answer, handshake)
      body = body_of(answer)
      status, headers = head_of(answer, statuses: Push::Handshake::UPGRADING)
      headers = headers.reject { |name, _| HANDSHAKE_HEADERS.key?(name.to_s.downcase) }
      @seat.upgrade(headers, handshake.register)
      handshake.answered
      true
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if (child = forked?)

      error = e
      fail(env, e, close_connection: true)
      handshake.refused
      false
    ensure
      close_and_finish(env, body || body_of(answer), status, headers, error) unless child
    end

    def body_of(answer)
      answer[2] if answer.is_a?(Array)
    end

    # @return [Array(Integer, Hash)]
    def head_of(answer, statuses: STATUSES)
      unless answer.is_a?(Array) && answer.size == 3
        what = answer.is_a?(Array) ? "an Array of #{answer.size}" : answer.nil? ? "nil" : answer.class
        raise ResponseError, "the application returned #{what}: a Rack response is an Array of status, headers and body"
      end

      status, headers, = answer
      status = status.to_i if status.respond_to?(:to_i)
      unless status.is_a?(Integer) && statuses.cover?(status)
        raise ResponseError, "the application returned the status #{answer[0].inspect}: it must be an Integer from 100"
      end

      [status, hash(headers)]
    end

    # Rack 2 takes any object with `each` for headers.
    def hash(headers)
      return headers if headers.is_a?(Hash)
      raise ResponseError, "the headers are a #{headers.class}: they must be a Hash" unless headers.respond_to?(:each)

      pairs = {}
      headers.each { |name, value| pairs[name] = pairs.key?(name) ? "#{pairs[name]}\n#{value}" : value }
      pairs
    end

    def send_body(env, status, headers, body)
      hijack = headers["rack.hijack"]
      protocol = headers["rack.protocol"]
      return switch(env, headers, protocol, hijack || body) if protocol || status == SWITCHING_PROTOCOLS
      return give_away(status, headers, hijack) if hijack
      return if file?(body) && send_file(status, headers, body)

      if (array = array_of(body, headers))
        @seat.respond(status, headers, parts(array))
      elsif body.respond_to?(:each)
        head_request?(env) ? start_and_finish(status, headers) : send_each(status, headers, body)
      elsif body.respond_to?(:call)
        head_request?(env) ? start_and_finish(status, headers) : stream(env, status, headers, body)
      else
        raise ResponseError, "the body is a #{body.class}: it must respond to each or call"
      end
    end

    # @return [Array, nil] nil for a body that is to be sent piece by piece. As usual with `to_ary`, nil may also be its
    #   answer, as with Rails' bodies. Those of Rails 7.1 answer with an Enumerator when they are given one: `each` is there
    #   as well
    def array_of(body, headers)
      return unless body.respond_to?(:to_ary) && settles_close?(body) && !ChunkedBody.declared?(headers)
      # Mostly it is for the length that it would be asked, and some take it badly: those of Rails around a part of a file,
      # for instance, and a Rack::Lint around another.
      return unless body.is_a?(Array) || declared_length(headers).nil?

      array = body.to_ary
      array if array.is_a?(Array)
    end

    # In Rack 3 `to_ary` closes the body, in Rack 2 it does not. A body that cannot tell is left to `each`.
    def settles_close?(body)
      !body.respond_to?(:close) || body.respond_to?(:closed?)
    end

    def parts(array)
      wrong = array.find { |part| !part.is_a?(String) }
      wrong.nil? ? array : raise(ResponseError, wrong_part(wrong))
    end

    def wrong_part(part)
      "the body has a #{part.class} in it: its parts must be Strings"
    end

    def file?(body)
      body.respond_to?(:to_path) && !body.to_path.nil?
    end

    # @return [Boolean] false when there is no such regular file that can be read: then `each` may know better
    def send_file(status, headers, body)
      path = body.to_path
      begin
        file = open_file(path) || (return false)
        @seat.respond_file(status, headers, file, file.size)
      rescue Errno::EMFILE, Errno::ENFILE => e
        # That is the server's trouble, and neither this request's nor the application's: a 502.
        @seat.give_up(e.errno)
      ensure
        file&.close
      end
      true
    end

    def open_file(path)
      return unless File.file?(path)

      File.open(path, "rb")
    rescue Errno::EMFILE, Errno::ENFILE
      raise
    rescue SystemCallError
      nil
    end

    # The head goes out with the first chunk, so that an `each` that raises at once is still a 500.
    def send_each(status, headers, body)
      seat = @seat
      response = nil
      over = false
      if ChunkedBody.declared?(headers) && !NO_CONTENT.include?(status)
        body = ChunkedBody.new(body)
        # RFC 9112 §6.3: the transfer coding overrides it.
        headers = headers.reject { |name, _| name.to_s.casecmp?("content-length") }
      end
      body.each do |chunk|
        # The body has kept the block.
        raise IOError, "the response is over" if over
        raise ResponseError, wrong_part(chunk) unless chunk.is_a?(String)

        unless response
          check_first(headers, chunk)
          response = seat.start(status, headers)
        end
        seat.write(chunk, response) unless chunk.empty?
      end
      seat.start(status, headers) unless response
      seat.finish
    ensure
      over = true
    end

    # What is wrong with the first chunk already can still be told by a 500; later the connection has to be cut.
    def check_first(headers, chunk)
      length = declared_length(headers)
      return unless length && chunk.bytesize > length

      raise ResponseError, "Content-Length is #{length}, but the body has at least #{chunk.bytesize} bytes"
    end

    # @return [Integer, nil]
    def declared_length(headers)
      declared = headers.find { |name, _| name.to_s.casecmp?("content-length") }&.last
      Integer(declared.to_s, 10, exception: false) if declared
    end

    # The head goes out before the body is called: it may want to read or to wait.
    def stream(env, status, headers, body)
      stream = Stream.new(@seat, @seat.start(status, headers), env["rack.input"])
      begin
        body.call(stream)
      ensure
        stream.close
      end
      @seat.finish
    end

    # From here on another protocol is spoken, by the body.
    # @param protocol [String, nil] `rack.protocol` of Rack 3.1: whatever the status, it is 101 in HTTP/1.1
    def switch(env, headers, protocol, body)
      if env["upgrade.tcp"]
        raise ResponseError, "Iodine's env[\"upgrade.tcp\"] is not there: take the connection by rack.hijack (docs/http.md)"
      end

      # RFC 9110 §7.8: "A server MUST NOT switch to a protocol that was not indicated by the client".
      offered = env["rack.protocol"]
      raise ResponseError, "a status of 101 answers a request with Upgrade only" unless offered || protocol

      protocol ||= headers.find { |name, _| name.to_s.casecmp?("upgrade") }&.last
      unless offered&.any? { |one| one.casecmp?(protocol.to_s) }
        raise ResponseError, "the protocol to change to, of rack.protocol or Upgrade, is #{protocol.inspect}: it must be " \
                             "one of the request's, #{offered.inspect}"
      end
      headers = headers.reject { |name, _| name.to_s.casecmp?("upgrade") }.merge("upgrade" => protocol)
      give_away(SWITCHING_PROTOCOLS, headers, body)
    end

    # The head is sent, and the connection is the body's, whose call may return before it is done with it.
    def give_away(status, headers, body)
      unless body.respond_to?(:call)
        raise ResponseError, "rack.hijack, and the body of a status of 101, must respond to call, got a #{body.class}"
      end

      socket = UNIXSocket.for_fd(@seat.hijack_after(status, headers, ChunkedBody.declared?(headers)))
      returned = false
      body.call(socket)
      returned = true
    ensure
      # It has raised, or ended the thread.
      socket&.close unless returned
    end

    def start_and_finish(status, headers)
      @seat.start(status, headers)
      @seat.finish
    end

    def head_request?(env)
      env["REQUEST_METHOD"] == "HEAD"
    end

    def close(env, body)
      body.close if body.respond_to?(:close) && !closed?(body)
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if forked?

      @log.error("#{env['REQUEST_METHOD']} #{path(env)}: closing the body raised", e)
    end

    def close_and_finish(env, body, status, headers, error)
      close(env, body)
      closed = true
    ensure
      # Also when the application has ended the thread there.
      finished(env, status, headers, error) if closed || !forked?
    end

    # One that can't tell is closed once more rather than never.
    def closed?(body)
      body.respond_to?(:closed?) && body.closed?
    rescue StandardError
      false
    end

    def path(env)
      "#{env['SCRIPT_NAME']}#{env['PATH_INFO']}"
    end
  end
end
