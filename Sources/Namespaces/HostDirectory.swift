internal import Kernel
internal import Model

/// `/run/host` of a VPS whose init says when it is up: the interface of
/// <https://systemd.io/CONTAINER_INTERFACE>. It belongs to the guest's root, on a file system of the guest's alone, and
/// nothing of the host can be reached by it.
struct HostDirectory {
    static let socketPath = "/run/host/notify"

    /// The host's end of that by which init says that it is up.
    var notify: SharedFD?
    /// The fifo into which the guest's root asks to be hibernated.
    var asks: SharedFD?

    /// Makes the directory on the new /run of `root`, with `container-manager`, the socket if it is by
    /// ``ReadySignal/notify`` that init is to be heard, and the fifo where the VPS may ask.
    ///
    /// The caller acts as the guest's root, before there is a guest.
    static func make(_ signal: ReadySignal, asks: Bool, in root: SharedFD) throws(SysError) -> HostDirectory {
        if signal == .started { return HostDirectory() }
        let run = try RootPath.locateFixed("run", in: root.fd)
        try run.makeDirectory("host", mode: 0o755)
        let host = try run.open("host", [.path, .directory, .noFollow])
        try host.open("container-manager", [.create, .exclusive, .writeOnly], mode: 0o644).writeAll(Array("ctr".utf8))
        var made = HostDirectory()
        if signal == .notify { made.notify = SharedFD(try host.bindDatagramSocket("notify")) }
        if asks {
            try host.makeNode("hibernate", .fifo, permissions: 0o600)
            // For writing too: whoever asks finds it open, and it is never at its end.
            made.asks = SharedFD(try host.open("hibernate", [.readWrite, .nonBlocking, .noFollow]))
        }
        return made
    }
}
