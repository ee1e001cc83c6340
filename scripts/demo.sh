#!/bin/bash
# Shows the main job from end to end with real commands: `make demo`. Everything lies below one temporary directory,
# which is removed at the end; a step that does not do what it should ends the demo with an error.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
    echo "demo: must be root: ctr makes namespaces, mounts and cgroups" >&2
    exit 77
fi

base=$(mktemp -d -t ctr-demo.XXXXXX)
export CTR_ROOT=$base/lib CTR_STATE=$base/run CTR_CONFIG=$base/config.json
# Without a network: what the host passes on, and its packet filter, are its operator's to set up.
echo "{\"idRegistry\": \"$base/ids\", \"net\": \"none\"}" >"$CTR_CONFIG"
PATH=$PWD/bin:$PATH

parent=
leave() {
    local status=$?
    for name in $(ctr --quiet list 2>/dev/null); do ctr destroy --force "$name" || true; done
    rm -rf --one-file-system "$base"
    # The parent of all cgroups of one state directory outlives them.
    if [ -n "$parent" ]; then find /sys/fs/cgroup -maxdepth 2 -type d -name "$parent" -exec rmdir {} \; ; fi
    [ $status = 0 ] || echo "demo: a step failed (status $status)" >&2
    exit $status
}
trap leave EXIT
trap 'exit 130' INT TERM

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# Prints the command as one would type it, runs it, and insists on its exit status.
show() {
    local expected=0 status=0
    if [ "$1" = --status ]; then
        expected=$2
        shift 2
    fi
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    bash -o pipefail -c "$1" 2>&1 || status=$?
    if [ "$status" != "$expected" ]; then
        echo "demo: status $status where $expected was expected" >&2
        exit 1
    fi
    if [ "$expected" != 0 ]; then echo "(status $status)"; fi
}

title "A template: a root file system that is never written to again"
show "ctr template build rootfs-templates/minimal"
show "ctr template list"

title "The main job: a command in a virtual server of its own, gone when it ends"
show "ctr run minimal echo hello"
show "time ctr run minimal true"

title "It is root of an own system and nobody on the host"
show "ctr run --name demo minimal sh -c 'id; hostname; cat /proc/self/uid_map; ps; ip -o link | cut -c1-40'"
show "ctr run minimal sh -c 'mount | cut -c1-72'"

title "What would change the host is refused"
show --status 1 "ctr run minimal sh -c 'echo 1 > /proc/sys/vm/drop_caches'"
show --status 1 "ctr run minimal mknod /dev/disk b 254 0"
show --status 1 "ctr run minimal sh -c 'mount -o remount,rw /sys || exit 1'"

title "Streams and exit statuses pass through"
show "head -c 10000000 /dev/zero | ctr run minimal wc -c"
show --status 7 "ctr run minimal sh -c 'exit 7'"
show --status 127 "ctr run minimal no-such-program"

title "Limits: 32 MB of memory, 20 processes"
show --status 137 "ctr run --memory 32M --swap 0 minimal dd if=/dev/zero of=/dev/null bs=100M count=1"
show --status 2 "ctr run --pids 20 minimal sh -c 'for i in \$(seq 30); do sleep 1 & done' 2>&1 | tail -n 1"

title "Detached, with a log; more commands join it"
show "ctr run -d --name web --memory 64M minimal sh -c 'for i in 1 2 3; do echo request \$i; done; exec sleep 1000'"
show "ctr list"
pid=$(ctr --json list | grep -oE '"pid" *: *[0-9]+' | grep -oE '[0-9]+$')
parent=$(sed -nE 's#^0::/([^/]+)/.*#\1#p' "/proc/$pid/cgroup")
show "ctr exec web -- ps"
show "ctr exec web -- sh -c 'echo changed > /etc/motd; cat /etc/motd'"
show "ctr logs web"
show "ctr show web | head -n 12"
show "ctr stop --timeout 1 web"
show "ctr list"

title "Nothing stays"
show "ls \$CTR_ROOT/vps \$CTR_STATE"
show "grep -c \$CTR_STATE /proc/self/mountinfo || true"
show "find /sys/fs/cgroup -type d -path '*/$parent/*' | wc -l"
