internal import CLinux
internal import Glibc

/// A number in the kernel that others add to; readable while it is not 0. See eventfd(2).
public final class EventCounter: Sendable {
    /// For ``Poll``: readable when something was added.
    public let fd: FD

    /// The corresponding call is `eventfd(2)`.
    public init() throws(SysError) { fd = FD(owning: Int32(try check(ctr_eventfd(), "eventfd"))) }

    /// What was added since the last call; 0 for nothing.
    @discardableResult
    public func take() throws(SysError) -> UInt64 { try fd.takeCount() }

    /// Has the kernel add to this counter whenever the memory cgroup (v1) that `file`, its memory.oom_control, belongs to
    /// is out of memory, and when that cgroup is removed. See "Usage of cgroup.event_control" in the kernel's document
    /// on the memory controller of v1.
    /// - Parameter control: the cgroup's cgroup.event_control, open for writing.
    public func register(_ file: borrowing FD, control: borrowing FD) throws(SysError) {
        try control.writeAll(Array("\(fd.rawValue) \(file.rawValue)".utf8))
    }
}

/// A clock that becomes readable once, so and so long from now, on CLOCK_MONOTONIC. See timerfd_create(2).
public final class AlarmClock: Sendable {
    /// For ``Poll``: readable when the time is over.
    public let fd: FD

    /// The corresponding call is `timerfd_create(2)`.
    public init() throws(SysError) { fd = FD(owning: Int32(try check(ctr_timerfd_create(), "timerfd_create"))) }

    /// Sets it; 0 turns it off. What was set before is forgotten. The corresponding call is `timerfd_settime(2)`.
    public func set(milliseconds: Int) throws(SysError) {
        try check(ctr_timerfd_set(fd.rawValue, Int64(milliseconds)), "timerfd_settime")
    }

    /// Whether the time was over, which is then forgotten.
    public func takeRing() throws(SysError) -> Bool { try fd.takeCount() > 0 }
}

extension FD {
    /// Reads a counter of eight bytes that is open without waiting.
    fileprivate borrowing func takeCount() throws(SysError) -> UInt64 {
        do throws(SysError) {
            let bytes = try read(upTo: 8)
            return bytes.count == 8 ? bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) } : 0
        } catch  where error.errno == EAGAIN { return 0 }
    }
}
