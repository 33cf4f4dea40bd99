# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Publishing among the processes of a cluster" do
  app = <<~'RUBY'
    class App
      def call(env)
        case env["PATH_INFO"]
        when %r{\A/publish/(\w+)} then [200, {}, [Volador.publish("news", $1).inspect]]
        when %r{\A/broadcast/(\w+)} then [200, {}, [Volador.broadcast("/rooms/*", $1).inspect]]
        when "/stats"
          [200, {}, [Volador.stats.values_at(:websocket_connections, :subscriptions, :handlers).inspect]]
        when %r{\A/rooms/}
          env["rack.upgrade"] = Client if env["rack.upgrade?"]
          [200, {}, []]
        else [200, {}, [Process.pid.to_s]]
        end
      end
    end

    module Client
      def self.on_open(client)
        client.subscribe("news")
        client.write(Process.pid.to_s)
      end
    end
    run App.new
  RUBY

  # @return [Array<WebSocketClient>] whose handlers are in both workers
  def clients(cluster)
    found = Array.new(8) { |index| WebSocketClient.open(cluster.port, "/rooms/#{index}") }
    pids = found.map { |client| client.read_message.to_i }
    expect(pids.uniq).to match_array(cluster.workers)
    found
  end

  def close(clients)
    clients.each(&:close_socket)
  end

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

  # Ends the links of its process, as it sees them.
  cut = <<~'RUBY'
    require "socket"
    cut = lambda do
      Dir.children("/proc/self/fd").each do |descriptor|
        socket = Socket.for_fd(Integer(descriptor)).tap { |one| one.autoclose = false }
        socket.shutdown if socket.remote_address.unix_path.end_with?("/link.sock")
      rescue SystemCallError, ArgumentError, SocketError, TypeError
        nil # Another descriptor.
      end
    end
  RUBY

  { "before_fork" => "mold", "on_booted" => "gateway" }.each do |hook, place|
    it "goes on in the #{place} when its link fails: a block that #{hook} has subscribed is called again" do
      cluster = start_cluster(app, configuration: <<~RUBY)
        #{cut}
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

  it "tells a script that its link is lost, which may connect again" do
    cluster = start_cluster(app)
    printed = cluster.script(<<~RUBY)
      #{cut}
      heard = Queue.new
      Volador.subscribe("news") { |_, message| heard << message }
      Volador.connect
      cut.call
      watches = -> { Thread.list.map(&:name).include?("volador guest") }
      400.times { watches.call ? sleep(0.05) : break }
      p Volador.publish("news", "nowhere")
      Volador.connect
      p Volador.publish("news", "again"), heard.pop
    RUBY

    expect(printed.lines.map(&:chomp))
      .to contain_exactly("false", "true", '"again"', /WARN: the link to the server is lost: .* calls Volador.connect again/)
  end

  it "says of a script that loses its link what its blocks have missed, and not that it is counted", :aggregate_failures do
    cluster = start_cluster(app)
    printed = cluster.script(<<~RUBY)
      #{cut}
      begun = Queue.new
      Volador.subscribe("news") { begun << true and sleep }
      Volador.connect
      3.times { Volador.publish("news", "hi") }
      begun.pop
      # Behind the others on the link.
      Volador.stats
      cut.call
      watches = -> { Thread.list.map(&:name).include?("volador guest") }
      400.times { watches.call ? sleep(0.05) : break }
    RUBY

    expect(printed).to match(/^volador WARN: 2 publications that waited for blocks .* are dropped$/)
    expect(cluster.status[:stats][:dropped_block]).to eq(0)
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

  it "works from a script that connects, and ends with it" do
    cluster = start_cluster(app)
    here = clients(cluster)
    printed = cluster.script(<<~'RUBY')
      guest = Volador.connect
      again = Volador.connect
      puts guest.equal?(again)
      heard = Queue.new
      Volador.subscribe("news") { |channel, message| heard << [channel, message] }
      puts Volador.publish("news", "from a script")
      Volador.broadcast("/rooms/*", "to the rooms")
      p heard.pop
      p Volador.stats.values_at(:websocket_connections, :subscriptions, :workers)
      guest.close
      puts Volador.publish("news", "too late")
      p Volador.stats
    RUBY

    expect(printed.lines.map(&:chomp)).to eq(["true", "true", '["news", "from a script"]', "[8, 9, 2]", "false", "{}"])
    expect(here.map { |client| Array.new(2) { client.read_message } }).to all(eq(["from a script", "to the rooms"]))
    Deadline.until("the end of its subscription") { cluster.get("/stats").body == "[8, 8, 8]" }
    close(here)
  end

  it "makes one guest of a script whose threads connect at once: what is published arrives once" do
    cluster = start_cluster(app)
    printed = cluster.script(<<~RUBY)
      heard = Queue.new
      Volador.subscribe("news") { |_channel, message| heard << message }
      gate = Queue.new
      threads = Array.new(8) { Thread.new { gate.pop and Volador.connect } }
      threads.each { gate << true }
      guests = threads.map(&:value)
      p guests.uniq.size, Volador::Server.running.size
      Volador.publish("news", "once")
      Volador.publish("news", "end")
      # What comes twice has come when the figures do, which are asked for behind it.
      Volador.stats
      p Array.new(2) { heard.pop }
      guests.each(&:close)
      p heard.size
      p Volador.connect.equal?(guests.first)
    RUBY

    expect(printed.lines.map(&:chomp)).to eq(["1", "1", '["once", "end"]', "0", "false"])
  end

  it "makes no guest of a process of the server, which is told that it needs none" do
    try = 'begin; Volador.connect; rescue Volador::Error => e; warn "#{place}: #{e.message}"; end'
    cluster = start_cluster(<<~RUBY, configuration: "on_booted { place = 'gateway'; #{try} }\n")
      place = "loading"
      #{try}
      Volador.subscribe("news") { |_, message| warn "heard \#{message} in \#{Process.pid}" }
      Thread.new do
        sleep 0.01 until File.exist?("go")
        place = "mold"
        #{try}
      end
      run(lambda do |env|
        place = "worker"
        #{try}
        [200, {}, [Volador.publish("news", "once").inspect]]
      end)
    RUBY
    cluster.write("", "go")
    expect(cluster.get("/").body).to eq("true")
    %w[loading gateway mold worker].each do |place|
      cluster.wait_for_output(/^#{place}: this process is one of that server's: .* work here without Volador.connect \(in a worker/)
    end
    cluster.wait_for_output(/(heard once in \d+\n(.*\n)*){2}/)

    expect(cluster.output.scan(/heard once in (\d+)/).flatten.map(&:to_i)).to match_array(cluster.workers)
  end

  it "lets a process connect that the application has forked" do
    cluster = start_cluster(<<~RUBY)
      run(lambda do |_env|
        reader, writer = IO.pipe
        child = fork do
          guest = Volador.connect
          writer.write([guest.class, Volador.publish("news", "from a child")].inspect)
          guest.close
          writer.close
          exit!
        end
        writer.close
        Process.wait(child)
        [200, {}, [reader.read]]
      end)
    RUBY

    expect(cluster.get("/").body).to eq("[Volador::Cluster::Guest, true]")
    expect(cluster.status[:stats][:published]).to eq(1)
  end

  # Three publications: one that its block is called with and never returns from, and two that wait for that. The figures
  # come on the same way as these, behind them. Then `alive` are those of its threads that run blocks.
  slow_script = <<~'RUBY'
    guest = Volador.connect
    begun = Queue.new
    Volador.subscribe("work") { begun << true and sleep }
    3.times { Volador.publish("work", "hi") }
    begun.pop
    Volador.stats
    alive = -> { Thread.list.map(&:name).grep(/\Avolador \d+\z/) }
    p alive.call
  RUBY
  cut_off = "volador WARN: 2 publications that waited for blocks of subscriptions when the threads were ended are dropped, " \
            "and counted in Volador.stats[:dropped_block]"

  it "ends a script's slow block when the script leaves, whatever its thread is called, and counts what it has missed" do
    cluster = start_cluster(app)
    printed = cluster.script(<<~RUBY)
      #{slow_script}
      Thread.new { guest.close }.tap { |thread| thread.name = "volador mine" }.join
      p alive.call
    RUBY

    expect(printed.lines.map(&:chomp)).to contain_exactly('["volador 1"]', cut_off, "[]")
    Deadline.until("the count of what was dropped") { cluster.status[:stats][:dropped_block] == 2 }
  end

  it "ends a script's slow block when the server ends" do
    cluster = start_cluster(app)
    script = Thread.new { cluster.script(<<~RUBY) }
      #{slow_script}
      Volador.publish("script", "has begun")
      400.times { alive.call.empty? ? break : sleep(0.05) }
      p alive.call
    RUBY
    Deadline.until("the script's publications") { cluster.status[:stats][:published] == 4 }
    cluster.stop

    expect(script.value.lines.map(&:chomp)).to contain_exactly('["volador 1"]', cut_off, "[]")
  end

  { "Native::Worker" => :ready, "ApplicationThreads" => :start }.each do |place, method|
    it "leaves nothing in a script in which it fails in #{place}##{method}, behind the join" do
      cluster = start_cluster(app)
      printed = cluster.script(<<~RUBY)
        require "volador/cluster/guest"
        Volador::#{place}.prepend(Module.new { def #{method}(*) = raise(Volador::Error, "not now") })
        begin
          Volador.connect
        rescue Volador::Error => e
          puts e.message
        end
        # One may end between the two looks.
        name = ->(file) { File.read(file).chomp rescue "" }
        threads = -> { Dir["/proc/self/task/*/comm"].map(&name).grep(/\\Avolador.(link|send|guest)/) }
        400.times { threads.call.empty? ? break : sleep(0.05) }
        p threads.call, Volador::Server.running
      RUBY

      expect(printed.lines.map(&:chomp)).to eq(["not now", "[]", "[]"])
    end
  end

  it "does not keep a script from giving up, when the server does not answer" do
    cluster = start_cluster(app)
    printed = cluster.script(<<~RUBY)
      require "timeout"
      Volador.connect
      Process.kill(:STOP, #{cluster.pid})
      Thread.pass until Dir["/proc/#{cluster.pid}/task/*/stat"].all? { |file| File.read(file)[/\\) (.)/, 1] == "T" }
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      begin
        Timeout.timeout(0.2) { Volador.stats }
      rescue Timeout::Error
        puts "given up"
      end
      Thread.new { Volador.stats }.tap { |thread| thread.join(0.2) }.kill.join
      puts Process.clock_gettime(Process::CLOCK_MONOTONIC) - began < 3
      Process.kill(:CONT, #{cluster.pid})
      puts Volador.stats[:workers]
    RUBY

    expect(printed.lines.map(&:chomp)).to eq(["given up", "true", "2"])
  end

  it "says to a script that there is no server" do
    cluster = keep(ClusterServer.cluster(app))

    expect(cluster.script("begin; Volador.connect('nowhere.sock'); rescue Volador::Error => e; puts e.message; end"))
      .to match(%r{\Ano server has the control socket .*/nowhere\.sock\n\z})
  end

  it "tells a script that the server has ended" do
    cluster = start_cluster(app)
    script = Thread.new { cluster.script("Volador.connect; warn 'connected'; sleep 0.01 while Volador.publish('a', 'b'); p Volador.stats") }
    Deadline.until("the guest") { cluster.status[:stats][:published].to_i.positive? }
    cluster.stop

    expect(script.value).to end_with("{}\n")
  end

  it "counts for the whole cluster, in every process" do
    cluster = start_cluster(app)
    here = clients(cluster)

    expect(Array.new(6) { cluster.get("/stats").body }.uniq).to eq(["[8, 8, 8]"])
    close(here)
  end
end
