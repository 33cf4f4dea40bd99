# frozen_string_literal: true

require "volador/cluster/backoff"

RSpec.describe Volador::Cluster::Backoff do
  it "tries at once, then later and later, up to 30 seconds" do
    now = 100.0
    delays = Array.new(12) { subject.failed(now).tap { |delay| now += delay } }
    expect(delays.map { |delay| delay.round(3) }).to eq [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    expect(subject.failures).to eq 12
  end

  it "is ready when the delay is over" do
    subject.failed(100.0)
    expect(subject).to be_ready(100.0)
    subject.failed(100.0)
    expect([subject.ready?(100.05), subject.ready?(100.1)]).to eq [false, true]
    expect([subject.at(100.05), subject.at(100.1)]).to eq [100.1, nil]
  end

  it "takes what fails before the next try for the same try" do
    2.times { subject.failed(100.0) }
    expect(subject.failed(100.05).round(3)).to eq 0.05
    expect(subject.failures).to eq 3
    expect(subject.failed(100.2).round(3)).to eq 0.2
  end

  it "begins anew once it has worked" do
    3.times { subject.failed(100.0) }
    subject.reset
    expect([subject.failures, subject.at(100.0)]).to eq [0, nil]
    expect(subject.failed(200.0)).to eq 0.0
  end
end
