/* The floor: the system calls without which an isolated, limited, ephemeral root can't be had, once each, by a static C
 * program that parses nothing, keeps no state and reports nothing but a failed call. `ctr run` is measured against it.
 *
 *     floor ROOTFS WORK SECCOMP COMMAND [ARG ...]
 *
 * ROOTFS    the template's root, WORK an existing directory on a disk file system for the upper layer
 * SECCOMP   a file with a compiled filter (an array of struct sock_filter), or - for none
 *
 * What it does, in the order of ctr: directories of the upper layer; cgroups with a memory and a pids limit; a user
 * namespace by which layers are id-mapped; in a private mount namespace the overlay, /dev with its nodes, devpts, shm,
 * /run, /tmp; clone3 with seven namespaces; id maps; in the child credentials, cgroups, keyring, host name, loopback,
 * proc, sysfs, cgroup2, mqueue, masked and read-only paths, pivot_root; session, capabilities, filter, exec; wait, and
 * everything removed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE 1000000 /* the host's id of the guest's root, and how many there are */
#define RANGE 65536

static char *const environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL};

static const char *const masked[] = {
    "proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/sched_debug",
    "proc/scsi", "proc/timer_list", "proc/timer_stats", "sys/devices/virtual/powercap", "sys/firmware"};
static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sysrq-trigger"};

static long check(long result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        exit(125);
    }
    return result;
}

/* The call, and its name where it fails. */
#define CHECK(call) check((call), #call)

