# frozen_string_literal: true

require "volador/compat/text"

RSpec.describe Volador::Compat::Text do
  it "takes BINARY bytes that are valid UTF-8 for text, and leaves the String as it was" do
    message = "h\u00e9llo".b.freeze
    expect(described_class.of(message)).to eq "h\u00e9llo"
    expect(message.encoding).to eq Encoding::BINARY
  end

  it "leaves everything else alone" do
    ["\xff\x00".b, "text", "\xff", "\u00e9".encode(Encoding::UTF_16LE), :symbol, nil].each do |message|
      expect(described_class.of(message)).to equal message
    end
  end
end
