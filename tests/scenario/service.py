"""imservd as a service: what its manager hears (sd_notify(3)) and when the watchdog bites."""
import asyncio
import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import tempfile
import time

from ua import Failure, check, same
from ua.server import Server
from world import BASE, Skip, scenario


class Manager:
    """A service manager: a datagram socket, at a path or at an abstract name."""

    def __init__(self, abstract=False):
        self.directory = tempfile.mkdtemp(prefix="imserv-manager-")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = "@" + self.directory if abstract else self.directory + "/notify"
        self.socket.bind("\0" + self.directory if abstract else self.name)
        self.socket.setblocking(False)
        self.heard = []

    def close(self):
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.directory + "/notify")
        os.rmdir(self.directory)

    async def next(self, seconds=20):
        """The variables of the next message."""
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 8192), seconds)
        lines = [line.partition("=") for line in data.decode().rstrip("\n").split("\n")]
        self.heard.append({name: value for name, _, value in lines})
        return self.heard[-1]

    async def until(self, name, value="1", seconds=20):
        """The next message that says so; the others are kept in `heard`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said = await self.next(seconds)
            if said.get(name) == value:
                return said
        raise Failure("no %s=%s" % (name, value))

    def take(self):
        """What is there, without waiting."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(8192):
                found.append(dict(line.split("=", 1) for line in data.decode().split("\n")))
        self.heard += found
        return found

    async def drain(self, process):
        """What is said until the process has ended."""
        while process.returncode is None:
            with contextlib.suppress(asyncio.TimeoutError):
                await self.next(0.05)
        self.take()


@contextlib.asynccontextmanager
async def managed(world, abstract=False, settings=None, environment=None):
    """(manager, server); both are gone afterwards."""
    manager = Manager(abstract)
    server = Server(world.server_path, world.mode, world.workers, world.io, dict(BASE, **(settings or {})),
                    environment=dict(environment or {}, NOTIFY_SOCKET=manager.name))
    try:
        yield manager, await server.start()
    finally:
        await server.kill()
        manager.close()


async def life(world, abstract):
    async with managed(world, abstract) as (manager, server):
        said = await manager.next()
        same(said.get("READY"), "1", "first message")
        check(said.get("STATUS"), "no STATUS beside READY=1")
        server.reload()
        said = await manager.next()
        same(said.get("RELOADING"), "1", "first message of a reload")
        check(abs(int(said["MONOTONIC_USEC"]) / 1e6 - time.clock_gettime(time.CLOCK_MONOTONIC)) < 60,
              "MONOTONIC_USEC=%s" % said["MONOTONIC_USEC"])
        same((await manager.next()).get("READY"), "1", "last message of a reload")
        server.terminate()
        same((await manager.next()).get("STOPPING"), "1", "first message of the end")
        await manager.drain(server.process)
        same(await server.wait(), 0, "exit code")
        check(any("draining" in said.get("STATUS", "") for said in manager.heard), "no STATUS of the drain")
        check(not any("WATCHDOG" in said for said in manager.heard), "WATCHDOG=1 that nobody asked for")


@scenario(modes=("standalone",), once=True, seconds=60)
async def manager_hears_all(world):
    """READY=1 after the start, RELOADING=1 and READY=1 around a reload, STOPPING=1 at the end."""
    await life(world, abstract=False)


@scenario(modes=("standalone",), once=True, seconds=60)
async def manager_at_an_abstract_name(world):
    """The same over a socket that has no file."""
    await life(world, abstract=True)


@scenario(modes=("standalone",), once=True)
async def manager_that_is_not_there(world):
    """NOTIFY_SOCKET names nothing: a warning, and the server serves."""
    server = Server(world.server_path, settings=BASE, environment={"NOTIFY_SOCKET": "/nonexistent/notify"})
    try:
        await server.start()
        await server.logged("not-notified", 20)
        same((await server.get("/readyz"))[0], 200, "/readyz")
    finally:
        await server.kill()


@scenario(modes=("standalone",), settle=False, once=True, seconds=60)
async def manager_waits_for_the_drain(world):
    """While sessions keep the server from its end, the manager hears that it has to wait, again and again."""
    async with managed(world, settings={"runtime.drain": "60s"}) as (manager, server):
        await manager.until("READY")
        world_of_own = world.server
        world.server = server
        try:
            await world.session()
            server.terminate()
            await manager.until("STOPPING")
            for _ in range(3):
                said = await manager.next()
                check(int(said["EXTEND_TIMEOUT_USEC"]) >= 5000000, "EXTEND_TIMEOUT_USEC in %s" % said)
                check(re.search(r"\b1\b", said["STATUS"]), "sessions left in %r" % said["STATUS"])
            server.terminate()
            same(await server.wait(), 0, "exit code")
        finally:
            world.server = world_of_own


class Stopped:
    """A single thread of another process that does not run (ptrace(2)); the others do."""
    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, thread):
        self.thread = thread
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def __enter__(self):
        if self.libc.ptrace(self.SEIZE, self.thread, None, None) != 0:
            raise Skip("ptrace is not allowed here: %s" % os.strerror(ctypes.get_errno()))
        self.libc.ptrace(self.INTERRUPT, self.thread, None, None)
        os.waitpid(self.thread, 0x40000000)  # __WALL
        return self

    def __exit__(self, *exception):
        self.libc.ptrace(self.DETACH, self.thread, None, None)


def worker_threads(pid):
    """Thread ids of the workers, which have their names from the server."""
    found = []
    for name in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, name)) as comm:
            if re.fullmatch(r"worker-\d+", comm.read().strip()):
                found.append(int(name))
    return sorted(found)


