// Stops a program at its N-th system call that changes something, by SIGKILL or by an errno: what strace's fault
// injection does, with one count over all processes that the program starts.
//
//     fault-probe MODE N [-p PID] -- PROGRAM ARGUMENTS...
//
// MODE   kill        SIGKILL to the process that makes the call, instead of the call
//        kill-after  SIGKILL when the call has been made
//        errno       the call is not made and fails with an errno that fits it
//        list        nothing; every counted call is printed
// Traced are PROGRAM and all that it starts, as long as they execute the same file: a VPS's own program and tools go
// free. With -p an existing process and its children are traced instead, and PROGRAM only makes it do something.
//
// Prints on standard error `fault-probe: injected ...` or `fault-probe: ended after K calls`, and `fault-probe: crashed`
// for a process that ended by a signal of its own making. Ends with PROGRAM and with its status (128+N after a signal),
// 99 where tracing itself failed; what it has started lives on.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode { KILL, KILL_AFTER, ERRNO, LIST };

static enum mode mode;
static long wanted, count;
static struct stat program_file;
static int injected;
// Whether PROGRAM is executed by now: what comes before is the probe's own.
static int executed;
// The process whose call is to fail, or to be its last, at the exit of that call.
static pid_t at_exit;
static int failure;

static void die(const char *what) {
    fprintf(stderr, "fault-probe: %s: %s\n", what, strerror(errno));
    exit(99);
}

// MARK: what a call is about

struct call {
    const char *name;
    int failure;
    char about[2 * PATH_MAX];
};

static void read_string(pid_t pid, uint64_t address, char *text, size_t size) {
    size_t done = 0;
    text[0] = 0;
    while (done + 1 < size) {
        // Never across a page's end: the next one may not be there.
        size_t part = 4096 - (address + done) % 4096;
        if (part > size - 1 - done) part = size - 1 - done;
        struct iovec to = {text + done, part}, from = {(void *)(uintptr_t)(address + done), part};
        ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);
        if (n <= 0) break;
        if (memchr(text + done, 0, (size_t)n)) return;
        done += (size_t)n;
    }
    text[done] = 0;
}

static void descriptor_path(pid_t pid, int fd, char *text, size_t size) {
    char link[64];
    if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", pid);
    else snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, fd);
    ssize_t n = readlink(link, text, size - 1);
    text[n < 0 ? 0 : n] = 0;
}

static void about_path(struct call *call, pid_t pid, uint64_t fd, uint64_t path) {
    char name[PATH_MAX], directory[PATH_MAX] = "";
    read_string(pid, path, name, sizeof name);
    if (name[0] != '/') descriptor_path(pid, (int)fd, directory, sizeof directory);
    size_t used = strlen(call->about);
    snprintf(call->about + used, sizeof call->about - used, "%s%s%s%s", used ? " -> " : "", directory,
             directory[0] ? "/" : "", name);
}

static int is_kernel_file(const char *path) {
    return strncmp(path, "/sys/", 5) == 0 || strncmp(path, "/proc/", 6) == 0;
}

// Standard streams of ctr itself are the caller's and no state.
static int is_our_output(pid_t pid, int fd) {
    char path[64];
    struct stat theirs, ours;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    if (stat(path, &theirs) != 0) return 1;
    for (int own = 1; own <= 2; own++)
        if (fstat(own, &ours) == 0 && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev) return 1;
    return S_ISCHR(theirs.st_mode);
}

