#!/bin/bash
# Installs what a step needs on Debian 12, and does nothing where all is there:
#
#     scripts/setup.sh GROUP...     build criu demo test bench lab lint
#
# The Swift toolchain is not installed, only looked for: in PATH or /opt/swift.
set -euo pipefail

packages() {
    case $1 in
        build) echo apt binutils btrfs-progs dpkg gcc git libc6-dev libcap-dev libmnl-dev libseccomp-dev libstdc++-12-dev make ;;
        criu) echo apt iproute2 mmdebstrap nftables tar ;;
        demo) echo apt busybox-static dpkg procps ;;
        test)
            echo acl apt attr bsdextrautils bsdutils btrfs-progs busybox-static coreutils dnsmasq-base dpkg e2fsprogs gcc \
                gzip iproute2 libc6-dev lxcfs mmdebstrap mount nftables openssh-client procps psmisc python3 skopeo strace tar tmux \
                util-linux xfsprogs xz-utils zstd
            ;;
        bench)
            echo busybox-static coreutils gcc golang-github-containers-common iproute2 libc6-dev libseccomp-dev lxc rsync \
                mmdebstrap mount nftables patchelf python3 util-linux xfsprogs btrfs-progs
            ;;
        lab) echo apt dpkg e2fsprogs kmod mmdebstrap python3 qemu-system-x86 busybox-static cpio zstd ;;
        lint) echo gcc python3 shellcheck ;;
        *)
            echo "setup: unknown group '$1' (groups: build criu demo test bench lab lint)" >&2
            exit 64
            ;;
    esac
}

wanted=() needs_lists=no
[ $# -gt 0 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
for group; do
    list=$(packages "$group")
    read -ra list <<<"$list"
    wanted+=("${list[@]}")
    # These ask Debian for packages of their own: templates, the benchmark's peers, the lab's kernel.
    case $group in demo | test | bench | lab) needs_lists=yes ;; esac
done

if ! PATH=$PATH:/opt/swift/usr/bin command -v swift >/dev/null; then
    echo "setup: no Swift toolchain in PATH or /opt/swift (install Swift 6.2 or later from swift.org)" >&2
    exit 69
fi

missing=()
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p') ||
    true
for package in "${wanted[@]}"; do
    grep -qxF -e "$package" <<<"$installed" || missing+=("$package")
done

# Package lists that are missing or old name files that the mirror no longer has. The lists themselves carry the
# mirror's dates; the directories tell when apt-get update was last at work.
lists_are_fresh() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit 2>/dev/null)" ] &&
        [ -n "$(find /var/lib/apt/lists /var/lib/apt/lists/partial -maxdepth 0 -mtime -7 -print -quit 2>/dev/null)" ]
}

update=no
if [ ${#missing[@]} -gt 0 ]; then update=yes; fi
if [ $needs_lists = yes ] && ! lists_are_fresh; then update=yes; fi
finish() {
    case " $* " in *" build "*) "$(dirname "$0")/static-libmnl.sh" ;; esac
    # Tests of suspend are skipped without it, and say so.
    case " $* " in
        *" criu "*) "$(dirname "$0")/criu.sh" ;;
        *" test "*) "$(dirname "$0")/criu.sh" || echo "setup: going on without criu" >&2 ;;
    esac
    exit 0
}
if [ $update = no ] && [ ${#missing[@]} -eq 0 ]; then finish "$@"; fi

if ! command -v apt-get >/dev/null; then
    echo "setup: no apt-get here; install by hand: ${missing[*]}" >&2
    exit 69
fi
if [ "$(id -u)" != 0 ]; then
    echo "setup: must be root to run: apt-get install ${missing[*]}" >&2
    exit 69
fi

# Another apt may hold the locks (unattended upgrades on a machine that just booted), and mirrors have bad moments.
apt() {
    local try
    for try in 1 2 3; do
        if DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
            apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"; then
            return 0
        fi
        echo "setup: apt-get $1 failed (try $try of 3)" >&2
        sleep $((try * 3))
    done
    return 1
}

apt update >/dev/null || lists_are_fresh ||
    { echo "setup: apt-get update failed (is the network there?)" >&2; exit 69; }
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    apt install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        { echo "setup: apt-get could not install: ${missing[*]}" >&2; exit 69; }
fi
finish "$@"
