internal import CLinux
internal import Glibc

/// Wakes who waits for changes below directories. See inotify(7).
public final class Inotify: Sendable {
    /// Readable when something has changed since ``drain()``.
    public let fd: FD

    /// EMFILE where the user's instances (`fs.inotify.max_user_instances`) are used up: the kernel counts those of all
    /// VPSs as root's. The corresponding call is `inotify_init1(2)`.
    public init() throws(SysError) {
        fd = FD(
            owning: Int32(
                try check(ctr_ret(Int(inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK)))), "inotify_init1")))
    }

    /// Watches a directory: files in it that are written to, made, renamed or removed, and its own removal.
    /// The corresponding call is `inotify_add_watch(2)`.
    public func watch(directory: some PathConvertible) throws(SysError) {
        let number = fd.rawValue
        let events = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
        try directory.withCPath { (path) throws(SysError) in
            let mask = UInt32(events) | UInt32(IN_ONLYDIR)
            try check(ctr_ret(Int(inotify_add_watch(number, path, mask))), "inotify_add_watch", directory.description)
        }
    }

    /// Takes off what is there, without a look: that something has changed is all that is asked.
    public func drain() throws(SysError) {
        do throws(SysError) { while try !fd.read(upTo: 4096).isEmpty {} } catch  where error.errno == EAGAIN {}
    }
}
