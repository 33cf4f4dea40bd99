# frozen_string_literal: true

RSpec.describe Volador::Push::ThreadLock do
  let(:lock) { described_class.new }
  let(:threads) { [] }

  after do
    threads.each(&:kill)
    Deadline.until("the threads to end") { threads.none?(&:alive?) }
  end

  def thread(&block)
    Thread.new(&block).tap do |thread|
      thread.report_on_exception = false
      threads << thread
    end
  end

  # @return [Thread] that has the lock until it is ended, or the gate gives it something
  def holder(gate = Queue.new)
    has = Queue.new
    thread { lock.synchronize { [has << true, gate.pop] } }.tap { has.pop }
  end

  # @return [Object] what another thread returns that takes the lock
  def taken
    thread { lock.synchronize { :taken } }.then { |one| one.value if one.join(10) }
  end

  it "lets every Fiber of its thread in, and all others wait until the outermost call has ended" do
    gate = Queue.new
    inside = Queue.new
    inner = thread do
      lock.synchronize do
        inside << Enumerator.new { |steps| steps << lock.synchronize { lock.synchronize { :inside } } }.next
        gate.pop
      end
    end
    Deadline.until("the Fiber to come in") { !inside.empty? }
    waiting = thread { lock.synchronize { :taken } }
    Deadline.until("the other thread to wait") { waiting.stop? }
    expect(waiting).to be_alive
    gate << true
    expect([inner, waiting].map { |one| one.join(10) }).to all be_a(Thread)
    expect(waiting.value).to eq :taken
  end

  it "is free after a Fiber that was left in the middle of an inner call" do
    left = nil
    lock.synchronize do
      left = Fiber.new { lock.synchronize { Fiber.yield } }
      left.resume
    end
    expect(taken).to eq :taken
    left.resume
    expect(taken).to eq :taken
  end

  it "is free after an exception, and after the end of the thread that had it" do
    expect { lock.synchronize { raise "oops" } }.to raise_error("oops")
    expect(taken).to eq :taken
    holder.kill
    expect(taken).to eq :taken
    holder.raise("oops")
    expect(taken).to eq :taken
  end

  it "is nobody's who was ended while waiting for it" do
    gate = Queue.new
    first = holder(gate)
    waiting = thread { lock.synchronize { :taken } }
    Deadline.until("the thread to wait") { waiting.stop? }
    waiting.tap(&:kill).join(10)
    again = thread { lock.synchronize { :taken } }
    Deadline.until("the thread to wait") { again.stop? }
    gate << true
    expect([first, again].map { |one| one.join(10) }).to all be_a(Thread)
    expect(again.value).to eq :taken
  end

  it "gives back what the block returns, from an outer and an inner call" do
    expect(lock.synchronize { [lock.synchronize { 1 }, 2] }).to eq [1, 2]
  end
end
