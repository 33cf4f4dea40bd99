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

  it "survives exceptions whose message raises, and those without a backtrace" do
    error = Class.new(StandardError) { def message = raise("again") }.new
    log.error("GET /", error)
    expect(io.string).to start_with "volador ERROR: GET /: ("
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
