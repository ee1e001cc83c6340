internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces

/// Keeps one detached VPS company until it has ended for good: moves what it prints, records how it ended, starts it
/// again where that is asked for (a reboot inside, `--restart`), cleans up. It wakes only when something happens.
final class DetachedSupervisor {
    private var vps: WatchedVPS
    private let signals: SignalQueue
    private let host: Host
    /// How long the present run has lasted, for the back-off.
    private var began = Timestamp.monotonic()
    private var backoff = Backoff()
    private let events: EventLog
    /// When it was last written down that a limit was met, and the VPS lives with that.
    private var reported: UInt64 = 0
    private var asks = HibernateAsks()
    /// When what was asked to halt is killed.
    private var patience: Deadline?

    init(_ vps: WatchedVPS, signals: consuming SignalQueue) {
        self.vps = vps
        self.signals = signals
        host = vps.place.files.host
        events = EventLog(host)
    }

    func run() throws(CtrError) {
        while true {
            let status = try describing("supervise VPS \(vps.config.name)") { () throws(SysError) in
                try waitForEnd()
                let status = try vps.process.status()
                try vps.hub.detach()
                return status
            }
            let ended = EndedVPS(place: vps.place, state: vps.state, cgroup: vps.cgroup)
            if try ended.isSuspended() { return try ended.putAway() }
            let last = ended.record(status)
            report(last)
            guard !vps.config.ephemeral, !vps.state.rescue, let wait = next(after: last) else {
                return try clearAway(ended, last)
            }
            if try !startAgain(after: wait, ended) { return try clearAway(ended, last) }
        }
    }

    /// All that the VPS had goes back; a script of the operator's hears of it while the name is still ours.
    private func clearAway(_ ended: EndedVPS, _ last: LastRun) throws(CtrError) {
        if !ended.config.ephemeral {
            try ended.cgroup.remove()
            do throws(CtrError) { try ActionScripts(place: ended.place).runOnHost(.postStop) } catch {
                var last = last
                last.scriptFailure = error.message
                ended.write(last)
            }
        }
        try ended.clearAway()
    }

    // MARK: the end of a run

    private func waitForEnd() throws(SysError) {
        // A start needs more than the wait that follows it, for years.
        CurrentProcess.releaseFreeMemory()
        while true {
            if StopIntent.isRecorded(vps.place.state), vps.hub.wasPoked { vps.process.signal(Signal.kill) }
            vps.hub.wasPoked = false
            var poll = Poll()
            vps.process.add(to: &poll)
            poll.add(signals.fd, .readable)
            // Its descriptors come after these two.
            vps.hub.add(to: &poll)
            vps.limits?.add(to: &poll)
            let listener = vps.listener.map { poll.add($0.socket.fd, .readable) }
            asks.add(to: &poll, vps.asks)
            let ready = try poll.wait(milliseconds: [patience?.remaining, asks.pause].compactMap { $0 }.min())
            while let signal = try signals.next() { if signal == Signal.terminate { askToHalt() } }
            if let patience, patience.hasPassed { endNow() }
            try vps.hub.handle(ready)
            if let hits = try? vps.limits?.changes(ready) { report(hits) }
            if let listener, !ready[listener].isEmpty { try listen() }
            if ready[0].contains(.readable) {
                // It holds a mount of the VPS, and with it its disk.
                vps.asks = nil
                return
            }
            heed(asks.handle(ready, vps.asks))
        }
    }

    /// Its root asks to be hibernated, or the verb that was started for it has ended.
    private func heed(_ what: HibernateAsks.Happened) {
        switch what {
        case .nothing: return
        case .asked: asks.start(vps.state, on: host)
        case .refused: vps.hub.note("ctr: hibernate, asked from inside: refused (ctr events says why)\r\n")
        }
    }

    /// Init says something of how far it is.
    private func listen() throws(SysError) {
        switch try vps.listener!.take() {
        case .waiting: return
        case .ready:
            // On a full /run `start --wait` does not hear of it; the VPS runs on.
            do throws(SysError) { try ReadyMark.set(vps.place.state) } catch {
                vps.hub.note("ctr: warning: that init is ready can't be written down: \(error)\r\n")
            }
            events.append(.ready, vps: vps.config.name)
        case .babbling: break
        }
        vps.listener = nil
    }

    /// SIGTERM to a supervisor, as the host's own shutdown sends to every process, ends its VPS as `ctr stop` does.
    private func askToHalt() {
        try? StopIntent.record(vps.place.state, of: vps.config.name)
        guard let number = try? SignalName.parse(vps.config.stopSignal, option: "stop signal") else { return }
        patience = Deadline(milliseconds: 10_000)
        // One that stands still hears nothing.
        if (try? vps.cgroup.isFrozen()) == true { try? vps.cgroup.thaw() }
        let handled = (try? ProcFiles.disposition(of: vps.process.pid, number)) == .handled
        vps.process.signal(handled ? number : Signal.kill)
    }

