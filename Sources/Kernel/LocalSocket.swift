internal import CLinux
internal import Glibc

// Sockets with a name in a directory that messages are sent over, of type SOCK_SEQPACKET. See unix(7).

extension FD {
    /// A socket below this directory that waits for connections, non-blocking; what had the name is removed.
    public borrowing func listen(at name: String) throws(SysError) -> FD {
        do throws(SysError) { try unlink(name) } catch  where error.errno == Errno.noEntry {}
        let socket = try FD.localSocket(nonBlocking: true)
        try socket.withLocalAddress("\(procPath)/\(name)") { ctr_ret(Int(Glibc.bind($0, $1, $2))) }
        try check(ctr_ret(Int(Glibc.listen(socket.rawValue, 8))), "listen")
        return socket
    }

    /// A connection to the socket of this name below this directory. ECONNREFUSED where nobody listens.
    public borrowing func connect(to name: String) throws(SysError) -> FD {
        let socket = try FD.localSocket(nonBlocking: false)
        try socket.withLocalAddress("\(procPath)/\(name)") { ctr_ret(Int(Glibc.connect($0, $1, $2))) }
        return socket
    }

    /// The next connection, non-blocking; EAGAIN where there is none. The corresponding call is `accept4(2)`.
    public borrowing func accept() throws(SysError) -> FD {
        let number = rawValue
        return FD(owning: Int32(try checkRetrying("accept4") { ctr_accept4(number) }))
    }

    /// Sends a message if the other end has room for it; EAGAIN if not, EPIPE where it is gone.
    public borrowing func sendNow(_ bytes: ArraySlice<UInt8>) throws(SysError) {
        let number = rawValue
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        try checkRetrying("send") {
            bytes.withUnsafeBytes { ctr_ret(Glibc.send(number, $0.baseAddress, $0.count, flags)) }
        }
    }

    private static func localSocket(nonBlocking: Bool) throws(SysError) -> FD {
        let type = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let more = nonBlocking ? Int32(SOCK_NONBLOCK.rawValue) : 0
        return FD(owning: Int32(try check(ctr_ret(Int(socket(AF_UNIX, type | more, 0))), "socket")))
    }

    /// - Parameter path: shorter than the 108 bytes of sun_path, which one through /proc/self/fd is.
    private borrowing func withLocalAddress(
        _ path: String, _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int
    ) throws(SysError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        if bytes.count >= MemoryLayout.size(ofValue: address.sun_path) {
            throw SysError("bind", ENAMETOOLONG, path)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let number = rawValue
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try check(result, "connect", path)
    }
}
