# frozen_string_literal: true

require_relative "integration_helper"

# Most answers are an Array of Strings, and take a shorter way. One that has a `close` must not.
RSpec.describe "An Array as the body" do
  shared_server(<<~RUBY, "-t", "1")
    closed = 0
    close = -> { closed += 1 }
    run lambda { |env|
      body = ["said"]
      case env["PATH_INFO"]
      when "/its-own" then body.define_singleton_method(:close, &close)
      when "/of-a-class" then body = Class.new(Array) { define_method(:close, &close) }.new(body)
      when "/from-now-on" then Array.class_eval { define_method(:close, &close) }
      when "/never-again" then Array.class_eval { remove_method(:close) }
      when "/closed" then body = [closed.to_s]
      end
      [200, {}, body]
    }
  RUBY

  def closed
    server.get("/closed").body.to_i
  end

  %w[/its-own /of-a-class].each do |path|
    it "is closed when it has a close of its own (#{path})" do
      expect { expect(server.get(path).body).to eq("said") }.to change { closed }.by(1)
    end
  end

  it "is closed when somebody gives all Arrays a close, from the thread's next wait on" do
    server.get("/from-now-on")
    expect { server.get("/any") }.to change { closed }.by(2) # and that of the first question
    server.get("/never-again")
  end
end
