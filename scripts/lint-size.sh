#!/bin/bash
# One rule: a source file is about one subject. Past 450 lines it is about two.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
while read -r lines file; do
    [ "$file" = total ] && continue
    if [ "$lines" -gt 450 ]; then
        echo "$file: $lines lines; split it by subject (Type+Aspect.swift)" >&2
        status=1
    fi
done < <(find Sources -name '*.swift' -exec wc -l {} +)
exit $status
