# frozen_string_literal: true

module Volador
  # A server-sent event with fields beside its text (WHATWG HTML, section 9.2), to be given to any `write`, `publish` or
  # `broadcast` in the place of a String. Event streams get all of it; WebSockets and blocks of subscriptions its text.
  #
  #     client.write(Volador::Event.new("42", event: "price", id: "7"))
  #     Volador.publish("prices", Volador::Event.new("42", event: "price"))
  #
  # A value: frozen, and equal to another one with the same fields.
  class Event
    # The largest `retry` that every client reads as it was given.
    RETRY_MAX = (2**53) - 1
    private_constant :RETRY_MAX

    # @return [String] the text, UTF-8. Its line ends (CR LF, CR or LF) arrive as LF: the format carries no other
    attr_reader :data
    # @return [String, nil] the type that the page listens to; nil: "message"
    attr_reader :event
    # @return [String, nil] what the client sends as `Last-Event-ID` when it comes back; "" makes it forget the last one
    #   and nil leaves it as it is
    attr_reader :id
    # @return [Integer, nil] milliseconds that the client waits before it comes back; nil leaves them as they are
    attr_reader :retry

    # @param data [String] bytes that are not UTF-8 become U+FFFD
    # @param event [String, nil] without CR, LF and NUL
    # @param id [String, nil] without CR, LF and NUL
    # @param retry [Integer, nil] milliseconds, from 0
    # @raise [ArgumentError] for anything else, and for an event or id that is not valid text
    def initialize(data, event: nil, id: nil, retry: nil)
      raise ArgumentError, "the data of an event must be a String, got #{data.class}" unless data.is_a?(String)

      @data = utf8(data).scrub.freeze
      @event = field("event", event)
      @id = field("id", id)
      # `retry` is a keyword of Ruby: the parameter of that name can't be read in another way.
      @retry = milliseconds(binding.local_variable_get(:retry))
      freeze
    end

    # @return [String] its text
    def to_s
      @data
    end

    # @return [Array(String, String, String, Integer)] data, event, id and retry
    def to_a
      [@data, @event, @id, @retry]
    end

    # @return [Boolean]
    def ==(other)
      other.instance_of?(self.class) && to_a == other.to_a
    end
    alias eql? ==

    # @return [Integer]
    def hash
      [self.class, *to_a].hash
    end

    # @return [String]
    def inspect
      fields = { event: @event, id: @id, retry: @retry }.compact.map { |name, value| " #{name}=#{value.inspect}" }
      "#<#{self.class} #{@data.inspect}#{fields.join}>"
    end

    private

    # In UTF-8; BINARY bytes, such as those of a Rack env, are taken for it.
    def utf8(string)
      case string.encoding
      when Encoding::UTF_8, Encoding::US_ASCII, Encoding::BINARY then string.dup.force_encoding(Encoding::UTF_8)
      else string.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
      end
    end

    # WHATWG HTML §9.2.6: a line end would end the field, and an id with a NUL is ignored; none belongs into a name either.
    def field(name, value)
      return if value.nil?

      refuse(name, value, "be a String or nil") unless value.is_a?(String)
      text = utf8(value)
      refuse(name, value, "be valid UTF-8") unless text.valid_encoding?
      refuse(name, value, "not contain CR, LF or NUL") if /[\r\n\0]/.match?(text)
      text.freeze
    end

    def refuse(name, value, rule)
      raise ArgumentError, "the #{name} of an event must #{rule}, got #{value.inspect}"
    end

    def milliseconds(value)
      return value if value.nil? || (value.is_a?(Integer) && value.between?(0, RETRY_MAX))

      raise ArgumentError, "the retry of an event is an Integer of milliseconds, from 0, or nil, got #{value.inspect}"
    end
  end
end
