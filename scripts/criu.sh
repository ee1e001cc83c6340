#!/bin/bash
# Puts criu 4.2 with all its libraries into /usr/local/lib/ctr/criu, once: `ctr suspend` and `ctr resume` look for it there.
#
# Debian 12 has 3.17 and Debian 13 has 4.1, which fail on newer kernels (docs/suspend.md); so it is taken from Debian's
# unstable release, by mmdebstrap, with apt's checks of signatures. Nothing of the host is changed but that directory.
set -euo pipefail

to=${1:-/usr/local/lib/ctr/criu}
program() {
    local root=$1 linker
    linker=$(find "$root"/usr/lib64/ld-linux-*.so.* "$root"/usr/lib/ld-linux-*.so.* -print -quit 2>/dev/null) || true
    [ -n "$linker" ] && [ -x "$root/usr/sbin/criu" ] || return 1
    "$linker" --library-path "$(dirname "$(find "$root/usr/lib" -name libc.so.6 -print -quit)")" "$root/usr/sbin/criu" \
        "${@:2}"
}

if program "$to" --version >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" != 0 ]; then
    echo "setup: must be root to put criu into $to" >&2
    exit 69
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "setup: fetching criu for $to"
for try in 1 2 3; do
    rm -rf "$work/root"
    if mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='Acquire::Retries "3"' --include=criu,libc6 sid "$work/root" >"$work/log" 2>&1; then
        break
    fi
    if [ $try = 3 ]; then
        tail -5 "$work/log" >&2
        echo "setup: could not fetch criu (is the network there?)" >&2
        exit 69
    fi
    sleep $((try * 3))
done
program "$work/root" --version >/dev/null || { echo "setup: the criu that was fetched does not run here" >&2; exit 69; }
mkdir -p "$(dirname "$to")"
rm -rf "$to.new" "$to"
cp -a "$work/root" "$to.new"
# Only what it takes to run it.
rm -rf "$to.new"/{dev,proc,sys,tmp,var,etc} "$to.new"/usr/share
mv "$to.new" "$to"
