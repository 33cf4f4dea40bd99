# frozen_string_literal: true

require "stringio"

# Stand-ins for the extension's objects, for unit specs of what is Ruby: they record what they are told.
module Fakes
  # What a connection and a worker have in common: their listeners. `told` holds every call about channels, in order.
  module Channels
    def told
      @told ||= []
    end

    def listen(name, match)
      return unless open?

      @last_listener = (@last_listener || 0) + 1
      told << [:listen, name, match, @last_listener]
      @last_listener
    end

    def unlisten(id)
      told << [:unlisten, id]
      nil
    end
  end

  # Native::Worker, as far as channels go.
  class Worker
    include Channels

    def open?
      true
    end
  end

  # Native::Connection. `sent` holds what was written, in order.
  class Connection
    include Channels

    # What went along to another worker, in an Array; nil as long as nothing did.
    attr_reader :handed_over
    attr_reader :id, :sent, :code, :timeout

    def initialize(id = 1)
      @id = id
      @sent = []
      @open = true
      @timeout = 30.0
    end

    def subscribe(name, match)
      told << [:subscribe, name, match] if open?
      open?
    end

    def unsubscribe(name, match)
      told << [:unsubscribe, name, match]
      nil
    end

    def pending
      @sent.size
    end

    def timeout_millis=(millis)
      @timeout = millis.zero? ? 30.0 : millis / 1000.0 if open?
    end

    # Only a mere String; nil for others.
    def write(string)
      keep(string) if string.instance_of?(String)
    end

    # Times that it was asked.
    def asked_drained = @asked_drained || 0

    def ask_drained
      @asked_drained = asked_drained + 1
    end

    def write_event(*fields)
      keep(fields)
    end

    def hand_over(state)
      @handed_over = [state]
      @open = false
      nil
    end

    def close(code = 1000)
      @code ||= code
      @open = false
      nil
    end

    def open?
      @open
    end

    # Its request was answered, and not by an upgrade.
    def refuse
      @open = false
    end

    private

    def keep(sent)
      return false unless @open

      @sent << sent
      true
    end
  end

  # Native::Seat, with the jobs it is to give out. `calls` holds every answer: [:respond, status, headers, parts], …
  class Seat
    attr_reader :calls, :connection
    # The other end of a connection that was taken.
    attr_reader :client
    # Raised by the next write or respond.
    attr_accessor :failure
    # Raised when the next job has been taken.
    attr_writer :interrupt
    # What the former handler of a resumed push connection left; false: the connection is new.
    attr_writer :resumed

    def initialize(*jobs, transport: nil, connection: Connection.new)
      @jobs = jobs
      @calls = []
      @transport = transport
      @connection = connection
      @resumed = false
      # Without jobs it has a request in hand.
      @unanswered = jobs.empty?
    end

    def resumed? = @resumed != false
    def state = @resumed || nil

    # What belongs to the current job.
    def job = (@job ||= [nil, nil])

    # A job is an env, or [stream id, name, ...] of an event. With a transport every request asks for it.
    def take
      raise Volador::Error, "the current request has no complete answer yet" unless answered?

      given = @jobs.shift
      given = given.call if given.is_a?(Proc)
      @unanswered = given.is_a?(Hash)
      interrupt, @interrupt = @interrupt, nil
      raise interrupt if interrupt

      put(given)
    end

    # Gives what the native one gives: an answer of Integer, Hash and a mere Array.
    def respond_plainly(answer)
      return false unless answer.is_a?(Array) && answer.size == 3

      status, headers, body = answer
      return false if hijacked? || status == 101
      return false unless status.is_a?(Integer) && headers.is_a?(Hash)
      return false if headers.key?("rack.hijack") || headers.key?("rack.protocol")
      return false unless body.instance_of?(Array) && !body.respond_to?(:close)

      respond(status, headers, body)
      true
    end

    def respond(*arguments)
      fail_once
      answer(:respond, *arguments)
    end

    def respond_file(status, headers, io, length)
      fail_once
      answer(:respond_file, status, headers, io.read(length))
    end

    # What writes have to name, as long as it is streaming.
    RESPONSE = 7

    def start(*arguments)
      @streaming = true
      answer(:start, *arguments)
      RESPONSE
    end

    def write(string, response)
      raise Volador::Error, "no streamed response is open" unless response == RESPONSE

      fail_once
      @calls << [:write, string]
    end

    def finish
      @streaming = false
      @calls << [:finish]
    end

    def abort
      @streaming = false
      answer(:abort)
    end

    def give_up(errno) = answer(:give_up, errno)

    def upgrade(*arguments)
      fail_once
      answer(:upgrade, *arguments)
    end

    def env = @env ||= Fakes.env

    # @return [Integer] a descriptor, whose other end is `client`
    def hijack(*arguments) = take_connection(:hijack, *arguments)
    def hijack_after(*arguments) = take_connection(:hijack_after, *arguments)

    def hijacked?
      @hijacked ? true : false
    end

    def answered?
      !@unanswered
    end

    def streaming?
      @streaming ? true : false
    end

    def steps
      @calls.map(&:first)
    end

    private

    # @return [Integer, nil] the kind
    def put(given)
      return given if given.nil?

      kind = Volador::Native::Seat
      return fill(given, @transport, @transport ? kind::PUSH_REQUEST : kind::REQUEST) if given.is_a?(Hash)
      return fill(given[0], given[2], kind::MESSAGE) if given[1] == :message

      fill(given, nil, kind::EVENT)
    end

    def fill(first, second, kind)
      job.replace([first, second])
      kind
    end

    def answer(*call)
      @unanswered = false
      @connection.refuse unless call.first == :upgrade
      @calls << call
    end

    def take_connection(*call)
      fail_once
      answer(*call)
      @hijacked = true
      application, @client = UNIXSocket.pair
      application.autoclose = false
      application.fileno
    end

    def fail_once
      error, @failure = @failure, nil
      raise error if error
    end
  end

  # A body that counts how often it is closed.
  class Body
    attr_reader :closed

    def initialize(chunks = [], &each)
      @chunks = chunks
      @each = each
      @closed = 0
    end

    def each(&block)
      @each ? @each.call(block) : @chunks.each(&block)
    end

    def close
      @closed += 1
    end
  end

  # @return [Hash] an env that Rack::Lint accepts
  def self.env(path = "/", method = "GET", **more)
    { "REQUEST_METHOD" => method, "SCRIPT_NAME" => "", "PATH_INFO" => path, "QUERY_STRING" => "",
      "SERVER_NAME" => "localhost", "SERVER_PORT" => "9292", "SERVER_PROTOCOL" => "HTTP/1.1",
      "HTTP_HOST" => "localhost:9292", "rack.version" => [1, 3], "rack.url_scheme" => "http",
      "rack.input" => Volador::EmptyInput::INSTANCE, "rack.errors" => StringIO.new, "rack.multithread" => true,
      "rack.multiprocess" => false, "rack.run_once" => false, "rack.hijack?" => false }.merge(more.transform_keys(&:to_s))
  end
end
