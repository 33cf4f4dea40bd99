# frozen_string_literal: true

require_relative "integration_helper"

# What the README shows is run as it stands there.
RSpec.describe "The README" do
  readme = File.read(File.expand_path("../../README.md", __dir__))
  example = readme[/^```ruby\n(# config\.ru\n.*?)^```$/m, 1]

  it "has an example of a page's length" do
    expect(example.lines.size).to be_between(15, 30)
  end

  it "shows an example that does what it says" do
    server = start_rackup(example)
    clock = EventStreamClient.open(server.port, "/clock")
    socket = WebSocketClient.open(server.port, "/clock")

    expect(clock.read_data).to match(/\Ahello, it is \d{4}-/)
    expect(socket.read_message).to match(/\Ahello, it is \d{4}-/)
    socket.send_text("hi")
    # The clock's ticks come in between.
    Deadline.until("the broadcast of the message") { clock.read_data == "somebody said hi" }
    Deadline.until("the broadcast of the message") { socket.read_message == "somebody said hi" }
    Deadline.until("a tick") { clock.read_data.match?(/\A\d{4}-\d\d-\d\d/) }
    socket.close
    clock.close
    server.wait_for_output(/(one less.*?){2}/m)
    expect(server.get("/").status).to eq(404)
  end

  it "names files that are there" do
    missing = readme.scan(/\]\(([\w.\/]+)\)/).flatten.reject do |path|
      File.exist?(File.expand_path("../../#{path}", __dir__))
    end
    expect(missing).to be_empty
  end
end

RSpec.describe "ARCHITECTURE.md" do
  it "names files that are there" do
    text = File.read(File.expand_path("../../ARCHITECTURE.md", __dir__))
    paths = text.scan(%r{`([\w/-]+(?:\.r[bs]|/src/[\w/]+))`}).flatten
    expect(paths.size).to be > 50
    roots = ["", "crates/volador-gateway/src/", "lib/volador/"].map { |folder| File.expand_path("../../#{folder}", __dir__) }
    expect(paths.reject { |path| roots.any? { |root| File.exist?(File.join(root, path)) } }).to be_empty
  end
end
