# frozen_string_literal: true

# The same as push.ru for Pushpin, without its echo: an application that speaks GRIP, and starts the Pushpin that stands
# before it. Its arguments are Pushpin's port and an empty folder.

require "json"
require "net/http"
require "socket"

# What Pushpin asks its application for.
class Application
  MESSAGE = "x" * 64
  # The two forms of a publication.
  FORMATS = { "ws-message" => { "content" => MESSAGE },
              "http-stream" => { "content" => "data: #{MESSAGE}\n\n" } }.freeze
  HELLO = ["text/plain", {}.freeze, "Hello, world!\n"].freeze
  private_constant :MESSAGE, :FORMATS, :HELLO

  def initialize
    @lock = Mutex.new
  end

  # From now on it answers to what is not asked by Pushpin itself.
  # @param publisher [Net::HTTP] connected to where Pushpin takes publications
  def start(publisher)
    @publisher = publisher
  end

  # @return [Array(String, Hash, String)] content type, further headers, body
  def call(path, query, type, body)
    return events(path, body) if type == "application/websocket-events"

    case path
    when "/fanout", "/idle"
      ["text/event-stream", { "Grip-Hold" => "stream", "Grip-Channel" => path[1..] }, ""]
    else
      sleep 0.01 until @publisher
      publish(query[/\Acount=(\d+)/, 1].to_i)
      HELLO
    end
  end

  private

  # A WebSocket's events come by requests: the first one is answered with what to subscribe to.
  def events(path, body)
    answer = +""
    if body.start_with?("OPEN\r\n")
      control = "c:#{JSON.generate('type' => 'subscribe', 'channel' => path[1..])}"
      answer << "OPEN\r\nTEXT #{control.bytesize.to_s(16)}\r\n#{control}\r\n"
    end
    ["application/websocket-events", { "Sec-WebSocket-Extensions" => "grip" }, answer]
  end

  def publish(count)
    return if count.zero?

    items = Array.new(count) { { "channel" => "fanout", "formats" => FORMATS } }
    @lock.synchronize { @publisher.post("/publish/", JSON.generate("items" => items)).value }
  end
end

# The application's side of HTTP: one thread for each of Pushpin's connections.
class Backend
  def initialize(listener, application)
    @listener = listener
    @application = application
  end

  def run
    loop { Thread.new(@listener.accept) { |socket| serve(socket) } }
  end

  private

  def serve(socket)
    while (request = socket.gets)
      path, query = request.split[1].split("?", 2)
      headers = socket.each_line.take_while { |line| line != "\r\n" }.to_h { |line| line.chomp.downcase.split(": ", 2) }
      body = socket.read(headers["content-length"].to_i)
      type, further, answer = @application.call(path, query.to_s, headers["content-type"], body)
      head = { "Content-Type" => type, "Content-Length" => answer.bytesize }.merge(further)
      socket.write("HTTP/1.1 200 OK\r\n#{head.map { |name, value| "#{name}: #{value}\r\n" }.join}\r\n#{answer}")
    end
  ensure
    socket.close
  end
end

# Pushpin and Zurl, its HTTP client: their configuration, and their processes.
class Pushpin
  # Seconds for it to start.
  DEADLINE = 15.0
  ZURL = { "in" => "in_spec", "in-stream" => "in_stream_spec", "out" => "out_spec", "req" => "in_req_spec" }.freeze
  private_constant :DEADLINE, :ZURL

  def initialize(port:, publisher:, backend:, folder:)
    @port = port
    @publisher = publisher
    @backend = backend
    @folder = folder
  end

  # @return [Array<Integer>] the processes
  def start
    write("zurl.conf", <<~TEXT)
      [General]
      #{ZURL.map { |name, setting| "#{setting}=#{pipe("zurl-#{name}")}" }.join("\n")}
      defpolicy=allow
      max_open_requests=20000
      buffer_size=200000
      timeout=600
      in_hwm=100000
      out_hwm=100000
    TEXT
    write("routes", "* 127.0.0.1:#{@backend},over_http\n")
    write("pushpin.conf", configuration)
    [["zurl", "--loglevel=1", "--config=#{@folder}/zurl.conf"],
     ["pushpin", "--merge-output", "--config=#{@folder}/pushpin.conf"]].map { |command| Process.spawn(*command) }
  end

  # Returns once all of its processes know each other: then a stream is answered.
  # @return [Net::HTTP] connected to where it takes publications
  def await
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + DEADLINE
    begin
      Net::HTTP.start("127.0.0.1", @port) do |http|
        http.request_get("/idle") do |response|
          return Net::HTTP.start("127.0.0.1", @publisher) if response.code == "200"
        end
      end
      raise Errno::ECONNREFUSED, "not ready"
    rescue Errno::ECONNREFUSED
      raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep 0.05
      retry
    end
  end

  private

  def pipe(name) = "ipc://#{@folder}/#{name}"

  def write(name, text) = File.write(File.join(@folder, name), text)

  # Debian's own, apart from folders, ports and the limits on the number of messages.
  def configuration
    <<~TEXT
      [global]
      include={libdir}/internal.conf
      rundir=#{@folder}
      ipc_prefix=pushpin-
      port_offset=0

      [runner]
      services=condure,pushpin-proxy,pushpin-handler
      http_port=127.0.0.1:#{@port}
      logdir=#{@folder}
      log_level=1
      client_buffer_size=8192
      client_maxconn=19000

      [proxy]
      routesfile=routes
      zurl_out_specs=#{pipe('zurl-in')}
      zurl_out_stream_specs=#{pipe('zurl-in-stream')}
      zurl_in_specs=#{pipe('zurl-out')}
      sig_key=bench
      updates_check=off

      [handler]
      push_in_spec=#{pipe('push-in')}
      push_in_sub_specs=#{pipe('push-in-sub')}
      push_in_http_addr=127.0.0.1
      push_in_http_port=#{@publisher}
      stats_spec=#{pipe('stats')}
      command_spec=#{pipe('command')}
      message_rate=100000000
      message_hwm=100000000
    TEXT
  end
end

port, folder = ARGV
publisher = TCPServer.open("127.0.0.1", 0) { |listener| listener.addr[1] }
listener = TCPServer.new("127.0.0.1", 0)
pushpin = Pushpin.new(port: port, publisher: publisher, backend: listener.addr[1], folder: folder)
pids = pushpin.start
Signal.trap(:TERM) do
  pids.each { |pid| Process.kill(:TERM, pid) }
  exit!(0)
end
application = Application.new
Thread.new { application.start(pushpin.await) }
Backend.new(listener, application).run
