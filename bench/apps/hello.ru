# frozen_string_literal: true

# The least that a Rack application can do, so that the server is what is measured.
response = [200, { "content-type" => "text/plain" }.freeze, ["Hello, world!\n"].freeze].freeze

run ->(_env) { response }
