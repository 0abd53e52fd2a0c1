"""What happens when a side stays silent: every wait ends (server with short timers)."""
import asyncio
import time

from msrp_refusals import Wire
from ua import REQ, check, same
from world import scenario


def elapsed(since):
    return time.monotonic() - since


@scenario(tuned=True)
async def unbound_connection_is_closed(world):
    """A connection that binds to no session is closed after limits.unbound (600 ms), not before; a
    trickle of octets does not extend it."""
    started = time.monotonic()
    silent, trickle = await Wire().open(world), await Wire().open(world)
    ended = asyncio.ensure_future(trickle.closed(3))
    for octet in b"MSRP abcd1234 SEND\r\nTo-Path: ":
        if ended.done():
            break
        trickle.send(bytes([octet]))
        await asyncio.sleep(0.05)
    check(await silent.closed(3), "silent connection stays open")
    check(await ended, "trickling connection stays open")
    REQ("IM-12.1.5-1")
    check(0.5 < elapsed(started) < 2.5, "closed after %.2f s" % elapsed(started))
    silent.close(), trickle.close()


@scenario(tuned=True)
async def unbound_deadline_starts_at_accept(world):
    """The deadline of a connection counts from its own accept, also at a worker that was idle for a
    while: eight silent connections, one after the other, each live for limits.unbound (600 ms)."""
    for pause in (0, 0.2, 0.5, 0.1, 0.3, 0, 0.4, 0.2):
        await asyncio.sleep(pause)
        wire, started = await Wire().open(world), time.monotonic()
        check(await wire.closed(3), "connection stays open")
        check(0.5 < elapsed(started) < 2, "closed after %.2f s" % elapsed(started))
        wire.close()


@scenario(tuned=True)
async def nobody_connects(world):
    """Neither client connects its MSRP leg: after limits.unbound both get BYE with Reason."""
    alice, bob = await world.pair()
    for a_setup, b_setup in (("active", "active"), ("actpass", "active")):
        outgoing = alice.invite(bob, setup=a_setup)
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept(setup=b_setup, bind=False))
        await outgoing.established(bind=False)
        await accepting
        started = time.monotonic()
        byes = await asyncio.gather(outgoing.wait_bye(4), invitation.wait_bye(4))
        check(0.4 < elapsed(started) < 3, "BYE after %.2f s" % elapsed(started))
        for bye in byes:
            check(bye.get("Reason"), "BYE without Reason")


