# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "In a terminal" do
  config = <<~'RUBY'
    run(lambda do |env|
      next [200, {}, ["another"]] if env["PATH_INFO"] == "/another"

      answer = 0
      binding.irb
      [200, {}, ["answer #{answer}"]]
    end)
  RUBY

  # Types a line at IRB's prompt.
  # @return [String] what is shown up to the next prompt
  def evaluate(server, line)
    server.type("#{line}\n")
    server.read_until(/=> .*> \z/m)
  end

  it "binding.irb holds its request, evaluates what is typed in the app's place, and goes on after exit" do
    TerminalServer.open(config) do |server|
      server.connect do |socket|
        socket.send_request("GET", "/question")
        # Where it stands, then the prompt.
        expect(server.read_until(/irb.*> \z/)).to include("config.ru", "=> 5:   binding.irb")
        expect(evaluate(server, "env['PATH_INFO']")).to include('=> "/question"')
        evaluate(server, "answer = 6 * 7")
        expect(evaluate(server, "answer + 1")).to include("=> 43")
        expect(socket).to be_silent
        expect(server.connect { |other| other.request("GET", "/another").body }).to eq("another")

        server.type("exit\n")
        expect(socket.read_response.body).to eq("answer 42")
      end
    end
  end

  it "binding.irb may be met again and again, and what is raised in it stays there" do
    TerminalServer.open(config) do |server|
      server.connect do |socket|
        2.times do |index|
          socket.send_request("GET", "/question")
          server.read_until(/irb.*> \z/)
          server.type("raise 'only here'\n")
          server.read_until(/only here.*RuntimeError.*> \z/m)
          evaluate(server, "answer = #{index}")
          server.type("exit\n")
          expect(socket.read_response.body).to eq("answer #{index}")
        end
      end
    end
  end

  it "binding.irb works in a worker process as well, and Ctrl-C stops all processes in order" do
    TerminalServer.open(config, "-w", "1") do |server|
      server.connect do |socket|
        socket.send_request("GET", "/question")
        server.read_until(/irb.*> \z/)
        evaluate(server, "answer = Process.pid")
        server.type("exit\n")
        worker = Integer(socket.read_response.body[/\d+/])
        server.type("\x03")

        expect(server.wait.exitstatus).to eq(0)
        expect(Processes.alive?(worker)).to be(false)
      end
    end
  end

  it "Ctrl-C stops the server in order" do
    TerminalServer.open(config) do |server|
      server.connect { |socket| expect(socket.request("GET", "/another").body).to eq("another") }
      server.type("\x03")

      expect(server.wait.exitstatus).to eq(0)
    end
  end

  it "Ctrl-C stops the server in order also after binding.irb" do
    TerminalServer.open(config) do |server|
      server.connect do |socket|
        socket.send_request("GET", "/question")
        server.read_until(/irb.*> \z/)
        server.type("exit\n")
        expect(socket.read_response.body).to eq("answer 0")
      end
      server.type("\x03")

      expect(server.wait.exitstatus).to eq(0)
    end
  end
end
