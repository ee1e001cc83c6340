internal import CLinux
internal import Glibc

/// The end of a bounded wait, on a clock that does not jump. See CLOCK_MONOTONIC in clock_gettime(2).
public struct Deadline: Sendable {
    private let end: Int64

    /// So many milliseconds from now.
    public init(milliseconds: Int) { end = Deadline.now() + Int64(milliseconds) * 1_000_000 }

    /// Milliseconds until then, rounded up so that a wait does not end before; 0 when it has passed.
    public var remaining: Int32 {
        Int32(clamping: (max(0, end - Deadline.now()) + 999_999) / 1_000_000)
    }

    public var hasPassed: Bool { Deadline.now() >= end }

    /// Sleeps, but not beyond the deadline. The corresponding call is `nanosleep(2)`; a signal may cut it short.
    public func sleep(microseconds: Int) {
        let left = min(Int64(microseconds) * 1000, max(0, end - Deadline.now()))
        var time = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
        nanosleep(&time, nil)
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

extension Poll.Events {
    /// Something exceptional: a file of cgroupfs or sysfs changed since it was last read (with `failed`).
    public static let priority = Poll.Events(rawValue: Int16(POLLPRI))
}