// Whether the call changes something; then its name, what it is about and how it could fail.
static int describe(pid_t pid, const struct __ptrace_syscall_info *info, struct call *call) {
    const uint64_t *a = info->entry.args;
    call->about[0] = 0;
    switch (info->entry.nr) {
#define ON_PATH(NR, FD, PATH, ERROR)                                                                                   \
    case NR:                                                                                                           \
        call->name = &#NR[4];                                                                                          \
        about_path(call, pid, FD, PATH);                                                                               \
        call->failure = is_kernel_file(call->about) ? ENOMEM : ERROR;                                                  \
        return 1;
#define ON_TWO_PATHS(NR, FD, PATH, FD2, PATH2, ERROR)                                                                  \
    case NR:                                                                                                           \
        call->name = &#NR[4];                                                                                          \
        about_path(call, pid, FD, PATH);                                                                               \
        about_path(call, pid, FD2, PATH2);                                                                             \
        call->failure = ERROR;                                                                                         \
        return 1;
#define ON_FILE(NR, ERROR)                                                                                             \
    case NR:                                                                                                           \
        call->name = &#NR[4];                                                                                          \
        descriptor_path(pid, (int)a[0], call->about, sizeof call->about);                                              \
        call->failure = ERROR;                                                                                         \
        return 1;
#define PLAIN(NR, ERROR)                                                                                               \
    case NR:                                                                                                           \
        call->name = &#NR[4];                                                                                          \
        call->failure = ERROR;                                                                                         \
        return 1;
        ON_PATH(SYS_mkdirat, a[0], a[1], ENOSPC)
        ON_PATH(SYS_mknodat, a[0], a[1], ENOSPC)
        ON_PATH(SYS_symlinkat, a[1], a[2], ENOSPC)
        ON_PATH(SYS_unlinkat, a[0], a[1], EIO)
        ON_PATH(SYS_fchmodat, a[0], a[1], EIO)
        ON_PATH(SYS_fchownat, a[0], a[1], EIO)
        ON_PATH(SYS_utimensat, a[0], a[1], EIO)
        ON_PATH(SYS_umount2, AT_FDCWD, a[0], EBUSY)
        ON_PATH(SYS_execve, AT_FDCWD, a[0], ENOMEM)
        ON_PATH(SYS_open_tree, a[0], a[1], ENOMEM)
        ON_PATH(SYS_mount_setattr, a[0], a[1], ENOMEM)
        ON_TWO_PATHS(SYS_renameat2, a[0], a[1], a[2], a[3], ENOSPC)
        ON_TWO_PATHS(SYS_linkat, a[0], a[1], a[2], a[3], ENOSPC)
        ON_TWO_PATHS(SYS_move_mount, a[0], a[1], a[2], a[3], ENOMEM)
        ON_TWO_PATHS(SYS_mount, AT_FDCWD, a[0], AT_FDCWD, a[1], ENOMEM)
        ON_TWO_PATHS(SYS_pivot_root, AT_FDCWD, a[0], AT_FDCWD, a[1], EINVAL)
#ifdef SYS_mkdir
        ON_PATH(SYS_mkdir, AT_FDCWD, a[0], ENOSPC)
        ON_PATH(SYS_rmdir, AT_FDCWD, a[0], EIO)
        ON_PATH(SYS_unlink, AT_FDCWD, a[0], EIO)
        ON_PATH(SYS_symlink, AT_FDCWD, a[1], ENOSPC)
        ON_PATH(SYS_rename, AT_FDCWD, a[1], ENOSPC)
        ON_PATH(SYS_chmod, AT_FDCWD, a[0], EIO)
        ON_PATH(SYS_chown, AT_FDCWD, a[0], EIO)
#endif
        ON_FILE(SYS_fsync, EIO)
        ON_FILE(SYS_fdatasync, EIO)
        ON_FILE(SYS_syncfs, EIO)
        ON_FILE(SYS_ftruncate, EIO)
        ON_FILE(SYS_fallocate, ENOSPC)
        ON_FILE(SYS_fchmod, EIO)
        ON_FILE(SYS_fchown, EIO)
        ON_FILE(SYS_fsetxattr, ENOSPC)
        ON_FILE(SYS_flock, ENOLCK)
        ON_FILE(SYS_setns, ENOMEM)
        ON_FILE(SYS_pidfd_send_signal, EPERM)
        ON_FILE(SYS_bind, ENOSPC)
        ON_FILE(SYS_sendmsg, ENOMEM)
        ON_FILE(SYS_fsconfig, ENOMEM)
        PLAIN(SYS_fsopen, ENOMEM)
        PLAIN(SYS_fsmount, ENOMEM)
        PLAIN(SYS_clone, ENOMEM)
        PLAIN(SYS_clone3, ENOMEM)
#ifdef SYS_fork
        PLAIN(SYS_fork, ENOMEM)
        PLAIN(SYS_vfork, ENOMEM)
#endif
        PLAIN(SYS_unshare, ENOMEM)
        PLAIN(SYS_kill, EPERM)
        PLAIN(SYS_bpf, ENOMEM)
        PLAIN(SYS_seccomp, ENOMEM)
        PLAIN(SYS_sethostname, EINVAL)
    case SYS_openat:
        if (!(a[2] & O_CREAT)) return 0;
        call->name = "openat";
        about_path(call, pid, a[0], a[1]);
        call->failure = ENOSPC;
        return 1;
    case SYS_openat2: {
        struct open_how how = {0};
        struct iovec to = {&how, sizeof how}, from = {(void *)(uintptr_t)a[2], sizeof how};
        if (process_vm_readv(pid, &to, 1, &from, 1, 0) != sizeof how || !(how.flags & O_CREAT)) return 0;
        call->name = "openat2";
        about_path(call, pid, a[0], a[1]);
        call->failure = ENOSPC;
        return 1;
    }
    case SYS_write:
    case SYS_pwrite64:
        if (is_our_output(pid, (int)a[0])) return 0;
        call->name = "write";
        descriptor_path(pid, (int)a[0], call->about, sizeof call->about);
        call->failure = is_kernel_file(call->about) ? ENOMEM : ENOSPC;
        return 1;
    case SYS_ioctl:
        // SIOCSIFFLAGS, TIOCSPTLCK, TIOCSCTTY, the families of loop devices and of btrfs
        if (a[1] != 0x8914 && a[1] != 0x40045431 && a[1] != 0x540e && (a[1] & ~0xffUL) != 0x4c00 &&
            (a[1] >> 8 & 0xff) != 0x94)
            return 0;
        call->name = "ioctl";
        descriptor_path(pid, (int)a[0], call->about, sizeof call->about);
        call->failure = EIO;
        return 1;
    default: return 0;
    }
}