    private func endNow() {
        patience = nil
        if (try? vps.cgroup.isFrozen()) == true { try? vps.cgroup.thaw() }
        vps.process.signal(Signal.kill)
    }

    /// How many milliseconds to wait before it is started again; nil: it stays stopped.
    private func next(after last: LastRun) -> Int? {
        // As `set` has it by now.
        let policy = (try? vps.place.files.keptConfig(in: vps.place.directory))??.restart ?? vps.config.restart
        let lasted = (Timestamp.monotonic() - began) / 1_000_000_000
        switch last.cause {
        case .operator, .poweroff: return nil
        // At once, but for one that does nothing else.
        case .reboot: return lasted < 5 ? backoff.next(lasted) : 0
        case .exit where last.exitStatus == 0: return policy == .always ? backoff.next(lasted) : nil
        case .exit, .signal, .outOfMemory, .unknown: return policy == .no ? nil : backoff.next(lasted)
        }
    }

    // MARK: events

    private func report(_ last: LastRun) {
        if vps.config.ephemeral || vps.state.rescue { return }
        var detail: [String: EventDetail] = ["cause": .text(last.cause.rawValue)]
        if let status = last.exitStatus { detail["exitStatus"] = .number(Int64(status)) }
        events.append(.stopped, vps: vps.config.name, detail: detail)
    }

    /// Each kill for want of memory; limits that only slow a VPS, which it may meet all the time, once a minute.
    private func report(_ hits: LimitHits) {
        if let kills = hits.oomKills, kills > 0 {
            events.append(.oomKill, vps: vps.config.name, detail: ["processes": .number(kills)])
        }
        let now = Timestamp.monotonic()
        var detail: [String: EventDetail] = [:]
        for (key, count) in [
            ("memory", hits.memory), ("memoryHigh", hits.memoryHigh), ("swap", hits.swap),
            ("processes", hits.processes),
        ] {
            if let count, count > 0 { detail[key] = .number(count) }
        }
        guard !detail.isEmpty, reported == 0 || now - reported > 60_000_000_000 else { return }
        reported = now
        events.append(.limitHit, vps: vps.config.name, detail: detail)
    }

    // MARK: the start of another

    /// - Returns: false if it was stopped meanwhile.
    private func startAgain(after milliseconds: Int, _ ended: EndedVPS) throws(CtrError) -> Bool {
        let place = vps.place
        var waiting = try VPSState.now(.restarting, vps.config)
        waiting.restarts = vps.state.restarts + 1
        try place.write(waiting)
        try ended.cgroup.remove()
        guard try pause(milliseconds), let lock = try verbLock() else { return false }
        defer { withExtendedLifetime(lock) {} }
        do throws(CtrError) {
            vps = try Start(name: vps.config.name).begin(in: place, restarts: waiting.restarts, hub: vps.hub)
            began = Timestamp.monotonic()
            events.append(.restarted, vps: vps.config.name, detail: ["count": .number(Int64(waiting.restarts))])
            return true
        } catch {
            // Nobody waits for an answer: the reason is kept where an operator looks.
            vps.hub.note("ctr: start again: \(error.message)\r\n")
            // Also of what has been started by then.
            try Recovery(host: host).settleStopped(place.files)
            throw error
        }
    }

    /// Waits, unless told to stop; false then.
    private func pause(_ milliseconds: Int) throws(CtrError) -> Bool {
        let deadline = Deadline(milliseconds: milliseconds)
        while true {
            if StopIntent.isRecorded(vps.place.state) { return false }
            let left = deadline.remaining
            if left == 0 { return true }
            try describing("wait to start VPS \(vps.config.name) again") { () throws(SysError) in
                var poll = Poll()
                poll.add(signals.fd, .readable)
                vps.hub.add(to: &poll)
                let ready = try poll.wait(milliseconds: left)
                while let signal = try signals.next() { if signal == Signal.terminate { askToHalt() } }
                try vps.hub.handle(ready)
            }
        }
    }

    /// nil where an operator wants it stopped.
    private func verbLock() throws(CtrError) -> VerbLock? {
        while !StopIntent.isRecorded(vps.place.state) {
            if let lock = try VerbLock.attempt(vps.place.files) { return lock }
            CurrentProcess.sleep(milliseconds: 20)
        }
        return nil
    }
}

/// 1, 2, 4 ... 60 seconds between starts; from the beginning again for a VPS that has run a minute.
struct Backoff {
    private var seconds = 1

    /// - Parameter lasted: seconds that the last run took.
    /// - Returns: milliseconds.
    mutating func next(_ lasted: UInt64) -> Int {
        if lasted >= 60 { seconds = 1 }
        defer { seconds = min(60, seconds * 2) }
        return seconds * 1000
    }
}
