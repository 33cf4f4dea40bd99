# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A worker that is stopped while others publish to its blocks" do
  app = <<~'RUBY'
    require "json"

    Volador.subscribe("news") do |_channel, message|
      $heard = message[/\d+/].to_i
      warn "heard #{$heard} in #{Process.pid}"
    end

    # Numbered messages of 1 MiB, once the other worker is stopped, as fast as the block here takes them.
    publish = lambda do
      warn "publisher #{Process.pid}"
      sleep 0.01 until File.exist?("go")
      200.times do |number|
        Volador.publish("news", number.to_s.ljust(1024 * 1024))
        sleep 0.001 until $heard == number
      end
      JSON.generate(Volador.stats)
    end
    run ->(env) { [200, {}, [env["PATH_INFO"] == "/publish" ? publish.call : ""]] }
  RUBY

  # @return [Integer] MiB that the gateway's process has in memory
  def memory(cluster)
    Integer(File.read("/proc/#{cluster.pid}/status")[/VmRSS:\s+(\d+)/, 1]) / 1024
  end

  # @return [Array<Integer>] numbers of the messages that its block was called with
  def heard(cluster, pid)
    cluster.output.scan(/^heard (\d+) in #{pid}$/).flatten.map(&:to_i)
  end

  it "loses the newest past 16 MiB, counted and named once, and the gateway's memory stays bounded", :aggregate_failures do
    cluster = start_cluster(app)
    answer = Thread.new { cluster.get("/publish").body }
    publisher = cluster.wait_for_output(/^publisher (\d+)$/)[1].to_i
    stopped = (cluster.workers - [publisher]).first
    before = memory(cluster)
    Process.kill(:STOP, stopped)
    cluster.write("", "go")
    dropped = JSON.parse(answer.value).fetch("dropped_block")

    expect(memory(cluster) - before).to be < 100
    expect(dropped).to be_between(200 - 16 - 3, 200 - 16 + 1)
    expect(cluster.output.scan(/process #{stopped}\) does not take what is published to its blocks/).size).to eq(1)
    Process.kill(:CONT, stopped)
    Deadline.until("what has waited to be heard") { heard(cluster, stopped).size == 200 - dropped }
    expect(heard(cluster, stopped)).to eq([*0...(200 - dropped)])
    expect(heard(cluster, publisher)).to eq([*0...200])
  end
end
