#!/bin/bash
# Builds what is measured against, measures, and writes bench/results.md: make bench. BENCH_ROUNDS sets how often each
# command is timed (100), BENCH_LIFE_ROUNDS each start and stop (30), BENCH_IDLE_SECONDS how long idle VPSs may be started
# (300). BENCH_DEBIAN=no leaves out debian-12; BENCH_ONLY names steps: start run exec many minimal debian
# idle disks network suspend. BENCH_DISK_SIZES are megabytes of data (10 500 5000), BENCH_SUSPEND_SIZES of memory (10 100 1000).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
    echo "bench: must be root: it starts VPSs and containers" >&2
    exit 77
fi
cache=$PWD/.cache/peers
work=$PWD/bench/.work
mkdir -p "$work"
for program in floor start io attach stream criu; do
    gcc -O2 -Wall -Wextra -Werror -static -s -o "$work/$program" "bench/$program.c"
done
if ! bench/peers.sh "$cache"; then
    echo "bench: Debian unstable can't be had; measuring against this system's crun and runc" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends crun runc >/dev/null
    mkdir -p "$cache/bin"
    ln -sf "$(command -v crun)" "$(command -v runc)" "$cache/bin/"
fi
exec /usr/bin/python3 bench/bench.py --work "$work" --peers "$cache/bin" --ctr "$PWD/bin/ctr" --results bench/results.md "$@"
