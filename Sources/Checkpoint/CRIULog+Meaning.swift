public import Model

extension CRIULog {
    private static let inFlight =
        "a connection has come that no process has accepted yet (have it accepted, or try again)"
    static let restless =
        "its processes start others faster than they can be caught (end what does so, or try again)"

    /// What is known of criu's errors, found by meeting them: words of its message, and what an operator should know.
    private static let known: [(words: String, meaning: String)] = [
        (
            "nested uts namespace",
            "a service has a host name of its own, which can't be restored (systemd: ProtectHostname=no for it)"
        ),
        (
            "Can't dump nested cgroup namespace",
            "a process has a cgroup namespace of its own, which can't be restored (end it; systemd: ProtectControlGroups=no)"
        ),
        (
            "tty: Unable to find a master",
            "a process has a terminal whose other end is outside of the VPS (ctr enter, ctr exec -t: leave them first)"
        ),
        ("tty: Found dangling tty", "a process's terminal is of a session that is not inside (leave ctr enter first)"),
        ("io_uring", "a process uses io_uring, which can't be restored (end it, or turn io_uring off in it)"),
        (
            "bpf-prog",
            "a process has a BPF program loaded, which can't be restored (give the VPS a user namespace: --userns auto)"
        ),
        (
            "Can't lookup mount",
            "a process has a file open that is not in the VPS (one of the host's, passed in by ctr exec or run: end it)"
        ),
        (
            "No space left on device",
            "the disk that holds the VPS's files is full (free space, or see ctr storage)"
        ),
        ("External socket is used", "a process is connected by a Unix socket to one outside of the VPS (end it)"),
        ("Can't dump half of stream unix connection", "a Unix connection's other end is outside of the VPS (end it)"),
        ("has bad size", "a file of the disk is not what it was when the VPS was suspended"),
        ("has bad mode", "a file's mode is not what it was when the VPS was suspended"),
        ("has bad uid", "a file's owner is not what it was when the VPS was suspended"),
        ("Pid 1 do not match expected", "a process number is taken"),
        ("Can't find suitable path for handle", "a process watches a file that was removed (inotify)"),
        (
            "Can't dump that handle",
            "a process watches a file that has no name in the VPS any more (inotify: restart the process)"
        ),
        (
            "Can't create memfd in victim: Too many open files",
            "a process has as many files open as its limit allows, and one more is needed (raise its limit of nofile)"
        ),
        (
            "Unseizable non-zombie",
            "a process is being traced (a debugger or strace: end it)"
        ),
        ("In-flight connection", inFlight),
        ("Can't fix up file", "a file that is open was removed and can't be named again"),
    ]

    /// Whether a moment later the same dump may succeed: a server at work has at some instants a connection that it has not
    /// accepted, and processes that start others are sometimes caught.
    public static func isPassing(_ error: CtrError) -> Bool {
        error.message.contains(inFlight) || error.message.contains(restless)
    }

    static func meaning(_ words: String) -> String? {
        known.first { words.utf8.count >= $0.words.utf8.count && words.contains($0.words) }?.meaning
    }
}
