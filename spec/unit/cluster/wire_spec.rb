# frozen_string_literal: true

require "objspace"
require "socket"
require "volador/cluster/wire"

RSpec.describe Volador::Cluster::Wire do
  let(:ends) { UNIXSocket.pair }
  let(:here) { described_class.new(ends[0]) }
  let(:there) { described_class.new(ends[1]) }

  after { ends.each { |io| io.close unless io.closed? } }

  it "carries messages in order" do
    here.write(do: "fork", number: 1)
    here.put(do: "fork", number: 2)
    expect(there.read).to eq(do: "fork", number: 1)
    expect(there.read).to eq(do: "fork", number: 2)
  end

  it "puts messages together however they arrive" do
    taken = "{\"a\":1}\n{\"b\":\"\\n\"}\n".each_char.flat_map { |char| ends[0].write(char) && there.take }
    expect(taken).to eq [{ a: 1 }, { b: "\n" }]
    ends[0].write("{\"c\":3}\n{\"d\":4}\n{")
    expect(there.take).to eq [{ c: 3 }, { d: 4 }]
  end

  it "gives one message by one read, and the others later, in order" do
    ends[0].write("{\"a\":1}\n{\"b\":2}\n{\"c\"")
    expect(there.take_one).to eq(a: 1)
    ends[0].write(":3}\n{\"d\":4}\n")
    ends[0].close
    expect([there.take_one, there.read, there.take, there.ended?]).to eq [{ b: 2 }, { c: 3 }, [{ d: 4 }], true]
  end

  it "reads no more than once for one message, however much there is" do
    reader = described_class.new(ends[1])
    written = ends[0].write_nonblock("x" * 100_000)
    expect([reader.take_one, ends[1].read_nonblock(written).bytesize]).to eq [nil, written - 65_536]
  end

  it "leaves no memory behind for the collector, whether there is something to read or not" do
    read = -> { here.write(a: 1) && [there.take_one, there.take_one] }
    expect(read.call).to eq [{ a: 1 }, nil]
    GC.disable
    before = ObjectSpace.memsize_of_all(String)
    100.times { read.call }
    expect(ObjectSpace.memsize_of_all(String) - before).to be < 100_000
  ensure
    GC.enable
  end

  it "gives what has arrived before it ends" do
    here.write(a: 1)
    here.close
    expect(there).not_to be_ended
    expect([there.read, there.read]).to eq [{ a: 1 }, nil]
    expect(there).to be_ended
  end

  it "waits no longer than it is told" do
    expect(there.read(0.01)).to be_nil
    expect(there).not_to be_ended
  end

  it "carries texts of every encoding" do
    here.write(text: "caf\xE9".dup.force_encoding("ISO-8859-1"), bytes: ["\xFFb".b], more: { wide: "é".b })
    expect(there.read).to eq(text: "café", bytes: ["\uFFFDb"], more: { wide: "é" })
  end

  { "no JSON" => "what?\n", "no Hash" => "[1]\n", "a line without an end" => "x" * 20,
    "a line that is too long" => "{\"a\":12345}\n" }.each do |what, bytes|
    it "ends at #{what}" do
      wire = described_class.new(ends[1], line_max: 10)
      ends[0].write(bytes)
      expect(wire.take).to eq []
      expect(wire).to be_ended
    end
  end

  it "says that the other side has ended or does not read, and does not wait for it" do
    message = { text: "x" * 50_000 }
    taken = Array.new(100) { here.put(message) }
    expect(taken).to include(true, false)
    there.close
    expect([here.put(message), here.write(message)]).to eq [false, false]
  end
end
