"""Does imflood see what goes wrong? A pairing forwarder plants one fault in its traffic, and the
report must name it; a SIP proxy loses datagrams, and the sessions must come up all the same.
Usage: test_imflood.py IMFLOOD"""
import asyncio
import hashlib
import html.parser
import json
import logging
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import tempfile

END = re.compile(rb"-------[a-z0-9]{22}[$+#]\r\n")
FAULT_AT = 40  # which SEND, or which 200, is touched


def damage(message, fault):
    """The octets to send instead of one message."""
    content = message.find(b"\r\n\r\n") + 50
    return {
        "drop": b"",
        "twice": message + message,
        "corrupt": message[:content] + bytes([message[content] ^ 1]) + message[content + 1:],
        "shorten": message[:content] + message[content + 1:],
        "other session": message.replace(b"Message-ID: m", b"Message-ID: n"),
        "other path": message.replace(b"From-Path: msrp://127", b"From-Path: msrp://128"),
        "wrong range": message.replace(b"Byte-Range: 1-", b"Byte-Range: 2-"),
        "abort": message[:-3] + b"#\r\n",
        "garbage": b"garbage\r\n",
        "refuse": message.replace(b" 200 OK", b" 481 No"),
    }[fault]


# fault, what it is planted in, errors that must be reported and no others
FAULTS = (
    (None, "SEND", set()),
    ("drop", "SEND", {"lost"}),
    ("twice", "SEND", {"duplicate"}),
    ("corrupt", "SEND", {"body", "lost"}),
    ("shorten", "SEND", {"body", "lost"}),
    ("other session", "SEND", {"foreign", "lost"}),
    ("other path", "SEND", {"foreign", "lost"}),
    ("wrong range", "SEND", {"body", "lost"}),  # content depends on its place
    ("abort", "SEND", {"aborted", "lost"}),
    ("garbage", "SEND", {"syntax", "lost"}),
    ("drop", "200", {"unconfirmed"}),
    ("twice", "200", {"duplicate"}),
    ("refuse", "200", {"status", "unconfirmed"}),
    ("garbage", "200", {"syntax", "unconfirmed"}),
)
# What may come on top: when a connection goes, how much was under way depends on the moment.
SIDE_EFFECTS = {"garbage": {"closed", "unconfirmed", "lost"}}


class Forwarder:
    def __init__(self, fault, where):
        self.fault, self.where, self.seen, self.waiting = fault, where, 0, None

    def is_target(self, message):
        if self.where == "SEND":
            return b"Content-Type:" in message
        return message.startswith(b"MSRP f") and b" 200 OK" in message

    def touch(self, message):
        if not self.is_target(message):
            return message
        self.seen += 1
        return damage(message, self.fault) if self.fault and self.seen == FAULT_AT else message

    async def pump(self, reader, writer):
        held = b""
        try:
            while octets := await reader.read(65536):
                held += octets
                while end := END.search(held):
                    writer.write(self.touch(held[:end.end()]))
                    held = held[end.end():]
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async def on_connection(self, reader, writer):
        if not self.waiting:
            self.waiting = reader, writer
            return
        (first_reader, first_writer), self.waiting = self.waiting, None
        await asyncio.gather(self.pump(first_reader, writer), self.pump(reader, first_writer))


