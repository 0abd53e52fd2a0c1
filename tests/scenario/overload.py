"""More new work than the server can do (overload.high_water, D2-55). Here one percent of busy time is too much, so that
any load is an overload: new work gets 503 with Retry-After, what runs goes on, and it ends when the load does."""
import asyncio

from ua import check, same
from world import scenario
from rates import ack_of, finals, refused_by, requests_of

TINY = {"overload.high_water": "1", "overload.retry_after": "7s"}


class Load:
    """New requests without end, each answered before it is judged. Stops with `stop()`."""

    def __init__(self, world, method):
        self.world, self.method = world, method
        self.permitted = 0
        self.refused = []
        self.is_refused = asyncio.Event()
        self.is_over = False
        self.task = asyncio.ensure_future(self.run())

    async def run(self):
        raw = await self.world.raw()
        while not self.is_over:
            requests = list(requests_of(self.world, raw, self.method, 50))
            for response in await finals(raw, requests, 60):
                if response.status == 503:
                    same(response.get("Retry-After"), "7", "Retry-After")
                    self.refused.append(response)
                    self.is_refused.set()
                else:
                    self.permitted += 1
        raw.close()

    async def until_refused(self):
        waits = asyncio.ensure_future(self.is_refused.wait())
        await asyncio.wait({waits, self.task}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        if self.task.done():
            self.task.result()
        check(self.refused, "nothing is refused")

    async def stop(self):
        self.is_over = True
        await self.task


async def until_idle(world):
    """The share that is refused is 0 again."""
    for _ in range(600):
        if (await world.server.metrics()).sum("imserv_worker_shed_ratio") == 0:
            return
        await asyncio.sleep(0.05)
    check(False, "it is refused for ever")


@scenario(own=TINY, once=True, seconds=180)
async def overload_refuses_new_work(world):
    """MESSAGE without end: some get 503 with Retry-After, some are served, all are answered. A session goes on
    meanwhile: MSRP, UPDATE, BYE; and afterwards everything is taken again."""
    sa, sb = await world.session()
    load = Load(world, "MESSAGE")
    await load.until_refused()
    for i in range(20):
        await sa.send("message %d" % i)
        same(bytes((await sb.receive(30)).body), b"message %d" % i, "text")
        for session in (sa, sb):
            update = session.dialog.request("UPDATE", headers=[("Supported", "timer")])
            same((await update.final()).status, 200, "UPDATE in overload")
    await sa.hang_up()
    await sb.wait_bye()
    await load.stop()
    check(load.permitted > 0, "nothing was served")
    check(await refused_by(world, "overload") >= len(load.refused), "not counted")
    await until_idle(world)
    check(any(" overload begins busy=" in line for line in world.server.lines), "no line when it began")
    check(any(" overload ends after_s=" in line for line in world.server.lines), "no line when it ended")
    await world.normal_session()


@scenario(own=TINY, once=True, seconds=180)
async def overload_refuses_invites(world):
    """INVITE: the ACK of the 503 is absorbed, and by UDP a retransmission gets the same answer, also later."""
    load = Load(world, "INVITE")
    await load.until_refused()
    raw = await world.raw()
    refused = None
    while not refused:
        invites = list(requests_of(world, raw, "INVITE", 20))
        answers = {r.call_id: r for r in await finals(raw, invites, 60)}
        refused = next((m for m in invites if answers[m.call_id].status == 503), None)
    to = answers[refused.call_id].get("To")
    if world.transport == "udp":
        for _ in range(3):
            again = (await finals(raw, [refused], 60))[0]
            same((again.status, again.get("To")), (503, to), "the answer to a retransmission")
    raw.send(ack_of(refused, answers[refused.call_id]))
    await load.stop()
    await until_idle(world)
    if world.transport == "udp":    # it has its 503: it must not ring now
        again = (await finals(raw, [refused], 60))[0]
        same((again.status, again.get("To")), (503, to), "the answer to a retransmission after the overload")
    for _ in range(200):
        metrics = await world.server.metrics()
        if metrics.values["imserv_sip_refusals_acked_total"] >= len(load.refused):
            break
        await asyncio.sleep(0.05)
    check(metrics.values["imserv_sip_refusals_acked_total"] >= len(load.refused), "ACKs are not absorbed")
    await world.normal_session()


@scenario(own=dict(TINY, **{"overload.high_water": "100"}), once=True, seconds=60)
async def overload_can_be_off(world):
    """100 percent: nobody is refused, however many there are."""
    raw = await world.raw()
    for _ in range(10):
        answers = await finals(raw, list(requests_of(world, raw, "MESSAGE", 100)))
        check(all(r.status != 503 for r in answers), "refused")
    same(await refused_by(world, "overload"), 0, "refused")
