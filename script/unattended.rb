# frozen_string_literal: true

# For bin/test, which nobody watches: a section whose tag matches no example must not pass, and an example that hangs
# until the section's time is over must be named.

RSpec.configure { |config| config.fail_if_no_examples = true }

quit = trap("INT") do
  example = RSpec.current_example
  warn "\nOut of time in: #{example.full_description} (#{example.location})" if example
  quit.respond_to?(:call) ? quit.call : exit(1)
end
