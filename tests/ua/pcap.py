"""A reader of capture files (classic pcap, raw IP), strict: every length and checksum is looked at."""
import ipaddress
import struct

from . import check


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class Record:
    def __init__(self, seconds, microseconds, packet, original):
        self.time, self.cut = seconds + microseconds / 1e6, original > len(packet)
        check(microseconds < 1000000, "%d microseconds" % microseconds)
        if packet[0] >> 4 == 4:
            length, protocol, size = struct.unpack_from("!2xH5xB", packet)[0], packet[9], 20
            check(packet[0] == 0x45 and length == len(packet), "IPv4 length %d of %d" % (length, len(packet)))
            check(checksum(packet[:20]) == 0xffff, "IPv4 checksum")
            source, destination = packet[12:16], packet[16:20]
        else:
            length, protocol, size = struct.unpack_from("!4xHB", packet) + (40,)
            check(packet[0] == 0x60 and length == len(packet) - 40, "IPv6 length %d" % length)
            source, destination = packet[8:24], packet[24:40]
        check(protocol == 17, "protocol %d" % protocol)
        udp = packet[size:]
        self.source_port, self.port, length = struct.unpack_from("!HHH", udp)
        check(length == len(udp), "UDP length %d of %d" % (length, len(udp)))
        check(checksum(source + destination + struct.pack("!HH", 17, len(udp)) + udp) == 0xffff, "UDP checksum")
        self.source, self.destination = str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination))
        self.payload = udp[8:]
        self.text = self.payload.decode("utf-8", "replace")
        self.start = self.text.partition("\r\n")[0]


def read(data, may_end_inside=False):
    """The records; the last may be missing a part while it is being written."""
    magic, major, minor, _, _, most, link = struct.unpack_from("=IHHIIII", data)
    check((magic, major, minor, link) == (0xa1b2c3d4, 2, 4, 101), "head %r" % data[:24])
    at, records = 24, []
    while at < len(data):
        if may_end_inside and len(data) - at < 16:
            break
        seconds, microseconds, included, original = struct.unpack_from("=IIII", data, at)
        check(included <= most and included <= original, "lengths %d, %d" % (included, original))
        if may_end_inside and len(data) - at - 16 < included:
            break
        check(at + 16 + included <= len(data), "a record that is not whole")
        records.append(Record(seconds, microseconds, data[at + 16:at + 16 + included], original))
        at += 16 + included
    return records
