# frozen_string_literal: true

require "tmpdir"
require_relative "support/browser"

RSpec.describe "the clock in Chromium", :browser do
  config = File.join(ServerProcess::ROOT, "examples/clock/config.ru")

  # The example with tickers that print when they open and close.
  let(:telling_config) do
    <<~RUBY
      clock, = Rack::Builder.parse_file(#{config.inspect})
      Clock::Ticker.prepend(Module.new do
        def initialize(*)
          super
          $stderr.write("opened\\n")
        end

        def on_close
          super
          $stderr.write("closed\\n")
        end
      end)
      run clock
    RUBY
  end
  let(:clocks) { %w[#websocket #eventsource] }
  let(:browser) { @browser = Browser.new }

  after { @browser&.quit }

  # The example as it is.
  def start_example(config)
    command = [ServerProcess.ruby, *ServerProcess.load_path, File.join(ServerProcess::ROOT, "exe/volador"),
               "-b", "tcp://127.0.0.1:0", config]
    keep(ServerProcess.new(command, directory: Dir.mktmpdir("volador-spec"))).wait_until_listening
  end

  def visit_clock(server)
    browser.visit("http://127.0.0.1:#{server.port}/")
    clocks.each { |clock| browser.wait_for_text("#{clock} .state", /\Aopen\z/) }
  end

  def send_message(text)
    browser.fill_in("#message", text)
    browser.click("form button")
  end

  # @return [String] path of the picture
  def keep_screenshot(name)
    path = File.join(ServerProcess::ROOT, "artifacts", name)
    browser.screenshot(path)
    RSpec.configuration.reporter.message("screenshot: #{path}")
    path
  end

  it "ticks over WebSocket and over EventSource" do
    visit_clock(start_example(config))

    clocks.each do |clock|
      browser.wait_for_text("#{clock} time", /\A\d\d:\d\d:\d\d\z/)
      expect(browser.different_texts("#{clock} time", 3)).to all(match(/\A\d\d:\d\d:\d\d\z/))
    end
    expect(browser.console_errors).to be_empty
  end

  it "brings the answer to a message over WebSocket and a broadcast over EventSource" do
    server = start_example(config)
    visit_clock(server)

    send_message("¡hola, pez <b>volador</b>!")

    browser.wait_for_text("#websocket .note", /\AYou said: ¡hola, pez <b>volador<\/b>!\z/)
    browser.wait_for_text("#eventsource .note", /\ASomebody said: ¡hola, pez <b>volador<\/b>!\z/)
    expect(browser.attribute("form button", "disabled")).to be_nil
    keep_screenshot("clock.png")
    browser.prefer_color_scheme("dark")
    keep_screenshot("clock-dark.png")
    expect(browser.console_errors).to be_empty
    expect(server.output).not_to match(/WARN|ERROR|warning:/)
  end

  it "shows that the connections are closed when the server stops" do
    server = start_example(config)
    visit_clock(server)

    expect(server.stop).to be_success

    browser.wait_for_text("#websocket .state", /\Aclosed \(1001\)/)
    browser.wait_for_text("#eventsource .state", /\Aclosed/)
    expect(browser.attribute("form button", "disabled")).to eq("true")
    expect(server.output).not_to match(/WARN|ERROR|warning:/)
  end

  it "has on_close called for the connections of a tab that is closed, and of no other" do
    server = start_volador(telling_config)
    visit_clock(server)

    browser.in_new_tab("http://127.0.0.1:#{server.port}/") do
      server.wait_for_output(/(?:opened\n.*){4}/m)
      expect(server.output).not_to include("closed")
    end

    server.wait_for_output(/(?:closed\n.*){2}/m)
    clocks.each { |clock| browser.different_texts("#{clock} time", 3) }
    expect(server.output.scan("closed").size).to eq(2)
    server.stop
    expect(server.output.scan("closed").size).to eq(4)
  end
end
