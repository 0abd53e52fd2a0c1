"""A loaded server is killed at random moments, again and again: whatever got its 202, or the 200 to its last chunk,
is in the store afterwards, once and whole, and the counts are right; what is on its way out arrives at least once.
What the page cache hides here (power cuts) is tests/unit/test_core_store_crash.c."""
import asyncio
import collections
import contextlib
import os
import random
import sqlite3

from deferring import DEFER, away, rows
from large import database, offer
from ua import check, same
from world import scenario

KILLS = 40 if os.environ.get("IMSERV_TEST_LONG") else 6
BURST = 30
ROOMY = dict(DEFER, **{"deferred.quota_messages": "1000000", "deferred.quota_bytes": "1GiB"})


class Load:
    """What was sent, and what of it was acknowledged."""

    def __init__(self, world, seed):
        self.world, self.random = world, random.Random(seed)
        self.bodies, self.acknowledged = {}, set()
        self.uploads = 0

    async def pager(self, alice, user):
        body = self.random.randbytes(self.random.choice((5, 300, 900)))
        request = alice.build("MESSAGE", user.uri, body=body, content_type="application/octet-stream")
        self.bodies[request.call_id] = body
        if (await alice.start(request).final()).status == 202:
            self.acknowledged.add(request.call_id)

    async def large(self, alice, user):
        body = self.random.randbytes(self.random.choice((70000, 150000)))
        session = await offer(alice, user, len(body))
        self.is_open.set()
        call_id = session.dialog.call_id
        self.bodies[call_id] = body
        await session.send(body, chunk=20000)
        self.acknowledged.add(call_id)
        self.uploads += 1

    async def until_killed(self, users, turn):
        """A burst of messages, of which some are acknowledged when the server dies; others meet the next one."""
        alice = await self.world.client("alice")
        before, most = len(self.acknowledged), self.random.randrange(BURST)
        self.is_open = asyncio.Event()
        tasks = [asyncio.ensure_future(self.large(alice, users[0]))]
        if turn % 2:
            await asyncio.wait_for(self.is_open.wait(), 10)
        tasks += [asyncio.ensure_future(self.pager(alice, users[n % len(users)])) for n in range(BURST)]
        pending = set(tasks)
        while pending and len(self.acknowledged) - before < most:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if turn % 3 == 0:
            await asyncio.wait(tasks[:1], timeout=10)
        await self.world.server.restart(kill=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.world.close_clients()


def account(world, load):
    """Compares what was promised with what is there."""
    found = collections.Counter()
    with contextlib.closing(database(world)) as base:
        base.row_factory = sqlite3.Row
        for row in base.execute("SELECT * FROM deferred").fetchall():
            found[row["call_id"]] += 1
            content = row["content"] if not row["content_id"] else b"".join(
                piece[0] for piece in base.execute("SELECT piece FROM content WHERE id = ? ORDER BY at",
                                                       (row["content_id"],)))
            same(bytes(content), load.bodies[row["call_id"]], "content of %s" % row["call_id"])
        lost = load.acknowledged - set(found)
        check(not lost, "%d of %d acknowledged messages are lost" % (len(lost), len(load.acknowledged)))
        check(max(found.values(), default=1) == 1, "a message is stored twice: %s" % found.most_common(2))
        rows = tuple(base.execute("SELECT count(*), total(size) FROM deferred").fetchone())
        same(tuple(base.execute("SELECT total(messages), total(octets) FROM mailbox").fetchone()), rows, "counts")
        same(tuple(base.execute("SELECT messages, octets FROM deferred_total").fetchone()), rows, "totals")
        same(base.execute("PRAGMA integrity_check").fetchone()[0], "ok", "integrity")


@scenario(own=ROOMY, settle=False,
          once=True, modes=("standalone",), transports=("tcp",), seconds=40 + 10 * KILLS)
async def killed_again_and_again(world):
    """kill -9 in the middle of bursts of MESSAGEs and large messages."""
    users = [await away(world, name) for name in ("bob", "carol", "dave")]
    load = Load(world, 6)
    for turn in range(KILLS):
        await load.until_killed(users, turn)
        account(world, load)
    check(len(load.acknowledged) > KILLS and load.uploads > 0, "only %d were acknowledged, %d of them large" % (
        len(load.acknowledged), load.uploads))


async def take(phone, received, most):
    """Messages that are pushed, each answered, until `most` came."""
    while most:
        server = await phone.expect("MESSAGE", 10)
        received[server.request.body] += 1
        server.respond(200, None)
        most -= 1


@scenario(own=ROOMY, settle=False, once=True, modes=("standalone",), transports=("tcp",), seconds=60 + 10 * KILLS)
async def killed_while_delivering(world):
    """kill -9 in the middle of pushes: each message that was acknowledged arrives, or waits still; in the end all
    have arrived with what they were sent with."""
    alice, bob = await world.client("alice"), await away(world)
    chance, received = random.Random(7), collections.Counter()
    bodies = [b"%d " % n + b"x" * chance.randrange(2000) for n in range(10 * KILLS if KILLS > 6 else 40)]
    for body in bodies:
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=body, content_type="text/plain"))
        same((await sending.final()).status, 202, "MESSAGE to a user who is away")
    for _ in range(KILLS):
        phone = await world.client(bob.name, unique=False, feature_tag=False)
        before = len(rows(world))
        await take(phone, received, chance.randrange(1, 6))
        is_told = chance.randrange(3) > 0   # the store, of what he has
        while is_told and len(rows(world)) == before:
            await asyncio.sleep(0.01)
        await world.server.restart(kill=True)
        world.close_clients()
        waiting = {bytes(row["content"]) for row in rows(world)}
        lost = [body[:8] for body in bodies if body not in waiting and not received[body]]
        check(not lost, "neither arrived nor waiting: %s" % lost)
    left = len(rows(world))
    check(0 < left < len(bodies), "%d of %d are left" % (left, len(bodies)))
    await take(await world.client(bob.name, unique=False, feature_tag=False), received, left)
    same(sorted(received), sorted(bodies), "what arrived")
