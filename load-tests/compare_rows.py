"""What compare.py measures: the rows of the table, each with its budgets, and how a cell comes about."""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

from compare_servers import STARTERS, CannotRun, on_cpu, stop


def flood(process, target, workload, options, arguments, setup_s, record):
    """The JSON report of one run of imflood; None when there is none."""
    command = [os.path.join(arguments.build, "load-tests", "imflood"), workload] + target
    command += ["--pid", str(process.pid), "--json", "--quiet"]
    command += ["--setup-timeout", str(setup_s)]
    if "--duration" not in options:
        command += ["--duration", str(arguments.seconds), "--warmup", str(arguments.warmup)]
    command += options if "--rate" in options else options + ["--window"]
    if record:
        command += ["--record", record[0], "--label", record[1]]
    try:
        run = subprocess.run(on_cpu(1, command, arguments.real_time), capture_output=True, text=True, timeout=arguments.seconds + 6 * setup_s + 120)
        return json.loads(run.stdout)
    except subprocess.TimeoutExpired:
        print("  imflood did not end", file=sys.stderr)
    except json.JSONDecodeError:
        print("  imflood: exit %d: %s" % (run.returncode, run.stderr.strip()[-300:]), file=sys.stderr)
    return None


def report_of(row, server, options, arguments, setup_s=15, settings=(), part=""):
    """A fresh server, one load, its report, or None when it did not hold."""
    record = None
    if arguments.report:
        name = re.sub("[^A-Za-z0-9]+", "-", " ".join(filter(None, (row.name, part, server))))  # a part may have any text
        record = os.path.join(arguments.report, name + ".jsonl"), " ".join(filter(None, (server, part)))
        row.records[record[0]] = None
    with tempfile.TemporaryDirectory(prefix="compare-") as scratch:
        process, target = STARTERS[row.kind][server](arguments, scratch, row.transport, settings)
        try:
            report = flood(process, target, row.workload, options, arguments, setup_s, record)
        finally:
            stop(process)
    failed = {error: n for error, n in report["errors"].items() if n} if report else {"no report": 1}
    if failed:
        text = " ".join("%s=%d" % item for item in failed.items())
        print("  %s %s: %s" % (row.name, server, text), file=sys.stderr)
        return None
    return report


def number(value):
    return "%.0f" % value if value >= 1000 else "%.3g" % value


class Verdict:
    """One budget of a row: its text, and what came of it. value None: it cannot be said."""

    def __init__(self, text, value, reached, is_ratio):
        self.text, self.value, self.reached, self.is_ratio = text, value, reached, is_ratio

    def __str__(self):
        if self.value is None:
            return "cannot be said"
        return "%s at %s" % ("reached" if self.reached else "MISSED", number(self.value))


class Row:
    """One load of each server. kind: msrp or sip; unit: what its speed column counts.
    budgets: (text, figure, compared with, factor); compared with None: the factor is absolute."""
    servers = ("imserv", "kamailio", "forwarder")

    def __init__(self, name, text, options, unit, *budgets, kind="msrp", workload="session", transport="udp",
                 servers=servers):
        self.name, self.text, self.options = name, text, options.split()
        self.unit, self.budgets, self.kind, self.workload = unit, budgets, kind, workload
        self.transport, self.servers = transport, servers
        self.records = {}  # files of --record, in order

    def measure(self, server, arguments):
        report = report_of(self, server, self.options, arguments)
        if not report:
            return None
        speed = report["octets_per_s"] / 1e6 if self.unit == "MB/s" else report["achieved_per_s"]
        figures = {"speed": speed, "cpu": report["server"]["cpu_us_per_message"]}
        figures.update((name, report["arrival_us"][name]) for name in ("p50", "p99", "p99.9"))
        figures["share"] = report["server"]["cpu_share"] * 100
        figures["own"] = report["imflood"]["cpu_share"] * 100
        figures["bottleneck"] = report["imflood"]["bottleneck"]
        return figures

    def heads(self):
        return self.unit, "CPU us each", "p50 us", "p99 us", "p99.9 us", "server %", "imflood %"

    def columns(self, cell):
        shared = "*" if cell["share"] < 90 and cell["own"] < 90 and "--rate" not in self.options else ""
        return [number(cell[name]) for name in ("speed", "cpu", "p50", "p99", "p99.9")] + \
            ["%.0f%s" % (cell["share"], shared), "%.0f" % cell["own"]]

    def verdict(self, cells, text, figure, other, factor):
        own, its = cells.get("imserv"), cells.get(other) if other else {figure: 1}
        if not own or not its or not its[figure]:
            return Verdict(text, None, False, bool(other))
        value = own[figure] / its[figure]
        return Verdict(text, value, value >= factor if figure == "speed" else value <= factor, bool(other))

    def verdicts(self, cells):
        return [self.verdict(cells, *budget) for budget in self.budgets]


