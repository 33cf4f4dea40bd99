# frozen_string_literal: true

require_relative "integration_helper"

# The child goes on in a copy of the application's thread; the request, or the connection, is the parent's.
RSpec.describe "A child that the application forks, and that ends by exit" do
  # Whoever closes a body, or is called when a response is finished, prints the process's id.
  app = <<~'RUBY'
    module Kernel
      def fork_child(place)
        pid = fork
        exit(7) unless pid
        puts "#{place}: status #{Process.wait2(pid).last.exitstatus.inspect}"
      end
    end

    class Body
      def initialize(place) = @place = place
      def each = (yield "a"; fork_child(@place) if @place == "each"; yield "b")
      def close = (fork_child("close") if @place == "close"; puts "#{@place} closed by #{$$}")
    end

    class Draft
      def self.push_state(_client) = nil
      def initialize(place) = (@place = place; fork_child(place) if place == "new")
      def on_message(client, _data) = (fork_child("on_message") if @place == "on_message"; client.write("heard"))
      def on_close(_client) = (fork_child("on_close") if @place == "on_close")
      def on_shutdown(_client) = (fork_child("on_shutdown") if @place == "on_shutdown")

      def on_open(client)
        client.subscribe("news") { fork_child("block") } if @place == "block"
        fork_child("on_open") if @place == "on_open"
        client.write("open")
      end

      def on_drained(_client)
        fork_child("on_drained") if @place == "on_drained" && !@drained
        @drained = true
      end
    end

    class Iodine
      def on_open = (fork_child("iodine"); write("open"))
    end

    class Seed
      def call(_env) = [404, {}, []]

      def on_open(env)
        place = env["QUERY_STRING"]
        fork_child(place) if place == "seed"
        env["push.writer"].write("open")
        Handler.new(place)
      end

      class Handler
        def initialize(place) = @place = place
        def on_message(_data) = (fork_child("seed_message") if @place == "seed_message")
        def on_close = (fork_child("seed_close") if @place == "seed_close")
      end
    end

    Volador.subscribe("process") { fork_child("process_block") }

    plain = lambda do |env|
      place = env["QUERY_STRING"]
      finished = env["rack.response_finished"] ||= []
      finished << ->(*) { puts "#{place} finished by #{$$}" }
      finished << ->(*) { fork_child("finished") } if place == "finished"
      if env["rack.upgrade?"]
        env["rack.upgrade"] = place == "new" ? Class.new(Draft) { define_method(:initialize) { super("new") } } : Draft.new(place)
      end
      headers = {}
      body = Body.new(place)
      case place
      when "to_path" then body.define_singleton_method(:to_path) { fork_child("to_path") || __FILE__ }
      when "call" then body = ->(stream) { stream.write("a"); fork_child("call"); stream.write("b") }
      when "hijack" then headers["rack.hijack"] = ->(io) { fork_child("hijack"); io.write("ab"); io.close }
      when "headers"
        headers = Object.new
        headers.define_singleton_method(:each) { |&block| fork_child("headers"); block.call("x", "y") }
      when "process_block" then Volador.publish("process", "x")
      when "publish" then Volador.publish("news", "x")
      end
      [200, headers, body]
    end
    iodine = lambda do |env|
      env["upgrade.websocket"] = Iodine.new
      [0, {}, []]
    end
    $stdout.sync = true
    map("/seed") { run Seed.new }
    map("/iodine") { run iodine }
    run plain
  RUBY

  def expect_status(place)
    server.wait_for_output(/^#{place}: .*$/).tap { |match| expect(match[0]).to eq("#{place}: status 7") }
    expect(server.output).not_to match(/ERROR|terminated/)
  end

  def expect_parent_only(place)
    server.wait_for_output(/^#{place} finished/)
    expect(server.output.scan(/^#{place} (?:finished|closed) by (\d+)/).flatten.uniq).to eq([server.pid.to_s])
  end

  context "in a request" do
    shared_server(app, "-t", "1")

    %w[each close to_path call headers hijack finished].each do |place|
      it "has its status, in #{place}, and the body is closed and the response finished by the parent alone" do
        expect(server.get("/?#{place}").body).not_to be_empty
        expect_status(place)
        expect_parent_only(place)
      end
    end

    it "has its status in the block of a subscription" do
      server.get("/?process_block")
      expect_status("process_block")
    end
  end

  context "in a push connection" do
    shared_server(app, "-t", "1")

    it "has its status in the constructor of the handler, and the body is closed by the parent alone" do
      WebSocketClient.open(server.port, "/?new") { |client| expect(client.read_message).to eq("open") }
      expect_status("new")
      expect_parent_only("new")
    end

    { "/?on_open" => "on_open", "/iodine" => "iodine", "/seed?seed" => "seed" }.each do |path, place|
      it "has its status, in #{place}, and the connection is open" do
        WebSocketClient.open(server.port, path) { |client| expect(client.read_message).to eq("open") }
        expect_status(place)
      end
    end

    it "has its status in the close of the body of the answer that accepts it" do
      WebSocketClient.open(server.port, "/?close") { |client| expect(client.read_message).to eq("open") }
      expect_status("close")
      expect_parent_only("close")
    end

    { "/?on_message" => "on_message", "/seed?seed_message" => "seed_message" }.each do |path, place|
      it "has its status in #{place}" do
        WebSocketClient.open(server.port, path) do |client|
          client.send_text("hello")
          expect_status(place)
        end
      end
    end

    { "/?on_close" => "on_close", "/seed?seed_close" => "seed_close" }.each do |path, place|
      it "has its status in #{place}" do
        WebSocketClient.open(server.port, path) { |client| expect(client.read_message).to eq("open") }
        expect_status(place)
      end
    end

    it "has its status in on_drained" do
      WebSocketClient.open(server.port, "/?on_drained") { expect_status("on_drained") }
    end
  end

  it "has its status in the block of a client's subscription" do
    @server = start_volador(app, "-t", "1")
    WebSocketClient.open(server.port, "/?block") do |client|
      expect(client.read_message).to eq("open")
      server.get("/?publish")
      expect_status("block")
    end
  end

  it "has its status in on_shutdown" do
    @server = start_volador(app, "-t", "1")
    WebSocketClient.open(server.port, "/?on_shutdown") do |client|
      expect(client.read_message).to eq("open")
      expect(server.stop).to be_success
    end
    expect_status("on_shutdown")
  end

  attr_reader :server
end
