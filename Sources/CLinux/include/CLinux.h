// System calls and constants that Swift cannot import from Glibc. One operation each: it returns the call's value or
// -errno, takes no variadics, and holds no logic. Constants of macro or enum type are re-exported as plain integers.
#ifndef CTR_CLINUX_H
#define CTR_CLINUX_H

// No _GNU_SOURCE: Swift imports Glibc without it, and one type must have one definition in both modules.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/btrfs.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/keyctl.h>
#include <linux/loop.h>
#include <linux/memfd.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#pragma clang assume_nonnull begin

// What fcntl.h, sched.h and sys/mount.h show only under _GNU_SOURCE.
#define CTR_VALUE(name, value) static const int64_t CTR_##name = (int64_t)(value)
CTR_VALUE(O_PATH, __O_PATH); CTR_VALUE(O_NOFOLLOW, __O_NOFOLLOW); CTR_VALUE(O_DIRECTORY, __O_DIRECTORY);
CTR_VALUE(O_CLOEXEC, __O_CLOEXEC); CTR_VALUE(O_TMPFILE, __O_TMPFILE); CTR_VALUE(O_DIRECT, __O_DIRECT);
CTR_VALUE(O_NOATIME, __O_NOATIME);
CTR_VALUE(AT_EMPTY_PATH, 0x1000); CTR_VALUE(AT_SYMLINK_NOFOLLOW, 0x100); CTR_VALUE(AT_SYMLINK_FOLLOW, 0x400);
CTR_VALUE(AT_REMOVEDIR, 0x200); CTR_VALUE(AT_RECURSIVE, 0x8000); CTR_VALUE(AT_FDCWD, -100);
CTR_VALUE(AT_NO_AUTOMOUNT, 0x800);
CTR_VALUE(MNT_DETACH, 2); CTR_VALUE(UMOUNT_NOFOLLOW, 8);
CTR_VALUE(P_PID, 1); CTR_VALUE(P_PIDFD, 3);
CTR_VALUE(F_ADD_SEALS, 1033); CTR_VALUE(F_GET_SEALS, 1034); CTR_VALUE(F_SETPIPE_SZ, 1031);
CTR_VALUE(F_SEAL_SEAL, 1); CTR_VALUE(F_SEAL_SHRINK, 2); CTR_VALUE(F_SEAL_GROW, 4); CTR_VALUE(F_SEAL_WRITE, 8);
CTR_VALUE(MSG_DONTWAIT, 0x40); CTR_VALUE(MSG_TRUNC, 0x20);
CTR_VALUE(SYS_rt_sigtimedwait, SYS_rt_sigtimedwait);
extern int clone(int (*start)(void *_Nullable), void *stack, int flags, void *_Nullable argument, ...);

// Newer than Debian 12's headers.
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef PIDFD_GET_USER_NAMESPACE
#define PIDFD_GET_USER_NAMESPACE 0xFF09
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

static inline long ctr_ret(long r) { return r < 0 ? -(long)errno : r; }

// ---- files -------------------------------------------------------------------------------------------------------
static inline long ctr_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return ctr_ret(syscall(SYS_openat2, dir, path, &how, sizeof how));
}
static inline long ctr_openat(int dir, const char *path, int flags, unsigned mode) {
    return ctr_ret(openat(dir, path, flags, mode));
}
static inline long ctr_renameat2(int from, const char *a, int to, const char *b, unsigned flags) {
    return ctr_ret(syscall(SYS_renameat2, from, a, to, b, flags));
}
static inline long ctr_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out) {
    return ctr_ret(syscall(SYS_statx, dir, path, flags, mask, out));
}
static inline long ctr_flock(int fd, int operation) { return ctr_ret(flock(fd, operation)); }
static inline long ctr_fstatfs(int fd, struct statfs *out) { return ctr_ret(fstatfs(fd, out)); }
static inline long ctr_getdents64(int fd, void *buf, size_t size) {
    return ctr_ret(syscall(SYS_getdents64, fd, buf, size));
}
static inline long ctr_close_range(unsigned first, unsigned last, unsigned flags) {
    return ctr_ret(syscall(SYS_close_range, first, last, flags));
}
static inline long ctr_memfd_create(const char *name, unsigned flags) {
    return ctr_ret(syscall(SYS_memfd_create, name, flags));
}
static inline long ctr_fcntl(int fd, int command, long argument) { return ctr_ret(fcntl(fd, command, argument)); }
static inline long ctr_ioctl(int fd, unsigned long request, unsigned long argument) {
    return ctr_ret(ioctl(fd, request, argument));
}
static inline long ctr_ioctl_ptr(int fd, unsigned long request, void *argument) {
    return ctr_ret(ioctl(fd, request, argument));
}
static inline long ctr_fchmodat2(int dir, const char *path, unsigned mode, int flags) {
    return ctr_ret(syscall(SYS_fchmodat2, dir, path, mode, flags));
}
static inline unsigned ctr_major(uint64_t device) { return major(device); }
static inline unsigned ctr_minor(uint64_t device) { return minor(device); }
static inline uint64_t ctr_makedev(unsigned major_, unsigned minor_) { return makedev(major_, minor_); }

