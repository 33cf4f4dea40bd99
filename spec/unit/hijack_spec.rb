# frozen_string_literal: true

RSpec.describe Volador::Hijack do
  let(:seat) { Fakes::Seat.new }
  let(:env) { seat.env }
  # As the extension makes it.
  let(:hijack) { described_class.allocate.tap { |one| one.instance_variable_set(:@seat, seat) } }

  it "takes the connection once, and gives the same socket again" do
    socket = hijack.call

    expect(hijack.call).to equal(socket)
    expect(env["rack.hijack_io"]).to equal(socket)
    expect(seat.calls).to eq [[:hijack, hijack]]
    socket.write("x")
    expect(seat.client.readpartial(9)).to eq "x"
    socket.close
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
end
