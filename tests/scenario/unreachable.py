"""Where the server connects and whom it does not reach (design 5, limits.connect_to; RFC 4975 5.4, 10): refused, timed
out, silent, somebody else, addresses that are not permitted; TLS where there is none and the reverse."""
import asyncio
import socket
import ssl

from ua import Failure, check, same, sdp
from ua.agent import establish
from ua.certificates import authority, client_context
from world import scenario

NOWHERE = b"192.0.2.1"    # RFC 5737: documentation, nobody's


async def ended(*sessions, seconds=8):
    """Both got BYE with a Reason, whose text is returned."""
    for session in sessions:
        reason = (await session.wait_bye(seconds)).get("Reason")
        check(reason, "BYE without Reason")
    return reason


async def unbound(alice, bob, **accept):
    """A session whose 2xx has gone through, and nothing else."""
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(bind=False, **accept))
    await outgoing.established(bind=False)
    await accepting
    return outgoing, invitation


async def count(world, reason):
    metrics = await world.server.metrics()
    return metrics.values.get('imserv_refused_total{reason="%s"}' % reason, 0)


# --- the first answer ---

@scenario()
async def peer_dislikes_the_first_chunk(world):
    """The server's first SEND gets an error: it may have been faster than SIP, so it is counted and the session goes
    on."""
    alice, bob = await world.pair()
    for code in (481, 403, 506, 400, 413, 415, 501):
        before = await count(world, "msrp_peer_refused")
        outgoing = alice.invite(bob)
        invitation = await bob.expect_invite()
        invitation.leg.answer = lambda chunk, respond: respond(200 if chunk.has_body else code)
        accepting = asyncio.ensure_future(invitation.accept())
        await outgoing.established()
        await accepting
        await outgoing.send("goes on after %d" % code)
        await invitation.receive()
        same(await count(world, "msrp_peer_refused"), before + 1, "refusals counted")
        await outgoing.hang_up()
        await invitation.wait_bye()


