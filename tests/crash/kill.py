#!/usr/bin/env python3
"""kill -9 at random moments of a loaded server: nothing that it acknowledged is lost.

Users who are away get pager messages and large messages, some of them come and fetch what waits; in the middle of
it the server is killed and started again on the same store, round after round. Each 202 and each MSRP 200 to a last
chunk is remembered by what the message says. In the end everybody fetches everything: what was acknowledged was
received at least once, octet by octet, and nothing was received that nobody sent.

usage: kill.py --server PATH [--kills N] [--seed N] [--workers N] [--verbose]
Last line: N passed, N failed: a kill each."""
import argparse
import asyncio
import contextlib
import hashlib
import logging
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from ua import Failure, Witness, agent, check, same  # noqa: E402
from ua.server import Server  # noqa: E402

STORE_HOST = "store.example.com"
NAME = re.compile(rb"message-[0-9]+-[0-9a-f]+")
ACCEPT = "multipart/mixed message/sip message/sipfrag message/msrpfrag"
LARGE_OCTETS = 70000       # two rows of content


class Ledger:
    """Every message by its name."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = 0
        self.sent = {}             # name -> (receiver, digest of the content)
        self.acknowledged = set()
        self.received = {}         # name -> how often

    def make(self, receiver, octets=0):
        self.count += 1
        name = b"message-%d-%x" % (self.count, self.random.getrandbits(64))
        content = name + b" " + self.random.randbytes(octets).hex().encode()[:octets]
        self.sent[name] = (receiver, hashlib.sha256(content).digest(), len(content))
        return name, content

    def got(self, receiver, body):
        found = NAME.search(body)
        check(found, "a message that nobody sent: %r" % body[:300])
        name = found.group()
        check(name in self.sent, "%s was never sent" % name.decode())
        to, digest, octets = self.sent[name]
        same(receiver, to, "receiver of %s" % name.decode())
        content = body[found.start():found.start() + octets]
        check(hashlib.sha256(content).digest() == digest, "%s arrived with other content" % name.decode())
        self.received[name] = self.received.get(name, 0) + 1


class Round:
    """The load between two kills. All of it ends without a word when the server is gone."""

    def __init__(self, server, ledger, transport, names):
        self.server, self.ledger, self.transport, self.names = server, ledger, transport, names
        self.witness, self.agents = Witness(), []
        self.goal = asyncio.Event()
        self.left = 0

    async def agent(self, name):
        user = agent.Agent(self.witness, name, self.server.ready.sip[self.transport], self.transport, unique=False,
                           patience=10)
        self.agents.append(user)
        return await user.open()

    def acknowledge(self, name):
        self.ledger.acknowledged.add(name)
        self.left -= 1
        if self.left <= 0:
            self.goal.set()

    async def send_pagers(self, sender):
        user = await self.agent(sender)
        while True:
            receiver = self.ledger.random.choice(self.names)
            name, content = self.ledger.make(receiver, self.ledger.random.choice((0, 10, 500)))
            status = (await user.pager("sip:%s@example.com" % receiver, content)).status
            check(status in (202, 503), "MESSAGE got %d" % status)
            if status == 202:
                self.acknowledge(name)

    async def send_large(self, sender):
        user = await self.agent(sender)
        while True:
            receiver = self.ledger.random.choice(self.names)
            name, content = self.ledger.make(receiver, LARGE_OCTETS)
            session = user.invite("sip:%s@example.com" % receiver, direction="sendonly", setup="active",
                                  extra=("a=filesize:%d" % len(content),))
            await session.established()
            codes = await session.leg.send(content, chunk=2048)
            if codes[-1] == 200:
                self.acknowledge(name)
            await session.hang_up()

    async def fetch(self, receiver, user=None):
        """What waits for one user; how many there were. A message counts as soon as it is whole: our 200 goes out then."""
        user = user or await self.agent(receiver)
        session = user.invite("sip:Deferred@" + STORE_HOST, direction="recvonly", setup="active", accept=ACCEPT)
        await session.established()
        ended, one, count = asyncio.ensure_future(session.wait_bye(60)), None, 0
        try:
            while True:
                one = asyncio.ensure_future(session.leg.messages.get())
                await asyncio.wait({one, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not one.done():
                    break
                self.ledger.got(receiver, bytes(one.result().body))
                count += 1
            await ended
        finally:
            one and one.cancel()
            ended.cancel()
        while not session.leg.messages.empty():
            self.ledger.got(receiver, bytes(session.leg.messages.get_nowait().body))
            count += 1
        return count

    async def fetch_now_and_then(self):
        while True:
            await self.fetch(self.ledger.random.choice(self.names))
            await asyncio.sleep(self.ledger.random.random() / 5)

    async def run(self, acknowledgements):
        """Until so many were acknowledged; then the server is killed in the middle of all the rest."""
        self.left = acknowledgements
        work = [asyncio.ensure_future(w) for w in (
            *(self.send_pagers("sender%d" % i) for i in range(4)), self.send_large("uploader"),
            self.fetch_now_and_then())]
        goal = asyncio.ensure_future(self.goal.wait())
        done, _ = await asyncio.wait({goal, *work}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        os.kill(self.server.pid, signal.SIGKILL)
        await self.server.process.wait()
        # what the server had sent before it died still counts
        await asyncio.sleep(0.02)
        for task in (goal, *work):
            task.cancel()
        outcomes = await asyncio.gather(goal, *work, return_exceptions=True)
        self.close()
        for task in done - {goal}:
            raise task.exception() or Failure("a client stopped")
        check(done, "only %d of %d acknowledgements in 60 s: %s" % (
            acknowledgements - self.left, acknowledgements, self.server.tail(4)))
        return outcomes

    def close(self):
        for user in self.agents:
            user.close()
        self.agents = []


async def drain(server, ledger, transport, names):
    """Everybody fetches until nothing is left."""
    for name in names:
        last = Round(server, ledger, transport, names)
        try:
            user = await last.agent(name)
            while await last.fetch(name, user):
                pass
        finally:
            last.close()


async def main_of(options):
    ledger = Ledger(options.seed)
    names = ["away%d" % i for i in range(5)]
    server = Server(options.server, workers=options.workers,
                    settings={"deferred.quota_messages": "0", "deferred.quota_bytes": "0"})
    passed = failed = 0
    began = time.monotonic()
    try:
        for kill in range(options.kills):
            await server.start()
            transport = ledger.random.choice(("udp", "tcp"))
            try:
                await Round(server, ledger, transport, names).run(ledger.random.randrange(1, 80))
                passed += 1
            except Failure as failure:
                failed += 1
                print("FAIL kill %d: %s" % (kill, failure), flush=True)
            if options.verbose:
                print("kill %d: %d acknowledged so far" % (kill, len(ledger.acknowledged)), flush=True)
            if kill % 20 == 19 or kill + 1 == options.kills:
                await server.start()
                await drain(server, ledger, "tcp", names)
                lost = ledger.acknowledged - set(ledger.received)
                if lost:
                    failed += 1
                    print("FAIL after %d kills %d of %d acknowledged messages are lost, the first: %s" % (
                        kill + 1, len(lost), len(ledger.acknowledged), sorted(lost)[0].decode()), flush=True)
                    break
                os.kill(server.pid, signal.SIGKILL)
                await server.process.wait()
    finally:
        with contextlib.suppress(Failure):
            await server.kill()
    again = sum(count - 1 for count in ledger.received.values())
    print("ok %d sent, %d acknowledged, %d received, %d of them more than once, %.0f s" % (
        len(ledger.sent), len(ledger.acknowledged), len(ledger.received), again, time.monotonic() - began))
    print("%d passed, %d failed" % (passed, failed))
    return failed == 0 and passed > 0


def main():
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # that the other side is gone is no news here
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    sys.exit(0 if asyncio.run(main_of(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