static inline long ctr_sendfile(int to, int from, size_t count) {
    return ctr_ret(syscall(SYS_sendfile, to, from, NULL, count));
}

// ---- mounts ------------------------------------------------------------------------------------------------------
static inline long ctr_open_tree(int dir, const char *path, unsigned flags) {
    return ctr_ret(syscall(SYS_open_tree, dir, path, flags));
}
static inline long ctr_move_mount(int from, const char *a, int to, const char *b, unsigned flags) {
    return ctr_ret(syscall(SYS_move_mount, from, a, to, b, flags));
}
static inline long ctr_fsopen(const char *type, unsigned flags) { return ctr_ret(syscall(SYS_fsopen, type, flags)); }
static inline long ctr_fsconfig(int fd, unsigned command, const char *_Nullable key, const void *_Nullable value,
                                int aux) {
    return ctr_ret(syscall(SYS_fsconfig, fd, command, key, value, aux));
}
static inline long ctr_fsmount(int fd, unsigned flags, unsigned attributes) {
    return ctr_ret(syscall(SYS_fsmount, fd, flags, attributes));
}
static inline long ctr_mount_setattr(int dir, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                                     uint64_t propagation, uint64_t userns) {
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation, .userns_fd = userns};
    return ctr_ret(syscall(SYS_mount_setattr, dir, path, flags, &attr, sizeof attr));
}
static inline long ctr_umount2(const char *path, int flags) { return ctr_ret(syscall(SYS_umount2, path, flags)); }
static inline long ctr_pivot_root(const char *root, const char *old) {
    return ctr_ret(syscall(SYS_pivot_root, root, old));
}

