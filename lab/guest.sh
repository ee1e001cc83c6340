#!/bin/bash
# Process 1 of the lab's guest: a plain Linux with pure cgroup v2, the tests, power off. The kernel's command line says
# what to do; lab.env on the second disk carries what is longer.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o mode=620,gid=5,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
for module in overlay loop btrfs xfs veth bridge tun nf_tables fuse; do modprobe -q "$module"; done
ip link set lo up
hostname lab
dmesg -n 3
# shellcheck source=/dev/null
. /lab/lab.env
# At the paths of the host: the build knows where its sources are.
mkdir -p "$LAB_REPOSITORY" /opt/swift/usr/lib/swift
mount --bind /lab/repository "$LAB_REPOSITORY"
mount --bind /lab/swift /opt/swift/usr/lib/swift
if [ -d /lab/criu ]; then
    mkdir -p /usr/local/lib/ctr
    ln -s /lab/criu /usr/local/lib/ctr/criu
fi
cd "$LAB_REPOSITORY" || exit

case $LAB_ACTION in
    shell)
        echo "lab: $(uname -r); the repository is here, read only; exit powers off"
        setsid -c bash -i <>/dev/ttyS0 >&0 2>&0
        ;;
    test)
        stty -F /dev/ttyS1 raw -echo
        export CTR_BIN=$LAB_REPOSITORY/bin/ctr CTR_LAB=guest
        "$LAB_TESTS" --testing-library swift-testing --filter "$LAB_FILTER" \
            --event-stream-version 0 --event-stream-output-path /dev/ttyS1 </dev/null 2>&1
        status=$?
        echo "lab: the tests ended with status $status"
        ;;
esac
sync
# The console drains before the power goes.
sleep 1
echo o >/proc/sysrq-trigger
sleep 60
