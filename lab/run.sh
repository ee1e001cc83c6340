#!/bin/bash
# Boots the lab and runs the tests of the last `swift build --build-tests` in it; see lab/README.md.
#
#     lab/run.sh EVENTS [FILTER] | --shell
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 64; }
case $1 in
    --shell) events=/dev/null action=shell ;;
    *) events=$(realpath "$1") action=test ;;
esac
cd "$(dirname "$0")/.."
filter=${2:-${LAB_FILTER:-'^(CgroupsTests|EndToEndTests\.(Run|Isolation|Exec|Lifecycle|Mount|Server|Supervisor|Distribution|MinimalInit|Disk|DiskVerb|Snapshot|Clone|Wall|Reach)Tests|EndToEndTests\.Suspend(Engine)?Tests/(findsTheCgroups|goesOnWithout|limitsAndWalls))'}}
suite=${LAB_SUITE:-bookworm}
image=$PWD/.lab/$suite
lab/image.sh "$suite"

work=$(mktemp -d "$PWD/.lab/run.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The second disk: the build at its own path, and the Swift libraries that it links.
build=$(realpath .build/debug)
repository=$work/disk/repository
mkdir -p "$repository/bin" "$work/disk/swift/linux"
tests=$(find "$build" -maxdepth 1 -name '*.xctest' -print -quit)
[ -n "$tests" ] || { echo "lab: no tests are built (swift build --build-tests)" >&2; exit 1; }
mkdir -p "$repository/${build#"$PWD"/}"
ln -s "$(basename "$(dirname "$build")")/debug" "$repository/.build/debug" 2>/dev/null || true
find "$build" -maxdepth 1 -type f -perm -u+x ! -name '*.so' -print0 | while IFS= read -r -d '' program; do
    # Without debug information the disk is a tenth of the size.
    strip -g -o "$repository/${program#"$PWD"/}" "$program"
done
find "$build" -maxdepth 1 -name '*.resources' -exec cp -a {} "$repository/${build#"$PWD"/}/" \;
cp -a Tests "$repository/"
[ -d rootfs-templates ] && cp -a rootfs-templates "$repository/"
[ -x bin/ctr ] && cp bin/ctr "$repository/bin/ctr"
# Debian's own system as a template, which the tests on the host have built (Tests/EndToEndTests/Distribution.swift).
if compgen -G ".lab/templates/*.tar" >/dev/null; then
    mkdir -p "$repository/.lab/templates"
    cp .lab/templates/*.tar "$repository/.lab/templates/"
fi
swift=$(dirname "$(dirname "$(readlink -f "$(PATH=$PATH:/opt/swift/usr/bin command -v swift)")")")/lib/swift/linux
cp "$swift"/*.so "$work/disk/swift/linux/"
# criu is of a later Debian than the guest: the prefix in which it is on this host.
if [ -d /usr/local/lib/ctr/criu ]; then cp -a /usr/local/lib/ctr/criu "$work/disk/criu"; fi
cp lab/guest.sh "$work/disk/guest.sh"
{
    printf 'LAB_ACTION=%q\nLAB_REPOSITORY=%q\nLAB_TESTS=%q\nLAB_FILTER=%q\n' "$action" "$PWD" "$tests" "$filter"
} >"$work/disk/lab.env"
mke2fs -q -t ext4 -O ^has_journal -d "$work/disk" "$work/lab.img" "$(($(du -sm "$work/disk" | cut -f1) + 64))M" >/dev/null
rm -rf "$work/disk"

echo "lab: booting Linux $(cat "$image/version"), tests $filter"
qemu=(qemu-system-x86_64 -accel "tcg,thread=multi" -cpu "max,la57=off" -smp 2 -m 3072 -nodefaults -no-user-config
    -display none -no-reboot -net none
    -kernel "$image/vmlinuz" -initrd "$image/initrd" -append "console=ttyS0 quiet panic=-1 mitigations=off"
    -drive "file=$image/root.img,if=virtio,format=raw,snapshot=on"
    -drive "file=$work/lab.img,if=virtio,format=raw,snapshot=on")
export TMPDIR=$work
if [ $action = shell ]; then
    "${qemu[@]}" -serial mon:stdio
    exit
fi
: >"$events"
status=0
# In the background, so that a signal to this script is taken at once and ends the machine too.
trap 'exit 143' INT TERM
timeout --kill-after=10 "${LAB_SECONDS:-1700}" \
    "${qemu[@]}" -serial "file:$work/console" -serial "file:$events" </dev/null &
machine=$!
trap 'kill $machine 2>/dev/null || true; rm -rf "$work"' EXIT
wait $machine || status=$?
# Control sequences of a terminal that is none.
sed -E 's/\x1b\[[0-9;?]*[a-zA-Z]|\r//g' "$work/console"
if [ $status != 0 ]; then
    echo "lab: the machine ended with status $status (124: after ${LAB_SECONDS:-1700} s)" >&2
    exit $status
fi
result=$(sed -nE 's/.*lab: the tests ended with status ([0-9]+).*/\1/p' "$work/console" | tail -n 1)
exit "${result:-1}"
