# frozen_string_literal: true

RSpec.describe Volador::EmptyInput do
  subject(:input) { described_class::INSTANCE }

  it "is at its end however it is read" do
    expect(input.read).to eq ""
    expect(input.read(0)).to eq ""
    expect(input.read(5)).to be_nil
    expect(input.gets).to be_nil
    expect(input.each.to_a).to eq []
    expect(input.each { raise "a line" }).to equal input
    expect { input.readpartial(1) }.to raise_error(EOFError)
    expect(input.eof?).to be true
  end

  it "empties a buffer that it is given" do
    buffer = +"old"
    expect(input.read(nil, buffer)).to equal buffer
    expect(buffer).to eq ""
    buffer << "old"
    expect(input.read(3, buffer)).to be_nil
    expect(buffer).to eq ""
  end

  it "gives every reader a String of its own, in BINARY" do
    input.read << "mine"
    expect(input.read).to eq("").and have_attributes(encoding: Encoding::BINARY)
  end

  it "can be rewound and closed without effect" do
    expect(input.rewind).to eq 0
    expect(input.size).to eq 0
    input.close
    expect(input).not_to be_closed
    expect(input.external_encoding).to eq Encoding::BINARY
    expect(input.binmode).to equal input
  end
end
