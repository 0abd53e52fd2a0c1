"""Reliable provisional responses (RFC 3262), on each leg by itself (D1-34): to A only where it requires them,
from B whenever it sends them."""
import asyncio
import time

from ua import check, same, sdp
from ua.agent import Dialog
from world import scenario


def early_of(outgoing, response):
    """A's early dialog."""
    return Dialog(outgoing.agent, outgoing.transaction.flow, outgoing.transaction.request, response, True)


def ring_reliably(invitation, rseq, status=180, tag=None, body=b""):
    """A reliable provisional response of B; the early dialog that its PRACK comes in."""
    own, invitation.server.tag = invitation.server.tag, tag or invitation.server.tag
    response = invitation.server.respond(
        status, None, [("Contact", invitation.agent.contact), ("Require", "100rel"), ("RSeq", str(rseq))],
        body, "application/sdp" if body else None)
    invitation.server.tag = own
    dialog = invitation.agent.dialogs.get((invitation.request.call_id, response.to_tag))
    return dialog or Dialog(invitation.agent, invitation.server.flow, invitation.request, response, False)


async def expect_prack(dialog, rseq, invitation):
    server = await asyncio.wait_for(dialog.incoming.get(), 4)
    same(server.request.method, "PRACK", "request in the early dialog")
    same(server.request.get("RAck"), "%d %d INVITE" % (rseq, invitation.request.cseq[0]), "RAck")
    server.respond(200, "OK")
    return server


def prack(early, response, rseq=None, cseq=None):
    return early.request("PRACK", headers=[("RAck", "%s %s INVITE" % (
        rseq or response.get("RSeq"), cseq or response.cseq[0]))])


async def next_reliable(outgoing, before):
    """The provisional response with the next RSeq."""
    rseq = str(int(before.get("RSeq")) + 1)
    while True:
        for response in outgoing.transaction.provisionals:
            if response.get("RSeq") == rseq:
                return response
        await outgoing.transaction.response()


@scenario()
async def a_requires_reliability(world):
    """180 and 183 to A with RSeq, one at a time and in order; PRACK gets 200, another one 481; B, who was not
    asked, sends unreliable ones."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("Require", "100rel")])
    invitation = await bob.expect_invite()
    check("100rel" not in invitation.request.list("Require"), "A's Require reaches B")
    invitation.ring()
    ringing = await outgoing.transaction.provisional(180)
    same(ringing.list("Require"), ["100rel"], "Require of 180")
    check(0 < int(ringing.get("RSeq")) < 1 << 31, "RSeq %r" % ringing.get("RSeq"))
    early = early_of(outgoing, ringing)
    invitation.ring(181)
    invitation.ring(183)
    await asyncio.sleep(0.2)
    check({m.status for m in outgoing.transaction.provisionals} <= {100, 180}, "the next before the PRACK")
    for wrong in ({"rseq": int(ringing.get("RSeq")) + 1}, {"cseq": 77}):
        same((await prack(early, ringing, **wrong).final()).status, 481, "PRACK of %s" % wrong)
    same((await early.request("PRACK").final()).status, 400, "PRACK without RAck")
    same((await prack(early, ringing).final()).status, 200, "PRACK")
    same((await prack(early, ringing).final()).status, 481, "PRACK once more")
    progress = await next_reliable(outgoing, ringing)
    # datagrams reach the workers in any order: the newest is the one that came last
    check(progress.status == 183 or (progress.status == 181 and world.transport == "udp"),
          "%d after the PRACK" % progress.status)
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    outgoing.dialog.cseq = early.cseq
    same((await prack(outgoing.dialog, progress).final()).status, 200, "PRACK behind the 2xx")
    await outgoing.send("text")
    await invitation.receive()
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario()
async def a_only_supports_reliability(world):
    """Supported: 100rel is no wish (D1-34): the 180 is as ever. An unknown option is 420 whatever else is
    required."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("Supported", "timer, 100rel")])
    invitation = await bob.expect_invite()
    invitation.ring()
    ringing = await outgoing.transaction.provisional(180)
    same((ringing.get("RSeq"), ringing.get("Require")), (None, None), "180 to who did not ask")
    invitation.refuse(486)
    same((await outgoing.transaction.final()).status, 486, "INVITE")
    for name in ("Require", "Proxy-Require"):
        outgoing = alice.invite(bob, headers=[(name, "100rel, tomorrow")])
        final = await outgoing.transaction.final()
        same((final.status, final.list("Unsupported")), (420, ["tomorrow"]), name)


