"""The torture messages of RFC 4475, sent as they are over UDP and TCP: each is answered or dropped as
tests/rfc4475.tsv says, and the server serves a session after each one."""
import asyncio
import os
import random
import re
import socket

from ua import Failure, check, same, sip
from world import Skip, scenario

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MESSAGES = os.path.join(ROOT, "..", "shared", "data", "rfc4475")
TABLE = os.path.join(ROOT, "tests", "rfc4475.tsv")
SIP_PORT = 5060


def table():
    """[(file, {transport: expected statuses})]; empty: dropped."""
    rows = []
    with open(TABLE, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            name, udp, tcp, section, why = line.rstrip("\n").split("\t")
            check(section and why, "%s: row without section or reason" % name)
            rows.append((name, {transport: [] if expected == "drop" else [int(s) for s in expected.split(",")]
                                for transport, expected in (("udp", udp), ("tcp", tcp))}))
    return rows


def answer_port(data):
    """Where the top Via wants its answer (RFC 3261 18.2.2)."""
    match = re.search(rb"(?im)^v(?:ia)?[ \t]*:\s*SIP\s*/\s*[\d.]+\s*/\s*\w+\s+[\w.-]+:(\d+)", data)
    return int(match.group(1)) if match else SIP_PORT


class Wire:
    """One socket at a loopback address of its own, so that it can have the port that the Via names."""

    def __init__(self, transport, server, port):
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.transport, self.server = transport, server
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.setblocking(False)
        host = "127.%d.%d.%d" % (random.randint(1, 254), random.randint(0, 255), random.randint(1, 254))
        self.socket.bind((host, port if transport == "udp" else 0))
        self.buffer = b""

    async def send(self, data):
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            self.socket.sendto(data, self.server)
            return
        await loop.sock_connect(self.socket, self.server)
        await loop.sock_sendall(self.socket, data)

    async def answer(self, seconds=5):
        """The next final response, or None when the connection was closed or nothing came in time."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                response = await asyncio.wait_for(self._next(loop), seconds)
                if response is None or response.status >= 200:
                    return response
        except asyncio.TimeoutError:
            return None

    async def _next(self, loop):
        while True:
            if self.transport == "udp":
                return sip.parse_datagram(await loop.sock_recv(self.socket, 65536))
            head, blank, rest = self.buffer.partition(b"\r\n\r\n")
            if blank:
                message = sip.parse_head(head)
                check(sip.content_length(message) == 0, "%s with a body" % message)
                self.buffer = rest
                return message
            try:
                more = await loop.sock_recv(self.socket, 65536)
            except ConnectionError:
                return None
            if not more:
                return None
            self.buffer += more

    def waiting(self):
        """What has come and was not read."""
        try:
            return self.buffer + self.socket.recv(65536)
        except (BlockingIOError, ConnectionError):
            return self.buffer

    def close(self):
        self.socket.close()


def unfolded(value):
    """As every element may rewrite it: blanks and folds are one blank, NUL is none."""
    return " ".join(value.replace("\0", " ").split())


def headers_of(data):
    """{name in lower case: values} of a message that no strict parser takes."""
    head = re.sub(rb"\r\n[ \t]+", b" ", data.partition(b"\r\n\r\n")[0])
    found = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name = name.strip()
        found.setdefault(sip.COMPACT.get(name.lower(), name).lower(), []).append(unfolded(value))
    return found


def is_answer_to(response, data):
    """RFC 3261 8.2.6.2: From, Call-ID, CSeq and the Vias of the request; To with a tag."""
    asked = headers_of(data)
    for name in ("From", "Call-ID", "CSeq"):
        same([unfolded(v) for v in response.all(name)], asked.get(name.lower(), [])[:1], name)
    same(len(response.all("Via")), len(asked["via"]), "Vias")
    for value in response.all("To"):
        before = asked["to"][0]
        check(unfolded(value).startswith(before), "To %r of %r" % (value, before))


def ack_of(response):
    """The ACK of a refused INVITE, by what the response says (RFC 3261 17.1.1.3)."""
    lines = ["ACK sip:user@example.com SIP/2.0", "Via: " + response.all("Via")[0], "Max-Forwards: 70"]
    for name in ("From", "To", "Call-ID"):
        lines += ["%s: %s" % (name, value) for value in response.all(name)[:1]]
    lines += ["CSeq: %s ACK" % response.get("CSeq").split()[0], "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


async def one(world, name, data, expected):
    wire = Wire(world.transport, world.sip_address, answer_port(data))
    try:
        await wire.send(data)
        got = []
        for status in expected:
            response = await wire.answer()
            check(response is not None, "%s: no answer, expected %d" % (name, status))
            got.append(response.status)
            if unfolded(response.get("Call-ID", "")) in headers_of(data).get("call-id", [""]):
                is_answer_to(response, data)
            if world.transport == "udp" and data.startswith(b"INVITE"):
                await wire.send(ack_of(response))
        same(sorted(got), sorted(expected), name)  # each comes when its owner is done
        await world.normal_session()
        same(wire.waiting(), b"", "%s: more than was expected" % name)
    finally:
        wire.close()
    world.close_clients()


@scenario(modes=("standalone",), transports=("udp", "tcp"), own={"policy.feature_tag": "never"}, seconds=120, settle=False)
async def torture(world):
    """Each of the 49 messages gets what tests/rfc4475.tsv says, and a session is served after it."""
    if world.transport == "tls":
        raise Skip("RFC 4475 knows UDP and TCP")
    if not os.path.isdir(MESSAGES):
        raise Skip("no ../shared/data/rfc4475 here")
    rows = table()
    files = sorted(f[:-4] for f in os.listdir(MESSAGES) if f.endswith(".dat"))
    same([name for name, _ in rows], files, "messages in the table")
    wrong = []
    for name, expected in rows:
        with open(os.path.join(MESSAGES, name + ".dat"), "rb") as message:
            try:
                await one(world, name, message.read(), expected[world.transport])
            except Failure as failure:
                check(world.server.alive, "%s: the server ended" % name)
                wrong.append(str(failure))
    check(not wrong, "; ".join(wrong))
