# frozen_string_literal: true

require_relative "integration_helper"

# What the frameworks of Debian do with a server: sessions, uploads, files, streams, and a WebSocket from within an action.
RSpec.describe "A framework's application" do
  # @return [RawSocket::Response] to a form with one file
  def upload(server, bytes)
    body = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n" \
           "#{bytes}\r\n--x--\r\n"
    server.connect do |socket|
      socket.request("POST", "/upload", { "Content-Type" => "multipart/form-data; boundary=x", "Connection" => "close" }, body)
    end
  end

  shared_examples "a framework's application" do
    it "keeps a session from request to request" do
      first = server.get("/count")
      second = server.get("/count", "Cookie" => first["set-cookie"][/\A[^;]+/])

      expect([first.body, second.body]).to eq(%w[1 2])
    end

    it "takes an upload, and sends a file" do
      expect(upload(server, "x" * 300_000)).to have_attributes(status: 200, body: "300000")
      expect(server.get("/file")).to have_attributes(status: 200, body: start_with("# The application"))
    end

    it "streams piece by piece" do
      server.connect do |socket|
        socket.send_request("GET", "/stream")
        expect(socket.read_head.status).to eq(200)
        expect(socket.read_chunk).to eq("one")
        server.get("/go")
        expect(socket.read_chunk).to eq("two")
        expect(socket.read_chunk).to be_nil
      end
    end

    it "answers an exception with 500, and goes on" do
      expect([server.get("/raise").status, server.get("/count").status]).to eq([500, 200])
    end

    it "has a WebSocket from within an action" do
      WebSocketClient.open(server.port, "/chat") do |client|
        expect(client.read_message).to eq("welcome")
        expect(client.send_text("hello").read_message).to eq("heard hello")
      end
      expect(server.get("/chat").status).to eq(400)
    end
  end

  chat = <<~'RUBY'
    # The application of spec/integration/frameworks_spec.rb.
    GATE = Thread::Queue.new

    module Chat
      def self.on_open(client) = client.write("welcome")

      def self.on_message(client, data) = client.write("heard #{data}")
    end
  RUBY

  describe "of Sinatra" do
    shared_server(<<~RUBY)
      #{chat}
      require "sinatra/base"
      class App < Sinatra::Base
        set :environment, :production
        set :sessions, true
        set :session_secret, "x" * 64
        get("/count") { (session[:count] = session[:count].to_i + 1).to_s }
        post("/upload") { params[:file][:tempfile].size.to_s }
        get("/file") { send_file(File.expand_path("config.ru"), type: :text) }
        get("/stream") { stream { |out| (out << "one") && GATE.pop && (out << "two") } }
        get("/go") { GATE << "open"; "" }
        get("/raise") { raise "as it must be seen" }
        get "/chat" do
          halt 400 unless env["rack.upgrade?"]
          env["rack.upgrade"] = Chat
          ""
        end
      end
      run App
    RUBY

    include_examples "a framework's application"
  end

  describe "of Sinatra, run by itself" do
    program = <<~'RUBY'
      require "sinatra/base"
      class App < Sinatra::Base
        set :environment, :production
        set :server, :volador
        set :bind, "127.0.0.1"
        set :port, 0
        set :server_settings, Silent: false
        get("/slow") { warn "begun"; sleep 0.5; "answered" }
        get "/chat" do
          env["rack.upgrade"] = Class.new { def on_close(_client) = warn("closed") }
          ""
        end
      end
      App.run!
    RUBY

    %w[INT TERM].each do |name|
      it "answers its requests and closes its push connections at #{name}" do
        server = start_ruby(program).wait_until_listening
        chat = WebSocketClient.open(server.port, "/chat")
        server.connect do |socket|
          socket.send_request("GET", "/slow")
          server.wait_for_output(/^begun$/)
          server.signal(name)
          expect(socket.read_response.body).to eq("answered")
        end
        expect(chat.read_close).to eq(1001)
        chat.close_socket
        expect(server.wait.exitstatus).to eq(0)
        expect(server.output).to match(/^closed$/)
        expect(server.output).not_to match(/Error|stops at once/)
      end
    end
  end

  describe "of Rails" do
    rails = <<~RUBY
      #{chat}
      require "logger"
      require "action_controller/railtie"
      class App < Rails::Application
        config.root = Dir.pwd
        config.eager_load = false
        config.secret_key_base = "x" * 64
        config.hosts.clear
        config.log_level = :fatal
        config.logger = Logger.new($stderr)
        config.session_store :cookie_store, key: "session"
      end

      App.executor.to_run { Thread.current[:executor] = "inside" }
      App.executor.to_complete { Thread.current[:executor] = nil }

      # Tells whether its callbacks run inside of the executor, as those of the reloader do.
      module Inside
        def self.on_open(client)
          client.subscribe("news") { client.write("block \#{Thread.current[:executor]}") }
          client.write("open \#{Thread.current[:executor]}")
        end

        def self.on_message(client, data)
          client.write("message \#{Thread.current[:executor]}")
          Volador.publish("news", data)
        end

        def self.on_close(_client) = warn("close \#{Thread.current[:executor]}")
      end

      class ActionsController < ActionController::Base
        skip_forgery_protection raise: false

        def count = render(plain: session[:count] = session[:count].to_i + 1)

        def upload = render(plain: params[:file].size)

        def file = send_file(File.expand_path("config.ru"), type: "text/plain", disposition: :inline)

        def go = GATE.push("open") && head(:ok)

        def broken = raise("as it must be seen")

        def chat
          return head(:bad_request) unless request.env["rack.upgrade?"]

          request.env["rack.upgrade"] = params[:inside] ? Inside : Chat
          head :ok
        end
      end

      class StreamController < ActionController::Base
        include ActionController::Live

        def stream
          # Else Rack::ETag reads all of it.
          response.headers["Last-Modified"] = Time.now.httpdate
          response.stream.write("one")
          GATE.pop
          response.stream.write("two")
        ensure
          response.stream.close
        end

        def endless
          response.headers["Last-Modified"] = Time.now.httpdate
          loop { response.stream.write("x") && sleep(0.01) }
        rescue ActionController::Live::ClientDisconnected
          warn "the client has left"
        ensure
          response.stream.close
        end
      end

      App.initialize!
      App.routes.draw do
        %w[count file go chat].each { |name| get name => "actions#\#{name}" }
        post "upload" => "actions#upload"
        get "raise" => "actions#broken"
        get "stream" => "stream#stream"
        get "endless" => "stream#endless"
      end
      run Rails.application
    RUBY
    shared_server(rails, "-e", "production")

    include_examples "a framework's application"

    it "has its callbacks run inside of its executor" do
      WebSocketClient.open(server.port, "/chat?inside=1") do |client|
        expect(client.read_message).to eq("open inside")
        client.send_text("hello")
        expect(Array.new(2) { client.read_message }).to eq(["message inside", "block inside"])
      end
      server.wait_for_output(/^close inside$/)
    end

    it "learns in a stream that the client has left" do
      server.connect do |socket|
        socket.send_request("GET", "/endless")
        socket.read_head
        expect(socket.read_chunk).to eq("x")
      end
      server.wait_for_output(/^the client has left$/)
    end

    it "runs in workers" do
      cluster = start_cluster(rails, "-e", "production")

      expect([cluster.get("/count").body, upload(cluster, "x").body]).to eq(%w[1 1])
      expect(cluster.stop.exitstatus).to eq(0)
    end
  end

  describe "of Action Cable" do
    cable = <<~RUBY
      require "logger"
      require "concurrent" # which Rails loads
      require "action_cable"

      class Connection < ActionCable::Connection::Base
        def disconnect = warn("left")
      end

      class RoomChannel < ActionCable::Channel::Base
        def subscribed = stream_from("room")

        def say(data) = ActionCable.server.broadcast("room", data["text"])
      end

      ActionCable.server.config.tap do |config|
        config.logger = Logger.new($stderr, level: :warn)
        config.cable = { "adapter" => "async" }
        config.connection_class = -> { Connection }
        config.disable_request_forgery_protection = true
      end
      run ActionCable.server
    RUBY

    room = JSON.generate(channel: "RoomChannel")

    # @return [Object] the next message that is no ping
    def cable_message(client)
      message = JSON.parse(client.read_message)
      message["type"] == "ping" ? cable_message(client) : message["message"] || message["type"]
    end

    def command(client, identifier, **rest)
      client.send_text(JSON.generate(rest.merge(identifier: identifier)))
    end

    { "in one process" => -> { start_volador(cable, "-t", "2") },
      "with a worker" => -> { start_cluster(cable, "-t", "2", workers: 1) } }.each do |where, start|
      it "has its own WebSockets, by hijack (#{where})" do
        server = instance_exec(&start)
        clients = Array.new(3) do
          WebSocketClient.open(server.port, "/", headers: { "Sec-WebSocket-Protocol" => "actioncable-v1-json" })
        end
        clients.each do |client|
          expect(cable_message(client)).to eq("welcome")
          command(client, room, command: "subscribe")
          expect(cable_message(client)).to eq("confirm_subscription")
        end
        command(clients.first, room, command: "message", data: JSON.generate(action: "say", text: "hello"))

        expect(clients.map { |client| cable_message(client) }).to all(eq("hello"))
        clients.each(&:close_socket)
        Deadline.until("all to be seen leaving") { server.output.scan("left").size == 3 }
        expect(server.stop.exitstatus).to eq(0)
      end
    end
  end
end
