# frozen_string_literal: true

require "fcntl"
require "tempfile"

RSpec.describe Volador::Output do
  def write(stream, entry)
    described_class.write(stream, entry)
  end

  def with_pipe
    reader, writer = IO.pipe
    yield reader, writer
  ensure
    [reader, writer].each { |io| io.close unless io.closed? }
  end

  # @return [Integer] bytes that it took
  def fill(writer)
    bytes = 0
    loop do
      written = writer.write_nonblock("." * 4096, exception: false)
      return bytes if written == :wait_writable

      bytes += written
    end
  end

  # Reads until all of these have come.
  def read_until(reader, *entries)
    text = +""
    Deadline.until("#{entries.inspect} in the output") do
      bytes = reader.read_nonblock(1 << 20, exception: false)
      text << bytes if bytes.is_a?(String)
      entries.all? { |entry| text.include?(entry) }
    end
    text
  end

  def now
    Volador::Clock.now
  end

  # @return [Float] seconds
  def time
    begun = now
    yield
    now - begun
  end

  it "has written an entry when it returns, also one that is longer than a pipe takes at once" do
    with_pipe do |reader, writer|
      long = "#{'x' * 40_000}\n"
      write(writer, "first\n")
      write(writer, long)
      expect(reader.read_nonblock(1 << 20)).to eq "first\n#{long}"
    end
  end

  it "takes whatever a stream raises that is no IO, but for what a signal brings to the main thread, or its handler" do
    raising = lambda do |error|
      Object.new.tap { |stream| stream.define_singleton_method(:write) { |_| raise error } }
    end
    [RuntimeError, NotImplementedError, NoMemoryError, SystemStackError, Exception].each do |error|
      expect(write(raising.call(error), "entry\n")).to be_nil
    end
    [Interrupt, SystemExit].each do |error|
      expect(Thread.new { write(raising.call(error), "entry\n") }.value).to be_nil
      expect { write(raising.call(error), "entry\n") }.to raise_error(error)
    end
  end

  it "has written it behind what the application has printed, and leaves nothing in the stream's buffer" do
    with_pipe do |reader, writer|
      writer.sync = false
      writer.write("printed ")
      write(writer, "entry\n")
      expect(reader.read_nonblock(100)).to eq "printed entry\n"
    end
  end

  it "waits for nobody who does not read, and writes in order when somebody does" do
    with_pipe do |reader, writer|
      full = fill(writer)
      expect(time { 10.times { |n| write(writer, "entry #{n}\n") } }).to be < 0.5
      expect(read_until(reader, "9\n").byteslice(full..)).to eq(Array.new(10) { |n| "entry #{n}\n" }.join)
      write(writer, "later\n")
      expect(reader.read_nonblock(100)).to eq "later\n"
    end
  end

  it "drops what does not fit into its queue, and says there how much that is" do
    with_pipe do |reader, writer|
      full = fill(writer)
      others = Thread.list
      write(writer, "first\n")
      # The thread has that in hand.
      sleep 0.01 until (Thread.list - others).any? { |one| one.name == "volador output" && one.status == "sleep" }
      300.times { |n| write(writer, "#{n.to_s.rjust(1023, '0')}\n") }
      lines = read_until(reader, "was\n").byteslice(full..).lines
      expect(lines[0..256].last).to end_with("0255\n")
      expect(lines.drop(257)).to eq ["volador WARN: 44 lines are missing here, since the log took nothing for a while: " \
                                     "whoever reads it was too slow, or its disk was\n"]
    end
  end

  it "waits neither when another thread of the application waits in the same stream" do
    with_pipe do |reader, writer|
      writer.sync = false
      fill(writer)
      printing = Thread.new { writer.write("x" * 100_000) }
      Thread.pass until printing.stop?
      expect(time { write(writer, "entry\n") }).to be < 0.5
      read_until(reader, "entry\n")
      printing.join
    end
  end

  it "goes on when the application has ended its thread" do
    with_pipe do |reader, writer|
      fill(writer)
      write(writer, "lost\n")
      Thread.list.select { |one| one.name == "volador output" }.each { |one| one.kill.join }
      write(writer, "entry\n")
      read_until(reader, "entry\n")
    end
  end

  it "has a thread that ends by itself when there is nothing to write for a while, and raises nothing then" do
    stub_const("#{described_class}::LINGER", 0.01)
    with_pipe do |reader, writer|
      fill(writer)
      others = Thread.list
      write(writer, "entry\n")
      thread = (Thread.list - others).find { |one| one.name == "volador output" }
      read_until(reader, "entry\n")
      # It raises what has ended the thread, as the whole program would with Thread.abort_on_exception.
      expect(thread.join(Deadline::DEFAULT_SECONDS)).to be(thread)
    end
  end

  it "has a thread that ends with the program, whatever its first caller holds off" do
    with_pipe do |_reader, writer|
      fill(writer)
      others = Thread.list
      Thread.handle_interrupt(Object => :never) { write(writer, "entry\n") }
      thread = (Thread.list - others).find { |one| one.name == "volador output" }
      Deadline.until("the thread to wait for a reader") { thread.stop? }
      expect(thread.kill.join(Deadline::DEFAULT_SECONDS)).to be(thread)
    end
  end

  it "does not write a second time, in a forked process, what its parent has waiting" do
    with_pipe do |reader, writer|
      full = fill(writer)
      write(writer, "parent\n")
      pid = fork do
        write(writer, "child\n")
        described_class.finish
        exit!
      end
      text = read_until(reader, "child\n", "parent\n")
      Process.wait(pid)
      expect(text.byteslice(full..).lines.sort).to eq ["child\n", "parent\n"]
    end
  end

  it "gives what waits a second when the process ends" do
    with_pipe do |_reader, writer|
      fill(writer)
      write(writer, "entry\n")
      expect(time { described_class.finish }).to be_between(0.9, 3)
    end
    Deadline.until("the end of the thread") { Thread.list.none? { |one| one.name == "volador output" } }
    expect(time { described_class.finish }).to be < 0.5
  end

  context "when the system has no thread for it" do
    before { allow(Thread).to receive(:new).and_raise(ThreadError, "can't create Thread") }

    it "has written what waits when the process ends, by then at the latest" do
      with_pipe do |reader, writer|
        long = "#{'x' * 9000}\n"
        ["first\n", long].each { |entry| write(writer, entry) }
        described_class.finish
        expect(reader.read_nonblock(1 << 20)).to eq "first\n#{long}"
      end
    end

    it "says there how much it has dropped" do
      Tempfile.create do |file|
        300.times { |n| write(file, "#{n.to_s.rjust(1023, '0')}\n") }
        described_class.finish
        lines = File.readlines(file.path)
        expect([lines.size, lines.last]).to match([257, /\Avolador WARN: 44 lines are missing here/])
      end
    end

    it "gives up after a second when nobody reads, and leaves the stream one that waits" do
      with_pipe do |reader, writer|
        flags = writer.fcntl(Fcntl::F_GETFL) & ~File::NONBLOCK
        writer.fcntl(Fcntl::F_SETFL, flags)
        100.times { |n| write(writer, "#{n.to_s.rjust(1023, '0')}\n") }
        expect(time { described_class.finish }).to be_between(0.9, 3)
        lines = reader.read_nonblock(1 << 20).lines
        expect(lines).to eq(Array.new(lines.size) { |n| "#{n.to_s.rjust(1023, '0')}\n" })
        expect([lines.size > 50, writer.fcntl(Fcntl::F_GETFL)]).to eq([true, flags])
      end
    end

    it "survives a reader that has left" do
      with_pipe do |reader, writer|
        reader.close
        write(writer, "entry\n")
        expect { described_class.finish }.not_to raise_error
      end
    end
  end

  it "survives a stream that is closed, and a reader that has left" do
    with_pipe do |reader, writer|
      reader.close
      expect { write(writer, "entry\n") }.not_to raise_error
      writer.close
      expect { write(writer, "entry\n") }.not_to raise_error
    end
  end

  it "calls a write that is not Ruby's own" do
    taken = []
    tee = IO.for_fd(1, "w", autoclose: false).tap { |io| io.define_singleton_method(:write) { |entry| taken << entry } }
    object = Object.new.tap { |one| one.define_singleton_method(:write) { |entry| taken << entry } }
    [tee, object].each { |stream| write(stream, "entry\n") }
    expect(taken).to eq ["entry\n"] * 2
  end

  { "an error" => RuntimeError, "what is no StandardError" => NotImplementedError }.each do |what, error|
    it "survives a stream whose write raises #{what}" do
      broken = Object.new.tap { |one| one.define_singleton_method(:write) { |_| raise error } }
      expect { write(broken, "entry\n") }.not_to raise_error
    end
  end
end
