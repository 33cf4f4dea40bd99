# frozen_string_literal: true

module Volador
  module Compat
    module Agoo
      # Not there: says so, and what to use instead.
      class GraphQL
        class << self
          # @raise [NotImplementedError]
          def schema(*)
            raise NotImplementedError, "Volador has no GraphQL: use the gem graphql behind a handler, and publish its " \
                                       "subscriptions' results to channels (docs/pubsub.md)"
          end
          %i[load load_file publish sdl_dump sdl_types headers build_headers=].each { |name| alias_method name, :schema }
        end
      end
    end
  end
end
