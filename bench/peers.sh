#!/bin/bash
# Gets the newest crun and runc that Debian has into DIR/bin, with the libraries they want, without installing them:
#
#     bench/peers.sh DIR
#
# They are Debian unstable's, told where their own libraries are; this host's packages stay as they are.
set -euo pipefail
target=$1
[ -x "$target/bin/crun" ] && [ -x "$target/bin/runc" ] && exit 0

mkdir -p "$(dirname "$target")"
work=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
echo "bench: getting crun and runc of Debian unstable" >&2
mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=crun,runc,libc6 sid "$work/root"
rm -rf "$target"
mkdir -p "$target/bin"
mv "$work/root" "$target/root"
libraries=$target/root/usr/lib/x86_64-linux-gnu
for program in usr/bin/crun usr/sbin/runc; do
    # The interpreter is set in the file and not given on the command line: both start themselves again through
    # /proc/self/exe, and neither should pay for an odd way of starting.
    cp "$target/root/$program" "$target/bin/"
    patchelf --set-interpreter "$target/root/usr/lib64/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" \
        "$target/bin/$(basename "$program")"
    "$target/bin/$(basename "$program")" --version >/dev/null
done
