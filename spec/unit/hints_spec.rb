# frozen_string_literal: true

RSpec.describe Volador::Push::Hints do
  let(:printed) { StringIO.new }
  let(:log) { Volador::Log.new(printed) }
  let(:hints) { described_class.new(log, development: true) }
  let(:connections) { Volador::Push::Connections.new(log: log, hints: hints) }
  let(:lines) { printed.string.lines(chomp: true) }

  # @return [Volador::Push::ClientCallbacks] of a connection with this handler
  def open_with(handler)
    Volador::Push::Client.new(Fakes::Connection.new, Fakes.env, :websocket, handler, log, connections: connections)
                         .callbacks.tap(&:interest)
  end

  describe "about a handler without any callback" do
    it "are given once for a class" do
      stub_const("Typo", Class.new { def onmessage(client, data) = client.write(data) })
      3.times { open_with(Typo.new) }
      expect(lines).to eq ["volador WARN: Typo has none of on_open, on_message, on_drained, on_shutdown, on_close: " \
                           "its connections are opened, and it is told nothing. Is a name misspelt, or " \
                           "env[\"rack.upgrade\"] no handler?"]
    end

    it "name the class of a String and of a lambda, a module, and a class that has made its instance" do
      stub_const("Quiet", Module.new)
      stub_const("Typo", Class.new)
      ["Chat", ->(client) {}, Quiet, Typo].each { |handler| open_with(handler) }
      expect(lines.map { |line| line[/WARN: (\S+) has none/, 1] }).to eq %w[String Proc Quiet Typo]
    end

    it "are given for a class that raises when it is asked for its name" do
      open_with(Class.new { def self.to_s = raise("no name") }.new)
      expect(lines.first).to match(/WARN: #<Class:\S+> has none of on_open/)
    end

    it "are not given when there is one callback" do
      stub_const("Last", Module.new { def self.on_close(client); end })
      [Last, Class.new { def on_open(client); end }, Class.new(BasicObject) { def on_message(client, data); end }.new]
        .each { |handler| open_with(handler) }
      expect(lines).to be_empty
    end
  end

  describe "about a WebSocket that was not accepted" do
    def ask(path, answer, hints = self.hints)
      hints.unaccepted(Fakes.env(path, "GET", "SCRIPT_NAME" => "/app"), answer)
    end

    it "are given once for a path" do
      %w[/chat /chat /talk].each { |path| ask(path, [200, {}, ["page"]]) }
      expect(lines).to eq(%w[chat talk].map do |path|
        "volador WARN: a WebSocket asked for /app/#{path}, and the application answered 200 without accepting it: " \
          "docs/push.md has the ways to do that"
      end)
    end

    it "are not given for refusals, for connections that the application takes, and for what is no answer" do
      [[401, {}, []], [302, {}, []], [101, {}, []], [-1, {}, []], [200, { "rack.hijack" => -> {} }, []],
       [200, { "rack.protocol" => "websocket" }, []], nil, ["200", {}, []], [200, nil, []]]
        .each { |answer| ask("/", answer) }
      expect(lines).to be_empty
    end

    it "are not given outside of development" do
      ask("/chat", [200, {}, []], described_class.new(log))
      expect(lines).to be_empty
    end

    it "end after 100" do
      200.times { |number| ask("/#{number}", [200, {}, []]) }
      expect(lines.size).to eq 100
    end
  end
end
