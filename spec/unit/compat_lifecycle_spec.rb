# frozen_string_literal: true

require "volador/compat/iodine/lifecycle"
require "volador/compat/tasks"

RSpec.describe Volador::Compat::Iodine::Lifecycle do
  subject(:lifecycle) { described_class.new(tasks, Volador::Log.new(log)) }

  let(:log) { StringIO.new }
  let(:tasks) { instance_double(Volador::Compat::Tasks, start: nil, stop: nil) }
  let(:told) { [] }
  let(:both) do
    configuration = Volador::Configuration.new(threads: 3)
    Array.new(2) { instance_double(Volador::Server, configuration: configuration) }
  end

  def change(what)
    both.each { |server| lifecycle.server_changed(server, what) }
  end

  it "tells of the first server's start and of the last one's end" do
    described_class::STATES.each { |state| lifecycle.on(state) { told << state } }
    change(:started)
    expect(lifecycle).to be_running
    expect(tasks).to have_received(:start).with(3).once
    both.each do |server|
      lifecycle.server_changed(server, :draining)
      lifecycle.server_changed(server, :stopped)
    end
    expect(told).to eq %i[pre_start on_start start_shutdown on_finish]
    expect(tasks).to have_received(:stop).once
    expect(lifecycle).not_to be_running
  end

  it "runs no more from the moment on that the last server stops" do
    running = []
    %i[pre_start on_start start_shutdown on_finish].each do |state|
      lifecycle.on(state) { running << lifecycle.running? }
    end
    change(:started)
    lifecycle.server_changed(both[0], :draining)
    expect(lifecycle).to be_running
    lifecycle.server_changed(both[1], :draining)
    change(:stopped)
    expect(running).to eq [true, true, false, false]
    expect(tasks).to have_received(:stop).once
  end

  it "says nothing of a server whose start has failed" do
    lifecycle.on(:on_finish) { told << :on_finish }
    change(:stopped)
    expect(told).to be_empty
  end

  it "logs what a block raises and calls the others" do
    lifecycle.on(:on_start) { raise "no" }
    lifecycle.on(:on_start) { told << :second }
    change(:started)
    expect(told).to eq [:second]
    expect(log.string).to include "on_state(:on_start)", "no (RuntimeError)"
  end

  it "refuses a state that there is not" do
    expect { lifecycle.on(:on_lunch) {} }.to raise_error(TypeError, /on_start.*got :on_lunch/)
    expect { lifecycle.on(:on_start) }.to raise_error(ArgumentError)
  end
end
