# frozen_string_literal: true

# Every request keeps its thread busy with Ruby for 5 ms of CPU time, whatever else the machine does.
BUSY = 0.005
RESPONSE = [200, { "content-type" => "text/plain" }.freeze, ["Hello, world!\n"].freeze].freeze

run(lambda do |_env|
  until_then = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) + BUSY
  nil while Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) < until_then
  RESPONSE
end)
