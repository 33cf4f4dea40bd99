# frozen_string_literal: true

require_relative "integration_helper"

# A push connection keeps its request for as long as it lives. So that is one without a body.
RSpec.describe "A request for a push connection that has a body" do
  config = <<~'RUBY'
    module Greeting
      def self.on_open(client) = client.write("opened")
    end

    run(lambda do |env|
      env["rack.upgrade"] = Greeting
      wish = env["rack.upgrade?"]
      [200, { "content-type" => "text/plain" }, wish ? [] : ["plain, with #{env['rack.input'].read.bytesize} bytes"]]
    end)
  RUBY

  { "in one process" => nil, "with a worker" => 1 }.each do |mode, workers|
    context mode do
      shared_cluster(config, workers: workers)

      it "is refused with 400 when it asks for a WebSocket" do
        response = WebSocketClient.refusal(server.port, "/", headers: { "Content-Length" => "70000" })

        expect(response).to have_attributes(status: 400, body: /WebSocket .* without a body/)
      end

      it "is a plain one when it asks for events" do
        server.connect do |socket|
          [70_000, 7].each do |size|
            response = socket.request("GET", "/", { "Accept" => "text/event-stream" }, "x" * size)
            expect(response).to have_attributes(status: 200, body: "plain, with #{size} bytes")
          end
        end
      end

      it "opens a push connection when the body is empty" do
        PushClient::TRANSPORTS.each do |transport|
          PushClient.open(transport, server.port, "/", headers: { "Content-Length" => "0" }) do |client|
            expect(client.read).to eq("opened")
          end
        end
      end
    end
  end
end
