# frozen_string_literal: true

# An application for clusters that tells what reaches it, and in which process, and has requests that hang or end it.
RSpec.shared_context "with workers that tell what they see" do
  let(:telling) do
    <<~'RUBY'
      File.write("loaded", "#{Process.pid}\n", mode: "a")
      class App
        def call(env)
          warn "seen #{env['PATH_INFO']}" unless env["PATH_INFO"] == "/"
          case env["PATH_INFO"]
          when "/stand"
            File.read("gate")
            [200, {}, ["stood"]]
          when "/forever" then sleep
          when "/spin" then loop { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
          when "/fork"
            child = fork { sleep 60 }
            Process.detach(child)
            [200, {}, [child.to_s]]
          when "/exit" then exit!(3)
          else [200, {}, ["#{Process.pid} #{Process.ppid} #{env['rack.multiprocess']}"]]
          end
        end

        def on_open(env)
          env["push.writer"].write(Process.pid.to_s)
          Handler.new
        end
      end

      class Handler
        def on_close = warn("closed in #{Process.pid}")
      end
      run App.new
    RUBY
  end
end
