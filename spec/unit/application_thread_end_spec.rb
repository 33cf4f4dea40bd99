# frozen_string_literal: true

# How they are ended, by the server or by the application, and who takes their place.
RSpec.describe Volador::ApplicationThread, "that is ended" do
  let(:printed) { StringIO.new }
  let(:reached) { Queue.new }
  let(:go_on) { Queue.new }

  def thread(seat, &app)
    described_class.new(seat: seat, app: app, direct: false, connections: Volador::Push::Connections.new,
                        log: Volador::Log.new(printed), name: "spec")
  end

  # @return [Array<Integer>] the statuses of the answers, once the worker has stopped
  def run(seat, &app)
    expect(thread(seat, &app).start.join(Deadline::DEFAULT_SECONDS)).to be true
    seat.calls.map { |call| call[1] }
  end

  context "by the server" do
    it "begins no request when the application has ended it just before" do
      finished = ->(*) { (reached << true) && go_on.pop }
      seat = Fakes::Seat.new(Fakes.env("/exit"), Fakes.env("/next"))
      thread = thread(seat) do |env|
        next [200, {}, []] if env["PATH_INFO"] == "/next"

        env["rack.response_finished"] = [finished]
        Thread.exit
      end.start
      reached.pop
      thread.kill
      go_on << true
      expect(thread.join(Deadline::DEFAULT_SECONDS)).to be true
      expect(seat.calls.map { |call| call[1] }).to eq [500]
    end

    it "begins no request when the application raises on its way out" do
      seat = Fakes::Seat.new(Fakes.env("/"), Fakes.env("/next"))
      paths = []
      thread = thread(seat) do |env|
        paths << env["PATH_INFO"]
        (reached << true) && sleep
      ensure
        raise "broken"
      end.start
      reached.pop
      thread.kill
      expect(thread.join(Deadline::DEFAULT_SECONDS)).to be true
      expect(paths).to eq ["/"]
    end

    it "does not begin when that came first" do
      seat = Fakes::Seat.new(Fakes.env("/"))
      thread = thread(seat) { [200, {}, []] }
      thread.kill
      expect(thread.start.join(0)).to be true
      expect(seat.calls).to eq []
    end
  end

  it "by the application is replaced also when something is raised into it as it dies" do
    seat = Fakes::Seat.new(Fakes.env("/exit"), Fakes.env("/next"))
    thread = thread(seat) do |env|
      if env["PATH_INFO"] == "/exit"
        Thread.current.report_on_exception = false
        Thread.exit
      end
      [200, {}, []]
    end
    # What it asks itself before it does anything about that.
    allow(thread).to receive(:current?).once.and_wrap_original do |current|
      allow(thread).to receive(:current?).and_call_original
      dying = Thread.current
      Thread.new { dying.raise("late") }.join
      current.call
    end
    thread.start
    expect(thread.join(Deadline::DEFAULT_SECONDS)).to be true
    expect(seat.calls.map { |call| call[1] }).to eq [500, 200]
  end

  it "knows that it is itself from its first step" do
    seat = Fakes::Seat.new(Fakes.env("/"))
    allow(Thread).to receive(:new).and_wrap_original do |make, *arguments, &block|
      made = make.call(*arguments, &block)
      made.join(Deadline::DEFAULT_SECONDS)
      made
    end
    thread = nil
    answer = nil
    thread = thread(seat) { (answer = thread.current?) && [200, {}, []] }
    thread.start
    expect(answer).to be true
  end

  context "by the application where the system has no more threads" do
    let(:scarce) { [] }

    before do
      scarce = self.scarce
      allow(Thread).to receive(:new).and_wrap_original do |make, *arguments, &block|
        scarce.empty? ? make.call(*arguments, &block) : raise(ThreadError, "can't create Thread: none left")
      end
    end

    it "goes on until there is one that takes its place" do
      serving = []
      statuses = run(Fakes::Seat.new(*%w[/exit /scarce /last /next].map { |path| Fakes.env(path) })) do |env|
        serving << Thread.current
        case env["PATH_INFO"]
        when "/exit" then (scarce << true) && Thread.exit
        when "/last" then scarce.clear
        end
        [200, {}, []]
      end
      expect(statuses).to eq [500, 200, 200, 200]
      expect(serving.uniq).to eq [serving.first, serving.last]
      expect(serving.index(serving.last)).to eq 3
    end

    it "says so once, and not that it has been replaced" do
      run(Fakes::Seat.new(*%w[/exit /a /b].map { |path| Fakes.env(path) })) do |env|
        (scarce << true) && Thread.exit if env["PATH_INFO"] == "/exit"
        [200, {}, []]
      end
      expect(printed.string.scan("no thread that could take the place").size).to eq 1
      expect(printed.string).to include("can't create Thread: none left")
      expect(printed.string).not_to include "has been replaced"
    end

    it "answers what raises, or would end it once more" do
      statuses = run(Fakes::Seat.new(*%w[/exit /raise /exit /next].map { |path| Fakes.env(path) })) do |env|
        case env["PATH_INFO"]
        when "/exit" then (scarce << true) && Thread.exit
        when "/raise" then Thread.current.raise("late")
        end
        [200, {}, []]
      end
      expect(statuses.size).to eq 4
      expect([statuses[0], statuses[1], statuses[3]]).to eq [500, 500, 200]
    end

    it "is ended by the server behind its request" do
      seat = Fakes::Seat.new(*%w[/exit /wait /next].map { |path| Fakes.env(path) })
      thread = thread(seat) do |env|
        (scarce << true) && Thread.exit if env["PATH_INFO"] == "/exit"
        (reached << true) && go_on.pop if env["PATH_INFO"] == "/wait"
        [200, {}, []]
      end.start
      reached.pop
      thread.kill
      go_on << true
      expect(thread.join(Deadline::DEFAULT_SECONDS)).to be true
      expect(seat.calls.map { |call| call[1] }).to eq [500, 200]
    end
  end
end
