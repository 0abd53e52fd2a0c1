"""How dialogs end when something comes at an awkward moment: BYE only where a dialog was made, and never
before the ACK of our 2xx (RFC 3261 15)."""
import asyncio

from ua import check, same
from ua.agent import Dialog
from world import scenario


def byes(agent):
    return [m for m in agent.log if m.method == "BYE"]


@scenario()
async def no_bye_after_a_refusal(world):
    """A was refused, so A has no dialog: only B, whose 200 had to be acknowledged, gets BYE."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    invitation.server.auto_cancel = False
    cancel = outgoing.transaction.cancel()
    same((await cancel.final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    await invitation.server.wait_cancel()
    await invitation.accept(bind=False)
    await invitation.wait_bye()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    response = invitation.server.respond(200, "OK", [("Contact", bob.contact)],
                                         b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
                                         "application/sdp")
    invitation.dialog = Dialog(bob, invitation.server.flow, invitation.request, response, False)
    same((await outgoing.transaction.final()).status, 480, "INVITE answered without a message stream")
    await invitation.server.wait_ack()
    await invitation.wait_bye()
    await asyncio.sleep(0.1)
    check(not byes(alice), "A got BYE without a dialog")


@scenario()
async def bye_waits_for_ack(world):
    """B hangs up before A's ACK has come: A's BYE goes out when it comes, with B's Reason."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    outgoing.auto_ack = False
    invitation = await bob.expect_invite()
    await invitation.accept(bind=False)
    same((await outgoing.transaction.final()).status, 200, "INVITE")
    await invitation.dialog.hang_up(headers=[("Reason", 'SIP;cause=200;text="gone"')])
    await asyncio.sleep(0.2)
    check(not byes(alice), "BYE before the ACK")
    outgoing.dialog.ack(outgoing.transaction)
    bye = await outgoing.wait_bye()
    same(bye.get("Reason"), 'SIP;cause=200;text="gone"', "Reason of the BYE")


@scenario()
async def bye_in_the_early_dialog(world):
    """A ends his early dialog by BYE (RFC 3261 15): 200 to it, 487 to the INVITE, B is cancelled. An
    UPDATE in it is told to come later, not that there is no dialog."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    ringing = await outgoing.transaction.provisional(180)
    early = Dialog(alice, outgoing.transaction.flow, outgoing.transaction.request, ringing, True)
    update = await early.request("UPDATE").final()
    same((update.status, bool(update.get("Retry-After"))), (500, True), "UPDATE before the answer")
    same((await early.request("BYE").final()).status, 200, "BYE in the early dialog")
    same((await outgoing.transaction.final()).status, 487, "INVITE ended by BYE")
    await invitation.server.wait_cancel()
