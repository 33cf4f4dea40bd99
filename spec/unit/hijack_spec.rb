# frozen_string_literal: true

RSpec.describe Volador::Hijack do
  let(:seat) { Fakes::Seat.new }
  let(:env) { seat.env }
  let(:hijack) { described_class.new(seat) }

  it "takes the connection once, and gives the same socket again" do
    socket = hijack.call

    expect(hijack.call).to equal(socket)
    expect(env["rack.hijack_io"]).to equal(socket)
    expect(seat.calls).to eq [[:hijack, hijack]]
    socket.write("x")
    expect(seat.client.readpartial(9)).to eq "x"
    socket.close
  end

  it "gives the socket also when the env is frozen, which then has no key for it" do
    env.freeze
    socket = hijack.call
    expect(hijack.call).to equal(socket)
    expect(env).not_to have_key("rack.hijack_io")
    socket.write("x")
    expect(seat.client.readpartial(9)).to eq "x"
    socket.close
  end

  it "keeps the socket when the env does not take it" do
    env.define_singleton_method(:[]=) { |*| raise "no" }
    expect { hijack.call }.to raise_error(RuntimeError, "no")
    hijack.call.write("x")
    expect(seat.client.readpartial(9)).to eq "x"
    hijack.call.close
  end

  it "says what the seat raises, and can be tried again" do
    seat.failure = Errno::EMFILE.new
    expect { hijack.call }.to raise_error(Errno::EMFILE)
    expect(env).not_to have_key("rack.hijack_io")
    hijack.call.close
  end

  it "shows whether it has happened, and not what it stands in" do
    expect(hijack.inspect).to eq "#<Volador::Hijack>"
    hijack.call.close
    expect(hijack.inspect).to eq "#<Volador::Hijack taken>"
  end

  it "keeps its seat, and is not made without one" do
    kept = Array.new(1000) { |n| described_class.new("seat #{n}") }
    GC.start
    expect(kept.each_with_index.all? { |one, n| one.send(:seat) == "seat #{n}" }).to be true
    expect { described_class.allocate }.to raise_error(TypeError)
  end

  it "is the same when an env is copied with all that is in it" do
    expect([hijack.dup, hijack.clone, hijack.clone(freeze: true)]).to all(equal(hijack))
    expect(hijack).not_to be_frozen
  end
end