class Proxy(asyncio.DatagramProtocol):
    """Registrar and stateless proxy; every tenth datagram is lost, chosen from a seed. A fault is one of
    PAGER_FAULTS and is planted in the MESSAGE of that number."""

    def __init__(self, fault=None, lost=0.1):
        self.random, self.contacts = random.Random(7), {}
        self.fault, self.lost, self.messages = fault, lost, 0
        self.algorithms, self.password, self.authorized = (), "secret", set()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, octets, source):
        if self.random.random() < self.lost:
            return
        lines = octets.decode().split("\r\n")
        vias = [i for i, line in enumerate(lines) if line.startswith("Via:")]
        challenge = None if lines[0].startswith("SIP/2.0") else self.challenge(lines)
        if challenge:
            copied = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
            kept = [line for line in lines if line.startswith(copied)]
            lines, (host, port) = challenge + kept + ["Content-Length: 0", "", ""], source
        elif lines[0].startswith("SIP/2.0"):
            host, port = re.search(r"(?:UDP|TCP|TLS) ([\d.]+):(\d+)", lines[vias[1]]).groups()
            del lines[vias[0]]
        elif lines[0].startswith("REGISTER"):
            text = "\n".join(lines)
            user = re.search(r"To: <sip:(\w+)@", text).group(1)
            self.contacts[user] = re.search(r"Contact: <sip:\w+@([\d.]+):(\d+)", text).groups()
            copied = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
            kept = [line for line in lines if line.startswith(copied)]
            lines, (host, port) = ["SIP/2.0 200 OK"] + kept + ["Content-Length: 0", "", ""], source
        elif self.fault == "refuse" and lines[0].startswith(("MESSAGE", "INVITE")):
            copied = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
            kept = [line for line in lines if line.startswith(copied)]
            answer = ["SIP/2.0 503 Service Unavailable"] + kept + ["Retry-After: 7 (busy)", "Content-Length: 0", "", ""]
            lines, (host, port) = answer, source
            self.messages += 1
        elif self.fault == "die":
            self.transport.close()
            return
        else:
            host, port = self.contacts[re.search(r"sip:(\w+)@", lines[0]).group(1)]
            branch = re.search(r"branch=([^;]+)", lines[vias[0]]).group(1)
            own = self.transport.get_extra_info("sockname")
            lines.insert(1, "Via: SIP/2.0/UDP %s:%d;branch=%sp" % (*own, branch))
            if lines[0].startswith("MESSAGE"):
                self.messages += 1
                if self.messages == FAULT_AT:
                    self.plant(lines, (host, int(port)))
        self.transport.sendto("\r\n".join(lines).encode(), (host, int(port)))


    def challenge(self, lines):
        """Start line and header fields of a 401 or 407; None when none is due."""
        method, uri, _ = lines[0].split(" ")
        if not self.algorithms or method not in ("REGISTER", "INVITE", "MESSAGE"):
            return None
        prefix = "" if method == "REGISTER" else "Proxy-"
        given = [line for line in lines if line.startswith(prefix + "Authorization: Digest ")]
        values = dict(re.findall(r'(\w+)="?([^",]*)"?', given[0].partition("Digest")[2])) if given else {}
        if values.get("algorithm") in self.algorithms:
            digest = lambda *parts: HASHES[values["algorithm"]](":".join(parts).encode()).hexdigest()
            ha1, ha2 = digest(values["username"], "r,=m", self.password), digest(method, values["uri"])
            more = (values["nc"], values["cnonce"], "auth") if "qop" in values else ()
            user = re.search(r"From: <sip:(\w+)@", "\n".join(lines)).group(1)
            wanted = digest(ha1, "no" + method[0], *more, ha2)
            if values["response"] == wanted and values["uri"] == uri and values["username"] == user:
                self.authorized.add((method, values["algorithm"], "qop" in values))
                return None
        status, name = ("401 Unauthorized", "WWW") if method == "REGISTER" else ("407 Authenticate", "Proxy")
        # each method has a nonce of its own: what was learnt last is what counts
        value = '%s-Authenticate: Digest realm="r,=m", nonce="no%s", algorithm=%%s%s' % (
            name, method[0], ', qop="auth,auth-int"' if method != "REGISTER" else "")
        return ["SIP/2.0 " + status] + [value % algorithm for algorithm in self.algorithms]

    def plant(self, lines, to):
        """One MESSAGE is changed, or sent once more."""
        if self.fault == "twice":
            again = [lines[0], lines[1] + "x"] + lines[2:]
            self.transport.sendto("\r\n".join(again).encode(), to)
        elif self.fault == "repeat":
            self.transport.sendto("\r\n".join(lines).encode(), to)
        elif self.fault == "corrupt":
            lines[-1] = lines[-1][:-1] + chr(ord(lines[-1][-1]) ^ 1)
        elif self.fault == "other user":
            lines[0] = re.sub(r"b0*(\d+)@", lambda m: "b%06d@" % ((int(m[1]) + 1) % 10), lines[0])
        elif self.fault == "steal":
            lines[0] = lines[0].replace("MESSAGE", "OPTIONS")


