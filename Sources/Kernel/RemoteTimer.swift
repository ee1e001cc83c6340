internal import CLinux

extension ProcessHandle {
    /// Sets a timer that this process has open going again: it is next due after a whole period.
    /// The corresponding calls are `pidfd_getfd(2)` and `timerfd_settime(2)`.
    /// - Parameters:
    ///   - period: seconds and nanoseconds.
    ///   - ticks: how often it has been due, for its next reader; not 0.
    public borrowing func repeatTimer(
        descriptor: Int32, period: (seconds: Int64, nanoseconds: Int64), ticks: UInt64
    ) throws(SysError) {
        let timer = FD(owning: Int32(try check(ctr_pidfd_getfd(pidfd.rawValue, descriptor), "pidfd_getfd", "\(pid)")))
        try check(ctr_timerfd_repeat(timer.rawValue, period.seconds, period.nanoseconds), "timerfd_settime", "\(pid)")
        try check(ctr_timerfd_set_ticks(timer.rawValue, ticks), "ioctl TFD_IOC_SET_TICKS", "\(pid)")
    }
}
