#!/bin/bash
# One rule: an import follows an arrow of docs/architecture.md. A line below names a module and what it may import;
# FoundationEssentials (JSON) is allowed where it is listed, Foundation nowhere: its start-up costs milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."

arrows() {
    case $1 in
        Kernel) echo Glibc CLinux ;;
        Model) echo Kernel FoundationEssentials ;;
        Namespaces) echo Kernel Model CSeccomp CCap FoundationEssentials ;;
        Cgroups | Storage) echo Kernel Model FoundationEssentials ;;
        Network) echo Kernel Model CMnl FoundationEssentials ;;
        Checkpoint) echo Kernel Model FoundationEssentials ;;
        Runtime) echo Kernel Model Namespaces Cgroups Network Storage Checkpoint FoundationEssentials ;;
        # The command line makes no system call: it does not see Kernel. Glibc is its one way to `exit` and isatty.
        ctr) echo Model Cgroups Storage Runtime ArgumentParser FoundationEssentials Glibc ;;
        *) return 1 ;;
    esac
}

status=0
complain() {
    echo "$1" >&2
    status=1
}

for directory in Sources/*/; do
    module=$(basename "$directory")
    [ -n "$(find "$directory" -name '*.swift' -print -quit)" ] || continue
    if ! allowed=$(arrows "$module"); then
        complain "Sources/$module: no arrows are known for this module (add it to scripts/lint-imports.sh)"
        continue
    fi
    while IFS=: read -r file line text; do
        # `internal import struct Model.Size`: access level and kind before the name, a path after it.
        imported=$(sed -E 's/^ *(@[A-Za-z_]+(\([^)]*\))? +)*((public|package|internal|fileprivate|private) +)?import +((struct|class|enum|protocol|func|var|let|typealias) +)?([A-Za-z_0-9]+).*/\7/' <<<"$text")
        case " $allowed " in
            *" $imported "*) ;;
            *) complain "$file:$line: $module may not import $imported (it may: $allowed)" ;;
        esac
        case $module:$imported in
            ctr:Glibc) [[ $text == *import\ func* ]] ||
                complain "$file:$line: ctr imports single functions of Glibc only: internal import func Glibc.exit" ;;
        esac
    done < <(grep -rnE --include='*.swift' \
        '^ *(@[A-Za-z_]+(\([^)]*\))? +)*((public|package|internal|fileprivate|private) +)?import +' "$directory" || true)
done

# Tests may use Foundation and the whole package, but nothing that needs a registry.
while IFS=: read -r file line text; do
    complain "$file:$line: XCTest is not used here, Swift Testing is: ${text// /}"
done < <(grep -rnE --include='*.swift' '^ *import +XCTest' Tests 2>/dev/null || true)
exit $status
