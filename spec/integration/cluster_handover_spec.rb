# frozen_string_literal: true

require_relative "integration_helper"

# Push connections stay when their worker goes, by a deploy or by a crash, and their handlers go on elsewhere.
RSpec.describe "A push connection of a cluster" do
  # Handlers of all forms count their messages and say which process they are in.
  application = <<~'RUBY'
    module Counting
      def greet(how, state) = warn("#{how} #{@name} in #{Process.pid} with #{state.inspect}")

      def answer(data)
        File.read("gate") if data == "wait"
        exit!(9) if data == "die"
        "#{Process.pid} #{@count += 1} #{data}"
      end

      def goodbye = warn("closed #{@name} at #{@count}")
    end

    class Seed
      include Counting

      def initialize(writer, name, env)
        @writer, @name, @count = writer, name, env["push.state"].to_i
        greet(env["push.resumed"] ? "resumed" : "opened", env["push.state"])
      end

      def on_message(data) = @writer.write(answer(data))
      def on_close = goodbye
      def push_state = @count.to_s
    end

    class Draft
      include Counting

      def initialize(name, env) = (@name, @count, @state = name, env["push.state"].to_i, env["push.state"])

      def on_open(client)
        greet("opened", @state)
        client.subscribe("news")
      end

      def on_resume(_client) = greet("resumed", @state)
      def on_message(client, data) = client.write(answer(data))
      def on_close(_client) = goodbye
      def push_state(_client) = @count.to_s
    end

    class Polite < Draft
      def on_shutdown(client) = client.write("bye")
    end

    # Chooses what the next one finds, and takes a block then.
    class Choosing
      def initialize(path) = @name = path

      def on_open(client)
        client.timeout = 7
        client.subscribe("news")
        client.subscribe("others")
      end

      def on_resume(client)
        client.subscribe("news") { |_channel, message| client.write("block: #{message}") }
        client.unsubscribe("others")
        client.write("timeout #{client.timeout}")
      end
    end

    # Without an on_resume, and with states that are none.
    class Plain
      include Counting

      def initialize(name, env) = (@name, @count, @state = name, 0, env["push.state"])
      def on_open(_client) = greet("opened", @state)
      def on_message(client, data) = client.write(answer(data))

      def push_state
        case @name
        when "/plain/raises" then raise "no state"
        when "/plain/long" then "x" * 65_537
        when "/plain/number" then 7
        end
      end
    end

    class App
      def call(env)
        return [200, {}, [Process.pid.to_s]] unless env["rack.upgrade?"]
        return [403, {}, ["not any more"]] if File.exist?("refuse") && env["push.resumed"]

        path = env["PATH_INFO"]
        case path
        when %r{\A/draft} then env["rack.upgrade"] = Draft.new(path, env)
        when "/polite" then env["rack.upgrade"] = Polite.new(path, env)
        when %r{\A/plain} then env["rack.upgrade"] = Plain.new(path, env)
        when "/choosing" then env["rack.upgrade"] = Choosing.new(path)
        when "/none" then env["rack.upgrade"] = Module.new
        end
        [200, {}, []]
      end
    end

    class SeedApp
      def call(_env) = [404, {}, []]

      def on_open(env)
        raise "will not" if File.exist?("refuse") && env["push.resumed"]

        Seed.new(env["push.writer"], env["SCRIPT_NAME"] + env["PATH_INFO"], env)
      end
    end

    map("/seed") { run SeedApp.new }
    map("/") { run App.new }
  RUBY

  def listens?(cluster)
    cluster.connect(&:itself)
  rescue Errno::ECONNREFUSED
    false
  end

  def deploy(cluster)
    expect(cluster.command("restart")).to match([/generation \d serves/, "", 0])
  end

  # What the handler answers: its process, its count and the message.
  def ask(client, message)
    client.send_text(message)
    client.read_message.split(" ", 3)
  end

  %w[/seed /draft].each do |path|
    it "goes on in the new generation with the handler's push_state, every message once and in order (#{path})" do
      cluster = start_cluster(application)
      old = cluster.workers
      WebSocketClient.open(cluster.port, path) do |client|
        pid, count, = ask(client, "first")
        expect([old, count]).to match([include(Integer(pid)), "1"])
        sender = Thread.new do
          300.times do |number|
            client.send_text("m#{number}")
            sleep 0.003
          end
        end
        deploy(cluster)
        answers = Array.new(300) { client.read_message.split(" ", 3) }
        sender.join

        expect(answers.map { |_, number, message| [number, message] })
          .to eq(Array.new(300) { |number| [(number + 2).to_s, "m#{number}"] })
        expect(cluster.workers).to include(Integer(answers.last[0]))
      end
      cluster.wait_for_output(/^closed #{path} at 301$/)
      expect(cluster.output.scan(/^(\w+) #{path}/).flatten).to eq(%w[opened resumed closed])
    end
  end

  it "calls on_open where there is no on_resume, and hands nothing over that is no state" do
    cluster = start_cluster(application)
    clients = %w[raises long number nil].map { |name| WebSocketClient.open(cluster.port, "/plain/#{name}") }
    clients.each { |client| ask(client, "hi") }
    deploy(cluster)

    expect(clients.map { |client| ask(client, "again")[1] }).to all(eq("1"))
    expect(cluster.output.scan(%r{^opened (/plain/\w+) in \d+ with (\w+)}).tally.values).to eq([2, 2, 2, 2])
    expect(cluster.output).to match(/push_state of Plain raised, nothing is handed over: no state/)
    expect(cluster.output).to match(/push_state of Plain returned a String of 65537 bytes/)
    expect(cluster.output).to match(/push_state of Plain returned a Integer/)
    clients.each(&:close)
  end

  it "keeps its subscriptions, gets no publication twice, and needs no handler for that" do
    cluster = start_cluster(application)
    stream = EventStreamClient.open(cluster.port, "/draft")
    socket = WebSocketClient.open(cluster.port, "/none")
    cluster.wait_for_output(%r{^opened /draft})
    deploy(cluster)
    cluster.wait_for_output(%r{^resumed /draft})
    cluster.script('Volador.connect; Volador.publish("news", "one"); Volador.broadcast("/none", "two"); Volador.publish("news", "end")')

    expect(Array.new(2) { stream.read_data }).to eq(%w[one end])
    expect(socket.read_message).to eq("two")
    expect(cluster.output.scan(/^resumed/).size).to eq(1)
  end

  it "has the timeout that was chosen, and a block in the place of a subscription without one" do
    cluster = start_cluster(application)
    WebSocketClient.open(cluster.port, "/choosing") do |client|
      Deadline.until("two subscriptions") { cluster.status[:stats][:subscriptions] == 2 }
      deploy(cluster)
      expect(client.read_message).to eq("timeout 7")
      Deadline.until("one subscription") { cluster.status[:stats][:subscriptions] == 1 }
      cluster.script('Volador.connect; Volador.publish("news", "one"); Volador.publish("others", "two"); Volador.publish("news", "end")')
      expect(Array.new(2) { client.read_message }).to eq(["block: one", "block: end"])
    end
  end

  %w[/seed /draft].each do |path|
    it "is closed with 1012 when the new code refuses it, and the old handler learns it (#{path})" do
      cluster = start_cluster(application)
      WebSocketClient.open(cluster.port, path) do |client|
        ask(client, "hi")
        cluster.write("", "refuse")
        deploy(cluster)

        expect(client.read_close).to eq(1012)
        client.send_frame(:close, [1012].pack("n"))
        cluster.wait_for_output(/^closed #{path} at 1$/)
      end
      Deadline.until("the end of the old generation") { cluster.status[:generations].size == 1 }
      expect(cluster.output.scan(/^(?:resumed|closed) #{path}/)).to eq(["closed #{path}"])
    end
  end

  it "waits for a callback that takes its time, and loses nothing that is sent meanwhile" do
    cluster = start_cluster(application)
    File.mkfifo(File.join(cluster.directory, "gate"))
    WebSocketClient.open(cluster.port, "/draft") do |client|
      old, = ask(client, "hi")
      client.send_text("wait")
      deploy(cluster)
      client.send_text("later")
      File.write(File.join(cluster.directory, "gate"), "open")

      expect(client.read_message).to eq("#{old} 2 wait")
      expect(client.read_message).to match(/\A(?!#{old} )\d+ 3 later\z/)
    end
  end

  it "has its last words in the old worker when the server stops while that is asked to let it go" do
    cluster = start_cluster(application)
    File.mkfifo(File.join(cluster.directory, "gate"))
    WebSocketClient.open(cluster.port, "/polite") do |client|
      old, = ask(client, "hi")
      client.send_text("wait")
      deploy(cluster)
      client.send_text("later")
      cluster.signal(:TERM)
      Deadline.until("the gateway to stop listening") { !listens?(cluster) }
      File.write(File.join(cluster.directory, "gate"), "open")

      expect(Array.new(3) { client.read_message }).to eq(["#{old} 2 wait", "#{old} 3 later", "bye"])
      expect(client.read_close).to eq(1001)
    end
    expect(cluster.wait.exitstatus).to eq(0)
    expect(cluster.output.scan(/^closed .*/)).to eq(["closed /polite at 3"])
  end

  it "goes on in another worker within a second of a crash, without what was being handled and with all that follows" do
    cluster = start_cluster(application)
    WebSocketClient.open(cluster.port, "/draft") do |client|
      old, = ask(client, "hi")
      crashed = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      %w[die a b c].each { |message| client.send_text(message) }
      answers = Array.new(3) { client.read_message.split(" ", 3) }

      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - crashed).to be < 1
      expect(answers.map { |_, *rest| rest }).to eq([%w[1 a], %w[2 b], %w[3 c]])
      expect(answers.map(&:first)).not_to include(old)
      cluster.wait_for_workers(2, without: [Integer(old)])
      stats = cluster.script("Volador.connect; p Volador.stats.values_at(:lost_messages, :resumed, :handlers)")
      expect(stats.lines.last).to eq("[1, 1, 1]\n")
    end
    cluster.wait_for_output(%r{^closed /draft at 3$})
    expect(cluster.output.scan(/^closed/).size).to eq(1)
  end

  it "tells the end to the next handler, after the last message, when the client leaves and the worker is lost" do
    cluster = start_cluster(application)
    lost = cluster.workers
    WebSocketClient.open(cluster.port, "/draft") do |client|
      ask(client, "hi")
      # What comes from here on waits for workers that never get to it.
      lost.each { |pid| Process.kill(:STOP, pid) }
      # The system takes a moment: what a worker begins till then is lost with it.
      Deadline.until("them to be stopped") { lost.all? { |pid| File.read("/proc/#{pid}/stat")[/\) (\w)/, 1] == "T" } }
      client.send_text("last")
    end
    lost.each { |pid| Process.kill(:KILL, pid) }
    cluster.wait_for_output(%r{^closed /draft at 1$})
    cluster.wait_for_workers(2, without: lost)
    stats = cluster.script("Volador.connect; p Volador.stats.values_at(:lost_messages, :resumed, :handlers)")

    expect(stats.lines.last).to eq("[0, 1, 0]\n")
    expect(cluster.output.scan(%r{^(\w+) /draft}).flatten).to eq(%w[opened resumed closed])
  end

  it "survives deploys and crashes in any order, many at once, and every handler is told its end once" do
    cluster = start_cluster(application)
    names = Array.new(120) { |number| "#{number.even? ? '/seed' : '/draft'}/#{number}" }
    clients = names.map { |name| WebSocketClient.open(cluster.port, name) }
    clients.each { |client| ask(client, "hi") }
    closed = -> { cluster.output.scan(/^closed (\S+)/).flatten }
    # Some leave at each turn, with their handlers anywhere; none is being told when the next worker is killed.
    leave = -> { clients.shift(20).each(&:close) }
    told = -> { Deadline.until("their on_close") { closed.call.size + clients.size >= 120 } }
    # A crash during a deploy, a deploy during a crash, and both generations at once.
    cluster.signal(:USR1)
    Process.kill(:KILL, cluster.workers.first)
    leave.call
    cluster.wait_for_output(/generation 2 serves/)
    told.call
    Process.kill(:KILL, cluster.workers.last)
    leave.call
    deploy(cluster)
    told.call
    killed = cluster.workers
    Process.kill(:KILL, *killed)
    leave.call
    cluster.wait_for_workers(2, without: killed)

    expect(clients.map { |client| ask(client, "there")[2] }).to all(eq("there"))
    clients.shift(60).each(&:close)
    told.call
    cluster.stop
    expect(closed.call).to match_array(names)
  end
end
