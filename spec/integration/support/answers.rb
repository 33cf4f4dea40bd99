# frozen_string_literal: true

# A server whose path chooses the answer: every form that one may have, and faults.
RSpec.shared_context "with an app of many answers" do
  shared_server(<<~RUBY)
    require "rack"
    File.binwrite("file.bin", "0123456789" * 50_000)
    File.write("empty.txt", "")

    # Prints each of its closings, so that they can be counted.
    class Body
      def initialize(name, *parts, &each)
        @name = name
        @parts = parts
        @each = each
      end

      def each(&block)
        return instance_exec(block, &@each) if @each

        @parts.each(&block)
      end

      def close
        warn "closed \#{@name}"
      end
    end

    class FileBody < Body
      def initialize(name, path)
        super(name)
        @path = path
      end

      def to_path
        @path
      end

      def each
        raise "each must not be called"
      end
    end

    # The queue of that name. Two threads may ask for it at once, and must get the same.
    GATES = {}
    LOCK = Mutex.new
    GATE = ->(name) { LOCK.synchronize { GATES[name] ||= Thread::Queue.new } }
    text = { "content-type" => "text/plain" }.freeze
    files = Rack::Files.new(Dir.pwd)

    APP = lambda do |env|
      name = env["QUERY_STRING"]
      case env["PATH_INFO"]
      when "/plain" then [200, text, ["hello"]]
      when "/parts" then [200, text, Body.new(name, "one", "", "two", "three")]
      when "/sized" then [200, text.merge("content-length" => "11"), Body.new(name, "one", "two", "three")]
      when "/empty" then [200, text, []]
      when "/enumerator" then [200, text, Enumerator.new { |yielder| 3.times { |index| yielder << index.to_s } }]
      when "/binary" then [200, text, ["\\xFF\\x00".b, "ä"]]
      when "/frozen" then [200, text, ["hello".freeze].freeze].freeze
      when "/file" then [200, text, FileBody.new(name, File.expand_path("file.bin"))]
      when "/file-sized" then [200, text.merge("content-length" => "500000"), FileBody.new(name, File.expand_path("file.bin"))]
      when "/file-grown" then [200, text.merge("content-length" => "12"), FileBody.new(name, File.expand_path("file.bin"))]
      when "/file-short" then [200, text.merge("content-length" => "500001"), FileBody.new(name, File.expand_path("file.bin"))]
      when "/empty-file" then [200, text, FileBody.new(name, File.expand_path("empty.txt"))]
      when "/array-headers" then [200, text.merge("set-cookie" => %w[a=1 b=2], "x-one" => ["1"]), ["x"]]
      when "/newline-headers" then [200, text.merge("set-cookie" => "a=1\\nb=2"), ["x"]]
      when "/newlines-in-headers" then [200, text.merge("set-cookie" => "a=1\\n\\nb=2\\n", "x-empty" => ""), ["x"]]
      when "/integer-header" then [200, text.merge("x-count" => 5.to_s), ["x"]]
      when "/rack-key" then [200, text.merge("rack.internal" => "secret"), ["x"]]
      when %r{\\A/status/(\\d+)} then [Regexp.last_match(1).to_i, {}, Body.new(name)]
      when %r{\\A/full-status/(\\d+)} then [Regexp.last_match(1).to_i, { "content-type" => "text/plain" }, Body.new(name, "must not be sent")]
      when "/sized-204" then [204, { "content-length" => "2" }, Body.new(name, "ok")]
      when "/reset" then [205, text, ["x"]]
      when "/reset-by-each" then [205, text.merge("content-length" => "1"), Body.new(name, "x")]
      when "/upgrade-required" then [426, { "upgrade" => "foo/2", "connection" => "Upgrade, Keep-Alive" }, ["use foo"]]
      when "/framed" then [200, text.merge("transfer-encoding" => "chunked"), ["5\\r\\nhello\\r\\n", "0\\r\\n\\r\\n"]]
      when "/shrinking-file"
        File.write("shrinking.bin", "x" * 20_000_000)
        body = FileBody.new(name, File.expand_path("shrinking.bin"))
        def body.close = File.truncate("shrinking.bin", 1000)
        [200, text, body]
      when "/string-status" then ["201", text, ["made"]]
      when "/gate" then GATE.call(name).push(true) && [200, text, ["opened"]]
      when "/flush"
        [200, text, Body.new(name) { |block| block.call("one"); GATE.call(name).pop; block.call("two"); GATE.call(name).pop }]
      when "/endless"
        [200, text, Body.new(name) { |block| loop { block.call("x" * 65_536) } }]
      when "/trickle"
        [200, text, Body.new(name) { |block| loop { block.call("x"); sleep 0.01 } }]
      when "/raises" then raise ArgumentError, "secret cause"
      when "/raises-script-error" then raise NotImplementedError, "secret cause"
      when "/raises-exception" then raise Exception, "secret cause"
      when "/raises-after" then raise "after \#{name}"
      when "/overflows" then (deep = ->(n) { deep.call(n + 1) + 1 }).call(0)
      when "/throws" then throw :nowhere
      when "/each-raises-first" then [200, text, Body.new(name) { |_| raise "secret cause" }]
      when "/each-raises-later" then [200, text, Body.new(name) { |block| block.call("one"); GATE.call(name).pop; raise "secret cause" }]
      when "/each-raises-sized"
        [200, text.merge("content-length" => "10"), Body.new(name) { |block| block.call("one"); raise "secret cause" }]
      when "/too-short" then [200, text.merge("content-length" => "100"), Body.new(name, "short")]
      when "/too-long" then [200, text.merge("content-length" => "3"), Body.new(name, "longer than that")]
      when "/callable"
        [200, text, lambda do |stream|
          stream.write("one")
          stream.write("t", "wo")
          stream << "three"
          stream.flush
          stream.close
        end]
      when "/callable-flush"
        [200, text, ->(stream) { stream.write("one"); GATE.call(name).pop; stream.write("two"); stream.close }]
      when "/callable-unclosed" then [200, text, ->(stream) { stream.write("one") }]
      when "/callable-raises" then [200, text, ->(stream) { stream.write("one"); raise "secret cause" }]
      when "/callable-left"
        [200, text, lambda do |stream|
          loop { stream.write("x"); sleep 0.01 }
        rescue IOError, SystemCallError => e
          warn "stream of \#{name} ended: \#{e.class}"
        end]
      when "/to-ary-nil"
        [200, text, Class.new(Body) { def to_ary = nil; def closed? = false }.new(name, "piece", " by piece")]
      when "/to-ary-each" # as that of Rails 7.1 does when it is given an Enumerator
        [200, text, Class.new(Body) { def to_ary = enum_for(:each); def closed? = false }.new(name, "piece", " by piece")]
      when "/to-ary" then [200, text, Class.new(Body) { def to_ary; ["by", " to_ary"]; end }.new(name)]
      when %r{\\A/files(/.*)} then files.call(env.merge("PATH_INFO" => Regexp.last_match(1)))
      else [404, text, ["nothing"]]
      end
    end
    run APP
  RUBY

  # How often the server has printed that a body was closed, once it has printed it at all and a later one as well.
  def closings(name)
    server.wait_for_output(/^closed #{name}$/)
    barrier = "barrier-#{name}"
    server.get("/parts?#{barrier}")
    server.wait_for_output(/^closed #{barrier}$/)
    server.output.lines.count { |line| line.chomp == "closed #{name}" }
  end

  # @return [RawSocket::Response, nil] nil when the connection was cut before the head
  def answer_or_cut(target)
    server.get(target)
  rescue RawSocket::Ended
    nil
  end
end
