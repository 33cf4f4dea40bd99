# frozen_string_literal: true

require "volador/cluster/orphans"

RSpec.describe Volador::Cluster::Orphans do
  # Its parent does not wait for it, as the gateway does not for what an application has left behind.
  def zombie
    pid = Process.spawn("true")
    Deadline.until("the end of pid #{pid}") { File.read("/proc/#{pid}/stat").rpartition(")").last.split.first == "Z" }
    pid
  end

  def gone?(pid)
    !File.exist?("/proc/#{pid}")
  end

  it "reaps a child that has ended and that nobody waits for, at the second look" do
    pid = zombie
    states = [100.0, 104.0, 105.0].map do |now|
      subject.reap(now, [])
      gone?(pid)
    end
    expect(states).to eq [false, false, true]
  end

  it "leaves children alone that live, that are looked after, and that somebody has waited for" do
    known = zombie
    waited = zombie
    living = Process.spawn("sleep 30")
    subject.reap(100.0, [known])
    Process.wait(waited)
    subject.reap(105.0, [known])
    subject.reap(110.0, [known])
    expect([known, living].map { |pid| gone?(pid) }).to eq [false, false]
  ensure
    Process.kill(:KILL, living)
    [known, living].each { |pid| Process.wait(pid) }
  end

  it "does nothing on a system that does not tell" do
    expect(described_class.new("/no/such/folder").reap(100.0, [])).to eq []
  end
end
