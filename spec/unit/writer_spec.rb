# frozen_string_literal: true

RSpec.describe Volador::Push::Writer do
  let(:connection) { Fakes::Connection.new }
  let(:writer) { described_class.new(connection) }

  it "sends what to_s gives" do
    expect(writer.write(42)).to be true
    writer.write("text")
    writer.write("\xff".b)
    expect(connection.sent).to eq ["42", "text", "\xff".b]
    expect(connection.sent.last.encoding).to eq Encoding::BINARY
  end

  it "asks a String of a class of its own for to_s as well" do
    loud = Class.new(String) { def to_s = upcase }
    writer.write(loud.new("text"))
    expect(connection.sent).to eq ["TEXT"]
  end

  it "shows in short whether it is open" do
    expect(writer.inspect).to eq "#<Volador::Push::Writer open>"
    writer.close
    expect(writer.inspect).to eq "#<Volador::Push::Writer closed>"
  end

  it "is shown as closed in a forked process, whose connection it is not" do
    allow(connection).to receive(:open?).and_raise(Volador::Error)
    expect(writer.inspect).to eq "#<Volador::Push::Writer closed>"
  end

  it "raises a ClosedError, which is an IOError, once the connection is closed" do
    expect(writer).to be_open
    expect(writer.close).to be_nil
    expect(writer).to be_closed
    expect { writer.write("x") }.to raise_error(Volador::ClosedError) { |error| expect(error).to be_an IOError }
  end
end