// ---- processes ---------------------------------------------------------------------------------------------------
// Behaves as fork(2): returns in parent and child. glibc's fork handlers do not run, so the caller has one thread.
static inline long ctr_clone3(uint64_t flags, int *_Nullable pidfd, int exit_signal, int cgroup) {
    struct clone_args args = {.flags = flags,
                              .pidfd = (uint64_t)(uintptr_t)pidfd,
                              .exit_signal = (uint64_t)exit_signal,
                              .cgroup = (uint64_t)(cgroup >= 0 ? cgroup : 0)};
    return ctr_ret(syscall(SYS_clone3, &args, sizeof args));
}
static int ctr_pause_forever(void *_Nullable parent) {
    // Never longer than its parent, which may be killed at any moment, also before this line.
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (syscall(SYS_getppid) != (long)(intptr_t)parent) syscall(SYS_exit, 0);
    for (;;) syscall(SYS_pause);
    return 0;
}
// A process that holds a new user namespace open and does nothing else until it is killed. It shares our memory
// (CLONE_VM: no page table is copied) on a stack of its own, which Swift cannot express.
static inline long ctr_clone_userns_holder(void *stack, size_t size, int *pidfd) {
    return ctr_ret(clone(ctr_pause_forever, (char *)stack + size, CLONE_VM | CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD,
                         (void *)(intptr_t)syscall(SYS_getpid), pidfd));
}
static inline long ctr_unshare(int flags) { return ctr_ret(syscall(SYS_unshare, flags)); }
static inline long ctr_setns(int fd, int flags) { return ctr_ret(syscall(SYS_setns, fd, flags)); }
static inline long ctr_pidfd_open(int pid, unsigned flags) { return ctr_ret(syscall(SYS_pidfd_open, pid, flags)); }
static inline long ctr_pidfd_send_signal(int fd, int signal) {
    return ctr_ret(syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0));
}
static inline long ctr_waitid(int type, int id, siginfo_t *out, int options) {
    return ctr_ret(syscall(SYS_waitid, type, id, out, options, NULL));
}
static inline int ctr_siginfo_status(const siginfo_t *info) { return info->si_status; }
static inline int ctr_siginfo_pid(const siginfo_t *info) { return info->si_pid; }
static inline int ctr_siginfo_code(const siginfo_t *info) { return info->si_code; }
static inline long ctr_execve(const char *path, char *_Nullable const *_Nonnull argv,
                              char *_Nullable const *_Nonnull envp) {
    return ctr_ret(execve(path, argv, envp));
}
static inline long ctr_execveat(int fd, const char *path, char *_Nullable const *_Nonnull argv,
                                char *_Nullable const *_Nonnull envp, int flags) {
    return ctr_ret(syscall(SYS_execveat, fd, path, argv, envp, flags));
}
static inline long ctr_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
    return ctr_ret(prctl(option, a, b, c, d));
}
static inline long ctr_prctl_ptr(int option, unsigned long a, const void *pointer) {
    return ctr_ret(prctl(option, a, pointer, 0, 0));
}
// Raw calls: glibc's versions broadcast to every thread of the process, which a child must not.
static inline long ctr_setresuid(uint32_t r, uint32_t e, uint32_t s) { return ctr_ret(syscall(SYS_setresuid, r, e, s)); }
static inline long ctr_setresgid(uint32_t r, uint32_t e, uint32_t s) { return ctr_ret(syscall(SYS_setresgid, r, e, s)); }
static inline long ctr_setgroups(size_t count, const uint32_t *_Nullable groups) {
    return ctr_ret(syscall(SYS_setgroups, count, groups));
}
static inline long ctr_capget(uint32_t *effective, uint32_t *permitted, uint32_t *inheritable) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    memset(data, 0, sizeof data);
    long r = ctr_ret(syscall(SYS_capget, &header, data));
    for (int i = 0; i < 2; i++) {
        effective[i] = data[i].effective;
        permitted[i] = data[i].permitted;
        inheritable[i] = data[i].inheritable;
    }
    return r;
}
static inline long ctr_capset(const uint32_t *effective, const uint32_t *permitted, const uint32_t *inheritable) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2] = {{effective[0], permitted[0], inheritable[0]},
                                             {effective[1], permitted[1], inheritable[1]}};
    return ctr_ret(syscall(SYS_capset, &header, data));
}
static inline long ctr_seccomp(unsigned operation, unsigned flags, void *_Nullable argument) {
    return ctr_ret(syscall(SYS_seccomp, operation, flags, argument));
}
static inline long ctr_bpf(int command, union bpf_attr *attr) {
    return ctr_ret(syscall(SYS_bpf, command, attr, sizeof *attr));
}
static inline long ctr_keyctl(int operation, long a, long b, long c, long d) {
    return ctr_ret(syscall(SYS_keyctl, operation, a, b, c, d));
}
static inline long ctr_prlimit(int pid, int resource, const struct rlimit *_Nullable set,
                               struct rlimit *_Nullable old) {
    return ctr_ret(syscall(SYS_prlimit64, pid, resource, set, old));
}
static inline long ctr_getcwd(char *buffer, size_t size) { return ctr_ret(syscall(SYS_getcwd, buffer, size)); }
static inline long ctr_sethostname(const char *name, size_t size) { return ctr_ret(syscall(SYS_sethostname, name, size)); }
static inline long ctr_setdomainname(const char *name, size_t size) { return ctr_ret(syscall(SYS_setdomainname, name, size)); }
// Swift 6 refuses the global variable.
extern char *_Nullable *_Nonnull environ;
static inline char *_Nullable *_Nonnull ctr_environ(void) { return environ; }
static inline long ctr_getrandom(void *buffer, size_t size) { return ctr_ret(syscall(SYS_getrandom, buffer, size, 0)); }
static inline _Noreturn void ctr_exit(int status) { _exit(status); }

