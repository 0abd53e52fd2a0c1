"""What is written down besides the log: call detail records, copies for a collector, captures of one user (design 13)."""
import asyncio
import contextlib
import datetime
import json
import os
import shutil
import socket
import stat
import tempfile
import time

from admin import Trace
from ua import REQ, check, hep, pcap, same, sip
from world import DOMAIN, scenario

KEYS = ["time", "type", "id", "from", "to", "start", "end", "octets", "messages", "reason"]


def moment(text):
    """Strictly: RFC 3339, UTC, milliseconds."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ") if len(text) == 24 else None


class Records:
    """The lines of a file of records, each looked at."""

    def __init__(self, path):
        self.path = path

    def read(self):
        """The whole lines; one that is being written may not be."""
        with contextlib.suppress(FileNotFoundError):
            with open(self.path, "rb") as file:
                whole = file.read().rpartition(b"\n")[0]
            return [self.parse(line) for line in whole.split(b"\n")] if whole else []
        return []

    @staticmethod
    def parse(line):
        record = json.loads(line)
        same(list(record), KEYS, "keys")
        check(all(moment(record[key]) for key in ("time", "start", "end")), "times of %s" % record)
        check(record["start"] <= record["end"] <= record["time"], "order of times in %s" % record)
        check(record["type"] in ("session", "pager"), "type of %s" % record)
        return record

    async def until(self, count, seconds=10, **wanted):
        """The records with these values, once there are so many."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            found = [r for r in self.read() if all(r[k] == v for k, v in wanted.items())]
            if len(found) >= count:
                same(len(found), count, "records with %s" % wanted)
                return found
            check(asyncio.get_running_loop().time() < end, "%d records with %s in %s" % (
                count, wanted, self.read()))
            await asyncio.sleep(0.02)


def address(user):
    return user.uri.partition(":")[2]


def into(name):
    """A setting of its own: the file is in the server's directory."""
    return {"log.cdr": name}


def passes(world):
    """So many functions a request meets: each is a session, and each has its record."""
    return 2 if world.ims else 1


async def anonymous(alice, bob):
    message = alice.pager(bob, "from nobody", headers=[("Privacy", "id")])
    sending = asyncio.ensure_future(message)
    (await bob.expect("MESSAGE")).respond(200)
    same((await sending).status, 200, "MESSAGE")


@scenario(own=into("cdr.jsonl"))
async def records_of_sessions_and_messages(world):
    """One line for each session, with what went through it, and for each pager message; who asks for privacy is not
    named; a session that never began has its reason."""
    records, each = Records(os.path.join(world.server.directory, "cdr.jsonl")), passes(world)
    alice, bob = await world.pair()
    names = {"from": address(alice), "to": address(bob)}
    sa, sb = await world.session(alice, bob)
    for text in ("one", "three"):
        await sa.send(text)
        await sb.receive()
    await sb.send("x" * 5000)
    await sa.receive()
    same(records.read(), [], "records while the session lives")
    await sa.hang_up()
    await sb.wait_bye()
    for record in await records.until(each, type="session", reason="bye", **names):
        same((record["octets"], record["messages"]), (5008, 3), "of %s" % record)
        check(record["id"], "no id")

    sending = asyncio.ensure_future(alice.pager(bob, "hello"))
    (await bob.expect("MESSAGE")).respond(200)
    same((await sending).status, 200, "MESSAGE")
    for record in await records.until(each, type="pager", reason="delivered", **names):
        same((record["octets"], record["messages"]), (5, 1), "of %s" % record)

    await anonymous(alice, bob)
    for record in await records.until(each, **{"type": "pager", "from": None}):
        same(record["to"], names["to"], "to")
    REQ("IM-G-4")
    calling = alice.invite(bob)
    (await bob.expect_invite()).refuse(486)
    same((await calling.transaction.final()).status, 486, "INVITE")
    for record in await records.until(each, type="session", reason="rejected", **names):
        same((record["octets"], record["messages"]), (0, 0), "of %s" % record)
    metrics = await world.server.metrics()
    same(metrics.sum("imserv_cdr_records_total"), 4.0 * each, "records counted")
    same(metrics.sum("imserv_cdr_lost_total"), 0.0, "records lost")


