# frozen_string_literal: true

module Volador
  # For objects that call the application, and take whatever it raises. The application may fork in there: the child
  # goes on in a copy of the thread, and what ends it (`exit` raises) is on its way to that thread's beginning. Nothing
  # that it passes is to take it, or to act on a request or a connection: those are the parent's.
  #
  #     rescue Exception => e
  #       raise if forked?
  #
  # Asked only once something has been raised: to ask the system costs more than most of what is called.
  module ProcessBound
    private

    # To be called as the object is made.
    def bind_to_process
      @pid = Process.pid
    end

    # @return [Boolean] this process has been forked from the one that made the object
    def forked?
      @pid != Process.pid
    end
  end
end
