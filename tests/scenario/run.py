#!/usr/bin/env python3
"""Runs the scenarios against a server over real sockets.

usage: run.py --server PATH [--mode ims|standalone] [--workers N] [--io io_uring|epoll]
              [--transport udp|tcp|tls] [--match TEXT] [--part waiting|rest] [--list] [--verbose]

Without restrictions a matrix in which every scenario meets each mode, 1, 2 and 4 workers, UDP, TCP and TLS,
io_uring and epoll, but not their full product; its two modes, and what waits for short timers, run side by side in
processes of their own. Prints `ok NAME (params)`, `FAIL NAME (params): why` or
`skip NAME (params): why`, at the end `N passed, N failed, N skipped`; exit code 1 when one failed.

What failed is run once more, on a fresh server at the end of its row: only who fails twice has failed. Who passes
then is printed as `unsteady NAME (params): why the first time` and counts as passed: something depends on how fast
the machine is. What a sanitizer says, a server that ends by itself, and more than a few at once count at once."""
import argparse
import asyncio
import ctypes
import os
import re
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

import world  # noqa: E402
from ua import Failure, check  # noqa: E402

THEMES = ("command_line", "digest", "admin", "ctl", "documents", "deferred_list", "operation", "registration", "pager", "session", "connecting", "sharing", "reattach", "unreachable", "endings", "refreshes", "changes", "privacy",
          "session_headers", "session_checks", "session_sdp", "passes", "forking", "reliable", "offerless",
          "in_dialog", "replaces",
          "workers", "msrp_refusals", "msrp_content", "msrp_hostile", "transfer", "limits", "time_out", "hostile", "torture",
          "records", "registrar", "tls", "hostile_sessions", "mutations")
THEMES += ("network", "general", "forward", "rfc4975", "openssl", "relays", "unchanged", "families", "manners", "bounds", "service", "drained", "reload", "rates", "overload", "listeners")
THEMES += ("settings", "message_summary", "referring", "elsewhere")
THEMES += ("deferring", "large", "large_session", "files", "large_list")
THEMES += ("participants",)
THEMES += ("pushing", "retrieving",)
THEMES += ("accept_deferred", "accept_mailbox", "accept_names")
THEMES += ("lists", "groups")
THEMES += ("accept_lists", "accept_files", "accept_legs")
THEMES += ("conference", "joining", "conference_state")
THEMES += ("focus", "focus_policy")
THEMES += ("conference_hostile",)
THEMES += ("accept_rooms", "accept_chat")
THEMES += ("crashes",)

# (mode, workers, io, transport): each scenario sees each value of each column, and each mode with each
MATRIX = (("standalone", 1, "io_uring", "tcp"), ("standalone", 2, "epoll", "udp"),
          ("standalone", 4, "io_uring", "tls"), ("ims", 1, "epoll", "udp"),
          ("ims", 2, "io_uring", "tls"), ("ims", 4, "epoll", "tcp"))


AGAIN = 8   # so many of a row may fail and get a second chance


class Report:
    def __init__(self, verbose):
        self.passed = self.failed = self.skipped = 0
        self.verbose = verbose

    def once(self, name, parameters, why, trace=()):
        print("# failed once: %s (%s): %s" % (name, parameters, why), flush=True)
        for line in trace if self.verbose else ():
            print("    " + line)

    def unsteady(self, name, parameters, why):
        self.passed += 1
        print("unsteady %s (%s): %s" % (name, parameters, why), flush=True)

    def ok(self, name, parameters, seconds):
        self.passed += 1
        print("ok %s (%s) %.1f s" % (name, parameters, seconds), flush=True)

    def fail(self, name, parameters, why, trace=()):
        self.failed += 1
        print("FAIL %s (%s): %s" % (name, parameters, why), flush=True)
        for line in trace if self.verbose else ():
            print("    " + line)

    def skip(self, name, parameters, why):
        self.skipped += 1
        print("skip %s (%s): %s" % (name, parameters, why), flush=True)


