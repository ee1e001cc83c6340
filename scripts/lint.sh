#!/bin/bash
# Every check that needs no build: all are run, and one that fails fails the whole.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
PATH=$PATH:/opt/swift/usr/bin
failed=0

check() {
    local name=$1
    shift
    if "$@"; then
        echo "lint: $name: ok"
    else
        echo "lint: $name: FAILED" >&2
        failed=1
    fi
}

sources=(Sources Package.swift)
[ -d Tests ] && sources+=(Tests)
# An executable without .sh at its end is found by its first line.
mapfile -t scripts < <(git ls-files -co --exclude-standard |
    while read -r file; do
        [ -f "$file" ] || continue
        head -c 32 "$file" | head -n 1 | tr -d '\0' | grep -qE '^#!.*\b(ba)?sh\b' && echo "$file"
    done)

check swift-format swift format lint --strict --recursive --parallel "${sources[@]}"
check shellcheck shellcheck --severity=style --external-sources "${scripts[@]}"
for rule in scripts/lint-*.sh; do check "$(basename "$rule" .sh)" "$rule"; done
exit $failed
