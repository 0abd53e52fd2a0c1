#!/usr/bin/env python3
"""Wireshark's MSRP dissector as reader of what imserv writes: sessions of all kinds of chunks are recorded, written as
a capture file, one chunk a segment, and decoded by tshark, which must find in each chunk what the test agent found.

usage: tshark.py --server PATH [--workers N] [--transport udp|tcp] [--verbose]

Last line `N passed, N failed, N skipped`; exit code 1 when one failed. Without tshark everything is skipped."""
import asyncio
import os
import re
import secrets
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from peer import describe, run_peer, run_with_server  # noqa: E402
from ua import agent, check, msrp, same  # noqa: E402

PORT = 2855                # by this port the dissector is chosen
SEGMENT = 32000            # longer chunks are put together by tshark
FIELDS = ("msrp.transaction.id", "msrp.method", "msrp.status.code", "msrp.to.path", "msrp.from.path", "msrp.messageid",
          "msrp.byte.range", "msrp.success.report", "msrp.failure.report", "msrp.status", "msrp.content.type",
          "msrp.end.line", "_ws.malformed")
CPIM = (b"From: <sip:alice@example.com>\r\nTo: <sip:bob@example.com>\r\nDateTime: 2026-01-02T03:04:05Z\r\n\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4 text")
COMPOSING = (b'<?xml version="1.0" encoding="UTF-8"?>\n<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">'
             b"<state>active</state></isComposing>")


class Recorder:
    """What went over the MSRP connections of some agents, cut into chunks: (port of the agent, is_sent, octets)."""

    def __init__(self):
        self.chunks, self.rest, self.ports = [], {}, {}

    def tap(self, connection, is_sent, data):
        port = self.ports.setdefault(connection, 40000 + len(self.ports))
        text = self.rest.get((port, is_sent), b"") + bytes(data)
        while match := re.match(rb"MSRP (\S+) .*?-------\1[$+#]\r\n", text, re.S):
            self.chunks.append((port, is_sent, match.group()))
            text = text[match.end():]
        self.rest[(port, is_sent)] = text

    def expected(self):
        """The fields of each chunk, in the order of FIELDS."""
        out = []
        for _, _, octets in self.chunks:
            head = octets.split(b"\r\n\r\n")[0].decode("utf-8", "replace").split("\r\n")
            start = msrp.START.match(head[0].encode())
            headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
            out.append([start.group(1).decode(), (start.group(2) or b"").decode(), (start.group(3) or b"").decode(),
                        *(headers.get(name, "") for name in (
                            "To-Path", "From-Path", "Message-ID", "Byte-Range", "Success-Report", "Failure-Report",
                            "Status", "Content-Type")), "-------%s%c" % (start.group(1).decode(), octets[-3]), ""])
        return out

    def write(self, path):
        """A capture file of raw IPv4 packets; the number of packets."""
        sequence, count = {}, 0
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
            for port, is_sent, octets in self.chunks:
                way = (port, PORT) if is_sent else (PORT, port)
                for at in range(0, len(octets), SEGMENT):
                    piece = octets[at:at + SEGMENT]
                    tcp = struct.pack("!HHIIBBHHH", *way, sequence.get(way, 1), sequence.get(way[::-1], 1), 0x50, 0x18,
                                      65535, 0, 0) + piece
                    sequence[way] = sequence.get(way, 1) + len(piece)
                    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), count & 0xffff, 0, 64, 6, 0,
                                         b"\x7f\0\0\1", b"\x7f\0\0\1") + tcp
                    file.write(struct.pack("<IIII", count, 0, len(packet), len(packet)) + packet)
                    count += 1
        return count

    def decoded(self):
        """What tshark makes of it: the same fields, a line for each packet that ends a chunk."""
        with tempfile.TemporaryDirectory(prefix="imserv-tshark-") as directory:
            path = os.path.join(directory, "msrp.pcap")
            self.write(path)
            done = subprocess.run(
                ["tshark", "-n", "-r", path, "-Y", "msrp", "-T", "fields", "-E", "separator=|", "-E", "occurrence=f",
                 *(word for name in FIELDS for word in ("-e", name))],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=dict(os.environ, HOME=directory))
        same(done.returncode, 0, "tshark: %s" % done.stderr.decode("utf-8", "replace")[-300:])
        return [line.split("|") for line in done.stdout.decode("utf-8", "replace").splitlines()]