class Stream:
    """The transport of a proxy whose clients are all on one connection: what it sends goes back there."""

    def __init__(self, writer):
        self.writer = writer
        self.get_extra_info = writer.get_extra_info

    def sendto(self, octets, to):
        self.writer.write(octets)

    def close(self):
        self.writer.close()

    async def read(self, reader, proxy):
        proxy.connection_made(self)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
                proxy.datagram_received(head + await reader.readexactly(length), self.get_extra_info("peername"))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.writer.close()


HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}

# fault in one MESSAGE, errors that must be reported and no others
PAGER_FAULTS = (
    ("twice", {"duplicate"}),
    ("repeat", set()),
    ("corrupt", {"body"}),
    ("other user", {"foreign"}),
    ("steal", {"lost"}),
)


def say(right, text):
    print("%-4s %s" % ("ok" if right else "FAIL", text))


async def imflood(program, *options, workload="session"):
    """Exit code and report of one short run."""
    command = [program, workload, "--json", "--quiet", "--duration", "0.3", "--warmup", "0"]
    process = await asyncio.create_subprocess_exec(*command, *options,
                                                   stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    except asyncio.TimeoutError:
        process.kill()
        raise
    report = json.loads(out)
    return process.returncode, {name for name, n in report["errors"].items() if n}, report


async def check_fault(program, fault, where, wanted):
    forwarder = Forwarder(fault, where)
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, errors, report = await imflood(program, "--mode", "forwarder", "--target",
                                         "msrp:127.0.0.1:%d" % port, "--sessions", "4", "--window",
                                         "--outstanding", "4", "--drain", "0.5", "--duration", "0.8")
    server.close()
    right = wanted <= errors <= wanted | SIDE_EFFECTS.get(fault, set())
    right = right and code == (1 if wanted else 0)
    right = right and forwarder.seen > FAULT_AT and report["arrival_us"]["count"] > 0
    say(right, "%s in a %s: reported %s, exit %d" % (fault or "nothing", where, sorted(errors), code))
    return right


async def check_sessions(program, *options):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Proxy, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    code, errors, report = await imflood(program, "--target", "sip:127.0.0.1:%d" % port,
                                         "--sessions", "10", "--window", *options)
    transport.close()
    right = code == 0 and not errors and report["sessions_up"] == 10
    right = right and report["arrival_us"]["count"] > 0
    say(right, "sessions over a lossy proxy %s: %d of 10 up, reported %s"
        % (" ".join(options), report["sessions_up"], sorted(errors)))
    return right


async def check_churn(program):
    """Sessions one after the other between the same users, with datagrams lost."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Proxy, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    code, errors, report = await imflood(program, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "10", "--window",
                                         "--duration", "2", workload="churn")
    transport.close()
    right = code == 0 and not errors and report["workload"] == "churn" and report["achieved_per_s"] > 3
    say(right, "churn over a lossy proxy: %.0f sessions/s, reported %s" % (report["achieved_per_s"], sorted(errors)))
    return right


async def check_deaf(program):
    """Two sessions that do not read now and then; the others have their latency told for both times."""
    forwarder = Forwarder(None, "SEND")
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, errors, report = await imflood(program, "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % port,
                                         "--sessions", "4", "--deaf", "2", "--rate", "200", "--duration", "2")
    server.close()
    counts = [report[name]["count"] for name in ("without_deaf_us", "with_deaf_us")]
    right = code == 0 and not errors and report["sessions_up"] == 6 and report["deaf_octets"] > 0
    # half of the time is of each kind, less a half; who does not read is not measured
    right = right and all(60 <= n <= 130 for n in counts) and report["deaf_ratio"] > 0
    say(right, "deaf readers: %d messages without, %d with, reported %s" % (*counts, sorted(errors)))
    return right


async def pager(program, proxy, *options):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: proxy, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        return await imflood(program, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "10", *options,
                             workload="pager")
    finally:
        transport.close()


async def check_pager(program):
    """MESSAGE with datagrams lost, in an open and in a closed loop: all arrive, once."""
    results = []
    for options in (("--rate", "200"), ("--window", "--outstanding", "2")):
        code, errors, report = await pager(program, Proxy(), *options, "--duration", "1")
        right = code == 0 and not errors and report["repeated"]["sent"] > 0 and report["arrival_us"]["count"] > 20
        say(right, "pager over a lossy proxy %s: %d arrived, %d repeated, reported %s"
            % (options[0], report["arrival_us"]["count"], report["repeated"]["sent"], sorted(errors)))
        results.append(right)
    return all(results)


async def check_pager_fault(program, fault, wanted):
    proxy = Proxy(fault, 0)
    code, errors, report = await pager(program, proxy, "--rate", "1000", "--drain", "1")
    right = errors == wanted and code == (1 if wanted else 0) and proxy.messages > FAULT_AT
    right = right and report["repeated"]["received"] >= (fault == "repeat")
    say(right, "pager, %s: reported %s, exit %d" % (fault, sorted(errors), code))
    return right


async def check_refused(program):
    """503 is counted per method and status, with its Retry-After."""
    proxy = Proxy("refuse", 0)
    code, errors, report = await pager(program, proxy, "--rate", "100")
    wanted = [{"method": "MESSAGE", "status": 503, "count": proxy.messages, "with_retry_after": proxy.messages,
               "retry_after_max_s": 7}]
    right = code == 1 and errors == {"sip_status"} and report["refused"] == wanted and proxy.messages > 0
    say(right, "pager refused: %s" % report["refused"])
    return right


async def check_death(program):
    """A target that falls silent: the run ends, and says what is missing."""
    code, errors, report = await pager(program, Proxy("die", 0), "--rate", "100", "--drain", "0.2")
    right = code == 1 and errors == {"lost"} and report["arrival_us"]["count"] == 0
    say(right, "pager to a target that dies: reported %s" % sorted(errors))
    return right


async def check_password(program):
    """The proxy asks for credentials, without qop and with it, and works them out by itself."""
    results = []
    for algorithms, password, wanted in ((("MD5",), "secret", set()), (("MD5", "SHA-256"), "secret", set()),
                                         (("SHA-256",), "wrong", {"sip_status", "setup"}),
                                         (("SHA-512-256",), "secret", {"sip_status", "setup"})):
        proxy = Proxy(lost=0)
        proxy.algorithms = algorithms
        code, errors, report = await pager(program, proxy, "--rate", "100", "--password", password)
        right = errors == wanted and code == (1 if wanted else 0)
        best = algorithms[-1]
        right = right and proxy.authorized == (set() if wanted else {("REGISTER", best, False), ("MESSAGE", best, True)})
        right = right and all(refusal["status"] in (401, 407) for refusal in report["refused"])
        say(right, "digest %s, password %s: %s, reported %s"
            % (" ".join(algorithms), password, sorted(proxy.authorized), sorted(errors)))
        results.append(right)
    return all(results)


def certificate(directory):
    """A context of a server with a certificate made now."""
    key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=120)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def check_streams(program):
    """The same proxy by one connection, plain and encrypted; then TLS towards who has none."""
    results = []
    with tempfile.TemporaryDirectory(prefix="imflood-") as scratch:
        for transport, context, fails in (("tcp", None, False), ("tls", certificate(scratch), False), ("tls", None, True)):
            on_connection = lambda reader, writer: Stream(writer).read(reader, Proxy(lost=0))
            server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=context)
            target = "sip:127.0.0.1:%d;transport=%s" % (server.sockets[0].getsockname()[1], transport)
            code, errors, report = await imflood(
                program, "--target", target, "--sessions", "4", "--rate", "100", "--setup-timeout",
                "1" if fails else "30", "--drain", "1" if fails else "35", workload="pager")
            server.close()
            right = code == (1 if fails else 0) and ("setup" in errors if fails else not errors)
            right = right and (report["arrival_us"]["count"] == 30) != fails
            say(right, "pager over %s%s: %d arrived, reported %s"
                % (transport, " to who has none" if fails else "", report["arrival_us"]["count"], sorted(errors)))
            results.append(right)
    return all(results)


async def check_cut_off(program):
    """The only connection is closed in the middle: the run ends long before its time."""
    on_connection = lambda reader, writer: Stream(writer).read(reader, Proxy("die", 0))
    results = []
    for workload, rate in (("pager", "100"), ("churn", "20")):
        server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
        target = "sip:127.0.0.1:%d;transport=tcp" % server.sockets[0].getsockname()[1]
        code, errors, report = await imflood(program, "--target", target, "--sessions", "4", "--rate", rate, "--duration",
                                             "600", workload=workload)
        server.close()
        right = code == 1 and {"closed", "lost"} <= errors and report["measured_s"] < 500
        say(right, "%s that is cut off: ends, reported %s" % (workload, sorted(errors)))
        results.append(right)
    return all(results)


async def check_mixed(program):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Proxy(lost=0), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    code, errors, report = await imflood(
        program, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "5", "--pairs", "5", "--rate", "200",
        "--duration", "1", "--mix", "message=10,session=2,pager=4,register=2,reinvite=2", workload="mixed")
    transport.close()
    counts = {name: load["arrival_us"]["count"] for name, load in report["loads"].items()}
    right = code == 0 and not errors
    # each has its part of what was due, to one more or less
    right = right and all(abs(counts[name] - n) <= 1 for name, n in
                          (("message", 100), ("session", 20), ("pager", 40), ("register", 20), ("reinvite", 20)))
    say(right, "mixed: %s, reported %s" % (counts, sorted(errors)))
    return right


# Arguments that are wrong, and what the one line must name.
USAGE = (
    ([], "unknown workload"),
    (["flood"], "unknown workload"),
    (["session"], "--target"),
    (["session", "--target", "sip:localhost:5060"], "--target"),
    (["session", "--target", "sip:127.0.0.1:5060;transport=sctp"], "--target"),
    (["session", "--target", "sip:127.0.0.1:5060", "--nonsense"], "nonsense"),
    (["session", "--target", "sip:127.0.0.1:5060", "more"], "more"),
    (["session", "--target", "sip:127.0.0.1:5060", "--mode", "core"], "--mode"),
    (["session", "--target", "sip:127.0.0.1:5060", "--sessions", "0"], "--sessions"),
    (["session", "--target", "sip:127.0.0.1:5060", "--rate", "fast"], "--rate"),
    (["session", "--target", "sip:127.0.0.1:5060", "--rate", "5", "--window"], "--window"),
    (["session", "--target", "sip:127.0.0.1:5060", "--local", "::1"], "--local"),
    (["session", "--target", "sip:127.0.0.1:5060", "--local", "127.0.0.1", "--local", "127.0.0.2", "--flows", "1"],
     "--flows"),
    (["session", "--target", "sip:127.0.0.1:5060", "--mix", "message=1"], "--mix"),
    (["session", "--target", "sip:127.0.0.1:5060", "--deaf", "1", "--connections-shared"], "--deaf"),
    (["mixed", "--target", "sip:127.0.0.1:5060", "--window"], "--window"),
    (["mixed", "--target", "sip:127.0.0.1:5060", "--mix", "message=0"], "--mix"),
    (["mixed", "--target", "sip:127.0.0.1:5060", "--mix", "messages=1"], "--mix"),
    (["pager", "--target", "msrp:127.0.0.1:5060", "--mode", "relay"], "relay"),
    (["pager", "--target", "sip:127.0.0.1:5060", "--size", "31"], "--size"),
    (["churn", "--target", "sip:127.0.0.1:5060", "--chunk", "10"], "--chunk"),
    (["churn", "--target", "sip:127.0.0.1:5060", "--setup-rate", "10"], "--setup-rate"),
    (["report"], "records"),
    (["report", "--nonsense"], "nonsense"),
)


def check_usage(program):
    wrong = []
    for arguments, named in USAGE:
        run = subprocess.run([program] + arguments, capture_output=True, text=True, timeout=30)
        if run.returncode != 2 or run.stderr.count("\n") != 1 or named not in run.stderr or run.stdout:
            wrong.append((arguments, run.returncode, run.stderr))
    say(not wrong, "%d wrong command lines: exit 2 and one line each %s" % (len(USAGE), wrong or ""))
    return not wrong


def check_help(program):
    """Each option that --help names is known, and none is known that it does not name."""
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30).stdout
    named = {option for option in re.findall(r"--([a-z][a-z-]+)", told)} - {"output", "version"}
    unknown = []
    for option in sorted(named):
        run = subprocess.run([program, "session", "--" + option, "?"], capture_output=True, text=True, timeout=30)
        if "unrecognized" in run.stderr:
            unknown.append(option)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "flood_options.c")) as source:
        known = set(re.findall(r'\{ "([a-z-]+)", (?:required|no)_argument', source.read()))
    right = not unknown and known == named and len(named) > 25
    say(right, "%d options in --help, unknown %s, not told %s" % (len(named), unknown, sorted(known ^ named)))
    return right


async def check_interrupt(program):
    """SIGINT in the middle: what was found so far is told."""
    forwarder = Forwarder(None, "SEND")
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        program, "session", "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % port, "--sessions", "2",
        "--rate", "100", "--duration", "600", "--warmup", "0", "--json", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    line = b""
    while not line.startswith(b"measure"):
        line = await asyncio.wait_for(process.stderr.readline(), 60)
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    server.close()
    report = json.loads(out)
    right = process.returncode == 0 and report["arrival_us"]["count"] > 0 and report["measured_s"] < 500
    say(right, "interrupted after %.1f s: %d messages told, exit %d"
        % (report["measured_s"], report["arrival_us"]["count"], process.returncode))
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
            cut.write(whole.read()[:-300])
        run = subprocess.run([program, "report", first, second, "--output", page], timeout=60)
        with open(page) as text:
            text = text.read()
        made = Page(text)
        right = run.returncode == 0 and made.nests and not made.open and not made.references
        right = right and made.counts["figure"] >= 5 and "http" not in text and "&lt;b&gt; &amp; &quot;c&quot;" in text
        right = right and "url(" not in text and "<script" not in text and "imflood was killed" in text
        say(right, "report: %d plots, %d lines" % (made.counts["figure"], made.counts["path"]))
        results.append(right)

        wrong = subprocess.run([program, "report", __file__], capture_output=True, text=True, timeout=60)
        right = wrong.returncode == 1 and wrong.stderr.count("\n") == 1 and ":1:" in wrong.stderr and not wrong.stdout
        say(right, "report of what is no record: %s" % wrong.stderr.strip())
        results.append(right)
    return all(results)


async def in_groups(checks, size=4):
    results = []
    while checks:
        group, checks = checks[:size], checks[size:]
        for result in await asyncio.gather(*group, return_exceptions=True):
            if isinstance(result, BaseException):
                say(False, "a check did not come to its end: %r" % result)
            results.append(result is True)
    return results


async def main():
    program = sys.argv[1]
    results = [check_usage(program), check_help(program)]
    checks = [check_fault(program, *row) for row in FAULTS]
    checks += [check_sessions(program, *options) for options in
               ((), ("--answer", "passive"), ("--answer", "passive", "--connections-shared"))]
    checks += [check_churn(program), check_deaf(program), check_pager(program)]
    checks += [check_pager_fault(program, *row) for row in PAGER_FAULTS]
    checks += [check_streams(program), check_cut_off(program), check_refused(program), check_password(program), check_death(program), check_mixed(program),
               check_interrupt(program), check_report(program)]
    results += await in_groups(checks)
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    sys.exit(0 if all(results) else 1)


logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a fault closes a connection in the middle is meant
asyncio.run(main())
