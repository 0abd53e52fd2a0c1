"""A collector of HEP version 3 packets, written from the protocol's description and not from the server's code."""
import asyncio
import ipaddress
import struct

from . import Failure, check

FIELDS = {1: ("family", "B"), 2: ("protocol", "B"), 7: ("source_port", "H"), 8: ("port", "H"), 9: ("seconds", "I"),
          10: ("microseconds", "I"), 11: ("kind", "B"), 12: ("capture_id", "I")}
TEXTS = {3: "source", 4: "destination", 5: "source", 6: "destination", 15: "payload", 17: "correlation"}


class Packet:
    """One packet, decoded strictly: every chunk once, of its size, nothing behind the last."""

    def __init__(self, data):
        magic, length = struct.unpack_from("!4sH", data)
        check(magic == b"HEP3", "magic %r" % magic)
        check(length == len(data), "length %d of %d octets" % (length, len(data)))
        at, seen = 6, set()
        while at < len(data):
            vendor, kind, size = struct.unpack_from("!HHH", data, at)
            value = data[at + 6:at + size]
            check(vendor == 0 and kind not in seen, "chunk %d of vendor %d" % (kind, vendor))
            check(size >= 6 and at + size <= len(data), "chunk of %d octets" % size)
            seen.add(kind)
            if kind in FIELDS:
                name, form = FIELDS[kind]
                check(len(value) == struct.calcsize("!" + form), "size of %s" % name)
                setattr(self, name, struct.unpack("!" + form, value)[0])
            else:
                check(kind in TEXTS, "chunk %d" % kind)
                check(kind not in (3, 4) or self.family == 2, "an IPv4 address in family %d" % self.family)
                check(kind not in (5, 6) or self.family == 10, "an IPv6 address in family %d" % self.family)
                setattr(self, TEXTS[kind], str(ipaddress.ip_address(value)) if kind in (3, 4, 5, 6) else value)
            at += size
        missing = {1, 2, 7, 8, 9, 10, 11, 12, 15} - seen
        check(not missing, "no chunks %s" % missing)
        check({3, 4} <= seen or {5, 6} <= seen, "no addresses")
        check(self.kind == 1, "payload of type %d" % self.kind)
        check(self.microseconds < 1000000, "%d microseconds" % self.microseconds)
        self.text = self.payload.decode("utf-8", "replace")
        self.start = self.text.partition("\r\n")[0]

    def value(self, name):
        for line in self.text.partition("\r\n\r\n")[0].split("\r\n")[1:]:
            header, _, value = line.partition(":")
            if header.strip().lower() == name.lower():
                return value.strip()
        return None

    def __repr__(self):
        return "<%s:%d to %s:%d %s>" % (self.source, self.source_port, self.destination, self.port, self.start)


class Collector(asyncio.DatagramProtocol):
    def __init__(self):
        self.packets, self.problems, self.news = [], [], asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        try:
            self.packets.append(Packet(data))
        except Exception as error:  # whatever cannot be decoded is a failure of the scenario
            self.problems.append("%s: %r" % (error, data[:200]))
        self.news.set()

    async def until(self, wanted, what, seconds=15):
        """The first packet of which that is true."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            check(not self.problems, "packets: %s" % self.problems[:2])
            for packet in self.packets:
                if wanted(packet):
                    return packet
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), end - asyncio.get_running_loop().time())
            except asyncio.TimeoutError:
                raise Failure("no packet with %s in %s" % (what, self.packets)) from None

    def close(self):
        self.transport.close()
