"""Counts and prints the checks of this folder: `ok WHAT`, `FAIL WHAT: why`, `skip WHAT: why`."""
import os
import subprocess
import time

counts = {"passed": 0, "failed": 0, "skipped": 0}


class Skip(Exception):
    """The machine lacks what this check needs."""


def run(function, *arguments):
    """One check: a function that raises when what it is about does not hold. True: it holds."""
    name = " ".join([function.__name__] + [a for a in arguments if isinstance(a, str)])
    started = time.monotonic()
    try:
        function(*arguments)
    except Skip as why:
        counts["skipped"] += 1
        print("skip %s: %s" % (name, why), flush=True)
        return False
    except Exception as why:  # a check may fail in any way; the run goes on
        counts["failed"] += 1
        print("FAIL %s: %s" % (name, why), flush=True)
        return False
    counts["passed"] += 1
    print("ok %s %.1f s" % (name, time.monotonic() - started), flush=True)
    return True


def end():
    print("%d passed, %d failed, %d skipped" % (counts["passed"], counts["failed"], counts["skipped"]))
    return 1 if counts["failed"] else 0


def command(*arguments, seconds=60, environment=None, cwd=None):
    """(exit code, everything it printed)"""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          timeout=seconds, env=environment or dict(os.environ, SYSTEMD_COLORS="0"), cwd=cwd)
    return done.returncode, done.stdout.decode("utf-8", "replace")
