"""Started by deb.py in namespaces of its own: installs the package in an overlay over this machine's root, with a
network that has nothing but loopback, so that the packaged configuration finds its ports free.

usage: deb_root.py PACKAGE      ends with `N passed, N failed, N skipped`"""
import asyncio
import ctypes
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

import report  # noqa: E402
from report import command  # noqa: E402
from ua import check, same  # noqa: E402
from ua.server import http_get  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
HTTP = ("127.0.0.1", 9090)
# what dpkg, systemd-sysusers and deb-systemd-helper keep on purpose
KEPT = re.compile(r"/(etc/(passwd|group|shadow|gshadow)-?|etc/\.pwd\.lock|var/lib/dpkg/.*|var/log/.*|run/.*|tmp/.*|var/lib/systemd/.*|"
                  r"var/cache/.*)$")


def mount(source, target, kind, flags=0, options=""):
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount %s" % target)


class Root:
    """The machine's root behind an overlay."""

    def __init__(self, directory):
        self.directory, self.top = directory, directory + "/root"
        self.server = self.manager = self.log = None

    def make(self):
        mount("none", "/", "none", 0x44000)   # MS_REC | MS_PRIVATE: what we mount is ours alone
        mount("none", self.directory, "tmpfs")
        for name in ("upper", "work", "root"):
            os.mkdir("%s/%s" % (self.directory, name))
        mount("overlay", self.top, "overlay", 0, "lowerdir=/,upperdir=%s/upper,workdir=%s/work" % (
            self.directory, self.directory))
        for name in ("proc", "dev"):
            mount("/" + name, "%s/%s" % (self.top, name), "none", 0x1000)   # MS_BIND
        for name in ("run", "tmp"):   # no socket of a service, no file of a test
            mount("none", "%s/%s" % (self.top, name), "tmpfs")
            os.chmod("%s/%s" % (self.top, name), 0o1777)

    def run(self, *arguments, user=None, seconds=120):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        return command("chroot", *(["--userspec=" + user] if user else []), self.top, *arguments, seconds=seconds,
                       environment=environment)

    def path(self, name):
        return self.top + name

    def exists(self, name):
        return os.path.lexists(self.path(name))

    def changed(self):
        """Files and folders that are not as in the machine's own root."""
        found = set()
        upper = self.directory + "/upper"
        for folder, folders, files in os.walk(upper):
            for name in files + folders:
                path = os.path.join(folder, name)[len(upper):]
                if name in files or not os.path.isdir(path):
                    found.add(path)
        return {path for path in found if self.exists(path)}   # a whiteout hides what is gone


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sH14x", b"lo", 1 | 64)   # IFF_UP | IFF_RUNNING
        fcntl.ioctl(s, 0x8914, request)                    # SIOCSIFFLAGS


def installed(root, package):
    """dpkg installs it: the user is there, the service enabled, the configuration good."""
    os.mkdir(root.path("/tmp/package"))
    target = root.path("/tmp/package/imserv.deb")
    with open(package, "rb") as source, open(target, "wb") as out:
        out.write(source.read())
    code, out = root.run("dpkg", "-i", "/tmp/package/imserv.deb")
    same(code, 0, out)
    same(root.run("id", "-un", "imserv"), (0, "imserv\n"), "the user")
    check(root.exists("/etc/systemd/system/multi-user.target.wants/imserv.service"), "the service is not enabled")
    for program in ("imservd", "imservctl"):
        code, out = root.run(program, "--version")
        check(code == 0 and out.startswith(program + " "), "%s --version: %s" % (program, out))
    same(root.run("imservd", "-c", "/etc/imserv/imserv.yaml", "--check-config"), (0, "configuration is good\n"),
         "the packaged configuration")


