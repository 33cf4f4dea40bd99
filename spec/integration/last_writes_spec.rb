# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "What a callback has written before the server stops" do
  # One thread, which finds all three messages as soon as the gate opens: the last one stops the server within the
  # millisecond for which the frames of the second one may wait for company.
  let(:application) { <<~'RUBY' }
    class Writes
      def initialize(writer) = @writer = writer

      def on_message(data)
        case data
        when "wait" then (@writer.write("waits")) && File.read("gate")
        when "write" then @writer.write("written")
        when "stop" then Process.kill(:TERM, Process.pid) && sleep(0.1)
        end
      end
    end
    run(Class.new do
      def call(_) = [404, {}, []]
      def on_open(env) = Writes.new(env["push.writer"])
    end.new)
  RUBY

  it "is sent before its connection is closed" do
    5.times do
      server = start_volador(application, "-t", "1")
      gate = Gate.new(server)
      waiting, writing, stopping = Array.new(3) { WebSocketClient.open(server.port, "/") }
      waiting.send_text("wait")
      waiting.read_message
      { writing => "write", stopping => "stop" }.each do |client, message|
        client.send_text(message)
        client.send_frame(:ping, "has it come?")
        client.read_frame
      end
      gate.open
      expect(writing.read_message).to eq "written"
      [waiting, writing, stopping].each(&:close_socket)
      server.wait(seconds: 10)
    end
  end
end
