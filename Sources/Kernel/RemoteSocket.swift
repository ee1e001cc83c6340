internal import CLinux

extension ProcessHandle {
    /// Has a TCP connection that this process has open go on, which stands still for whoever wrote it down; needs the host's
    /// CAP_NET_ADMIN. The corresponding calls are `pidfd_getfd(2)` and `setsockopt(2)` with TCP_REPAIR.
    /// - Returns: whether it stood still.
    /// - Throws: for a socket of another kind too.
    @discardableResult
    public borrowing func endRepair(descriptor: Int32) throws(SysError) -> Bool {
        let socket = FD(owning: Int32(try check(ctr_pidfd_getfd(pidfd.rawValue, descriptor), "pidfd_getfd", "\(pid)")))
        return try check(ctr_tcp_end_repair(socket.rawValue), "setsockopt TCP_REPAIR", "\(pid)") == 1
    }
}
