# frozen_string_literal: true

require "volador/cluster/children"

RSpec.describe Volador::Cluster::Children do
  it "takes a process for gone that has ended, whether its parent has waited for it or not" do
    reader, writer = IO.pipe
    pid = Process.spawn("sh", "-c", "read line", in: reader)
    reader.close
    expect([described_class.gone?(pid), described_class.alive?(pid)]).to eq [false, true]
    writer.close
    Deadline.until("the end of pid #{pid}") { described_class.gone?(pid) }
    expect(described_class.alive?(pid)).to be true
    expect(described_class.ending(pid)).to eq "exit status 1"
    expect([described_class.gone?(pid), described_class.alive?(pid)]).to eq [true, false]
  end

  it "takes a process that is stopped for one that lives" do
    pid = Process.spawn("sleep 30")
    Process.kill(:STOP, pid)
    Process.wait(pid, Process::WUNTRACED)
    expect(described_class.gone?(pid)).to be false
  ensure
    Process.kill(:KILL, pid)
    Process.wait(pid)
  end
end