@scenario(own=into("cdr.jsonl"), once=True)
async def records_of_attempts(world):
    """Who calls nobody, calls in vain, gives up, or offers what cannot be: a line each."""
    records = Records(os.path.join(world.server.directory, "cdr.jsonl"))
    alice, bob = await world.pair()
    status = (await alice.invite("sip:nobody-here@" + DOMAIN).transaction.final()).status
    check(status in (403, 480), "INVITE to nobody: %d" % status)
    await records.until(1, type="session", reason="offline", to="nobody-here@" + DOMAIN)
    calling = alice.invite(bob)
    (await bob.expect_invite()).ring()
    await calling.transaction.provisional(180)
    calling.transaction.cancel()
    same((await calling.transaction.final()).status, 487, "cancelled INVITE")
    await records.until(passes(world), type="session", reason="cancelled", to=address(bob))
    raw = await world.raw()
    invite = world.request("INVITE", raw, to=bob.uri, headers=[("Session-Expires", "10"), ("Min-SE", "10")],
                           sender=alice.uri)
    same(await raw.ask(invite), 422, "INVITE with too brief a timer")
    raw.send(sip_ack(invite, raw.last))
    for record in await records.until(1, type="session", reason="not_acceptable", to=address(bob)):
        same(record["id"], None, "id of what was no session")


def sip_ack(invite, response):
    ack = sip.Message("ACK", invite.uri)
    for name in ("Via", "From", "Call-ID", "Route", "Max-Forwards"):
        for value in invite.all(name)[:1]:
            ack.add(name, value)
    return ack.add("To", response.get("To")).add("CSeq", "1 ACK")


@scenario(own=into("cdr.jsonl"), once=True)
async def records_rotate_at_reload(world):
    """Renamed and reloaded, the old file keeps what it has and a new one gets the rest; between them every message
    has its line."""
    path = os.path.join(world.server.directory, "cdr.jsonl")
    alice, bob = await world.pair()
    for round_ in range(3):
        sending = asyncio.ensure_future(alice.pager(bob, "x" * (round_ + 1)))
        (await bob.expect("MESSAGE")).respond(200)
        await sending
        await Records(path).until(passes(world), octets=round_ + 1)
        os.rename(path, "%s.%d" % (path, round_))
        same((await world.server.api("POST", "reload"))[0], 200, "reload")
        await Records(path).until(0)
    for round_ in range(3):
        same([r["octets"] for r in Records("%s.%d" % (path, round_)).read()], [round_ + 1] * passes(world),
             "old file %d" % round_)
    # one that cannot be opened is refused, and what is in force goes on
    os.rename(path, path + ".3")
    os.mkdir(path)
    same((await world.server.api("POST", "reload"))[0], 409, "reload with a folder in the way")
    sending = asyncio.ensure_future(alice.pager(bob, "xxxx"))
    (await bob.expect("MESSAGE")).respond(200)
    await sending
    await Records(path + ".3").until(passes(world), octets=4)


@scenario(modes=("standalone",), once=True, own=into("/dev/full"))
async def records_on_a_full_disk(world):
    """What cannot be written holds nobody up, is said, and counted when the server ends."""
    alice, bob = await world.pair()
    for _ in range(5):
        sending = asyncio.ensure_future(alice.pager(bob, "hello"))
        (await bob.expect("MESSAGE")).respond(200)
        same((await sending).status, 200, "MESSAGE")
    await world.server.logged("cdr cannot-write error=\"No space left on device\"", 10)
    same((await world.server.metrics()).sum("imserv_cdr_records_total"), 0.0, "records written")
    world.server.terminate()
    await world.server.logged("cdr lost records=5 ", 10)
    same(await world.server.wait(), 0, "exit code")


HALF = '{"time":'
FOLDERS = []  # removed when the run ends


def elsewhere():
    """A file that outlives the server; it ends inside a line, as after a power cut."""
    FOLDERS.append(tempfile.TemporaryDirectory(prefix="imserv-test-"))
    path = os.path.join(FOLDERS[-1].name, "cdr.jsonl")
    begin_half(path)
    return {"runtime.drain": "100ms", "log.cdr": path}


def begin_half(path):
    with open(path, "w") as file:
        file.write(HALF)


@scenario(once=True, own=elsewhere, settle=False)
async def records_at_the_end(world):
    """SIGTERM with sessions that go on: after the drain each has its line, the last one whole, and what ended inside
    a line before has a line of its own."""
    path = world.settings["log.cdr"]
    try:
        alice, bob = await world.pair()
        for _ in range(3):
            await world.session(alice, bob)
        world.server.terminate()
        same(await world.server.wait(), 0, "exit code")
        with open(path) as file:
            lines = file.read().split("\n")
        same((lines[0], lines[-1]), (HALF, ""), "first line, and what is behind the last")
        found = [Records.parse(line) for line in lines[1:-1]]
        same([r["type"] for r in found], ["session"] * 3 * passes(world), "records")
        check(all(r["reason"] for r in found), "reasons of %s" % found)
    finally:
        begin_half(path)  # for another try


