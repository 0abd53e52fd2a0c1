"""One participant's side of a conference, as an invitee or the inviter has it: what no flow of chapter 7 shows of
forks, reliable ringing, late and broken answers, session timers and changes of the description."""
import asyncio

from changes import acknowledge_with_answer
from forking import phones
from reliable import early_of, expect_prack, prack, ring_reliably
from ua import REQ, check, same, sdp
from ua.agent import Dialog
from world import scenario

TYPES = "text/plain message/cpim image/png"


def convene(alice, *others, **more):
    """INVITE to the factory with a list; `.established()` of what it returns completes alice's session."""
    return alice.invite_list(others, accept=TYPES, **more)


async def joined(outgoing, invitation):
    accepting = asyncio.ensure_future(invitation.accept(accept=TYPES))
    await outgoing.established()
    await accepting


async def talk(by, *others):
    await by.send("to all")
    for other in others:
        same(bytes((await other.receive()).body), b"to all", "text")


async def over(outgoing, *invitations):
    """The originator leaves, and with him all."""
    await outgoing.hang_up()
    for invitation in invitations:
        await invitation.wait_bye()


@scenario()
async def invitee_answers_a_cancel_with_200(world):
    """A takes the INVITE back; the invitee's 200 crosses the CANCEL: ACK and BYE. BYE in A's early dialog does the
    same as CANCEL (RFC 3261 15)."""
    alice, bob = await world.pair()
    for by_bye in (False, True):
        outgoing = convene(alice, bob)
        invitation = await bob.expect_invite()
        invitation.server.auto_cancel = False
        invitation.ring()
        ringing = await outgoing.transaction.provisional(180)
        check("isfocus" in ringing.get("Contact"), "Contact of 180: %s" % ringing.get("Contact"))
        if by_bye:
            same((await early_of(outgoing, ringing).request("BYE").final()).status, 200, "BYE")
        else:
            same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
        same((await outgoing.transaction.final()).status, 487, "INVITE")
        await invitation.server.wait_cancel()
        REQ("IM-7.2.2.4-1")
        await invitation.accept(bind=False)
        await invitation.wait_bye()


@scenario(modes=("standalone",))
async def two_contacts_of_an_invitee(world):
    """All contacts of an invitee ring; the first answer joins, the second, which crosses the CANCEL, gets ACK and
    BYE, and the conference goes on."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "1")
    outgoing = convene(alice, phone)
    a, b = await phone.expect_invite(), await desk.expect_invite()
    for name in ("Call-ID", "From", "CSeq", "Contact"):
        same(a.request.get(name), b.request.get(name), name)
    check(a.offer.path != b.offer.path, "one path for two")
    a.ring(), b.ring()
    b.server.auto_cancel = False
    await joined(outgoing, a)
    await b.server.wait_cancel()
    await b.accept(bind=False)
    await b.wait_bye()
    await talk(outgoing, a)
    await over(outgoing, a)


@scenario(modes=("standalone",))
async def invitee_at_his_next_contact(world):
    """A contact that is busy is followed by that of the next q; when none is left the best refusal is A's."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "0.5")
    outgoing = convene(alice, phone)
    (await phone.expect_invite()).refuse(486)
    invitation = await desk.expect_invite()
    await joined(outgoing, invitation)
    await talk(invitation, outgoing)
    await over(outgoing, invitation)
    outgoing = convene(alice, phone)
    (await phone.expect_invite()).refuse(415)
    (await desk.expect_invite()).refuse(480)
    same((await outgoing.transaction.final()).status, 415, "INVITE that nobody takes")


@scenario()
async def invitee_rings_reliably(world):
    """183 and 180 with Require: 100rel get PRACK in their early dialog (D1-34); a description in one is the answer."""
    alice, bob = await world.pair()
    outgoing = convene(alice, bob)
    invitation = await bob.expect_invite()
    check("100rel" in invitation.request.list("Supported"), "Supported %r" % invitation.request.all("Supported"))
    early = ring_reliably(invitation, 7, 183, body=sdp.build(invitation.leg.local, "passive", None, TYPES))
    await expect_prack(early, 7, invitation)
    REQ("IM-7.2.2.1-5", "IM-7.2.2.2-7")
    ring_reliably(invitation, 8)
    await expect_prack(early, 8, invitation)
    await outgoing.transaction.provisional(180)
    same((await early.request("UPDATE").final()).status, 200, "UPDATE without an offer")
    response = invitation.server.respond(200, "OK", [("Contact", bob.contact), ("Allow", "INVITE, ACK, BYE")])
    cseqs = early.cseq, early.remote_cseq
    invitation.dialog = Dialog(bob, invitation.server.flow, invitation.request, response, False)
    invitation.dialog.cseq, invitation.dialog.remote_cseq = cseqs
    await outgoing.established(bind=False)
    await invitation.server.wait_ack()
    await asyncio.gather(outgoing.bind(), invitation.bind())
    await talk(outgoing, invitation)
    await over(outgoing, invitation)


@scenario()
async def inviter_requires_reliability(world):
    """Require: 100rel of A: his 180 has RSeq and is his once, his PRACK gets 200, then comes the 200."""
    alice, bob, carol = *await world.pair(), await world.client("carol")
    outgoing = convene(alice, bob, carol, headers=[("Require", "100rel")])
    b, c = await bob.expect_invite(), await carol.expect_invite()
    b.ring()
    ringing = await outgoing.transaction.provisional(180)
    same(ringing.list("Require"), ["100rel"], "Require of 180")
    c.ring()
    early = early_of(outgoing, ringing)
    same((await prack(early, ringing).final()).status, 200, "PRACK")
    await joined(outgoing, b)
    same({r.get("RSeq") for r in outgoing.transaction.provisionals if r.status == 180}, {ringing.get("RSeq")},
         "180s of two who ring")
    outgoing.dialog.cseq = early.cseq
    await c.accept(accept=TYPES)
    await talk(outgoing, b, c)
    await over(outgoing, b, c)


