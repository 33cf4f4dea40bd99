# frozen_string_literal: true

module Volador
  module Compat
    module Agoo
      # Not there: says so, and what to use instead.
      class GraphQL
        class << self
          # @yield never. The block is declared, or Ruby 3.4 and later warn that it may be ignored
          # @raise [NotImplementedError]
          def schema(*, &)
            raise NotImplementedError, "Volador has no GraphQL: use the gem graphql behind a handler, and publish its " \
                                       "subscriptions' results to channels (docs/pubsub.md)"
          end
          %i[load load_file publish sdl_dump sdl_types headers build_headers=].each { |name| alias_method name, :schema }
        end
      end
    end
  end
end
