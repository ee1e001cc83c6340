#!/bin/bash
# Puts libmnl's static archive, with which the release is linked, into /usr/local/lib/ctr-build, once.
#
# Debian 12's libmnl-dev has the shared library only; that of the release after it (libmnl 1.0.5, the same interface)
# brings the archive. Only the archive is taken from it, fetched by apt from the mirror that this machine uses, and held
# against the sum below.
set -euo pipefail

to=/usr/local/lib/ctr-build/libmnl.a
[ -s "$to" ] && exit 0
case $(dpkg --print-architecture) in
    amd64) sum=7f9a7c3f470ec400171981816df189ec86b11083c3f8d391d0800ed09a87bfc3 ;;
    arm64) sum=046ecea98bfb827fffdc9a19c3efd75b9862995e3532987a9272787e70a3a9b6 ;;
    *) echo "setup: no static libmnl is known for this architecture: put one at $to" >&2; exit 69 ;;
esac
shipped=$(find /usr/lib -name libmnl.a -print -quit 2>/dev/null)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "$shipped" ]; then
    # 'http://mirror/debian/pool/main/libm/libmnl/libmnl-dev_1.0.4-3_amd64.deb' name size sum
    url=$(cd "$work" && apt-get download --print-uris libmnl-dev | sed -n "s|^'\(.*\)/[^/]*\.deb' .*|\1|p" | head -1)
    [ -n "$url" ] || { echo "setup: apt knows no place to get libmnl from" >&2; exit 69; }
    /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=3 download-file \
        "$url/libmnl-dev_1.0.5-3_$(dpkg --print-architecture).deb" "$work/libmnl.deb" "SHA256:$sum" >/dev/null ||
        { echo "setup: could not fetch libmnl's static archive (put one at $to)" >&2; exit 69; }
    dpkg-deb -x "$work/libmnl.deb" "$work/root"
    shipped=$(find "$work/root/usr/lib" -name libmnl.a -print -quit)
fi
install -D -m 0644 "$shipped" "$to.new"
mv "$to.new" "$to"
