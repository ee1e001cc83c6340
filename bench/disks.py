"""Disks: what grows with the data and what does not, and what an image costs those who write to it."""
import os
import shutil
import subprocess
import time

ROUNDS = int(os.environ.get("BENCH_DISK_ROUNDS", "7"))
SIZES = [int(size) for size in os.environ.get("BENCH_DISK_SIZES", "10 500 5000").split()]


def quiet(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more).stdout


def middle(values):
    values = sorted(values)
    return values[len(values) // 2]


class Disks:
    """A step of a Bench, on an xfs of its own, which shares blocks; I/O on the host's file system too."""

    def __init__(self, bench):
        self.bench = bench
        self.pool = f"{bench.work}/pool"
        self.ctr = [bench.ctr[0], "--root", f"{self.pool}/lib", "--state", f"{bench.work}/pool-run"]

    def run(self, *words):
        return self.bench.host.run([*self.ctr, *words])

    def measure_disks(self):
        lack = [tool for tool in ("mkfs.xfs", "mkfs.btrfs") if not shutil.which(tool)]
        if lack:
            self.bench.notes.append(f"disks were left out: no {', '.join(lack)}")
            return
        quiet("truncate", "-s", "40G", f"{self.pool}.img")
        quiet("mkfs.xfs", "-q", f"{self.pool}.img")
        os.mkdir(self.pool)
        quiet("mount", "-o", "loop", f"{self.pool}.img", self.pool)
        try:
            quiet(*self.ctr, "template", "build", os.path.join(os.path.dirname(__file__), "../rootfs-templates/minimal"))
            self.sizes()
            self.lxc()
            self.still()
            self.start()
            self.inside()
        finally:
            names = subprocess.run([*self.ctr, "list", "-q"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
            if names:
                subprocess.run([*self.ctr, "destroy", "--force", *names], check=False, stdout=subprocess.DEVNULL)
            # The parent of their cgroups goes too.
            subprocess.run([*self.ctr, "host", "recover"], check=False, stdout=subprocess.DEVNULL)
            for _ in range(50):
                if subprocess.run(["umount", self.pool], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.2)
            os.unlink(f"{self.pool}.img")

    def sizes(self):
        rows, shown = [], {}
        for size in SIZES:
            name = f"d{size}"
            times = {}

            def take(what, *words, times=times):
                times.setdefault(what, []).append(self.run(*words))

            for turn in range(ROUNDS):
                take("create", "create", f"{name}-{turn}", "--template", "minimal", "--disk", "12G")
                if turn:
                    self.run("destroy", f"{name}-{turn}")
            self.run("start", f"{name}-0")
            quiet(*self.ctr, "exec", f"{name}-0", "--", "sh", "-c",
                  f"dd if=/dev/urandom of=/root/data bs=1M count={size} 2>/dev/null; sync")
            for turn in range(ROUNDS):
                take("snapshot, running", "snapshot", "create", f"{name}-0", f"s{turn}")
            for turn in range(ROUNDS):
                take("clone, running", "clone", f"{name}-0", f"{name}-c{turn}")
            self.run("kill", f"{name}-0")
            for turn in range(ROUNDS):
                take("snapshot, stopped", "snapshot", "create", f"{name}-0", f"t{turn}")
                take("revert", "snapshot", "revert", f"{name}-0", "s0")
                take("delete", "snapshot", "delete", f"{name}-0", f"t{turn}")
            for turn in range(3):
                take("clone --full", "clone", "--full", f"{name}-0", f"{name}-f{turn}")
                self.run("destroy", f"{name}-f{turn}")
            for turn in range(ROUNDS):
                self.run("destroy", f"{name}-c{turn}")
            self.run("destroy", "--force", f"{name}-0")
            for what, values in times.items():
                shown.setdefault(what, []).append(middle(values))
        for what, values in shown.items():
            rows.append(f"| {what} | " + " | ".join(f"{value:.1f}" for value in values) + " |\n")
        text = "| verb, image on xfs, ms | " + " | ".join(f"{size} MB" for size in SIZES) + " |\n"
        self.bench.tables.append(text + "| --- |" + " --- |" * len(SIZES) + "\n" + "".join(rows))
        for what in ("create", "snapshot, running", "revert", "clone, running"):
            ratio = shown[what][-1] / shown[what][0]
            self.bench.goals.append(
                (f"{what}: {SIZES[-1]} MB / {SIZES[0]} MB of data", f"{ratio:.2f}", "≤ 1.5", ratio <= 1.5))

    def lxc(self):
        """Containers of Debian's lxc that are stopped, on the same xfs: their directories are copied by rsync."""
        if not shutil.which("lxc-copy") or not shutil.which("rsync"):
            self.bench.notes.append("lxc's copies were left out: no lxc-copy or rsync (scripts/setup.sh bench)")
            return
        path, shown = f"{self.pool}/lxc", {"lxc-copy": [], "lxc-snapshot": []}
        for size in SIZES:
            rootfs = f"{path}/lx{size}/rootfs"
            quiet("mkdir", "-p", os.path.dirname(rootfs))
            quiet("cp", "-a", f"{self.pool}/lib/templates/minimal/rootfs", rootfs)
            quiet("dd", "if=/dev/urandom", f"of={rootfs}/root/data", "bs=1M", f"count={size}", "conv=fsync")
            with open(f"{path}/lx{size}/config", "w") as file:
                file.write(f"lxc.rootfs.path = dir:{rootfs}\nlxc.uts.name = lx{size}\nlxc.net.0.type = empty\n")
            times = {what: [] for what in shown}
            for turn in range(3):
                for what, words in (("lxc-copy", ["-N", f"copy{size}-{turn}"]), ("lxc-snapshot", [])):
                    command = [shutil.which(what), "-P", path, "-n", f"lx{size}", *words]
                    times[what].append(self.bench.host.run(command))
            for what, values in times.items():
                shown[what].append(middle(values))
            shutil.rmtree(path)
        text = "| verb of lxc, directory on xfs, ms | " + " | ".join(f"{size} MB" for size in SIZES) + " |\n"
        text += "| --- |" + " --- |" * len(SIZES) + "\n"
        text += "".join(f"| {what} | " + " | ".join(f"{v:.1f}" for v in values) + " |\n" for what, values in shown.items())
        self.bench.tables.append(text)

    def still(self):
        """How long a program inside does not run while a snapshot is taken, and while nothing happens."""
        self.run("create", "still", "--template", "minimal", "--disk", "4G")
        self.run("start", "still")
        quiet(*self.ctr, "cp", f"{self.bench.options.work}/io", "still:/root/io")
        gaps = {"nothing": [], "snapshot create": []}
        for turn in range(2 * ROUNDS):
            for what, values in gaps.items():
                inside = subprocess.Popen([*self.ctr, "exec", "still", "/root/io", "gap", "0.4"], stdout=subprocess.PIPE)
                time.sleep(0.15)
                if what != "nothing":
                    self.run("snapshot", "create", "still", f"s{turn}")
                values.append(float(inside.communicate()[0]))
        text = "| a guest stands still at most, in 0.4 s | median ms | largest |\n| --- | --- | --- |\n"
        text += "".join(f"| {what} | {middle(values):.2f} | {max(values):.2f} |\n" for what, values in gaps.items())
        self.bench.tables.append(text)
        median = middle(gaps["snapshot create"])
        self.bench.goals.append(("a guest stands still for a snapshot", f"{median:.2f} ms", "≤ 10 ms", median <= 10))
        self.run("destroy", "--force", "still")

    def start(self):
        """The first start of each is left out: it writes the identity."""
        times = {"directory": [], "image": []}
        for name, disk in (("directory", "none"), ("image", "1G")):
            self.run("create", name, "--template", "minimal", "--disk", disk)
            self.run("start", name)
            self.run("kill", name)
        bare = []
        quiet("truncate", "-s", "1G", f"{self.pool}/bare.img")
        quiet("mkfs.btrfs", "-q", f"{self.pool}/bare.img")
        os.makedirs(f"{self.pool}/bare", exist_ok=True)
        for _ in range(3 * ROUNDS):
            for name, values in times.items():
                values.append(self.run("start", name))
                self.run("kill", name)
            bare.append(self.bench.host.run([f"{self.bench.options.work}/attach", f"{self.pool}/bare.img", f"{self.pool}/bare"]))
            quiet("umount", f"{self.pool}/bare")
        more = middle(times["image"]) - middle(times["directory"])
        text = "| start of minimal | median ms |\n| --- | --- |\n"
        text += "".join(f"| {name} | {middle(values):.1f} |\n" for name, values in times.items())
        text += f"| a C program that attaches and mounts such an image | {middle(bare):.1f} |\n"
        self.bench.tables.append(text)
        self.bench.goals.append(
            ("image disk: more than a directory / bare attach and mount", f"{more / middle(bare):.2f}", "≤ 1.1", more <= 1.1 * middle(bare)))
        self.run("destroy", "--force", "directory", "image")

    def inside(self):
        """All of them on the same xfs; a bare loop device carries btrfs with the same options."""
        io = f"{self.bench.options.work}/io"
        for name, disk in (("io-image", "4G"), ("io-directory", "none")):
            self.run("create", name, "--template", "minimal", "--disk", disk)
            self.run("start", name)
            quiet(*self.ctr, "cp", io, f"{name}:/root/io")
        quiet("truncate", "-s", "4G", f"{self.pool}/loop.img")
        quiet("mkfs.btrfs", "-q", f"{self.pool}/loop.img")
        loop = quiet("losetup", "--direct-io=on", "-f", "--show", f"{self.pool}/loop.img").strip()
        os.makedirs(f"{self.pool}/loop", exist_ok=True)
        quiet("mount", "-o", "discard=async", loop, f"{self.pool}/loop")
        places = {
            "host": lambda kind: quiet(io, kind, cwd=self.pool),
            "VPS, directory": lambda kind: quiet(*self.ctr, "exec", "-w", "/root", "io-directory", "/root/io", kind),
            "bare loop device, btrfs": lambda kind: quiet(io, kind, cwd=f"{self.pool}/loop"),
            "VPS, image": lambda kind: quiet(*self.ctr, "exec", "-w", "/root", "io-image", "/root/io", kind),
        }
        try:
            found = {name: {"seq": [], "sync": []} for name in places}
            for _ in range(ROUNDS):
                for name, place in places.items():
                    for kind in ("seq", "sync"):
                        found[name][kind].append(float(place(kind)))
        finally:
            quiet("umount", f"{self.pool}/loop")
            quiet("losetup", "-d", loop)
        text = "| I/O | 256 MiB and fsync, MB/s | 16 KiB at random, each fdatasync'ed, /s |\n| --- | --- | --- |\n"
        text += "".join(f"| {n} | {middle(f['seq']):.0f} | {middle(f['sync']):.0f} |\n" for n, f in found.items())
        self.bench.tables.append(text)
        for name, against, least in (("VPS, image", "bare loop device, btrfs", 0.9), ("VPS, directory", "host", 0.95)):
            for kind in ("seq", "sync"):
                ratio = middle(found[name][kind]) / middle(found[against][kind])
                self.bench.goals.append((f"I/O, {kind}: {name} / {against}", f"{ratio:.2f}", f"≥ {least}", ratio >= least))
        self.run("destroy", "--force", "io-image", "io-directory")

    def steps(self):
        return [self.measure_disks]
