"""Networks: what one costs a start, and what goes through it. In a network namespace of the bench's own."""
import os
import re
import shutil
import statistics
import subprocess

import life

THROUGHPUT_ROUNDS = int(os.environ.get("BENCH_STREAM_ROUNDS", "7"))
SECONDS = "2"
# A host with forwarding on and an address that nobody else has.
HOST = """
ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
exec "$@"
"""
# lxc looks for its bridge in /sys, which shows the network namespace that mounted it.
LXC_HOST = """
ip link set lo up; ip link add lxcbr type bridge; ip link set lxcbr up
mount -t sysfs sysfs /mnt; mount --rbind /sys/fs/cgroup /mnt/fs/cgroup; mount --move /mnt /sys
exec "$@"
"""


class Network:
    """A step of a Bench."""

    def __init__(self, bench, compare, worker):
        self.bench = bench
        self.compare = compare
        self.worker = worker
        self.lxc = life.Lxc(bench) if shutil.which("lxc-start") else None

    def steps(self):
        return [self.measure_network]

    def measure_network(self):
        if not shutil.which("nft"):
            self.bench.notes.append("networks were left out: no nft (scripts/setup.sh bench)")
            return
        host = self.worker(self.bench.work, "network", ["unshare", "-n", "sh", "-c", HOST, "sh"])
        try:
            self.measure_starts(host)
            self.measure_throughput(host)
        finally:
            host.close()

    def measure_starts(self, host):
        run = [*self.bench.ctr, "run", *self.bench.limits]
        times = self.compare({
            f"ctr, --net {net}": lambda _, net=net: host.run([*run, "--net", net, "bench", "/bin/true"])
            for net in ("none", "nat")
        }, self.bench.options.rounds)
        self.bench.table("run of /bin/true with a network", times)
        more = statistics.median(times["ctr, --net nat"]) - statistics.median(times["ctr, --net none"])
        self.bench.goals.append(("run: --net nat more than --net none", f"{more:.1f} ms", "≤ 3 ms", more <= 3))
        if self.lxc:
            lxc = self.worker(self.bench.work, "lxc", [
                "unshare", "-nm", "--propagation", "private", "sh", "-c", LXC_HOST, "sh"])
            try:
                self.measure_lxc(lxc)
            finally:
                lxc.close()

    def measure_lxc(self, host):
        names = {"lxc, empty": "empty", "lxc, veth": "veth"}
        veth = ["type = veth", "link = lxcbr", "flags = up", "ipv4.address = 10.250.0.2/24"]
        for name, network in (("empty", ["type = empty"]), ("veth", veth)):
            self.lxc.create(name, f"{self.bench.work}/lib/templates/bench/rootfs", "SIGKILL", "/bin/sleep 1000", network)
        try:
            times = self.compare({
                shown: lambda _, name=name: self.start_and_kill(host, name) for shown, name in names.items()
            }, life.ROUNDS)
            self.bench.table("lxc-start -d with a network", times)
        finally:
            for name in names.values():
                self.lxc.remove(name)
            self.lxc.clean()

    def start_and_kill(self, host, name):
        milliseconds = host.run(self.lxc.command("start", name, "-d"))
        host.run(self.lxc.command("stop", name, "-k"))
        return milliseconds

    # ---- throughput, from the host to what is behind

    def measure_throughput(self, host):
        stream = f"{self.bench.options.work}/stream"
        inside = ["nsenter", "-t", str(host.process.pid), "-n"]
        bare = subprocess.Popen([*inside, "unshare", "-n", "sleep", "1000"])
        places = {}
        try:
            script = (f"until [ $(readlink /proc/{bare.pid}/ns/net) != $(readlink /proc/self/ns/net) ]; do sleep 0.02; done; "
                      f"ip link add bare0 type veth peer name bare1 netns {bare.pid}; ip addr add 10.251.0.1/30 dev bare0; "
                      f"ip link set bare0 up; nsenter -t {bare.pid} -n sh -c "
                      "'ip addr add 10.251.0.2/30 dev bare1; ip link set bare1 up'")
            subprocess.run([*inside, "sh", "-c", script], check=True)
            places["bare veth pair"] = (bare.pid, "10.251.0.2")
            for net, more in (("nat", []), ("routed", ["--ip", "10.252.0.2"])):
                host.run([*self.bench.ctr, "run", "-d", "--name", net, "--net", net, *more, "bench", "/bin/sleep", "1000"])
                shown = subprocess.run([*self.bench.ctr, "--json", "show", net], check=True, capture_output=True, text=True).stdout
                pid = int(re.search(r'"pid" *: *(\d+)', shown)[1])
                places[f"ctr, --net {net}"] = (pid, self.address(pid))
            rates = {name: [] for name in places}
            for _ in range(THROUGHPUT_ROUNDS):
                for name, (pid, address) in places.items():
                    rates[name].append(self.stream(stream, inside, pid, address))
        finally:
            for net in ("nat", "routed"):
                host.ask([*self.bench.ctr, "destroy", "--force", net])
            bare.kill()
            bare.wait()
        text = "| one TCP stream from the host | MB/s | × bare |\n| --- | --- | --- |\n"
        middles = {name: statistics.median(values) for name, values in rates.items()}
        for name, value in middles.items():
            text += f"| {name} | {value:.0f} | {value / middles['bare veth pair']:.2f} |\n"
        self.bench.tables.append(text)
        for name in list(middles)[1:]:
            part = middles[name] / middles["bare veth pair"]
            self.bench.goals.append((f"throughput: {name} / bare veth pair", f"{part:.2f}", "≥ 0.95", part >= 0.95))

    @staticmethod
    def address(pid):
        text = subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", "-4", "-o", "addr", "show", "eth0"],
                              check=True, capture_output=True, text=True).stdout
        return re.search(r"inet ([0-9.]+)", text)[1]

    @staticmethod
    def stream(program, inside, pid, address):
        with subprocess.Popen(["nsenter", "-t", str(pid), "-n", program, "serve", "7000"], stdout=subprocess.PIPE,
                              text=True) as server:
            server.stdout.readline()
            subprocess.run([*inside, program, "send", address, "7000", SECONDS], check=True)
            return float(server.stdout.readline())
