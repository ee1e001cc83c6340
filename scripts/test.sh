#!/bin/bash
# Runs every test: the suites of Tests/ on this kernel, those that need more in the lab, and the search for leftovers.
# The last line sums up all of them. The release program is there already (make test).
#
#     scripts/test.sh [FILTER]      only tests whose name matches the regular expression; without the lab
set -uo pipefail
cd "$(dirname "$0")/.." || exit
exec 2>&1 # one stream, so that lines stay in order and the sum stays last
filter=${1-}
export PATH=$PATH:/opt/swift/usr/bin
# End-to-end tests drive the program that users get, not the debug build beside the tests.
export CTR_BIN=$PWD/bin/ctr

work=$(mktemp -d -t test-run.XXXXXX)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
broken=()

# Adds the figures of an event stream; a suite that fails without naming a failed test has one failure all the same.
count() {
    local name=$1 events=$2 status=$3 p=0 f=0 s=0
    {
        read -r p f s
        while read -r line; do broken+=("$name: $line"); done
    } < <(scripts/count_tests.py "$events")
    if [ "$status" != 0 ] && [ "$f" = 0 ]; then
        f=1
        broken+=("$name: ended with status $status")
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

single() {
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        broken+=("$1")
    fi
}

finish() {
    if [ ${#broken[@]} -gt 0 ]; then
        echo
        echo "failed:"
        printf '  %s\n' "${broken[@]}"
    fi
    echo
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ] || exit 1
    exit 0
}

echo "== build of the tests"
if ! swift build --build-tests; then
    single "build of the tests" 1
    finish
fi

scripts/check-leftovers.sh snapshot "$work/before"

echo "== tests on this kernel ($(uname -r))"
timeout --kill-after=30 "${CTR_TEST_SECONDS:-2100}" \
    swift test --skip-build --disable-xctest ${filter:+--filter "$filter"} \
    --event-stream-version 0 --event-stream-output-path "$work/host.json" </dev/null
count "this kernel" "$work/host.json" $?

if [ -z "$filter" ]; then
    # Alone: the kernel's table of neighbours is one for all network namespaces, and so many VPSs fill it.
    echo "== 200 VPSs on one bridge"
    CTR_TEST_NETWORK_SCALE=200 timeout --kill-after=30 400 \
        swift test --skip-build --disable-xctest --filter NetworkScaleTests \
        --event-stream-version 0 --event-stream-output-path "$work/scale.json" </dev/null
    count "200 VPSs" "$work/scale.json" $?
fi

if [ -z "$filter" ] && [ "${CTR_LAB:-yes}" != no ]; then
    echo "== tests in the lab"
    lab/run.sh "$work/lab.json"
    count "lab" "$work/lab.json" $?
fi

echo "== leftovers"
scripts/check-leftovers.sh compare "$work/before"
status=$?
single "leftovers on the host (see above)" $status
[ $status = 0 ] && echo "none"
finish