class Room(Row):
    """Copies of messages in rooms; the forwarder, which has none, shows what as many messages of pairs cost."""

    def __init__(self, name, text, options, limit, *budgets):
        super().__init__(name, text, options, "copies/s", *budgets, workload="conference", transport="tcp",
                         servers=("imserv", "forwarder"))
        self.limit = Row(name, text, limit, "msg/s")
        self.limit.records = self.records

    def measure(self, server, arguments):
        return self.limit.measure(server, arguments) if server == "forwarder" else super().measure(server, arguments)


class Steps:
    """Two loads of imserv and what is compared: many / few, or what each thing between few and many adds.
    Steps are (what, its number, options, settings of the server). budgets: (text, most)."""

    def __init__(self, name, text, few, many, figure, unit, is_slope, *budgets, kind="msrp", workload="session",
                 transport="udp", servers=("imserv",)):
        self.name, self.text, self.few, self.many = name, text, few, many
        self.figure, self.unit, self.is_slope, self.budgets = figure, unit, is_slope, budgets
        self.kind, self.workload, self.transport, self.servers, self.records = kind, workload, transport, servers, {}

    def measure(self, server, arguments):
        figures = {}
        for name, (what, n, options, settings) in (("few", self.few), ("many", self.many)):
            report = report_of(self, server, options.split(), arguments, 60, settings, what.replace(" ", ""))
            if not report:
                return None
            figures[name], figures["n " + name] = self.figure(report), n or report["arrival_us"]["count"]
        figures["compared"] = self.compared(figures)
        return figures

    def compared(self, figures):
        few, many = figures["few"], figures["many"]
        if not self.is_slope:
            return many / few if few else 0
        return (many - few) / (figures["n many"] - figures["n few"])

    def heads(self):
        return tuple("%s: %s" % (step[0], self.unit) for step in (self.few, self.many)) + \
            ("each more" if self.is_slope else "many/few",)

    def columns(self, cell):
        return [number(cell[name]) for name in ("few", "many", "compared")]

    def verdicts(self, cells):
        cell = cells.get("imserv")
        return [Verdict(text, cell["compared"] if cell else None, bool(cell) and cell["compared"] <= most, False)
                for text, most in self.budgets]


class TwoWorkers(Steps):
    """The same rate, half of what one worker carries, with one worker and with two."""

    def __init__(self, name, text, options, most, **kind):
        super().__init__(name, text, ("1 worker",), ("2 workers",), None, "us CPU", False, *most, **kind)
        self.options = options.split()

    def measure(self, server, arguments):
        most = report_of(self, server, self.options, arguments, part="saturated")
        if not most:
            return None
        options = self.options + ["--rate", "%.0f" % (most["achieved_per_s"] / 2)]
        figures = {}
        for name, workers in (("few", 1), ("many", 2)):
            report = report_of(self, server, options, arguments, settings=("runtime.workers=%d" % workers,),
                               part="%dworkers" % workers)
            if not report:
                return None
            figures[name] = report["server"]["cpu_us_per_message"]
        figures["compared"] = self.compared(figures)
        return figures


class Timers(Steps):
    """What the unit test of the timer wheel prints."""

    def __init__(self, *budgets):
        super().__init__("timers", "timers: arm and cancel, pending", ("1000",), ("4000000",), None, "ns", False, *budgets)

    def measure(self, server, arguments):
        program = os.path.join(arguments.build, "tests", "unit", "test_core_timer")
        run = subprocess.run(on_cpu(0, [program], arguments.real_time), capture_output=True, text=True, timeout=300)
        found = dict((n, float(ns)) for ns, n in re.findall(r"arm \+ cancel: ([\d.]+) ns with (\d+) pending", run.stdout))
        if not {"1000", "4000000"} <= set(found):
            raise CannotRun("%s does not tell of timers" % program)
        figures = {"few": found["1000"], "many": found["4000000"]}
        figures["compared"] = self.compared(figures)
        return figures


# Memory of sessions: users are registered before; 64*T1 is short, so that finished SIP transactions, which every caller
# keeps for 32 s, are not taken for sessions. Every session has its turn.
IDLE = "--sessions %d --size 1300 --outstanding 1 --rate 1000 --setup-rate 500 --idle 2 --warmup 0 --duration %g"
SHORT_T1 = ("timers.t1=10ms",)
# Client transactions are kept for 5 s (timer K), so there are as many of them at both ends.
KEPT = "--sessions 64 --rate 2000 --warmup 0 --duration %d"
SIZES = "--sessions 64 --outstanding 2 --chunk 2048 --drain 30 --size %d"