class Row:
    """Scenarios on servers of one combination, the first time or the second."""

    def __init__(self, report, parameters, before=None):
        self.report, self.parameters = report, parameters
        self.before = before          # why each scenario failed the first time
        self.failed = {}              # scenario -> why, of those that get a second chance

    def passed(self, scenario, seconds):
        if self.before:
            self.report.unsteady(scenario.name, self.parameters, self.before[scenario])
        else:
            self.report.ok(scenario.name, self.parameters, seconds)

    def not_passed(self, scenario, why, trace=(), for_good=False):
        if for_good or self.before or len(self.failed) >= AGAIN:
            self.report.fail(scenario.name, self.parameters, why, trace)
        else:
            self.failed[scenario] = why
            self.report.once(scenario.name, self.parameters, why, trace)


async def run_one(place, scenario, row):
    """One scenario on a running server, with everything that must hold after it."""
    witness, started = place.witness, time.monotonic()
    witness.reset()
    if place.core:
        place.core.reset()
    why, for_good = None, True
    try:
        if scenario.settle:
            await place.remember()
        await asyncio.wait_for(scenario.function(place), scenario.seconds)
        place.close_clients()
        if scenario.settle and place.server.alive:
            await place.settled(20 if scenario.tuned else 15)
        if witness.violations:
            why = "; ".join(witness.violations[:4])
    except world.Skip as reason:
        row.report.skip(scenario.name, row.parameters, reason)
        return
    except asyncio.TimeoutError:
        ran = time.monotonic() - started
        why = ("not done within %d s" % scenario.seconds if ran >= scenario.seconds
               else "something it waited for did not come (after %.1f s)" % ran)
    except Exception as error:  # a scenario may fail in any way; the run goes on
        why = "%s%s" % ("" if isinstance(error, Failure) else type(error).__name__ + ": ", error)
        if witness.violations:
            why += " [also: %s]" % "; ".join(witness.violations[:3])
    finally:
        place.close_clients()
    if place.server.trouble():
        why = "%s [server printed: %s]" % (why or "", " | ".join(place.server.trouble()[:12]))
    elif not place.server.alive and scenario.own is None:
        why = "%s [server ended with %s: %s]" % (why or "", place.server.process.returncode,
                                                 place.server.tail(5))
    else:
        for_good = False
    if why:
        row.not_passed(scenario, why, witness.trace[-40:], for_good)
    else:
        row.passed(scenario, time.monotonic() - started)


