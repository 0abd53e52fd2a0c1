"""What test_imflood.py lets imflood load: a pairing forwarder that plants one fault in MSRP, a registrar and proxy that
loses datagrams, plants one in a MESSAGE, refuses, asks for passwords or dies."""
import asyncio
import hashlib
import random
import re

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
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


class Stalled(Forwarder):
    """Holds all SENDs with content back until 60 have come."""

    def __init__(self):
        super().__init__(None, "SEND")
        self.held = []

    def touch(self, message):
        if self.held is None or not self.is_target(message):
            return message
        self.held.append(message)
        if len(self.held) < 60:
            return b""
        all_of_them, self.held = b"".join(self.held), None
        return all_of_them


class Proxy(asyncio.DatagramProtocol):
    """Registrar and stateless proxy; every tenth datagram is lost, chosen from a seed. A fault is one of
    PAGER_FAULTS and is planted in the MESSAGE of that number."""

    def __init__(self, fault=None, lost=0.1):
        self.random, self.contacts = random.Random(7), {}
        self.fault, self.lost, self.messages, self.registered = fault, lost, 0, 0
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
            contact = re.search(r"Contact: <sip:\w+@([\d.]+):(\d+)", text).groups()
            if "\nExpires: 0\n" in text:
                self.contacts.pop(user, None)  # it may come again
            else:
                self.contacts[user] = contact
                self.registered += 1
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