// ---- sockets and signals -----------------------------------------------------------------------------------------
// The control message macros of cmsg(3) have no Swift form.
static inline long ctr_send_fds(int socket, const void *data, size_t size, const int *_Nullable fds, size_t count) {
    union {
        char buffer[CMSG_SPACE(sizeof(int) * 16)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > 16) return -EINVAL;
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.buffer;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    }
    return ctr_ret(sendmsg(socket, &message, MSG_NOSIGNAL));
}
static inline long ctr_receive_fds(int socket, void *data, size_t size, int *fds, size_t *count, int flags) {
    union {
        char buffer[CMSG_SPACE(sizeof(int) * 16)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buffer, .msg_controllen = sizeof control.buffer};
    *count = 0;
    long r = ctr_ret(recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags));
    if (r < 0) return r;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(h), n * sizeof(int));
        *count = n;
    }
    return r;
}
static inline long ctr_signalfd(int fd, const sigset_t *set) {
    return ctr_ret(signalfd(fd, set, SFD_CLOEXEC | SFD_NONBLOCK));
}
// By the system call: sigaction(3) refuses the two signals that glibc keeps for itself, which posix_spawn(3) of whoever
// started us leaves ignored. All zero is the default action on every architecture.
static inline long ctr_set_signal_default(int signal) {
    unsigned long action[4] = {0};
    return ctr_ret(syscall(SYS_rt_sigaction, signal, action, NULL, 8));
}
static inline long ctr_set_signal_ignored(int signal) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    return ctr_ret(sigaction(signal, &action, NULL));
}
// ioctl(2) on an interface by name: struct ifreq is a union.
static inline long ctr_interface_up(int socket, const char *name) {
    struct { char ifr_name[16]; short ifr_flags; char pad[22]; } request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, 15);
    request.ifr_flags = 0x41; // IFF_UP | IFF_RUNNING
    return ctr_ret(ioctl(socket, 0x8914 /* SIOCSIFFLAGS */, &request));
}
static inline long ctr_interface_is_up(int socket, const char *name) {
    struct { char ifr_name[16]; short ifr_flags; char pad[22]; } request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, 15);
    long result = ctr_ret(ioctl(socket, 0x8913 /* SIOCGIFFLAGS */, &request));
    return result < 0 ? result : request.ifr_flags & 1; // IFF_UP
}

// ---- constants that Swift's importer drops or types oddly --------------------------------------------------------
#define CTR_CONST(name) static const int64_t CTR_##name = (int64_t)(name)
CTR_CONST(CLONE_NEWNS); CTR_CONST(CLONE_NEWUTS); CTR_CONST(CLONE_NEWIPC); CTR_CONST(CLONE_NEWUSER);
CTR_CONST(CLONE_NEWPID); CTR_CONST(CLONE_NEWNET); CTR_CONST(CLONE_NEWCGROUP); CTR_CONST(CLONE_NEWTIME);
CTR_CONST(CLONE_PIDFD); CTR_CONST(CLONE_INTO_CGROUP); CTR_CONST(CLONE_PARENT); CTR_CONST(CLONE_FILES);
CTR_CONST(CLONE_CLEAR_SIGHAND);