static int fs_open(const char *type) { return CHECK(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)); }
static void fs_set(int fs, const char *key, const char *value) {
    CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0));
}
static int fs_mount(int fs, unsigned attributes) {
    CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int mount = CHECK(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
    close(fs);
    return mount;
}
static int tree(int directory, const char *path, unsigned flags) {
    return CHECK(syscall(SYS_open_tree, directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
}
static void attributes(int mount, uint64_t set, int userns, unsigned flags) {
    struct mount_attr attr = {.attr_set = set, .userns_fd = userns < 0 ? 0 : userns};
    if (userns >= 0) attr.attr_set |= MOUNT_ATTR_IDMAP;
    CHECK(syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &attr, sizeof attr));
}
static void attach(int mount, int target) {
    CHECK(syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static int at(int root, const char *path) {
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_PATH | O_CLOEXEC | O_NOFOLLOW, 0, 0x10 /* RESOLVE_IN_ROOT */};
    return syscall(SYS_openat2, root, path, &how, sizeof how);
}

static void put(int directory, const char *path, const char *text) {
    int fd = CHECK(openat(directory, path, O_WRONLY | O_CLOEXEC));
    check(write(fd, text, strlen(text)), path);
    close(fd);
}

/* File systems see the guest's root; capabilities stay. */
static void act_as(unsigned id) {
    if (id) CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
    if (id) CHECK(syscall(SYS_setresgid, -1, id, -1));
    CHECK(syscall(SYS_setresuid, -1, id, -1));
    if (!id) CHECK(syscall(SYS_setresgid, -1, id, -1));
    if (!id) CHECK(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
}

/* Id maps are written by the parent. */
static void map_ids(pid_t pid) {
    static const char text[] = "0 1000000 65536\n";
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    put(AT_FDCWD, path, text);
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    put(AT_FDCWD, path, text);
}

static int __attribute__((noreturn)) hold(void *unused) {
    (void)unused;
    for (;;) pause();
}

/* A user namespace for id-mapped mounts needs a process in it for the time of its making. */
static int user_namespace(void) {
    static char stack[16384] __attribute__((aligned(16)));
    pid_t pid = CHECK(clone(hold, stack + sizeof stack, CLONE_NEWUSER | CLONE_VM | SIGCHLD, NULL));
    map_ids(pid);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0));
    return fd;
}

/* ---- cgroups: memory and pids, in the unified hierarchy where it has them, else in those of version 1 ---- */

struct cgroup {
    char paths[3][128];
    int count, unified, tasks[2];
};

static int cgroup_directory(struct cgroup *group, const char *parent) {
    char *path = group->paths[group->count++];
    snprintf(path, 128, "%s/floor-%d", parent, getpid());
    check(mkdir(path, 0755), path);
    return check(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
}

static void make_cgroup(struct cgroup *group) {
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
        group->unified = cgroup_directory(group, "/sys/fs/cgroup");
        put(group->unified, "memory.max", "268435456");
        put(group->unified, "pids.max", "256");
        group->tasks[0] = group->tasks[1] = -1;
        return;
    }
    group->unified = cgroup_directory(group, "/sys/fs/cgroup/unified");
    int memory = cgroup_directory(group, "/sys/fs/cgroup/memory");
    put(memory, "memory.limit_in_bytes", "268435456");
    group->tasks[0] = CHECK(openat(memory, "tasks", O_WRONLY | O_CLOEXEC));
    int pids = cgroup_directory(group, "/sys/fs/cgroup/pids");
    put(pids, "pids.max", "256");
    group->tasks[1] = CHECK(openat(pids, "tasks", O_WRONLY | O_CLOEXEC));
}

/* ---- the root, built by the host's root in a mount namespace of its own ---- */

static int tmpfs(const char *mode, unsigned flags) {
    int fs = fs_open("tmpfs");
    fs_set(fs, "mode", mode);
    fs_set(fs, "uid", "1000000");
    fs_set(fs, "gid", "1000000");
    return fs_mount(fs, flags);
}

static void build_dev(int target) {
    static const struct {
        const char *name;
        int major, minor;
    } nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"},
        {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"}};
    int dev = tmpfs("755", MOUNT_ATTR_NOSUID);
    attach(dev, target);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        CHECK(mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) CHECK(symlinkat(links[i][0], dev, links[i][1]));
    CHECK(mkdirat(dev, "pts", 0755));
    CHECK(mkdirat(dev, "shm", 0755));
    CHECK(mkdirat(dev, "mqueue", 0755));
    int pts = fs_open("devpts");
    fs_set(pts, "mode", "0620");
    fs_set(pts, "gid", "1000005");
    fs_set(pts, "ptmxmode", "0666");
    attach(fs_mount(pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), CHECK(at(dev, "pts")));
    attach(tmpfs("1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), CHECK(at(dev, "shm")));
}

static void build_root(const char *rootfs, const char *own_disk, int point, int userns) {
    int lower = tree(AT_FDCWD, rootfs, 0);
    attributes(lower, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, userns, 0);
    int disk = tree(AT_FDCWD, own_disk, 0);
    attributes(disk, MOUNT_ATTR_NODEV, userns, 0);
    act_as(BASE);
    int upper = CHECK(openat(disk, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC));
    int work = CHECK(openat(disk, "work", O_PATH | O_DIRECTORY | O_CLOEXEC));
    int fs = fs_open("overlay");
    CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, "lowerdir+", NULL, lower));
    CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, "upperdir", NULL, upper));
    CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, "workdir", NULL, work));
    CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0));
    int root = fs_mount(fs, MOUNT_ATTR_NODEV);
    act_as(0);
    attach(root, point);
    act_as(BASE);
    build_dev(CHECK(at(root, "dev")));
    attach(tmpfs("755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), CHECK(at(root, "run")));
    attach(tmpfs("1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), CHECK(at(root, "tmp")));
    act_as(0);
}

/* ---- the child ---- */

static void mask(int root) {
    int empty = -1;
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        int target = at(root, masked[i]);
        if (target < 0) continue;
        struct stat status;
        CHECK(fstat(target, &status));
        if (S_ISDIR(status.st_mode)) {
            if (empty < 0) {
                empty = fs_mount(fs_open("tmpfs"),
                    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
                attach(empty, target);
            } else {
                attach(tree(empty, "", AT_EMPTY_PATH), target);
            }
        } else {
            attach(tree(root, "dev/null", 0), target);
        }
        close(target);
    }
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        int target = at(root, read_only[i]);
        if (target < 0) continue;
        int copy = tree(target, "", AT_EMPTY_PATH | AT_RECURSIVE);
        attributes(copy, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, -1, AT_RECURSIVE);
        attach(copy, target);
        close(target);
    }
}

static void enter_root(int point) {
    const unsigned plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int root = tree(point, "", AT_EMPTY_PATH | AT_RECURSIVE);
    attach(root, point);
    attach(fs_mount(fs_open("proc"), plain), CHECK(at(root, "proc")));
    attach(fs_mount(fs_open("sysfs"), plain | MOUNT_ATTR_RDONLY), CHECK(at(root, "sys")));
    attach(fs_mount(fs_open("cgroup2"), plain), CHECK(at(root, "sys/fs/cgroup")));
    attach(fs_mount(fs_open("mqueue"), plain), CHECK(at(root, "dev/mqueue")));
    mask(root);
    CHECK(fchdir(root));
    CHECK(syscall(SYS_pivot_root, ".", "."));
    CHECK(umount2(".", MNT_DETACH));
    CHECK(chdir("/"));
}

static void loopback_up(void) {
    int fd = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    CHECK(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
}

static void drop_capabilities(void) {
    /* chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_admin net_raw sys_chroot mknod
     * audit_write setfcap sys_admin: as many as a system container keeps. */
    const uint64_t keep = 0xa82435fbull | 1ull << CAP_SYS_ADMIN;
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
        if (!(keep >> capability & 1)) CHECK(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {
        {.effective = keep, .permitted = keep}, {.effective = keep >> 32, .permitted = keep >> 32}};
    CHECK(syscall(SYS_capset, &header, data));
}

static void child(int channel, const struct cgroup *group, int point, const struct sock_fprog *filter, char **command) {
    char byte;
    CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    CHECK(read(channel, &byte, 1)); /* ids are mapped */
    CHECK(syscall(SYS_setgroups, 0, NULL));
    CHECK(syscall(SYS_setresgid, 0, 0, 0));
    CHECK(syscall(SYS_setresuid, 0, 0, 0));
    for (int i = 0; i < 2; i++)
        if (group->tasks[i] >= 0) CHECK(write(group->tasks[i], "0", 1));
    CHECK(unshare(CLONE_NEWCGROUP));
    CHECK(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    CHECK(sethostname("floor", 5));
    loopback_up();
    enter_root(point);
    CHECK(setsid());
    CHECK(write(channel, "r", 1)); /* everything is ready */
    CHECK(read(channel, &byte, 1)); /* execute */
    CHECK(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC));
    umask(022);
    drop_capabilities();
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (filter->len) CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter));
    execve(command[0], command, environment);
    check(-1, command[0]);
}

/* ---- the parent ---- */

static void remove_tree(int parent, const char *name) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0) return;
    int fd = check(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), name);
    DIR *directory = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) remove_tree(fd, entry->d_name);
    closedir(directory);
    check(unlinkat(parent, name, AT_REMOVEDIR), name);
}

