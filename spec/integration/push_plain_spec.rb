# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "An app that has no push" do
  shared_server(<<~RUBY)
    class Events
      def each
        3.times { |index| yield "data: \#{index}\\n\\n" }
      end
    end

    map("/events") { run ->(_env) { [200, { "content-type" => "text/event-stream" }, Events.new] } }
    map("/teapot") { run ->(env) { [418, { "content-type" => "text/plain", "x-app" => "1" }, [env["HTTP_UPGRADE"].to_s]] } }
    map("/env") { run ->(env) { [200, {}, [env.key?("push.writer").to_s]] } }
    run ->(_env) { [200, { "content-type" => "text/plain" }, ["plain"]] }
  RUBY

  let(:upgrade) do
    { "Connection" => "Upgrade", "Upgrade" => "websocket", "Sec-WebSocket-Version" => "13",
      "Sec-WebSocket-Key" => "dGhlIHNhbXBsZSBub25jZQ==" }
  end

  it "answers a WebSocket request with what call answers" do
    response = WebSocketClient.refusal(server.port, "/teapot")

    expect(response).to have_attributes(status: 418, body: "websocket")
    expect(response["x-app"]).to eq("1")
    expect(WebSocketClient.refusal(server.port, "/")).to have_attributes(status: 200, body: "plain")
  end

  it "has a line in the log for a WebSocket that it answered as a request, once for a path" do
    2.times { WebSocketClient.refusal(server.port, "/env?secret") }
    WebSocketClient.refusal(server.port, "/other")
    server.wait_for_output(%r{a WebSocket asked for /other})

    expect(server.output.scan(/WARN: a WebSocket asked for .*/))
      .to include(%r{for /env, and the application answered 200 without accepting it}).once
    expect(server.output).not_to include("for /teapot")
  end

  it "answers further requests on the connection of a WebSocket request" do
    server.connect do |socket|
      expect(socket.request("GET", "/teapot", upgrade).status).to eq(418)
      expect(socket.request("GET", "/").body).to eq("plain")
    end
  end

  it "answers an SSE request as any other" do
    response = server.get("/", "Accept" => "text/event-stream")

    expect(response).to have_attributes(status: 200, body: "plain", complete?: true)
    expect(response["content-type"]).to eq("text/plain")
  end

  it "may stream events of its own" do
    response = server.get("/events", "Accept" => "text/event-stream")

    expect(response).to have_attributes(body: "data: 0\n\ndata: 1\n\ndata: 2\n\n", complete?: true)
    expect(response["content-type"]).to eq("text/event-stream")
  end

  it "sees no writer in env" do
    expect(WebSocketClient.refusal(server.port, "/env").body).to eq("false")
    expect(server.get("/env", "Accept" => "text/event-stream").body).to eq("false")
  end
end
