# frozen_string_literal: true

# Loaded into a server process by ServerProcess. At USR2 (that is, once the server listens: booting under GC.stress
# takes minutes) the garbage collector is set to run or to move objects all the time.
Signal.trap(:USR2) do
  case ENV.fetch("VOLADOR_GC")
  when "stress" then GC.stress = true
  when "compact"
    GC.auto_compact = true
    Thread.new do
      loop do
        GC.compact
        sleep 0.02
      end
    end
  end
  $stderr.write("gc pressure: #{ENV.fetch('VOLADOR_GC')}\n")
end
