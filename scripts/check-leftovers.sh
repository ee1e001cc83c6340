#!/bin/bash
# Finds what ctr or its tests left on the host: mounts, cgroups, loop devices, network links and namespaces, processes,
# files. A list is taken before the work and compared after it.
#
#     scripts/check-leftovers.sh snapshot FILE
#     scripts/check-leftovers.sh compare FILE      exit 1 and the list of what is new, if anything is
set -euo pipefail

[ $# = 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
action=$1 file=$2

# What matters outlives its maker or hides from it; each line begins with its kind. Device and mount numbers are left
# out: they change without anybody's doing.
listing() {
    sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ ([^ ]+) ([^ ]+) .* - ([^ ]+) ([^ ]+) .*/mount \2 (\3 of \4, root \1)/' \
        /proc/self/mountinfo |
        grep -v '^mount /run/netns '  # made by the first `ip netns add` and kept by iproute2
    # Cgroups of ctr, in every hierarchy. The hidden test parents of the suite begin with "ctr" too.
    find /sys/fs/cgroup -mindepth 1 -type d -name 'ctr*' -not -path '*/ctr*/*' -printf 'cgroup %p\n' 2>/dev/null || true
    find /sys/fs/cgroup -mindepth 2 -type d -path '*/ctr*/*' -printf 'cgroup %p\n' 2>/dev/null || true
    losetup --list --noheadings --raw --output NAME,BACK-FILE 2>/dev/null | sed 's/^/loop device /'
    ip -o link show 2>/dev/null | sed -E 's/^[0-9]+: ([^:@]+).*/link \1/'
    ip netns list 2>/dev/null | sed -E 's/^([^ ]+).*/network namespace \1/'
    processes
    for directory in /var/lib/ctr /run/ctr /dev/shm /tmp; do
        [ -d "$directory" ] || continue
        # In shared directories only what names itself after ctr is ours to judge.
        case $directory in
            /tmp | /dev/shm) find "$directory" -mindepth 1 -maxdepth 1 -name '*ctr*' -printf 'file %p\n' ;;
            *) find "$directory" -mindepth 1 -maxdepth 2 -printf 'file %p\n' ;;
        esac
    done
}

# Processes whose program is called ctr or a probe of the tests, that live in a cgroup of ctr, or whose root is not the
# host's: a VPS's process without a supervisor looks like any other.
processes() {
    local pid root own program
    own=$(stat -Lc %d:%i /proc/self/root/)
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        program=$(readlink "/proc/$pid/exe" 2>/dev/null) || continue
        root=$(stat -Lc %d:%i "/proc/$pid/root/" 2>/dev/null) || continue
        if [[ ${program% (deleted)} == */ctr || $program == *-probe* || $program == *Probe* || $root != "$own" ]] ||
            grep -q '/ctr' "/proc/$pid/cgroup" 2>/dev/null; then
            echo "process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | head -c 120))"
        fi
    done
}

# Who keeps a loop device: a mount in some namespace, an open file; and whether it goes with its last user at all.
users() {
    local file
    echo "  $1: autoclear $(cat "/sys/block/${1#/dev/}/loop/autoclear" 2>/dev/null)"
    for file in $(grep -ls -- " $1 " /proc/[0-9]*/mountinfo) $(find /proc/[0-9]*/fd -lname "$1*" 2>/dev/null); do
        file=${file#/proc/}
        echo "  $1: used by $file ($(tr "\0" " " 2>/dev/null <"/proc/${file%%/*}/cmdline" | head -c 120))"
    done
}

case $action in
    snapshot) listing | sort -u >"$file" ;;
    compare)
        # What is being torn down by the kernel or by a process already dying gets a moment.
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            new=$(listing | sort -u | comm -13 "$file" -)
            [ -z "$new" ] && exit 0
            sleep 0.5
        done
        echo "left behind:" >&2
        # The first shows every kind; a flood of one kind is cut.
        awk '{ if (++count[$1] <= 20) print "  " $0 } END { for (k in count) if (count[k] > 20)
            print "  ... and " count[k] - 20 " more of kind " k }' <<<"$new" >&2
        sed -n 's/^loop device \([^ ]*\) .*/\1/p' <<<"$new" | while read -r device; do users "$device"; done >&2
        exit 1
        ;;
    *) echo "check-leftovers: snapshot or compare, not '$action'" >&2; exit 64 ;;
esac
