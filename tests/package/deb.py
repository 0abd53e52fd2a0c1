#!/usr/bin/env python3
"""The Debian package: built, looked into, and in a root of its own installed, started, used, removed and purged.
That root is this machine's, in namespaces for mounts and network, behind an overlay whose changes go away with us.

usage: deb.py      ends with `N passed, N failed, N skipped`"""
import glob
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
from report import Skip, command  # noqa: E402
from ua import check, same  # noqa: E402

WANTED = ("/etc/imserv/imserv.yaml", "/lib/systemd/system/imserv.service", "/usr/bin/imflood", "/usr/bin/imservctl",
          "/usr/lib/sysusers.d/imserv.conf", "/usr/sbin/imservd", "/usr/share/doc/imserv/copyright")
PERMITTED = re.compile(r"/usr/share/(man/man[158]/im|bash-completion/completions/im|doc/imserv/)")
SECONDS = 600   # for the build, on a machine that is slow and busy


class Package:
    def __init__(self, directory):
        self.directory, self.file = directory, None

    @property
    def tree(self):
        return os.path.join(self.directory, "imserv")

    def installed(self, path):
        """Where the build has put it."""
        return os.path.join(self.tree, "debian/imserv", path.lstrip("/"))


def copy_tree(target):
    """The sources without what builds and tests have left in them."""
    shutil.copytree(root, target, symlinks=True, ignore=shutil.ignore_patterns(
        ".git", "build*", "__pycache__", "*.db*", "*.token"))


def built(package):
    """dpkg-buildpackage makes one package of a clean tree, with debhelper's flags."""
    for program in ("dpkg-buildpackage", "dh"):
        if not shutil.which(program):
            raise Skip("no %s here" % program)
    copy_tree(package.tree)
    environment = dict(os.environ, DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=%d" % os.cpu_count(),
                       CCACHE_BASEDIR=package.directory, CCACHE_NOHASHDIR="1")
    for name in ("CFLAGS", "LDFLAGS", "CC"):
        environment.pop(name, None)
    if os.path.isdir("/usr/lib/ccache"):
        environment["PATH"] = "/usr/lib/ccache:" + environment["PATH"]
    code, out = command("dpkg-buildpackage", "-us", "-uc", "-b", seconds=SECONDS, environment=environment,
                        cwd=package.tree)
    same(code, 0, out[-3000:])
    same(re.findall(r"^.*\bwarning: .*\[-W.*$", out, re.M)[:3], [], "compiler warnings with dpkg's flags")
    files = glob.glob(package.directory + "/*.deb")
    same(len(files), 1, "packages")
    package.file = files[0]


def contents(package):
    """The programs, the unit, the user, one conffile; nothing anywhere else."""
    _, out = command("dpkg-deb", "-c", package.file)
    files = {line.split()[5].lstrip(".") for line in out.splitlines() if not line.startswith("d")}
    same(sorted(set(WANTED) - files), [], "missing files")
    same([f for f in sorted(files - set(WANTED)) if not PERMITTED.match(f)], [], "unexpected files")
    same([line for line in out.splitlines() if line.split()[1] != "root/root"], [], "not root's")
    _, out = command("dpkg-deb", "-I", package.file, "conffiles")
    same(out.split(), ["/etc/imserv/imserv.yaml"], "conffiles")
    with open(package.installed("/lib/systemd/system/imserv.service")) as unit:
        check("ExecStart=/usr/sbin/imservd -c /etc/imserv/imserv.yaml\n" in unit.read(), "ExecStart")


def hardened(package):
    """Position independent, bound at the start, with checked string functions: dpkg's hardening flags arrived."""
    if not shutil.which("readelf"):
        raise Skip("no readelf here")
    for program in ("/usr/sbin/imservd", "/usr/bin/imservctl", "/usr/bin/imflood"):
        _, out = command("readelf", "--wide", "-h", "-l", "-d", "--dyn-syms", package.installed(program))
        for what, pattern in (("PIE", r"Flags:.*\bPIE\b"), ("BIND_NOW", r"Flags:.*\bNOW\b"), ("RELRO", "GNU_RELRO"),
                              ("a checked function", r"_chk@")):
            check(re.search(pattern, out), "%s: no %s" % (program, what))


def lintian(package):
    """lintian finds nothing, but for the licence that is not there yet."""
    if not shutil.which("lintian"):
        raise Skip("no lintian here")
    code, out = command("lintian", "--allow-root", "--profile", "debian", "--fail-on", "error,warning",
                        package.file, seconds=SECONDS)
    same(code, 0, out[-1000:])


def lives(package):
    """What happens in the root of its own is a list of checks, too, with its own lines."""
    inside = [sys.executable, os.path.join(here, "deb_root.py"), package.file]
    code, _ = command("unshare", "--mount", "--net", "true")
    if code != 0:
        raise Skip("no namespaces here")
    done = subprocess.run(["unshare", "--mount", "--net"] + inside, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          timeout=SECONDS, text=True)
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-1]), flush=True)
    result = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", lines[-1] if lines else "")
    check(result, "no result line but %r" % lines[-1:])
    for name, number in zip(("passed", "failed", "skipped"), result.groups()):
        report.counts[name] += int(number)


def main():
    if len(sys.argv) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="imserv-package-") as directory:
        package = Package(directory)
        if report.run(built, package):
            for check_of in (contents, hardened, lintian, lives):
                report.run(check_of, package)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
