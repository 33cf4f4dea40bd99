# frozen_string_literal: true

require_relative "product"
require_relative "../lib/volador/cluster/control_client"

module Bench
  # Volador with worker processes.
  class Workers < Checkout
    # @param count [Integer] workers
    # @param push_app [String] file below bench/apps
    # @param work [Float] seconds that each request and each message of soak.ru takes
    def initialize(count, push_app: "push.ru", work: 0.0)
      workers = count == 1 ? "1 worker" : "#{count} workers"
      super(name: "volador -w #{count}", setting: "#{workers} of #{THREADS} threads", push_app: push_app)
      @count = count
      @work = work
    end

    def command(port:, app:, folder:)
      [*super, "-w", @count.to_s, "-S", control(folder)]
    end

    def environment(folder:)
      { "SOAK_JOURNAL" => journal(folder), "SOAK_WORK" => @work.to_s }
    end

    # @return [String] path of the file in which soak.ru notes what its handlers are told
    def journal(folder) = File.join(folder, "journal")

    # @return [Hash] what `volador status --json` prints
    # @raise [Server::Failed]
    def status(server)
      Volador::Cluster::ControlClient.new(control(server.folder)).ask({ do: "status" }) || raise(Server::Failed, "it ends")
    rescue Volador::Cluster::ControlClient::Unreachable => e
      raise Server::Failed, "#{name}: #{e.message}. Its last words:\n#{server.last_words}"
    end

    private

    def control(folder) = File.join(folder, "control.sock")
  end
end
