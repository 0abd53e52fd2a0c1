"""A tiny DNS server on loopback (RFC 1035): a zone in a dictionary, which a test changes while it runs."""
import asyncio
import socket
import struct

TYPES = {"A": 1, "AAAA": 28, "SRV": 33, "NAPTR": 35}
NAMES = {number: name for name, number in TYPES.items()}
NXDOMAIN, SERVFAIL = 3, 2


def encode_name(name):
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label.encode() for label in labels) + b"\0"


def encode_string(text):
    return bytes((len(text),)) + text.encode()


def encode_data(kind, value):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "SRV":
        priority, weight, port, target = value
        return struct.pack("!HHH", priority, weight, port) + encode_name(target)
    order, preference, flags, service, pattern, replacement = value
    return (struct.pack("!HH", order, preference) + encode_string(flags) + encode_string(service) +
            encode_string(pattern) + encode_name(replacement))


class Dns(asyncio.DatagramProtocol):
    """`zone` maps (name, type) to a list of values; `ttl` is that of every record. With `silent` nothing
    is answered, with `failing` everything by SERVFAIL."""

    def __init__(self):
        self.zone, self.ttl = {}, 60
        self.silent = self.failing = False
        self.questions = []          # (name, type) as they came
        self.transport = None

    async def open(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    @property
    def address(self):
        return "127.0.0.1:%d" % self.transport.get_extra_info("sockname")[1]

    def close(self):
        self.transport.close()

    def count(self, name, kind):
        return self.questions.count((name, kind))

    def datagram_received(self, data, peer):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        number = struct.unpack("!H", data[at + 1:at + 3])[0]
        name, kind = ".".join(labels), NAMES.get(number)
        self.questions.append((name, kind))
        if self.silent:
            return
        values = self.zone.get((name, kind), [])
        known = any(n == name for n, _ in self.zone)
        code = SERVFAIL if self.failing else 0 if known else NXDOMAIN
        if self.failing:
            values = []
        answer = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(values), 0, 0) + data[12:at + 5]
        for value in values:
            rdata = encode_data(kind, value)
            answer += b"\xc0\x0c" + struct.pack("!HHIH", number, 1, self.ttl, len(rdata)) + rdata
        self.transport.sendto(answer, peer)