// MARK: another course for a call

#if defined(__x86_64__)
#include <sys/user.h>
static void skip_call(pid_t pid) {
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L);
}
static void set_result(pid_t pid, long value) {
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), value);
}
#elif defined(__aarch64__)
#include <asm/ptrace.h>
static void skip_call(pid_t pid) {
    int none = -1;
    struct iovec part = {&none, sizeof none};
    ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part);
}
static void set_result(pid_t pid, long value) {
    struct user_pt_regs all;
    struct iovec part = {&all, sizeof all};
    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part);
    all.regs[0] = (uint64_t)value;
    ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part);
}
#else
#error "no way to change a system call of this processor"
#endif

static void entered(pid_t pid, const struct __ptrace_syscall_info *info) {
    struct call call;
    if (injected || !executed || !describe(pid, info, &call)) return;
    count++;
    if (mode == LIST) fprintf(stderr, "fault-probe: %ld %d %s %s\n", count, pid, call.name, call.about);
    if (mode == LIST || count != wanted) return;
    injected = 1;
    if (mode == ERRNO) {
        fprintf(stderr, "fault-probe: injected %s into %s %s\n", strerrorname_np(call.failure), call.name, call.about);
        skip_call(pid);
        at_exit = pid;
        failure = call.failure;
    } else {
        fprintf(stderr, "fault-probe: injected %s %s %s\n", mode == KILL ? "SIGKILL before" : "SIGKILL after",
                call.name, call.about);
        if (mode == KILL) kill(pid, SIGKILL);
        else at_exit = pid;
    }
}

