#!/usr/bin/env python3
"""Calls between sipp processes (Debian's sip-tester) through the server: peers that nobody here wrote.

usage: run.py --server PATH [--workers N] [--io io_uring|epoll] [--match TEXT] [--verbose]

Without restrictions servers with 1, 2 and 4 workers, io_uring and epoll, each in standalone and in ims mode, UDP
and TCP. Prints `ok NAME (params)`, `FAIL NAME (params): why` or, where only the second go was good, `unsteady NAME
(params): why the first was not`, which counts as passed; at the end `N passed, N failed, N skipped`; exit
code 1 when one failed. Without sipp everything is skipped."""
import argparse
import asyncio
import collections
import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
AT_ONCE = 6         # cases under way on one server
CASE_SECONDS = 20   # no case may take longer
DOUBT = re.compile(r"Aborting|unexpected|Unexpected|Failed|Dead call|out of call|out-of-call.*discard|imeout")
TROUBLE = re.compile(r"Sanitizer|runtime error:|Assertion|SUMMARY: ")

# caller, callee: scenario files; per call of the caller the callee writes `done` once.
# literal: the caller retransmits and absorbs nothing by itself, so that the scenario sees every message.
# fewer: the callee may see fewer calls; each that he notes as `begun` must become `done`.
Case = collections.namedtuple("Case", "name caller callee calls rate transports literal fewer")


def case(name, callee=None, calls=10, rate=20, transports=("udp", "tcp"), literal=False, caller=None, fewer=False):
    return Case(name, caller or name + ".caller", callee, calls, rate, transports, literal, fewer)


STANDALONE = (
    case("registration", caller="registration"),
    case("message_200", "message_200.callee", 200, 100),
    case("message_486", "message_486.callee"),
    case("caller_ends", "session_200.callee", 20, 40),
    case("callee_ends", "callee_ends.callee", 20, 40),
    case("changes", "changes.callee"),
    case("prack", "prack.callee"),
    case("prack_of_callee", "prack.callee", caller="progress.caller"),
    case("forked", "forked.callee", caller="caller_ends.caller"),
    case("invite_twice", "slow.callee", transports=("udp",), literal=True),
    case("late_ack", "session_200.callee", literal=True),
    case("bye_twice", "session_200.callee", transports=("udp",), literal=True),
    case("bye_after_bye", "session_200.callee"),
    case("busy", "busy.callee", literal=True),
    case("cancel_ringing", "cancelled.callee", literal=True),
    case("cancel_early", "cancelled_early.callee", literal=True),
    case("cancel_at_once", "cancelled_early.callee", literal=True, fewer=True),
    case("cancel_lost_ack", "cancelled.callee", transports=("udp",), literal=True),
    case("options"),
    case("bye_unknown"))

# the callee is what core.next_hop names; the cases follow each other, for they share its port
IMS = (
    case("ims_message_orig", "ims_message.core"),
    case("ims_session_orig", "ims_session.core"),
    case("ims_register", caller="ims_register", calls=1),
    case("ims_message_term", "ims_message.core"),
    case("ims_session_term", "ims_session.core"))

# (workers, io): each value of each
MATRIX = ((1, "io_uring"), (2, "epoll"), (4, "io_uring"))


class Failure(Exception):
    pass


given = set()


