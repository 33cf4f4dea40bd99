# frozen_string_literal: true

require "volador/status_table"

RSpec.describe Volador::StatusTable do
  let(:worker) do
    { number: 1, pid: 11, state: "serving", age: 7300.5, threads: 5, in_flight: 2, handlers: 10, quiet: 0.4, stuck: 0.0 }
  end
  let(:status) do
    { version: "0.1.0", pid: 1, environment: "production", directory: "/srv/app", state: "running", uptime: 200_000.0,
      addresses: ["tcp://0.0.0.0:80", "unix:///run/app.sock"], generation: 2, workers_wanted: 2, deploying: false,
      stats: { http_connections: 1, websocket_connections: 20, sse_connections: 0, requests: 1000 },
      generations: [{ number: 1, workers: [worker.merge(pid: 9, state: "retiring")] },
                    { number: 2, workers: [worker, { number: 2, pid: nil, state: "booting", age: 0.2 }] }] }
  end

  it "shows the server and its workers, aligned" do
    expect(described_class.new(status).to_s).to eq <<~TEXT
      volador 0.1.0, pid 1, production, /srv/app
      listening on http://0.0.0.0:80, unix:///run/app.sock
      serving, up 2 days, generation 2, 2 workers
      1 HTTP connection, 20 WebSockets, 0 event streams, 1000 requests so far

      worker  pid  generation  state     up   threads  running  handlers  last sign
      1       9    1           retiring  2 h  5        2        10        0.4 s ago
      1       11   2           serving   2 h  5        2        10        0.4 s ago
      2       -    2           booting   0 s  -        -        -         -
    TEXT
  end

  it "shows that the server is being deployed or stopped" do
    expect(described_class.new(status.merge(deploying: true)).to_s).to include "a new generation is being started, up"
    expect(described_class.new(status.merge(state: "draining")).to_s).to include "stopping, up"
  end

  it "shows a server that has no workers at the moment" do
    expect(described_class.new(status.merge(generations: [])).to_s.lines.last).to start_with "worker  pid"
  end
end
