"""Peers behind MSRP relays (RFC 4975 5.2, 7.1, 7.2; RFC 4976): whole paths in requests, one URI in responses."""
import asyncio
import contextlib
import re
import secrets

from msrp_refusals import Wire, send_request
from ua import check, relay, same
from world import scenario


@contextlib.asynccontextmanager
async def two_relays(world, user):
    """Two relays in front of this user, the one that the server sees first."""
    relays = [await relay.Relay(world.witness).open() for _ in range(2)]
    user.msrp.relays = [one.uri for one in relays]
    try:
        yield relays
    finally:
        for one in relays:
            one.close()


def report(session, message, status="000 200 OK"):
    tid, head = session.leg.begin_request("REPORT", [
        ("Message-ID", message.id), ("Byte-Range", "1-%d/%d" % (message.length, message.length)), ("Status", status)])
    session.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())


def whole_path(chunks, user, server_uri):
    """Requests of the server name every hop, and themselves only; the first relay has seen them all."""
    for chunk in chunks:
        same((chunk.to, chunk.sender), ([*user.local.relays, str(user.local)], [server_uri]), "paths of %s" % chunk)


@scenario()
async def behind_two_relays(world):
    """One side has two relays in front of it, as active and as passive side: text, chunks and reports go through, a
    response of the server goes to the nearest hop only, a refusal of the other side comes back as a REPORT."""
    for setup in ("actpass", "passive"):
        alice, bob = await world.pair()
        async with two_relays(world, alice) as (first, _):
            sa, sb = await world.session(alice, bob, a_setup=setup)
            server = sa.answer.path[0]
            await sa.send("through relays", message_id="confirm", headers=[("Success-Report", "yes")])
            got = await sb.receive()
            same(bytes(got.body), b"through relays", "text to bob")
            report(sb, got)
            answer = await asyncio.wait_for(sa.leg.reports.get(), 4)
            same((answer.get("Message-ID"), answer.get("Status")), ("confirm", "000 200 OK"), "REPORT to alice")
            body = secrets.token_bytes(30000).replace(b"\n", b"")
            await sb.send(body, chunk=2048, headers=[("Success-Report", "yes")])
            got = await sa.receive()
            same(bytes(got.body), body, "content to alice")
            report(sa, got)
            same((await asyncio.wait_for(sb.leg.reports.get(), 4)).get("Message-ID"), got.id, "REPORT to bob")
            whole_path([c for c in first.requests if c.sender == [server]], sa.leg, server)
            same({c.method for c in first.requests if c.sender == [server]}, {"SEND", "REPORT"}, "requests")
            sb.leg.answer = lambda chunk, respond: respond(413, "no")
            await sa.send("too much")
            refusal = await asyncio.wait_for(sa.leg.reports.get(), 4)
            same(refusal.get("Status"), "000 413", "REPORT of the relay")
            for chunk in first.responses:
                if chunk.sender == [server]:
                    same(chunk.to, [first.uri], "To-Path of a response")
            same([c.code for c in first.responses if c.sender == [server] and c.code != 200], [413], "refusals")
            await sb.hang_up()
            await sa.wait_bye()


@scenario(once=True)
async def both_behind_relays(world):
    """Both sides have relays, whichever of them connects."""
    for setup in ("passive", "active"):
        alice, bob = await world.pair()
        async with two_relays(world, alice), two_relays(world, bob):
            sa, sb = await world.session(alice, bob, b_setup=setup)
            for sender, receiver in ((sa, sb), (sb, sa)):
                await sender.send("hop by hop")
                same(bytes((await receiver.receive()).body), b"hop by hop", "text")
            await sa.hang_up()
            await sb.wait_bye()


@scenario()
async def relay_left_out(world):
    """A session belongs to the whole path of its description: without the relays, or with others, From-Path is
    another's, 481 (D2-54); the right one is taken afterwards."""
    alice, bob = await world.pair()
    async with two_relays(world, alice) as relays:
        outgoing = alice.invite(bob)
        accepting = asyncio.ensure_future((await bob.expect_invite()).accept())
        await outgoing.established(bind=False)
        sb = await accepting
        own = [*(one.uri for one in relays), str(outgoing.leg.local)]
        for sender in (own[2:], own[1:], own[:2], [own[1], own[0], own[2]], own + ["msrp://127.0.0.1:9/more;tcp"]):
            wire = await Wire().open(world)
            tid, data = send_request(outgoing.answer.path[0], " ".join(sender))
            wire.send(data)
            same(await wire.response(tid), 481, "SEND from %d URIs" % len(sender))
            wire.close()
        await outgoing.bind()
        await outgoing.send("all of it")
        same(bytes((await sb.receive()).body), b"all of it", "text")
        await outgoing.hang_up()
        await sb.wait_bye()


@scenario(once=True)
async def longest_path(world):
    """A path of 16 URIs is kept whole; one more and the description is refused, 488."""
    alice, bob = await world.pair()
    alice.msrp.relays = ["msrp://relay%d.example.com:1000/r;tcp" % n for n in range(15)]
    outgoing = alice.invite(bob)
    accepting = asyncio.ensure_future((await bob.expect_invite()).accept())
    await outgoing.established(bind=False)
    sb = await accepting
    own, server = " ".join([*alice.msrp.relays, str(outgoing.leg.local)]), outgoing.answer.path[0]
    wire = await Wire().open(world)
    tid, data = send_request(server, own, body="from afar")
    wire.send(data)
    same(await wire.response(tid), 200, "SEND")
    check(wire.buffer.startswith(b"MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n--" % (
        tid.encode(), alice.msrp.relays[0].encode(), server.encode())), "response %r" % wire.buffer)
    same(bytes((await sb.receive()).body), b"from afar", "text to bob")
    sending = asyncio.ensure_future(sb.send("answer"))
    wire.buffer = b""
    while not wire.buffer.endswith(b"$\r\n"):
        wire.buffer += await asyncio.wait_for(wire.reader.read(65536), 4)
    head = re.match(rb"MSRP (\S+) SEND\r\nTo-Path: ([^\r]*)\r\nFrom-Path: ([^\r]*)\r\n", wire.buffer)
    same((head.group(2).decode(), head.group(3).decode()), (own, server), "paths of the SEND to alice")
    wire.send(b"MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n" % (
        head.group(1), server.encode(), own.encode().split(b" ")[0], head.group(1)))
    await sending
    await outgoing.hang_up()
    await sb.wait_bye()
    wire.close()
    alice.msrp.relays = ["msrp://relay%d.example.com:1000/r;tcp" % n for n in range(16)]
    same((await alice.invite(bob).transaction.final()).status, 488, "INVITE with a path of 17 URIs")
