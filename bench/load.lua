-- Runs inside wrk. Prints the outcome as one line, whole numbers only. With a number as its argument it stops after that
-- many responses and says "limit": wrk itself would sleep on until its time is over.

function init(arguments)
  local limit = tonumber(arguments[1])
  if not limit then
    return
  end

  local responses = 0
  -- Only defined here: with a response hook wrk parses every header, which costs the load generator time.
  function response()
    responses = responses + 1
    if responses == limit then
      wrk.thread:stop()
      io.write("limit\n")
      io.flush()
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "\nload: microseconds=%d requests=%d failed=%d p50=%d p99=%d\n",
    summary.duration, summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
