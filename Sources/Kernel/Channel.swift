internal import CLinux
internal import Glibc

/// A pair of connected sockets that keep message boundaries and carry descriptors. See unix(7).
public struct SocketPair: ~Copyable {
    public var first: FD
    public var second: FD

    /// The corresponding call is `socketpair(2)` with SOCK_SEQPACKET.
    public init() throws(SysError) {
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        try check(ctr_ret(Int(socketpair(AF_UNIX, type, 0, &pair))), "socketpair")
        first = FD(owning: pair[0])
        second = FD(owning: pair[1])
    }

    /// Both ends, each to be closed on its own.
    public consuming func split() -> (SharedFD, SharedFD) { (SharedFD(first), SharedFD(second)) }
}

extension FD {
    /// Sends one message, with a descriptor if given. The corresponding call is `sendmsg(2)`.
    public borrowing func send(_ message: [UInt8], passing descriptor: borrowing FD) throws(SysError) {
        let number = rawValue
        let passed = descriptor.rawValue
        try checkRetrying("sendmsg") {
            message.withUnsafeBytes { bytes in
                withUnsafePointer(to: passed) { ctr_send_fds(number, bytes.baseAddress!, bytes.count, $0, 1) }
            }
        }
    }

    /// Sends one message. EPIPE if the other end is closed.
    public borrowing func send(_ message: [UInt8]) throws(SysError) {
        let number = rawValue
        try checkRetrying("sendmsg") {
            message.withUnsafeBytes { ctr_send_fds(number, $0.baseAddress!, $0.count, nil, 0) }
        }
    }

    /// Receives one message of at most 4096 bytes with the descriptor that came with it; an empty one means that the
    /// other end is closed. The corresponding call is `recvmsg(2)`.
    public borrowing func receive() throws(SysError) -> Message {
        let number = rawValue
        var bytes = [UInt8](repeating: 0, count: 4096)
        var fds = [Int32](repeating: -1, count: 16)
        var count = 0
        let n = try checkRetrying("recvmsg") {
            bytes.withUnsafeMutableBytes { ctr_receive_fds(number, $0.baseAddress!, $0.count, &fds, &count, 0) }
        }
        var descriptors: [SharedFD] = []
        for index in 0..<count { descriptors.append(SharedFD(FD(owning: fds[index]))) }
        return Message(bytes: Array(bytes[..<n]), descriptors: descriptors)
    }
}

/// What ``FD/receive()`` got.
public struct Message: Sendable {
    public let bytes: [UInt8]
    public let descriptors: [SharedFD]
}
