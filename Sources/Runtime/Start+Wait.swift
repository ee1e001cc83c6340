internal import Kernel
public import Model

extension Start {
    /// Returns when init has said that the system is up; at once where its template has no way to say so.
    /// - Throws: `failed` if it ends before that, or has not said so in time; it runs on then.
    public func waitUntilReady(on host: Host, seconds: Int) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        let deadline = Deadline(milliseconds: seconds * 1000)
        while try !isReady(files) {
            if deadline.hasPassed {
                throw CtrError(
                    .failed,
                    "VPS \(name): started, but its init has not said within \(seconds) s that the system is up (it runs on; see ctr logs \(name))"
                )
            }
            deadline.sleep(microseconds: 20_000)
        }
    }

    private func isReady(_ files: VPSFiles) throws(CtrError) -> Bool {
        guard let place = try files.stateDirectory(), let state = try files.state(),
            try Locks.hasSupervisor(place, of: name)
        else {
            throw CtrError(.failed, "VPS \(name): ended before its system was up (see ctr logs \(name))")
        }
        // Its supervisor is starting it again.
        guard state.pid > 0 else { return false }
        switch state.ready {
        case .started: return true
        case .notify: return ReadyMark.isThere(place)
        case .marker:
            do throws(SysError) { return try Readiness.marker(of: state.pid) } catch {
                if error.errno == Errno.noEntry || error.errno == Errno.noProcess { return false }
                throw CtrError(.io, "VPS \(name)", cause: error)
            }
        }
    }
}

/// That init has said over its socket that the system is up: the file `ready` in the state directory.
enum ReadyMark {
    private static let name = "ready"

    static func isThere(_ state: SharedFD) -> Bool { (try? state.fd.status(of: name)) != nil }

    static func set(_ state: SharedFD) throws(SysError) {
        _ = try state.fd.open(name, [.create, .writeOnly, .noFollow], mode: 0o600)
    }

    static func clear(_ state: SharedFD) throws(SysError) {
        do throws(SysError) { try state.fd.unlink(name) } catch  where error.errno == Errno.noEntry {}
    }
}