@scenario(tuned=True)
async def peer_accepts_and_says_nothing(world):
    """Somebody takes the connection and never answers: the leg is lost after 0.8 x timers.msrp_transaction (2 s), and
    without a re-INVITE in limits.reattach the session ends."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.leg.answer = lambda chunk, respond: None
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    await ended(outgoing, invitation)


@scenario()
async def peer_cannot_share(world):
    """A peer that knows one session to a connection refuses the second: it gets a connection of its own, and the
    first one goes on."""
    alice, bob = await world.pair()
    first = await establish(alice, bob, ring=False)
    shared = 0
    for _ in range(4 * world.workers):
        outgoing = alice.invite(bob)
        invitation = await bob.expect_invite()
        leg = invitation.leg
        refused = []

        def answer(chunk, respond, leg=leg, refused=refused):
            if len(leg.connection.sessions) > 1:
                refused.append(leg.connection)
                leg.connection.sessions.discard(leg)
                leg.connection = None
                leg.bound.clear()
                respond(481)
            else:
                respond(200)
        leg.answer = answer
        accepting = asyncio.ensure_future(invitation.accept(bind=False))
        await outgoing.established()
        await accepting
        await outgoing.send("alone")
        same(bytes((await invitation.receive()).body), b"alone", "text")
        shared += len(refused)
        check(leg.connection not in refused, "the same connection again")
        await outgoing.hang_up()
        await invitation.wait_bye()
    check(shared, "no connection was shared")
    await first[0].send("still here")
    await first[1].receive()
    await first[0].hang_up()
    await first[1].wait_bye()


# --- connecting ---

@scenario(tuned=True)
async def connect_times_out(world):
    """The address takes no connection and refuses none: limits.unbound (600 ms) ends the session."""
    alice, bob = await world.pair()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):            # the backlog is full with fewer: the kernel drops what comes then
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            waiting.append(one)
        before = await count(world, "connect_failed")
        port = full.getsockname()[1]
        outgoing, invitation = await unbound(
            alice, bob, edit=lambda body: body.replace(b"%d" % bob.msrp.port, b"%d" % port))
        await ended(outgoing, invitation)
        check(await count(world, "connect_failed") > before, "connect_failed is not counted")
        for one in waiting:
            one.close()


@scenario(own={"limits.connect_to": "signalled"}, once=True)
async def connect_to_signalled(world):
    """limits.connect_to: signalled permits where the SIP came from and this machine. Another address in an offer of
    setup:passive is 488 before B hears of it, in an answer it ends the session; in a re-INVITE it is 488 and changes
    nothing."""
    alice, bob = await world.pair()

    def edit(body):
        return body.replace(b"127.0.0.1", NOWHERE)
    before = await count(world, "connect_forbidden")
    outgoing = alice.invite(bob, setup="passive", edit=edit)
    same((await outgoing.transaction.final()).status, 488, "offer with an address that is not permitted")
    await bob.quiet(0.05)
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    await invitation.accept(bind=False, edit=edit)
    same((await outgoing.transaction.final()).status, 480, "answer with an address that is not permitted")
    await ended(invitation)
    check(await count(world, "connect_forbidden") >= before + 2, "refusals counted")
    sa, sb = await world.session(alice, bob)
    again = sa.dialog.request("INVITE", body=edit(sdp.build(sa.leg.local, "passive", version=2)),
                              content_type="application/sdp")
    same((await again.final()).status, 488, "re-INVITE with an address that is not permitted")
    await sa.send("as before")
    await sb.receive()
    # who connects himself may be anywhere
    sa.agent.msrp.tolerant = True
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def no_address_is_no_address(world):
    """0.0.0.0 and :: would be this machine: nobody is connected to there, whatever limits.connect_to says."""
    alice, bob = await world.pair()
    for address in (b"0.0.0.0", b"[::]", b"[::ffff:0.0.0.0]"):
        outgoing = alice.invite(bob, setup="passive", edit=lambda body: body.replace(
            b"a=path:msrp://127.0.0.1", b"a=path:msrp://" + address))
        same((await outgoing.transaction.final()).status, 488, "offer with %s" % address)
    await bob.quiet(0.05)


@scenario(modes=("standalone",), once=True, seconds=60, settle=False)
async def failed_connects_are_limited(world):
    """32 connects in vain for one identity within a minute: then a worker makes no more for it, and says so once; other
    users are not touched (design 5, D2-55)."""
    alice, bob = await world.pair()
    with socket.socket() as closed:   # bound, not listening
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for _ in range(32 * world.workers + 1):
            outgoing = alice.invite(bob)
            invitation = await bob.expect_invite()
            accepting = asyncio.ensure_future(invitation.accept(
                bind=False, edit=lambda body: body.replace(b"%d" % bob.msrp.port, b"%d" % port)))
            status = (await outgoing.transaction.final()).status
            await accepting
            await invitation.wait_bye()
            if status != 200:
                break
            await outgoing.wait_bye()
        same(status, 480, "one too many")
        check(await count(world, "connect_limit"), "connect_limit is not counted")
    check([line for line in world.server.lines if "reason=connect_limit" in line], "not on the log")
    await world.normal_session()


# --- TLS and none ---

async def hears_nothing_of_msrp(reader):
    try:
        data = await asyncio.wait_for(reader.read(65536), 6)
    except ConnectionError:
        return
    check(b"MSRP" not in data, "answered with %r" % data[:40])


@scenario(transports=("tls",))
async def plain_to_msrps_and_the_reverse(world):
    """MSRP without TLS at the msrps port, TLS at the msrp port: closed, counted; sessions of both kinds go on."""
    before = await count(world, "tls_handshake")
    reader, writer = await asyncio.open_connection(*world.server.ready.msrp["tls"])
    writer.write(b"MSRP abcd1234 SEND\r\nTo-Path: msrps://127.0.0.1:1/x;tcp\r\nFrom-Path: msrps://h:1/y;tcp\r\n"
                 b"Message-ID: 1\r\n-------abcd1234$\r\n")
    await hears_nothing_of_msrp(reader)
    writer.close()
    for _ in range(300):
        if await count(world, "tls_handshake") > before:
            break
        await asyncio.sleep(0.01)
    same(await count(world, "tls_handshake"), before + 1, "handshakes that failed")
    try:
        await asyncio.wait_for(asyncio.open_connection(*world.server.ready.msrp["tcp"], ssl=client_context(verify=False),
                                                       server_hostname=""), 6)
        raise Failure("TLS at the port without")
    except (ssl.SSLError, ConnectionError):
        pass
    await world.normal_session()


@scenario(transports=("tls",))
async def msrps_by_authority(world):
    """An answer without a=fingerprint: whom the server connects to must show a certificate of an authority for the
    host of its path (RFC 4975 14.4). One of another name, or of no authority, ends the session."""
    alice = await world.client("alice", certificate=authority().lone("phone-alice"))
    for certificate, is_good in ((authority().issue("bob-by-address", "IP:127.0.0.1"), True),
                                 (authority().issue("bob-elsewhere", "DNS:bob.example.com"), False),
                                 (authority().lone("bob-alone"), False)):
        bob = await world.client("bob", certificate=certificate)
        before = await count(world, "tls_certificate"), await count(world, "tls_handshake")
        outgoing, invitation = await unbound(alice, bob, edit=without_fingerprint)
        if is_good:
            await asyncio.gather(outgoing.bind(), invitation.bind())
            await outgoing.send("by authority")
            await invitation.receive()
            await outgoing.hang_up()
            await invitation.wait_bye()
            continue
        await ended(outgoing, invitation)
        after = await count(world, "tls_certificate"), await count(world, "tls_handshake")
        same(sum(after) - sum(before), 1, "refusals counted: %s, %s" % (before, after))
        check(not invitation.leg.bound.is_set(), "bound all the same")


def without_fingerprint(body):
    return b"".join(line for line in body.splitlines(True) if not line.startswith(b"a=fingerprint"))


@scenario(transports=("tls",))
async def msrps_ends(world):
    """close_notify and a cut of TCP without it end a leg alike: it is held for limits.reattach, a re-INVITE brings it
    back."""
    alice, bob = [await world.client(name, certificate=authority().lone("phone-" + name)) for name in ("alice", "bob")]
    sa, sb = await world.session(alice, bob)
    for is_clean in (True, False):
        lost = sum("connection lost" in line for line in world.server.lines)
        connection = sb.leg.connection
        connection.transport.close() if is_clean else connection.transport.abort()
        for _ in range(500):
            if sum("connection lost" in line for line in world.server.lines) > lost:
                break
            await asyncio.sleep(0.01)
        sb.leg.bound.clear()
        sb.leg.connection = None
        again = sb.dialog.request("INVITE", body=sdp.build(sb.leg.local, "passive",
                                                           accept="text/plain message/cpim *"),
                                  content_type="application/sdp")
        same((await again.final()).status, 200, "re-INVITE")
        sb.dialog.ack(again)
        await sb.leg.wait_bound()
        await sa.send("again")
        same(bytes((await sb.receive()).body), b"again", "text")
    await sa.hang_up()
    await sb.wait_bye()
