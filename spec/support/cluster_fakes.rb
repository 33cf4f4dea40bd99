# frozen_string_literal: true

# Stand-ins for what a supervisor has to do with, for unit specs of its decisions: no process is started or signalled.
module ClusterFakes
  # Native::Gateway of a cluster. `links` is what it says of workers; `calls` what it has been told.
  class Gateway
    attr_accessor :links
    attr_reader :calls

    def initialize
      @links = []
      @calls = []
      @drained = Queue.new
    end

    def workers
      @links
    end

    # @return [Hash] a worker's link, from now on there
    def join(number:, generation:, pid:, state: :serving, **more)
      { number: number, generation: generation, pid: pid, threads: 5, in_flight: 0, handlers: 0, state: state, quiet: 0.0,
        stuck: 0.0, **more }.tap { |link| @links += [link] }
    end

    def lose(pid)
      @links = @links.reject { |link| link[:pid] == pid }
    end

    %i[promote retire dismiss].each do |name|
      define_method(name) { |argument| @calls << [name, argument] && nil }
    end

    def dismiss_all
      @calls << [:dismiss_all]
    end

    def addresses
      ["tcp://127.0.0.1:1"]
    end

    def stats
      { requests: 1 }
    end

    # Returns when {#drained} says what.
    def drain(seconds)
      @calls << [:drain, seconds]
      @drained.pop
    end

    def drained(in_time)
      @drained << in_time
    end
  end

  # MoldProcess. `told` holds what it was asked for.
  class Mold
    attr_accessor :error, :details, :ending
    attr_reader :pid, :told, :patience

    def initialize(pid = 10)
      @pid = pid
      @told = []
      @messages = []
      @state = :loading
    end

    def load
      @state = :loaded
    end

    def end(how = "signal KILL")
      @state = :ended
      @ending = how
    end

    def loaded?
      @state == :loaded
    end

    def ended?
      @state == :ended
    end

    # @param message [Hash] what it says at the next tick
    def say(**message)
      @messages << message
    end

    def tick(_now, &block)
      @messages.shift(@messages.size).each(&block)
    end

    def fork_worker(number, _now)
      @told << number
    end

    # {#patience} has the seconds that it was given last.
    def finish(_now, patience: nil)
      @told << :finish
      @patience = patience
    end

    def kill(_now)
      @told << :kill unless @told.include?(:kill)
    end

    def ios
      []
    end

    def at
      nil
    end
  end

  # Children: `signals` holds those that were sent, `ended` how processes have ended that nobody tells of.
  class Children
    attr_reader :signals, :ended

    def initialize
      @signals = []
      @ended = {}
    end

    def signal(name, pid)
      @signals << [name, pid]
    end

    def ending(pid)
      @ended[pid]
    end

    def alive?(pid)
      !@ended.key?(pid)
    end

    def gone?(pid)
      @ended.key?(pid)
    end
  end
end
