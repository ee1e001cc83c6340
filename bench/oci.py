"""Bundles for crun and runc that ask for what `ctr run` does by default, and the filter for the floor."""
import ctypes
import errno
import json
import os
import subprocess

BASE, RANGE = 1000000, 65536
PROFILE = "/usr/share/containers/seccomp.json"
CAPABILITIES = """CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_ADMIN NET_RAW
    SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP SYS_ADMIN""".split()
MASKED = """/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug
    /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware""".split()
READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sysrq-trigger".split()


def make_rootfs(path):
    """Debian's static busybox and the directories that a root needs."""
    for name in "bin dev etc proc root run sys tmp".split():
        os.makedirs(f"{path}/{name}", exist_ok=True)
    subprocess.run(["cp", "/bin/busybox", f"{path}/bin/busybox"], check=True)
    for name in "sh true sleep echo".split():
        os.symlink("busybox", f"{path}/bin/{name}")
    with open(f"{path}/etc/passwd", "w") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\n")
    with open(f"{path}/etc/group", "w") as file:
        file.write("root:x:0:\n")


def give_away(path):
    """To the mapped root: what an engine above an OCI runtime prepares."""
    for directory, names, files in os.walk(path):
        os.lchown(directory, BASE, BASE)
        for name in names + files:
            os.lchown(f"{directory}/{name}", BASE, BASE)


def seccomp_profile():
    """The default profile of docker and podman, resolved for these capabilities on x86-64, as OCI wants it."""
    with open(PROFILE) as file:
        profile = json.load(file)
    held = {"CAP_" + name for name in CAPABILITIES}

    def applies(entry):
        includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
        if not set(includes.get("caps") or []) <= held or set(excludes.get("caps") or []) & held:
            return False
        arches = {"amd64", "x86", "x32", "x86_64"}
        if includes.get("arches") and not arches & set(includes["arches"]):
            return False
        return not arches & set(excludes.get("arches") or [])

    result = {"defaultAction": profile["defaultAction"], "syscalls": []}
    if profile.get("defaultErrnoRet"):
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    for entry in profile.get("archMap") or []:
        if entry["architecture"] == "SCMP_ARCH_X86_64":
            result["architectures"] = [entry["architecture"], *entry["subArchitectures"]]
    for entry in profile["syscalls"]:
        if applies(entry):
            kept = {key: entry[key] for key in ("names", "action", "errnoRet") if entry.get(key) is not None}
            if entry.get("args"):
                kept["args"] = [{k: v for k, v in arg.items() if v is not None} for arg in entry["args"]]
            result["syscalls"].append(kept)
    return result


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def write_filter(profile, path):
    """Compiles a profile with libseccomp: what crun and runc do at every start, and what ctr keeps in its cache."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    operators = {f"SCMP_CMP_{name}": value for value, name in enumerate("NE LT LE EQ GE GT MASKED_EQ".split(), 1)}

    def action(entry, key, code):
        kinds = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_KILL_PROCESS": 0x80000000, "SCMP_ACT_LOG": 0x7FFC0000}
        name = entry[key]
        return 0x00050000 | entry.get(code, errno.EPERM) if name == "SCMP_ACT_ERRNO" else kinds[name]

    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(action(profile, "defaultAction", "defaultErrnoRet"))))
    for name in profile["architectures"][1:]:
        token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
        library.seccomp_arch_add(context, ctypes.c_uint32(token))
    for entry in profile["syscalls"]:
        wanted = action(entry, "action", "errnoRet")
        if wanted == action(profile, "defaultAction", "defaultErrnoRet"):
            continue
        arguments = [
            Comparison(arg["index"], operators[arg["op"]], arg["value"], arg.get("valueTwo", 0))
            for arg in entry.get("args") or []
        ]
        array = (Comparison * len(arguments))(*arguments)
        for name in entry["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number != -1:  # __NR_SCMP_ERROR: newer than this libseccomp
                library.seccomp_rule_add_array(context, ctypes.c_uint32(wanted), number, len(arguments), array)
    with open(path, "wb") as file:
        if library.seccomp_export_bpf(context, file.fileno()) != 0:
            raise OSError("seccomp_export_bpf failed")
    library.seccomp_release(context)


def write_bundle(directory, rootfs, args, profile):
    kernel = {
        "/proc": ("proc", ["nosuid", "noexec", "nodev"]),
        "/dev": ("tmpfs", ["nosuid", "mode=755", "size=1m"]),
        "/dev/pts": ("devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        "/dev/shm": ("tmpfs", ["nosuid", "nodev", "mode=1777"]),
        "/dev/mqueue": ("mqueue", ["nosuid", "noexec", "nodev"]),
        "/sys": ("sysfs", ["nosuid", "noexec", "nodev", "ro"]),
        "/run": ("tmpfs", ["nosuid", "nodev", "mode=755"]),
        "/tmp": ("tmpfs", ["nosuid", "nodev", "mode=1777"]),
        "/sys/fs/cgroup": ("cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
    }
    sets = ["CAP_" + name for name in CAPABILITIES]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/",
            "capabilities": {name: sets for name in ("bounding", "effective", "permitted")},
            "noNewPrivileges": False,
        },
        "root": {"path": rootfs, "readonly": False},
        "hostname": "bench",
        "mounts": [
            {"destination": path, "type": kind, "source": kind, "options": options}
            for path, (kind, options) in kernel.items()
        ],
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")],
            "uidMappings": [{"containerID": 0, "hostID": BASE, "size": RANGE}],
            "gidMappings": [{"containerID": 0, "hostID": BASE, "size": RANGE}],
            "resources": {"memory": {"limit": 256 << 20}, "pids": {"limit": 256}},
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": profile,
        },
    }
    os.makedirs(directory)
    os.chmod(directory, 0o711)
    with open(f"{directory}/config.json", "w") as file:
        json.dump(config, file, indent=1)