static struct sock_fprog read_filter(const char *path) {
    struct sock_fprog filter = {0};
    if (!strcmp(path, "-")) return filter;
    int fd = check(open(path, O_RDONLY | O_CLOEXEC), path);
    struct stat status;
    CHECK(fstat(fd, &status));
    filter.len = status.st_size / sizeof(struct sock_filter);
    filter.filter = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (filter.filter == MAP_FAILED) check(-1, path);
    close(fd);
    return filter;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: floor ROOTFS WORK SECCOMP COMMAND [ARG ...]\n");
        return 64;
    }
    struct sock_fprog filter = read_filter(argv[3]);
    char name[32];
    snprintf(name, sizeof name, "floor-%d", getpid());
    int work = check(open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC), argv[2]);
    umask(0);
    CHECK(mkdirat(work, name, 0700));
    int own = CHECK(openat(work, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
    static const char *const directories[] = {"root", "disk", "disk/upper", "disk/work"};
    for (int i = 0; i < 4; i++) CHECK(mkdirat(own, directories[i], 0755));
    struct cgroup group = {0};
    make_cgroup(&group);

    int userns = user_namespace();
    int host = CHECK(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    CHECK(unshare(CLONE_NEWNS));
    struct mount_attr private = {.propagation = MS_PRIVATE};
    CHECK(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof private));
    CHECK(chdir(argv[2]));
    /* Descriptors of before belong to mounts of the host's namespace, so these are found by path. */
    char root[64], disk[64];
    snprintf(root, sizeof root, "%s/root", name);
    snprintf(disk, sizeof disk, "%s/disk", name);
    build_root(argv[1], disk, CHECK(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)), userns);
    int point = CHECK(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC));

    int channel[2], pidfd = -1;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel));
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUSER | CLONE_PIDFD |
                 CLONE_INTO_CGROUP,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = group.unified};
    pid_t pid = CHECK(syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0) {
        /* The parent's end: the child would wait for itself. */
        close(channel[0]);
        /* The same path in the copy of the mount namespace. */
        child(channel[1], &group, CHECK(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)), &filter, argv + 4);
    }
    close(channel[1]);
    close(point);
    CHECK(setns(host, CLONE_NEWNS));
    map_ids(pid);
    char byte;
    int status = 125 << 8;
    if (write(channel[0], "g", 1) == 1 && read(channel[0], &byte, 1) == 1)
        if (write(channel[0], "x", 1) < 0) check(-1, "execute");
    siginfo_t info;
    CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED));
    status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;

    for (int i = 0; i < group.count; i++) check(rmdir(group.paths[i]), group.paths[i]);
    remove_tree(work, name);
    return status;
}
