#!/usr/bin/python3
"""Measures ctr beside crun, runc and the floor in one session: commands alternate, so what disturbs one disturbs all.

A time is that of one whole command, from posix_spawn to the end of its wait, with stdin, stdout and stderr on files.
Medians, 10th and 90th percentiles go to a table on stdout and to the results file.
"""
import argparse
import glob
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import disks
import life
import network
import oci
import suspend

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8"}
if "CTR_CONFIG" in os.environ:
    ENVIRONMENT["CTR_CONFIG"] = os.environ["CTR_CONFIG"]


def timed(args, errors):
    """Milliseconds and exit status of one command."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    start = time.perf_counter()
    try:
        pid = os.posix_spawn(args[0], args, ENVIRONMENT, file_actions=actions)
    except OSError as error:
        with open(errors, "w") as file:
            file.write(f"{error}\n")
        return 0, 127
    status = os.waitpid(pid, 0)[1]
    return (time.perf_counter() - start) * 1e3, os.waitstatus_to_exitcode(status)


def serve(errors):
    """A worker: one command as a JSON list per line in, its time and status out."""
    for line in sys.stdin:
        print(json.dumps(timed(json.loads(line), errors)), flush=True)


class Worker:
    """Times commands in a process of its own. crun refuses a host with cgroups of both versions, so it and runc run
    in a private mount namespace that lacks the unified hierarchy; ctr and the floor run on the host as it is."""

    HYBRID_HIDDEN = [
        "unshare", "-m", "--propagation", "private", "sh", "-c",
        "umount /sys/fs/cgroup/unified 2>/dev/null || true; exec \"$@\"", "sh"]

    def __init__(self, work, name, inside=()):
        """inside: a command that executes its arguments somewhere else."""
        self.errors = f"{work}/stderr-{name}"
        command = [*inside, sys.executable, os.path.abspath(__file__), "--worker", self.errors]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, args):
        self.process.stdin.write(json.dumps(args) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def run(self, args, expected=0):
        milliseconds, status = self.ask(args)
        if status != expected:
            with open(self.errors) as file:
                raise RuntimeError(f"{' '.join(args)}: status {status}: {file.read().strip()}")
        return milliseconds

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def percentile(sorted_values, part):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * part))]


def compare(candidates, rounds, warm=5):
    """Times each candidate `rounds` times, taking turns; each round begins with another one.

    candidates: {name: function of the round that returns milliseconds}. Returns {name: sorted times}.
    """
    times = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(-warm, rounds):
        for step in range(len(names)):
            name = names[(turn + step) % len(names)]
            value = candidates[name](turn)
            if turn >= 0:
                times[name].append(value)
    return {name: sorted(values) for name, values in times.items()}


class Bench:
    def __init__(self, options):
        self.options = options
        # Not below the repository: the mapped root of crun's and runc's bundles must be able to reach its root.
        self.work = tempfile.mkdtemp(prefix="ctr-bench-", dir="/var/tmp")
        os.chmod(self.work, 0o711)
        # Ranges of ids are handed out from a registry of its own too, so that nothing stays in /var/lib/ctr.
        with open(f"{self.work}/config.json", "w") as file:
            json.dump({"idRegistry": f"{self.work}/ids", "net": "none"}, file)
        os.environ["CTR_CONFIG"] = f"{self.work}/config.json"
        self.host = Worker(self.work, "host")
        self.hidden = Worker(self.work, "peers", Worker.HYBRID_HIDDEN)
        self.ctr = [options.ctr, "--root", f"{self.work}/lib", "--state", f"{self.work}/run"]
        self.limits = ["--memory", "256M", "--pids", "256"]
        self.peers = {name: [f"{options.peers}/{name}", "--root", f"{self.work}/{name}"] for name in ("crun", "runc")}
        self.tables = []
        self.goals = []
        self.notes = []
        self.running = []
        self.has_ctr = False

    # ---- preparation

    def prepare(self):
        rootfs = f"{self.work}/rootfs"
        oci.make_rootfs(rootfs)
        profile = oci.seccomp_profile()
        oci.write_filter(profile, f"{self.work}/filter")
        given = f"{self.work}/rootfs-mapped"
        subprocess.run(["cp", "-a", rootfs, given], check=True)
        oci.give_away(given)
        oci.write_bundle(f"{self.work}/true", given, ["/bin/true"], profile)
        oci.write_bundle(f"{self.work}/sleep", given, ["/bin/sleep", "1000"], profile)
        os.mkdir(f"{self.work}/floor")
        self.floor = [f"{self.options.work}/floor", rootfs, f"{self.work}/floor", f"{self.work}/filter", "/bin/true"]
        self.has_ctr = self.try_ctr(rootfs)

    def try_ctr(self, rootfs):
        try:
            self.host.run([*self.ctr, "template", "import", rootfs, "--name", "bench"])
            self.host.run([*self.ctr, "run", *self.limits, "bench", "/bin/true"])
            # Proof that it was the VPS's own status and not a silent nothing.
            self.host.run([*self.ctr, "run", *self.limits, "bench", "/bin/sh", "-c", "exit 7"], expected=7)
            return True
        except RuntimeError as error:
            self.notes.append(f"ctr could not take part: {error}")
            print(f"bench: {error}", file=sys.stderr)
            return False

    # ---- what is measured

    def oci_run(self, name):
        return lambda turn: self.hidden.run([*self.peers[name], "run", "--bundle", f"{self.work}/true", f"bench-{name}-{turn + 9}"])

    def measure_run(self):
        candidates = {"floor": lambda _: self.host.run(self.floor)}
        if self.has_ctr:
            candidates["ctr"] = lambda _: self.host.run([*self.ctr, "run", *self.limits, "bench", "/bin/true"])
        for name in self.peers:
            candidates[name] = self.oci_run(name)
        times = compare(candidates, self.options.rounds)
        self.table("run of /bin/true", times)
        self.goal("run of /bin/true", times, "ctr", "crun", 0.5)
        self.goal("run of /bin/true", times, "ctr", "floor", 2)

    def measure_exec(self):
        candidates = {}
        if self.has_ctr:
            # The second shows what a supervisor has for itself: program pages of a lone one count as private.
            for target in ("target", "second"):
                self.host.run([*self.ctr, "run", "-d", "--name", target, *self.limits, "bench", "/bin/sleep", "1000"])
                self.running.append((self.host, [*self.ctr, "destroy", "--force", target]))
            candidates["ctr"] = lambda _: self.host.run([*self.ctr, "exec", "target", "--", "/bin/true"])
        for name, command in self.peers.items():
            # A name of its own: both put the container's cgroup at the top of the hierarchies.
            target = f"bench-{name}-target"
            self.hidden.run([*command, "run", "--detach", "--bundle", f"{self.work}/sleep", target])
            self.running.append((self.hidden, [*command, "delete", "--force", target]))
            exec_true = [*command, "exec", target, "/bin/true"]
            candidates[name] = lambda _, exec_true=exec_true: self.hidden.run(exec_true)
        times = compare(candidates, self.options.rounds)
        self.table("exec of /bin/true in a running one", times)
        self.goal("exec of /bin/true", times, "ctr", "crun", 0.5)
        if self.has_ctr:
            self.measure_supervisor()

    def measure_supervisor(self):
        """Private memory of the process that stays beside a detached VPS."""
        own = os.path.realpath(self.options.ctr)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if os.path.realpath(f"/proc/{pid}/exe") != own or f"{self.work}/run".encode() not in words:
                    continue
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    fields = dict(line.split(":", 1) for line in file if ":" in line and "-" not in line)
            except OSError:
                continue
            private = sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
            self.goals.append(("private memory of the supervisor", f"{private} KiB", "≤ 512 KiB", private <= 512))
            return
        self.notes.append("no supervisor was found beside the detached VPS")

    def measure_start(self):
        candidates = {"static C": lambda _: self.host.run([f"{self.options.work}/start"])}
        if self.has_ctr:
            candidates["ctr --version"] = lambda _: self.host.run([self.options.ctr, "--version"])
        times = compare(candidates, self.options.rounds)
        self.table("start of a program", times)
        self.goal("start", times, "ctr --version", "static C", 2)

    def measure_many(self):
        """100 starts at once: all must succeed."""
        count = self.options.many
        rows = {}
        if self.has_ctr:
            rows["ctr"] = ([], lambda index: [*self.ctr, "run", *self.limits, "bench", "/bin/true"])
        for name, command in self.peers.items():
            rows[name] = (
                ["unshare", "-m", "--propagation", "private", "sh", "-c",
                 "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"", "sh"],
                lambda index, name=name, command=command: [
                    *command, "run", "--bundle", f"{self.work}/true", f"bench-{name}-many-{index}"])
        lines = []
        for name, (prefix, command) in rows.items():
            script = "import subprocess, sys, json, time\n" \
                "commands = json.load(sys.stdin); start = time.perf_counter()\n" \
                "all = [subprocess.Popen(c, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, " \
                "stderr=subprocess.PIPE, text=True) for c in commands]\n" \
                "ends = [(p.communicate()[1], p.returncode) for p in all]\n" \
                "print(json.dumps([time.perf_counter() - start, [e for e in ends if e[1]]]))"
            result = subprocess.run(
                [*prefix, sys.executable, "-c", script], input=json.dumps([command(i) for i in range(count)]),
                stdout=subprocess.PIPE, text=True, check=True)
            seconds, failures = json.loads(result.stdout)
            lines.append((name, seconds, len(failures), failures[0][0].strip()[:200] if failures else ""))
            if name == "ctr":
                self.goals.append((f"{count} runs at once", f"{count - len(failures)} succeeded", f"{count}", not failures))
        text = f"| {count} at once | seconds | failed |\n| --- | --- | --- |\n"
        for name, seconds, failed, example in lines:
            text += f"| {name} | {seconds:.2f} | {failed}{': ' + example if example else ''} |\n"
        self.tables.append(text)

    # ---- the report

    def table(self, title, times):
        # Against the fastest yardstick there is: the first row.
        first = percentile(next(iter(times.values())), 0.5)
        text = f"| {title} | median ms | p10 | p90 | × {next(iter(times))} |\n| --- | --- | --- | --- | --- |\n"
        for name, values in times.items():
            middle = percentile(values, 0.5)
            text += f"| {name} | {middle:.2f} | {percentile(values, 0.1):.2f} | {percentile(values, 0.9):.2f} "
            text += f"| {middle / first:.2f} |\n"
        self.tables.append(text)

    def goal(self, title, times, name, against, factor):
        if name not in times or against not in times:
            return
        ratio = percentile(times[name], 0.5) / percentile(times[against], 0.5)
        self.goals.append((f"{title}: {name} / {against}", f"{ratio:.2f}", f"≤ {factor}", ratio <= factor))

    def report(self, whole):
        def first_line(command):
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0].strip()

        with open("/proc/cpuinfo") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
        with open("/proc/meminfo") as file:
            memory = int(next(line for line in file if line.startswith("MemTotal")).split()[1]) >> 20
        unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        disk = first_line(["findmnt", "-no", "FSTYPE", "--target", self.work])
        facts = [
            ("date", time.strftime("%Y-%m-%d", time.gmtime())),
            ("processor", f"{model}, {os.cpu_count()} in use"),
            ("memory", f"{memory} GiB"),
            ("kernel", f"{platform.release()}, cgroups {'unified' if unified else 'hybrid (limits in version 1)'}"),
            ("work directory", disk),
            ("load before", f"{self.load[0]:.2f}"),
            ("ctr", first_line([self.options.ctr, "--version"]) if self.has_ctr else "could not take part"),
            *((name, first_line([command[0], "--version"])) for name, command in self.peers.items()),
            *([("lxc", first_line(["lxc-start", "--version"]))] if shutil.which("lxc-start") else []),
            ("rounds", f"{self.options.rounds}, taking turns; of starts and stops {life.ROUNDS}"),
        ]
        text = "# Measured by `make bench`\n\n"
        text += "| machine | |\n| --- | --- |\n" + "".join(f"| {name} | {value} |\n" for name, value in facts)
        text += "\n" + "\n".join(self.tables)
        text += "\n| goal | measured | wanted | |\n| --- | --- | --- | --- |\n"
        text += "".join(f"| {a} | {b} | {c} | {'reached' if d else '**missed**'} |\n" for a, b, c, d in self.goals)
        text += (
            "\nEvery one starts a busybox root with the mount, pid, uts, ipc, network, cgroup and user namespaces, a "
            "memory and a pids limit, a seccomp filter, the same masked paths and the same capabilities of the bench's "
            "bundles (ctr: its defaults). crun and runc are given a prepared directory that is chowned to the mapped "
            "ids; ctr and the floor mount an overlay with id-mapped layers over an untouched template, and remove the "
            "upper layer afterwards. The floor is `bench/floor.c`: a static C program of those system calls alone.\n\n"
            "Starts and stops: `ctr start` returns when init has been executed, `lxc-start -d` when its state is RUNNING. Both "
            "have the template's root below an overlay, the same init, limits and no network but a loopback of their own; "
            "ctr also a user namespace with id-mapped layers and a seccomp filter, lxc neither. Of debian-12 the time runs "
            "until `systemctl is-system-running --wait` inside says `running`. Memory of the host is what MemAvailable lost: "
            "supervisors or monitors, the guests' own processes, cgroups, mounts and all else that the kernel holds.\n\n"
            "Disks: medians, all on one xfs of the bench's own in a file; the loop device is one of btrfs with the options that "
            "ctr gives it, on the same xfs.\n")
        text += "".join(f"\nNote: {note}\n" for note in self.notes)
        print("\n" + text)
        if not whole:
            return
        with open(self.options.results + ".new", "w") as file:
            file.write(text)
        os.rename(self.options.results + ".new", self.options.results)

    def run(self):
        self.load = os.getloadavg()
        try:
            self.prepare()
            failed = False
            steps = [self.measure_start, self.measure_run, self.measure_exec, self.measure_many]
            if self.has_ctr:
                steps += life.Life(self, compare, percentile).steps() + disks.Disks(self).steps()
                steps += network.Network(self, compare, Worker).steps() + suspend.Suspend(self).steps()
            # BENCH_ONLY names the steps of a short session, for instance "minimal idle".
            only = os.environ.get("BENCH_ONLY", "").split()
            for step in steps:
                if only and step.__name__.removeprefix("measure_") not in only:
                    continue
                print(f"bench: {step.__name__.removeprefix('measure_')} ...", file=sys.stderr)
                try:
                    step()
                except RuntimeError as error:
                    print(f"bench: {error}", file=sys.stderr)
                    self.notes.append(f"{step.__name__.removeprefix('measure_')} failed: {str(error).splitlines()[0][:200]}")
                    failed = True
            self.report(whole=not only)
        finally:
            self.clean()
        return 0 if self.has_ctr and not failed else 1

    def clean(self):
        for worker, command in self.running:
            worker.ask(command)
        self.host.close()
        self.hidden.close()
        # A VPS that a failure left would keep its mounts: ctr takes them down, and never rmtree into one.
        if self.has_ctr:
            subprocess.run([*self.ctr, "host", "recover"], stdout=subprocess.DEVNULL, check=False)
        with open("/proc/self/mountinfo") as file:
            mounted = [line.split()[4] for line in file if line.split()[4].startswith(self.work)]
        self.remove_cgroup_parent()
        if mounted:
            print(f"bench: still mounted, left as it is: {' '.join(mounted)}", file=sys.stderr)
        else:
            shutil.rmtree(self.work)

    def remove_cgroup_parent(self):
        """The parent of the VPSs' cgroups, which ctr names after its state directory and keeps."""
        value = 0xCBF29CE484222325
        for byte in f"{self.work}/run".encode():
            value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
        name = ""
        while value:
            value, digit = divmod(value, 36)
            name = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + name
        for hierarchy in ["/sys/fs/cgroup", *glob.glob("/sys/fs/cgroup/*")]:
            try:
                os.rmdir(f"{hierarchy}/ctr-{name}")
            except OSError:
                pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker")
    parser.add_argument("--work")
    parser.add_argument("--peers")
    parser.add_argument("--ctr")
    parser.add_argument("--results")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "100")))
    parser.add_argument("--many", type=int, default=100)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker)
        return 0
    # A stop by hand cleans up too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return Bench(options).run()


if __name__ == "__main__":
    sys.exit(main())
