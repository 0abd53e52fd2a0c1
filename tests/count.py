#!/usr/bin/env python3
"""Counts what `meson test` noted: a cmocka program as its tests, any other by its own last line
`N passed, N failed, N skipped` or as one. Prints what each program said, with the whole output of those
that failed.

usage: count.py BUILD/meson-logs/testlog.json"""
import json
import re
import sys

CMOCKA_RUN = re.compile(r"^\[=+\] (?:.*: )?Running (\d+) test", re.M)
CMOCKA_PASSED = re.compile(r"^\[  PASSED  \] (\d+) test", re.M)
CMOCKA_SKIPPED = re.compile(r"^\[  SKIPPED \] (\d+) test", re.M)
OWN = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
FIRST, LAST = 60, 20  # lines shown of a program that failed


def total(pattern, text):
    return sum(int(n) for n in pattern.findall(text))


def count(test):
    """(passed, failed, skipped) of one program."""
    text = test.get("stdout", "") + "\n" + test.get("stderr", "")
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    own = OWN.findall(text)
    wanted = total(CMOCKA_RUN, text)
    if own:
        passed, failed, skipped = (int(n or 0) for n in own[-1])
    elif wanted:
        passed, skipped = total(CMOCKA_PASSED, text), total(CMOCKA_SKIPPED, text)
        failed = wanted - passed - skipped
    elif test["result"] == "SKIP":
        return 0, 0, 1
    else:
        return (1, 0, 0) if good else (0, 1, 0)
    # sanitizers find leaks after the last test
    return passed, failed if good else max(1, failed), skipped


def shown(test):
    text = (test.get("stdout", "") + "\n" + test.get("stderr", "")).strip().split("\n")
    text = [line for line in text if not line.startswith(("[ RUN ", "[       OK"))]
    if len(text) > FIRST + LAST:
        text[FIRST:-LAST] = ["[%d lines left out]" % (len(text) - FIRST - LAST)]
    return ["result: %s" % test["result"]] + text


def main():
    sums = [0, 0, 0]
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            counts = count(test)
            sums = [a + b for a, b in zip(sums, counts)]
            name = test["name"].split(" / ")[-1]
            print("%s %s: %d passed, %d failed, %d skipped, %.1f s" % (
                ("FAIL" if counts[1] else "ok", name) + counts + (test["duration"],)))
            if counts[1]:
                print("\n".join("    " + line for line in shown(test)))
    print("%d passed, %d failed, %d skipped" % tuple(sums))
    return 1 if sums[1] or not sums[0] else 0


if __name__ == "__main__":
    sys.exit(main())
