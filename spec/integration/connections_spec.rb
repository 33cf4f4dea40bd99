# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "A server that may have few connections" do
  application = <<~'RUBY'
    require "json"

    lambda do |env|
      env["rack.upgrade"] = Module.new if env["rack.upgrade?"]
      [200, {}, [JSON.generate(Volador.stats)]]
    end
  RUBY

  it "has new clients wait until others leave, push connections too, and says so once", :aggregate_failures do
    server = start_configured(application, connections_max: 3)
    push = [WebSocketClient.open(server.port, "/"), EventStreamClient.open(server.port, "/")]
    server.connect do |here|
      expect(here.request("GET", "/").status).to eq(200)
      late = Array.new(3) { server.connect.send_request("GET", "/") }
      server.wait_for_output(/new clients wait until others leave: there are 3 connections\. Raise connections_max/)
      expect(late).to all(be_silent(0.2))
      push.each(&:close)

      served = late.shift(2).map { |client| JSON.parse(client.read_response.body) }
      expect(served.last).to include("accept_waits" => be >= 1, "http_connections" => 3)
      expect(late.first).to be_silent(0.2)
      expect(here.request("GET", "/").status).to eq(200)
    end
    expect(server.output.scan("new clients wait").size).to eq(1)
  end
end
