internal import Kernel
internal import Model

/// That an operator wants a VPS to end, written down before anything is done about it: the file `stop` in its state
/// directory. Its supervisor then does not start it again. It goes with the state directory; where the verb that wrote
/// it was killed half way, the next verb takes it back.
enum StopIntent {
    private static let name = "stop"

    static func record(_ state: SharedFD, of vps: String) throws(CtrError) {
        try describing("state of VPS \(vps)") { () throws(SysError) in
            _ = try state.fd.open(name, [.create, .writeOnly, .noFollow], mode: 0o600)
        }
    }

    static func isRecorded(_ state: SharedFD) -> Bool { (try? state.fd.status(of: name)) != nil }

    static func takeBack(_ state: SharedFD, of vps: String) throws(CtrError) {
        do throws(SysError) { try state.fd.unlink(name) } catch {
            if error.errno != Errno.noEntry { throw CtrError(.io, "state of VPS \(vps)", cause: error) }
        }
    }
}
