internal import Kernel
internal import Model
internal import Namespaces

/// The host's lxcfs(1), which shows a VPS its own limits in /proc: looked for, and started if the settings say so.
struct LXCFS {
    /// `lxcfs` of the settings.
    enum Choice: String, Codable {
        /// Used where it runs.
        case auto
        /// Started where it does not run yet.
        case start
        case off
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
        _ = try Host.ensure(Host.standardState)
        let name = "lxcfs.lock"
        return try describing("start lxcfs at \(directory.escaped)", code: .unavailable) { () throws(SysError) in
            let lock = try open("\(Host.standardState)/\(name)", [.writeOnly, .create, .noFollow])
            try lock.lock(.exclusive, wait: true)
            if state() == .running { return .running }
            // What its death left would keep the new one from being mounted there.
            if case .dead = state() { _ = try ToolProcess("umount", ["--lazy", directory]).wait() }
            // One that is on its way out keeps its pid file locked for some seconds, and others from starting.
            for _ in 0..<8 where state() != .running {
                try run()
                for _ in 0..<100 where state() != .running { CurrentProcess.sleep(milliseconds: 10) }
            }
            if state() == .absent { throw SysError("lxcfs", Errno.noEntry, directory) }
            return state()
        }
    }

    /// By systemd where it is the host's init and the place is the usual one: then it is not part of the session that
    /// `ctr` was called from, and ends with the host. Loads and processors by quota are off unless asked for.
    private func run() throws(SysError) {
        if directory == LXCFS.standardDirectory, (try? open("/run/systemd/system", [.path])) != nil {
            if try ToolProcess("systemctl", ["--quiet", "start", "lxcfs.service"]).wait().succeeded { return }
        }
        var words = ["--enable-loadavg", "--enable-cfs", "--foreground"]
        if directory != LXCFS.standardDirectory { words.append("--pidfile=\(directory).pid") }
        // It serves in the foreground whatever it is told: so nobody waits for it, and it is not our child.
        _ = try ToolProcess("setsid", ["--fork", LXCFS.program] + words + [directory], stderr: .null).wait()
    }
}
