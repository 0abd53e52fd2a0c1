"""What the scripts about one other program share: the command line, and cases one after the other.

A place is what a case gets: it has a witness, and end() for when the case is over."""
import argparse
import asyncio
import shutil
import sys
import time

from run import Report
from ua import Failure, Witness, check
from ua.server import Server

CASE_SECONDS = 20


def run_peer(description, program, matrix, run_one):
    """The command line of a script about one other program: run_one(options, report, workers, transport) for each
    chosen row of its matrix, and the result line. Ends the process."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--transport", choices=("udp", "tcp"))
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    report = Report(options.verbose)

    async def run_all():
        for workers, transport in matrix:
            if options.workers in (None, workers) and options.transport in (None, transport):
                await run_one(options, report, workers, transport)
    if shutil.which(program):
        asyncio.run(run_all())
    else:
        report.skip(program, "not installed")
    print("%d passed, %d failed, %d skipped" % (report.passed, report.failed, report.skipped))
    sys.exit(1 if report.failed or not report.passed + report.skipped else 0)


async def run_case(case, parameters, place, options, report, seconds=CASE_SECONDS):
    name, started = "%s (%s)" % (case.__name__, parameters), time.monotonic()
    place.witness.reset()
    try:
        await asyncio.wait_for(case(place), seconds)
        check(not place.witness.violations, "; ".join(place.witness.violations[:4]))
        report.ok(name, time.monotonic() - started)
    except Exception as error:  # a case may fail in any way; the run goes on
        report.fail(name, "%s%s" % ("" if isinstance(error, Failure) else type(error).__name__ + ": ", error))
        for line in place.witness.trace[-60:] if options.verbose else ():
            print("    " + line)


def describe(program, workers, transport):
    return "%s, %d worker%s, %s" % (program, workers, "s"[workers < 2:], transport)


async def run_with_server(cases, parameters, options, report, workers, make_place):
    """A server for all cases, a place made by make_place(server, witness) for each."""
    server = Server(options.server, "standalone", workers, "auto", {})
    witness = Witness()
    try:
        await server.start()
        for case in cases:
            place = make_place(server, witness)
            try:
                await run_case(case, parameters, place, options, report)
            finally:
                await place.end()
    except Failure as why:
        report.fail("server (%s)" % parameters, why)
    finally:
        code = await server.stop()
        if code != 0 or server.trouble():
            report.fail("end (%s)" % parameters, "exit code %s %s" % (code, " | ".join(server.trouble()[:12])))


async def run_in_place(cases, parameters, options, report, place):
    """One place, with start() and end(), for all cases; leave() after each."""
    try:
        await place.start()
        for case in cases:
            try:
                await run_case(case, parameters, place, options, report)
            finally:
                place.leave()
    except Failure as why:
        report.fail("server (%s)" % parameters, why)
    finally:
        try:
            await place.end()
        except Failure as why:
            report.fail("end (%s)" % parameters, why)
