# frozen_string_literal: true

require "rack"
require "uri" # Rack::Lint of Rack 2.2 uses it without loading it

RSpec.describe Volador::Responder do
  let(:seat) { Fakes::Seat.new }
  let(:printed) { StringIO.new }
  let(:responder) { described_class.new(seat, Volador::Log.new(printed)) }
  let(:env) { Fakes.env("/thing") }

  def deliver(*answer, **options)
    responder.deliver(env, answer, **options)
    seat.calls
  end

  it "sends an Array of Strings whole" do
    expect(deliver(200, { "a" => "b" }, %w[x y])).to eq [[:respond, 200, { "a" => "b" }, %w[x y]]]
  end

  it "says of Iodine's raw protocols that they are not there" do
    env["upgrade.tcp"] = Object.new
    env["rack.protocol"] = ["echo"]
    expect(deliver(101, { "Upgrade" => "echo" }, []).map { |call| call[0..1] }).to eq [[:respond, 500]]
    expect(printed.string).to include("env[\"upgrade.tcp\"] is not there: take the connection by rack.hijack")
  end

  it "takes a status that is an Integer in a String" do
    expect(deliver("201", {}, [])).to eq [[:respond, 201, {}, []]]
  end

  it "takes headers that are pairs and joins repeated ones by newlines" do
    headers = [["set-cookie", "a=1"], ["x", "1"], ["set-cookie", "b=2"]]
    expect(deliver(200, headers, [])).to eq [[:respond, 200, { "set-cookie" => "a=1\nb=2", "x" => "1" }, []]]
  end

  it "sends an Array behind a Rack::BodyProxy whole and closes the proxy once" do
    closed = 0
    deliver(200, {}, Rack::BodyProxy.new(["x"]) { closed += 1 })
    expect(seat.calls).to eq [[:respond, 200, {}, ["x"]]]
    expect(closed).to eq 1
  end

  it "sends each chunk as it comes and closes the body" do
    body = Fakes::Body.new(["a", "", "b"])
    expect(deliver(200, {}, body)).to eq [[:start, 200, {}], [:write, "a"], [:write, "b"], [:finish]]
    expect(body.closed).to eq 1
  end

  it "answers 500 when the first chunk is longer than the Content-Length" do
    body = Fakes::Body.new(%w[four more])
    expect(deliver(200, { "Content-Length" => "3" }, body).map { |call| call[0..1] }).to eq [[:respond, 500]]
    expect(printed.string).to include "Content-Length is 3, but the body has at least 4 bytes"
    expect(body.closed).to eq 1
  end

  it "takes no Content-Length from a body that is framed in chunks" do
    headers = { "Transfer-Encoding" => "chunked", "Content-Length" => "3" }
    expect(deliver(200, headers, ["3\r\nabc\r\n0\r\n\r\n"]))
      .to eq [[:start, 200, { "Transfer-Encoding" => "chunked" }], [:write, "abc"], [:finish]]
  end

  it "answers 500 when a body that is declared to be in chunks is not" do
    expect(deliver(200, { "Transfer-Encoding" => "chunked", "Content-Length" => "3" }, ["abc"]).map { |call| call[0..1] })
      .to eq [[:respond, 500]]
    expect(printed.string).to include "its body is not in chunks"
  end

  it "answers without content, though the headers declare chunks of it" do
    [204, 304].each do |status|
      fresh = Fakes::Seat.new
      described_class.new(fresh, Volador::Log.new(printed))
                     .deliver(env, [status, { "Transfer-Encoding" => "chunked" }, Fakes::Body.new])
      expect(fresh.steps).to eq %i[start finish]
    end
  end

  it "sends the file of a body with to_path" do
    body = Fakes::Body.new(["never"])
    body.define_singleton_method(:to_path) { __FILE__ }
    expect(deliver(200, {}, body)).to eq [[:respond_file, 200, {}, File.read(__FILE__)]]
    expect(body.closed).to eq 1
  end

  it "gives up, without a word of its own, when there is no descriptor for the file of to_path, or for its answer" do
    body = Fakes::Body.new(["never"])
    body.define_singleton_method(:to_path) { __FILE__ }
    seat.failure = Errno::EMFILE.new
    expect(deliver(200, {}, body)).to eq [[:give_up, Errno::EMFILE::Errno]]

    fresh = Fakes::Seat.new
    allow(File).to receive(:open).with(__FILE__, "rb").and_raise(Errno::ENFILE)
    described_class.new(fresh, Volador::Log.new(printed)).deliver(env, [200, {}, body])
    expect(fresh.calls).to eq [[:give_up, Errno::ENFILE::Errno]]
    expect([body.closed, printed.string]).to eq [2, ""]
  end

  it "falls back to each when the file of to_path is no regular file" do
    body = Fakes::Body.new(["chunk"])
    body.define_singleton_method(:to_path) { Dir.pwd }
    expect(deliver(200, {}, body)).to include [:write, "chunk"]
  end

  it "calls a streaming body with a stream" do
    env["rack.input"] = StringIO.new("question")
    body = lambda do |stream|
      stream << "got " << stream.read
      stream.write("!")
      stream.close
    end
    expect(deliver(200, {}, body).drop(1)).to eq [[:write, "got "], [:write, "question"], [:write, "!"], [:finish]]
  end

  it "ends the stream of a streaming body when its call returns" do
    kept = nil
    deliver(200, {}, ->(stream) { kept = stream })
    expect(kept).to be_closed
    expect { kept.write("late") }.to raise_error(IOError, /closed/)
  end

  context "with a request that asks for other protocols" do
    let(:env) { Fakes.env("/thing", "rack.protocol" => %w[a b]) }

    it "gives the socket to the body of a 101, or to its rack.hijack, and leaves it open" do
      socket = nil
      take = ->(io) { socket = io }
      [[101, { "Upgrade" => "A" }, take], [101, { "upgrade" => "a", "rack.hijack" => take }, []]].each do |answer|
        fresh = Fakes::Seat.new
        described_class.new(fresh, Volador::Log.new(printed)).deliver(env, answer)
        expect(fresh.calls.map { |name, status, headers| [name, status, headers["upgrade"]] })
          .to match [[:hijack_after, 101, /\Aa\z/i]]
        socket.write("x")
        expect(fresh.client.readpartial(9)).to eq "x"
        socket.close
      end
    end

    it "changes to the rack.protocol of the answer, whatever its status" do
      deliver(200, { "rack.protocol" => "b", "Upgrade" => "c", "x" => "1" }, :close.to_proc)
      expect(seat.calls).to eq [[:hijack_after, 101, { "rack.protocol" => "b", "x" => "1", "upgrade" => "b" }, false]]
      expect(seat.client.read).to eq ""
    end

    it "closes the socket when the body that was given it raises, or ends the thread" do
      deliver(101, { "upgrade" => "a" }, ->(_) { raise "oops" })
      expect([seat.steps, seat.client.read]).to eq [[:hijack_after], ""]
      expect(printed.string).to include "oops"

      other = Fakes::Seat.new
      responder = described_class.new(other, Volador::Log.new(printed))
      Thread.new { responder.deliver(env, [101, { "upgrade" => "a" }, ->(_) { Thread.exit }]) }.join
      expect(other.client.read).to eq ""
    end

    [
      [200, { "rack.protocol" => "c" }, ->(_) {}], [101, { "upgrade" => "c" }, ->(_) {}], [101, {}, ->(_) {}],
      [101, { "upgrade" => "a" }, []]
    ].each do |status, headers, body|
      it "answers 500 to #{status} with #{headers} and a body #{body.is_a?(Array) ? 'without' : 'with'} call" do
        expect(deliver(status, headers, body).map { |call| call[0..1] }).to eq [[:respond, 500]]
        expect(printed.string).to match(/must be one of the request's, \["a", "b"\]|must respond to call/)
      end
    end
  end

  it "answers 500 to a 101 that nobody has asked for" do
    [[101, { "upgrade" => "a" }, ->(_) {}], [200, { "rack.protocol" => "a" }, ->(_) {}]].each do |answer|
      fresh = Fakes::Seat.new
      described_class.new(fresh, Volador::Log.new(printed)).deliver(env, answer)
      expect(fresh.calls.map { |call| call[0..1] }).to eq [[:respond, 500]]
    end
    expect(printed.string).to include("a status of 101 answers a request with Upgrade only", "of the request's, nil")
  end

  it "gives the socket to a rack.hijack header behind the head, and says whether that is framed in chunks" do
    [[{ "x" => "1" }, false], [{ "Transfer-Encoding" => "chunked" }, true]].each do |headers, is_chunked|
      fresh = Fakes::Seat.new
      headers = headers.merge("rack.hijack" => ->(io) { Thread.new { io.write("raw").then { io.close } } })
      described_class.new(fresh, Volador::Log.new(printed)).deliver(env, [200, headers, []])
      expect(fresh.calls).to eq [[:hijack_after, 200, headers, is_chunked]]
      expect(fresh.client.read).to eq "raw"
    end
  end

  it "does not run the body of a HEAD request and closes it" do
    env["REQUEST_METHOD"] = "HEAD"
    body = Fakes::Body.new { raise "each was called" }
    expect(deliver(200, {}, body)).to eq [[:start, 200, {}], [:finish]]
    expect(body.closed).to eq 1
  end

  it "answers 500 when each raises before its first chunk" do
    body = Fakes::Body.new { raise "broken" }
    expect(deliver(200, {}, body)).to eq [[:respond, 500, { "content-type" => "text/plain" }, ["Internal Server Error"]]]
    expect(printed.string).to match(/ERROR: GET \/thing: broken \(RuntimeError\)\n\t.*responder_spec/)
    expect(body.closed).to eq 1
  end

  it "cuts the connection when each raises after a chunk" do
    body = Fakes::Body.new do |block|
      block.call("a")
      raise "broken"
    end
    expect(deliver(200, {}, body).map(&:first)).to eq %i[start write abort]
    expect(body.closed).to eq 1
  end

  it "closes the body and logs nothing when the client leaves" do
    seat.failure = Volador::ClientGone.new("gone")
    body = Fakes::Body.new(["a"])
    expect(deliver(200, {}, body).map(&:first)).to eq %i[start abort]
    expect(body.closed).to eq 1
    expect(printed.string).to be_empty
  end

  it "closes the body when the head is invalid" do
    body = Fakes::Body.new
    expect(deliver(99, {}, body).dig(0, 1)).to eq 500
    expect(body.closed).to eq 1
    expect(printed.string).to include "the status 99"
  end

  it "closes a body once that closes itself when to_ary is called" do
    body = Rack::BodyProxy.new(["x"]) {}
    count = 0
    body.define_singleton_method(:close) { (count += 1) && super() }
    deliver(200, {}, body)
    expect(count).to eq 1
  end

  it "asks a body for no to_ary whose length is declared" do
    body = Fakes::Body.new(%w[a b])
    body.define_singleton_method(:to_ary) { raise LocalJumpError, "no block given (yield)" }
    body.define_singleton_method(:closed?) { false }
    headers = { "Content-Length" => "2" }
    expect(deliver(206, headers, body)).to eq [[:start, 206, headers], [:write, "a"], [:write, "b"], [:finish]]
  end

  it "sends an Array whole whose length is declared" do
    headers = { "content-length" => "2" }
    expect(deliver(200, headers, %w[a b])).to eq [[:respond, 200, headers, %w[a b]]]
  end

  it "takes an answer from behind two Rack::Lint that declares its length" do
    app = Rack::Lint.new(Rack::Lint.new(->(_) { [401, { "content-type" => "text/plain", "content-length" => "2" }, ["no"]] }))
    status, headers, body = app.call(Rack::MockRequest.env_for("/"))
    expect(deliver(status, headers, body).map(&:first)).to eq %i[start write finish]
  end

  it "closes a body whose closed? raises" do
    body = Fakes::Body.new(["a"])
    body.define_singleton_method(:closed?) { raise "I can't tell" }
    deliver(200, {}, body)
    expect(body.closed).to eq 1
  end

  it "lives with a close that raises" do
    body = Fakes::Body.new(["a"])
    body.define_singleton_method(:close) { raise "at the end" }
    expect(deliver(200, {}, body).last).to eq [:finish]
    expect(printed.string).to include "closing the body raised: at the end"
  end

  it "runs rack.response_finished, the last one first, with the error if there was one" do
    calls = []
    env["rack.response_finished"] = [->(*arguments) { calls << [1, *arguments] }, ->(*) { calls << [2] }]
    deliver(200, {}, Fakes::Body.new([7]))
    expect(calls.map(&:first)).to eq [2, 1]
    expect(calls.last[1..3]).to eq [env, 200, {}]
    expect(calls.last[4]).to be_a(Volador::ResponseError)
  end

  it "leaves the application the Array that it has put there, and ignores what is none" do
    calls = []
    kept = [->(*) { calls << 1 }]
    [kept, kept.freeze, 5, nil].each do |callables|
      env["rack.response_finished"] = callables
      deliver(200, {}, [])
    end
    expect([calls, kept.size]).to eq [[1, 1], 1]
  end

  {
    nil => "returned nil",
    "text" => "returned String",
    [200, {}] => "returned an Array of 2",
    [:ok, {}, []] => "the status :ok",
    [200, nil, []] => "the headers are a NilClass",
    [200, {}, "text"] => "the body is a String",
    [200, {}, [1]] => "the body has a Integer in it"
  }.each do |answer, message|
    it "answers #{answer.inspect} of an application with 500 and logs that #{message}" do
      responder.deliver(env, answer)
      expect(seat.calls.dig(0, 1)).to eq 500
      expect(printed.string).to include message
    end
  end

  [2, 3].each do |release|
    next unless Rack.release.start_with?(release.to_s)

    it "satisfies Rack::Lint of Rack #{release} for Arrays, each, HEAD and files" do
      type = { "content-type" => "text/plain" }
      [["x"], Fakes::Body.new(["x"]), File.open(__FILE__, "rb")].each do |body|
        %w[GET HEAD].each do |method|
          fresh = Fakes::Seat.new
          request = Fakes.env("/", method)
          body.rewind if body.respond_to?(:rewind) && !body.closed?
          app = Rack::Lint.new(->(_) { [200, type.dup, method == "HEAD" ? [] : body] })
          described_class.new(fresh, Volador::Log.new(printed)).deliver(request, app.call(request))
          expect(fresh.calls.first[1]).to eq(200), printed.string
        end
      end
      expect(printed.string).to be_empty
    end
  end
end
