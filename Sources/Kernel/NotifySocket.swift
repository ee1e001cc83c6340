internal import CLinux
internal import Glibc

// The receiving end of sd_notify(3): a datagram socket with a name in a directory. See unix(7).

extension FD {
    /// Makes a datagram socket of this name below this directory, non-blocking, writable for its owner alone. The
    /// corresponding calls are `socket(2)` and `bind(2)`.
    public borrowing func bindDatagramSocket(_ name: String) throws(SysError) -> FD {
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let made = FD(owning: Int32(try check(ctr_ret(Int(socket(AF_UNIX, type, 0))), "socket")))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("\(procPath)/\(name)".utf8)
        // The last byte stays 0.
        if path.count >= MemoryLayout.size(ofValue: address.sun_path) { throw SysError("bind", ENAMETOOLONG, name) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let mask = CurrentProcess.setFileModeMask(0o177)
        defer { CurrentProcess.setFileModeMask(mask) }
        let number = made.rawValue
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                ctr_ret(Int(Glibc.bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))))
            }
        }
        try check(result, "bind", name)
        return made
    }

    /// The next datagram, nil if none is waiting; one longer than `limit` comes back empty. Descriptors that came with
    /// it are closed by the kernel. The corresponding call is `recv(2)` with MSG_TRUNC.
    public borrowing func receiveDatagram(limit: Int) throws(SysError) -> [UInt8]? {
        let number = rawValue
        let flags = Int32(CTR_MSG_DONTWAIT) | Int32(CTR_MSG_TRUNC)
        var bytes = [UInt8](repeating: 0, count: limit)
        do throws(SysError) {
            let count = try checkRetrying("recv") {
                bytes.withUnsafeMutableBytes { ctr_ret(Glibc.recv(number, $0.baseAddress, $0.count, flags)) }
            }
            return count > limit ? [] : Array(bytes[..<count])
        } catch  where error.errno == EAGAIN { return nil }
    }
}