CTR_CONST(RESOLVE_IN_ROOT); CTR_CONST(RESOLVE_NO_SYMLINKS); CTR_CONST(RESOLVE_NO_MAGICLINKS);
CTR_CONST(RESOLVE_BENEATH); CTR_CONST(RESOLVE_NO_XDEV); CTR_CONST(RESOLVE_CACHED);
CTR_CONST(RENAME_NOREPLACE); CTR_CONST(RENAME_EXCHANGE);
CTR_CONST(OPEN_TREE_CLONE); CTR_CONST(OPEN_TREE_CLOEXEC);
CTR_CONST(FSOPEN_CLOEXEC); CTR_CONST(FSMOUNT_CLOEXEC);
CTR_CONST(FSCONFIG_SET_FLAG); CTR_CONST(FSCONFIG_SET_STRING); CTR_CONST(FSCONFIG_SET_FD);
CTR_CONST(FSCONFIG_CMD_CREATE); CTR_CONST(FSCONFIG_CMD_RECONFIGURE);
CTR_CONST(MOVE_MOUNT_F_EMPTY_PATH); CTR_CONST(MOVE_MOUNT_T_EMPTY_PATH);
CTR_CONST(MOUNT_ATTR_RDONLY); CTR_CONST(MOUNT_ATTR_NOSUID); CTR_CONST(MOUNT_ATTR_NODEV); CTR_CONST(MOUNT_ATTR_NOEXEC);
CTR_CONST(MOUNT_ATTR_NOATIME); CTR_CONST(MOUNT_ATTR_IDMAP); CTR_CONST(MOUNT_ATTR_NOSYMFOLLOW);
CTR_CONST(MOUNT_ATTR_RELATIME); CTR_CONST(MOUNT_ATTR__ATIME);
CTR_CONST(MS_PRIVATE); CTR_CONST(MS_SLAVE);
CTR_CONST(CLOSE_RANGE_CLOEXEC); CTR_CONST(MFD_CLOEXEC); CTR_CONST(MFD_ALLOW_SEALING); CTR_CONST(MFD_EXEC);


CTR_CONST(F_DUPFD_CLOEXEC); CTR_CONST(F_GETFD); CTR_CONST(F_SETFD); CTR_CONST(F_GETFL); CTR_CONST(F_SETFL);
CTR_CONST(FD_CLOEXEC);
CTR_CONST(WEXITED); CTR_CONST(WNOHANG); CTR_CONST(WNOWAIT);
CTR_CONST(CLD_EXITED); CTR_CONST(CLD_KILLED); CTR_CONST(CLD_DUMPED);
CTR_CONST(PR_SET_PDEATHSIG); CTR_CONST(PR_SET_DUMPABLE); CTR_CONST(PR_SET_NO_NEW_PRIVS); CTR_CONST(PR_SET_KEEPCAPS);
CTR_CONST(PR_SET_SECUREBITS); CTR_CONST(PR_GET_SECUREBITS); CTR_CONST(PR_CAPBSET_DROP); CTR_CONST(PR_CAPBSET_READ);
CTR_CONST(PR_CAP_AMBIENT); CTR_CONST(PR_CAP_AMBIENT_CLEAR_ALL); CTR_CONST(PR_CAP_AMBIENT_RAISE);
CTR_CONST(PR_SET_CHILD_SUBREAPER); CTR_CONST(PR_SET_NAME);
CTR_CONST(KEYCTL_JOIN_SESSION_KEYRING);
CTR_CONST(SECCOMP_SET_MODE_FILTER); CTR_CONST(SECCOMP_FILTER_FLAG_SPEC_ALLOW); CTR_CONST(SECCOMP_FILTER_FLAG_LOG);
CTR_CONST(TIOCGPTPEER); CTR_CONST(TIOCSPTLCK); CTR_CONST(TIOCSCTTY); CTR_CONST(TIOCGWINSZ); CTR_CONST(TIOCSWINSZ);
CTR_CONST(TIOCNOTTY); CTR_CONST(TIOCGPTN); CTR_CONST(FICLONE);
CTR_CONST(PIDFD_GET_USER_NAMESPACE);
CTR_CONST(S_IFMT); CTR_CONST(S_IFREG); CTR_CONST(S_IFDIR); CTR_CONST(S_IFLNK); CTR_CONST(S_IFCHR); CTR_CONST(S_IFBLK);
CTR_CONST(S_IFIFO); CTR_CONST(S_IFSOCK);
CTR_CONST(STATX_BASIC_STATS); CTR_CONST(STATX_BTIME); CTR_CONST(STATX_MNT_ID);
CTR_CONST(LOCK_SH); CTR_CONST(LOCK_EX); CTR_CONST(LOCK_NB); CTR_CONST(LOCK_UN);

