#!/bin/bash
# Writes the completions that the program generates for bash, zsh and fish: scripts/completions.sh PROGRAM SHARE
set -euo pipefail
program=$1 share=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
while read -r shell file; do
    # Written whole or not at all: an empty completion file would hide one that works.
    "$program" completion "$shell" >"$work/$shell"
    [ -s "$work/$shell" ] || { echo "completions: $program completion $shell printed nothing" >&2; exit 1; }
    install -D -m 0644 "$work/$shell" "$share/$file"
done <<'LIST'
bash bash-completion/completions/ctr
zsh zsh/site-functions/_ctr
fish fish/vendor_completions.d/ctr.fish
LIST
