# frozen_string_literal: true

require "fileutils"
require "pty"
require "tmpdir"
require_relative "../../support/server_process"

# `volador` in the foreground of a pseudo terminal, as a developer runs it: what is typed goes to it, and Ctrl-C too.
class TerminalServer
  # Line by line: IRB's editor of lines would ask the terminal for its cursor.
  IRB_SETTINGS = "IRB.conf.update(USE_MULTILINE: false, USE_SINGLELINE: false, USE_COLORIZE: false, USE_PAGER: false)\n"

  # @param config [String] a config.ru
  # @param arguments [Array<String>] of the command
  # @yieldparam server [TerminalServer] that listens; it is gone after the block
  def self.open(config, *arguments)
    server = new(config, *arguments)
    yield server
  ensure
    server&.destroy
  end

  attr_reader :port

  def initialize(config, *arguments)
    @directory = Dir.mktmpdir("volador-spec")
    File.write(File.join(@directory, "config.ru"), config)
    File.write(File.join(@directory, "irbrc"), IRB_SETTINGS)
    environment = { "IRBRC" => File.join(@directory, "irbrc"), "HOME" => @directory, "RACK_ENV" => nil, "PORT" => nil }
    @terminal, @keyboard, @pid =
      PTY.spawn(environment, ServerProcess.ruby, "-I#{File.join(ServerProcess::ROOT, 'lib')}",
                File.join(ServerProcess::ROOT, "exe/volador"), "-p", "0", *arguments, "config.ru", chdir: @directory)
    @port = read_until(/listening on \S+:\d+ /)[/:(\d+) /, 1].to_i
  rescue StandardError
    destroy
    raise
  end

  # @return [RawSocket]
  def connect(&block)
    RawSocket.open(port: port, &block)
  end

  def type(text)
    @keyboard.write(text)
  end

  # @return [String] what the terminal shows, from where the last call ended up to where the pattern matches or further
  def read_until(pattern)
    deadline = Deadline.new(Deadline::DEFAULT_SECONDS, "#{pattern.inspect} in the terminal")
    seen = +""
    until seen.match?(pattern)
      @terminal.wait_readable(deadline.left!) || deadline.miss!(seen)
      seen << @terminal.readpartial(4096)
    end
    seen
  end

  # Waits for its end.
  # @return [Process::Status]
  def wait
    Deadline.until("the end of the server in the terminal") { Process.wait2(@pid, Process::WNOHANG) }.last
  end

  # Whatever state it is in, it is gone afterwards.
  def destroy
    end_process if @pid
    [@terminal, @keyboard].compact.each(&:close)
    FileUtils.remove_entry(@directory)
  end

  private

  def end_process
    Process.kill(:KILL, @pid)
    Process.wait(@pid)
  rescue Errno::ESRCH, Errno::ECHILD
    nil # ended, as it should
  end
end
