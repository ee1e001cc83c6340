internal import Glibc

/// Ends this process with a status, after flushing what was printed. The corresponding call is `exit(3)`.
public func exitProcess(_ status: Int32) -> Never { exit(status) }
