# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Publishing among the processes of a cluster" do
  include PublishingCluster

  app = PublishingCluster::APP

  it "reaches clients of all workers, once each, from any worker" do
    cluster = start_cluster(app)
    here = clients(cluster)
    4.times { |index| expect(cluster.get("/publish/p#{index}").body).to eq("true") }
    published = here.map { |client| Array.new(4) { client.read_message } }
    cluster.get("/broadcast/b0")

    expect(published.map(&:sort)).to all(eq(%w[p0 p1 p2 p3]))
    expect(here.map(&:read_message)).to all(eq("b0"))
    close(here)
  end

  it "runs what was subscribed to while the application loads in each worker, and not in the mold" do
    cluster = start_cluster("Volador.subscribe('news') { |_, message| warn \"heard \#{message} in \#{Process.pid}\" }\n" \
                            "Thread.new { loop { sleep 0.05; Volador.stats } }\n#{app}")
    2.times { |index| cluster.get("/publish/p#{index}") }
    cluster.wait_for_output(/(heard p\d in \d+\n(.*\n)*){4}/)
    sleep 0.2

    expect(cluster.output.scan(/heard (p\d) in (\d+)/).map { |message, pid| [message, pid.to_i] })
      .to match_array(cluster.workers.product(%w[p0 p1]).map(&:reverse))
  end

  it "serves once all workers can publish and hear what is published, however long one of them takes" do
    cluster = start_cluster(<<~RUBY, configuration: "on_worker_boot { |number| $slow = number == 2 }\n")
      Volador.subscribe("news") { |_, message| warn "heard \#{message} in \#{Process.pid}" }
      slow = Module.new do
        def add(*)
          sleep 0.5 if $slow
          super
        end
      end
      [Volador::Server.singleton_class, Volador::PubSub::Listeners].each { |place| place.prepend(slow) }
      #{app}
    RUBY
    # To both workers.
    answers = Array.new(2) { |index| Thread.new { cluster.get("/publish/p#{index}").body } }.map(&:value)

    expect(answers).to eq(%w[true true])
    cluster.wait_for_output(/(heard p\d in \d+\n(.*\n)*){4}/)
    expect(cluster.output.scan(/heard (p\d) in (\d+)/).map { |message, pid| [message, pid.to_i] })
      .to match_array(cluster.workers.product(%w[p0 p1]).map(&:reverse))
  end

  it "works from the mold: what a thread of the config.ru publishes, broadcasts and subscribes to" do
    cluster = start_cluster(<<~RUBY)
      Thread.new do
        sleep 0.01 until File.exist?("go")
        Volador.subscribe("news") { |_, message| warn "mold heard \#{message} in \#{Process.pid}" }
        warn "mold published \#{Volador.publish('news', 'hello')}"
        Volador.broadcast("/rooms/*", "dinner")
        warn "mold counts \#{Volador.stats[:websocket_connections]}"
      end
      #{app}
    RUBY
    here = clients(cluster)
    cluster.write("", "go")

    expect(here.map { |client| Array.new(2) { client.read_message } }).to all(eq(%w[hello dinner]))
    cluster.wait_for_output(/mold published true/)
    cluster.wait_for_output(/mold counts 8/)
    cluster.wait_for_output(/mold heard hello in #{cluster.mold}/)
    expect(cluster.output.scan(/heard hello/).size).to eq(1)
    close(here)
  end

  it "runs a block that before_fork has subscribed in the mold alone, once for each message" do
    cluster = start_cluster(app, configuration: <<~'RUBY')
      before_fork { Volador.subscribe("news") { |_, message| warn "heard #{message} in #{Process.pid}" } }
    RUBY
    3.times { |index| cluster.get("/publish/p#{index}") }
    cluster.wait_for_output(/heard p2/)
    sleep 0.2

    expect(cluster.output.scan(/heard (p\d) in (\d+)/)).to eq(%w[p0 p1 p2].map { |message| [message, cluster.mold.to_s] })
  end

  it "works from the hook of the gateway's process" do
    cluster = start_cluster(app, configuration: <<~'RUBY')
      on_booted do
        sleep 0.01 until File.exist?("go")
        Volador.subscribe("news") { |_, message| warn "gateway heard #{message}" }
        warn "gateway published #{Volador.publish('news', 'hello')}, counts #{Volador.stats[:websocket_connections]}"
      end
    RUBY
    here = clients(cluster)
    cluster.write("", "go")

    expect(here.map(&:read_message)).to all(eq("hello"))
    cluster.wait_for_output(/gateway published true, counts 8/)
    cluster.wait_for_output(/gateway heard hello/)
    close(here)
    expect(cluster.stop.exitstatus).to eq(0)
    expect(cluster.files).to eq([])
  end

  it "brings a block of the mold what is larger than may wait on the way there, and what comes after it" do
    cluster = start_cluster(<<~RUBY, configuration: <<~'CONFIGURATION')
      run ->(env) { [200, {}, [Volador.publish("news", "x" * env["PATH_INFO"].delete("/").to_i).inspect]] }
    RUBY
      before_fork { Volador.subscribe("news") { |_, message| warn "heard #{message.bytesize} in #{Process.pid}" } }
    CONFIGURATION
    [17 * 1024 * 1024, 7].each do |size|
      expect(cluster.get("/#{size}").body).to eq("true")
      cluster.wait_for_output(/^heard #{size} in #{cluster.mold}$/)
    end

    expect(cluster.status[:stats]).to include(dropped_block: 0, subscriptions: 1)
  end

  { "before_fork" => "mold", "on_booted" => "gateway" }.each do |hook, place|
    it "has as much wait for a block of the #{place} as block_queue_max_bytes says" do
      cluster = start_cluster(app, configuration: <<~RUBY)
        block_queue_max_bytes 10
        #{hook} do
          Volador.subscribe("news") do |_, message|
            warn "heard \#{message}"
            sleep 0.01 until File.exist?("go")
          end
        end
      RUBY
      Deadline.until("the subscription") { cluster.status[:stats][:subscriptions] == 1 }
      cluster.get("/publish/first")
      cluster.wait_for_output(/^heard first$/)
      5.times { |index| cluster.get("/publish/message#{index}") }
      cluster.wait_for_output(/slower than what is published to "news": more than 10 bytes wait for it/)
      Deadline.until("the count of what was dropped") { cluster.status[:stats][:dropped_block] == 4 }
      cluster.write("", "go")
      cluster.wait_for_output(/^heard message4$/)
    end
  end

  { "before_fork" => "mold", "on_booted" => "gateway" }.each do |hook, place|
    it "goes on in the #{place} when its link fails: a block that #{hook} has subscribed is called again" do
      cluster = start_cluster(app, configuration: <<~RUBY)
        #{PublishingCluster::CUT}
        #{hook} do
          Volador.subscribe("news") { |_, message| warn "heard \#{message} in \#{Process.pid}" }
          Thread.new do
            sleep 0.01 until File.exist?("cut")
            cut.call
          end
        end
      RUBY
      Deadline.until("the subscription") { cluster.status[:stats][:subscriptions] == 1 }
      cluster.write("", "cut")
      cluster.wait_for_output(/the link to the gateway was lost, and is there again/)
      cluster.get("/publish/again")

      cluster.wait_for_output(/^heard again in #{cluster.public_send(place == "mold" ? :mold : :pid)}$/)
      expect(cluster.status[:stats][:subscriptions]).to eq(1)
      expect(cluster.stop).to be_success
      expect(cluster.output).not_to include("ERROR")
    end
  end

  it "works from the hook at the end of a worker" do
    cluster = start_cluster(app, configuration: <<~'RUBY')
      on_worker_shutdown do |number|
        warn "counts #{Volador.stats[:websocket_connections]}"
        Volador.publish("news", "bye #{number}")
      end
    RUBY
    client = WebSocketClient.open(cluster.port, "/rooms/1").tap(&:read_message)
    cluster.signal(:USR1)

    # The one that has the client's handler may come first.
    expect(Array.new(3) { client.read_message }.grep(/bye/)).to match_array(["bye 1", "bye 2"])
    cluster.wait_for_output(/^counts 1$(.*\n)*^counts 1$/)
    client.close_socket
  end

  it "keeps no worker from working, however busy the mold's own link is while it is forked" do
    cluster = start_cluster(<<~RUBY, workers: 4, configuration: "before_fork { Volador.subscribe('tick') {} }\n")
      3.times { Thread.new { loop { Volador.publish("tick", "x" * 100); sleep 0.0005 } } }
      #{app}
    RUBY
    # All workers are forked anew, again and again.
    4.times do
      before = cluster.workers
      before.each { |pid| Process.kill(:KILL, pid) }
      now = cluster.wait_for_workers(4, without: before)
      # Each of them beats and answers, or it would be seen here.
      sockets = Array.new(8) { cluster.connect.send_request("GET", "/") }
      answers = sockets.map { |socket| Integer(socket.read_response.body) }
      sockets.each(&:close)

      expect(answers - now).to eq([])
      expect(cluster.generation[:workers].map { |worker| worker[:quiet] }).to all(be < 5)
    end
  end

  it "works from a thread of the config.ru also while it loads, and before any worker is there" do
    cluster = start_cluster("warn \"loading published \#{Volador.publish('news', 'early')}\"\n#{app}")

    expect(cluster.output).to include("loading published true")
    expect(cluster.stop.exitstatus).to eq(0)
  end

  it "begins anew in the mold after a deploy: the old mold's thread ends with it" do
    ticking = ->(name) { "Thread.new { loop { sleep 0.05; Volador.publish('news', '#{name}') } }\n#{app}" }
    cluster = start_cluster(ticking.call("one"))
    client = WebSocketClient.open(cluster.port, "/rooms/1").tap(&:read_message)
    expect(client.read_message).to eq("one")
    cluster.write(ticking.call("two"))
    cluster.command("restart")
    cluster.wait_for_output(/generation 1 has ended/)
    # What both molds have published meanwhile is before it.
    cluster.get("/publish/mark")
    Deadline.until("the mark") { client.read_message == "mark" }

    expect(Array.new(5) { client.read_message }).to all(eq("two"))
    client.close_socket
  end

  it "works from every at_exit block of the mold, which ends without a word of its threads" do
    cluster = start_cluster(<<~RUBY)
      mold = Process.pid
      %w[first last].each do |name|
        at_exit do
          next unless Process.pid == mold

          heard = Queue.new
          Volador.subscribe(name) { |_channel, message| heard << message }
          Volador.publish(name, "\#{name} words")
          200.times { heard.empty? ? sleep(0.05) : break }
          warn heard.pop(true)
        end
      end
      #{app}
    RUBY
    expect(cluster.stop).to be_success
    expect(cluster.output).to match(/^last words\nfirst words\n/)
    expect(cluster.output).not_to match(/ERROR|Error|terminated/)
  end

  it "counts for the whole cluster, in every process" do
    cluster = start_cluster(app)
    here = clients(cluster)

    expect(Array.new(6) { cluster.get("/stats").body }.uniq).to eq(["[8, 8, 8]"])
    close(here)
  end
end