@scenario(tuned=True, transports=("udp",))
async def nobody_sends_prack(world):
    """The 180 is repeated in doubling intervals; after 64 x t1 (6.4 s) A gets 504 and B is cancelled."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("Require", "100rel")])
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    started = time.monotonic()
    final = await outgoing.transaction.final(12)
    same(final.status, 504, "INVITE")
    check(5.5 < time.monotonic() - started < 9, "after %.1f s" % (time.monotonic() - started))
    copies = [m for m in outgoing.transaction.provisionals if m.status == 180]
    check(5 <= len(copies) <= 8, "%d copies of the 180" % len(copies))
    same(len({m.get("RSeq") for m in copies}), 1, "RSeqs")
    await invitation.server.wait_cancel()


@scenario()
async def refused_after_a_reliable_ringing(world):
    """A final failure and A's CANCEL do not wait for the PRACK, and end the repetitions."""
    alice, bob = await world.pair()
    for cancels in (False, True):
        outgoing = alice.invite(bob, headers=[("Require", "100rel")])
        invitation = await bob.expect_invite()
        invitation.ring()
        await outgoing.transaction.provisional(180)
        if cancels:
            same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
            await invitation.server.wait_cancel()
        else:
            invitation.refuse(486)
        same((await outgoing.transaction.final()).status, 487 if cancels else 486, "INVITE")


@scenario()
async def b_sends_reliably(world):
    """B's reliable responses get PRACK in their early dialog, each once and in order; a description in one is
    the answer, and A has it in the 200."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    check("100rel" in invitation.request.list("Supported"), "Supported %r" % invitation.request.all("Supported"))
    check("PRACK" in invitation.request.list("Allow"), "Allow %r" % invitation.request.all("Allow"))
    early = ring_reliably(invitation, 900, 183,
                          body=sdp.build(invitation.leg.local, "passive", None, "text/plain message/cpim *"))
    first = await expect_prack(early, 900, invitation)
    progress = await outgoing.transaction.provisional(183)
    same((progress.get("RSeq"), progress.get("Require")), (None, None), "183 to A")
    ring_reliably(invitation, 902, 182)  # one is missing before it
    ring_reliably(invitation, 900, 183)
    ring_reliably(invitation, 901, 180)
    second = await expect_prack(early, 901, invitation)
    check(second.request.cseq[0] > first.request.cseq[0], "CSeq of the second PRACK")
    ring_reliably(invitation, 902, 182)
    await expect_prack(early, 902, invitation)
    await outgoing.transaction.provisional(182)
    update = early.request("UPDATE", body=invitation.request.body, content_type="application/sdp")
    same((await update.final()).status, 491, "UPDATE with an offer before the end")
    same((await early.request("UPDATE").final()).status, 200, "UPDATE without an offer")
    same((await early.request("BYE").final()).status, 481, "BYE of who is called in an early dialog")
    response = invitation.server.respond(200, "OK", [("Contact", bob.contact), ("Allow", "INVITE, ACK, BYE")])
    cseqs = early.cseq, early.remote_cseq
    invitation.dialog = Dialog(bob, invitation.server.flow, invitation.request, response, False)
    invitation.dialog.cseq, invitation.dialog.remote_cseq = cseqs
    await outgoing.established(bind=False)
    await invitation.server.wait_ack()
    await asyncio.gather(outgoing.bind(), invitation.bind())
    await outgoing.send("text")
    same(bytes((await invitation.receive()).body), b"text", "text")
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario()
async def early_dialogs_of_several(world):
    """A proxy behind B's address forks: each reliable response gets PRACK in its own early dialog, with its own
    count, and the 2xx of one of them is the session."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    left = ring_reliably(invitation, 10, tag="left")
    right = ring_reliably(invitation, 7000, 183, tag="right")
    await expect_prack(left, 10, invitation)
    await expect_prack(right, 7000, invitation)
    ring_reliably(invitation, 11, 182, tag="left")
    await expect_prack(left, 11, invitation)
    invitation.server.tag = "right"
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    await invitation.send("from the right one")
    await outgoing.receive()
    invitation.dialog.remote_cseq = right.remote_cseq
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario(once=True)
async def too_many_early_dialogs(world):
    """The seventeenth early dialog is not acknowledged; the sixteen before are, and the call goes on."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    for i in range(16):
        await expect_prack(ring_reliably(invitation, 5, tag="fork%d" % i), 5, invitation)
    last = ring_reliably(invitation, 5, tag="fork16")
    invitation.ring(183)
    await outgoing.transaction.provisional(183)
    await asyncio.sleep(0.1)
    check(last.incoming.empty(), "PRACK in the seventeenth")
    refused = (await world.server.metrics()).values['imserv_refused_total{reason="early_dialog"}']
    check(refused >= 1, "%s refusals counted" % refused)
    invitation.refuse(486)
    same((await outgoing.transaction.final()).status, 486, "INVITE")
