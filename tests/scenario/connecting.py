"""Who connects to whom (RFC 4975 5.4 and 8, RFC 6135, RFC 4145, RFC 6714; design 5, set-up)."""
import asyncio
import re

from ua import check, msrp, same, sdp
from ua.agent import establish
from world import scenario

ANSWER = {None: "passive", "actpass": "passive", "active": "passive", "passive": "active"}
CEMA = "a=msrp-cema"


async def talk(sa, sb):
    await asyncio.gather(sa.send("to B"), sb.send("to A"))
    same(bytes((await sb.receive()).body), b"to B", "text at B")
    same(bytes((await sa.receive()).body), b"to A", "text at A")


async def end(sa, sb):
    await sa.hang_up()
    await sb.wait_bye()


def connections(session):
    return list(session.agent.msrp.connections)


class Anchor:
    """A middlebox that passes the octets of TCP connections on to one address, and nothing else."""

    def __init__(self, world):
        self.target, self.connected = None, 0
        world.agents.append(self)     # closed with them

    async def open(self, target):
        self.target = target
        self.server = await asyncio.start_server(self.pass_on, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def pass_on(self, reader, writer):
        self.connected += 1
        far_reader, far_writer = await asyncio.open_connection(*self.target)

        async def copy(source, sink):
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except ConnectionError:
                pass
            sink.close()
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    def close(self):
        self.server.close()


def anchored(anchor, path=False):
    """The middlebox puts itself into c= and m=, and one that knows no better into the path too."""
    host, port = anchor.address

    def edit(body):
        text = re.sub(r"(?m)^(m=message) \d+", r"\1 %d" % port, body.decode())
        text = re.sub(r"(?m)^(c=IN IP4) \S+", r"\1 " + host, text)
        if path:
            text = re.sub(r"(?m)^(a=path:msrp://)[^/]+", r"\g<1>%s:%d" % (host, port), text)
        return text.encode()
    return edit


# --- a=setup ---

@scenario(seconds=30)
async def setup_matrix(world):
    """Each a=setup of the offerer with each of the answerer: who must connect does, nobody else, and text goes both
    ways. Without one in the answer the offerer connects (RFC 4975 5.4)."""
    alice, bob = await world.pair()
    for a_setup in (None, "actpass", "active", "passive"):
        for b_setup in (None, "passive", "active"):
            sa, sb = await establish(alice, bob, a_setup, b_setup, ring=False)
            what = "offer %s, answer %s" % (a_setup, b_setup)
            same(sb.offer.setup, "actpass", "our offer")
            same(sa.answer.setup, ANSWER[a_setup], "our answer: " + what)
            for session, is_active in ((sa, a_setup != "passive"), (sb, b_setup == "active")):
                peer = session.leg.connection.transport.get_extra_info("peername")[:2]
                same(peer == world.msrp_address, is_active, "who connected: " + what)
                same(len(connections(session)), 1, "connections: " + what)
            await talk(sa, sb)
            await end(sa, sb)


@scenario()
async def first_chunk_is_empty(world):
    """As the active side the server says at once who it is: a SEND without body along the agreed path (RFC 4975
    5.4), which wants an answer."""
    for by in ("offerer", "answerer"):
        alice, bob = await world.pair()
        first = []
        outgoing = alice.invite(bob, setup="passive" if by == "offerer" else "active")
        invitation = await bob.expect_invite()
        called = outgoing if by == "offerer" else invitation

        def answer(chunk, respond):
            first.append(chunk)
            respond(200)
        called.leg.answer = answer
        accepting = asyncio.ensure_future(invitation.accept(setup="active" if by == "offerer" else "passive"))
        await outgoing.established()
        await accepting
        chunk = first[0]
        same((chunk.method, chunk.has_body, chunk.flag, chunk.get("Failure-Report")), ("SEND", False, "$", None),
             "first chunk")
        same(chunk.get("To-Path"), str(called.leg.local), "To-Path")
        await talk(outgoing, invitation)
        await end(outgoing, invitation)


@scenario()
async def holdconn(world):
    """a=setup:holdconn of either side is answered with itself, or taken as an answer: nobody connects. What the
    offerer says later counts (RFC 4145 4.1)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, setup="holdconn")
    invitation = await bob.expect_invite()
    same(invitation.offer.setup, "actpass", "our offer")
    accepting = asyncio.ensure_future(invitation.accept(setup="holdconn", bind=False))
    await outgoing.established(bind=False)
    await accepting
    same(outgoing.answer.setup, "holdconn", "our answer")
    await asyncio.sleep(0.1)
    same((len(alice.msrp.connections), len(bob.msrp.connections)), (0, 0), "connections while held")
    for session, setup, wanted in ((outgoing, "actpass", "passive"), (invitation, "passive", "active")):
        again = session.dialog.request("INVITE", body=sdp.build(session.leg.local, setup, version=2,
                                                                accept="text/plain message/cpim *"),
                                       content_type="application/sdp")
        response = await again.final()
        same(response.status, 200, "re-INVITE")
        session.dialog.ack(again)
        same(sdp.Description(response.body).setup, wanted, "answer to " + setup)
        session.active = wanted == "passive"
        await session.bind()
    await talk(outgoing, invitation)
    await end(outgoing, invitation)


@scenario(tuned=True)
async def held_for_ever(world):
    """A connection that is held longer than limits.unbound ends the session, with a Reason for both."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, setup="holdconn")
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established(bind=False)
    await accepting               # its own connection is there
    for session in (outgoing, invitation):
        check((await session.wait_bye()).get("Reason"), "BYE without Reason")


# --- CEMA ---

@scenario()
async def cema_is_said(world):
    """Our offers have a=msrp-cema, our answers where the offer has it; c= and m= are those of our path. It is a
    word of the one connection: that B says it is nothing to A."""
    alice, bob = await world.pair()
    for a_says, b_says in (((), ()), ((CEMA,), ()), ((), (CEMA,)), ((CEMA,), (CEMA,))):
        outgoing = alice.invite(bob, extra=a_says)
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept(extra=b_says))
        await outgoing.established()
        await accepting
        for description, said in ((invitation.offer, 1), (outgoing.answer, len(a_says))):
            lines = [value for kind, value in description.media[0][1] if kind == "a"]
            same(lines.count("msrp-cema"), said, "a=msrp-cema, A says %s, B says %s" % (a_says, b_says))
            uri = msrp.Uri(description.path[0])
            same((dict(description.session)["c"].split()[2], description.port), (uri.host, uri.port), "c= and m=")
        await talk(outgoing, invitation)
        await end(outgoing, invitation)


