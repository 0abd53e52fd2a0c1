"""An INVITE without a description (RFC 3261 13.2.1): the server offers to both sides, and A's answer comes with
the ACK."""
import asyncio

from ua import check, same, sdp
from world import scenario


def acknowledge(outgoing, body=b"", content_type="application/sdp"):
    """The ACK of A's INVITE, with his answer."""
    ack = outgoing.dialog.build("ACK", body=body, content_type=content_type)
    ack.put("CSeq", "%d ACK" % outgoing.transaction.request.cseq[0])
    outgoing.transaction.ack = ack.encode()
    outgoing.agent.endpoint.send(ack, outgoing.dialog.flow)


async def offered(alice, bob, b_accept="text/plain message/cpim", b_setup="passive", **more):
    """A's INVITE without a description, answered by B; A has not acknowledged yet."""
    outgoing = alice.invite(bob, offer=b"", **more)
    outgoing.auto_ack = False
    invitation = await bob.expect_invite()
    check(invitation.offer is not None, "B's INVITE has no offer")
    same(invitation.offer.setup, "actpass", "a=setup of the offer to B")
    accepting = asyncio.ensure_future(invitation.accept(setup=b_setup, accept=b_accept))
    same((await outgoing.transaction.final()).status, 200, "INVITE without a description")
    await accepting
    outgoing.answer = outgoing.remote_description(outgoing.response.body, "200 to INVITE")
    return outgoing, invitation


@scenario()
async def offerless_invite(world):
    """B gets an offer of ours, A gets B's answer as an offer; both connect as they said."""
    alice, bob = await world.pair()
    for a_setup, b_setup in (("active", "passive"), ("passive", "active")):
        outgoing, invitation = await offered(alice, bob, "text/plain", b_setup)
        same(outgoing.answer.accept_types, ["text/plain"], "accept-types offered to A")
        same(outgoing.answer.setup, "actpass", "a=setup of the offer to A")
        acknowledge(outgoing, sdp.build(outgoing.leg.local, a_setup, None, "text/plain"))
        outgoing.active = a_setup == "active"
        await outgoing.bind()
        await outgoing.send("to B")
        same(bytes((await invitation.receive()).body), b"to B", "text at B")
        await invitation.send("to A")
        same(bytes((await outgoing.receive()).body), b"to A", "text at A")
        await outgoing.hang_up()
        await invitation.wait_bye()


@scenario()
async def no_answer_in_the_ack(world):
    """An ACK without an answer, or with none that can be used: both get BYE with Reason."""
    alice, bob = await world.pair()
    bad = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 0 TCP/MSRP *\r\n"
    for body in (b"", bad, b"nonsense"):
        outgoing, invitation = await offered(alice, bob)
        acknowledge(outgoing, body)
        for bye in await asyncio.gather(outgoing.wait_bye(4), invitation.wait_bye(4)):
            check("answer" in (bye.get("Reason") or ""), "Reason %r" % bye.get("Reason"))


@scenario(once=True)
async def offerless_and_reliable(world):
    """The first reliable response would have to carry the offer (RFC 3262 5), which is not there yet: none is
    sent, and the call comes about."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, offer=b"", headers=[("Require", "100rel")])
    outgoing.auto_ack = False
    invitation = await bob.expect_invite()
    invitation.ring()
    accepting = asyncio.ensure_future(invitation.accept())
    same((await outgoing.transaction.final()).status, 200, "INVITE")
    await accepting
    same([m.status for m in outgoing.transaction.provisionals if m.status > 100], [], "provisional responses")
    outgoing.remote_description(outgoing.response.body, "200 to INVITE")
    acknowledge(outgoing, sdp.build(outgoing.leg.local, "active"))
    outgoing.active = True
    await outgoing.bind()
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario(own={"policy.content_types": '["text/plain", "image/*"]'}, once=True)
async def offerless_by_policy(world):
    """What we offer of our own is what the policy permits."""
    alice, bob = await world.pair()
    outgoing, invitation = await offered(alice, bob, "text/plain")
    for wanted in ("text/plain", "image/*"):
        check(wanted in invitation.request.body.decode(), "%s is not offered" % wanted)
    check("a=accept-types:*" not in invitation.request.body.decode(), "all types are offered")
    acknowledge(outgoing, sdp.build(outgoing.leg.local, "active"))
    await invitation.hang_up()
    await outgoing.wait_bye()
