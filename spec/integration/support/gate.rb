# frozen_string_literal: true

require_relative "../../support/deadline"

# A gate in a server's folder: an app that does `File.read("NAME")` stands there until the example opens it. A named
# pipe, so that nobody has to look again and again, and that no other request of the server is needed.
class Gate
  # Before the app reads it.
  # @param server [ServerProcess]
  def initialize(server, name = "gate")
    @path = File.join(server.directory, name)
    File.mkfifo(@path)
  end

  # Lets one reader through; waits for it.
  def open
    pipe = Deadline.until("a reader at the gate #{@path}") do
      File.open(@path, File::WRONLY | File::NONBLOCK)
    rescue Errno::ENXIO
      nil
    end
    pipe.close
  end
end