// ---- bpf ---------------------------------------------------------------------------------------------------------
// union bpf_attr is made of anonymous structs, which Swift cannot fill in.
static inline long ctr_bpf_prog_load(uint32_t type, const uint64_t *instructions, uint32_t count, const char *name) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = type;
    attr.insns = (uint64_t)(uintptr_t)instructions;
    attr.insn_cnt = count;
    attr.license = (uint64_t)(uintptr_t)"Apache-2.0";
    strncpy(attr.prog_name, name, sizeof attr.prog_name - 1);
    return ctr_bpf(BPF_PROG_LOAD, &attr);
}
// replaced: the program that gives up its place, or -1.
static inline long ctr_bpf_prog_attach(int target, int program, uint32_t type, int replaced) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)target;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = type;
    attr.attach_flags = BPF_F_ALLOW_MULTI | (replaced >= 0 ? BPF_F_REPLACE : 0);
    attr.replace_bpf_fd = (uint32_t)(replaced >= 0 ? replaced : 0);
    return ctr_bpf(BPF_PROG_ATTACH, &attr);
}
static inline long ctr_bpf_prog_detach(int target, int program, uint32_t type) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)target;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = type;
    return ctr_bpf(BPF_PROG_DETACH, &attr);
}
// Returns the number of programs.
static inline long ctr_bpf_prog_query(int target, uint32_t type, uint32_t *ids, uint32_t count) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.query.target_fd = (uint32_t)target;
    attr.query.attach_type = type;
    attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
    attr.query.prog_cnt = count;
    long r = ctr_bpf(BPF_PROG_QUERY, &attr);
    return r < 0 ? r : (long)attr.query.prog_cnt;
}
static inline long ctr_bpf_prog_get_fd_by_id(uint32_t id) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_id = id;
    return ctr_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}
CTR_CONST(BPF_PROG_TYPE_CGROUP_DEVICE); CTR_CONST(BPF_CGROUP_DEVICE);
// ---- storage: what unistd.h shows only under _GNU_SOURCE ---------------------------------------------------------
CTR_VALUE(SEEK_DATA, 3); CTR_VALUE(SEEK_HOLE, 4);
CTR_CONST(STATX_SIZE); CTR_CONST(STATX_TYPE);
static inline long ctr_syncfs(int fd) { return ctr_ret(syscall(SYS_syncfs, fd)); }
static inline long ctr_start_writing(int fd, int64_t offset, int64_t size) {
    return ctr_ret(syscall(SYS_sync_file_range, fd, offset, size, 2u /* SYNC_FILE_RANGE_WRITE */));
}
static inline long ctr_punch(int fd, int64_t offset, int64_t size) {
    return ctr_ret(syscall(SYS_fallocate, fd, 3 /* FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE */, offset, size));
}
static inline long ctr_pipe2(int *fds, int flags) { return ctr_ret(syscall(SYS_pipe2, fds, flags)); }
static inline long ctr_copy_file_range(int from, int64_t *_Nullable offset, int to, int64_t *_Nullable target,
                                       size_t size) {
    return ctr_ret(syscall(SYS_copy_file_range, from, offset, to, target, size, 0));
}
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
static inline long ctr_spawn_close_from(posix_spawn_file_actions_t *actions, int from) {
    return -(long)posix_spawn_file_actions_addclosefrom_np(actions, from);
}
// Signal dispositions are a union of function pointers: this saves one whole and puts it back.
static inline long ctr_sigaction(int signal, const struct sigaction *_Nullable set, struct sigaction *_Nullable old) {
    return ctr_ret(sigaction(signal, set, old));
}
// ---- supervisor ---------------------------------------------------------------------------------------------------
static inline long ctr_accept4(int fd) {
    return ctr_ret(syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}
// PIDFD_GET_INFO with PIDFD_INFO_EXIT (Linux 6.15), which Debian 12's linux/pidfd.h lacks. 0 and a status of waitpid(2).
struct ctr_pidfd_info { uint64_t mask; uint64_t cgroupid; uint32_t ids[11]; int32_t exit_code; };
static inline long ctr_pidfd_exit_status(int fd, int *status) {
    struct ctr_pidfd_info info;
    memset(&info, 0, sizeof info);
    info.mask = 1 << 3;
    long r = ctr_ret(ioctl(fd, _IOWR(0xFF, 11, struct ctr_pidfd_info), &info));
    if (r < 0) return r;
    if (!(info.mask & (1 << 3))) return -ENODATA;
    *status = info.exit_code;
    return 0;
}
// ---- limit watch: sys/eventfd.h and sys/timerfd.h are in no module map ---------------------------------------------
static inline long ctr_eventfd(void) { return ctr_ret(syscall(SYS_eventfd2, 0, 02000000 | 04000)); }
static inline long ctr_timerfd_create(void) {
    return ctr_ret(syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 02000000 | 04000));
}
// Once, so many milliseconds from now; 0 disarms.
static inline long ctr_timerfd_set(int fd, int64_t milliseconds) {
    struct itimerspec time;
    memset(&time, 0, sizeof time);
    time.it_value.tv_sec = milliseconds / 1000;
    time.it_value.tv_nsec = milliseconds % 1000 * 1000000;
    return ctr_ret(syscall(SYS_timerfd_settime, fd, 0, &time, NULL));
}
// Again and again; and the count that a reader is given, which setting it has made 0: TFD_IOC_SET_TICKS.
static inline long ctr_timerfd_repeat(int fd, int64_t seconds, int64_t nanoseconds) {
    struct itimerspec time = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    return ctr_ret(syscall(SYS_timerfd_settime, fd, 0, &time, NULL));
}
static inline long ctr_timerfd_set_ticks(int fd, uint64_t ticks) {
    return ctr_ret(ioctl(fd, _IOW('T', 0, uint64_t), &ticks));
}
static inline long ctr_pidfd_getfd(int fd, int number) { return ctr_ret(syscall(438, fd, number, 0)); }

