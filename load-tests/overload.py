"""Overload: imservd, held to a third of one core by two busy loops that share its CPU, is offered three times its peak
by one TCP connection, by many, and by UDP, while sessions that run exchange paced messages; once with MESSAGEs, once
with whole sessions (INVITE to BYE). For each row: the peak (a closed loop, the same server, the same third), the goodput
under overload, p99 of the sessions without and with it, and what became of each request. Targets: goodput >= 80 % of the
peak; p99 <= 2 x; over TCP each request is answered, over UDP no more go without answer than drop counters (ours and the
kernel's) show; `!` stands behind what misses one. A benchmark: exits 0 whatever the figures are, 1 when it could not
run. The other CPU is for imflood; `tool` is how much of it imflood took while it offered: near 100 % it is imflood that
cannot more. A quiet machine gives steadier figures; as root its processes take precedence over other work.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
LISTEN = ('[{proto: udp, address: "127.0.0.1:0"}, {proto: tcp, address: "127.0.0.1:0"}, '
          '{proto: msrp, address: "127.0.0.1:0"}, {proto: http, address: "127.0.0.1:0"}]')
ROWS = tuple((workload, transport, flows) for workload in ("pager", "churn")
             for transport, flows in (("tcp", 1), ("tcp", 64), ("udp", 1)))
# of the open loop: so many that none waits for another; each has one session at a time
PAIRS = {"pager": 400, "churn": 4000}
COUNTERS = {"kernel": "imserv_sip_kernel_drops_total", "ours": 'imserv_refused_total{reason="overload_dropped"}',
            "credit": 'imserv_refused_total{reason="credit"}', "refused": 'imserv_refused_total{reason="overload"}',
            "served": "imserv_pager_messages_total", "sessions": "imserv_sessions_ended_total"}


class CannotRun(Exception):
    pass


def on_cpu(cpu, command):
    return ["taskset", "-c", str(cpu)] + command


class Server:
    """imservd and the two loops beside it, all on CPU 0."""

    def __init__(self, build):
        self.directory = tempfile.mkdtemp(prefix="imserv-overload-")
        program = os.path.join(build, "actors", "imservd")
        self.process = subprocess.Popen(
            on_cpu(0, [program, "--set", "runtime.workers=1", "--set", "listen=" + LISTEN]), cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.loops, self.lines = [], []
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("imservd ready"):
                break
        else:
            raise CannotRun("imservd did not start: " + " ".join(self.lines[-3:]))
        self.sip = dict(re.findall(r"(udp|tcp):([0-9.:]+)", re.search(r"sip=(\S+)", line).group(1)))
        self.http = re.search(r"http=(\S+)", line).group(1)
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        for _ in range(2):
            self.loops.append(subprocess.Popen(on_cpu(0, [sys.executable, "-c", "while True: pass"])))

    def counters(self):
        with urllib.request.urlopen("http://%s/metrics" % self.http, timeout=30) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#"]
        values = {name: float(value) for name, value in lines}
        return {short: values[name] for short, name in COUNTERS.items()}

    def stop(self):
        for loop in self.loops:
            loop.kill()
            loop.wait()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def flood(build, arguments):
    return subprocess.Popen(on_cpu(1, [os.path.join(build, "load-tests", "imflood")] + arguments + ["--json", "--quiet"]),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(process):
    out, err = process.communicate()
    try:
        return json.loads(out)
    except ValueError:
        raise CannotRun("imflood: %s" % (err or out).strip()[-300:]) from None


def run_row(options, workload, transport, flows):
    """One row, with a server of its own."""
    server = Server(options.build)
    try:
        load = [workload, "--target", "sip:%s;transport=%s" % (server.sip[transport], transport), "--flows", str(flows)]
        sessions = ["session", "--target", "sip:%s;transport=tcp" % server.sip["tcp"], "--sessions", "50",
                    "--rate", "500", "--warmup", "1", "--drain", "10"]
        window = ["--outstanding", "4"] if workload == "pager" else []
        closed = report(flood(options.build, load + window + ["--sessions", "64", "--window", "--duration",
                                                             str(options.peak)]))
        peak = closed["confirmed_per_s"]
        if not peak:
            raise CannotRun("nothing was served: %s" % closed["errors"])
        quiet = report(flood(options.build, sessions + ["--duration", str(options.peak)]))
        before = server.counters()
        running = flood(options.build, sessions + ["--duration", str(options.seconds + 2)])
        time.sleep(2)   # its sessions are up
        offered = report(flood(options.build, load + ["--sessions", str(PAIRS[workload]), "--rate", "%d" % (3 * peak),
                                                      "--duration", str(options.seconds)]))
        after = server.counters()
        busy = report(running)
        return peak, offered, quiet, busy, {name: after[name] - before[name] for name in before}
    finally:
        server.stop()


def told(text, is_good):
    return text + (" " if is_good else "!")


HEAD = ("work   by        peak/s  offered/s  served/s   of peak   refused/s  unanswered     drops   p99 of sessions, ms"
        "         lost  unsent  tool")


def line(row, figures):
    """The one that is printed."""
    peak, offered, quiet, busy, counted = figures
    errors = offered["errors"]
    refused = sum(r["count"] for r in offered["refused"]) / offered["measured_s"]
    without = errors["sip_timeout"] + errors["unconfirmed"] + errors["lost"]
    drops = counted["kernel"] + counted["ours"] + counted["credit"]
    goodput = 100 * offered["confirmed_per_s"] / peak
    p99 = [r["confirmation_us"]["p99"] / 1000 for r in (quiet, busy)]
    times = p99[1] / max(p99[0], 0.001)
    return "%-6s %-8s %7.0f %10.0f %9.0f  %s %10.0f  %s %9d  %s  %s %7d  %3.0f %%" % (
        row[0], "%s x %d" % row[1:], peak, offered["offered_per_s"], offered["confirmed_per_s"],
        told("%5.0f %%" % goodput, goodput >= 80), refused,
        told("%9d" % without, without <= (drops if row[1] == "udp" else 0)), drops,
        told("%7.1f -> %7.1f = %5.1f x" % (*p99, times), times <= 2),
        told("%6d" % busy["errors"]["lost"], not busy["errors"]["lost"]), errors["unsent"],
        100 * offered["imflood"]["cpu_share"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build-release"),
                        help="a release build with imservd and imflood")
    parser.add_argument("--seconds", type=int, default=60, help="of overload, each row")
    parser.add_argument("--peak", type=int, default=8, help="seconds in which the peak is measured")
    parser.add_argument("--quick", action="store_true", help="12 seconds, and 4 for the peak")
    parser.add_argument("--workload", choices=("pager", "churn"), help="only MESSAGEs, or only sessions")
    parser.add_argument("--row", type=int, action="append", choices=range(len(ROWS)), help="only this one; may be repeated")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.quick:
        options.seconds, options.peak = 12, 4
    if os.cpu_count() < 2:
        raise CannotRun("it takes two CPUs")
    try:    # a group of its own for the scheduler, which then shares by nice within it alone
        os.setsid()
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write("-20")
    except OSError:
        pass    # not root, or no such groups
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))    # its loops must not stay behind
    print(HEAD, flush=True)
    for i in options.row or range(len(ROWS)):
        if options.workload in (None, ROWS[i][0]):
            print(line(ROWS[i], run_row(options, *ROWS[i])), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRun as e:
        print("overload: %s" % e, file=sys.stderr)
        sys.exit(1)
