#!/bin/bash
# One rule: every library module opens with a page that tells what belongs in it, what does not, and its use.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
for module in Kernel Model Namespaces Cgroups Network Storage Checkpoint Runtime; do
    [ -d "Sources/$module" ] || continue
    page=Sources/$module/$module.docc/$module.md
    if [ ! -s "$page" ]; then
        echo "$page: missing" >&2
        status=1
    elif ! grep -q '```swift' "$page"; then
        echo "$page: shows no use of the module (a swift code block)" >&2
        status=1
    fi
done
exit $status
