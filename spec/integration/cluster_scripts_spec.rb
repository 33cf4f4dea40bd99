# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A script that connects to a cluster" do
  include PublishingCluster

  app = PublishingCluster::APP

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

  it "tells a script that its link is lost, which may connect again" do
    cluster = start_cluster(app)
    printed = cluster.script(<<~RUBY)
      #{PublishingCluster::CUT}
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
      #{PublishingCluster::CUT}
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
end
