"""Runs the same load through imservd, Kamailio and the byte forwarder, interleaved in one run, and prints
medians, ratios and the budgets of one worker on one core. A benchmark: whatever the figures, it exits 0;
1 means that it could not run.

The server is alone on CPU 0 and imflood alone on CPU 1. CPU each is user + system of the server and its
children over what arrived; times are from when a message was due to the whole message at B. Kamailio
answers a SEND hop by hop (RFC 4976), imservd when the far side did, so times to the 200 are not compared.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import compare_tables
from compare_rows import ROWS, Steps, median
from compare_servers import ROOT, CannotRun, build

SERVERS = ("imserv", "kamailio", "forwarder")


def names(known, what):
    """A list with commas, of known names."""
    def convert(text):
        chosen = [name for name in text.split(",") if name]
        wrong = [name for name in chosen if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError("no such %s: %s; known: %s" % (what, ", ".join(wrong), ", ".join(known)))
        return chosen
    return convert


def parse_arguments():
    parser = argparse.ArgumentParser(prog="compare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = [row.name for row in ROWS]
    parser.add_argument("--quick", action="store_true",
                        help="one run of 2 s per cell instead of the median of three of 5 s")
    parser.add_argument("--rows", type=names(rows, "row"), default=rows, metavar="ROW,...",
                        help="all of them by default: " + ",".join(rows))
    parser.add_argument("--servers", type=names(SERVERS, "server"), default=list(SERVERS), metavar="SERVER,...",
                        help="all of them by default: " + ",".join(SERVERS))
    parser.add_argument("--real-time", action="store_true",
                        help="before all other work of this machine (chrt -f 1; root): for one that has other work")
    parser.add_argument("--sample-script", action="store_true",
                        help="Kamailio runs the MSRP script of its documentation, which costs more")
    parser.add_argument("--build", default=os.path.join(ROOT, "build-release"),
                        help="build directory, made when missing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="for imservd, may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the medians there, too")
    parser.add_argument("--report", metavar="DIRECTORY",
                        help="write there compare.txt, compare.md, compare.json, index.html, and for each row a page of plots")
    arguments = parser.parse_args()
    arguments.seconds, arguments.warmup = (2, 0.5) if arguments.quick else (5, 1)
    arguments.build = os.path.abspath(arguments.build)
    return arguments


def measure_all(rows, servers, repetitions, arguments):
    runs = {row.name: {server: [] for server in servers if server in row.servers} for row in rows}
    for repetition in range(repetitions):
        for row in rows:
            for server, cell in runs[row.name].items():
                print("run %d of %d: %s, %s" % (repetition + 1, repetitions, row.name, server), file=sys.stderr)
                cell.append(row.measure(server, arguments))
    return {row: {server: median(cell) for server, cell in cells.items()} for row, cells in runs.items()}


def write_report(directory, rows, medians, head, tables, arguments):
    def write(name, text):
        with open(os.path.join(directory, name), "w") as out:
            out.write(text)

    plots = compare_tables.plot_pages(rows, os.path.join(arguments.build, "load-tests", "imflood"), directory)
    write("compare.txt", tables + "\n")
    write("compare.md", compare_tables.markdown(rows, medians, head))
    write("compare.json", json.dumps(medians, indent=1))
    write("index.html", compare_tables.page(rows, medians, head, plots))


def main():
    arguments = parse_arguments()
    repetitions = 1 if arguments.quick else 3
    rows = [row for row in ROWS if row.name in arguments.rows]
    build(arguments.build)
    servers = arguments.servers
    if "imserv" in servers and not os.path.exists(os.path.join(arguments.build, "actors", "imservd")):
        print("compare: this tree builds no imservd; only the others run", file=sys.stderr)
        servers = [server for server in servers if server != "imserv"]
    if "kamailio" in servers and not shutil.which("kamailio"):
        raise CannotRun("kamailio is missing")
    if arguments.report:
        os.makedirs(arguments.report, exist_ok=True)

    medians = measure_all(rows, servers, repetitions, arguments)
    head = "medians of %d run(s) of %g s; server on CPU 0, imflood on CPU 1, of %d CPUs" % (
        repetitions, arguments.seconds, os.cpu_count())
    tables = "\n".join([head] + [compare_tables.text(row, medians[row.name]) for row in rows])
    if any(not isinstance(row, Steps) for row in rows):
        tables += "\n\n* neither side had its CPU to itself: believe CPU, not speed and times"
    print(tables)
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(medians, out, indent=1)
    if arguments.report:
        write_report(arguments.report, rows, medians, head, tables, arguments)


if __name__ == "__main__":
    try:
        main()
    except (CannotRun, subprocess.CalledProcessError) as error:
        print("compare: %s" % error, file=sys.stderr)
        sys.exit(1)
