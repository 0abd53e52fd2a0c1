"""A lost MSRP connection is held for limits.reattach, and a re-INVITE brings another (RFC 4975 5.4; design 5): by the
same path or a new one, made by either end; what was under way gets 408, what comes meanwhile waits. In ims mode there
are two passes of the server between the clients, and each takes its own leg back."""
import asyncio
import secrets

from ua import Failure, check, msrp, same, sdp
from world import scenario

TYPES = "text/plain message/cpim *"


async def talk(sa, sb):
    for sender, receiver in ((sa, sb), (sb, sa)):
        await sender.send("after it")
        same(bytes((await receiver.receive()).body), b"after it", "text")


async def end(sa, sb):
    await sa.hang_up()
    await sb.wait_bye()


async def answer_change(session):
    """What a change of the other side's path asks of this one: nothing new (standalone asks all the same)."""
    server = await asyncio.wait_for(session.dialog.incoming.get(), 5)
    server.respond(200, "OK", [("Contact", session.agent.contact)],
                   sdp.build(session.leg.local, "active" if session.active else "passive", accept=TYPES),
                   "application/sdp")
    if server.request.method == "INVITE":
        await server.wait_ack()


def moved(session):
    """Another session-id for this side, known to nobody yet."""
    old, session.leg = session.leg, msrp.Leg(session.agent.msrp)
    session.leg.remote = old.remote
    session.agent.keep_secret(session.leg)
    old.endpoint.sessions.pop(old.local.session_id, None)


async def come_back(world, session, other, setup, is_new_path, method="INVITE"):
    """re-INVITE of the side that lost its connection, and the new one."""
    session.leg.bound.clear()
    session.leg.connection = None
    body = sdp.build(session.leg.local, setup, version=2 if is_new_path else 1, accept=TYPES)
    again = session.dialog.request(method, body=body, content_type="application/sdp")
    if is_new_path and not world.ims:
        await answer_change(other)
    response = await again.final()
    same(response.status, 200, method)
    if method == "INVITE":
        session.dialog.ack(again)
    answer = sdp.Description(response.body)
    same(answer.path, session.leg.remote, "our path")
    session.active = answer.setup != "active"
    await session.bind()


async def cut(world, *sessions):
    """Their connections are gone, and the server knows it."""
    def lost():
        return sum("connection lost" in line for line in world.server.lines)
    before = lost()
    for session in sessions:
        session.leg.connection.transport.abort()
    for _ in range(500):
        if lost() >= before + len(sessions):
            return
        await asyncio.sleep(0.01)
    raise Failure("the server does not see that a connection is gone")


@scenario(seconds=40)
async def comes_back(world):
    """Either side comes back as the active and as the passive one, by its path of before and by a new one, by
    re-INVITE and by UPDATE; text goes both ways again."""
    alice, bob = await world.pair()
    for method in ("INVITE", "UPDATE"):
        sa, sb = await world.session(alice, bob)
        for session, other in ((sa, sb), (sb, sa)):
            for setup in ("actpass", "active", "passive"):
                for is_new_path in (False, True):
                    await cut(world, session)
                    if is_new_path:
                        moved(session)
                    await come_back(world, session, other, setup, is_new_path, method)
                    await talk(sa, sb)
        await end(sa, sb)


@scenario()
async def what_was_under_way_gets_408(world):
    """B's connection breaks with A's chunks unanswered: 408 to each, in time for A to send them again (RFC 4975 5.4);
    then B comes back, and what A sent meanwhile arrives in its order."""
    sa, sb = await world.session()
    sb.leg.answer = lambda chunk, respond: None
    waiting = [sa.leg.send_chunk(b"unanswered", secrets.token_hex(8), 1, 10) for _ in range(3)]
    while sb.leg.chunks < 3 + (not sb.active):
        await asyncio.sleep(0.01)
    await cut(world, sb)
    for future in waiting:
        same((await sa.leg.outcome(future))[0], 408, "chunk under way")
    for _ in range(3):
        await sb.receive()
    sb.leg.answer = lambda chunk, respond: respond(200)
    later = [asyncio.ensure_future(sa.send("later %d" % i)) for i in range(5)]
    await asyncio.sleep(0.05)
    check(not any(task.done() for task in later), "answered while B is away")
    await come_back(world, sb, sa, "active", False)
    await asyncio.gather(*later)
    for i in range(5):
        same(bytes((await sb.receive()).body), b"later %d" % i, "text that waited")
    await end(sa, sb)


@scenario()
async def lost_in_a_large_chunk(world):
    """B breaks away in the middle of a chunk that A streams: 408 as soon as it ends at the latest; A repeats the
    message with the same Message-ID when B is back, and it arrives whole."""
    sa, sb = await world.session()
    body = secrets.token_bytes(300000)
    message_id, tid = secrets.token_hex(8), "cut" + secrets.token_hex(6)
    tid, head = sa.leg.begin_request(tid=tid, headers=[
        ("Message-ID", message_id), ("Byte-Range", "1-*/300000"), ("Content-Type", "application/octet-stream")])
    future = sa.leg.expect_response(tid)
    sa.leg.connection.write(head + b"\r\n" + body[:100000])
    while sb.leg.octets < 50000:
        await asyncio.sleep(0.01)
    await cut(world, sb)
    sb.leg.open.clear()
    sa.leg.connection.write(body[100000:] + b"\r\n-------%s$\r\n" % tid.encode())
    same((await sa.leg.outcome(future))[0], 408, "chunk that was cut")
    await come_back(world, sb, sa, "active", False)
    await sa.send(body, message_id=message_id, content_type="application/octet-stream")
    same(bytes((await sb.receive()).body), body, "message that was repeated")
    await end(sa, sb)


@scenario(tuned=True)
async def one_side_comes_back_in_vain(world):
    """Both connections are lost and only one side comes back: limits.reattach ends the session all the same."""
    sa, sb = await world.session()
    await cut(world, sa, sb)
    await come_back(world, sa, sb, "active", False)
    for session in (sa, sb):
        check((await session.wait_bye()).get("Reason"), "BYE without Reason")


@scenario()
async def both_come_back(world):
    """Both connections are lost, and both sides come back, one after the other."""
    sa, sb = await world.session()
    await cut(world, sa, sb)
    for session, other in ((sb, sa), (sa, sb)):
        await come_back(world, session, other, "active", False)
    await talk(sa, sb)
    await end(sa, sb)


@scenario()
async def old_connection_is_still_there(world):
    """Who moves to a new path before the server knows that the old connection is dead is not kept waiting for it; who
    stays with the old path is bound to the old connection: a second one is 506."""
    sa, sb = await world.session()
    old = sa.leg.connection
    second = await sa.agent.msrp.connect(sa.leg.remote[0])
    sa.leg.connection = second
    same((await sa.leg.empty())[0], 506, "second connection by the same path")
    second.close()
    moved(sa)
    await come_back(world, sa, sb, "active", True)
    await asyncio.wait_for(old.closed.wait(), 4)
    await talk(sa, sb)
    await end(sa, sb)
