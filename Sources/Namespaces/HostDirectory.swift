internal import Kernel
internal import Model

/// `/run/host` of a VPS whose init says when it is up: the interface of
/// <https://systemd.io/CONTAINER_INTERFACE>. It belongs to the guest's root, on a file system of the guest's alone, and
/// nothing of the host can be reached by it.
struct HostDirectory {
    static let socketPath = "/run/host/notify"

    /// Makes the directory on the new /run of `root`, with `container-manager` and, if it is by ``ReadySignal/notify``
    /// that init is to be heard, the socket. Returns the host's end of that.
    ///
    /// The caller acts as the guest's root, before there is a guest.
    static func make(_ signal: ReadySignal, in root: SharedFD) throws(SysError) -> SharedFD? {
        if signal == .started { return nil }
        let run = try RootPath.locateFixed("run", in: root.fd)
        try run.makeDirectory("host", mode: 0o755)
        let host = try run.open("host", [.path, .directory, .noFollow])
        try host.open("container-manager", [.create, .exclusive, .writeOnly], mode: 0o644).writeAll(Array("ctr".utf8))
        return signal == .notify ? SharedFD(try host.bindDatagramSocket("notify")) : nil
    }
}