class Place:
    def __init__(self, server, transport, witness):
        self.server, self.transport, self.witness = server, transport, witness
        self.recorder = Recorder()
        self.clients = []

    async def session(self, **more):
        users = []
        for name in ("alice", "bob"):
            user = agent.Agent(self.witness, name, self.server.ready.sip[self.transport], self.transport)
            self.clients.append(user)
            await user.open()
            user.msrp.tap = self.recorder.tap
            same((await user.register()).status, 200, "REGISTER")
            users.append(user)
        return await agent.establish(*users, **more)

    async def finish(self, a, b):
        await a.hang_up()
        await b.wait_bye()
        recorder = self.recorder
        same([x for x in recorder.rest.values() if x], [], "octets outside of chunks")
        check(any(not is_sent for _, is_sent, _ in recorder.chunks), "nothing was recorded")
        got, expected = recorder.decoded(), recorder.expected()
        for number, (one, other) in enumerate(zip(got, expected)):
            same(one, other, "chunk %d of %d" % (number + 1, len(expected)))
        same(len(got), len(expected), "chunks that tshark decoded")

    async def end(self):
        for user in self.clients:
            user.close()


async def small_messages(place):
    a, b = await place.session()
    for text, kind in ((b"hello", "text/plain"), ("\u00e4\u00f6 \U0001f600".encode(), "text/plain;charset=UTF-8"),
                       (CPIM, "message/cpim"), (COMPOSING, "application/im-iscomposing+xml"), (b"", "text/plain")):
        for sender, receiver in ((a, b), (b, a)):
            await sender.send(text, content_type=kind)
            await receiver.receive()
    same((await a.leg.empty())[0], 200, "empty SEND")
    await place.finish(a, b)


async def long_messages(place):
    """Many chunks, one large chunk with an open range, a message given up. All is text: the dissector looks for lines
    in the content and calls one in some hundred chunks of random octets malformed."""
    a, b = await place.session(b_setup="active")
    for chunk in (2048, 1000, None):
        await a.send(secrets.token_hex(25000), chunk=chunk)
        await b.receive()
    future = b.leg.send_chunk(b"x" * 500, "given-up", 1, "*", "#")
    same((await b.leg.outcome(future))[0], 200, "SEND with #")
    await a.receive()
    await place.finish(a, b)


async def reports_and_refusals(place):
    a, b = await place.session()
    await a.send("confirm", headers=[("Success-Report", "yes")])
    got = await b.receive()
    for status in ("000 200 OK", "000 413 Too large"):
        tid, head = b.leg.begin_request("REPORT", [("Message-ID", got.id), ("Byte-Range", "1-7/7"), ("Status", status)])
        b.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
        await asyncio.wait_for(a.leg.reports.get(), 4)
    for code in (400, 403, 413, 415):
        b.leg.answer = lambda chunk, respond, code=code: respond(code, "no")
        same(await a.leg.send(b"refuse"), [code], "SEND")
        await b.receive()
    a.leg.send_chunk(b"silent", "silent", 1, 6, headers=[("Failure-Report", "no")])
    await b.receive()
    await place.finish(a, b)


async def it_can_say_no(place):
    """Chunks with small faults are not decoded as if they were right: a reader that takes everything shows nothing."""
    a, b = await place.session()
    await a.send("hello")
    await b.receive()
    await place.finish(a, b)
    _, is_sent, good = next(x for x in place.recorder.chunks if b"hello" in x[2])
    tid = good.split(b" ")[1]
    end = b"-------" + tid
    faults = (good.replace(b"MSRP ", b"MSRQ ", 1), good.replace(b"To-Path:", b"To-Path", 1),
              good.replace(end, b"-------x" + tid), good.replace(end + b"$", end), good.replace(tid, tid + b"x", 1))
    recorder = Recorder()
    recorder.chunks = [(40000, is_sent, good)]
    [right], [fine] = recorder.expected(), recorder.decoded()
    same(fine, right, "the chunk without fault")
    recorder.chunks = [(40000 + n, is_sent, fault) for n, fault in enumerate(faults)]
    for found in recorder.decoded():
        check(found[1:-2] != right[1:-2] or found[-2] != "-------%s$" % found[0], "a fault is read as %s" % found)


CASES = (small_messages, long_messages, reports_and_refusals, it_can_say_no)
MATRIX = ((1, "udp"), (4, "tcp"))


async def run_server(options, report, workers, transport):
    await run_with_server(CASES, describe("tshark", workers, transport), options, report, workers,
                          lambda server, witness: Place(server, transport, witness))


if __name__ == "__main__":
    run_peer(__doc__, "tshark", MATRIX, run_server)
