# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "Application threads" do
  # Each request to /meet waits until COUNT of them are there; everything else counts how many run at once.
  meeting = <<~RUBY
    HERE = []
    LOCK = Mutex.new
    CHANGED = ConditionVariable.new
    run(lambda do |env|
      wanted = env["QUERY_STRING"].to_i
      most = LOCK.synchronize do
        HERE << env
        CHANGED.broadcast
        deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 10
        while HERE.size < wanted && Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline
          CHANGED.wait(LOCK, 1)
        end
        HERE.size
      end
      [200, {}, [most.to_s]]
    end)
  RUBY

  def meet(server, count)
    sockets = Array.new(count) { server.connect.send_request("GET", "/meet?#{count}") }
    sockets.map { |socket| socket.read_response.body.to_i }
  ensure
    sockets&.each(&:close)
  end

  it "are as many as -t says: so many requests run at once" do
    expect(meet(start_volador(meeting, "-t", "3"), 3)).to all(eq(3))
  end

  it "are five by default" do
    expect(meet(start_volador(meeting), 5)).to all(eq(5))
  end

  it "are never more than -t says" do
    server = start_volador(<<~RUBY, "-t", "2")
      RUNNING = Thread::Queue.new
      run(lambda do |_env|
        RUNNING << true
        sleep 0.01
        size = RUNNING.size
        RUNNING.pop
        [200, {}, [size.to_s]]
      end)
    RUBY
    sockets = Array.new(10) { server.connect.send_request("GET", "/") }

    expect(sockets.map { |socket| socket.read_response.body.to_i }.max).to be <= 2
    sockets.each(&:close)
  end

  it "is one with -t 1: requests run one after the other" do
    server = start_volador(<<~RUBY, "-t", "1")
      INSIDE = []
      run(lambda do |_env|
        INSIDE << true
        Thread.pass
        sleep 0.005
        size = INSIDE.size
        INSIDE.pop
        [200, {}, [size.to_s]]
      end)
    RUBY
    sockets = Array.new(8) { server.connect.send_request("GET", "/") }

    expect(sockets.map { |socket| socket.read_response.body }).to all(eq("1"))
    sockets.each(&:close)
  end

  it "serve other connections' messages while one handler waits" do
    server = start_volador(<<~RUBY, "-t", "2")
      Handler = Struct.new(:writer, :path) do
        def on_message(data)
          File.read("gate") if path == "/slow"
          writer.write("heard \#{data}")
        end
      end

      class App
        def call(_env)
          [404, {}, []]
        end

        def on_open(env)
          Handler.new(env["push.writer"], env["PATH_INFO"])
        end
      end
      run App.new
    RUBY
    gate = Gate.new(server)
    WebSocketClient.open(server.port, "/slow") do |slow|
      slow.send_text("one")
      WebSocketClient.open(server.port, "/quick") do |quick|
        expect(quick.send_text("two").read_message).to eq("heard two")
      end
      gate.open
      expect(slow.read_message).to eq("heard one")
    end
  end

  it "may all wait for something that comes from outside: Ruby does not call it a deadlock" do
    server = start_volador(<<~RUBY, "-t", "2")
      WAITING = Thread::Queue.new
      Signal.trap(:USR2) { 2.times { WAITING.push("let go") } }
      run(lambda do |_env|
        warn "waiting"
        [200, {}, [WAITING.pop]]
      end)
    RUBY
    sockets = Array.new(2) { server.connect.send_request("GET", "/") }
    server.wait_for_output(/(waiting.*?){2}/m)
    expect(sockets).to all(be_silent)
    server.signal(:USR2)

    expect(sockets.map { |socket| socket.read_response.body }).to all(eq("let go"))
    sockets.each(&:close)
  end

  it "get their jobs in an Array that shares no memory with others, whatever an application does that finds it" do
    server = start_volador(<<~'RUBY', "-t", "1")
      copies = nil
      run(lambda do |env|
        unless copies
          job = ObjectSpace.each_object(Array).find { |array| array.size == 2 && array[0].equal?(env) }
          # Of so many elements a copy shares the memory.
          is_grown = (job.unshift(*(["other"] * 98)) rescue false)
          copies = [job.dup, job[0..], job.first(100), [*job], [].replace(job)]
          job.shift(98) if is_grown
        end
        [200, {}, [copies.map { |copy| copy.map(&:object_id) }.join(" ")]]
      end)
    RUBY
    answers = Array.new(3) { |number| server.get("/#{number}") }

    expect(answers.map(&:status)).to all(eq(200))
    expect(answers.map(&:body).uniq.size).to eq(1)
  end

  it "have names, by which a debugger shows them" do
    server = start_volador(<<~RUBY, "-t", "1")
      run ->(_env) { [200, {}, [Thread.current.name.to_s]] }
    RUBY

    expect(server.get("/").body).to match(/volador/)
  end

  describe "whose app" do
    shared_server(<<~RUBY, "-t", "1")
      require "timeout"
      run(lambda do |env|
        case env["PATH_INFO"]
        when "/kill" then Thread.current.kill
        when "/kill-later"
          thread = Thread.current
          Thread.new { thread.kill }
          sleep 10
        when "/raise-later"
          thread = Thread.current
          Thread.new { thread.raise(ArgumentError, "from outside") }
          sleep 10
        when "/raise-rescued"
          thread = Thread.current
          begin
            Thread.new { thread.raise(ArgumentError, "from outside") }
            sleep 10
          rescue ArgumentError => e
            [200, {}, [e.message]]
          end
        when "/timeout"
          begin
            Timeout.timeout(0.05) { sleep 10 }
          rescue Timeout::Error
            [200, {}, ["timed out"]]
          end
        when "/timeout-unrescued" then Timeout.timeout(0.05) { sleep 10 }
        when "/timeout-in-each"
          [200, {}, Enumerator.new do |yielder|
            yielder << "one"
            begin
              Timeout.timeout(0.05) { loop { yielder << "x"; sleep 0.01 } }
            rescue Timeout::Error
              yielder << "timed out"
            end
          end]
        when "/exit" then exit
        when "/thread" then Thread.new { [200, {}, ["by a thread"]] }.value
        when "/fiber" then Fiber.new { [200, {}, ["by a fiber"]] }.resume
        when "/process" then [200, {}, [`echo by a process`]]
        when "/fork"
          pid = fork { exit!(3) }
          [200, {}, [Process.wait2(pid).last.exitstatus.to_s]]
        when "/fork-exit"
          pid = fork { exit(3) }
          [200, {}, [Process.wait2(pid).last.exitstatus.to_s]]
        when "/irb"
          binding.irb
          [200, {}, ["after irb"]]
        else [200, {}, ["fine"]]
        end
      end)
    RUBY

    # The answer, or nil where the connection was cut: one of both must come, and the next request must be answered.
    def end_of(path)
      server.get(path)
    rescue RawSocket::Ended
      nil
    end

    %w[/kill /kill-later].each do |path|
      it "ends its thread (Thread#kill) is answered with 500 or cut; the thread is replaced (#{path})" do
        3.times { expect(end_of(path)).to be_nil.or have_attributes(status: 500) }

        expect(server.get("/").body).to eq("fine")
      end
    end

    it "gets an exception from another thread is answered with 500" do
      expect(server.get("/raise-later").status).to eq(500)
      server.wait_for_output(/from outside \(ArgumentError\)/)
      expect(server.get("/").body).to eq("fine")
    end

    it "gets an exception from another thread may rescue it" do
      expect(server.get("/raise-rescued").body).to eq("from outside")
    end

    it "uses Timeout is interrupted" do
      expect(server.get("/timeout").body).to eq("timed out")
    end

    it "does not rescue its Timeout is answered with 500" do
      expect(server.get("/timeout-unrescued").status).to eq(500)
      expect(server.get("/").body).to eq("fine")
    end

    it "uses Timeout in a streamed body is interrupted there" do
      expect(server.get("/timeout-in-each").body).to match(/\Aonex*timed out\z/)
    end

    it "calls exit does not take the server with it" do
      end_of("/exit")

      expect(server.get("/").body).to eq("fine")
    end

    it "starts threads, fibers and processes works" do
      expect(%w[/thread /fiber /process /fork /fork-exit].map { |path| server.get(path).body })
        .to eq(["by a thread", "by a fiber", "by a process\n", "3", "3"])
      expect(server.get("/").body).to eq("fine")
    end

    it "calls binding.irb without a terminal goes on" do
      expect(server.get("/irb").body).to eq("after irb")
    end
  end
end
