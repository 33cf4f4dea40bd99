# frozen_string_literal: true

require_relative "integration_helper"

# A thread that publishes more than the gateway can send waits for it: what is on its way to the gateway has a bound.
RSpec.describe "A publisher that is faster than the gateway", :slow do
  application = <<~'RUBY'
    memory = -> { File.read("/proc/self/status")[/VmHWM:\s+(\d+)/, 1].to_i / 1024 }
    subscriber = Module.new { def self.on_open(client) = client.subscribe("flood") }
    lambda do |env|
      if env["rack.upgrade?"]
        env["rack.upgrade"] = subscriber
        next [200, {}, []]
      end

      message = "x" * 4096
      before = memory.call
      Array.new(2) { Thread.new { 20_000.times { Volador.publish("flood", message) } } }.each(&:join)
      [200, {}, [(memory.call - before).to_s]]
    end
  RUBY

  it "takes a bounded amount of memory" do
    server = start_configured(application, slow_client: "drop_oldest", send_queue_max_bytes: 65_536)
    clients = Array.new(300) { EventStreamClient.open(server.port, "/") }

    # 160 MiB are published; of what the gateway has not taken 2 MiB may wait.
    expect(Integer(server.get("/flood").body)).to be < 64
    clients.each(&:close)
  end
end
