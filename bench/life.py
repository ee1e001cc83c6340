"""A server's life, beside Debian's lxc: start, stop, a whole distribution, and what many idle ones cost the host."""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROUNDS = int(os.environ.get("BENCH_LIFE_ROUNDS", "30"))
# Seconds that the start of many may take, and the part of the host's memory that must stay available.
MANY_SECONDS = int(os.environ.get("BENCH_IDLE_SECONDS", "300"))
RESERVE = 0.25


def meminfo(name):
    """Bytes."""
    with open("/proc/meminfo") as file:
        return int(next(line for line in file if line.startswith(f"{name}:")).split()[1]) * 1024


def pty(name):
    with open(f"/proc/sys/kernel/pty/{name}") as file:
        return int(file.read())


def settled_memory():
    """What the host has left, in bytes, once it stands still: three looks that agree to a megabyte, or the last."""
    os.sync()
    looks = []
    for _ in range(20):
        time.sleep(1)
        looks = [*looks, meminfo("MemAvailable")][-3:]
        if len(looks) == 3 and max(looks) - min(looks) < 1 << 20:
            break
    return looks[-1]


def fit(points):
    """The line through (x, y) by least squares: (y at 0, slope)."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    slope = sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)
    return my - slope * mx, slope


class Lxc:
    """Containers of Debian's lxc over the layers that ctr's VPSs have: without a user namespace, since lxc would have to
    give each its own copy of the template, and without a seccomp filter, which Debian's lxc is built without."""

    def __init__(self, bench):
        self.bench = bench
        self.path = f"{bench.work}/lxc"
        os.makedirs(self.path, exist_ok=True)
        self.cgroups_before = set(self.cgroups())

    @staticmethod
    def cgroups():
        return glob.glob("/sys/fs/cgroup/lxc*") + glob.glob("/sys/fs/cgroup/*/lxc*")

    def clean(self):
        """lxc leaves cgroups of its own, lxc.pivot, behind."""
        for path in set(self.cgroups()) - self.cgroups_before:
            try:
                os.rmdir(path)
            except OSError as error:
                self.bench.notes.append(f"lxc left {path}: {error.strerror}")

    def create(self, name, rootfs, signal, init="/sbin/init", network=("type = empty",)):
        os.makedirs(f"{self.path}/{name}/upper")
        lines = [
            f"lxc.rootfs.path = overlay:{rootfs}:{self.path}/{name}/upper", f"lxc.uts.name = {name}",
            *(f"lxc.net.0.{line}" for line in network), "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed", "lxc.tty.max = 0",
            "lxc.pty.max = 64", f"lxc.signal.halt = {signal}", f"lxc.init.cmd = {init}",
            "lxc.cgroup.memory.limit_in_bytes = 256M", "lxc.cgroup.pids.max = 256",
        ]
        with open(f"{self.path}/{name}/config", "w") as file:
            file.write("\n".join(lines) + "\n")

    def command(self, verb, name, *words):
        return [shutil.which(f"lxc-{verb}"), "-P", self.path, "-n", name, *words]

    def remove(self, name):
        subprocess.run(self.command("stop", name, "-k"), stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(f"{self.path}/{name}", ignore_errors=True)


class Life:
    """Steps of a Bench; what can't take part is noted."""

    def __init__(self, bench, compare, percentile):
        self.bench = bench
        self.compare = compare
        self.percentile = percentile
        self.ctr = bench.ctr
        self.lxc = Lxc(bench) if shutil.which("lxc-start") else None
        if not self.lxc:
            bench.notes.append("lxc is not installed (scripts/setup.sh bench)")

    def run(self, *words, expected=0):
        return self.bench.host.run([*self.ctr, *words], expected)

    def template(self, name):
        """Builds a template of the repository's; returns its root and the signal that halts it."""
        # With the caller's environment: packages may come by a proxy.
        subprocess.run(
            [*self.ctr, "template", "build", f"{REPOSITORY}/rootfs-templates/{name}"], stdout=subprocess.DEVNULL,
            check=True)
        with open(f"{REPOSITORY}/rootfs-templates/{name}/recipe") as file:
            signal = re.search(r"^stop-signal *= *(\S+)", file.read(), re.MULTILINE).group(1)
        return f"{self.bench.work}/lib/templates/{name}/rootfs", signal

    def create(self, name, template):
        self.run("create", name, "--template", template, "--disk", "none", *self.bench.limits)

    # ---- minimal: start and stop

    def measure_minimal(self):
        self.minimal = self.template("minimal")
        self.create("life", "minimal")
        ends = {"ctr": [], "lxc": []}
        candidates = {}
        if self.lxc:
            self.lxc.create("life", *self.minimal)
            candidates["lxc"] = lambda turn: self.turn(
                turn, "lxc", ends, self.lxc.command("start", "life", "-d"), self.lxc.command("stop", "life", "-k"))
        candidates["ctr"] = lambda turn: self.turn(
            turn, "ctr", ends, [*self.ctr, "start", "life"], [*self.ctr, "kill", "life"])
        try:
            # What is timed is the start of an init, and not of nothing.
            self.run("start", "life")
            self.run("exec", "life", "--", "/bin/sh", "-c", "[ $(cat /proc/1/comm) = init ]")
            self.run("kill", "life")
            times = self.compare(candidates, ROUNDS)
            self.bench.table("start of minimal, directory disk, until its init is executed", times)
            self.bench.goal("start of minimal", times, "ctr", "lxc", 0.6)
            self.bench.table("kill of it, until all is given back", {n: sorted(v) for n, v in ends.items() if v})
            self.measure_stop()
        finally:
            self.run("destroy", "--force", "life")
            if self.lxc:
                self.lxc.remove("life")

    def turn(self, turn, name, ends, start, end):
        milliseconds = self.bench.host.run(start)
        ended = self.bench.host.run(end)
        if turn >= 0:
            ends[name].append(ended)
        return milliseconds

    def measure_stop(self):
        """busybox' init itself takes two seconds from the signal to its end: few rounds tell."""
        def stop(start, end):
            self.bench.host.run(start)
            return self.bench.host.run(end)

        candidates = {"ctr": lambda _: stop([*self.ctr, "start", "life"], [*self.ctr, "stop", "life"])}
        if self.lxc:
            candidates = {
                "lxc": lambda _: stop(self.lxc.command("start", "life", "-d"), self.lxc.command("stop", "life")),
                **candidates}
        self.bench.table("stop of minimal, in order", self.compare(candidates, 5, warm=0))

    # ---- debian-12: until systemd says "running"

    def measure_debian(self):
        if os.environ.get("BENCH_DEBIAN") == "no":
            self.bench.notes.append("debian-12 was left out (BENCH_DEBIAN=no)")
            return
        root, signal = self.template("debian-12")
        wait = ["systemctl", "is-system-running", "--wait"]
        self.create("debian", "debian-12")
        ends = {"ctr": [], "lxc": []}
        candidates = {}

        def boot(turn, name, start, running, end):
            milliseconds = self.bench.host.run(start) + self.bench.host.run(running)
            ended = self.bench.host.run(end)
            if turn >= 0:
                ends[name].append(ended)
            return milliseconds

        if self.lxc:
            self.lxc.create("debian", root, signal)
            candidates["lxc"] = lambda turn: boot(
                turn, "lxc", self.lxc.command("start", "debian", "-d"),
                self.until_socket(self.lxc.command("attach", "debian", "--", *wait)),
                self.lxc.command("stop", "debian"))
        candidates["ctr"] = lambda turn: boot(
            turn, "ctr", [*self.ctr, "start", "debian"],
            self.until_socket([*self.ctr, "exec", "debian", "--", *wait]), [*self.ctr, "stop", "debian"])
        try:
            for name in list(candidates):
                try:
                    candidates[name](-1)
                except RuntimeError as error:
                    del candidates[name]
                    self.bench.notes.append(f"debian-12 does not come to `running` under {name}: {error}")
            if candidates:
                self.bench.table(
                    "start of debian-12 until `running`", self.compare(candidates, max(3, ROUNDS // 6), warm=0))
                self.bench.table("stop of debian-12, in order", {n: sorted(v) for n, v in ends.items() if v})
        finally:
            self.run("destroy", "--force", "debian")
            if self.lxc:
                self.lxc.remove("debian")

    @staticmethod
    def until_socket(command):
        """systemctl fails before systemd listens: the command is tried again every 20 ms, the same for all."""
        script = 'end=$(($(date +%s) + 60)); while :; do out=$("$@" 2>&1) && exit 0; case $out in *degraded*) ' \
            'echo "$out" >&2; exit 1;; esac; [ "$(date +%s)" -lt $end ] || { echo "$out" >&2; exit 2; }; sleep 0.02; done'
        return ["/bin/sh", "-c", script, "sh", *command]

    # ---- many idle ones

    def measure_idle(self):
        candidates = {"ctr": (self.start_ctr, self.end_ctr)}
        if self.lxc:
            candidates = {"lxc": (self.start_lxc, self.end_lxc), **candidates}
        rows, fits = [], {}
        for name, (start, end) in candidates.items():
            try:
                points, seconds = self.grow(name, start, rows, MANY_SECONDS if name == "ctr" else MANY_SECONDS / 4)
            finally:
                end()
                if name == "lxc":
                    self.lxc.clean()
            if len(points) > 2:
                fits[name] = (*fit(points), points[-1][0], seconds)
        text = "| idle minimal ones | memory of the host, MiB | started in s | each, ms |\n| --- | --- | --- | --- |\n"
        text += "".join(f"| {name}: {n} | {memory / 2**20:.0f} | {s:.1f} | {each:.1f} |\n" for name, n, memory, s, each in rows)
        self.bench.tables.append(text)
        text = "| of the fitted line | KiB each | 1,000 would take, GiB | started |\n| --- | --- | --- | --- |\n"
        for name, (base, slope, count, seconds) in fits.items():
            total = base + 1000 * slope
            text += f"| {name} | {slope / 1024:.0f} | {total / 2**30:.2f} | {count} in {seconds:.1f} s, {os.cpu_count()} processors |\n"
            if name == "ctr":
                self.bench.goals.append(
                    (f"1,000 idle minimal VPSs (by the line through 0 to {count})", f"{total / 2**30:.2f} GiB", "≤ 24 GiB", total <= 24 * 2**30))
        self.bench.tables.append(text)

    def grow(self, name, start, rows, limit):
        """Starts 20, then doubles; returns (number, bytes) for each stage, and the seconds of all starts together."""
        before = settled_memory()
        least = meminfo("MemTotal") * RESERVE
        points, count, spent, began = [(0, 0)], 0, 0.0, time.monotonic()
        while True:
            wanted = max(20, 2 * count)
            now = time.monotonic()
            started, timed = start(range(count, wanted))
            spent += timed
            count = wanted
            used = before - settled_memory()
            points.append((count, used))
            rows.append((name, count, used, timed, timed / started * 1000))
            print(f"bench: {name}: {count}: {used / 2**20:.0f} MiB", file=sys.stderr)
            # The next stage is twice this one.
            took = time.monotonic() - now
            if time.monotonic() - began + 2.2 * took > limit or meminfo("MemAvailable") - 2 * used < least:
                return points, spent
            # Each has a console: kernel.pty.max, less what is kept for the host.
            if name == "ctr" and 2 * count > pty("max") - pty("reserve") - pty("nr") + count:
                return points, spent

    def start_ctr(self, numbers):
        for number in numbers:
            self.create(f"idle-{number}", "minimal")
        names = [f"idle-{number}" for number in numbers]
        return len(names), self.run("start", *names) / 1000

    def end_ctr(self):
        listed = subprocess.run([*self.ctr, "list", "-q"], stdout=subprocess.PIPE, text=True, check=False).stdout
        names = [name for name in listed.split() if name.startswith("idle-")]
        if names:
            self.run("destroy", "--force", *names)

    def start_lxc(self, numbers):
        for number in numbers:
            self.lxc.create(f"idle-{number}", *self.minimal)
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            done = pool.map(
                lambda n: subprocess.run(
                    self.lxc.command("start", f"idle-{n}", "-d"), stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, check=True), numbers)
            list(done)
        return len(numbers), time.perf_counter() - start

    def end_lxc(self):
        names = [name for name in os.listdir(self.lxc.path) if name.startswith("idle-")]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self.lxc.remove, names))

    def steps(self):
        return [self.measure_minimal, self.measure_debian, self.measure_idle]
