# frozen_string_literal: true

require "json"
require "open3"
require_relative "../../support/server_process"

# A server with workers: what examples want to know of its processes, and how they ask it.
#
#   cluster = start_cluster("run ->(env) { [200, {}, [Process.pid.to_s]] }")
#   cluster.get("/").body        # => the pid of a worker
#   cluster.workers              # => their pids
#   cluster.command("restart")   # => [stdout, stderr, exit status]
class ClusterServer < ServerProcess
  # @param config [String] a config.ru
  # @param workers [Integer, nil] nil: no -w
  # @param configuration [String, nil] a config/volador.rb
  # @param files [Hash{String => String}] other files in the server's folder
  def self.cluster(config, *args, workers: 2, bind: "tcp://127.0.0.1:0", configuration: nil, files: {}, env: {}, **options)
    directory = Dir.mktmpdir("volador-spec")
    files = files.merge("config.ru" => config, "config/volador.rb" => configuration)
    files.compact.each { |name, text| put(File.join(directory, name), text) }
    runtime = Dir.mktmpdir("volador-run")
    command = [ruby, *load_path, File.join(ROOT, "exe/volador"), *(["-b", bind] if bind), *(["-w", workers.to_s] if workers), *args]
    new(command, directory: directory, env: { "XDG_RUNTIME_DIR" => runtime }.merge(env), **options).tap do |server|
      server.runtime = runtime
    end
  end

  # In one step, whoever reads it meanwhile.
  def self.put(path, text)
    FileUtils.mkdir_p(File.dirname(path))
    File.write("#{path}.new", text)
    File.rename("#{path}.new", path)
  end

  # @return [String] the folder for links and control sockets, the server's own
  attr_accessor :runtime

  # Replaces its config.ru, or another file.
  def write(config, name = "config.ru")
    self.class.put(File.join(directory, name), config)
  end

  # Runs `volador` beside it.
  # @return [[String, String, Integer]] stdout, stderr, exit status
  def command(*arguments, input: "", chdir: directory)
    # As a shell that has gone there.
    out, err, status = Open3.capture3(beside.merge("PWD" => chdir), ServerProcess.ruby, *ServerProcess.load_path,
                                      File.join(ServerProcess::ROOT, "exe/volador"), *arguments, stdin_data: input, chdir: chdir)
    [out, err.lines.grep_v(/warning:/).join, status.exitstatus]
  end

  # Runs a Ruby program beside it.
  # @return [String] what it prints
  def script(text)
    output, = Open3.capture2e(beside, ServerProcess.ruby, *ServerProcess.load_path, "-rvolador", "-e", text, chdir: directory)
    output.lines.grep_v(/warning:/).join
  end

  # @return [Hash] as `volador status --json` tells it
  def status
    socket = UNIXSocket.new(Dir[File.join(runtime, "*", "*.sock")].first)
    socket.write("{\"do\":\"status\"}\n")
    JSON.parse(socket.gets, symbolize_names: true)
  ensure
    socket&.close
  end

  # @return [Hash] of the generation that serves
  def generation
    known = status
    known[:generations].find { |one| one[:number] == known[:generation] }
  end

  # @return [Integer] its mold's pid
  def mold
    generation[:mold][:pid]
  end

  # @return [Array<Integer>] pids of the workers that serve
  def workers
    generation[:workers].select { |worker| worker[:state] == "serving" }.map { |worker| worker[:pid] }
  end

  # Waits until so many workers serve, none of them one of those.
  # @return [Array<Integer>] their pids
  def wait_for_workers(count, without: [], seconds: Deadline::DEFAULT_SECONDS)
    Deadline.until("#{count} workers without #{without}", seconds: seconds) do
      found = workers
      found if found.size == count && (found & without).empty?
    end
  end

  # @return [Array<Integer>] all processes below it, and itself
  def processes
    parents = Dir["/proc/[0-9]*/stat"].filter_map { |path| Processes.stat(path) }
    found = [pid]
    loop do
      more = parents.select { |one, parent| found.include?(parent) && !found.include?(one) }.map(&:first)
      return found if more.empty?

      found.concat(more)
    end
  end

  # @return [Array<String>] files that it has made outside of its folder
  def files
    Dir.glob("**/*", base: runtime)
  end

  # No half of it stays, whatever state it is in.
  def destroy
    everything = processes
    super
    Deadline.until("the end of all processes", seconds: 30) { everything.none? { |one| Processes.alive?(one) } }
    FileUtils.remove_entry(runtime) if File.exist?(runtime)
  end

  private

  def beside
    { "RUBYOPT" => nil, "RACK_ENV" => nil, "PORT" => nil, "VOLADOR_DEBUG" => nil, "XDG_RUNTIME_DIR" => runtime,
      "IRBRC" => File.join(ServerProcess::ROOT, "no-irbrc"), "TERM" => "dumb" }
  end
end

# What the system says of processes.
module Processes
  # @return [Array(Integer, Integer), nil] pid and parent; nil for one that has ended
  def self.stat(path)
    text = File.read(path)
    state, parent = text.rpartition(")").last.split
    [text.to_i, parent.to_i] unless state == "Z"
  rescue SystemCallError
    nil
  end

  # @return [Boolean] false for one that has ended, whether it has been waited for or not
  def self.alive?(pid)
    !stat("/proc/#{pid}/stat").nil?
  end

  # @return [Boolean] once none of them is left
  def self.await_end(pids, seconds: 20)
    Deadline.until("the end of #{pids}", seconds: seconds) { pids.none? { |pid| alive?(pid) } }
  end

  # @return [Array<String>] what its descriptors are: "socket:[123]", "/dev/null", …
  def self.descriptors(pid)
    Dir["/proc/#{pid}/fd/*"].filter_map do |path|
      File.readlink(path)
    rescue SystemCallError
      nil
    end
  end
end

# Included into every example.
module Clusters
  # @return [ClusterServer] whose workers serve
  def start_cluster(config, *args, **options)
    keep(ClusterServer.cluster(config, *args, **options)).wait_until_listening
  end
end

RSpec.configure { |config| config.include Clusters }
