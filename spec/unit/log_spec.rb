# frozen_string_literal: true

RSpec.describe Volador::Log do
  let(:io) { StringIO.new }
  let(:log) { described_class.new(io) }

  it "writes one line per entry, with its level" do
    log.info("a")
    log.warn("b")
    log.error("c")
    expect(io.string).to eq "volador INFO: a\nvolador WARN: b\nvolador ERROR: c\n"
  end

  it "leaves information out when it is quiet" do
    described_class.new(io, quiet: true).info("a")
    expect(io.string).to be_empty
  end

  it "adds an exception's class, backtrace and causes" do
    begin
      begin
        raise "first"
      rescue RuntimeError
        raise ArgumentError, "second"
      end
    rescue ArgumentError => e
      log.error("GET /", e)
    end
    expect(io.string).to match(%r{\Avolador ERROR: GET /: second \(ArgumentError\)\n\t\S*log_spec.rb:.*caused by: first}m)
  end

  # What others have a say in: a channel's name, a path, an exception's message.
  it "keeps each entry on its own line, and shows what a terminal would obey" do
    log.warn("the channel a\nvolador ERROR: b\r\e[2J\u009b\u2028c\td\u00e9\\n")
    expect(io.string).to eq("volador WARN: the channel a\\nvolador ERROR: b\\r\\e[2J\\u009B\\u2028c\td\u00e9\\n\n")
  end

  it "indents all of an exception but its first line" do
    forged = "one\nvolador ERROR: two\r\n volador ERROR: three\rvolador ERROR: four\e"
    cause = RuntimeError.new("five\nsix")
    error = RuntimeError.new(forged)
    error.define_singleton_method(:cause) { cause }
    error.set_backtrace(["a.rb:1\nvolador ERROR: seven", "b.rb:2"])
    log.error("GET /\nx", error)
    expect(io.string).to eq <<~TEXT
      volador ERROR: GET /\\nx: one
      \tvolador ERROR: two
      \t volador ERROR: three\\rvolador ERROR: four\\e (RuntimeError)
      \ta.rb:1
      \tvolador ERROR: seven
      \tb.rb:2
      \tcaused by: five
      \tsix (RuntimeError)
      \t
    TEXT
  end

  it "indents all but the first line of what another process has said of its end" do
    log.error("it has ended", details: "a.rb:1: no (RuntimeError)\nvolador ERROR: b\n\tfrom c.rb:2\n")
    expect(io.string).to eq "volador ERROR: it has ended: a.rb:1: no (RuntimeError)\n\tvolador ERROR: b\n\tfrom c.rb:2\n"
    expect { log.error("it has ended", details: nil) }.to change(io, :string).to end_with("volador ERROR: it has ended\n")
  end

  # Methods of an exception, and how its entry begins; # stands for the name of its class.
  {
    "a message that raises" => [{ message: -> { raise "again" } }, "(#)\n"],
    "a message that raises more than a StandardError" => [{ message: -> { raise NotImplementedError } }, "(#)\n"],
    "a message that ends the process" => [{ message: -> { exit } }, "(#)\n"],
    "a message that throws" => [{ message: -> { throw :away } }, "(#)\n"],
    "a message without end" => [{ message: -> { message } }, "(#)\n"],
    "a message that is nil" => [{ message: -> {} }, "(#)\n"],
    "a message that is a number" => [{ message: -> { 42 } }, "42 (#)\n"],
    "a message whose to_s raises" => [{ message: -> { Object.new.tap { |o| def o.to_s = raise("no") } } }, "(#)\n"],
    "a message that is a BasicObject" => [{ message: -> { BasicObject.new } }, "(#)\n"],
    "a message whose methods raise" =>
      [{ message: -> { Class.new(String) { def encoding = raise("no") }.new("m") } }, "m (#)\n"],
    "a message of invalid bytes" => [{ message: -> { "\xff\u00e9" } }, "?\u00e9 (#)\n"],
    "a binary message" => [{ message: -> { "\xff\u00e9".b } }, "?\u00e9 (#)\n"],
    "a message in UTF-16" => [{ message: -> { "\u00e9".encode("UTF-16LE") } }, "\u00e9 (#)\n"],
    "a message in an encoding without a way to UTF-8" => [{ message: -> { (+"m\xff").force_encoding("UTF-7") } }, "m? (#)\n"],
    "a frozen message" => [{ message: -> { "m" } }, "m (#)\n"],
    "a full_message that raises" => [{ full_message: -> { raise "no" } }, "m (#)\n"],
    "a class that raises" => [{ class: -> { raise "no" } }, "m (#)\n"],
    "a class that is another" => [{ class: -> { Integer } }, "m (#)\n"],
    "a backtrace that raises" => [{ backtrace: -> { raise "no" } }, "m (#)\n"],
    "a backtrace that is nil" => [{ backtrace: -> {} }, "m (#)\n"],
    "a backtrace that is a String" => [{ backtrace: -> { "x" } }, "m (#)\n"],
    "a backtrace that is a number" => [{ backtrace: -> { 5 } }, "m (#)\n"],
    "a backtrace of anything" => [{ backtrace: -> { [nil, 1, "\xff".b, BasicObject.new] } }, "m (#)\n\t\n\t1\n\t?\n\t\n"],
    "a cause that raises" => [{ cause: -> { raise Exception, "no" } }, "m (#)\n"],
    "a cause that is a number" => [{ cause: -> { 8 } }, "m (#)\n"],
    "a cause that is a BasicObject" => [{ cause: -> { BasicObject.new } }, "m (#)\n"],
    "a cause that is itself" => [{ cause: -> { self } }, "m (#)\n"],
    "a cause, and identity that raises" => [{ cause: -> { self }, equal?: ->(_) { raise }, hash: -> { raise } }, "m (#)\n"]
  }.each do |what, (methods, beginning)|
    it "writes an exception with #{what}" do
      error = Class.new(StandardError) { methods.each { |name, body| define_method(name, &body) } }.new("m")
      name = Module.instance_method(:to_s).bind_call(Kernel.instance_method(:class).bind_call(error))
      expect { log.error("GET /\u00e9", error) }.not_to raise_error
      expect(io.string).to eq "volador ERROR: GET /\u00e9: #{beginning.sub('#', name)}"
    end
  end

  it "writes an exception whose class has a name that raises" do
    nameless = Class.new(StandardError) { %i[name to_s inspect].each { |one| define_singleton_method(one) { raise } } }
    stub_const("Nameless", nameless)
    log.error("GET /", Nameless.new("m"))
    expect(io.string).to eq "volador ERROR: GET /: m (Nameless)\n"
  end

  it "cuts an exception's message after 2,000 characters" do
    log.error("GET /", RuntimeError.new("é" * 2000))
    log.error("GET /", RuntimeError.new("é" * 2001))
    expect(io.string.lines(chomp: true)).to eq [
      "volador ERROR: GET /: #{'é' * 2000} (RuntimeError)",
      "volador ERROR: GET /: #{'é' * 2000}... (cut, of 2001 characters) (RuntimeError)"
    ]
  end

  it "writes what is no exception" do
    log.error("GET /", 8)
    log.error("GET \xff".b, BasicObject.new)
    log.warn(nil)
    expect(io.string).to eq "volador ERROR: GET /: (Integer)\nvolador ERROR: GET ?: (BasicObject)\nvolador WARN: \n"
  end

  it "writes causes that go round in a circle once" do
    errors = %w[a b c].map { |name| RuntimeError.new(name) }
    errors.each_with_index { |error, n| error.define_singleton_method(:cause) { errors[(n + 1) % 3] } }
    log.error("GET /", errors.first)
    expect(io.string.scan(/(\w) \(/).flatten).to eq %w[a b c]
  end

  it "writes 20 causes of many" do
    last = (1..10_000).inject(RuntimeError.new("0")) do |cause, n|
      RuntimeError.new(n.to_s).tap { |error| error.define_singleton_method(:cause) { cause } }
    end
    log.error("GET /", last)
    expect(io.string.scan(/(\d+) \(/).flatten.map(&:to_i)).to eq(Array.new(21) { |n| 10_000 - n })
  end

  it "survives a closed log" do
    io.close
    expect { log.error("a") }.not_to raise_error
  end

  it "keeps entries of many threads whole" do
    8.times.map { |n| Thread.new { 50.times { log.warn(n.to_s * 20) } } }.each(&:join)
    expect(io.string.lines).to all match(/\Avolador WARN: (\d)\1{19}\n\z/)
  end
end