static void left(pid_t pid) {
    if (pid != at_exit) return;
    at_exit = 0;
    if (mode == ERRNO) set_result(pid, -failure);
    else kill(pid, SIGKILL);
}

// MARK: tracing

static const long options =
    PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;

static int executes_program(pid_t pid) {
    char path[64];
    struct stat file;
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return stat(path, &file) == 0 && file.st_ino == program_file.st_ino && file.st_dev == program_file.st_dev;
}

// One stop of a traced process, after which it goes on.
static void stopped(pid_t pid, int status) {
    int signal = WSTOPSIG(status), event = status >> 16;
    long deliver = 0;
    if (signal == (SIGTRAP | 0x80)) {
        struct __ptrace_syscall_info info;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0) {
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY) entered(pid, &info);
            else if (info.op == PTRACE_SYSCALL_INFO_EXIT) left(pid);
        }
    } else if (event == PTRACE_EVENT_EXEC) {
        // An execve that succeeded leaves here, with what was to come after it.
        if (mode == KILL_AFTER) left(pid);
        if (!executes_program(pid)) {
            ptrace(PTRACE_DETACH, pid, 0, 0);
            return;
        }
        executed = 1;
    } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, pid, 0, 0);
        return;
    } else if (event == 0) {
        deliver = signal;
    }
    ptrace(PTRACE_SYSCALL, pid, 0, deliver);
}

static void ended_by(pid_t pid, int signal) {
    static const int crashes[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        if (crashes[i] == signal) fprintf(stderr, "fault-probe: crashed: process %d by signal %d\n", pid, signal);
}

static int ending(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// Attaches to a process and lets it run to its next system call.
static void seize(pid_t pid) {
    int status;
    if (ptrace(PTRACE_SEIZE, pid, 0, options) != 0) die("PTRACE_SEIZE");
    if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0) die("PTRACE_INTERRUPT");
    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) die("waitpid");
    if (ptrace(PTRACE_SYSCALL, pid, 0, 0) != 0) die("PTRACE_SYSCALL");
}

// Starts the program; it waits until the pipe's writing end is closed.
static pid_t start(char **arguments, int *go) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) die("pipe2");
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        char byte;
        close(ends[1]);
        if (read(ends[0], &byte, 1) != 0) _exit(99);
        execv(arguments[0], arguments);
        _exit(99);
    }
    close(ends[0]);
    *go = ends[1];
    return pid;
}

static void usage(void) {
    fprintf(stderr, "usage: fault-probe kill|kill-after|errno|list N [-p PID] -- PROGRAM ARGUMENTS...\n");
    exit(64);
}

int main(int argc, char **argv) {
    static const char *names[] = {"kill", "kill-after", "errno", "list"};
    pid_t traced = 0;
    int next = 3;
    if (argc < 5) usage();
    for (mode = KILL; mode <= LIST && strcmp(argv[1], names[mode]) != 0; mode++) {}
    wanted = atol(argv[2]);
    if (strcmp(argv[next], "-p") == 0) {
        traced = atoi(argv[next + 1]);
        next += 2;
    }
    if (mode > LIST || next + 1 >= argc || strcmp(argv[next], "--") != 0) usage();
    char **arguments = argv + next + 1;

    int go, status, result = -1;
    pid_t program = start(arguments, &go);
    if (traced == 0) {
        traced = program;
        if (stat(arguments[0], &program_file) != 0) die(arguments[0]);
    } else {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/exe", traced);
        if (stat(path, &program_file) != 0) die(path);
        executed = 1;
    }
    seize(traced);
    close(go);
    while (result < 0) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) die("waitpid");
        if (WIFSTOPPED(status)) {
            stopped(pid, status);
            continue;
        }
        if (WIFSIGNALED(status)) ended_by(pid, WTERMSIG(status));
        if (pid == program) result = ending(status);
    }
    if (!injected) fprintf(stderr, "fault-probe: ended after %ld calls\n", count);
    // What is still traced is let go by the kernel now.
    return result;
}
