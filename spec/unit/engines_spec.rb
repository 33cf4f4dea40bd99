# frozen_string_literal: true

require "timeout"

RSpec.describe Volador::PubSub::Engines do
  let(:pub_sub) { Volador::PubSub }
  let(:printed) { StringIO.new }
  # In order: [:subscribe, channel]; thread-safe.
  let(:told) { Queue.new }
  let(:threads) { [] }
  let(:attached) { [] }
  let(:clients) { [] }

  after do
    threads.each(&:kill)
    attached.each { |engine| pub_sub.detach(engine) }
    clients.each { |client| client.callbacks.close }
    (%w[a b c d meta] + Array.new(50) { |n| "n#{n}" }).each { |channel| Volador.unsubscribe(channel) }
  end

  # @yieldparam what [Symbol]  @yieldparam channel [String] what the engine does, after it has been recorded
  def engine(&block)
    told = self.told
    Object.new.tap do |one|
      %i[subscribe unsubscribe publish].each do |what|
        one.define_singleton_method(what) do |channel, _|
          told << [what, channel]
          block&.call(what, channel)
          true
        end
      end
      attached << one
    end
  end

  def attach(&block)
    pub_sub.attach(engine(&block))
  end

  def client
    Volador::Push::Client.new(Fakes::Connection.new, {}, :sse, Object.new, Volador::Log.new(printed))
                         .tap { |one| clients << one }
  end

  def subscribe(channel)
    Volador.subscribe(channel) { nil }
  end

  # @return [Thread] ended after the example
  def thread(&block)
    Thread.new(&block).tap do |one|
      one.report_on_exception = false
      threads << one
    end
  end

  def in_time(what, &block)
    one = thread(&block)
    one.join(Deadline::DEFAULT_SECONDS) || raise(Deadline::Missed, what)
    one.value
  end

  # @return [Array] what the engine has been told, when it is that much
  def wait_told(count)
    Deadline.until("the engine to be told #{count} things, got #{told.size}") { told.size >= count }
    Array.new(told.size) { told.pop }
  end

  def wait_for_turn(thread)
    Deadline.until("the thread to wait for its turn") { thread.stop? }
  end

  # A gate that the engine stays at; what it is told first.
  def blocked_in(channel)
    gate = Queue.new
    attach { |what, name| gate.pop if [what, name] == [:subscribe, channel] }
    gate
  end

  describe "an engine" do
    {
      "subscribes the process" => [-> { Volador.subscribe("meta") { nil } }, %i[subscribe]],
      "subscribes and unsubscribes the process" => [-> { Volador.subscribe("meta") { nil }.unsubscribe }, []],
      "publishes" => [-> { Volador.publish("meta", "x", engine: pub_sub.default) }, []]
    }.each do |what, (act, steps)|
      %i[subscribe unsubscribe].each do |moment|
        it "that #{what} inside of its #{moment} can, and is told what comes of that afterwards" do
          attach { |*call| instance_exec(&act) if call == [moment, "a"] }
          expect { in_time("a subscription") { subscribe("a").unsubscribe } }.not_to output.to_stderr
          expected = [[:subscribe, "a"], [:unsubscribe, "a"]]
          expected.insert(moment == :subscribe ? 1 : 2, *steps.map { |step| [step, "meta"] })
          expect(wait_told(expected.size)).to eq expected
        end
      end
    end

    it "is told one thing at a time: what it does itself comes when it has returned" do
      busy = 0
      attach do |what, channel|
        busy += 1
        told << [:nested, channel] if busy > 1
        subscribe("meta") if channel == "a"
        Volador.unsubscribe("meta") if [what, channel] == [:subscribe, "meta"]
        busy -= 1
      end
      in_time("a subscription") { subscribe("a") }
      expect(wait_told(3)).to eq [[:subscribe, "a"], [:subscribe, "meta"], [:unsubscribe, "meta"]]
    end

    it "may subscribe, publish by itself, unsubscribe and close the client whose subscription it is told of" do
      same = client
      one = attach do |what, channel|
        case [what, channel]
        when [:subscribe, "a"] then same.subscribe("b") && same.publish("b", "x", engine: one)
        when [:subscribe, "b"] then same.unsubscribe("a")
        when [:unsubscribe, "a"] then same.callbacks.close
        end
      end
      in_time("a subscription") { same.subscribe("a") }
      expect(wait_told(5)).to eq [[:subscribe, "a"], [:publish, "b"], [:subscribe, "b"], [:unsubscribe, "a"],
                                  [:unsubscribe, "b"]]
    end

    it "may attach another engine and detach itself" do
      one = attach do |what, channel|
        next unless [what, channel] == [:subscribe, "a"]

        attach
        pub_sub.detach(one)
      end
      in_time("a subscription") { subscribe("a") }
      subscribe("b")
      # By the first one; by the second one what there is, and what comes.
      expect(wait_told(3)).to eq [[:subscribe, "a"], [:subscribe, "a"], [:subscribe, "b"]]
    end

    it "that subscribes as it is attached does not stop a thread that subscribes at the same time" do
      subscribe("a")
      other = nil
      one = engine do |_, channel|
        next unless channel == "a"

        other = thread { subscribe("b") }
        Deadline.until("the other thread to have subscribed, or to wait") { other.stop? }
        subscribe("meta")
      end
      in_time("the engine to be attached") { pub_sub.attach(one) }
      in_time("the other subscription") { other.join }
      expect(wait_told(3)).to contain_exactly([:subscribe, "a"], [:subscribe, "b"], [:subscribe, "meta"])
    end

    it "that waits for a broker does not hold clients up" do
      gate = blocked_in("a")
      one = client
      in_time("a client's subscriptions") do
        one.subscribe("a")
        expect(wait_told(1)).to eq [[:subscribe, "a"]]
        one.subscribe("b")
        one.unsubscribe("a")
        one.published(1, "a", "x")
      end
      gate << nil
      expect(wait_told(2)).to eq [[:subscribe, "b"], [:unsubscribe, "a"]]
    end

    it "is told nothing of what has come and gone while it waited for a broker" do
      gate = blocked_in("a")
      one = client
      one.subscribe("a")
      wait_told(1)
      100.times do |n|
        one.subscribe("n#{n}")
        one.unsubscribe("n#{n}")
      end
      one.subscribe("b")
      gate << nil
      pub_sub.engines.settle
      expect(wait_told(1)).to eq [[:subscribe, "b"]]
    end

    it "is told that a subscription has ended which it knows, and what is last of those that came since" do
      one = client
      %w[b c].each { |channel| one.subscribe(channel) }
      gate = blocked_in("a")
      one.subscribe("a")
      wait_told(3)
      %w[b c].each { |channel| one.unsubscribe(channel) }
      2.times do
        one.subscribe("b")
        one.unsubscribe("b")
      end
      one.subscribe("c")
      gate << nil
      pub_sub.engines.settle
      expect(wait_told(3)).to eq [[:unsubscribe, "b"], [:unsubscribe, "c"], [:subscribe, "c"]]
    end

    it "is told of the end of what it was to be told again" do
      one = client
      one.subscribe("b")
      gate = blocked_in("a")
      one.subscribe("a")
      wait_told(2)
      again = thread { pub_sub.attach(attached.first) }
      wait_for_turn(again)
      one.unsubscribe("b")
      gate << nil
      gate << nil
      in_time("the engine to be attached") { again.join }
      pub_sub.engines.settle
      expect(wait_told(3)).to eq [[:subscribe, "b"], [:subscribe, "a"], [:unsubscribe, "b"]]
    end

    it "does not keep who waits until it knows of a subscription that has ended meanwhile" do
      gate = blocked_in("a")
      client.subscribe("a")
      wait_told(1)
      waiting = thread { subscribe("b") }
      wait_for_turn(waiting)
      in_time("the end of the subscription") { Volador.unsubscribe("b") }
      in_time("the subscription") { waiting.join }
      gate << nil
      client.subscribe("c")
      pub_sub.engines.settle
      expect(wait_told(1)).to eq [[:subscribe, "c"]]
    end

    it "knows of a client's subscription before it publishes what the same thread publishes" do
      gate = blocked_in("a")
      publisher = thread do
        one = client
        one.subscribe("a")
        one.publish("a", "x", engine: attached.first)
      end
      Deadline.until("the publisher to wait") { told.size == 1 && publisher.stop? }
      gate << nil
      in_time("the publication") { publisher.join }
      expect(wait_told(2)).to eq [[:subscribe, "a"], [:publish, "a"]]
    end

    it "may bound its wait for a broker by a Timeout, whoever tells it" do
      attach do |what, channel|
        Timeout.timeout(0.05) { sleep 25 } # More than anybody waits for it here.
      rescue Timeout::Error
        told << [:"#{what} cut off", channel]
      end
      client.subscribe("a")
      in_time("a subscription") { subscribe("b") }
      expect(wait_told(4)).to eq [[:subscribe, "a"], [:"subscribe cut off", "a"], [:subscribe, "b"], [:"subscribe cut off", "b"]]
    end

    it "publishes for threads that have subscribed to nothing while it waits for a broker" do
      gate = blocked_in("a")
      client.subscribe("a")
      wait_told(1)
      expect(in_time("the publication") { Volador.publish("b", "x", engine: attached.first) }).to be true
      gate << nil
    end

    it "is told by the thread that subscribes for the process, which waits for it" do
      by = nil
      attach { |*| by = Thread.current }
      subscribe("a")
      expect([by, told.size]).to eq [Thread.current, 1]
    end

    it "is told by each of several threads that subscribe for the process what it has subscribed to" do
      gate = Queue.new
      by = {}
      attach do |_, channel|
        by[channel] = Thread.current
        gate.pop if channel == "a"
      end
      client.subscribe("a")
      wait_told(1)
      waiting = %w[b c].map { |channel| thread { subscribe(channel) }.tap { |one| wait_for_turn(one) } }
      gate << nil
      expect(wait_told(2)).to eq [[:subscribe, "b"], [:subscribe, "c"]]
      expect(by.values_at("b", "c")).to eq waiting
    end

    it "is told the rest when the thread that tells it is cut off" do
      attach { |_, channel| Thread.current.kill if channel == "a" }
      in_time("the threads") do
        Array.new(2) { |n| thread { subscribe(%w[a b][n]) } }.each { |one| one.join(Deadline::DEFAULT_SECONDS) }
      end
      client.subscribe("c")
      expect(wait_told(3)).to contain_exactly([:subscribe, "a"], [:subscribe, "b"], [:subscribe, "c"])
    end

    it "is told the rest when it ends the thread that tells it of clients" do
      gate = Queue.new
      attach { |_, channel| channel == "a" && gate.pop && Thread.current.kill }
      client.tap { |one| %w[a b].each { |channel| one.subscribe(channel) } }
      gate << true
      expect(wait_told(2)).to eq [[:subscribe, "a"], [:subscribe, "b"]]
    end

    it "is told the rest when the thread whose turn it is has been cut off" do
      gate = blocked_in("a")
      client.subscribe("a")
      wait_told(1)
      waiting = thread { subscribe("b") }
      wait_for_turn(waiting)
      waiting.kill.join(Deadline::DEFAULT_SECONDS)
      gate << nil
      expect(wait_told(1)).to eq [[:subscribe, "b"]]
    end

    it "is told by whoever waits for its turn when the system has no thread for what clients have subscribed to" do
      attach
      allow(Thread).to receive(:new).and_raise(ThreadError, "can't create Thread")
      one = client
      %w[a b].each { |channel| one.subscribe(channel) }
      subscribe("c")
      expect(wait_told(3)).to eq [[:subscribe, "a"], [:subscribe, "b"], [:subscribe, "c"]]
    end

    it "is told the rest when its thread has been ended as it began" do
      gate = blocked_in("a")
      waiting = thread { subscribe("a") }
      Deadline.until("the engine to be told") { told.size == 1 }
      client.subscribe("b")
      allow(Volador::FreshThread).to receive(:start) { Thread.new { nil }.tap(&:join) }
      gate << nil
      in_time("the subscription") { waiting.join }
      allow(Volador::FreshThread).to receive(:start).and_call_original
      client.subscribe("c")
      expect(wait_told(3)).to eq [[:subscribe, "a"], [:subscribe, "b"], [:subscribe, "c"]]
    end

    it "is told nothing more when it has been detached, and what it is told just then is waited for" do
      gate = blocked_in("a")
      one = client
      %w[a b].each { |channel| one.subscribe(channel) }
      wait_told(1)
      detaching = thread { pub_sub.detach(attached.first) }
      Deadline.until("detach to wait") { detaching.stop? }
      expect(detaching).to be_alive
      gate << nil
      expect(in_time("detach") { detaching.value }).to be true
      client.subscribe("c")
      pub_sub.engines.settle
      expect(told).to be_empty
    end

    it "that raises whatever it likes is told the rest" do
      expect do
        attach { |_, channel| raise channel == "a" ? NotImplementedError : ThreadError, "no #{channel}" }
        %w[a b].each { |channel| subscribe(channel) }
      end.to output(/subscribe of the pub.sub engine Object raised: no a .*no b \(ThreadError\)/m).to_stderr
      expect(wait_told(2).size).to eq 2
    end

    it "is told in a forked process what happens there, also when a thread that tells was lost by the fork" do
      gate = blocked_in("a")
      one = client
      %w[a b].each { |channel| one.subscribe(channel) }
      wait_told(1)
      reader, writer = IO.pipe
      pid = fork do
        subscribe("c")
        one.subscribe("d")
        pub_sub.engines.settle
        writer.write(Marshal.dump(Array.new(told.size) { told.pop }))
        exit!(0)
      end
      writer.close
      expect(reader.wait_readable(Deadline::DEFAULT_SECONDS)).to equal(reader)
      expect(Marshal.load(reader.read)).to eq [[:subscribe, "c"], [:subscribe, "d"]]
    ensure
      gate << nil
      [reader, writer].each(&:close)
      Process.kill(:KILL, pid)
      Process.wait(pid)
    end
  end

  it "goes on in both processes when an engine forks" do
    reader, writer = IO.pipe
    pid = nil
    attach { |_, channel| pid = fork if channel == "a" }
    begin
      subscribe("a")
      subscribe("b")
      writer.write("on ") unless pid
    ensure
      exit!(0) unless pid
    end
    Process.wait(pid)
    writer.close
    expect([reader.read, told.size]).to eq ["on ", 2]
  ensure
    [reader, writer].each(&:close)
  end

  it "tells of each first and last subscription once, in turn, and at last the truth, whoever subscribes at the same time" do
    attach { |*| Thread.pass }
    in_time("the threads") do
      ended = Array.new(4) do |index|
        thread do
          owner = index.even? ? Volador : client
          100.times do
            owner.subscribe("a") { nil }
            owner.unsubscribe("a")
          end
          owner.subscribe("b") { nil }
          index.zero? ? owner.subscribe("c") { nil } : owner.unsubscribe("c")
        end
      end
      ended.each(&:value)
    end
    sentinel = client
    sentinel.subscribe("d")
    pub_sub.engines.settle
    got = Array.new(told.size) { told.pop }
    steps = got.select { |_, channel| channel == "a" }.map(&:first)
    expect(steps).to eq %i[subscribe unsubscribe].cycle.first(steps.size)
    expect(steps.last).to eq :unsubscribe
    expect(got.count([:subscribe, "b"])).to eq 1
    expect(got.last).to eq [:subscribe, "d"]
  end

  it "tells an engine that is attached meanwhile of everything once" do
    subscriber = thread { 50.times { |n| subscribe("n#{n}") } }
    attach
    subscriber.join(Deadline::DEFAULT_SECONDS)
    expect(wait_told(50).map(&:last)).to eq(Array.new(50) { |n| "n#{n}" })
  end
end
