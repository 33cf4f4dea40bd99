# frozen_string_literal: true

# A moment on the monotonic clock by which something must have happened. Every wait of the suite has one, so that a
# broken server fails an example with a sentence instead of hanging the run.
class Deadline
  # Raised by whatever waited longer than it was allowed to.
  class Missed < StandardError; end

  # Seconds a wait may last when nothing else is said; generous, since the machines of CI are slow and shared.
  DEFAULT_SECONDS = 20.0

  # @param seconds [Numeric] how long from now, in seconds
  # @param what [String] what is waited for; becomes part of the failure message
  def initialize(seconds, what)
    @seconds = seconds
    @what = what
    @at = now + seconds
  end

  # @return [Float] seconds left, never below 0
  def left
    [@at - now, 0.0].max
  end

  # @return [Float] seconds left
  # @raise [Missed] once there are none
  def left!
    rest = left
    miss! if rest.zero?
    rest
  end

  # @raise [Missed] always
  def miss!(details = nil)
    raise Missed, ["#{@what}: not within #{@seconds} s", details].compact.join("; ")
  end

  # Yields until the block is true, without sleeping longer than a few milliseconds at a time.
  # @return [Object] the first true value of the block
  def self.until(what, seconds: DEFAULT_SECONDS)
    deadline = new(seconds, what)
    loop do
      value = yield
      return value if value

      IO.select(nil, nil, nil, [deadline.left!, 0.005].min)
    end
  end

  private

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
