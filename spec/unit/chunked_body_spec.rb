# frozen_string_literal: true

RSpec.describe Volador::ChunkedBody do
  let(:wire) { "3\r\none\r\n5;name=value\r\nt\r\nwo\r\n0\r\nTrailer: x\r\n\r\n" }

  def chunks(*parts)
    [].tap { |found| described_class.new(parts).each { |chunk| found << chunk } }
  end

  it "takes the framing off" do
    expect(chunks(wire)).to eq ["one", "t\r\nwo"]
  end

  it "does so however the body is split" do
    (1...wire.bytesize).each do |at|
      expect(chunks(wire.byteslice(0, at), wire.byteslice(at..))).to eq ["one", "t\r\nwo"]
    end
    expect(chunks(*wire.chars)).to eq ["one", "t\r\nwo"]
  end

  ["hello\r\n", "3\r\nonetwo\r\n", "-3\r\none\r\n", "\r\n", "x" * 2000, "abc", "ab\r\n", "5\r\nabc",
   "3\r\nabc\r\n", ""].each do |wrong|
    it "refuses #{wrong[0, 20].inspect}" do
      expect { chunks(wrong) }.to raise_error(Volador::ResponseError, /leave that header out/)
    end
  end

  it "is declared by the header, in any case" do
    expect(described_class.declared?("Transfer-Encoding" => "Chunked")).to be true
    expect(described_class.declared?("transfer-encoding" => "gzip")).to be false
    expect(described_class.declared?({})).to be false
  end
end
