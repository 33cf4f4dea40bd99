# frozen_string_literal: true

require "volador/compat/iodine/url"

RSpec.describe Volador::Compat::Iodine::Url do
  {
    "http://localhost:3001" => { host: "localhost", port: 3001 },
    "http://localhost:3001/" => { host: "localhost", port: 3001 },
    "http://localhost:3001/chat?a=1#b" => { host: "localhost", port: 3001 },
    "ws://example.com:80/chat" => { host: "example.com", port: 80 },
    "HTTP://localhost" => { host: "localhost", port: "3000" },
    "http://localhost/chat" => { host: "localhost", port: "3000" },
    "http://:3001/" => { host: nil, port: 3001 },
    "http://:0" => { host: nil, port: 0 },
    "http://127.0.0.1:0/chat" => { host: "127.0.0.1", port: 0 },
    "http://[::1]:3001" => { host: "::1", port: 3001 },
    "http://[::1]/" => { host: "::1", port: "3000" },
    "http:///tmp/app.sock" => { bind: "unix:///tmp/app.sock" },
    "http://:0/tmp/app.sock" => { bind: "unix:///tmp/app.sock" },
    "unix:///tmp/app.sock" => { bind: "unix:///tmp/app.sock" }
  }.each do |url, address|
    it "reads #{url}" do
      expect(described_class.new(url).address("3000")).to eq address
    end
  end

  ["localhost:3000", "3000", "http://", "http:///", "http://::1:3000", "http://[::1", "http://[lo]:1", "http://localhost:port",
   "http://localhost:70000", "http://user@localhost:3000", "http://local host", "unix://tmp/app.sock", "unix://", ""].each do |url|
    it "refuses #{url.inspect} with an example" do
      expect { described_class.new(url) }
        .to raise_error(ArgumentError, /"http:\/\/127\.0\.0\.1:3000".*got #{Regexp.escape(url.inspect)}/)
    end
  end

  it "has a scheme, which says what is to be spoken" do
    expect(%w[http://a:1 WSS://a:1 unix:///a].map { |url| described_class.new(url).scheme }).to eq %i[http wss unix]
  end
end