@scenario(tuned=True)
async def peer_cannot_be_reached(world):
    """B is passive but nobody listens at its path: both get BYE with Reason."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    bob.msrp.server.close()
    await bob.msrp.server.wait_closed()
    accepting = asyncio.ensure_future(invitation.accept(bind=False))
    await outgoing.established(bind=False)
    await accepting
    try:
        await outgoing.bind()
    except AssertionError:
        pass                          # refused, or ended before it was bound
    for bye in await asyncio.gather(outgoing.wait_bye(4), invitation.wait_bye(4)):
        check(bye.get("Reason"), "BYE without Reason")


@scenario(tuned=True)
async def far_side_silent(world):
    """B never answers a SEND: A gets 408 at 0.8 x timers.msrp_transaction (2 s), counted from the end of
    its chunk; a late 200 of B changes nothing."""
    sa, sb = await world.session()
    held = []
    sb.leg.answer = lambda chunk, respond: held.append(respond)
    started = time.monotonic()
    future = sa.leg.send_chunk(b"wait", "w1", 1, 4)
    code = (await sa.leg.outcome(future, 4))[0]
    same(code, 408, "SEND without answer from B")
    check(1.3 < elapsed(started) < 2.4, "408 after %.2f s" % elapsed(started))
    held[0](200)
    await sb.receive()
    sb.leg.answer = lambda chunk, respond: respond(200)
    await sa.send("still in session")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()


@scenario(tuned=True)
async def far_side_silent_partial(world):
    """With Failure-Report: partial silence is no error: no 408."""
    sa, sb = await world.session()
    sb.leg.answer = lambda chunk, respond: None
    future = sa.leg.send_chunk(b"wait", "w1", 1, 4, headers=[("Failure-Report", "partial")])
    await sb.receive()
    await asyncio.sleep(2.2)
    check(not future.done(), "a response came")
    await sa.hang_up()
    await sb.wait_bye()


@scenario(tuned=True)
async def message_unanswered(world):
    """B does not answer a MESSAGE within timers.client_answer (1.5 s), or answers 408: A gets 480."""
    alice, bob = await world.pair()
    started = time.monotonic()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain"))
    same((await sending.final(5)).status, 480, "MESSAGE to a silent client")
    check(1.2 < elapsed(started) < 3.5, "480 after %.2f s" % elapsed(started))
    await bob.expect("MESSAGE")
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain"))
    for status in (408, 480):
        (await bob.expect("MESSAGE")).respond(status)
        same((await sending.final(5)).status, 480, "MESSAGE answered %d" % status)
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain"))
    (await bob.expect("MESSAGE")).respond(200, "OK")
    same((await sending.final(5)).status, 200, "MESSAGE")


@scenario(tuned=True, seconds=30)
async def invite_unanswered(world):
    """B answers nothing to INVITE: timer B (64 x t1 = 6.4 s) ends it with 408 or 480 at A; retransmissions
    over UDP are seen at B."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    started = time.monotonic()
    final = await outgoing.transaction.final(12)
    check(final.status in (408, 480), "INVITE to a silent client got %s" % final)
    check(4 < elapsed(started) < 10, "after %.1f s" % elapsed(started))
    check(world.transport != "udp" or invitation.server.repeated >= 4,
          "%d retransmissions" % invitation.server.repeated)


@scenario(tuned=True)
async def lost_leg(world):
    """B's MSRP connection breaks and no re-INVITE comes within limits.reattach (500 ms): A's outstanding
    chunk gets 408, then both get BYE with Reason."""
    sa, sb = await world.session()
    sb.leg.answer = lambda chunk, respond: None
    future = sa.leg.send_chunk(b"wait", "w1", 1, 4)
    await sb.receive()
    started = time.monotonic()
    sb.leg.connection.transport.abort()
    same((await sa.leg.outcome(future, 3))[0], 408, "outstanding chunk")
    byes = await asyncio.gather(sa.wait_bye(4), sb.wait_bye(4))
    check(elapsed(started) < 3, "BYE after %.2f s" % elapsed(started))
    for bye in byes:
        check(bye.get("Reason"), "BYE without Reason")


@scenario(tuned=True)
async def bye_unanswered(world):
    """B has vanished and answers no BYE: A's 200 comes at once all the same."""
    sa, sb = await world.session()
    sb.agent.layer.on_request = lambda server: None
    started = time.monotonic()
    await sa.hang_up()
    check(elapsed(started) < 1, "200 to BYE after %.2f s" % elapsed(started))
    sb.leg.close()


@scenario(tuned=True, seconds=40)
async def transactions_are_forgotten(world):
    """After 64 x t1 (6.4 s) no transaction of a burst of messages and sessions is left."""
    alice, bob = await world.pair()
    before = (await world.server.metrics()).sum("imserv_sip_transactions") or 0
    for i in range(30):
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain"))
        (await bob.expect("MESSAGE")).respond(200 if i % 2 else 486)
        await sending.final()
    sa, sb = await world.session(alice, bob)
    await sa.hang_up()
    await sb.wait_bye()
    during = (await world.server.metrics()).sum("imserv_sip_transactions") or 0
    check(world.transport != "udp" or during > before, "transactions are not counted: %d" % during)
    end, now = time.monotonic() + 15, during
    while now > before and time.monotonic() < end:
        await asyncio.sleep(0.3)
        now = (await world.server.metrics()).sum("imserv_sip_transactions") or 0
    check(now <= before, "%d transactions stay, before %d" % (now, before))
