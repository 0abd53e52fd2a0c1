#!/usr/bin/env python3
"""Debian's Kamailio as MSRP relay (RFC 4976): one user has two relays in front of him, so that nobody at the other
end of imserv's MSRP connection is of this project.

usage: kamailio_msrp.py --server PATH [--workers N] [--transport udp|tcp] [--verbose]

Last line `N passed, N failed, N skipped`; exit code 1 when one failed. Without kamailio everything is skipped."""
import asyncio
import os
import re
import secrets
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from kamailio import Kamailio  # noqa: E402
from peer import describe, run_in_place, run_peer  # noqa: E402
from run import end_process, free_port  # noqa: E402
from ua import Failure, Witness, agent, check, same  # noqa: E402
from ua.server import Server  # noqa: E402



class Place:
    """Server, relays and clients."""

    def __init__(self, options, workers, transport):
        self.witness, self.transport = Witness(), transport
        self.server = Server(options.server, "standalone", workers, "auto", {"limits.reattach": "500ms"})
        self.ports = free_port(), free_port()
        self.relays = Kamailio(self.ports[0], "kamailio-msrp.cfg")
        self.clients = []

    async def start(self):
        await self.server.start()
        await self.relays.start({"FIRST": str(self.ports[0]), "SECOND": str(self.ports[1])})

    async def client(self, name, behind=False):
        user = agent.Agent(self.witness, name, self.server.ready.sip[self.transport], self.transport)
        self.clients.append(user)
        await user.open()
        if behind:
            user.msrp.relays = ["msrp://127.0.0.1:%d/%s;tcp" % (port, secrets.token_hex(6)) for port in self.ports]
        same((await user.register()).status, 200, "REGISTER")
        return user

    def seen(self, what):
        """How often a relay logged this."""
        with open(self.relays.log, encoding="utf-8", errors="replace") as file:
            return len(re.findall(what, file.read()))

    def leave(self):
        for user in self.clients:
            user.close()
        self.clients = []

    async def end(self):
        self.leave()
        code = await self.server.stop()
        await self.relays.end()
        if self.server.trouble():
            raise Failure("server printed: %s" % " | ".join(self.server.trouble()[:12]))
        same(code, 0, "the server's exit code")


async def message(sender, receiver, body, **more):
    await sender.send(body, **more)
    got = await receiver.receive()
    same(bytes(got.body), body, "content")
    return got


async def session(place):
    """Whichever side the relays are on and whoever connects: text both ways, BYE."""
    for behind in ("alice", "bob"):
        for a_setup, b_setup in (("actpass", "passive"), ("passive", "passive"), ("actpass", "active")):
            alice, bob = [await place.client(name, name == behind) for name in ("alice", "bob")]
            a, b = await agent.establish(alice, bob, a_setup=a_setup, b_setup=b_setup)
            await message(a, b, b"ping")
            await message(b, a, b"pong")
            await a.hang_up()
            await b.wait_bye()


async def chunks(place):
    """A message in many chunks, each way, and several at once. (Frames of 12 000 octets are beyond this relay.)"""
    alice, bob = await place.client("alice", True), await place.client("bob")
    a, b = await agent.establish(alice, bob)
    for sender, receiver in ((a, b), (b, a)):
        await message(sender, receiver, secrets.token_bytes(50000), chunk=2048)
    await asyncio.gather(*(b.send("text %d" % n) for n in range(50)))
    same({bytes((await a.receive()).body) for _ in range(50)}, {b"text %d" % n for n in range(50)}, "texts")
    await b.hang_up()
    await a.wait_bye()


async def reports(place):
    """REPORTs of both users pass all hops."""
    alice, bob = await place.client("alice", True), await place.client("bob")
    a, b = await agent.establish(alice, bob)
    for sender, receiver in ((a, b), (b, a)):
        before = place.seen("REQUEST REPORT")
        got = await message(sender, receiver, b"confirm this", headers=[("Success-Report", "yes")])
        tid, head = receiver.leg.begin_request("REPORT", [("Message-ID", got.id), ("Byte-Range", "1-12/12"),
                                                          ("Status", "000 200 OK")])
        receiver.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
        report = await asyncio.wait_for(sender.leg.reports.get(), 5)
        same((report.get("Message-ID"), report.get("Byte-Range")), (got.id, "1-12/12"), "REPORT")
        same(place.seen("REQUEST REPORT") - before, 2, "hops of the REPORT")
    await a.hang_up()
    await b.wait_bye()


async def refused(place):
    """What the far side refuses is answered so to the relay, whose hop it is."""
    alice, bob = await place.client("alice", True), await place.client("bob")
    a, b = await agent.establish(alice, bob)
    before = place.seen("RESPONSE 415 HOPS 0")
    b.leg.answer = lambda chunk, respond: respond(415, "no")
    await a.send("not this")
    await b.receive()
    for _ in range(100):
        if place.seen("RESPONSE 415 HOPS 0") > before:
            break
        await asyncio.sleep(0.02)
    same(place.seen("RESPONSE 415 HOPS 0"), before + 1, "responses 415 at a relay")
    b.leg.answer = lambda chunk, respond: respond(200)
    await message(a, b, b"but this")
    await a.hang_up()
    await b.wait_bye()


async def side_by_side(place):
    """Sessions of two users, all through the same relays, whoever connects; each ends for itself."""
    alice, bob = await place.client("alice", True), await place.client("bob")
    pairs = [await agent.establish(alice, bob, ring=False, a_setup=setup) for setup in ("actpass", "passive") * 6]
    await asyncio.gather(*(a.send("text %d" % n) for n, (a, _) in enumerate(pairs)))
    for n, (a, b) in enumerate(pairs):
        same(bytes((await b.receive()).body), b"text %d" % n, "text")
        await message(b, a, b"back %d" % n)
        await a.hang_up()
        await b.wait_bye()


async def relay_ends(place):
    """The last case: with the relay go the connections of all sessions; each ends, for both sides, with a Reason."""
    alice, bob = await place.client("alice", True), await place.client("bob")
    pairs = [await agent.establish(alice, bob, ring=False, a_setup=setup) for setup in ("actpass", "passive") * 3]
    await end_process(place.relays.process, 5)
    for pair in pairs:
        for one in pair:
            check((await one.wait_bye()).get("Reason"), "BYE without Reason")
    end = time.monotonic() + 5
    while left := (await place.server.metrics()).sum("imserv_sessions"):
        check(time.monotonic() < end, "%d sessions left" % left)
        await asyncio.sleep(0.02)


CASES = (session, chunks, reports, refused, side_by_side, relay_ends)
MATRIX = ((1, "udp"), (4, "tcp"))


async def run_place(options, report, workers, transport):
    await run_in_place(CASES, describe("kamailio as MSRP relay", workers, transport), options, report, Place(options, workers, transport))


if __name__ == "__main__":
    run_peer(__doc__, "kamailio", MATRIX, run_place)
