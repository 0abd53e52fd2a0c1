"""Overload: imservd, held to a third of one core by two busy loops that share its CPU, is offered three times its peak
by one TCP connection, by many, and by UDP, while sessions that run exchange paced messages. Prints for each row the
peak (a closed loop, the same server, the same third), the goodput under overload, p99 of the sessions without and with
it, and what became of each request. Targets: goodput >= 80 % of the peak; p99 <= 2 x; over TCP each request is answered,
over UDP no more go without answer than drop counters (ours and the kernel's) show. A benchmark: exits 0 whatever the
figures are, 1 when it could not run; the other CPU is for imflood. A quiet machine gives steadier figures; as root its
processes take precedence over other work.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
LISTEN = ('[{proto: udp, address: "127.0.0.1:0"}, {proto: tcp, address: "127.0.0.1:0"}, '
          '{proto: msrp, address: "127.0.0.1:0"}, {proto: http, address: "127.0.0.1:0"}]')
ROWS = (("tcp, one connection", "tcp", 1), ("tcp, 64 connections", "tcp", 64), ("udp, one source", "udp", 1))
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


def run_row(options, transport, flows):
    """One row, with a server of its own."""
    server = Server(options.build)
    try:
        load = [options.workload, "--target", "sip:%s;transport=%s" % (server.sip[transport], transport),
                "--flows", str(flows)]
        sessions = ["session", "--target", "sip:%s;transport=tcp" % server.sip["tcp"], "--sessions", "50",
                    "--rate", "500", "--warmup", "1", "--drain", "10"]
        if options.workload == "pager":
            load += ["--outstanding", "4096"]
        window = ["--outstanding", "4"] if options.workload == "pager" else []
        closed = report(flood(options.build, load + window + ["--sessions", "64", "--window", "--duration",
                                                             str(options.peak)]))
        peak = closed["confirmed_per_s"]
        if not peak:
            raise CannotRun("nothing was served: %s" % closed["errors"])
        quiet = report(flood(options.build, sessions + ["--duration", str(options.peak)]))
        before = server.counters()
        running = flood(options.build, sessions + ["--duration", str(options.seconds + 2)])
        time.sleep(2)   # its sessions are up
        offered = report(flood(options.build, load + ["--sessions", "400", "--rate", "%d" % (3 * peak), "--duration",
                                                      str(options.seconds)]))
        after = server.counters()
        busy = report(running)
        return peak, offered, quiet, busy, {name: after[name] - before[name] for name in before}
    finally:
        server.stop()


def table(name, row):
    peak, offered, quiet, busy, counted = row
    refused = sum(r["count"] for r in offered["refused"])
    without = offered["errors"]["sip_timeout"] + offered["errors"]["unconfirmed"]
    drops = counted["kernel"] + counted["ours"] + counted["credit"]
    p99 = [r["confirmation_us"]["p99"] / 1000 for r in (quiet, busy)]
    print("%-20s peak %7.0f/s  offered %8.0f/s  served %7.0f/s = %3.0f %%  refused %8d  unanswered %7d  drops %8d  "
          "sessions' p99 %6.1f -> %6.1f ms = %4.1f x, lost %d"
          % (name, peak, offered["offered_per_s"], offered["confirmed_per_s"], 100 * offered["confirmed_per_s"] / peak,
             refused, without, drops, p99[0], p99[1], p99[1] / max(p99[0], 0.001), busy["errors"]["lost"]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build-release"),
                        help="a release build with imservd and imflood")
    parser.add_argument("--seconds", type=int, default=60, help="of overload, each row")
    parser.add_argument("--peak", type=int, default=8, help="seconds in which the peak is measured")
    parser.add_argument("--workload", choices=("pager", "churn"), default="pager")
    parser.add_argument("--row", type=int, action="append", choices=range(len(ROWS)), help="only this one; may be repeated")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if os.cpu_count() < 2:
        raise CannotRun("it takes two CPUs")
    try:    # a group of its own for the scheduler, which then shares by nice within it alone
        os.setsid()
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write("-20")
    except OSError:
        pass    # not root, or no such groups
    for i in options.row or range(len(ROWS)):
        name, transport, flows = ROWS[i]
        table(name, run_row(options, transport, flows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRun as e:
        print("overload: %s" % e, file=sys.stderr)
        sys.exit(1)
