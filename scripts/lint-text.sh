#!/bin/bash
# One rule: text files are as .editorconfig says: UTF-8, LF, no trailing blanks, a newline at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - <<'PY'
import os, subprocess, sys
status = 0
names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=True).stdout
for name in filter(None, names.decode().split("\0")):
    if not os.path.isfile(name) or os.path.islink(name):
        continue
    data = open(name, "rb").read()
    if b"\0" in data or not data:
        continue
    complaints = []
    try:
        data.decode()
    except UnicodeDecodeError as error:
        complaints.append(f"not UTF-8 at byte {error.start}")
    if b"\r" in data:
        complaints.append("carriage return")
    if not data.endswith(b"\n"):
        complaints.append("no newline at the end")
    for number, line in enumerate(data.split(b"\n"), 1):
        if line != line.rstrip(b" \t"):
            complaints.append(f"trailing blanks in line {number}")
            break
    for complaint in complaints:
        print(f"{name}: {complaint}", file=sys.stderr)
        status = 1
sys.exit(status)
PY