@scenario(modes=("standalone",), once=True, own=into("cdr.jsonl"))
async def records_are_for_their_owner(world):
    """The file says who talks to whom: others cannot read it."""
    same(os.stat(os.path.join(world.server.directory, "cdr.jsonl")).st_mode & 0o007, 0, "what others may")


# --- copies of SIP messages for a collector ---

HOLDERS = {}  # setting of log.hep: the socket that holds its port until the run ends


def collected():
    """A port that a collector takes over: the server is told of it before the scenario runs."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", 0))
    setting = '"udp:127.0.0.1:%d;id=4711"' % holder.getsockname()[1]
    HOLDERS[setting] = holder
    return {"log.hep": setting}


async def open_collector(world):
    own = HOLDERS[world.settings["log.hep"]].dup()
    own.setblocking(False)
    collector = hep.Collector()
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: collector, sock=own)
    return collector


@scenario(own=collected)
async def hep_has_every_message(world):
    """Each SIP message in and out is one packet with who sent it to whom, when, and its Call-ID; TLS in clear;
    no content and no credentials."""
    collector = await open_collector(world)
    try:
        alice, bob = await world.pair()
        peer = (world.core or alice).endpoint
        here = world.sip_address
        sa, sb = await world.session(alice, bob)
        await sa.hang_up()
        await sb.wait_bye()
        sending = asyncio.ensure_future(alice.pager(bob, "words that nobody else may read", headers=[
            ("Proxy-Authorization", 'Digest username="alice", response="0123456789abcdef"')]))
        (await bob.expect("MESSAGE")).respond(200)
        same((await sending).status, 200, "MESSAGE")
        first = await collector.until(lambda p: p.start.startswith("INVITE"), "INVITE")
        call_id = first.value("Call-ID")
        for what, wanted in (("its answer", "SIP/2.0 200"), ("ACK", "ACK "), ("BYE", "BYE ")):
            await collector.until(lambda p: p.start.startswith(wanted) and p.value("Call-ID") == call_id, what)
        message = await collector.until(lambda p: p.start.startswith("MESSAGE"), "MESSAGE")
        await collector.until(lambda p: p.start.startswith("SIP/2.0 200") and p.value("Call-ID") == message.value("Call-ID"),
                              "the answer to MESSAGE")
        check("m=message" in first.text and "a=path:msrp" in first.text, "no description in %s" % first.text)
        check(int(message.value("Content-Length")) == len(message.payload.partition(b"\r\n\r\n")[2]), "length of the body")
        same(message.value("Proxy-Authorization"), 'Digest username="xxxxx", response="xxxxxxxxxxxxxxxx"', "credentials")
        now = time.time()
        for packet in collector.packets:
            check("words" not in packet.text and "0123456789abcdef" not in packet.text, "a secret in %s" % packet.text)
            same((packet.protocol, packet.family), (17 if world.transport == "udp" else 6, 2), "protocol of %s" % packet)
            same(packet.capture_id, 4711, "capture id")
            same(packet.correlation.decode(), packet.value("Call-ID"), "correlation id")
            check(abs(packet.seconds - now) < 600, "time %d" % packet.seconds)
        same((first.destination, first.port), here, "where the INVITE went")
        if world.transport == "udp":
            same((first.source, first.source_port), (peer.host, peer.port), "where the INVITE came from")
        # by a connection that the server opened its own port is any
        ways = {(p.start.split(" ")[0], (p.destination, p.port) == here or (p.source, p.source_port) == (peer.host, peer.port))
                for p in collector.packets}
        for way in (("INVITE", True), ("INVITE", False), ("SIP/2.0", True), ("SIP/2.0", False), ("BYE", True), ("BYE", False)):
            check(way in ways, "no %s %s" % (way[0], "in" if way[1] else "out"))
        arrived, end = len(collector.packets), asyncio.get_running_loop().time() + 15
        while (await world.server.metrics()).sum("imserv_hep_packets_total") < arrived:  # counted behind the sending
            check(asyncio.get_running_loop().time() < end, "%d packets arrived, fewer are counted" % arrived)
        same((await world.server.metrics()).sum("imserv_hep_lost_total"), 0.0, "packets lost")
    finally:
        collector.close()


@scenario(modes=("standalone",), once=True, transports=("udp", "tcp", "no tls"), own=collected)
async def hep_of_what_is_refused(world):
    """Also what is answered 400 is copied: it is what an operator looks for."""
    collector = await open_collector(world)
    try:
        raw = await world.raw()
        bad = world.request("OPTIONS", raw, without=("CSeq",))
        same(await raw.ask(bad), 400, "OPTIONS without CSeq")
        await collector.until(lambda p: p.start.startswith("OPTIONS"), "the request")
        await collector.until(lambda p: p.start.startswith("SIP/2.0 400"), "the answer")
    finally:
        collector.close()


@scenario(modes=("standalone",), once=True, own={"log.hep": "127.0.0.1:1"})
async def hep_without_collector(world):
    """Nobody listens there: everything works, and what is lost is counted and said."""
    await world.normal_session()
    await world.server.logged("hep cannot-send collector=127.0.0.1 ", 15)
    end = asyncio.get_running_loop().time() + 15
    while not (await world.server.metrics()).sum("imserv_hep_lost_total"):
        check(asyncio.get_running_loop().time() < end, "no packet is counted as lost")
        await world.normal_session()


# --- captures of one user ---

class Capture:
    """A running `imservctl trace USER --pcap FILE`."""

    def __init__(self, world, user, path):
        self.world, self.user, self.path = world, user, path

    async def start(self):
        server = self.world.server
        self.process = await asyncio.create_subprocess_exec(
            os.path.join(os.path.dirname(server.path), "imservctl"), "--api", "http://%s:%d" % server.ready.http,
            "--token-file", server.token_file, "trace", self.user, "--pcap", self.path, stdin=asyncio.subprocess.DEVNULL)
        await self.until(lambda records: True, "head")
        return self

    def records(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.path, "rb") as file:
                data = file.read()
            return pcap.read(data, may_end_inside=True) if len(data) >= 24 else None
        return None

    async def until(self, wanted, what, seconds=15):
        end = asyncio.get_running_loop().time() + seconds
        while True:
            records = self.records()
            if records is not None and wanted(records):
                return records
            check(asyncio.get_running_loop().time() < end, "no %s in %s" % (what, records and [r.start for r in records]))
            await asyncio.sleep(0.02)

    async def stop(self):
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()


async def talk(world, alice, bob):
    sa, sb = await world.session(alice, bob)
    await sa.send("hidden words")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()
    sending = asyncio.ensure_future(alice.pager(bob, "more hidden words", headers=[
        ("Proxy-Authorization", 'Digest username="alice", response="0123456789abcdef"')]))
    (await bob.expect("MESSAGE")).respond(200)
    same((await sending).status, 200, "MESSAGE")


def is_complete(records):
    return [r for r in records if r.start.startswith("MESSAGE")] and records[-1].start.startswith("SIP/2.0 200") and \
        "MESSAGE" in records[-1].text


async def decoded_by_tshark(path):
    """What another dissector makes of it: (method or status, Call-ID) of each packet."""
    process = await asyncio.create_subprocess_exec(
        "tshark", "-n", "-r", path, "-Y", "sip", "-T", "fields", "-e", "sip.Method", "-e", "sip.Status-Code", "-e", "sip.Call-ID",
        "-e", "_ws.malformed", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    out, _ = await process.communicate()
    same(process.returncode, 0, "tshark")
    found = [line.split("\t") for line in out.decode().split("\n") if line]
    check(not any(malformed for _, _, _, malformed in found), "malformed: %s" % found)
    return [(method or status, call_id) for method, status, call_id, _ in found]


def beside(name):
    return {"log.trace_dir": name}


@scenario(own=beside("traces"), seconds=60)
async def captures_of_a_user(world):
    """imservctl trace --pcap: a capture file of the user's messages that others can read too, without content and
    credentials; the same stands in log.trace_dir."""
    alice, bob = await world.pair()
    carol = await world.client("carol")
    path = os.path.join(world.server.directory, "capture.pcap")
    capture = await Capture(world, alice.name, path).start()
    try:
        sending = asyncio.ensure_future(carol.pager(bob, "between others"))
        (await bob.expect("MESSAGE")).respond(200)
        await sending
        await talk(world, alice, bob)
        records = await capture.until(is_complete, "end of the last transaction")
    finally:
        await capture.stop()
    starts = [r.start for r in records]
    for start in ("INVITE ", "SIP/2.0 180", "SIP/2.0 200", "ACK ", "BYE ", "MESSAGE "):
        check(sum(s.startswith(start) for s in starts) >= 2, "%s in and out: %s" % (start, starts))
    text = "\n".join(r.text for r in records)
    check("hidden" not in text and "0123456789abcdef" not in text, "a secret in the capture")
    check(carol.name not in text and "between" not in text, "a stranger in the capture")
    check("m=message" in text, "no description")
    first = next(r for r in records if r.start.startswith("INVITE"))
    same((first.destination, first.port), world.sip_address, "where the INVITE went")
    check(all(r.time >= first.time - 600 for r in records), "times")
    same(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of the file")
    folder = os.path.join(world.server.directory, "traces")
    names = os.listdir(folder)
    check(len(names) == 1 and names[0].startswith(alice.name + "@"), "files %s" % names)
    same(stat.S_IMODE(os.stat(os.path.join(folder, names[0])).st_mode), 0o600, "mode of the server's file")
    same(stat.S_IMODE(os.stat(folder).st_mode), 0o700, "mode of log.trace_dir")
    with open(os.path.join(folder, names[0]), "rb") as file:
        kept = pcap.read(file.read(), may_end_inside=True)
    same([r.payload for r in kept][:len(records)], [r.payload for r in records], "the server's file")
    if shutil.which("tshark"):
        seen = await decoded_by_tshark(os.path.join(folder, names[0]))
        same(seen, [(r.start.split(" ")[r.start.startswith("SIP/2.0")], value_of(r.text, "Call-ID")) for r in kept],
             "what tshark sees")


def value_of(text, name):
    return next(line.partition(":")[2].strip() for line in text.split("\r\n") if line.lower().startswith(name.lower() + ":"))


@scenario(once=True, modes=("standalone",), own=beside("traces"))
async def captures_are_asked_for_rightly(world):
    """Formats that are none are refused; a file that cannot be written is said; a text trace is kept as a capture too."""
    for query, status in (("format=pcapng", 400), ("format=", 400)):
        same((await world.server.api("GET", "trace/alice?" + query))[0], status, query)
    code, _, error = await world.server.ctl("trace", "alice", "--pcap", "/no/such/directory/x")
    same(code, 1, "exit code")
    check("No such file" in error, "error %r" % error)
    same((await world.server.ctl("trace", "alice", "--pcap", "x", "--json"))[0], 2, "--pcap with --json")
    same((await world.server.ctl("status", "--pcap", "x"))[0], 2, "--pcap with status")
    alice, bob = await world.pair()
    trace = await Trace(world, alice.name).start()
    try:
        await talk(world, alice, bob)
        check(await trace.until("MESSAGE ", 15), "no MESSAGE in the trace")
    finally:
        await trace.stop()
    folder = os.path.join(world.server.directory, "traces")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            check(any(r.start.startswith("MESSAGE") for r in pcap.read(file.read(), may_end_inside=True)),
                  "no MESSAGE in %s" % name)
    same(len(os.listdir(folder)), 1, "files")


# --- reload ---

@scenario(modes=("standalone",), once=True, own={"file": ""})
async def records_begin_and_end_by_reload(world):
    """All of it off at the start, then on, then off again; what cannot be opened is refused whole, by name."""
    server = world.server
    path, folder = (os.path.join(server.directory, name) for name in ("cdr.jsonl", "traces"))
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", 0))
    holder.setblocking(False)
    collector = hep.Collector()
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: collector, sock=holder)
    text = "log: {cdr: %s, hep: '127.0.0.1:%d', trace_dir: %s}\n" % (path, holder.getsockname()[1], folder)
    try:
        alice, bob = await world.pair()
        await talk(world, alice, bob)
        check(not os.path.exists(path) and not collector.packets, "records while it is off")
        answer = await server.reread(text.replace("cdr.jsonl", "no/such/file"), 409)
        same([e["key"] for e in answer["errors"]], ["log.cdr"], "errors")
        check(not os.path.exists(folder), "a directory of a reload that was refused")
        answer = await server.reread(text, 200)
        same(answer["restart_required"], [], "keys that take a restart")
        trace = await Trace(world, alice.name).start()
        await talk(world, alice, bob)
        await Records(path).until(1, type="session", reason="bye")
        await Records(path).until(1, type="pager")
        await collector.until(lambda p: p.start.startswith("MESSAGE"), "MESSAGE")
        same(len(os.listdir(folder)), 1, "captures")
        await trace.stop()
        await server.reread("", 200)
        carol = await world.client("carol")
        await talk(world, carol, bob)
        same(len(Records(path).read()), 2, "records when it is off again")
        trace = await Trace(world, alice.name).start()
        await trace.stop()
        same(len(os.listdir(folder)), 1, "captures when it is off again")
        same([p for p in collector.packets if carol.name in p.text], [], "packets when it is off again")
    finally:
        collector.close()