@scenario()
async def invitee_answers_nonsense(world):
    """A 200 that is no answer to our offer gets ACK and BYE; to A it is a refusal, 488; without Contact 480. With
    another invitee the conference goes on without him."""
    alice, bob, carol = *await world.pair(), await world.client("carol")
    broken = (lambda body: body.replace(b"m=message", b"m=audio"), lambda body: b"nonsense",
              lambda body: body.replace(b"a=path:msrp", b"a=path:xmpp"))
    for edit in broken:
        outgoing = convene(alice, bob)
        invitation = await bob.expect_invite()
        await invitation.accept(bind=False, edit=edit)
        await invitation.wait_bye()
        same((await outgoing.transaction.final()).status, 488, "INVITE")
    outgoing = convene(alice, bob, carol)
    b, c = await bob.expect_invite(), await carol.expect_invite()
    await b.accept(bind=False, edit=broken[0])
    await b.wait_bye()
    await joined(outgoing, c)
    await talk(outgoing, c)
    await over(outgoing, c)


@scenario()
async def session_timers_of_participants(world):
    """Each dialog of a conference has its own session timer: A's Session-Expires under our minimum gets 422, his 200
    says refresher=uac, an invitee refreshes (refresher=uas), and the 422 of one is answered by a longer INVITE."""
    alice, bob = await world.pair()
    short = convene(alice, bob, timer="60;refresher=uac")
    refused = await short.transaction.final()
    same((refused.status, refused.get("Min-SE")), (422, "90"), "INVITE with 60 s")
    outgoing = convene(alice, bob)
    first = await bob.expect_invite()
    check(first.request.get("Session-Expires").endswith(";refresher=uas"), first.request.get("Session-Expires"))
    check("timer" in first.request.list("Supported"), "Supported %r" % first.request.all("Supported"))
    REQ("IM-7.2.2.1-11", "IM-7.2.2.1-12")
    first.refuse(422, [("Min-SE", "7200")])
    second = await bob.expect_invite()
    same(second.request.call_id, first.request.call_id, "Call-ID of the second INVITE")
    same(second.request.cseq[0], first.request.cseq[0] + 1, "CSeq of the second INVITE")
    same((second.request.get("Session-Expires"), second.request.get("Min-SE")), ("7200;refresher=uas", "7200"),
         "session timer of the second INVITE")
    await joined(outgoing, second)
    same(outgoing.response.get("Session-Expires"), "1800;refresher=uac", "Session-Expires of A's 200")
    check("timer" in outgoing.response.list("Require"), "Require of A's 200")
    for session in (outgoing, second):
        update = session.dialog.request("UPDATE", headers=[("Supported", "timer"),
                                                           ("Session-Expires", "1800;refresher=uac")])
        refreshed = await update.final()
        same((refreshed.status, refreshed.get("Session-Expires")), (200, "1800;refresher=uac"), "UPDATE")
    REQ("IM-7.2.1.12-1")
    await talk(second, outgoing)
    await over(outgoing, second)


def describe(session, version, accept, direction=None):
    return sdp.build(session.leg.local, "actpass", direction, accept, version=version)


async def change(session, version, accept, method="INVITE", direction=None):
    """A new description of a participant; the answer."""
    asking = session.dialog.request(method, body=describe(session, version, accept, direction),
                                    content_type="application/sdp", headers=[("Supported", "timer")])
    response = await asking.final()
    if method == "INVITE" and response.status == 200:
        session.dialog.ack(asking)
    return response


@scenario()
async def change_of_accept_types(world):
    """F34: other accept-types by re-INVITE or UPDATE are answered by those of them that are used in the conference, the
    path stays; with none in common 488 with Warning 305, and all is as before."""
    alice, bob = await world.pair()
    outgoing = convene(alice, bob)
    invitation = await bob.expect_invite()
    await joined(outgoing, invitation)
    for session, method in ((outgoing, "INVITE"), (invitation, "UPDATE")):
        answer = await change(session, 2, "image/gif text/plain", method)
        same(answer.status, 200, method)
        said = sdp.Description(answer.body)
        same((said.problems, said.accept_types, said.path), ([], ["text/plain"], session.leg.remote), "answer")
        refused = await change(session, 3, "image/gif", method)
        same(refused.status, 488, "%s with nothing in common" % method)
        check(refused.get("Warning").startswith("305 "), "Warning %s" % refused.get("Warning"))
        REQ("IM-7.2.1.6-1", "IM-7.2.1.6-3", "IM-7.2.1.6-4", "IM-7.2.1.6-5")
        back = await change(session, 4, TYPES, method)
        same(set(sdp.Description(back.body).accept_types), set(TYPES.split()), "accept-types of the answer")
    await talk(outgoing, invitation)
    await talk(invitation, outgoing)
    await over(outgoing, invitation)


@scenario()
async def participant_who_asks_without_an_offer(world):
    """A re-INVITE without a description gets ours in its 200, and his answer comes with the ACK (RFC 3261 14.2)."""
    alice, bob = await world.pair()
    outgoing = convene(alice, bob)
    invitation = await bob.expect_invite()
    await joined(outgoing, invitation)
    asking = outgoing.dialog.request("INVITE")
    response = await asking.final()
    same(response.status, 200, "re-INVITE")
    same(sdp.Description(response.body).path, outgoing.leg.remote, "path of our offer")
    acknowledge_with_answer(outgoing, asking, sdp.build(outgoing.leg.local, "active", None, TYPES, version=2))
    await talk(outgoing, invitation)
    await over(outgoing, invitation)
