#!/usr/bin/python3
"""Counts what Swift Testing reported in its event streams (`--event-stream-output-path`).

    count_tests.py FILE...      prints "PASSED FAILED SKIPPED", then a line for each failure

A test that began and never ended, and a run that never ended, count as failures: the runner died.
"""
import json
import sys


class Run:
    def __init__(self, path):
        self.path = path
        self.functions = {}
        self.outcome = {}
        self.issues = {}
        self.ended = False
        self.problems = []
        try:
            with open(path, errors="replace") as lines:
                for number, line in enumerate(lines, 1):
                    self.take(number, line.strip())
        except OSError as error:
            self.problems.append(f"{path}: {error.strerror}")

    def take(self, number, line):
        if not line:
            return
        try:
            record = json.loads(line)
            payload = record["payload"]
        except (ValueError, KeyError, TypeError):
            self.problems.append(f"{self.path}:{number}: not an event: {line[:80]!r}")
            return
        if record["kind"] == "test":
            if payload["kind"] == "function":
                self.functions[payload["id"]] = payload.get("displayName", payload["name"])
            return
        kind, test = payload["kind"], payload.get("testID")
        if kind == "runEnded":
            self.ended = True
        elif kind == "testStarted":
            self.outcome.setdefault(test, "unfinished")
        elif kind == "testSkipped":
            self.outcome[test] = "skipped"
        elif kind == "testEnded":
            failed = any(message["symbol"] == "fail" for message in payload["messages"])
            self.outcome[test] = "failed" if failed else "passed"
        elif kind == "issueRecorded" and not payload["issue"].get("isKnown"):
            text = " ".join(message["text"] for message in payload["messages"])
            self.issues.setdefault(test, []).append(text)

    def count(self, outcome):
        return sum(1 for test in self.functions if self.outcome.get(test) == outcome)

    def failures(self):
        lines = list(self.problems)
        for test, outcome in self.outcome.items():
            if test in self.functions and outcome in ("failed", "unfinished"):
                why = "the runner died in it" if outcome == "unfinished" else "; ".join(self.issues.get(test, []))
                lines.append(f"{test.split('/')[0]} {self.functions[test]!r}: {why[:600]}")
        orphans = [text for test, texts in self.issues.items() if test not in self.functions for text in texts]
        lines += orphans
        if not self.ended:
            lines.append(f"{self.path}: the run did not end")
        return lines


def main():
    passed = failed = skipped = 0
    lines = []
    for path in sys.argv[1:]:
        run = Run(path)
        failures = run.failures()
        passed += run.count("passed")
        skipped += run.count("skipped")
        # Issues outside any test, and a run that died, are failures too.
        failed += len(failures)
        lines += failures
    print(passed, failed, skipped)
    for line in lines:
        print(line)


main()
