"""SIGTERM while sessions and pager messages are under way: what was acknowledged has arrived."""
import asyncio
import contextlib

from ua import Failure, check, same
from world import scenario

SESSIONS, BEFORE = 4, 60     # so many messages were acknowledged before the signal comes


class Traffic:
    """What was acknowledged to its sender, and what its receiver has."""

    def __init__(self):
        self.acknowledged, self.arrived = set(), []
        self.others = []   # answers that neither take the message nor refuse new work
        self.moved = asyncio.Event()

    def acknowledge(self, text):
        self.acknowledged.add(text)
        self.moved.set()

    async def reached(self, count):
        while len(self.acknowledged) < count:
            self.moved.clear()
            await self.moved.wait()

    def check_nothing_lost(self, what):
        lost = sorted(self.acknowledged - set(self.arrived))
        same(lost[:5], [], "%s that got 200 and did not arrive, %d of %d" % (what, len(lost), len(self.acknowledged)))
        same(len(self.arrived), len(set(self.arrived)), "%s, some arrived twice" % what)


async def talk(session, name, traffic):
    """Sends until the other side or the server ends the session."""
    number = 0
    while not session.dialog.ended.is_set():
        number += 1
        text = "%s %d" % (name, number)
        sending = asyncio.ensure_future(session.leg.send(text.encode(), seconds=60))
        ended = asyncio.ensure_future(session.dialog.ended.wait())
        await asyncio.wait((sending, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not sending.done():   # nobody answers any more
            sending.cancel()
            return
        if sending.exception() is None and sending.result() == [200]:
            traffic.acknowledge(text)


async def listen(session, traffic):
    while True:
        message = await session.receive(600)
        traffic.arrived.append(bytes(message.body).decode())


async def page(sender, receiver, traffic, stop):
    number = 0
    while not stop.is_set():
        number += 1
        text = "%s %d" % (sender.name, number)
        status = (await sender.pager(receiver, text)).status
        if status == 200:
            traffic.acknowledge(text)
        elif status != 503 and not stop.is_set():
            traffic.others.append(status)


async def take_pages(receiver, traffic):
    while True:
        server = await receiver.expect("MESSAGE", 600)
        traffic.arrived.append(server.request.body.decode())
        server.respond(200, "OK")


@scenario(own={"runtime.drain": "2s"}, settle=False, once=True, seconds=120)
async def drain_under_load(world):
    """SIGTERM while everybody sends: every SEND and every MESSAGE that got 200 arrived, once; BYE comes to all, and the
    exit code is 0."""
    world.patience = 60
    messages, pages, stop = Traffic(), Traffic(), asyncio.Event()
    sides, tasks, listeners = [], [], []
    for i in range(SESSIONS):
        sides += await world.session(await world.client("a%d" % i), await world.client("b%d" % i))
    carol, dave = await world.client("carol"), await world.client("dave")
    for i, side in enumerate(sides):
        tasks.append(asyncio.ensure_future(talk(side, "side %d" % i, messages)))
        listeners.append(asyncio.ensure_future(listen(side, messages)))
    listeners.append(asyncio.ensure_future(take_pages(dave, pages)))
    paging = asyncio.ensure_future(page(carol, dave, pages, stop))
    try:
        await asyncio.wait_for(asyncio.gather(messages.reached(BEFORE), pages.reached(5)), 60)
        world.server.terminate()
        await asyncio.gather(*(side.dialog.ended.wait() for side in sides))
        stop.set()
        check(all(side.dialog.bye for side in sides), "a session that ended without BYE")
        same(pages.others, [], "answers to MESSAGE while draining")
        await asyncio.gather(*tasks)
        same(await world.server.wait(30), 0, "exit code")
        same(world.server.trouble(), [], "what sanitizers printed")
        for _ in range(3):   # what the sockets still hold
            await asyncio.sleep(0)
        messages.check_nothing_lost("SENDs")
        pages.check_nothing_lost("MESSAGEs")
    finally:
        for task in (*tasks, *listeners, paging):
            task.cancel()
        for task in (*tasks, *listeners, paging):
            with contextlib.suppress(asyncio.CancelledError, Failure, OSError):
                await task
