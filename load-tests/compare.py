"""Runs the same MSRP load through imservd, Kamailio and the byte forwarder, interleaved in one
run, and prints medians, ratios and the budgets of one worker on one core. A benchmark: whatever the
figures, it exits 0; 1 means that it could not run.

The server is alone on CPU 0 and imflood alone on CPU 1. CPU per message is user + system of the
server and its children over the messages that arrived; times are from the intended send time to
the whole message at B. Kamailio answers a SEND hop by hop (RFC 4976), imservd when the far side
did, so times to the 200 are not compared.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SERVERS = ("imserv", "kamailio", "forwarder")


class Row:
    """One kind of load. unit: what its speed column counts.
    budgets: (text, figure, compared with, factor)."""

    def __init__(self, name, text, options, unit, *budgets):
        self.name, self.text, self.options = name, text, options.split()
        self.unit, self.budgets = unit, budgets


ROWS = (
    Row("64x8", "300 B, 64 sessions x 8 outstanding", "--sessions 64 --outstanding 8", "msg/s",
        ("CPU <= 0.25 x peer", "cpu", "kamailio", 0.25),
        ("goal CPU <= 1.5 x limit", "cpu", "forwarder", 1.5)),
    Row("1000x1", "300 B, 1000 sessions x 1 outstanding",
        "--sessions 1000 --outstanding 1", "msg/s",
        ("CPU <= 1.15 x limit", "cpu", "forwarder", 1.15),
        ("goal CPU <= 0.8 x limit", "cpu", "forwarder", 0.8)),
    Row("paced", "300 B, 20k msg/s over 1000 sessions",
        "--sessions 1000 --outstanding 8 --rate 20000", "msg/s",
        ("p99 <= 1.5 x limit", "p99", "forwarder", 1.5),
        ("p99.9 <= peer", "p99.9", "kamailio", 1.0),
        ("goal p99 <= limit", "p99", "forwarder", 1.0)),
    Row("chunks", "64 KiB in 2048-B chunks, 64 sessions x 2",
        "--sessions 64 --outstanding 2 --size 65536 --chunk 2048", "MB/s",
        ("MB/s >= 0.5 x limit", "speed", "forwarder", 0.5),
        ("goal MB/s >= 0.8 x limit", "speed", "forwarder", 0.8)),
    Row("one-chunk", "64 KiB in one chunk, 64 sessions x 2",
        "--sessions 64 --outstanding 2 --size 65536", "MB/s",
        ("MB/s >= 0.7 x limit", "speed", "forwarder", 0.7),
        ("goal MB/s >= 0.9 x limit", "speed", "forwarder", 0.9)),
)


class Steps:
    """The same load with few and with many sessions, each with a fresh server.
    figure: of the report; unit: what it is. Compared is either many / few, or what each session
    between few and many adds. budgets: (text, most)."""

    def __init__(self, name, text, few, many, options, figure, unit, is_slope, *budgets):
        self.name, self.text, self.few, self.many = name, text, few, many
        self.options, self.figure, self.unit = options.split(), figure, unit
        self.is_slope, self.budgets = is_slope, budgets

    def options_for(self, sessions):
        return ["--sessions", str(sessions)] + self.options

    def compared(self, few, many):
        if self.is_slope:
            return (many * self.many - few * self.few) / (self.many - self.few)
        return many / few


# Memory: users are registered before; 64*T1 is short (see start_imserv), so that finished SIP transactions, which
# every caller keeps for 32 s, are not taken for sessions.
STEPS = (
    Steps("idle", "user memory per idle session, after one message of 1300 B", 1000, 5000,
          "--size 1300 --outstanding 1 --rate 1000 --setup-rate 500 --idle 2",
          lambda report: report["server"]["idle_octets_per_session"], "octets", True,
          ("octets <= 6144", 6144), ("goal octets <= 3072", 3072)),
    Steps("growth", "CPU per message of 300 B, 1 outstanding: nothing coalesces", 64, 9000,
          "--outstanding 1",
          lambda report: report["server"]["cpu_us_per_message"], "us", False,
          ("CPU <= 1.3 x", 1.3), ("goal CPU <= 1.1 x", 1.1)),
)
FIGURES = ("speed", "cpu", "p50", "p99", "p99.9")


class CannotRun(Exception):
    pass


def on_cpu(cpu, command):
    return ["taskset", "-c", str(cpu)] + command if os.cpu_count() > 1 else command


def meson_targets(build, names):
    listing = subprocess.run(["meson", "introspect", "--targets", build], check=True,
                             capture_output=True)
    known = {target["name"] for target in json.loads(listing.stdout)}
    return [name for name in names if name in known]


def build(directory):
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        subprocess.run(["meson", "setup", directory, ROOT, "--buildtype=release"], check=True,
                       stdout=sys.stderr)
    wanted = meson_targets(directory, ["imservd", "imflood", "forwarder"])
    command = ["meson", "compile", "-C", directory, "-j", "2"] + wanted
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise CannotRun("the release flavour in %s does not build" % directory)


def ready_line(process, log, pattern, seconds=10):
    """Waits until the log of a server has a line that matches; the match."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with open(log) as text:
            found = re.search(pattern, text.read())
        if found:
            return found
        time.sleep(0.05)
    with open(log) as text:
        raise CannotRun("%s did not start: %s" % (process.args, text.read()[-600:]))


