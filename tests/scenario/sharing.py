"""Several sessions on one MSRP connection (RFC 4975 5.4; design 2, 5): made by the peer, made by the server, in both
directions at once, and what becomes of them when it is lost."""
import asyncio

from ua import Failure, check, same, sdp
from ua.agent import establish
from ua.certificates import authority
from world import scenario

SESSIONS = 12


async def talk(sessions):
    """A text both ways in each of them, all at once."""
    await asyncio.gather(*[sa.send("to B %d" % i) for i, (sa, _) in enumerate(sessions)],
                         *[sb.send("to A %d" % i) for i, (_, sb) in enumerate(sessions)])
    for i, (sa, sb) in enumerate(sessions):
        same(bytes((await sb.receive()).body), b"to B %d" % i, "text at B")
        same(bytes((await sa.receive()).body), b"to A %d" % i, "text at A")


async def end(sessions):
    for sa, sb in sessions:
        await sa.hang_up()
        await sb.wait_bye()


async def closed(agent, seconds=5):
    """No MSRP connection is left."""
    for connection in list(agent.msrp.connections):
        try:
            await asyncio.wait_for(connection.closed.wait(), seconds)
        except asyncio.TimeoutError:
            raise Failure("a connection of %s stays open" % agent.name) from None


async def counted(world, name):
    return (await world.server.metrics()).sum("imserv_%s_total" % name) or 0


async def many(alice, bob, count=SESSIONS, shared=True, **more):
    """Sessions of A by one connection that A makes, to B, whom the server connects to."""
    sessions = []
    for _ in range(count):
        more["connection"] = sessions[0][0].leg.connection if sessions and shared else None
        sessions.append(await establish(alice, bob, ring=False, **more))
    return sessions


@scenario(seconds=30)
async def server_shares_what_it_connected(world):
    """As the active side each worker makes one connection to a peer, and no more while it lives; it is closed with
    its last session. A made one for all of hers."""
    alice, bob = await world.pair()
    for again in range(2):
        before = await counted(world, "msrp_connections_shared")
        sessions = await many(alice, bob)
        same(len(alice.msrp.connections), 1, "connections of A")
        check(len(bob.msrp.connections) <= world.workers, "%d connections to B from %d workers" % (
            len(bob.msrp.connections), world.workers))
        same(await counted(world, "msrp_connections_shared") - before, SESSIONS - len(bob.msrp.connections),
             "msrp_connections_shared")
        await talk(sessions)
        await end(sessions[::2])
        await talk(sessions[1::2])
        await end(sessions[1::2])
        await closed(bob)
        await closed(alice)


@scenario()
async def sharing_is_by_address(world):
    """Another port is another peer; so is who is connected to by a=setup:passive in an offer: the roles do not
    matter, only the address."""
    alice, bob = await world.pair()
    carol = await world.client("carol")
    sessions = await many(alice, bob, 4) + await many(alice, carol, 4, shared=False)
    sessions += await many(bob, alice, 4, shared=False, a_setup="passive", b_setup="active")
    for agent in (bob, carol):
        check(len([c for c in agent.msrp.connections
                   if c.transport.get_extra_info("sockname")[1] == agent.msrp.port]) <= world.workers,
              "connections to %s" % agent.name)
    await talk(sessions)
    await end(sessions)


@scenario()
async def peer_shares_what_the_server_connected(world):
    """The other direction of it: B, who was connected to, uses that connection as the active side of further sessions
    (RFC 4975 5.4), whichever worker has them."""
    alice, bob = await world.pair()
    first = await establish(alice, bob)
    sessions = [first]
    for _ in range(8):
        sessions.append((await establish(bob, alice, connection=first[1].leg.connection))[::-1])
    same(len(bob.msrp.connections), 1, "connections of B")
    await talk(sessions)
    await end(sessions[:1])           # the one that it was made for
    await talk(sessions[1:])
    await end(sessions[1:])
    await closed(bob)


@scenario(seconds=30)
async def loss_of_a_shared_connection(world):
    """All sessions on a connection are lost with it, and each is held for limits.reattach: those that come back by
    re-INVITE go on, the others get BYE with Reason on both sides."""
    alice, bob = await world.pair()
    sessions = await many(alice, bob, 6)
    for connection in list(bob.msrp.connections):
        connection.transport.abort()
    back, gone = sessions[:3], sessions[3:]
    for sa, sb in back:
        old = sb.leg
        sb.leg = type(old)(bob.msrp)
        sb.leg.remote = old.remote
        bob.keep_secret(sb.leg)
        again = sb.dialog.request("INVITE", body=offer_of(sb, 2), content_type="application/sdp")
        if not world.ims:
            await answer_unchanged(sa)
        response = await again.final()
        same(response.status, 200, "re-INVITE")
        sb.dialog.ack(again)
        await sb.leg.wait_bound()
    await talk(back)
    for pair in gone:
        for session in pair:
            check((await session.wait_bye()).get("Reason"), "BYE without Reason")
    await talk(back)
    await end(back)


def offer_of(session, version, setup="passive"):
    return sdp.build(session.leg.local, setup, version=version, accept="text/plain message/cpim *")


async def answer_unchanged(session):
    """The other side is asked too (standalone); it says what it said before."""
    server = await asyncio.wait_for(session.dialog.incoming.get(), 5)
    server.respond(200, "OK", [("Contact", session.agent.contact)], offer_of(session, 1, "active"), "application/sdp")
    await server.wait_ack()


@scenario(transports=("tls",))
async def sharing_needs_the_announced_certificate(world):
    """msrps: a connection is shared where it has shown the certificate that this session's a=fingerprint names; a
    session that announces another one gets its own, which is refused as it must be, and the first goes on."""
    alice, bob = [await world.client(name, certificate=authority().lone("phone-" + name))
                  for name in ("alice", "bob")]
    sessions = await many(alice, bob, 6)
    check(len(bob.msrp.connections) <= world.workers, "%d connections" % len(bob.msrp.connections))
    for _ in range(world.workers + 1):
        outgoing = alice.invite(bob)
        invitation = await bob.expect_invite()
        invitation.leg.local.fingerprint = authority().lone("nobody").fingerprint()
        accepting = asyncio.ensure_future(invitation.accept(bind=False))
        await outgoing.established(bind=False)
        await accepting
        check((await invitation.wait_bye()).get("Reason"), "BYE without Reason")
        await outgoing.wait_bye()
        check(not invitation.leg.bound.is_set(), "bound all the same")
    await talk(sessions)
    await end(sessions)
