# frozen_string_literal: true

require "fileutils"
require "json"
require "net/http"
require "tmpdir"
require_relative "../../support/deadline"

# Chromium without a window, driven through chromedriver by the few WebDriver commands (W3C) that the specs need.
# Each browser has an empty profile of its own, and is gone with its profile after #quit.
class Browser
  # An answer of the driver that says that a command failed.
  class Failure < StandardError; end

  # No traffic but the page's own.
  ARGUMENTS = %w[
    --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --no-proxy-server
    --disable-background-networking --disable-component-update --disable-sync --window-size=960,840
  ].freeze
  STARTED = /ChromeDriver was started successfully on port (\d+)/.freeze
  # Seconds that one command may take; the start of a browser on a busy machine is the longest.
  COMMAND_SECONDS = 60
  # The key of an element's reference (WebDriver, section 12.2).
  ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

  def initialize
    @directory = Dir.mktmpdir("volador-browser")
    start_driver
    @http = Net::HTTP.new("127.0.0.1", driver_port, nil)
    @http.read_timeout = COMMAND_SECONDS
    @session = command(:post, "/session", capabilities: { alwaysMatch: capabilities }).fetch("sessionId")
  rescue StandardError
    quit
    raise
  end

  # Opens the address and waits until the page is loaded.
  def visit(url)
    session(:post, "url", url: url)
  end

  # @param selector [String] CSS
  # @return [String] the text as it is shown
  def text(selector)
    session(:get, "element/#{element(selector)}/text")
  end

  # @return [String, nil] the value of an HTML attribute
  def attribute(selector, name)
    session(:get, "element/#{element(selector)}/attribute/#{name}")
  end

  # Types into a field.
  def fill_in(selector, text)
    session(:post, "element/#{element(selector)}/value", text: text)
  end

  def click(selector)
    session(:post, "element/#{element(selector)}/click")
  end

  # Waits until the element's text matches.
  # @return [String] the text
  def wait_for_text(selector, pattern)
    seen = nil
    Deadline.until("#{selector} showing #{pattern.inspect}") { pattern.match?(seen = text(selector)) && seen }
  rescue Deadline::Missed => e
    raise Deadline::Missed, "#{e.message}; it shows #{seen.inspect}"
  end

  # @param count [Integer]
  # @return [Array<String>] the next so many different texts of the element, the present one first
  def different_texts(selector, count)
    texts = [text(selector)]
    while texts.size < count
      texts << Deadline.until("#{selector} changing from #{texts.last}") do
        now = text(selector)
        now unless now == texts.last
      end
    end
    texts
  end

  # Opens the address in a tab of its own for the block, and closes that tab.
  def in_new_tab(url)
    before = session(:get, "window")
    session(:post, "window", handle: session(:post, "window/new", type: "tab").fetch("handle"))
    visit(url)
    yield
  ensure
    session(:delete, "window")
    session(:post, "window", handle: before)
  end

  # @param scheme [String] "light" or "dark": what the page is told that the user prefers
  def prefer_color_scheme(scheme)
    session(:post, "goog/cdp/execute", cmd: "Emulation.setEmulatedMedia",
                                       params: { features: [{ name: "prefers-color-scheme", value: scheme }] })
  end

  # @param path [String] of the PNG file to write
  def screenshot(path)
    FileUtils.mkdir_p(File.dirname(path))
    File.binwrite(path, session(:get, "screenshot").unpack1("m"))
  end

  # @return [Array<String>] the errors that the browser's console has shown since the last call
  def console_errors
    entries = session(:post, "se/log", type: "browser")
    entries.select { |entry| entry["level"] == "SEVERE" }.map { |entry| entry["message"] }
  end

  # Ends the browser and its driver.
  def quit
    command(:delete, "/session/#{@session}") if @session
  rescue StandardError
    nil # What does not want to go is killed below.
  ensure
    end_driver
  end

  private

  def capabilities
    { "browserName" => "chrome",
      "goog:loggingPrefs" => { "browser" => "ALL" },
      "goog:chromeOptions" => { "args" => [*ARGUMENTS, "--user-data-dir=#{File.join(@directory, 'profile')}"] } }
  end

  def start_driver
    @log = File.join(@directory, "chromedriver.log")
    # A group of its own, so that the browser's processes can be ended together, whatever became of the driver.
    @pid = Process.spawn({ "HOME" => @directory }, "chromedriver", "--port=0",
                         in: File::NULL, out: @log, err: @log, pgroup: true)
  end

  def driver_port
    Integer(Deadline.until("the start of chromedriver") { File.read(@log)[STARTED, 1] })
  end

  def end_driver
    if @pid
      Process.kill(:KILL, -@pid)
      Process.wait(@pid)
    end
  rescue Errno::ESRCH, Errno::ECHILD
    nil
  ensure
    FileUtils.rm_rf(@directory)
  end

  def element(selector)
    session(:post, "element", using: "css selector", value: selector).fetch(ELEMENT)
  end

  def session(method, path, **body)
    command(method, "/session/#{@session}/#{path}", **body)
  end

  def command(method, path, **body)
    request = Net::HTTP.const_get(method.capitalize).new(path, "Content-Type" => "application/json")
    request.body = JSON.generate(body) if method == :post
    value = JSON.parse(@http.request(request).body).fetch("value")
    return value unless value.is_a?(Hash) && value.key?("error")

    raise Failure, "#{method} #{path}: #{value['message']}"
  end
end
