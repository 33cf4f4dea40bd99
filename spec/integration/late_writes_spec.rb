# frozen_string_literal: true

require_relative "integration_helper"

# An application may keep a body's stream, or the block of its `each`, and write when the response is over. With one
# application thread the next response is the same seat's.
RSpec.describe "A response that is over" do
  app = <<~RUBY
    KEPT = Queue.new
    # A body whose each keeps its block.
    class Keeper
      def each(&block)
        block.call("mine")
        KEPT << block
      end
    end

    REACHED, OPEN, RESULT = Queue.new, Queue.new, Queue.new
    # A chunk that is there only when the response is over.
    class LateChunk
      def to_s
        REACHED << true
        OPEN.pop
        "stray"
      end
    end

    # Returns in the midst of another thread's write.
    left = lambda do |stream|
      Thread.new do
        stream.write("early", LateChunk.new)
        RESULT << "written"
      rescue IOError => e
        RESULT << "\#{e.class}: \#{e.message}"
      end
      REACHED.pop
    end
    # The next one, in which that write goes on.
    following = lambda do |stream|
      stream.write("mine, ")
      OPEN << true
      stream.write(RESULT.pop)
    end
    # Two threads that write by turns, of which the body waits for the other.
    both = lambda do |stream|
      writing = true
      beat = Thread.new { (stream.write("."); Thread.pass) while writing }
      8.times { stream.write("A" * 200_000) }
      writing = false
      beat.join
    end
    run(lambda do |env|
      case env["PATH_INFO"]
      when "/left" then [200, {}, left]
      when "/following" then [200, {}, following]
      when "/both" then [200, {}, both]
      when "/each" then [200, {}, Keeper.new]
      when "/late"
        error = nil
        begin
          KEPT.pop.call("late")
        rescue IOError => e
          error = e
        end
        [200, {}, ["\#{error.class}: \#{error&.message}"]]
      else [200, {}, ["fine"]]
      end
    end)
  RUBY

  let!(:server) { start_volador(app, "-t", "1") }

  def get(path) = server.connect { |socket| socket.request("GET", path) }

  it "does not go on in the next client's" do
    expect(get("/left").body).to eq "early"
    expect(get("/following").body).to eq "mine, IOError: the stream is closed for writing"
  end

  it "takes nothing more from a block of each that was kept" do
    expect(get("/each").body).to eq "mine"
    expect(get("/late").body).to eq "IOError: the response is over"
  end

  it "leaves the thread that answers unharmed by threads that write by turns" do
    answer = get("/both")
    expect(answer).to be_complete
    expect(answer.body.delete(".").bytesize).to eq 1_600_000
    expect(get("/").body).to eq "fine"
  end
end
