#!/bin/bash
# Makes the lab's kernel, initramfs and root file system in .lab/SUITE, unless they are there and were made from the
# same inputs: lab/image.sh [SUITE]
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:-bookworm}
target=$PWD/.lab/$suite

# What tests call in the guest, and the libraries that the debug build links dynamically.
packages=acl,attr,bsdextrautils,bsdutils,btrfs-progs,busybox-static,e2fsprogs,gzip,iproute2,kmod,libcap2,libseccomp2
packages+=,dnsmasq-base,libstdc++6,lxcfs,mount,netbase,nftables,procps,psmisc,python3,strace,tar,tmux,util-linux,xfsprogs,xz-utils,zstd

key=$({ cat "$0" lab/init; echo "$suite $packages"; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$target/key" 2>/dev/null)" = "$key" ]; then exit 0; fi

echo "lab: making the image ($suite kernel, bookworm root)" >&2
rm -rf "$target"
mkdir -p "$target"
work=$(mktemp -d "$target/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# The kernel's package wants an initramfs made when it is installed; it is only unpacked here.
mmdebstrap --quiet --variant=extract --include=linux-image-cloud-amd64 "$suite" "$work/kernel"
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/root"

version=$(ls "$work/kernel/usr/lib/modules" 2>/dev/null || ls "$work/kernel/lib/modules")
modules=$(dirname "$(find "$work/kernel" -type d -path "*/lib/modules/$version" -print -quit)")
mkdir -p "$work/root/usr/lib/modules"
cp -a "$modules/$version" "$work/root/usr/lib/modules/"
cp "$work"/kernel/boot/vmlinuz-* "$target/vmlinuz"
depmod -b "$work/root" "$version"

# Initramfs: busybox and, in the order of their dependencies, the modules of the root's disk.
initramfs=$work/initramfs
mkdir -p "$initramfs"/{bin,dev,proc,root,modules}
cp /bin/busybox "$initramfs/bin/busybox"
install -m 0755 lab/init "$initramfs/init"
number=100
modprobe -d "$work/root" -S "$version" --show-depends -a virtio_pci virtio_blk crc32c_generic ext4 |
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
    while read -r module; do
        name=$number-$(basename "$module")
        number=$((number + 1))
        case $module in
            *.xz) xz -dc "$module" >"$initramfs/modules/${name%.xz}" && name=${name%.xz} ;;
            *.zst) zstd -qdc "$module" >"$initramfs/modules/${name%.zst}" && name=${name%.zst} ;;
            *) cp "$module" "$initramfs/modules/$name" ;;
        esac
        echo "/modules/$name" >>"$initramfs/modules/list"
    done
(cd "$initramfs" && find . | cpio --quiet -o -H newc | zstd -q) >"$target/initrd"

# The guest has no network, and templates are made of Debian packages: a repository of those that tests ask for.
mkdir -p "$work/root/srv/debian" "$work/root/lab"
(
    cd "$work/root/srv/debian"
    apt-get -q -o APT::Sandbox::User=root download busybox-static >/dev/null
    for file in *.deb; do
        dpkg-deb --field "$file"
        echo "Filename: ./$file"
        echo "Size: $(stat -c %s "$file")"
        echo "SHA256: $(sha256sum "$file" | cut -d' ' -f1)"
        echo
    done >Packages
)
rm -rf "$work/root/etc/apt/sources.list" "$work/root/etc/apt/sources.list.d" "$work/root/var/cache/apt"
echo "deb [trusted=yes] file:/srv/debian ./" >"$work/root/etc/apt/sources.list"
mkdir -p "$work/root/var/cache/apt/archives/partial"
chroot "$work/root" apt-get -q update >/dev/null
truncate -s 3G "$target/root.img"
mke2fs -q -t ext4 -O ^has_journal -d "$work/root" "$target/root.img"
echo "$version" >"$target/version"
echo "$key" >"$target/key"
