# frozen_string_literal: true

require "fileutils"
require "rbconfig"
require "tmpdir"
require_relative "deadline"
require_relative "raw_socket"

# A real server in a process of its own, on a port that the system chooses, with all that it prints kept for the
# example. Ended by its pid, with a deadline.
class ServerProcess
  ROOT = File.expand_path("../..", __dir__)
  LISTENING = %r{listening on (?:http://(?<host>\S+):(?<port>\d+)|unix://(?<path>\S+))}.freeze

  # `volador config.ru` with this text as its config.ru, on 127.0.0.1 and a free port unless args bind elsewhere.
  def self.volador(config, *args, bind: "tcp://127.0.0.1:0", **options)
    args = ["-b", bind, *args] if bind
    with_config(config, options) { |path| [ruby, *load_path, File.join(ROOT, "exe/volador"), *args, path] }
  end

  # `rackup -s volador`, in rackup's development environment unless args say `-E`.
  def self.rackup(config, *args, **options)
    with_config(config, options) do |path|
      [ruby, *load_path, "-S", "rackup", "-s", "volador", "-o", "127.0.0.1", "-p", "0", *args, path]
    end
  end

  # A Ruby program of its own, with `volador` on its load path.
  def self.ruby_program(text, *args, **options)
    with_config(text, options, name: "program.rb") { |path| [ruby, *load_path, path, *args] }
  end

  def self.ruby
    RbConfig.ruby
  end

  def self.load_path
    ["-w", "-I#{File.join(ROOT, 'lib')}"]
  end

  def self.with_config(text, options, name: "config.ru")
    directory = Dir.mktmpdir("volador-spec")
    path = File.join(directory, name)
    File.write(path, text)
    new(yield(path), directory: directory, **options)
  end
  private_class_method :with_config

  # @return [Integer] process id
  attr_reader :pid
  # @return [String] the folder of its config.ru, removed at the end
  attr_reader :directory

  # @param command [Array<String>] program and arguments
  # @param env [Hash] environment variables
  # @param gc [String, nil] "stress" or "compact": put the server under this pressure once it listens
  # @param descriptors [Hash{Integer => IO}] that it is started with, beside the usual three
  # @param limits [Hash{Symbol => Integer, Array<Integer>}] of the system, as Process.spawn takes them
  def initialize(command, directory:, env: {}, gc: nil, descriptors: {}, limits: {})
    @directory = directory
    @output = +""
    @lock = Mutex.new
    @grown = ConditionVariable.new
    @status = nil
    @gc = gc
    command = [command.first, "-r#{File.join(__dir__, 'gc_pressure.rb')}", *command.drop(1)] if gc
    spawn_process(command, { "RUBYOPT" => nil, "PORT" => nil, "RACK_ENV" => nil, "RAILS_ENV" => nil,
                             "VOLADOR_DEBUG" => nil, "VOLADOR_GC" => gc }.merge(env), descriptors.merge(limits))
  end

  # Waits for the line that says where it listens.
  # @return [ServerProcess] self
  def wait_until_listening(seconds: Deadline::DEFAULT_SECONDS)
    match = wait_for_output(LISTENING, seconds: seconds)
    @port = match[:port]&.to_i
    @path = match[:path]
    if @gc
      Process.kill(:USR2, pid)
      wait_for_output(/gc pressure: #{@gc}/)
    end
    self
  end

  # @return [Integer] the TCP port it listens on
  def port
    wait_until_listening unless @port
    @port
  end

  # @return [String] everything printed so far, stdout and stderr together
  def output
    @lock.synchronize { @output.dup }
  end

  # Waits until what it printed matches.
  # @return [MatchData]
  def wait_for_output(pattern, seconds: Deadline::DEFAULT_SECONDS)
    deadline = Deadline.new(seconds, "output of #{pattern.inspect}")
    @lock.synchronize do
      loop do
        match = pattern.match(@output)
        return match if match

        raise "ended without #{pattern.inspect}; it printed:\n#{@output}" if @ended
        deadline.miss!("it printed:\n#{@output}") if deadline.left.zero?
        @grown.wait(@lock, deadline.left)
      end
    end
  end

  # @return [RawSocket] connected to it
  def connect(**options, &block)
    RawSocket.open(port: port, **options, &block)
  end

  # One request on a connection of its own.
  # @return [RawSocket::Response]
  def get(target, headers = {})
    connect { |socket| socket.request("GET", target, { "Connection" => "close" }.merge(headers)) }
  end

  def signal(name)
    Process.kill(name, pid)
    self
  end

  # Waits for its end.
  # @return [Process::Status]
  def wait(seconds: Deadline::DEFAULT_SECONDS)
    return @status if @status
    raise Deadline::Missed, "pid #{pid} did not end within #{seconds} s; it printed:\n#{output}" unless @waiter.join(seconds)

    @reader.join(seconds)
    @status = @waiter.value
  end

  # TERM and the end.
  # @return [Process::Status]
  def stop(signal_name = :TERM)
    signal(signal_name)
    wait
  end

  # For `after`: whatever state it is in, it is gone afterwards.
  def destroy
    Process.kill(:KILL, pid) if @waiter.alive?
    @waiter.join(Deadline::DEFAULT_SECONDS)
    @reader.join(Deadline::DEFAULT_SECONDS)
    FileUtils.remove_entry(directory) if File.exist?(directory)
  rescue Errno::ESRCH
    nil
  end

  private

  def spawn_process(command, env, options)
    reader, writer = IO.pipe
    @pid = Process.spawn(env, *command, in: File::NULL, out: writer, err: writer, chdir: directory, pgroup: true, **options)
    writer.close
    @waiter = Process.detach(@pid)
    @reader = Thread.new { read(reader) }
  end

  def read(pipe)
    loop do
      bytes = pipe.readpartial(65_536).force_encoding(Encoding::UTF_8)
      @lock.synchronize do
        @output << bytes
        @grown.broadcast
      end
    end
  rescue EOFError
    @lock.synchronize do
      @ended = true
      @grown.broadcast
    end
  ensure
    pipe.close
  end
end