def start(command, log):
    with open(log, "w") as out:
        return subprocess.Popen(on_cpu(0, command), stdin=subprocess.DEVNULL, stdout=out,
                                stderr=out)


def stop(process):
    """SIGTERM, and after 5 s SIGKILL, to this process alone; Kamailio ends its own children."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_imserv(arguments, scratch, settings=()):
    command = [os.path.join(arguments.build, "actors", "imservd")]
    settings = ["runtime.workers=1", "runtime.drain=0s", "log.level=warn", *settings]
    settings += ['store.path="%s/imserv.db"' % scratch]
    settings += ['listen[%d].address="127.0.0.1:0"' % i for i in range(4)]
    for setting in settings + arguments.set:
        command += ["--set", setting]
    log = os.path.join(scratch, "imserv.log")
    process = start(command, log)
    sip = ready_line(process, log, r"imservd ready sip=\S*?udp:([\d.]+:\d+)").group(1)
    return process, ["--mode", "standalone", "--target", "sip:" + sip]


def start_kamailio(arguments, scratch, settings=()):
    port = 20000 + os.getpid() % 10000
    log = os.path.join(scratch, "kamailio.log")
    command = ["kamailio", "-f", os.path.join(HERE, "kamailio-msrp.cfg"), "-x", "fm", "-X", "fm",
               "-m", "1024", "-M", "64", "-DD", "-E", "-w", scratch, "-Y", scratch,
               "-A", "MSRP_PORT=%d" % port]
    process = start(command + (["-A", "SAMPLE=1"] if arguments.sample_script else []), log)
    ready_line(process, log, r"Listening on")
    time.sleep(1)  # it says so before its workers run
    return process, ["--mode", "relay", "--target", "msrp:127.0.0.1:%d" % port]


def start_forwarder(arguments, scratch, settings=()):
    log = os.path.join(scratch, "forwarder.log")
    process = start([os.path.join(arguments.build, "load-tests", "forwarder"), "0"], log)
    address = ready_line(process, log, r"forwarder ready tcp:(\S+)").group(1)
    return process, ["--mode", "forwarder", "--target", "msrp:" + address]


STARTERS = {"imserv": start_imserv, "kamailio": start_kamailio, "forwarder": start_forwarder}


def flood(process, target, options, arguments, setup_s=15):
    """The JSON report of one run of imflood; None when there is none."""
    command = [os.path.join(arguments.build, "load-tests", "imflood"), "session"] + target
    command += ["--pid", str(process.pid), "--json", "--quiet"]
    command += ["--setup-timeout", str(setup_s)]
    command += ["--duration", str(arguments.seconds), "--warmup", str(arguments.warmup)]
    command += options if "--rate" in options else options + ["--window"]
    try:
        run = subprocess.run(on_cpu(1, command), capture_output=True, text=True,
                             timeout=arguments.seconds + arguments.warmup + 3 * setup_s + 15)
        return json.loads(run.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def report_of(server, name, options, arguments, setup_s=15, settings=()):
    """A fresh server, one load, its report, or None when it did not hold."""
    with tempfile.TemporaryDirectory(prefix="compare-") as scratch:
        process, target = STARTERS[server](arguments, scratch, settings)
        try:
            report = flood(process, target, options, arguments, setup_s)
        finally:
            stop(process)
    failed = {error: n for error, n in report["errors"].items() if n} if report else {"no report": 1}
    if failed:
        text = " ".join("%s=%d" % item for item in failed.items())
        print("  %s %s: %s" % (name, server, text), file=sys.stderr)
        return None
    return report


def measure(server, row, arguments):
    """One cell, once."""
    report = report_of(server, row.name, row.options, arguments)
    if not report:
        return None
    speed = report["achieved_per_s"] if row.unit == "msg/s" else report["octets_per_s"] / 1e6
    figures = {"speed": speed, "cpu": report["server"]["cpu_us_per_message"]}
    figures.update((name, report["arrival_us"][name]) for name in ("p50", "p99", "p99.9"))
    figures["share"] = report["server"]["cpu_share"] * 100
    figures["own"] = report["imflood"]["cpu_share"] * 100
    return figures


def measure_steps(server, row, arguments):
    figures = {}
    for name, sessions in (("few", row.few), ("many", row.many)):
        options = row.options_for(sessions)
        settings = ["timers.t1=10ms"] if row.is_slope else []
        if row.is_slope:  # every session has its turn
            options += ["--duration", str(sessions / 1000 + 1), "--warmup", "0"]
        report = report_of(server, row.name, options, arguments, 60, settings)
        if not report:
            return None
        figures[name] = row.figure(report)
    figures["compared"] = row.compared(figures["few"], figures["many"]) if figures["few"] else 0
    return figures


def median(runs):
    """Of each figure; None unless most runs held."""
    held = [run for run in runs if run]
    if len(held) * 2 <= len(runs):
        return None
    return {figure: statistics.median(run[figure] for run in held) for figure in held[0]}


def number(value):
    return "%.0f" % value if value >= 1000 else "%.3g" % value


def ratio(cells, figure, other):
    if not cells.get("imserv") or not cells.get(other) or not cells[other][figure]:
        return None
    return cells["imserv"][figure] / cells[other][figure]


def verdict(cells, figure, other, factor):
    value = ratio(cells, figure, other)
    if value is None:
        return "cannot be said"
    reached = value >= factor if figure == "speed" else value <= factor
    return "%s at %.2f" % ("reached" if reached else "MISSED", value)


def print_row(row, cells):
    heads = (row.unit, "CPU us/msg", "p50 us", "p99 us", "p99.9 us", "server %", "imflood %")
    print("\n%s\n  %-13s" % (row.text, "") + "".join("%11s" % head for head in heads))
    for server in cells:
        if cells[server] is None:
            print("  %-13s%11s" % (server, "fails"))
        else:
            columns = [number(cells[server][name]) for name in FIGURES + ("share", "own")]
            busiest = max(cells[server]["share"], cells[server]["own"])
            columns.append(" *" if "--rate" not in row.options and busiest < 75 else "")
            print("  %-13s" % server + "".join("%11s" % column for column in columns))
    for other, label in (("kamailio", "imserv/peer"), ("forwarder", "imserv/limit")):
        ratios = [ratio(cells, name, other) for name in FIGURES]
        if ratios[0]:
            print("  %-13s" % label + "".join("%11.2f" % (value or 0) for value in ratios))
    for text, figure, other, factor in row.budgets:
        print("  %-26s %s" % (text, verdict(cells, figure, other, factor)))


def print_steps(row, cells):
    last = "each more" if row.is_slope else "many/few"
    heads = ["%d: %s" % (n, row.unit) for n in (row.few, row.many)] + [last]
    print("\n%s\n  %-13s" % (row.text, "") + "".join("%15s" % head for head in heads))
    for server, cell in cells.items():
        columns = [number(cell[name]) for name in ("few", "many", "compared")] if cell else ["fails"]
        print("  %-13s" % server + "".join("%15s" % column for column in columns))
    for text, most in row.budgets:
        cell = cells.get("imserv")
        said = "%s at %s" % ("reached" if cell["compared"] <= most else "MISSED",
                             number(cell["compared"])) if cell else "cannot be said"
        print("  %-26s %s" % (text, said))


def parse_arguments():
    parser = argparse.ArgumentParser(prog="compare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="one run of 2 s per cell instead of the median of three of 5 s")
    parser.add_argument("--rows", default=",".join(row.name for row in ROWS + STEPS),
                        help="default %(default)s")
    parser.add_argument("--servers", default=",".join(SERVERS), help="default %(default)s")
    parser.add_argument("--sample-script", action="store_true",
                        help="Kamailio runs the script of its documentation, which costs more")
    parser.add_argument("--build", default=os.path.join(ROOT, "build-release"),
                        help="build directory, made when missing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="for imservd, may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the medians there, too")
    arguments = parser.parse_args()
    arguments.seconds, arguments.warmup = (2, 0.5) if arguments.quick else (5, 1)
    arguments.build = os.path.abspath(arguments.build)
    return arguments


def main():
    arguments = parse_arguments()
    repetitions = 1 if arguments.quick else 3
    rows = [row for row in ROWS + STEPS if row.name in arguments.rows.split(",")]
    servers = [server for server in SERVERS if server in arguments.servers.split(",")]
    build(arguments.build)
    imservd = os.path.join(arguments.build, "actors", "imservd")
    if "imserv" in servers and not os.path.exists(imservd):
        print("compare: this tree builds no imservd; only the others run", file=sys.stderr)
        servers.remove("imserv")
    if "kamailio" in servers and not shutil.which("kamailio"):
        raise CannotRun("kamailio is missing")

    runs = {(row.name, server): [] for row in rows for server in servers}
    for repetition in range(repetitions):
        for row in rows:
            for server in servers:
                print("run %d of %d: %s, %s" % (repetition + 1, repetitions, row.name, server),
                      file=sys.stderr)
                take = measure_steps if isinstance(row, Steps) else measure
                runs[row.name, server].append(take(server, row, arguments))
    medians = {row.name: {server: median(runs[row.name, server]) for server in servers}
               for row in rows}
    print("medians of %d run(s) of %g s; server on CPU 0, imflood on CPU 1, of %d CPUs"
          % (repetitions, arguments.seconds, os.cpu_count()))
    for row in rows:
        (print_steps if isinstance(row, Steps) else print_row)(row, medians[row.name])
    print("\n* neither side had its CPU to itself: believe CPU per message, not speed and times")
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(medians, out, indent=1)


if __name__ == "__main__":
    try:
        main()
    except (CannotRun, subprocess.CalledProcessError) as error:
        print("compare: %s" % error, file=sys.stderr)
        sys.exit(1)