def started(root):
    """As its user and as the unit has it, it comes up and tells its manager."""
    with open(root.path("/lib/systemd/system/imserv.service")) as unit:
        lines = unit.read()
    program = re.search(r"^ExecStart=(.*)$", lines, re.M)[1].split()
    same(re.search(r"^User=(.*)$", lines, re.M)[1], "imserv", "User")
    for folder in ("/var/lib/imserv", "/var/log/imserv"):   # StateDirectory, LogsDirectory
        code, out = root.run("install", "-d", "-m", "0750", "-o", "imserv", "-g", "imserv", folder)
        same(code, 0, out)
    root.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    root.manager.bind(root.path("/run/notify"))
    os.chmod(root.path("/run/notify"), 0o777)
    root.manager.settimeout(60)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": "/run/notify"}
    root.log = open(root.directory + "/log", "w+")
    root.server = subprocess.Popen(["chroot", "--userspec=imserv:imserv", root.top, *program], env=environment,
                                   stdin=subprocess.DEVNULL, stdout=root.log, stderr=root.log)
    try:
        same(root.manager.recv(4096).split(b"\n")[0], b"READY=1", "first word")
    except socket.timeout:
        raise AssertionError("no READY=1: %s" % log_of(root)) from None
    same(asyncio.run(http_get(HTTP, "/readyz", seconds=30))[0], 200, "/readyz")


def log_of(root):
    root.log.seek(0)
    return root.log.read()[-1500:]


def used(root):
    """Two clients register, send messages and talk in a session."""
    code, out = command(sys.executable, os.path.join(os.path.dirname(here), "demo.py"), "--sip", "127.0.0.1:5060",
                        seconds=120)
    same(code, 0, "%s\n%s" % (out[-1000:], log_of(root)))


def controlled(root):
    """root says imservctl status without saying where the token is; another user may not."""
    code, out = root.run("imservctl", "status")
    same(code, 0, "imservctl status: %s" % out)
    code, out = root.run("imservctl", "status", user="nobody:nogroup")
    check(code != 0, "imservctl status works for everybody: %s" % out)
    same(oct(os.stat(root.path("/var/lib/imserv/imserv.db")).st_mode & 0o777), "0o600", "mode of the store")


def reloaded(root):
    """What ExecReload does: the check, then the signal."""
    root.server.send_signal(signal.SIGHUP)
    said = [root.manager.recv(4096).split(b"\n")[0] for _ in range(2)]
    same(said, [b"RELOADING=1", b"READY=1"], "what the manager heard")


def ended(root):
    """SIGTERM: it says so, and ends with 0."""
    root.server.send_signal(signal.SIGTERM)
    same(root.manager.recv(4096).split(b"\n")[0], b"STOPPING=1", "what the manager heard")
    same(root.server.wait(60), 0, log_of(root))


def removed(root):
    """dpkg -r: the programs are gone, configuration and data stay."""
    code, out = root.run("dpkg", "-r", "imserv")
    same(code, 0, out)
    for gone in ("/usr/sbin/imservd", "/usr/bin/imservctl", "/lib/systemd/system/imserv.service"):
        check(not root.exists(gone), "%s is left" % gone)
    for kept in ("/etc/imserv/imserv.yaml", "/var/lib/imserv/imserv.db"):
        check(root.exists(kept), "%s is gone" % kept)


def purged(root):
    """dpkg -P: nothing is left but the user, as Debian's policy has it."""
    code, out = root.run("dpkg", "-P", "imserv")
    same(code, 0, out)
    left = sorted(path for path in root.changed() if not KEPT.search(path))
    same(left, [], "what is left")
    check(not [path for path in root.changed() if "imserv" in path], "what is left of dpkg's: %s" % [
        path for path in root.changed() if "imserv" in path])
    same(root.run("id", "-un", "imserv"), (0, "imserv\n"), "the user stays")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    directory = tempfile.mkdtemp(prefix="imserv-root-")
    root = Root(directory)
    try:
        try:
            root.make()
            loopback_up()
        except OSError as why:
            report.counts["skipped"] += 1
            print("skip a root of its own: %s" % why, flush=True)
            return report.end()
        if report.run(installed, root, sys.argv[1]):
            if report.run(started, root):
                for check_of in (used, controlled, reloaded, ended):
                    report.run(check_of, root)
            report.run(removed, root)
            report.run(purged, root)
    finally:
        if root.server and root.server.poll() is None:
            root.server.kill()
            root.server.wait()
        if root.manager:
            root.manager.close()
        libc.umount2(directory.encode(), 2)   # MNT_DETACH: with all that is mounted in it
        os.rmdir(directory)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
