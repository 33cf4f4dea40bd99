# frozen_string_literal: true

module Volador
  # What `volador status` prints for humans, of what the control socket answers (see Cluster::Status).
  class StatusTable
    COLUMNS = ["worker", "pid", "generation", "state", "up", "threads", "running", "handlers", "last sign"].freeze
    private_constant :COLUMNS

    # @param status [Hash]
    def initialize(status)
      @status = status
    end

    # @return [String] lines
    def to_s
      [*summary, "", *aligned([COLUMNS, *rows])].map { |line| "#{line}\n" }.join
    end

    private

    def summary
      [
        "volador #{@status[:version]}, pid #{@status[:pid]}, #{@status[:environment]}, #{@status[:directory]}",
        "listening on #{@status[:addresses].map { |address| address.sub(%r{\Atcp://}, 'http://') }.join(', ')}",
        "#{activity}, up #{duration(@status[:uptime])}, generation #{@status[:generation]}, " \
        "#{counted(@status[:workers_wanted], 'worker')}",
        connections
      ]
    end

    def activity
      return "a new generation is being started" if @status[:deploying] && @status[:state] == "running"

      @status[:state] == "running" ? "serving" : "stopping"
    end

    def connections
      stats = @status[:stats]
      "#{counted(stats.fetch(:http_connections, 0), 'HTTP connection')}, " \
        "#{counted(stats.fetch(:websocket_connections, 0), 'WebSocket')}, " \
        "#{counted(stats.fetch(:sse_connections, 0), 'event stream')}, " \
        "#{counted(stats.fetch(:requests, 0), 'request')} so far"
    end

    def rows
      @status[:generations].flat_map do |generation|
        generation[:workers].map { |worker| row(generation, worker) }
      end
    end

    def row(generation, worker)
      [worker[:number], worker[:pid], generation[:number], worker[:state], duration(worker[:age]), worker[:threads],
       worker[:in_flight], worker[:handlers], worker[:quiet] && "#{worker[:quiet]} s ago"].map { |cell| cell || "-" }
    end

    def aligned(rows)
      widths = rows.transpose.map { |column| column.map { |cell| cell.to_s.length }.max }
      rows.map { |row| row.zip(widths).map { |cell, width| cell.to_s.ljust(width) }.join("  ").rstrip }
    end

    def counted(count, thing)
      "#{count} #{thing}#{'s' unless count == 1}"
    end

    def duration(seconds)
      seconds = seconds.to_i
      return "#{seconds} s" if seconds < 120
      return "#{seconds / 60} min" if seconds < 7200

      seconds < 172_800 ? "#{seconds / 3600} h" : "#{seconds / 86_400} days"
    end
  end
end