// Mixes blocks of 64 bytes into the state of a SHA-256, where the processor has instructions for it; else 0: see sha256.c.
int ctr_sha256_blocks(uint32_t state[_Nonnull 8], const void *data, size_t count, const uint32_t *constants);
// Adds bytes to a CRC-32C, where the processor has an instruction for it; else 0: see crc32c.c.
int ctr_crc32c(uint32_t *crc, const void *data, size_t size);

// Declared here: malloc.h hides it from Swift's view of Glibc.
extern int malloc_trim(size_t pad);
static inline long ctr_malloc_trim(void) { return malloc_trim(0); }

// ---- disks: loop devices and btrfs, whose arguments are structs of many fields and fixed arrays ------------------
static inline long ctr_loop_get_free(int control) { return ctr_ret(ioctl(control, LOOP_CTL_GET_FREE)); }
static inline long ctr_loop_configure(int loop, int file, uint32_t flags, const char *name) {
    struct loop_config config;
    memset(&config, 0, sizeof config);
    config.fd = (uint32_t)file;
    config.info.lo_flags = flags;
    strncpy((char *)config.info.lo_file_name, name, LO_NAME_SIZE - 1);
    return ctr_ret(ioctl(loop, LOOP_CONFIGURE, &config));
}
static inline long ctr_loop_status(int loop, struct loop_info64 *info) {
    return ctr_ret(ioctl(loop, LOOP_GET_STATUS64, info));
}
static inline long ctr_loop_set_capacity(int loop) { return ctr_ret(ioctl(loop, LOOP_SET_CAPACITY)); }
CTR_CONST(LO_FLAGS_AUTOCLEAR);
CTR_CONST(LO_FLAGS_DIRECT_IO);

// Sends a frame, Ethernet's header included, over an interface of the caller's network namespace. See packet(7).
static inline long ctr_send_frame(int interface, const void *frame, size_t size) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = interface, .sll_halen = 6};
    memcpy(to.sll_addr, frame, 6);
    long result = ctr_ret(sendto(fd, frame, size, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to));
    close(fd);
    return result;
}

