#!/usr/bin/env python3
"""The systemd unit, the user it runs as, and the server behind its system call filter.

usage: unit.py --server PATH      ends with `N passed, N failed, N skipped`"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
sys.path[:0] = [here, os.path.dirname(here)]

import report  # noqa: E402
import sandbox  # noqa: E402
from report import Skip, command  # noqa: E402
from ua import check, same  # noqa: E402

EXPOSURE = 15   # tenths; what systemd calls OK ends at 40


class Unit:
    """The unit with the paths of the programs under test, in a directory of its own."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        self.path = os.path.join(directory, "imserv.service")
        with open(os.path.join(root, "config/systemd/imserv.service.in")) as source, open(self.path, "w") as out:
            out.write(source.read().replace("@SBINDIR@/imservd", server))

    def value(self, name):
        words = sandbox.settings(self.path, name)
        return words[-1][0] if words else None

    def behind_filter(self, *arguments):
        return command(sys.executable, os.path.join(here, "sandbox.py"), self.path, *arguments)


def needs(program):
    if not shutil.which(program):
        raise Skip("no %s here" % program)


def verified(unit):
    """systemd-analyze verify finds nothing wrong."""
    needs("systemd-analyze")
    code, out = command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit.path)
    same((code, out.strip()), (0, ""), "systemd-analyze verify")
    # a unit that is wrong is noticed
    bad = os.path.join(unit.directory, "bad.service")
    with open(unit.path) as source, open(bad, "w") as out:
        out.write(source.read().replace("ProtectSystem=strict", "ProtectSystem=absolutely"))
    code, out = command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", bad)
    check("absolutely" in out or code != 0, "a wrong value is not noticed")


def exposed_little(unit):
    """systemd-analyze security: the exposure stays under the threshold."""
    needs("systemd-analyze")
    code, out = command("systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=%d" % EXPOSURE,
                        unit.path)
    same(code, 0, out.strip().splitlines()[-1])


def life_and_limits(unit):
    """The manager waits longer than a drain takes, watches, and does not start a bad configuration again and again."""
    _, out = command(unit.server, "--print-config")
    drain = re.search(r"\bdrain: *(\d+)s", out)
    check(drain, "no runtime.drain in --print-config")
    check(int(unit.value("TimeoutStopSec").rstrip("s")) >= int(drain[1]) + 10, "TimeoutStopSec is not over the drain")
    same(unit.value("Type"), "notify", "Type")
    same(unit.value("RestartPreventExitStatus"), "2", "RestartPreventExitStatus")
    check(unit.value("WatchdogSec"), "no WatchdogSec")
    check(unit.value("LimitNOFILE"), "no LimitNOFILE")
    same(len(sandbox.settings(unit.path, "ExecReload")), 2, "ExecReload checks, then signals")


def filter_refuses(unit):
    """The filter is in force at all: no mount, no raw sockets, no memory that is written and executed."""
    needs("systemd-analyze")
    tries = {
        "a mount": "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
                   "raise SystemExit(c.mount(b'none', b'/', b'tmpfs', 0, None) == 0 or ctypes.get_errno() != 1)",
        "a raw socket": "import socket\ntry: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
                        "except OSError as e: raise SystemExit(e.errno != 97)\nraise SystemExit(1)",
        "a page of code": "import mmap\ntry: mmap.mmap(-1, 4096, prot=7)\n"
                          "except PermissionError: raise SystemExit(0)\nraise SystemExit(1)",
    }
    for what, text in tries.items():
        code, out = unit.behind_filter(sys.executable, "-c", text)
        same(code, 0, "%s: %s" % (what, out.strip()[-200:]))


def served_behind_filter(unit, io):
    """A session and messages with the server behind the filter: nothing it needs is missing."""
    needs("systemd-analyze")
    wrapper = os.path.join(unit.directory, "behind-filter")
    with open(wrapper, "w") as out:
        out.write("#!/bin/sh\nexec %s %s/sandbox.py %s %s \"$@\"\n" % (sys.executable, here, unit.path, unit.server))
    os.chmod(wrapper, 0o755)
    # the leak check traces the process, which the filter forbids
    environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    code, out = command(sys.executable, os.path.join(root, "tests/scenario/run.py"), "--server", wrapper, "--mode",
                        "standalone", "--workers", "2", "--io", io, "--transport", "tls", "--match", "im_session",
                        seconds=120, environment=environment)
    if "is not available here" in out:
        raise Skip("%s is not available here" % io)
    same(code, 0, out[-600:])
    check("\nok im_session" in "\n" + out, "no session: %s" % out[-600:])


def user(unit):
    """systemd-sysusers makes the user that the unit names."""
    needs("systemd-sysusers")
    with tempfile.TemporaryDirectory(prefix="imserv-root-") as target:
        os.mkdir(target + "/etc")
        code, out = command("systemd-sysusers", "--root=" + target, os.path.join(root, "config/systemd/imserv.sysusers"))
        same(code, 0, out)
        with open(target + "/etc/passwd") as passwd:
            names = [line.split(":")[0] for line in passwd]
        same(names, [unit.value("User")], "users")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    server = os.path.abspath(parser.parse_args().server)
    with tempfile.TemporaryDirectory(prefix="imserv-unit-") as directory:
        unit = Unit(server, directory)
        for function, arguments in ((verified, ()), (exposed_little, ()), (life_and_limits, ()), (filter_refuses, ()),
                                    (served_behind_filter, ("io_uring",)), (served_behind_filter, ("epoll",)),
                                    (user, ())):
            report.run(function, unit, *arguments)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
