"""What imflood tells: hints, text, records and the page made of them. Checks of test_imflood.py."""
import asyncio
import html.parser
import json
import os
import signal
import socket
import subprocess
import tempfile

from imflood_peers import Forwarder, Proxy, Stalled
from imflood_run import imflood, say


async def told(program, workload, port, *options):
    """Exit code, output and hints of a short run that is told as text."""
    process = await asyncio.create_subprocess_exec(
        program, workload, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "2", "--quiet", "--duration", "0.3",
        "--warmup", "0", *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), err.decode()


async def check_hints(program):
    """What a user can mend is said in one line; no row of figures about nothing; each failure counts once."""
    loop = asyncio.get_running_loop()
    results = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        code, out, err = await told(program, "session", port, "--setup-timeout", "0.5")
    right = code == 1 and err == "imflood: no answer from 127.0.0.1:%d over UDP\n" % port
    right = right and "p50" not in out and "2 sessions that were not up" in out
    say(right, "nobody there: %s" % err.strip())
    results.append(right)

    for fault, algorithms, hint, refused in (
            ("refuse", (), "", "2 INVITE with 503"), (None, ("MD5",), "imflood: the server asks for a password: --password TEXT\n", "2 REGISTER with 401")):
        transport, proxy = await loop.create_datagram_endpoint(lambda: Proxy(fault, 0), ("127.0.0.1", 0))
        proxy.algorithms = algorithms
        code, out, err = await told(program, "session", transport.get_extra_info("sockname")[1])
        transport.close()
        right = code == 1 and err == hint and refused in out and out.count("ERROR") == 1 and "ERROR           2 " in out
        right = right and "p50" not in out
        say(right, "refused: %s %s" % (refused, err.strip()))
        results.append(right)
    return all(results)


async def check_server_ended(program):
    """The process of --pid ends in the middle: that is told, and not that it needed nothing."""
    forwarder = Forwarder(None, "SEND")
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    watched = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL)
    process = await asyncio.create_subprocess_exec(
        program, "session", "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % server.sockets[0].getsockname()[1],
        "--sessions", "2", "--rate", "100", "--duration", "600", "--warmup", "0", "--pid", str(watched.pid),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    line = b""
    while not line.startswith(b"measure"):
        line = await asyncio.wait_for(process.stderr.readline(), 60)
    watched.stdin.close()
    await watched.wait()
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    server.close()
    right = process.returncode == 1 and b"server          process %d ended\n" % watched.pid in out and b"KiB" not in out
    say(right, "server that ended: exit %d" % process.returncode)
    return right


class Page(html.parser.HTMLParser):
    """Counts tags, and sees whether they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.counts, self.references, self.nests = [], {}, [], True
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.references += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        self.nests = self.nests and bool(self.open) and self.open.pop() == tag


async def check_phases(program):
    """What was due in the warm-up and came later is in no figure of the measured time's latencies, table or plot."""
    server = await asyncio.start_server(Stalled().on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="imflood-") as scratch:
        path = os.path.join(scratch, "record")
        code, errors, report = await imflood(
            program, "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % port, "--sessions", "1", "--rate", "100",
            "--outstanding", "100", "--warmup", "0.3", "--duration", "2", "--record", path)
        server.close()
        with open(path) as lines:
            seconds = [line for line in map(json.loads, lines) if "t" in line]
    shown = [line["max_us"] for line in seconds if line["phase"] == "measure" and "max_us" in line]
    before = [line for line in seconds if line["phase"] == "warm-up"]
    right = code == 0 and before and shown and max(shown) <= report["arrival_us"]["max"]
    say(right, "late from the warm-up: plotted %s us, told %s us" % (shown, report["arrival_us"]["max"]))
    return right


async def check_report(program):
    """Two runs recorded, one of them cut off, and the page made of them."""
    forwarder = Forwarder(None, "SEND")
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    results = []
    with tempfile.TemporaryDirectory(prefix="imflood-") as scratch:
        first, second, page = (os.path.join(scratch, name) for name in ("first", "second", "page.html"))
        code, errors, report = await imflood(
            program, "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % port, "--sessions", "2", "--rate", "100",
            "--duration", "2.5", "--record", first, "--label", "<b> & \"c\"", "--pid", str(os.getpid()))
        server.close()
        with open(first) as lines:
            record = [json.loads(line) for line in lines]
        seconds = [line for line in record if "t" in line]
        right = record[0]["imflood"] == 1 and record[0]["label"] == "<b> & \"c\"" and record[-1]["report"] == report
        right = right and len(seconds) >= 2 and all("server_cpu" in line and "p99_us" in line for line in seconds)
        say(right, "record: %d lines of seconds, then the report" % len(seconds))
        results.append(right)

        with open(first) as whole, open(second, "w") as cut:
            text = whole.read()
            cut.write(text[:-300])
        third = os.path.join(scratch, "third")
        with open(third, "w") as doubtful:
            doubtful.write(text.replace('"bottleneck":false', '"bottleneck":true'))
        run = subprocess.run([program, "report", first, second, third, "--output", page], timeout=60)
        with open(page) as text:
            text = text.read()
        made = Page(text)
        right = run.returncode == 0 and made.nests and not made.open and not made.references
        right = right and made.counts["figure"] >= 5 and "http" not in text and "&lt;b&gt; &amp; &quot;c&quot;" in text
        right = right and "url(" not in text and "<script" not in text and "imflood was killed" in text
        above = text[:text.index("<figure")]  # who reads no further than the table sees what to think of it
        right = right and "was the bottleneck" in above and "imflood was killed" in above
        marked = [("&#9888;" in row) for row in above.split("<tr>")[2:]]
        right = right and marked[1:] == [True, True] and above.index("<th>errors") < above.index("<th>offered")
        say(right, "report: %d plots, %d lines" % (made.counts["figure"], made.counts["path"]))
        results.append(right)

        wrong = subprocess.run([program, "report", __file__], capture_output=True, text=True, timeout=60)
        right = wrong.returncode == 1 and wrong.stderr.count("\n") == 1 and ":1:" in wrong.stderr and not wrong.stdout
        say(right, "report of what is no record: %s" % wrong.stderr.strip())
        results.append(right)
    return all(results)
