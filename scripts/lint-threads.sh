#!/bin/bash
# One rule: nothing in Sources may make a thread. After one Task, DispatchQueue or Foundation.Process, unshare and setns
# fail with EINVAL for good, and a clone may inherit a lock that nobody will release.
set -euo pipefail
cd "$(dirname "$0")/.."
pattern='(?<!")\b((async|await)\b|Task(\.detached)? *[{(]|withTaskGroup|actor +[A-Z]|@MainActor|Dispatch(Queue|Group|Semaphore|Source)|'
pattern+='OperationQueue|Foundation\.Process|Process\(\)|Thread(\.detach| *\(|\.start)|pthread_create|AsyncParsableCommand)'
found=$(grep -rnP --include='*.swift' "$pattern" Sources | grep -vE '^[^:]+:[0-9]+: *//' || true)
[ -z "$found" ] && exit 0
echo "$found" >&2
echo "threads are not allowed in Sources (docs/architecture.md, \"One thread\")" >&2
exit 1
