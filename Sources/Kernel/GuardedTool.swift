internal import CLinux
internal import Glibc

/// A program of the operator's, in a session of its own, under a guard: a small process of ours between it and us that
/// ends the program with all that it has started, when we say so, when the program fails, and when we end, however that
/// happens. A program that succeeds may leave others running.
///
///     this process ---- guard: session leader, subreaper ---- the program ---- ...
///          SIGTERM from us, or from the kernel when we are gone: kills all below, ends
///
/// Told to end if it goes out of scope before ``wait()``.
public struct GuardedTool: ~Copyable {
    private let guardian: ProcessHandle
    /// Milliseconds in which a guard ends what is below it; then it is killed itself, with its process group.
    private static let patience: Int32 = 5_000

    /// Starts it, as ``ToolProcess`` does; what keeps it from being executed is the last line of its output, and its
    /// status is 126 or 127. The caller must have one thread.
    /// - Parameters:
    ///   - arguments: those after argv[0].
    ///   - input: nil for /dev/null.
    ///   - output: of both, standard output and error.
    public init(
        _ path: String, _ arguments: [String], environment: [String], input: SharedFD? = nil, output: SharedFD
    ) throws(SysError) {
        let stdin: SharedFD
        if let input { stdin = input } else { stdin = SharedFD(try open("/dev/null", [.readOnly])) }
        let program = GuardedProgram(
            path: path, arguments: [path] + arguments, environment: environment, streams: [stdin, output, output])
        let parent = getpid()
        switch try clone([]) {
        case .child: Guard.run(program, for: parent)
        case .parent(let handle): guardian = handle
        }
    }

    deinit { GuardedTool.end(guardian) }

    /// Waits at most so many milliseconds; returns whether it has ended.
    public borrowing func waitForEnd(milliseconds: Int32) throws(SysError) -> Bool {
        try guardian.waitForEnd(milliseconds: milliseconds)
    }

    /// Waits for its end.
    public consuming func wait() throws(SysError) -> ToolProcess.Status {
        switch try guardian.wait() {
        case .exited(let status): return .exited(status)
        case .signaled(let signal): return .signaled(signal)
        }
    }

    /// Ends it with all that it has started, and returns when that is done.
    public consuming func end() {}

    /// A guard that has been reaped is no child any more, and nothing happens.
    private static func end(_ guardian: borrowing ProcessHandle) {
        do throws(SysError) {
            try guardian.signal(SIGTERM)
            if try !guardian.waitForEnd(milliseconds: patience) { kill(-guardian.pid, SIGKILL) }
            _ = try guardian.wait()
        } catch {}
    }
}

/// What is to be executed.
private struct GuardedProgram {
    let path: String
    let arguments: [String]
    let environment: [String]
    let streams: [SharedFD]

    /// In the child of the guard.
    func execute(guardian: Int32) -> Never {
        do throws(SysError) {
            try CurrentProcess.setParentDeathSignal(SIGKILL)
            if getppid() != guardian { CurrentProcess.exitNow(125) }
            for (number, stream) in streams.enumerated() { try stream.fd.become(Int32(number)) }
            try CurrentProcess.closeOnExec(from: 3)
            CurrentProcess.resetSignals()
            try CurrentProcess.execute(path, arguments: arguments, environment: environment)
        } catch {
            try? streams[2].fd.writeAll(Array("\(error)\n".utf8))
            CurrentProcess.exitNow(error.errno == ENOENT ? 127 : 126)
        }
    }
}

/// The life of a guard. It holds a copy of every descriptor of its parent, locks too, which a guard that has lost its
/// parent gives up when all below it has ended, and soon in any case.
private enum Guard {
    static func run(_ program: GuardedProgram, for parent: Int32) -> Never {
        do throws(SysError) {
            // It dies of the signal that its program died of: not with a core.
            try CurrentProcess.setDumpable(false)
            try CurrentProcess.startSession()
            try CurrentProcess.becomeSubreaper()
            let signals = try SignalQueue([SIGTERM])
            try CurrentProcess.setParentDeathSignal(SIGTERM)
            if getppid() != parent { CurrentProcess.exitNow(125) }
            let own = getpid()
            switch try clone([]) {
            case .child: program.execute(guardian: own)
            case .parent(let handle): try watch(handle, signals)
            }
        } catch {
            endAll()
            CurrentProcess.exitNow(125)
        }
    }

    private static func watch(_ program: consuming ProcessHandle, _ signals: consuming SignalQueue) throws(SysError)
        -> Never
    {
        while true {
            var poll = Poll()
            poll.add(program.pidfd, .readable)
            poll.add(signals.fd, .readable)
            let ready = try poll.wait()
            if ready[0].contains(.readable) { finish(try program.wait()) }
            if try signals.next() != nil {
                endAll()
                CurrentProcess.exitNow(125)
            }
        }
    }

    /// Ends as the program has ended.
    private static func finish(_ status: ExitStatus) -> Never {
        if status != .exited(0) { endAll() }
        switch status {
        case .exited(let code): CurrentProcess.exitNow(code)
        case .signaled(let signal): CurrentProcess.dieBySignal(signal)
        }
    }

    /// Kills all that live below us, until nothing does: what is orphaned meanwhile becomes a child of ours.
    private static func endAll() {
        let deadline = Deadline(milliseconds: 3_000)
        while !deadline.hasPassed {
            guard let all = try? ProcFiles.descendants(of: getpid()), !all.isEmpty else { break }
            for process in all { process.kill() }
            deadline.sleep(microseconds: 2_000)
            reap()
        }
        reap()
    }

    private static func reap() {
        var status: Int32 = 0
        while waitpid(-1, &status, WNOHANG) > 0 {}
    }
}

/// A process below another, as /proc showed it.
private struct Descendant {
    let pid: Int32
    let startTime: UInt64

    /// Only that one, whatever its number names by now.
    func kill() {
        guard let handle = try? ProcessHandle(pid: pid), (try? ProcFiles.startTime(of: pid)) == startTime else {
            return
        }
        try? handle.signal(SIGKILL)
    }
}

extension ProcFiles {
    /// Who lives below a process: its children, theirs, and so on, those in other pid namespaces too.
    fileprivate static func descendants(of ancestor: Int32) throws(SysError) -> [Descendant] {
        var children: [Int32: [Descendant]] = [:]
        for entry in try open("/proc", [.directory]).entries() {
            guard let pid = Int32(entry.name.description),
                let bytes = try? open("/proc/\(pid)/stat", .readOnly).read(upTo: 1024),
                let end = bytes.lastIndex(of: UInt8(ascii: ")"))
            else { continue }
            // From field 2 on: see startTime(of:).
            let fields = bytes[end...].split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
            guard fields.count > 20, !["Z", "X"].contains(fields[1]), let parent = Int32(fields[2]),
                let time = UInt64(fields[20])
            else { continue }
            children[parent, default: []].append(Descendant(pid: pid, startTime: time))
        }
        var found: [Descendant] = []
        var above = [ancestor]
        while let next = above.popLast() {
            let below = children[next] ?? []
            found += below
            above += below.map(\.pid)
        }
        return found
    }
}

extension CurrentProcess {
    /// Orphans below this process become its children. See PR_SET_CHILD_SUBREAPER in prctl(2).
    static func becomeSubreaper() throws(SysError) {
        try check(ctr_prctl(Int32(CTR_PR_SET_CHILD_SUBREAPER), 1, 0, 0, 0), "prctl", "PR_SET_CHILD_SUBREAPER")
    }
}
