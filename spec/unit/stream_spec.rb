# frozen_string_literal: true

RSpec.describe Volador::Stream do
  let(:seat) { Fakes::Seat.new }
  let(:stream) { described_class.new(seat, Fakes::Seat::RESPONSE, StringIO.new("question")) }

  it "sends every write at once and leaves empty ones out" do
    expect(stream.write("ab")).to eq 2
    expect(stream << "c" << "").to equal stream
    expect(stream.write("d", :ef)).to eq 3
    expect(stream.flush).to equal stream
    expect(seat.calls.map(&:last)).to eq %w[ab c d ef]
  end

  it "reads the request's body" do
    buffer = +""
    expect(stream.read(3)).to eq "que"
    expect(stream.read(2, buffer)).to eq "st"
    expect(stream.read).to eq "ion"
    expect(stream.read(1)).to be_nil
  end

  it "closes each direction by itself" do
    stream.close_write
    expect { stream.write("x") }.to raise_error(IOError, /closed for writing/)
    expect(stream.read(1)).to eq "q"
    expect(stream).not_to be_closed
    stream.close_read
    expect { stream.read }.to raise_error(IOError, /closed for reading/)
    expect(stream).to be_closed
  end

  it "is not closed in the midst of a chunk that another thread writes, and takes none after it" do
    begun = Queue.new
    done = Queue.new
    seat.define_singleton_method(:write) do |chunk, response|
      begun << true
      done.pop
      super(chunk, response)
    end
    writer = Thread.new { stream.write("a", "b") }
    writer.report_on_exception = false
    begun.pop
    closer = Thread.new { stream.close }
    Thread.pass until closer.stop?
    expect(closer).to be_alive
    done << true
    expect(closer.join(20)).to be closer
    expect { writer.value }.to raise_error(IOError, /closed for writing/)
    expect(seat.calls.map(&:last)).to eq %w[a]
  end

  it "closes both directions, any number of times" do
    2.times { expect(stream.close).to be_nil }
    expect(stream).to be_closed
  end
end
