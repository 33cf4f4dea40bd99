# frozen_string_literal: true

RSpec.describe Volador::Event do
  let(:event) { described_class.new("42", event: "price", id: "7", retry: 250) }

  it "is a frozen value" do
    expect(event).to be_frozen & have_attributes(data: "42", event: "price", id: "7", retry: 250, to_s: "42",
                                                 to_a: ["42", "price", "7", 250])
    expect([event.data, event.event, event.id]).to all(be_frozen)
    same = described_class.new("42", event: "price", id: "7", retry: 250)
    expect({ event => 1 }[same]).to eq 1
    expect(event).to eq(same)
    expect(event).not_to eq(described_class.new("42", event: "price", id: "7"))
    expect(event).not_to eq(event.to_a)
    expect(event.inspect).to eq '#<Volador::Event "42" event="price" id="7" retry=250>'
  end

  it "has no fields but the text unless they are given, and leaves what it was given alone" do
    text = +"text"
    plain = described_class.new(text)
    text << " and more"
    expect(plain.to_a).to eq ["text", nil, nil, nil]
    expect(plain.inspect).to eq '#<Volador::Event "text">'
  end

  it "is UTF-8, whatever the encoding of its text was" do
    texts = ["h\u00e4".encode("ISO-8859-1"), "h\u00e4".b, "h\u00e4", "h\u00e4".encode("UTF-16LE")]
    texts.each do |text|
      event = described_class.new(text, event: text, id: text)
      expect(event.to_a).to eq ["h\u00e4", "h\u00e4", "h\u00e4", nil]
      expect(event.to_a.compact.map(&:encoding)).to all(be Encoding::UTF_8)
    end
    expect(["a\xff", "a\xff".b].map { |text| described_class.new(text).data }).to all(eq "a\ufffd")
  end

  it "keeps line ends and NUL in its text, and an empty id" do
    expect(described_class.new("a\r\nb\0\n", id: "").to_a).to eq ["a\r\nb\0\n", nil, "", nil]
  end

  { "CR in event" => { event: "a\rb" }, "LF in event" => { event: "a\n" }, "NUL in event" => { event: "a\0" },
    "CR in id" => { id: "\r" }, "LF in id" => { id: "a\nb" }, "NUL in id" => { id: "a\0" }, "a Symbol as event" => { event: :price },
    "an Integer as id" => { id: 7 }, "an event that is no text" => { event: "\xff" },
    "an id that is no text" => { id: "\xff".b }, "retry as a String" => { retry: "1" },
    "retry as a Float" => { retry: 1.5 }, "retry below 0" => { retry: -1 },
    "retry past what clients count" => { retry: 2**53 },
    "a field that is none" => { type: "a" } }.each do |name, fields|
    it "refuses #{name}" do
      expect { described_class.new("x", **fields) }.to raise_error(ArgumentError, /#{fields.keys.first}/)
    end
  end

  [nil, 42, :symbol, ["x"]].each do |data|
    it "refuses #{data.inspect} as its text" do
      expect { described_class.new(data) }.to raise_error(ArgumentError, /String, got #{data.class}/)
    end
  end

  describe "is taken by" do
    let(:connection) { Fakes::Connection.new }

    it "a client, as are its fields" do
      client = Volador::Push::Client.new(connection, Fakes.env, :sse, Object.new, Volador::Log.new(StringIO.new))
      expect([client.write(event), client.write("x", event: "e", retry: 1), client.write("y", id: "")]).to all(be true)
      expect(connection.sent).to eq [event.to_a, ["x", "e", nil, 1], ["y", nil, "", nil]]
      expect { client.write("x", id: "\n") }.to raise_error(ArgumentError, /id/)
      expect { client.write(event, id: "8") }.to raise_error(TypeError, /Volador::Event/)
      expect { client.write(42, id: "8") }.to raise_error(TypeError, /Integer/)
      client.close
      expect(client.write(event)).to be false
    end

    it "a writer" do
      writer = Volador::Push::Writer.new(connection)
      expect(writer.write(event)).to be true
      expect(connection.sent).to eq [event.to_a]
      writer.close
      expect { writer.write(event) }.to raise_error(Volador::ClosedError)
    end

    it "Volador.broadcast and Volador.publish" do
      server = instance_double(Volador::Server, broadcast: nil, publish: true)
      allow(Volador::Server).to receive(:reach).and_return([server])
      Volador.broadcast("/rooms/*", event)
      expect(Volador.publish(:news, event)).to be true
      expect(server).to have_received(:broadcast).with("/rooms/*", event)
      expect(server).to have_received(:publish).with("news", event)
    end

    it "an engine" do
      engine = double("engine", publish: true) # rubocop:disable RSpec/VerifiedDoubles
      Volador.publish("news", event, engine: engine)
      expect(engine).to have_received(:publish).with("news", event)
    end
  end
end
