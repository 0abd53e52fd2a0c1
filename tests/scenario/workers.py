"""Receiving is not owning (design 2): parts of one exchange arrive at different workers."""
import asyncio

from ua import check, same, sip
from ua.agent import establish
from world import scenario


@scenario(transports=("udp",))
async def scattered_cancel(world):
    """INVITE, its retransmissions, CANCEL and the ACK of the 487 come from different source ports, and
    so to different workers; ten times over."""
    alice, bob = await world.pair()
    await world.scatter(alice)
    for _ in range(10):
        outgoing = alice.invite(bob)
        for _ in range(4):
            alice.endpoint.send(outgoing.transaction.request, alice.flow)
        invitation = await bob.expect_invite()
        invitation.ring()
        await outgoing.transaction.provisional(180)
        same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
        same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
        await invitation.server.wait_cancel()
        await invitation.server.wait_ack()
    await bob.quiet(0.2)


@scenario(transports=("udp",))
async def scattered_failure(world):
    """The ACK of a failure stops its retransmission whatever worker gets it: after it the server is
    silent."""
    alice, bob = await world.pair()
    await world.scatter(alice)
    finals = []
    for _ in range(10):
        outgoing = alice.invite(bob)
        (await bob.expect_invite()).refuse(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE")
        finals.append(outgoing.transaction.request.call_id)
    await asyncio.sleep(0.2)
    before = len([m for m in alice.log if m.status == 486])
    await asyncio.sleep(0.8)
    after = len([m for m in alice.log if m.status == 486])
    same(after, before, "copies of the 486 after the ACKs")


@scenario(transports=("udp",))
async def scattered_sessions(world):
    """Whole sessions whose every datagram comes from another port: re-sent 2xx is acknowledged again,
    BYE finds the dialog."""
    alice, bob = await world.pair()
    await world.scatter(alice)
    if not world.ims:
        await bob.endpoint.scatter()
    for i in range(8):
        sa, sb = await establish(alice, bob)
        await sa.send("text %d" % i)
        await sb.receive()
        if i % 2:
            await sa.hang_up()
            await sb.wait_bye()
        else:
            await sb.hang_up()
            await sa.wait_bye()


@scenario(transports=("udp",))
async def scattered_messages(world):
    """MESSAGE and its retransmissions from many ports are still one message each."""
    alice, bob = await world.pair()
    await world.scatter(alice)
    for i in range(10):
        request = alice.build("MESSAGE", bob.uri, body=b"%d" % i, content_type="text/plain")
        sending = alice.start(request)
        for _ in range(3):
            alice.endpoint.send(request, alice.flow)
        server = await bob.expect("MESSAGE")
        same(server.request.body, b"%d" % i, "body")
        server.respond(200, "OK")
        same((await sending.final()).status, 200, "MESSAGE")
    await bob.quiet(0.2)


@scenario(transports=("udp",))
async def lost_ack(world):
    """B's 200 is repeated until the server's ACK; A's lost ACK makes the server repeat its 200."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    outgoing.auto_ack = False
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(bind=False))
    await outgoing.transaction.final()
    await asyncio.sleep(0.8)
    copies = len([m for m in alice.log if m.status == 200 and m.cseq[1] == "INVITE"])
    check(copies >= 2, "the 200 was not repeated without ACK")
    await outgoing.established(bind=False)
    await accepting
    await asyncio.gather(outgoing.bind(), invitation.bind())
    await outgoing.send("x")
    await invitation.receive()
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario(seconds=30)
async def msrp_connection_at_another_worker(world):
    """Forty sessions with a connection each: the kernel hands most connections to a worker that does
    not own the session; the first SEND and what follows it in the same packet get through."""
    alice, bob = await world.pair()
    sessions = []
    for i in range(40):
        setup = "active" if i % 2 else "passive"
        sessions.append(await establish(alice, bob, "actpass", setup, ring=False))
    for i, (sa, sb) in enumerate(sessions):
        await asyncio.gather(sa.send("a%d" % i), sb.send("b%d" % i))
        same(bytes((await sb.receive()).body), b"a%d" % i, "text at B")
        same(bytes((await sa.receive()).body), b"b%d" % i, "text at A")
    for sa, sb in sessions:
        await sa.hang_up()
        await sb.wait_bye()


@scenario()
async def first_packet_carries_more(world):
    """The binding SEND and a burst of messages in one write: nothing is lost when the connection
    changes workers."""
    alice, bob = await world.pair()
    for _ in range(6):
        outgoing = alice.invite(bob)
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept())
        await outgoing.established(bind=False)
        leg = outgoing.leg
        leg.connection = await alice.msrp.connect(leg.remote[0])
        leg.connection.sessions.add(leg)
        _, head = leg.begin_request(headers=[("Message-ID", sip.token(6))], tid="bind" + sip.token(4))
        tid = head.split()[1].decode()
        first = leg.expect_response(tid)
        burst, writes = [], [head + b"-------%s$\r\n" % tid.encode()]
        leg.connection.write, real = writes.append, leg.connection.write
        for i in range(20):
            burst.append(leg.send_chunk(b"text %d" % i, sip.token(6), 1, len("text %d" % i)))
        leg.connection.write = real
        leg.connection.write(b"".join(writes))
        await accepting
        same((await leg.outcome(first))[0], 200, "binding SEND")
        for i, future in enumerate(burst):
            same((await leg.outcome(future))[0], 200, "SEND %d" % i)
            same(bytes((await invitation.receive()).body), b"text %d" % i, "text at B")
        await outgoing.hang_up()
        await invitation.wait_bye()


@scenario(seconds=40)
async def hundred_sessions_on_one_connection(world):
    """RFC 4975 asks peers to share a connection: A has 100 sessions over one, whoever owns them."""
    alice, bob = await world.pair()
    connection, sessions = None, []
    for _ in range(100):
        sa, sb = await establish(alice, bob, ring=False, connection=connection)
        connection = sa.leg.connection
        sessions.append((sa, sb))
    same(len(alice.msrp.connections), 1, "connections of A")
    await asyncio.gather(*[sa.send("to %d" % i * 50) for i, (sa, _) in enumerate(sessions)])
    await asyncio.gather(*[sb.send("from %d" % i, chunk=3) for i, (_, sb) in enumerate(sessions)])
    for i, (sa, sb) in enumerate(sessions):
        same(bytes((await sb.receive()).body), b"to %d" % i * 50, "text of session %d" % i)
        same(bytes((await sa.receive()).body), b"from %d" % i, "text of session %d" % i)
    for i, (sa, sb) in enumerate(sessions):
        ender, other = (sa, sb) if i % 2 else (sb, sa)
        await ender.hang_up()
        await other.wait_bye()