@scenario(modes=("standalone",), once=True, seconds=90, least_workers=2)
async def watchdog_bites(world):
    """WATCHDOG=1 comes while all workers turn, idle ones too; not while one of them hangs; and again when it goes on."""
    async with managed(world, environment={"WATCHDOG_USEC": "400000"}) as (manager, server):
        await manager.until("READY")
        for _ in range(3):
            await manager.until("WATCHDOG")
        threads = worker_threads(server.pid)
        same(len(threads), world.workers, "threads that are named as workers")
        with Stopped(threads[-1]):
            manager.take()   # said before
            await server.logged("worker-silent", 60)
            await asyncio.sleep(1.5)   # a manager would have ended it three times over
            # the answers of all may have been there before the stop: once, and then no more
            check(len(manager.take()) <= 1, "a worker hangs, and the manager still hears that all turn")
        await manager.until("WATCHDOG")
        server.signal(signal.SIGTERM)
        await manager.drain(server.process)
        same(await server.wait(), 0, "exit code")


JUNK = (b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\"b\\;branch=z9hG4bK1\x1b[2J\r\nFrom: <sip:a\xff\xfe@x>;tag=1\r\n"
        b"To: <sip:b@x>\r\nCall-ID: a\xc2\x9b\x01\"},{\"level\":\"forged\r\nCSeq: 1 INVITE\r\n\r\n",
        b"MESSAGE sip:b@example.com\nPRIORITY=0\nMESSAGE=forged SIP/2.0\r\n\r\n", b"\x00\x01\x02" * 20, b"FOO sip:\xf4\x90 SIP/2.0\r\n\r\n")


async def send_junk(server, count=20):
    """Returns when the server has read all of it."""
    before = (await server.metrics()).sum("imserv_refused_total") or 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for i in range(count):
            udp.sendto(JUNK[i % len(JUNK)], server.ready.sip["udp"])
    for _ in range(1000):
        if (await server.metrics()).sum("imserv_refused_total") > before:
            return
        await asyncio.sleep(0.02)
    raise Failure("no junk was refused")


@scenario(modes=("standalone",), once=True, seconds=60)
async def log_lines_are_json(world):
    """log.format json in a file: each line is one JSON object, whatever a peer has sent."""
    server = Server(world.server_path, settings=dict(BASE, **{"log.format": "json", "log.level": "debug",
                                                              "log.sink": "server.log"}))
    try:
        await server.start()
        name = os.path.join(server.directory, "server.log")
        await send_junk(server)
        server.terminate()
        await asyncio.wait_for(server.process.wait(), 30)
        with open(name, "rb") as log:
            lines = [json.loads(line) for line in log.read().decode().splitlines()]
        check(all(set(line) <= {"time", "level", "worker", "subject", "id", "event"} for line in lines),
              "a key that we do not write")
        same({line["level"] for line in lines} - {"error", "warn", "info", "debug"}, set(), "levels")
        for word in ("started", "stopped"):
            check(any(line["subject"] == "server" and line["event"].startswith(word) for line in lines),
                  "no %r" % word)
    finally:
        await server.kill()


@scenario(modes=("standalone",), once=True, seconds=60)
async def log_goes_to_the_journal(world):
    """log.sink journald: entries of the native protocol, one message each, also with octets of a peer in them."""
    journal = Manager()
    server = Server(world.server_path, settings=dict(BASE, **{"log.sink": "journald"}),
                    environment={"IMSERV_JOURNAL": journal.name})
    entries, stop = [], asyncio.Event()

    async def read():
        while not stop.is_set():
            entries.append(await asyncio.get_running_loop().sock_recv(journal.socket, 65536))

    try:
        reading = asyncio.ensure_future(read())   # few entries wait in a socket that nobody reads
        await server.start()
        await send_junk(server)
        for _ in range(1000):
            if any(b"MESSAGE=sip " in entry for entry in entries):
                break
            await asyncio.sleep(0.02)
        server.terminate()
        await asyncio.wait_for(server.process.wait(), 30)
        await asyncio.sleep(0)
        reading.cancel()
        check(any(b"MESSAGE=server started" in entry for entry in entries), "no entry of the start")
        check(any(b"MESSAGE=sip " in entry for entry in entries), "no entry about the junk")
        for entry in entries:
            names = [line.partition(b"=")[0].decode() for line in entry.split(b"\n")[:-1]]
            check(names.count("MESSAGE") == 1 and names.count("PRIORITY") == 1, "fields of %r" % entry)
            check(all(n in ("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER") or n.startswith("IMSERV_") for n in names),
                  "fields of %r" % entry)
    finally:
        await server.kill()
        journal.close()


@scenario(modes=("standalone",), once=True, seconds=60)
async def log_file_is_moved_away(world):
    """Rotation without a helper: the file is moved away, SIGHUP opens a new one, and no line is lost between them."""
    server = Server(world.server_path, settings=dict(BASE, **{"log.sink": "server.log"}))
    try:
        await server.start()
        name = os.path.join(server.directory, "server.log")
        await send_junk(server)
        os.rename(name, name + ".1")
        server.reload()
        for _ in range(1000):
            if os.path.exists(name):
                break
            await asyncio.sleep(0.02)
        server.terminate()
        await asyncio.wait_for(server.process.wait(), 30)
        with open(name + ".1") as old, open(name) as new:
            old, new = old.read(), new.read()
        check(" server started " in old and " server stopped" not in old, "the file that was moved away")
        check(" server stopped" in new and " server started " not in new, "the new file")
        check(old.endswith("\n") and new.startswith("20"), "a line is in both files")
    finally:
        await server.kill()
