"""Suspend and resume of a program that has touched so much memory, beside criu alone, runc checkpoint and dd of the same bytes."""
import json
import os
import shutil
import signal
import subprocess
import time

import oci
from disks import middle, quiet

ROUNDS = int(os.environ.get("BENCH_SUSPEND_ROUNDS", "5"))
SIZES = [int(size) for size in os.environ.get("BENCH_SUSPEND_SIZES", "10 100 1000").split()]
PREFIX = "/usr/local/lib/ctr/criu"
# As Sources/Checkpoint/Dump.swift.
OPTIONS = ["-v3", "--manage-cgroups=soft", "--file-locks", "--link-remap", "--tcp-established", "--network-lock", "nftables"]


class Suspend:
    """A step of a Bench. criu alone dumps the same program outside of any VPS, with the options that
    ctr gives it but --cgroup-yard: by itself it mounts the hierarchies."""

    def __init__(self, bench):
        self.bench = bench
        self.io = f"{bench.options.work}/io"

    def steps(self):
        return [self.measure_suspend]

    def measure_suspend(self):
        if not os.path.exists(f"{PREFIX}/usr/sbin/criu"):
            self.bench.notes.append("suspend was left out: no criu (make setup-criu)")
            return
        templates = quiet(*self.bench.ctr, "template", "list", "-q").split()
        if "minimal" not in templates:
            quiet(*self.bench.ctr, "template", "build", os.path.join(os.path.dirname(__file__), "../rootfs-templates/minimal"))
        # bench/criu.c says how long criu took.
        with open(os.environ["CTR_CONFIG"]) as file:
            settings = json.load(file)
        with open(os.environ["CTR_CONFIG"], "w") as file:
            json.dump(settings | {"criu": f"{self.bench.options.work}/criu"}, file)
        shown = {}
        for size in SIZES:
            times = {}
            self.prepare(size)
            try:
                for _ in range(ROUNDS):
                    measured = self.within("suspend", "dump") | self.within("resume", "restore")
                    measured |= self.alone(size)
                    measured |= self.runc(size)
                    measured["dd and fsync"] = self.copy(size)
                    for what, value in measured.items():
                        times.setdefault(what, []).append(value)
            finally:
                subprocess.run([*self.bench.ctr, "destroy", "--force", "memory"], check=False, stdout=subprocess.DEVNULL)
            for what, values in times.items():
                shown.setdefault(what, []).append(middle(values))
        text = "| touched memory, ms | " + " | ".join(f"{size} MB" for size in SIZES) + " |\n"
        text += "| --- |" + " --- |" * len(SIZES) + "\n"
        text += "".join(f"| {what} | " + " | ".join(f"{v:.0f}" for v in values) + " |\n" for what, values in shown.items())
        self.bench.tables.append(text)
        self.bench.notes.append(
            "Suspend: criu alone dumps and restores one process of the host without any namespace, ctr a whole VPS (its init "
            "too, in all namespaces, with a user namespace); runc a container of the program without a user namespace, in "
            "which it can't restore what it wrote. ctr's checkpoint is synced and summed up, and held against its sums at a "
            "resume; those of the others are not. criu within ctr is measured from its execve to its end: ctr's steps, which "
            "sum up and sync the checkpoint, are called by criu and are in its time.")
        for verb, alone in (("suspend", "criu dump, synced"), ("resume", "criu restore")):
            for index, size in enumerate(SIZES):
                self.goal(f"{verb} of {size} MB / criu within it, with ctr's steps", shown[f"ctr {verb}"][index] / shown[self.share(verb)][index])
            self.goal(f"{verb} of {SIZES[-1]} MB / criu alone, of a bare process", shown[f"ctr {verb}"][-1] / shown[alone][-1])

    def goal(self, what, ratio):
        self.bench.goals.append((what, f"{ratio:.2f}", "≤ 1.1", ratio <= 1.1))

    def prepare(self, size):
        self.bench.host.run([*self.bench.ctr, "create", "memory", "--template", "minimal", "--disk", "none"])
        self.bench.host.run([*self.bench.ctr, "start", "memory"])
        quiet(*self.bench.ctr, "exec", "memory", "--", "mkdir", "-p", "/root")
        quiet(*self.bench.ctr, "cp", self.io, "memory:/root/io")
        quiet(*self.bench.ctr, "exec", "memory", "--", "sh", "-c",
              f"cd /root; setsid ./io touch {size} </dev/null >/dev/null 2>&1 & sleep 0.1")
        for _ in range(600):
            if subprocess.run([*self.bench.ctr, "exec", "memory", "--", "test", "-e", "/root/touched"], check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("the program inside does not get ready")

    def criu(self, *words):
        start = time.perf_counter()
        command = [f"{PREFIX}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{PREFIX}/usr/lib/x86_64-linux-gnu",
                   f"{PREFIX}/usr/sbin/criu", *words, "-o", "log", *OPTIONS]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError(f"criu {words[0]}: {done.stdout[-300:]}")
        return (time.perf_counter() - start) * 1e3

    def alone(self, size):
        place = f"{self.bench.work}/alone"
        os.mkdir(place)
        os.mkdir(f"{place}/images")
        program = subprocess.Popen([self.io, "touch", str(size)], cwd=place, start_new_session=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(f"{place}/touched"):
            time.sleep(0.05)
        try:
            dump = self.criu("dump", "-t", str(program.pid), "-D", f"{place}/images")
            program.wait()
            start = time.perf_counter()
            quiet("sync", "-f", place)
            synced = dump + (time.perf_counter() - start) * 1e3
            restore = self.criu("restore", "-d", "-D", f"{place}/images")
            os.kill(program.pid, signal.SIGKILL)
        finally:
            if program.poll() is None:
                program.kill()
        shutil.rmtree(place)
        return {"criu dump": dump, "criu dump, synced": synced, "criu restore": restore}

    @staticmethod
    def share(verb):
        return f"criu within ctr {verb}, ctr's steps in it"

    def within(self, verb, what):
        """A verb, and criu's part of it on the same tree, from its execve to its end; ctr's steps within are in it."""
        path = f"{self.bench.options.work}/criu.times"
        if os.path.exists(path):
            os.remove(path)
        whole = self.bench.host.run([*self.bench.ctr, verb, "memory"])
        for _ in range(1000):
            if os.path.exists(path):
                with open(path) as file:
                    words = file.read()
                if words.endswith("\n"):
                    break
            time.sleep(0.001)
        else:
            raise RuntimeError(f"ctr {verb}: criu was not watched")
        last = words.split("\n")[-2].split()
        if last[0] != what:
            raise RuntimeError(f"ctr {verb}: criu was asked for {last[0]}")
        return {f"ctr {verb}": whole, self.share(verb): float(last[1])}

    def runc(self, size):
        """runc checkpoint and restore, with the same criu."""
        place = f"{self.bench.work}/oci"
        os.mkdir(place, 0o711)
        oci.make_rootfs(f"{place}/rootfs")
        shutil.copy(self.io, f"{place}/rootfs/root/io")
        oci.write_bundle(f"{place}/bundle", f"{place}/rootfs", ["/bin/sh", "-c", f"cd /root; exec ./io touch {size}"],
                         oci.seccomp_profile())
        with open(f"{place}/bundle/config.json") as file:
            config = json.load(file)
        linux = config["linux"]
        linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "user"]
        del linux["uidMappings"], linux["gidMappings"], linux["resources"]
        with open(f"{place}/bundle/config.json", "w") as file:
            json.dump(config, file)
        os.mkdir(f"{place}/bin")
        with open(f"{place}/bin/criu", "w") as file:
            file.write(f'#!/bin/sh\np={PREFIX}/usr\nexec $p/lib64/ld-linux-x86-64.so.2 --library-path $p/lib/x86_64-linux-gnu '
                       '$p/sbin/criu "$@"\n')
        os.chmod(f"{place}/bin/criu", 0o755)
        # criu can't write down a standard stream that is a file of the host's.
        run = ["/bin/sh", "-c", f'PATH={place}/bin:$PATH exec "$@" 2>/dev/null', "sh", *self.bench.peers["runc"]]
        images = ["--image-path", f"{place}/images", "--work-path", f"{place}/work"]
        bundle = ["--bundle", f"{place}/bundle"]
        peers = self.bench.hidden
        try:
            peers.run([*run, "run", "--detach", *bundle, "memory"])
            while not os.path.exists(f"{place}/rootfs/root/touched"):
                time.sleep(0.05)
            return {"runc checkpoint": peers.run([*run, "checkpoint", *images, "memory"]),
                    "runc restore": peers.run([*run, "restore", "--detach", *bundle, *images, "memory"])}
        finally:
            peers.ask([*run, "delete", "--force", "memory"])
            shutil.rmtree(place)

    def copy(self, size):
        with open(f"{self.bench.work}/source", "wb") as file:
            for _ in range(size):
                file.write(os.urandom(1000000))
        start = time.perf_counter()
        quiet("dd", f"if={self.bench.work}/source", f"of={self.bench.work}/copy", "bs=1M", "conv=fsync")
        value = (time.perf_counter() - start) * 1e3
        os.unlink(f"{self.bench.work}/source")
        os.unlink(f"{self.bench.work}/copy")
        return value
