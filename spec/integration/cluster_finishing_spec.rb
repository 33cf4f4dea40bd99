# frozen_string_literal: true

require_relative "integration_helper"

# What a worker has begun without a client that waits for it: the gateway does not see it.
RSpec.describe "A worker that is to end" do
  # A config.ru. The publications together, and each of the callables, take longer than the seconds that a worker which
  # has nothing to do gets to end.
  let(:application) { <<~RUBY }
    ran = 0
    Volador.subscribe("work") do |_, message|
      message == "gate" ? File.read("gate") : sleep(message.to_f)
      warn "ran \#{ran += 1}"
    end
    slow = ->(name) { sleep 7; warn "finished \#{name}" }
    handler = Class.new do
      def on_open(client)
        client.subscribe("work") { |_, message| warn("stuck with a client's") || sleep(message.to_f) }
        client.write("open")
      end
    end
    run(lambda do |env|
      env["rack.upgrade"] = handler.new if env["rack.upgrade?"]
      case env["PATH_INFO"]
      when "/publish" then 100.times { Volador.publish("work", "0.06") }
      when "/publish_gated" then ["gate", *["0.05"] * 60].each { |message| Volador.publish("work", message) }
      when "/publish_on" then Thread.new { loop { Volador.publish("work", "0.05"); sleep 0.05 } }
      when "/stuck" then 5.times { Volador.publish("work", "3600") }
      when "/dropped" then next [200, {}, [Volador.stats[:dropped_block].to_s]]
      when "/finished" then (env["rack.response_finished"] ||= []) << ->(*) { slow.call("the callable") }
      when "/close"
        body = Object.new
        body.define_singleton_method(:each) { |&block| block.call("ok") }
        body.define_singleton_method(:close) { slow.call("the body") }
        next [200, {}, body]
      end
      [200, {}, ["ok"]]
    end)
  RUBY

  def start(configuration = nil)
    start_cluster(application, "-t", "3", workers: 1, configuration: configuration)
  end

  it "by a deploy runs blocks for all that they were told, closes bodies and calls what waits for the answer" do
    cluster = start
    %w[/publish /finished /close].each { |path| expect(cluster.get(path).status).to eq 200 }
    cluster.signal(:USR1)
    cluster.wait_for_output(/generation 1 has ended/, seconds: 40)
    expect(cluster.output).to include("ran 100\n", "finished the callable", "finished the body")
    expect(cluster.get("/dropped").body).to eq "0"
  end

  it "by TERM does so, too" do
    cluster = start
    %w[/publish /finished /close].each { |path| expect(cluster.get(path).status).to eq 200 }
    cluster.signal(:TERM)
    expect(cluster.wait(seconds: 40).exitstatus).to eq 0
    expect(cluster.output).to include("ran 100\n", "finished the callable", "finished the body")
  end

  it "is cut off when the handover timeout is over, and what is lost by that is said and counted" do
    cluster = start("handover_timeout 1\n")
    cluster.get("/stuck")
    cluster.signal(:USR1)
    cluster.wait_for_output(/generation 1 has ended/, seconds: 20)
    expect(cluster.output).to match(/worker 1 \(pid \d+\) has not finished within the handover timeout of 1\.0 s/)
    expect(cluster.output).to include("4 publications that waited for blocks of subscriptions")
    expect(cluster.get("/dropped").body).to eq "4"
  end

  it "is cut off when the drain timeout is over" do
    cluster = start("drain_timeout 1\n")
    cluster.get("/stuck")
    cluster.signal(:TERM)
    expect(cluster.wait(seconds: 15).exitstatus).to eq 0
    expect(cluster.output).to match(/worker 1 \(pid \d+\) has not finished within the drain timeout of 1\.0 s/)
    expect(cluster.output).to include("4 publications that waited for blocks of subscriptions")
  end

  it "is cut off so, and what waited for the blocks of a connection is said as well" do
    cluster = start("drain_timeout 1\n")
    client = WebSocketClient.open(cluster.port, "/")
    expect(client.read_message).to eq "open"
    cluster.get("/stuck")
    cluster.wait_for_output(/^stuck with a client's$/)
    cluster.signal(:TERM)
    expect(client.read_close).to eq 1001
    client.close_socket
    expect(cluster.wait(seconds: 15).exitstatus).to eq 0
    # Four of the client's, and four of the process's.
    expect(cluster.output).to include("8 publications that waited for blocks of subscriptions")
  end

  it "is not kept by what is published while it finishes" do
    cluster = start("handover_timeout 12\n")
    gate = Gate.new(cluster)
    cluster.get("/publish_gated")
    cluster.signal(:USR1)
    cluster.wait_for_output(/generation 1 finishes/)
    # By generation 2, and as fast as the block works: with these as well, what waits would become no less.
    cluster.get("/publish_on")
    gate.open
    cluster.wait_for_output(/generation 1 has ended/, seconds: 30)
    expect(cluster.output).not_to include("has not finished")
  end

  context "with a mold that hangs at its end" do
    let(:hanging) { <<~RUBY }
      mold = Process.pid
      at_exit { Process.pid == mold && (warn "the mold hangs"; sleep) }
      run ->(_) { [200, {}, []] }
    RUBY

    def seconds
      begun = Volador::Clock.now
      yield
      Volador::Clock.now - begun
    end

    it "does not keep the server much longer than the drain timeout" do
      cluster = start_cluster(hanging, workers: 1, configuration: "drain_timeout 1\n")
      expect(seconds { expect(cluster.stop.exitstatus).to eq 0 }).to be < 4
    end

    it "does not keep it after a second signal" do
      cluster = start_cluster(hanging, workers: 1)
      cluster.signal(:TERM)
      cluster.wait_for_output(/the mold hangs/)
      cluster.signal(:TERM)
      expect(seconds { expect(cluster.wait.exitstatus).to eq 0 }).to be < 4
    end
  end

  it "is ended at once by the second signal, whatever it does at its end" do
    endless = "on_worker_shutdown { warn 'shutting down'; sleep }"
    cluster = start_cluster("run ->(_) { [200, {}, []] }", workers: 1, configuration: endless)
    cluster.signal(:TERM)
    cluster.wait_for_output(/shutting down/)
    cluster.signal(:INT)
    expect(cluster.wait(seconds: 10).exitstatus).to eq 0
    expect(cluster.output).to include("Volador stops at once")
  end
end