@scenario()
async def cema_connects_to_the_media_line(world):
    """B's answer comes through a middlebox that is in c= and m= but not in the path: with a=msrp-cema the server
    connects there and speaks to the path; without it, to the path's address (RFC 4975 8.1)."""
    alice, bob = await world.pair()
    for extra in ((CEMA,), ()):
        anchor = await Anchor(world).open((bob.msrp.host, bob.msrp.port))
        for setup in ("passive", None):
            before = anchor.connected
            outgoing = alice.invite(bob)
            invitation = await bob.expect_invite()
            accepting = asyncio.ensure_future(invitation.accept(setup=setup, extra=extra, edit=anchored(anchor)))
            await outgoing.established()
            await accepting
            same(anchor.connected - before, len(extra), "connections to the middlebox, %s" % (extra,))
            await talk(outgoing, invitation)
            await end(outgoing, invitation)


@scenario()
async def cema_offer_with_passive(world):
    """The same for an offer: A is passive behind a middlebox."""
    alice, bob = await world.pair()
    anchor = await Anchor(world).open((alice.msrp.host, alice.msrp.port))
    sa, sb = await world.session(alice, bob, a_setup="passive", extra=(CEMA,), edit=anchored(anchor))
    same(anchor.connected, 1, "connections to the middlebox")
    await talk(sa, sb)
    await end(sa, sb)


@scenario()
async def another_host_in_the_path(world):
    """A middlebox has put its own host into A's path, which A does not know: with a=msrp-cema the session-id says who
    A is, its own path is used from then on, and a refresh changes nothing; without it, or with another session-id,
    A is a stranger: 481."""
    alice, bob = await world.pair()
    anchor = await Anchor(world).open(world.msrp_address)
    for extra, wrong, code in (((CEMA,), False, 200), ((), False, 481), ((CEMA,), True, 481)):
        outgoing = alice.invite(bob, extra=extra, edit=anchored(anchor, path=True))
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept(bind=False))
        await outgoing.established(bind=False)
        await accepting
        leg = outgoing.leg
        leg.connection = await alice.msrp.connect(leg.remote[0])
        leg.connection.sessions.add(leg)
        local = leg.local
        if wrong:
            leg.local = local.with_id("somebodyelse")
        same((await leg.empty())[0], code, "binding SEND %s" % (extra,))
        leg.local = local
        if code == 200:
            await invitation.bind()
            await talk(outgoing, invitation)
            body = anchored(anchor, path=True)(sdp.build(local, "actpass", version=2, extra=extra,
                                                         accept="text/plain message/cpim *"))
            again = outgoing.dialog.request("INVITE", body=body, content_type="application/sdp")
            same((await again.final()).status, 200, "refresh")
            outgoing.dialog.ack(again)
            await talk(outgoing, invitation)
        await end(outgoing, invitation)