def io_uring_works():
    """io_uring_setup() succeeds: container runtimes block it."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(425, 4, ctypes.create_string_buffer(256))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


async def run_on(path, combination, scenarios, settings, report, label=""):
    """These scenarios one after the other, on one server; those that failed again on a second one."""
    mode, workers, io, transport = combination
    parameters = "%s, %d worker%s, %s, %s%s" % (mode, workers, "" if workers == 1 else "s", io,
                                                transport, label)
    if io == "io_uring" and not io_uring_works():
        for scenario in scenarios:
            report.skip(scenario.name, parameters, "io_uring is not available here")
        return
    first = Row(report, parameters)
    await run_row(world.World(path, mode, workers, io, transport, settings), scenarios, first)
    if first.failed:
        await run_row(world.World(path, mode, workers, io, transport, settings), list(first.failed),
                      Row(report, parameters, first.failed))


async def run_row(place, scenarios, row):
    """Start a server for these scenarios, run them, stop it."""
    try:
        await place.start()
    except Exception as error:
        for scenario in scenarios:
            row.not_passed(scenario, "no server: %s" % error)
        return
    try:
        check(place.server.ready.io == place.io, "ready line says io=%s" % place.server.ready.io)
        own = scenarios[0].own is not None
        if not own:
            await warm_up(place)
        for scenario in scenarios:
            if not place.server.alive and not own:
                await place.kill()
                place = world.World(place.server_path, place.mode, place.workers, place.io, place.transport,
                                    place.settings)
                await place.start()
                await warm_up(place)
            await run_one(place, scenario, row)
    finally:
        try:
            code = await place.stop()
            if (code != 0 or place.server.trouble()) and not (own and code is None):
                row.report.fail("server end", row.parameters, "exit code %s: %s" % (
                    code, " | ".join(place.server.trouble()[:12]) or place.server.tail(5)))
        except Exception as error:
            row.report.fail("server end", row.parameters, str(error))


async def warm_up(place):
    """Connections that stay, such as those of the core, exist before gauges are compared."""
    try:
        await asyncio.wait_for(place.normal_session(), 15)
    except Exception as error:
        print("# warm-up failed: %s" % error, flush=True)
    place.close_clients()
    await asyncio.sleep(0.2)


def fits(scenario, combination):
    mode, workers, _, transport = combination
    is_for_tls = transport == "tls" and "tcp" in scenario.transports and "no tls" not in scenario.transports
    return (mode in scenario.modes and (is_for_tls or transport in scenario.transports)
            and workers >= scenario.least_workers)


async def run_beside(report, *arguments):
    """A part of the matrix in a process of its own, whose lines are ours."""
    process = await asyncio.create_subprocess_exec(sys.executable, os.path.abspath(__file__), *sys.argv[1:],
                                                   *arguments, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
    counted = None
    while line := (await process.stdout.readline()).decode():
        counted = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped\n", line)
        if counted:
            report.passed += int(counted[1])
            report.failed += int(counted[2])
            report.skipped += int(counted[3])
        else:
            print(line, end="", flush=True)
    await process.wait()
    if not counted:
        report.fail(" ".join(arguments), "a process", "ended with %s" % process.returncode)


async def run(options):
    report = Report(options.verbose)
    chosen = [s for s in world.SCENARIOS if options.match in s.name]
    matrix = [c for c in MATRIX if options.mode in (None, c[0]) and options.workers in (None, c[1])
              and options.io in (None, c[2]) and options.transport in (None, c[3])]
    if not matrix:
        matrix = [(options.mode or "standalone", options.workers or 2, options.io or "io_uring",
                   options.transport or "udp")]
    done = set()

    def pick(combination, kind):
        """Scenarios of this kind for this combination; those for `once` only if not yet seen."""
        out = []
        for s in chosen:
            if kind(s) and fits(s, combination):
                if s.once and (s, combination[0]) in done:
                    continue
                done.add((s, combination[0]))
                out.append(s)
        return out

    async def run_waiting():
        # one combination of each mode and both transports is enough where only time matters
        for combination in matrix[1:5:2] if len(matrix) > 4 else matrix:
            tuned = pick(combination, lambda s: s.own is None and s.tuned)
            if tuned:
                await run_on(options.server, combination, tuned, world.TUNED, report, ", short timers")

    async def run_rest():
        for combination in matrix:
            plain = pick(combination, lambda s: s.own is None and not s.tuned)
            if plain:
                await run_on(options.server, combination, plain, None, report)
        for combination in matrix:
            for s in pick(combination, lambda s: s.own is not None):
                await run_on(options.server, combination, [s],
                             dict(world.BASE, **(s.own() if callable(s.own) else s.own)), report)

    if not options.part and len(matrix) > 4:   # the whole of it: each part waits more than it works
        await asyncio.gather(run_beside(report, "--part", "waiting"),
                             *(run_beside(report, "--part", "rest", "--mode", mode) for mode in ("standalone", "ims")))
    else:
        if options.part != "waiting":
            await run_rest()
        if options.part != "rest":
            await run_waiting()
    print("%d passed, %d failed, %d skipped" % (report.passed, report.failed, report.skipped))
    return 1 if report.failed or not report.passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--mode", choices=("ims", "standalone"))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--io", choices=("io_uring", "uring", "epoll"))
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"))
    parser.add_argument("--match", default="")
    parser.add_argument("--part", choices=("waiting", "rest"), help="only the scenarios with short timers, or the others")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if options.io == "uring":
        options.io = "io_uring"
    options.server = os.path.abspath(options.server)
    for theme in THEMES:
        __import__(theme)
    if options.list:
        for s in world.SCENARIOS:
            print("%-36s %s" % (s.name, " ".join((s.function.__doc__ or "").split())))
        return 0
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
