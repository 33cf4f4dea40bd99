# frozen_string_literal: true

require "volador/commands"

RSpec.describe Volador::Commands do
  subject(:commands) { described_class.new }

  it "gives commands out in their order" do
    commands << :signal << :drained
    expect([commands.pop, commands.pop]).to eq(%i[signal drained])
  end

  it "takes commands in a signal handler" do
    one = commands # RSpec's own memory of it takes a lock, which a handler may not
    before = Signal.trap("USR2") { one << :signal }
    Process.kill("USR2", Process.pid)
    expect(one.pop).to be(:signal)
  ensure
    Signal.trap("USR2", before || "DEFAULT")
  end

  it "waits without being taken for a part of a deadlock" do
    script = <<~RUBY
      commands = Volador::Commands.new
      Thread.new { Queue.new.pop }
      Thread.new { $stdin.gets; commands << :go }
      puts commands.pop
    RUBY
    output = IO.popen([RbConfig.ruby, "-Ilib", "-rvolador/commands", "-e", script], "r+", err: %i[child out]) do |io|
      io.puts
      io.read
    end
    expect(output).to eq("go\n")
  end

  it "takes a command after it was closed, for nobody" do
    commands.close
    expect(commands << :late).to be(commands)
  end
end
