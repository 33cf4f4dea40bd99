# frozen_string_literal: true

require_relative "integration_helper"

RSpec.describe "rackup -s volador" do
  hello = <<~RUBY
    run ->(env) { [200, { "content-type" => "text/plain" }, ["hello from \#{env['SERVER_SOFTWARE']}"]] }
  RUBY

  it "serves a config.ru" do
    expect(start_rackup(hello).get("/").body).to start_with("hello from Volador")
  end

  %w[development deployment production none].each do |environment|
    it "serves in the environment #{environment}" do
      expect(start_rackup(hello, "-E", environment).get("/").body).to start_with("hello from Volador")
    end
  end

  it "runs the app under Rack::Lint in development: a breach is a 500" do
    server = start_rackup(%(run ->(_env) { [200, { "content-type" => "text/plain" }, nil] }), "-E", "development")

    expect(server.get("/").status).to eq(500)
  end

  it "answers errors with the page of Rack::ShowExceptions in development" do
    response = start_rackup(%(run ->(_env) { raise "look at me" }), "-E", "development").get("/", "Accept" => "text/html")

    expect(response.status).to eq(500)
    expect(response.body).to include("look at me")
  end

  it "logs requests by Rack::CommonLogger in development" do
    server = start_rackup(hello, "-E", "development")
    server.get("/logged?x=1")

    server.wait_for_output(%r{"GET /logged\?x=1 HTTP/1\.1" 200})
  end

  it "takes the number of threads by -O" do
    server = start_rackup(hello, "-O", "Threads=3")

    expect(server.output).to include("3 threads")
  end

  it "takes the limits by -O" do
    server = start_rackup(hello, "-O", "body_max_bytes=10")

    expect(server.connect { |socket| socket.request("POST", "/", {}, "x" * 11).status }).to eq(413)
  end

  it "ends by INT and by TERM with 0" do
    expect(%i[INT TERM].map { |name| start_rackup(hello).stop(name).exitstatus }).to eq([0, 0])
  end

  it "listens on port 9292 unless it is told otherwise" do
    program = <<~RUBY
      require "volador/rack_handler"
      handler = Module.new { extend Volador::RackHandler }
      warn handler.valid_options.to_a.inspect
      warn Volador::Configuration.new(env: {}).bind.inspect
    RUBY
    server = start_ruby(program)

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to include("tcp://127.0.0.1:9292")
  end

  it "is known to Rack's register of handlers" do
    program = if Rack.release < "3"
                %(require "rack"\nputs Rack::Handler.get("volador").inspect)
              else
                %(require "rackup"\nputs Rackup::Handler.get("volador").inspect)
              end
    server = start_ruby(program)

    expect(server.wait.exitstatus).to eq(0)
    expect(server.output).to include("Handler::Volador")
  end

  it "works by bundle exec in a project whose Gemfile names volador" do
    directory = Dir.mktmpdir("volador-spec")
    File.write(File.join(directory, "config.ru"), hello)
    File.write(File.join(directory, "Gemfile"), <<~RUBY)
      gem "volador", path: #{ServerProcess::ROOT.inspect}
      gem "rackup" unless Gem::Specification.find_all_by_name("rackup").empty?
    RUBY
    server = keep(ServerProcess.new([ServerProcess.ruby, "-S", "bundle", "exec", "rackup", "-s", "volador", "-p", "0"],
                                    directory: directory, env: { "BUNDLE_GEMFILE" => File.join(directory, "Gemfile"),
                                                                 "HOME" => directory }))

    expect(server.wait_until_listening.get("/").body).to start_with("hello from Volador")
    expect(server.stop.exitstatus).to eq(0)
  end
end