// What is alike in both files from an offset on shares its blocks then. Returns the bytes that do.
static inline long ctr_dedupe_range(int from, int to, int64_t offset, int64_t size) {
    uint64_t memory[(sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)) / sizeof(uint64_t)] = {0};
    struct file_dedupe_range *range = (struct file_dedupe_range *)memory;
    range->src_offset = offset;
    range->src_length = size;
    range->dest_count = 1;
    range->info[0].dest_fd = to;
    range->info[0].dest_offset = offset;
    long result = ctr_ret(ioctl(from, FIDEDUPERANGE, range));
    if (result < 0) return result;
    if (range->info[0].status < 0) return range->info[0].status;
    return range->info[0].status == FILE_DEDUPE_RANGE_SAME ? (long)range->info[0].bytes_deduped : 0;
}

static inline long ctr_btrfs_name_v1(int fd, unsigned long request, int argument, const char *name) {
    struct btrfs_ioctl_vol_args args;
    memset(&args, 0, sizeof args);
    args.fd = argument;
    strncpy(args.name, name, BTRFS_PATH_NAME_MAX);
    return ctr_ret(ioctl(fd, request, &args));
}
static inline long ctr_btrfs_subvolume_create(int parent, const char *name) {
    return ctr_btrfs_name_v1(parent, BTRFS_IOC_SUBVOL_CREATE, 0, name);
}
static inline long ctr_btrfs_subvolume_delete(int parent, const char *name) {
    return ctr_btrfs_name_v1(parent, BTRFS_IOC_SNAP_DESTROY, 0, name);
}
static inline long ctr_btrfs_snapshot(int source, int parent, const char *name, int read_only) {
    struct btrfs_ioctl_vol_args_v2 args;
    memset(&args, 0, sizeof args);
    args.fd = source;
    args.flags = read_only ? BTRFS_SUBVOL_RDONLY : 0;
    strncpy(args.name, name, BTRFS_SUBVOL_NAME_MAX);
    return ctr_ret(ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, &args));
}
// amount: as `btrfs filesystem resize` takes it.
static inline long ctr_btrfs_resize(int fd, const char *amount) {
    return ctr_btrfs_name_v1(fd, BTRFS_IOC_RESIZE, 0, amount);
}
static inline long ctr_btrfs_sync(int fd) { return ctr_ret(ioctl(fd, BTRFS_IOC_SYNC)); }
static inline long ctr_btrfs_device_info(int fd, uint64_t device, uint64_t *used, uint64_t *total) {
    struct btrfs_ioctl_dev_info_args args;
    memset(&args, 0, sizeof args);
    args.devid = device;
    long r = ctr_ret(ioctl(fd, BTRFS_IOC_DEV_INFO, &args));
    *used = args.bytes_used;
    *total = args.total_bytes;
    return r;
}
static inline long ctr_btrfs_scrub(int fd, uint64_t device, struct btrfs_scrub_progress *progress) {
    struct btrfs_ioctl_scrub_args args;
    memset(&args, 0, sizeof args);
    args.devid = device;
    args.end = UINT64_MAX;
    long r = ctr_ret(ioctl(fd, BTRFS_IOC_SCRUB, &args));
    *progress = args.progress;
    return r;
}
// Gives the blocks of free extents back; returns how many bytes in `trimmed`.
static inline long ctr_fitrim(int fd, uint64_t *trimmed) {
    struct fstrim_range range = {0, UINT64_MAX, 0};
    long r = ctr_ret(ioctl(fd, FITRIM, &range));
    *trimmed = range.len;
    return r;
}
// TCP_REPAIR of <linux/tcp.h>, which glibc has in another header. 1 where it was on.
static inline long ctr_tcp_end_repair(int fd) {
    int on = 0;
    unsigned int size = sizeof on;
    long r = ctr_ret(syscall(SYS_getsockopt, fd, 6, 19, &on, &size));
    if (r < 0 || !on) return r;
    on = 0;
    r = ctr_ret(syscall(SYS_setsockopt, fd, 6, 19, &on, sizeof on));
    return r < 0 ? r : 1;
}

#pragma clang assume_nonnull end
#endif
