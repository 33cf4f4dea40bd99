# frozen_string_literal: true

require "spec_helper"
require "stringio"
require "volador/push/client"
require "volador/push/upgrade_callbacks"
require "volador/push/writer"

# The callbacks of a handler whose connection goes to another worker, or comes from one, in each of the three forms.
RSpec.describe "Handing a handler over" do
  let(:connection) { Fakes::Connection.new }
  let(:printed) { StringIO.new }
  let(:log) { Volador::Log.new(printed) }

  # A handler that notes what is called, and has nothing else than the given callbacks.
  def handler(*names, state: nil)
    Class.new do
      attr_reader :heard

      define_method(:initialize) { @heard = [] }
      names.each { |name| define_method(name) { |*arguments| (@heard << name) && (state if name == :push_state && arguments) } }
    end.new
  end

  forms = {
    "the seed's form" => lambda do |handler, connection, log, resumed|
      Volador::Push::Callbacks.new(handler, Volador::Push::Writer.new(connection), log, resumed: resumed)
    end,
    "rack.upgrade" => lambda do |handler, connection, log, resumed|
      Volador::Push::Client.new(connection, {}, :websocket, handler, log, resumed: resumed).callbacks
    end,
    "upgrade.websocket" => lambda do |handler, connection, log, resumed|
      Volador::Push::UpgradeCallbacks.new(handler, Volador::Push::Writer.new(connection), log, resumed: resumed)
    end
  }

  forms.each do |form, make|
    describe "in #{form}" do
      define_method(:callbacks) { |handler, resumed: false| make.call(handler, connection, log, resumed) }

      it "asks for push_state, and then nothing is written" do
        calls = callbacks(handler(:push_state, :on_message, state: "seven"))
        calls.opened
        calls.hand_over

        expect(connection.handed_over).to eq(["seven"])
        expect(connection.write("late")).to be(false)
      end

      it "leaves nothing without push_state, with one that raises, and with what is no String of 64 KiB at most" do
        raising = handler(:on_message)
        def raising.push_state = raise("no state")
        [handler(:on_message), raising, handler(:push_state, state: 7), handler(:push_state, state: "x" * 65_537)].each do |one|
          callbacks(one).hand_over
          expect(connection.handed_over).to eq([nil])
        end
        expect(printed.string.lines.grep(/ERROR/).size).to eq(3)
      end

      it "leaves nothing with a push_state that ends its thread" do
        ending = handler(:on_message)
        def ending.push_state = Thread.exit
        Thread.new { callbacks(ending).hand_over }.join

        expect(connection.handed_over).to eq([nil])
      end

      it "takes nothing that ends a forked child, and does nothing to the connection, which is the parent's" do
        ending = handler(:on_message)
        def ending.push_state = exit(7)
        calls = callbacks(ending)
        allow(Process).to receive(:pid).and_return(Process.pid + 1)

        expect { calls.hand_over }.to raise_error(SystemExit)
        expect([connection.handed_over, printed.string]).to eq([nil, ""])
      end

      it "calls no on_close once the connection is another worker's, and one when it ends on the way" do
        moved = handler(:on_close)
        callbacks(moved).then { |calls| [calls.opened, calls.hand_over, calls.released, calls.close] }
        ended = handler(:on_close)
        callbacks(ended).then { |calls| [calls.opened, calls.hand_over, calls.close, calls.close] }

        expect([moved.heard, ended.heard]).to eq([[], [:on_close]])
      end

      it "calls no on_close of a handler whose connection has never come" do
        arriving = handler(:on_close, :on_resume, :on_open)
        callbacks(arriving, resumed: true).close

        expect(arriving.heard).to eq([])
      end
    end
  end

  ["rack.upgrade", "upgrade.websocket"].each do |form|
    it "calls on_resume when the connection is here, or on_open where there is none (#{form})" do
      both = handler(:on_open, :on_resume, :on_close)
      one = handler(:on_open, :on_close)
      [both, one].each { |handler| forms[form].call(handler, connection, log, true).then { |calls| [calls.resumed, calls.close] } }

      expect([both.heard, one.heard]).to eq([%i[on_resume on_close], %i[on_open on_close]])
    end
  end

  it "ends a subscription in the gateway that the former handler has made" do
    client = Volador::Push::Client.new(connection, {}, :websocket, handler(:on_message), log, resumed: true)
    client.unsubscribe("news")

    expect(connection.told).to eq([[:unsubscribe, "news", nil]])
    expect(Volador::Push::Client.new(Fakes::Connection.new, {}, :websocket, nil, log).unsubscribe("news")).to be(false)
  end

  it "exchanges no handler by its own push_state" do
    first = handler(:on_close)
    client = Volador::Push::Client.new(connection, {}, :websocket, first, log)
    first.define_singleton_method(:push_state) { |one| (one.handler = Object.new) && "left" }
    client.callbacks.opened
    client.callbacks.hand_over
    expect([first.heard, connection.handed_over]).to eq([[], ["left"]])
    expect(client.handler).to equal(first)
  end

  it "tells a BasicObject messages, and asks it for its push_state" do
    bare = Class.new(BasicObject) do
      def on_message(client, data) = client.write("heard #{data}")
      def push_state(client) = "of #{client.protocol}"
    end.new
    client = Volador::Push::Client.new(connection, {}, :websocket, bare, log)
    client.callbacks.opened
    client.callbacks.message("it")
    client.callbacks.hand_over
    expect([connection.sent, connection.handed_over, printed.string]).to eq([["heard it"], ["of websocket"], ""])
  end

  it "exchanges no handler whose connection moves" do
    first = handler(:on_open, :on_close, :push_state)
    second = handler(:on_open, :on_close)
    client = Volador::Push::Client.new(connection, {}, :websocket, first, log)
    client.callbacks.opened
    client.callbacks.hand_over
    client.handler = second
    client.callbacks.close
    expect([first.heard, second.heard]).to eq([%i[on_open push_state on_close], []])
  end
end
