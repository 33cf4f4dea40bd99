# frozen_string_literal: true

require_relative "../../bench/crash"
require_relative "../../bench/deploy"

# The scenarios of `bin/bench deploy` and `bin/bench crash`, smaller: their load generator checks every number.
RSpec.describe "A cluster under load" do
  before(:context) { Bench::PushLoad.build }

  let(:load) { { connections: 330, workers: 2, publications: 100, rooms: 5, messages: 200, requests: 100, progress: StringIO.new } }

  it "deploys three times in a row, and no client notices anything" do
    deploy = Bench::Deploy.new(deploys: 3, seconds: 1, **load)
    deploy.run
    outcome = deploy.outcome
    totals = outcome.totals

    expect(outcome.faults.reject { |_, count| count.zero? }).to eq({})
    expect(totals.to_h.slice(:connections, :unanswered, :lost, :forgotten))
      .to eq({ connections: 330, unanswered: 0, lost: 0, forgotten: 0 })
    expect(outcome.stats.slice(:resumed, :lost_requests, :lost_messages))
      .to eq({ resumed: 3 * outcome.handlers, lost_requests: 0, lost_messages: 0 })
    expect(totals.deliveries).to eq(66 * totals.publications)
    expect([outcome.handled, outcome.done]).to eq([totals.messages, totals.messages])
    expect([totals.publications, totals.messages, totals.answered]).to all(be > 20)
  end

  it "loses no connection when workers are killed, and accounts for what they had begun" do
    crash = Bench::Crash.new(kills: 6, **load)
    crash.run
    outcome = crash.outcome
    totals = outcome.totals

    expect(outcome.faults.reject { |_, count| count.zero? }).to eq({})
    expect(crash).to be_accounted
    expect(totals.connections).to eq(330)
    expect(outcome.stats[:resumed]).to be_positive
    # What was not begun has gone to another worker, so a message that no handler has had was lost at its very beginning.
    expect(totals.messages - outcome.handled).to be <= outcome.stats[:lost_messages]
    expect(totals.answered + totals.lost).to be > 100
  end
end
