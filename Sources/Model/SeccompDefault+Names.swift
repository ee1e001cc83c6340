// The default profile's lists. What is in none of them fails with ENOSYS: calls newer than this file, calls that no
// kernel has any more, and those that docs/security.md lists under "as if the kernel had them not".
extension DefaultPolicy {
    /// Calls that every program may make: the kernel itself checks what they touch.
    static let everyday: [String] = processes + memory + files + events + network + ids + time + oldCalls

    static let processes = [
        "fork", "vfork", "clone", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid", "kill",
        "tkill", "tgkill", "getpid", "getppid", "gettid", "getpgid", "setpgid", "getpgrp", "getsid", "setsid", "ptrace",
        "prctl", "arch_prctl", "set_thread_area", "get_thread_area", "set_tid_address", "set_robust_list",
        "get_robust_list", "rseq", "futex", "futex_time64", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue",
        "membarrier", "restart_syscall", "unshare", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "process_madvise",
        "process_mrelease", "process_vm_readv", "process_vm_writev", "kcmp", "getpriority", "setpriority", "nice",
        "ioprio_get", "ioprio_set", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
        "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
        "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
        "sched_yield", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "times", "getcpu", "sysinfo",
        "uname", "sethostname", "setdomainname", "reboot", "seccomp", "landlock_create_ruleset", "landlock_add_rule",
        "landlock_restrict_self", "lsm_get_self_attr", "lsm_list_modules", "getrandom",
        // Kernel helpers of 32-bit arm.
        "breakpoint", "cacheflush", "get_tls", "set_tls",
    ]

    static let memory = [
        "brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "mincore", "msync", "mlock", "mlock2",
        "mlockall", "munlock", "munlockall", "mseal", "remap_file_pages", "memfd_create", "pkey_alloc", "pkey_free",
        "pkey_mprotect", "map_shadow_stack", "mbind", "get_mempolicy", "set_mempolicy", "set_mempolicy_home_node",
        "shmat", "shmctl", "shmdt", "shmget",
    ]

    static let files = [
        "open", "openat", "openat2", "creat", "close", "close_range", "read", "write", "readv", "writev", "pread64",
        "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek", "_llseek", "dup", "dup2", "dup3", "fcntl",
        "fcntl64", "ioctl", "flock", "access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "fstat",
        "fstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "statmount",
        "listmount", "getdents", "getdents64", "readdir", "getcwd", "chdir", "fchdir", "chroot", "mkdir", "mkdirat",
        "rmdir", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "unlink",
        "unlinkat", "rename", "renameat", "renameat2", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32",
        "fchown", "fchown32", "lchown", "lchown32", "fchownat", "umask", "truncate", "truncate64", "ftruncate",
        "ftruncate64", "fallocate", "copy_file_range", "sendfile", "sendfile64", "splice", "tee", "vmsplice",
        "readahead", "fadvise64", "fadvise64_64", "arm_fadvise64_64", "sync", "syncfs", "fsync", "fdatasync",
        "sync_file_range", "sync_file_range2", "arm_sync_file_range", "utime", "utimes", "futimesat", "utimensat",
        "utimensat_time64", "getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr",
        "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr", "getxattrat", "setxattrat",
        "listxattrat", "removexattrat", "file_getattr", "file_setattr", "name_to_handle_at", "vhangup",
    ]

    static let events = [
        "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64",
        "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd",
        "eventfd2", "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "fanotify_mark",
        "signalfd", "signalfd4", "rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigqueueinfo", "rt_sigreturn",
        "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaltstack", "pause",
        "io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents", "io_pgetevents_time64",
        "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64",
        "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
        "mq_timedsend_time64", "mq_unlink",
    ]

    /// `socket` itself is allowed by family.
    static let network = [
        "socketpair", "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname", "getpeername",
        "getsockopt", "setsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg",
        "recvmmsg_time64",
    ]

    static let ids = [
        "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid", "getegid32", "getresuid",
        "getresuid32", "getresgid", "getresgid32", "getgroups", "getgroups32", "setuid", "setuid32", "setgid",
        "setgid32", "setreuid", "setreuid32", "setregid", "setregid32", "setresuid", "setresuid32", "setresgid",
        "setresgid32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "setgroups", "setgroups32", "capget",
        "capset",
    ]

    /// adjtimex(2) and clock_adjtime(2) also read; the kernel asks for the host's CAP_SYS_TIME to set.
    static let time = [
        "time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64",
        "clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "adjtimex", "clock_adjtime", "clock_adjtime64",
        "alarm", "getitimer", "setitimer", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
        "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
        "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    ]

    /// What 32-bit C libraries still call.
    static let oldCalls = [
        "ipc", "socketcall", "sigaction", "signal", "sigpending", "sigprocmask", "sigreturn", "sigsuspend", "sgetmask",
        "ssetmask",
    ]

    static let mounts = [
        "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr", "mount_setattr",
    ]

    /// The way to CVE-2022-0185; mount(8) falls back to mount(2).
    static let mountContexts = ["fsopen", "fsconfig", "fsmount", "fspick"]

    static let keyrings = ["add_key", "keyctl", "request_key"]

    /// Calls that act on the host whoever makes them, with the capability that opens each in the host's user namespace.
    static let gated: [(capability: String, names: [String])] = [
        ("CAP_SYS_MODULE", ["init_module", "finit_module", "delete_module"]),
        ("CAP_SYS_RAWIO", ["ioperm", "iopl"]),
        ("CAP_SYS_TIME", ["settimeofday", "clock_settime", "clock_settime64", "stime"]),
        ("CAP_SYS_PACCT", ["acct"]),
        ("CAP_SYSLOG", ["syslog"]),
        ("CAP_DAC_READ_SEARCH", ["open_by_handle_at"]),
        ("CAP_SYS_ADMIN", ["fanotify_init", "quotactl", "quotactl_fd", "swapon", "swapoff"]),
        ("CAP_BPF", ["bpf"]),
        ("CAP_PERFMON", ["perf_event_open"]),
        ("CAP_SYS_NICE", ["migrate_pages", "move_pages"]),
    ]

    /// Refused whatever the capabilities are.
    static let hostOnly = ["kexec_load", "kexec_file_load", "lookup_dcookie", "userfaultfd"]
}
