# frozen_string_literal: true

require_relative "integration_helper"

# Applications in the style of Iodine's own push examples.
RSpec.describe "An application written for Iodine" do
  it "runs its chat, tasks and hooks with --compat iodine" do
    server = start_volador(<<~'RUBY', "--compat", "iodine")
      require "iodine"
      Iodine.threads = 3 if Iodine.threads.zero?

      # A module that is the app and the handler, as in Iodine's shootout.
      module Chat
        def self.call(env)
          if env["rack.upgrade?"]
            env["rack.upgrade"] = Chat
            return [0, {}, []]
          end
          [200, { "content-type" => "text/plain" }, ["running: #{Iodine.running?}"]]
        end

        def self.on_open(client)
          client.subscribe :bits, as: :binary
          client.subscribe :chat
          client.write("welcome")
        end

        def self.on_message(client, data)
          command, payload = Iodine::JSON.parse(data).values_at("type", "payload")
          case command
          when "echo" then client.write(payload)
          when "binary" then client.publish(:bits, payload.b)
          when "task" then Iodine.publish(:tasks, payload)
          when "later" then Iodine.run_after(10) { Iodine.publish("chat", payload) }
          else client.publish(:chat, payload)
          end
        end
      end

      Iodine.subscribe(:tasks) { |channel, message| Iodine.publish(:chat, "#{channel} did #{message}") }
      Iodine.run_every(5, 2) { $stderr.write("tick\n") }
      Iodine.defer { $stderr.write("deferred\n") }
      Iodine.on_state(:on_start) { $stderr.write("hook: on_start\n") }
      Iodine.on_state(:start_shutdown) { $stderr.write("hook: start_shutdown\n") }
      Iodine.on_state(:on_finish) { $stderr.write("hook: on_finish\n") }

      run Chat
    RUBY
    server.wait_for_output(/(tick\n.*?){2}/m)
    server.wait_for_output(/^deferred$/)
    expect(server.get("/").body).to eq("running: true")
    WebSocketClient.open(server.port) do |client|
      tell = ->(type, payload) { client.send_text(JSON.generate(type: type, payload: payload)).read_message }
      expect(client.read_message).to eq("welcome")
      expect(tell.call("echo", "hello")).to eq("hello")
      expect(tell.call("say", "to all")).to eq("to all")
      expect(tell.call("binary", "bits").encoding).to eq(Encoding::BINARY)
      expect(tell.call("task", "7")).to eq("tasks did 7")
      expect(tell.call("later", "after 10 ms")).to eq("after 10 ms")
    end
    expect(server.stop).to be_success

    expect(server.output.scan(/^hook: (\S+)$/).flatten).to eq(%w[on_start start_shutdown on_finish])
    expect(server.output.scan(/^tick$/).size).to eq(2)
    expect(server.output).not_to match(/warning|ERROR/)
  end

  it "is told what --compat knows" do
    server = start_ruby(<<~RUBY)
      require "volador/cli"
      exit Volador::CLI.new(%w[--compat thin]).run
    RUBY
    expect(server.wait.exitstatus).to eq(1)
    expect(server.output).to include('--compat must be iodine or agoo, got "thin"')
  end
end
