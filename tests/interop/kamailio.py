#!/usr/bin/env python3
"""Debian's Kamailio as the SIP/IP Core: client - Kamailio - imserv - Kamailio - imserv - Kamailio - client, by the
filter criteria of Appendix C, with an originating and a terminating port.

usage: kamailio.py --server PATH [--workers N] [--transport udp|tcp] [--verbose]

Last line `N passed, N failed, N skipped`; exit code 1 when one failed. Without kamailio everything is skipped."""
import asyncio
import os
import re
import shutil
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from peer import describe, run_in_place, run_peer  # noqa: E402
from run import end_process, free_port  # noqa: E402
from ua import REQ, Failure, Witness, agent, check, same, sip  # noqa: E402
from ua.server import Server  # noqa: E402

LISTEN = ('[{proto: %(t)s, address: "127.0.0.1:0", role: originating}, '
          '{proto: %(t)s, address: "127.0.0.1:0", role: terminating}, '
          '{proto: msrp, address: "127.0.0.1:0"}, {proto: http, address: "127.0.0.1:0"}]')


class Kamailio:
    """One process group with a configuration and a folder of its own."""

    def __init__(self, port, config="kamailio.cfg"):
        self.port, self.config, self.process = port, config, None
        self.directory = tempfile.mkdtemp(prefix="imserv-kamailio-")

    async def start(self, values):
        with open(os.path.join(HERE, self.config), encoding="utf-8") as file:
            text = re.sub("@([A-Z]+)@", lambda m: values[m.group(1)], file.read())
        path = os.path.join(self.directory, "kamailio.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.log = os.path.join(self.directory, "log")
        with open(self.log, "wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                "kamailio", "-f", path, "-DD", "-E", "-m", "64", "-M", "8", "-w", self.directory, "-Y", self.directory,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 10
        while not self._listens():
            if time.monotonic() > end or self.process.returncode is not None:
                raise Failure("kamailio does not start: %s" % self.tail())
            await asyncio.sleep(0.05)

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return " | ".join(file.read().split("\n")[-8:])

    async def end(self):
        if self.process:
            await end_process(self.process, 5)
        shutil.rmtree(self.directory, ignore_errors=True)


class Place:
    """Server, core and clients."""

    def __init__(self, options, workers, transport):
        self.witness = Witness()
        self.transport = transport
        self.core = Kamailio(free_port())
        self.server = Server(options.server, "ims", workers, "auto", {
            "listen": LISTEN % {"t": transport}, "policy.offline_pager": "reject"},
            "sip:127.0.0.1:%d;transport=%s" % (self.core.port, transport))
        self.clients = []

    async def start(self):
        await self.server.start()
        entries = re.findall(r"\b%s:([\d.]+:\d+)/(originating|terminating)" % self.transport,
                             next(line for line in self.server.lines if line.startswith("imservd ready")))
        ports = {role: address for address, role in entries}
        same(sorted(ports), ["originating", "terminating"], "roles in the ready line")
        await self.core.start({"PORT": str(self.core.port), "TRANSPORT": self.transport,
                               "ORIG": ports["originating"], "TERM": ports["terminating"]})

    async def registrations(self):
        metrics = await self.server.metrics()
        return metrics.sum("imserv_sip_registrations_total")

    async def client(self, name):
        user = agent.Agent(self.witness, name, ("127.0.0.1", self.core.port), self.transport)
        self.clients.append(user)
        await user.open()
        before = await self.registrations()
        same((await user.register()).status, 200, "REGISTER at the core")
        end = time.monotonic() + 5
        while await self.registrations() == before:  # until the core's own REGISTER has come
            check(time.monotonic() < end, "no third-party REGISTER arrived")
            await asyncio.sleep(0.02)
        return user

    def leave(self):
        pass

    async def end(self):
        for user in self.clients:
            user.close()
        code = await self.server.stop()
        await self.core.end()
        if self.server.trouble():
            raise Failure("server printed: %s" % " | ".join(self.server.trouble()[:12]))
        same(code, 0, "the server's exit code")


async def message(place):
    """A pager message through both passes; the callee sees who the core says it is from. Registration and routing are
    the core's, and the server asks nobody for credentials."""
    alice, bob = await place.client("alice"), await place.client("bob")
    core = "127.0.0.1:%d" % place.core.port
    for user in (alice, bob):
        check(user.log[-1].get("Server", "").endswith(" core"), "who answered REGISTER: %s" % user.log[-1])
    asking = asyncio.ensure_future(alice.pager(bob, "through the core"))
    got = await bob.expect("MESSAGE")
    same(got.request.body, b"through the core", "body")
    check(alice.uri in got.request.get("P-Asserted-Identity"), "P-Asserted-Identity %s" %
          got.request.get("P-Asserted-Identity"))
    REQ("IM-5.2-2", "IM-6.2.2.1-7")
    check(core in got.request.list("Via")[0], "who sent it to the client: %s" % got.request.list("Via"))
    same(got.request.uri, sip.address(bob.contact)[1], "Request-URI, which the core's registrar knows")
    got.respond(200, "OK")
    same((await asking).status, 200, "MESSAGE")
    same([m for m in alice.log if m.status in (401, 407)], [], "challenges")
    REQ("IM-4.1-1")


async def message_refused(place):
    """What the callee says comes back; whom the core does not know is not there."""
    alice, bob = await place.client("alice"), await place.client("bob")
    asking = asyncio.ensure_future(alice.pager(bob, "no"))
    (await bob.expect("MESSAGE")).respond(486, "Busy Here")
    same((await asking).status, 486, "MESSAGE")
    nobody = await alice.pager("sip:nobody@example.com", "anyone?")
    same(nobody.status, 480, "MESSAGE to nobody")


async def session(place):
    """INVITE to BYE with text both ways over MSRP."""
    alice, bob = await place.client("alice"), await place.client("bob")
    for caller, callee in ((alice, bob), (bob, alice)):
        a, b = await agent.establish(caller, callee)
        await a.send("ping")
        same(bytes((await b.receive()).body), b"ping", "text")
        await b.send(b"pong" * 5000)
        same(bytes((await a.receive()).body), b"pong" * 5000, "text")
        await b.hang_up()
        await a.wait_bye()


async def cancelled(place):
    """A CANCEL travels hop by hop through both passes."""
    alice, bob = await place.client("alice"), await place.client("bob")
    calling = alice.invite(bob)
    ringing = await bob.expect_invite()
    ringing.ring()
    await calling.transaction.provisional(180)
    calling.transaction.cancel()
    same((await calling.transaction.final()).status, 487, "INVITE after CANCEL")


async def refused(place):
    alice, bob = await place.client("alice"), await place.client("bob")
    calling = alice.invite(bob)
    (await bob.expect_invite()).refuse(486)
    same((await calling.transaction.final()).status, 486, "INVITE")


async def hundred_sessions(place):
    """Sessions side by side, all between two users."""
    alice, bob = await place.client("alice"), await place.client("bob")
    for _ in range(10):
        pairs = [await agent.establish(alice, bob, ring=False) for _ in range(10)]
        await asyncio.gather(*(a.send("text %d" % n) for n, (a, _) in enumerate(pairs)))
        for n, (_, b) in enumerate(pairs):
            same(bytes((await b.receive()).body), b"text %d" % n, "text")
        for a, b in pairs:
            await a.hang_up()
            await b.wait_bye()


CASES = (message, message_refused, session, cancelled, refused, hundred_sessions)
MATRIX = ((1, "udp"), (4, "udp"), (2, "tcp"))


async def run_place(options, report, workers, transport):
    await run_in_place(CASES, describe("kamailio", workers, transport), options, report, Place(options, workers, transport))


if __name__ == "__main__":
    run_peer(__doc__, "kamailio", MATRIX, run_place)