def free_port():
    """Free for UDP and TCP on 127.0.0.1, below the range from which the kernel serves others, and not given
    before: between asking and binding nobody else takes it. sipp also takes its media port + 2, hence the step."""
    while True:
        port = random.randrange(20000, 32000, 4)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given:
            given.add(port)
            return port


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def signal_to(process, number):
    """By pid: Process.send_signal() would look whether the process has ended and so take its exit code from whoever
    waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def end_process(process, seconds=2):
    """SIGTERM, then SIGKILL, by its pid."""
    if process.returncode is None:
        signal_to(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except asyncio.TimeoutError:
            signal_to(process, signal.SIGKILL)
            await process.wait()


# --- sipp ---

class Sipp:
    """One sipp process with a port of its own."""

    def __init__(self, directory, label, transport, port=0):
        self.stem = os.path.join(directory, label)
        self.transport, self.port = transport, port or free_port()
        self.process = None

    async def start(self, scenario, *arguments):
        self.process = await asyncio.create_subprocess_exec(
            "sipp", "-sf", os.path.join(HERE, "sipp", scenario + ".xml"), "-t", self.transport[0] + "1",
            "-i", "127.0.0.1", "-p", str(self.port), "-mi", "127.0.0.1", "-mp", str(free_port()),
            "-ci", "127.0.0.1", "-cp", str(free_port()), "-nostdin", "-recv_timeout", "5000",
            "-timeout", "%ds" % CASE_SECONDS, "-timeout_error", "-trace_err", "-error_file", self.stem + ".err",
            "-trace_msg", "-message_file", self.stem + ".msg", "-trace_logs", "-log_file", self.stem + ".log",
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, cwd=os.path.dirname(self.stem))
        return self

    def count(self, word):
        return text_of(self.stem + ".log").split("\n").count(word)

    def doubts(self):
        """What it complained about, one line each."""
        lines = re.split(r"\n|(?=\d{4}-\d\d-\d\d\t)", text_of(self.stem + ".err"))
        return [line.split(": ", 1)[-1][:240] for line in lines
                if DOUBT.search(line) and "jumping to label" not in line]  # a silence that the scenario wants

    async def wait_for(self, word, count, seconds):
        end = time.monotonic() + seconds
        while self.count(word) < count:
            if time.monotonic() > end or self.process.returncode is not None:
                raise Failure("%s: %d of %d %s: %s" % (os.path.basename(self.stem), self.count(word), count, word,
                                                       " | ".join(self.doubts()[:3])))
            await asyncio.sleep(0.02)

    async def succeed(self):
        """Exit code 0: all its calls went by the scenario."""
        code = await asyncio.wait_for(self.process.wait(), CASE_SECONDS + 5)
        if code:
            raise Failure("%s: exit code %d: %s" % (os.path.basename(self.stem), code, " | ".join(
                self.doubts()[:3] or text_of(self.stem + ".err").split("\n")[-4:])))

    async def end(self):
        if self.process:
            await end_process(self.process)


# --- the server ---

class Server:
    def __init__(self, path, directory, workers, io, settings):
        self.path, self.directory = os.path.abspath(path), directory
        listen = ", ".join('{proto: %s, address: "127.0.0.1:0"}' % p for p in ("udp", "tcp", "msrp", "http"))
        # sessions here end by BYE, none by the MSRP connections that never come
        self.settings = {"listen": "[%s]" % listen, "runtime.workers": str(workers), "runtime.io": io,
                         "limits.unbound": "60s", **settings}
        self.process = self.reader = None
        self.lines = []

    async def start(self):
        arguments = [a for item in self.settings.items() for a in ("--set", "%s=%s" % item)]
        try:
            self.process = await asyncio.create_subprocess_exec(
                self.path, *arguments, cwd=self.directory, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, limit=1 << 20)
        except OSError as error:
            raise Failure(error) from None
        self.reader = asyncio.ensure_future(self._read())
        end = time.monotonic() + 20
        while not self.ready():
            if time.monotonic() > end or self.process.returncode is not None:
                raise Failure("no ready line: %s" % " | ".join(self.lines[-5:]))
            await asyncio.sleep(0.02)
        return self

    async def _read(self):
        async for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace").rstrip())
            if len(self.lines) > 4000:
                del self.lines[200:2000]

    def ready(self):
        return next((line for line in self.lines if line.startswith("imservd ready ")), "")

    def address(self, transport):
        return re.search(r"\b%s:(127\.0\.0\.1:\d+)" % transport, self.ready().split(" msrp=")[0]).group(1)

    async def sessions(self):
        host, port = re.search(r" http=([^:]+):(\d+)", self.ready()).groups()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n" % (
            host.encode(), port.encode()))
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        found = re.findall(rb"^imserv_sessions(?:\{[^}]*\})? (\d+)", answer, re.M)
        if not found:
            raise Failure("no imserv_sessions in /metrics")
        return sum(int(n) for n in found)

    async def end(self):
        """Nothing may be left of the sessions; exit code 0; no word of a sanitizer."""
        try:
            for _ in range(100):
                left = await self.sessions()
                if not left:
                    break
                await asyncio.sleep(0.05)
        except (OSError, asyncio.TimeoutError) as error:
            left = "unknown, /metrics does not answer %s" % error
        if self.process.returncode is None:
            signal_to(self.process, signal.SIGTERM)
            await asyncio.sleep(0.05)
            if self.process.returncode is None:
                signal_to(self.process, signal.SIGTERM)  # the second one: at once
        try:
            code = await asyncio.wait_for(self.process.wait(), 15)
        except asyncio.TimeoutError:
            signal_to(self.process, signal.SIGKILL)
            code = "none within 15 s, killed"
            await self.process.wait()
        await self.reader
        trouble = [i for i, line in enumerate(self.lines) if TROUBLE.search(line)]
        if trouble:
            raise Failure("server printed %s" % " | ".join(self.lines[trouble[0]:trouble[0] + 12]))
        if code != 0:
            raise Failure("server's exit code %s" % code)
        if left:
            raise Failure("sessions left: %s" % left)


class SilentMsrp:
    """Takes MSRP connections and says nothing: the server ends a session whose connection is refused."""

    async def __aenter__(self):
        self.writers = []
        self.listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def _accept(self, reader, writer):
        self.writers.append(writer)
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass
        writer.close()

    async def __aexit__(self, *_):
        self.listener.close()
        for writer in self.writers:
            writer.close()


# --- cases ---

class Report:
    def __init__(self, verbose):
        self.passed = self.failed = self.skipped = 0
        self.verbose = verbose

    def ok(self, name, seconds):
        self.passed += 1
        print("ok %s %.1f s" % (name, seconds), flush=True)

    def fail(self, name, why, *sipps):
        self.failed += 1
        print("FAIL %s: %s" % (name, why), flush=True)
        for sipp in sipps if self.verbose else ():
            print("  == %s" % os.path.basename(sipp.stem))
            for line in text_of(sipp.stem + ".msg")[:12000].split("\n"):
                print("    " + line.rstrip())

    def unsteady(self, name, why):
        self.passed += 1
        print("unsteady %s: %s" % (name, why), flush=True)

    def skip(self, name, why):
        self.skipped += 1
        print("skip %s: %s" % (name, why), flush=True)


def keywords(keys):
    return [argument for key in keys.items() for argument in ("-key", *key)]


def load(which, keys):
    """Calls, rate and keywords of a caller."""
    arguments = ["-m", str(which.calls), "-r", str(which.rate)] + (["-nr"] if which.literal else [])
    return arguments + keywords(keys)


async def call(which, server, msrp, caller, callee, user):
    """A callee who registers and answers on that socket, in front of a caller."""
    keys = {"callee": user, "msrp_port": str(msrp.port)}
    target = server.address(caller.transport)
    if which.callee:
        await callee.start("callee", target, "-m", "1", "-oocsf",
                           os.path.join(HERE, "sipp", which.callee + ".xml"), *keywords(keys))
        await callee.wait_for("registered", 1, 5)
    await caller.start(which.caller, target, *load(which, keys))
    await caller.succeed()
    if which.callee:
        wanted = callee.count("begun") if which.fewer else which.calls
        await callee.wait_for("done", wanted, 5)
        await asyncio.sleep(0.1)  # what should not come
        if callee.count("done") != wanted or callee.doubts():
            raise Failure("callee saw %d calls of %d: %s" % (callee.count("done"), wanted,
                                                             " | ".join(callee.doubts()[:3])))


async def call_by_core(which, server, msrp, caller, callee, core):
    """The callee is the core behind the server, the caller the core in front of it."""
    keys = {"core": core, "callee": "bob", "msrp_port": str(msrp.port)}
    if which.callee:
        await callee.start(which.callee, "-m", str(which.calls), *keywords(keys))
        await asyncio.sleep(0.3)  # sipp does not say when it listens
    await caller.start(which.caller, server.address(caller.transport), *load(which, keys))
    await caller.succeed()
    if which.callee:
        await callee.succeed()
        if callee.doubts():
            raise Failure("core: %s" % " | ".join(callee.doubts()[:3]))


async def run_case(report, name, make):
    """`make(go)` gives caller, callee and what to do; what failed has a second go."""
    first = None
    for go in (1, 2):
        started = time.monotonic()
        caller, callee, doing = make(go)
        try:
            await asyncio.wait_for(doing, CASE_SECONDS)
        except (asyncio.TimeoutError, Failure) as error:
            why = error if isinstance(error, Failure) else "not done within %d s" % CASE_SECONDS
            if first:
                report.fail(name, why, caller, callee)
            else:
                print("# failed once: %s: %s" % (name, why), flush=True)
            first = first or why
        else:
            if first:
                report.unsteady(name, first)
            else:
                report.ok(name, time.monotonic() - started)
            return
        finally:
            await caller.end()
            await callee.end()


async def run_standalone(options, report, msrp, workers, io):
    parameters = "standalone, %d worker%s, %s" % (workers, "s"[workers < 2:], io)
    chosen = [(c, t) for c in STANDALONE for t in c.transports if options.match in c.name]
    if not chosen:
        return
    gate = asyncio.Semaphore(AT_ONCE)
    directory = tempfile.mkdtemp(prefix="imserv-interop-")
    server = Server(options.server, directory, workers, io, {})

    async def one(number, which, transport):
        async with gate:
            def make(go):
                label = "%s-%s-%d" % (which.name, transport, go)
                caller, callee = (Sipp(directory, "%s-%s" % (label, side), transport)
                                  for side in ("caller", "callee"))
                return caller, callee, call(which, server, msrp, caller, callee, "bob%d-%d" % (number, go))
            await run_case(report, "%s (%s, %s)" % (which.name, parameters, transport), make)
    try:
        await server.start()
        await asyncio.gather(*(one(n, c, t) for n, (c, t) in enumerate(chosen)))
        await server.end()
    except Failure as why:
        report.fail("server (%s)" % parameters, why)
    finally:
        if server.process:
            await end_process(server.process)
        shutil.rmtree(directory, ignore_errors=True)


async def run_ims(options, report, msrp, workers, io, transport):
    parameters = "ims, %d worker%s, %s, %s" % (workers, "s"[workers < 2:], io, transport)
    chosen = [c for c in IMS if options.match in c.name or c.name == "ims_register"]
    if len(chosen) == 1 and options.match not in "ims_register":
        return
    directory = tempfile.mkdtemp(prefix="imserv-interop-")
    port = free_port()
    core = "127.0.0.1:%d" % port
    server = Server(options.server, directory, workers, io, {
        "core.mode": "ims", "core.next_hop": '"sip:%s;transport=%s"' % (core, transport)})
    try:
        await server.start()
        for which in chosen:
            def make(go, which=which):
                caller = Sipp(directory, "%s-caller-%d" % (which.name, go), transport)
                callee = Sipp(directory, "%s-core-%d" % (which.name, go), transport, port)
                return caller, callee, call_by_core(which, server, msrp, caller, callee, core)
            await run_case(report, "%s (%s)" % (which.name, parameters), make)
        await server.end()
    except Failure as why:
        report.fail("server (%s)" % parameters, why)
    finally:
        if server.process:
            await end_process(server.process)
        shutil.rmtree(directory, ignore_errors=True)


def io_uring_works():
    """io_uring_setup() succeeds: container runtimes block it."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(425, 4, ctypes.create_string_buffer(256))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


async def run(options):
    report = Report(options.verbose)
    matrix = [(w, io) for w, io in MATRIX if options.workers in (None, w) and options.io in (None, io)]
    matrix = matrix or [(options.workers or 2, options.io or "io_uring")]
    if not shutil.which("sipp"):
        report.skip("sipp", "not installed")
        matrix = []
    for workers, io in matrix:
        if io == "io_uring" and not io_uring_works():
            report.skip("%d workers, io_uring" % workers, "io_uring is not available here")
            continue
        async with SilentMsrp() as msrp:
            await asyncio.gather(run_standalone(options, report, msrp, workers, io),
                                 run_ims(options, report, msrp, workers, io, "udp"),
                                 run_ims(options, report, msrp, workers, io, "tcp"))
    print("%d passed, %d failed, %d skipped" % (report.passed, report.failed, report.skipped))
    return 1 if report.failed or not report.passed + report.skipped else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--io", choices=("io_uring", "uring", "epoll"))
    parser.add_argument("--match", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if options.io == "uring":
        options.io = "io_uring"
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