def sessions_octets(report):
    return report["server"]["idle_octets_per_session"] * report["sessions"]


def memory_octets(report):
    return report["server"]["memory_kib"] * 1024


def pager(name, text, options, transport="udp"):
    return Row(name, text, "--sessions 64 --outstanding 4 " + options, "MESSAGE/s",
               ("CPU <= 0.33 x peer", "cpu", "kamailio", 0.33), ("goal CPU <= 8 us", "cpu", None, 8),
               kind="sip", workload="pager", transport=transport, servers=("imserv", "kamailio"))


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
    Room("room", "conference of 100, 300 B: 10 senders x 8 outstanding, each copy",
         "--members 100 --senders 10 --outstanding 8", "--sessions 64 --outstanding 8",
         ("CPU <= 2.0 x limit(64x8)", "cpu", "forwarder", 2.0), ("goal CPU <= 1.0 x", "cpu", "forwarder", 1.0)),
    Room("room-one", "conference of 100, 300 B: one sender, 1 outstanding, each copy with its 200",
         "--members 100 --senders 1 --outstanding 1", "--sessions 1000 --outstanding 1",
         ("CPU <= 0.75 x limit(1000x1)", "cpu", "forwarder", 0.75), ("goal CPU <= 0.5 x", "cpu", "forwarder", 0.5)),
    Room("room-unanswered", "the same with Failure-Report: no",
         "--members 100 --senders 1 --outstanding 1 --unanswered", "--sessions 1000 --outstanding 1",
         ("CPU <= 0.4 x limit(1000x1)", "cpu", "forwarder", 0.4), ("goal CPU <= 0.25 x", "cpu", "forwarder", 0.25)),
    Steps("sizes", "memory of 64 sessions in 2048-B chunks, by the size of a message",
          ("1 MiB", 1, SIZES % 1048576, ()), ("8 MiB", 1, SIZES % 8388608, ()), memory_octets, "octets", False,
          ("independent of the size: <= 1.1 x", 1.1)),
    pager("pager-one", "SIP MESSAGE of 300 B over UDP, one source", ""),
    pager("pager-many", "SIP MESSAGE of 300 B over UDP, 64 sources", "--flows 64"),
    pager("pager-tcp", "SIP MESSAGE of 300 B over TCP, one connection", "", "tcp"),
    Steps("kept", "finished UDP transactions of MESSAGE, kept until timer J: memory of each",
          ("8 s at 2000/s", 0, KEPT % 8, ()), ("18 s at 2000/s", 0, KEPT % 18, ()), memory_octets, "octets", True,
          ("octets <= 800", 800), ("goal octets <= 400", 400), kind="sip", workload="pager"),
    Row("churn", "IM session set-up and release, with one message, 64 pairs over UDP", "--sessions 64", "sessions/s",
        ("sessions/s >= 3000", "speed", None, 3000), ("goal sessions/s >= 10000", "speed", None, 10000),
        workload="churn", servers=("imserv",)),
    Steps("idle", "user memory per idle session, after one message of 1300 B",
          ("1000", 1000, IDLE % (1000, 2), SHORT_T1), ("5000", 5000, IDLE % (5000, 6), SHORT_T1), sessions_octets,
          "octets", True, ("octets <= 6144", 6144), ("goal octets <= 3072", 3072),
          servers=("imserv", "kamailio")),
    Steps("growth", "CPU per message of 300 B, 1 outstanding: nothing coalesces",
          ("64", 64, "--sessions 64 --outstanding 1", ()), ("9000", 9000, "--sessions 9000 --outstanding 1", ()),
          lambda report: report["server"]["cpu_us_per_message"], "us", False,
          ("CPU <= 1.3 x", 1.3), ("goal CPU <= 1.1 x", 1.1), servers=("imserv", "forwarder")),
    Timers(("<= 1.5 x", 1.5)),
    TwoWorkers("two-workers", "300 B, 1000 sessions at half of what one worker carries",
               "--sessions 1000 --outstanding 1", (("CPU <= 1.15 x", 1.15), ("goal CPU <= 1.05 x", 1.05))),
    TwoWorkers("two-workers-pager", "SIP MESSAGE over UDP from one source at half of what one worker carries",
               "--sessions 64 --outstanding 4", (("CPU <= 1.3 x", 1.3), ("goal CPU <= 1.05 x", 1.05)),
               kind="sip", workload="pager"),
)


def median(runs):
    """Of each figure; None unless most runs held."""
    held = [run for run in runs if run]
    if len(held) * 2 <= len(runs):
        return None
    return {figure: statistics.median(run[figure] for run in held) for figure in held[0]}
