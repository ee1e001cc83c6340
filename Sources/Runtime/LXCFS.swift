internal import Kernel
internal import Model
internal import Namespaces

/// The host's lxcfs(1), which shows a VPS its own limits in /proc: looked for, and started if the settings say so.
struct LXCFS {
    /// `lxcfs` of the settings.
    enum Choice: String, Codable, CaseIterable {
        /// Used where it runs.
        case auto
        /// Started where it does not run yet.
        case start
        case off

        init(from decoder: any Decoder) throws {
            let word = try decoder.singleValueContainer().decode(String.self)
            guard let choice = Choice(rawValue: word) else {
                let all = Choice.allCases.map(\.rawValue).joined(separator: ", ")
                throw CtrError(.config, "settings: lxcfs '\(word.escaped)': not one of \(all)")
            }
            self = choice
        }
    }

    let choice: Choice
    let directory: String

    static let standardDirectory = "/var/lib/lxcfs"
    static let program = "/usr/bin/lxcfs"

    init(_ settings: Settings) {
        choice = settings.lxcfs ?? .auto
        directory = settings.lxcfsDirectory ?? LXCFS.standardDirectory
    }

    enum State: Equatable {
        case running
        case absent
        /// Mounted, but nobody answers: ENOTCONN.
        case dead(SysError)
    }

    func state() -> State {
        do throws(SysError) { return try SystemViews.isMounted(at: directory) ? .running : .absent } catch {
            return error.errno == Errno.noEntry || error.errno == Errno.notDirectory ? .absent : .dead(error)
        }
    }

    /// What a VPS about to start gets to see; nil where it is to be the kernel's own files. No start fails for want of
    /// it: that lxcfs is dead, or can't be started, is said as a warning.
    func views() -> SystemViews? {
        if choice == .off { return nil }
        var state = state()
        if choice == .start, state != .running {
            do throws(CtrError) { state = try start() } catch {
                Message.warn("\(error.message) (the VPS sees the host's memory and processors)")
                return nil
            }
        }
        do throws(SysError) {
            switch state {
            case .running: return try SystemViews(at: directory)
            case .absent: return nil
            case .dead(let error): throw error
            }
        } catch {
            Message.warn(
                "lxcfs at \(directory.escaped) does not answer: \(SysError.text(error.errno)) "
                    + "(the VPS sees the host's memory and processors; restart lxcfs)")
            return nil
        }
    }

    // MARK: start

    /// Starts it once, whoever else tries to at the same time.
    private func start() throws(CtrError) -> State {
        guard ToolProcess.find(LXCFS.program) != nil else {
            throw CtrError(.unavailable, "lxcfs: no \(LXCFS.program) (install the package lxcfs)")
        }
        return try describing("start lxcfs at \(directory.escaped)", code: .unavailable) { () throws(SysError) in
            // The directory above: the place itself is another one before and after.
            let lock = try open(directory.above, [.directory])
            try lock.lock(.exclusive, wait: true)
            if state() == .running { return .running }
            // What its death left would keep the new one from being mounted there.
            if case .dead = state() { _ = try ToolProcess("umount", ["--lazy", directory]).wait() }
            // One that is on its way out keeps its pid file locked for some seconds, and others from starting. A second
            // one beside a slow first one would take the first one's mount away as it ends, so it is waited for.
            let deadline = Deadline(milliseconds: 30_000)
            while state() != .running, !deadline.hasPassed {
                guard let end = try run() else {
                    deadline.sleep(microseconds: 100_000)
                    continue
                }
                var poll = Poll()
                poll.add(end.fd, .readable)
                var hasEnded = false
                while state() != .running, !deadline.hasPassed, !hasEnded {
                    hasEnded = try !poll.wait(milliseconds: 10)[0].isEmpty
                }
                if hasEnded { deadline.sleep(microseconds: 300_000) }
            }
            if state() == .absent { throw SysError("lxcfs", Errno.noEntry, directory) }
            return state()
        }
    }

    /// By systemd where it is the host's init and the place is the usual one: then it is not part of the session that
    /// `ctr` was called from, and ends with the host. Loads and processors by quota are off unless asked for.
    /// - Returns: a pipe that hangs up when what was started has ended; nil where systemd did it.
    private func run() throws(SysError) -> SharedFD? {
        if directory == LXCFS.standardDirectory, (try? open("/run/systemd/system", [.path])) != nil {
            if try ToolProcess("systemctl", ["--quiet", "start", "lxcfs.service"]).wait().succeeded { return nil }
        }
        var words = ["--enable-loadavg", "--enable-cfs", "--foreground"]
        if directory != LXCFS.standardDirectory { words.append("--pidfile=\(directory).pid") }
        let pipe = try Pipe()
        // It serves in the foreground whatever it is told: so nobody waits for it, and it is not our child.
        _ = try ToolProcess(
            "setsid", ["--fork", LXCFS.program] + words + [directory], stdin: .file(pipe.writing), stderr: .null
        ).wait()
        return pipe.reading
    }
}

extension String {
    /// The directory that holds what this absolute path names.
    fileprivate var above: String {
        let words = split(separator: "/").dropLast()
        return "/" + words.joined(separator: "/")
    }
}
