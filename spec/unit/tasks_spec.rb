# frozen_string_literal: true

require "volador/compat/tasks"

RSpec.describe Volador::Compat::Tasks do
  let(:printed) { StringIO.new }
  let(:tasks) { described_class.new(Volador::Log.new(printed)) }
  let(:done) { Queue.new }

  after { tasks.stop }

  def done!(count)
    Deadline.until("#{count} runs") { done.size >= count }
    Array.new(count) { done.pop }
  end

  it "runs what is due, in the order of time" do
    clock = 7.0
    allow(Volador::Clock).to receive(:now) { clock }
    tasks.add(3) { done << :third }
    tasks.add(2) { done << :second }
    tasks.add(1) { done << :first }
    clock += 2
    tasks.start(1)
    expect(done!(2)).to eq %i[first second]
    expect(done).to be_empty
  end

  it "lets a child end that a block has forked" do
    program = start_ruby(<<~'RUBY')
      require "volador"
      require "volador/compat/tasks"
      tasks = Volador::Compat::Tasks.new(Volador::Log.new)
      statuses = Queue.new
      tasks.add(0) do
        pid = fork
        exit(7) unless pid
        statuses << Process.wait2(pid).last.exitstatus
      end
      tasks.start(1)
      puts "status #{statuses.pop}"
    RUBY
    expect(program.wait).to be_success
    expect(program.output).to eq "status 7\n"
  end

  it "runs nothing before it is started, and nothing after it is stopped" do
    tasks.add(0) { done << :early }
    expect(done).to be_empty
    tasks.start(2)
    expect(done!(1)).to eq [:early]
    tasks.stop
    tasks.add(0) { done << :late }
    sleep 0.05
    expect(done).to be_empty
    tasks.start(2)
    expect(done!(1)).to eq [:late]
  end

  it "repeats as often as it is told to" do
    tasks.start(1)
    tasks.add(0.001, every: true, times: 3) { done << :again }
    expect(done!(3)).to all(be :again)
    tasks.add(0.05) { done << :last }
    expect(done!(1)).to eq [:last]
  end

  it "logs an exception and goes on" do
    tasks.start(1)
    tasks.add(0.001, every: true, times: 2) { (done << :tried) && raise(NotImplementedError, "oops") }
    done!(2)
    Deadline.until("the log") { printed.string.scan("ERROR: a task raised: oops").size == 2 }
  end
end
