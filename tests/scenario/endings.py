"""How dialogs end when something comes at an awkward moment: BYE only where a dialog was made, and never
before the ACK of our 2xx (RFC 3261 15)."""
import asyncio
import time

from ua import check, same, sdp
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


@scenario()
async def invite_expires(world):
    """An INVITE with Expires that B does not answer in time: 487, and B is cancelled (D1-18)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("Expires", "1")])
    invitation = await bob.expect_invite()
    invitation.ring()
    started = time.monotonic()
    same((await outgoing.transaction.final(3)).status, 487, "INVITE that expired")
    check(0.7 < time.monotonic() - started < 2, "not when it expired")
    await invitation.server.wait_cancel()


@scenario(transports=("tcp",), once=True)
async def names_too_long(world):
    """A Call-ID, From or To that no request of ours could repeat: 513, and nothing is begun (RFC 3261 21.5.7)."""
    alice, bob = await world.pair()
    for name, value in (("Call-ID", "x" * 2000), ("From", '"%s" <%s>;tag=1' % ("x" * 2000, alice.uri)),
                        ("To", '"%s" <%s>' % ("x" * 2000, bob.uri))):
        outgoing = alice.invite(bob, headers=[(name, value)])
        same((await outgoing.transaction.final()).status, 513, "INVITE with a long " + name)
    await bob.quiet(0.05)


@scenario()
async def answer_without_contact(world):
    """B's 2xx lacks the Contact that a dialog needs: it is acknowledged and ended where the INVITE went, and A
    gets 480."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    response = invitation.server.respond(200, "OK", [], sdp.build(invitation.leg.local, "passive"), "application/sdp")
    invitation.dialog = Dialog(bob, invitation.server.flow, invitation.request, response, False)
    same((await outgoing.transaction.final()).status, 480, "INVITE")
    await invitation.server.wait_ack()
    await invitation.wait_bye()


@scenario()
async def second_answer_is_ended(world):
    """A fork's 2xx after the first one is acknowledged and ended by BYE (RFC 3261 13.2.2.4); the session
    with the first stays. B's own 2xx again is only acknowledged again."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    first = invitation.server.last
    fork = first.copy()
    fork.put("To", fork.get("To").replace(invitation.server.tag, "another"))
    dialog = Dialog(bob, invitation.server.flow, invitation.request, fork, False)
    invitation.server.layer.endpoint.send(fork, invitation.server.flow)
    await dialog.wait_bye()
    invitation.server.layer.endpoint.send(first, invitation.server.flow)
    await asyncio.sleep(0.1)
    await outgoing.send("still with the first")
    await invitation.receive()
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario()
async def answer_has_the_lines_of_the_offer(world):
    """A offers audio and message, B answers message alone, or offers message and gets a second line: A's answer
    has the m= lines of his offer, one for one (RFC 3264 6), and the session works."""
    audio = b"m=audio 4000 RTP/AVP 0\r\n"
    for before, extra in ((audio, b""), (b"", b"m=audio 0 RTP/AVP 0\r\n")):
        alice, bob = await world.pair()
        outgoing = alice.invite(bob, edit=lambda body: body.replace(b"m=message", before + b"m=message", 1))
        invitation = await bob.expect_invite()
        body = sdp.build(invitation.leg.local, "passive") + extra
        response = invitation.server.respond(200, "OK", [("Contact", bob.contact)], body, "application/sdp")
        invitation.dialog = Dialog(bob, invitation.server.flow, invitation.request, response, False)
        final = await outgoing.transaction.final()
        same(final.status, 200, "INVITE answered with other m= lines")
        lines = [line for line in final.body.split(b"\r\n") if line.startswith(b"m=")]
        same([line.split()[0] for line in lines], [b"m=audio"] * bool(before) + [b"m=message"], "m= lines of the answer")
        check(not before or lines[0].split()[1] == b"0", "audio is not refused: %r" % lines)
        await invitation.server.wait_ack()
        await outgoing.hang_up()
        await invitation.wait_bye()


@scenario(modes=("standalone",), transports=("tcp",))
async def bye_follows_a_new_connection(world):
    """A's connection is lost and A refreshes by a new one: his BYE comes by that, not by the dead one."""
    sa, sb = await world.session()
    sa.dialog.flow.transport.abort()
    await asyncio.sleep(0.1)
    sa.dialog.flow = await sa.agent.endpoint.flow_to(world.sip_address)
    update = sa.dialog.request("UPDATE", headers=[("Supported", "timer")])
    same((await update.final()).status, 200, "UPDATE by the new connection")
    await sb.hang_up()
    await sa.wait_bye()


@scenario(modes=("standalone",), transports=("tcp",))
async def callee_flow_lost_while_ringing(world):
    """A binding is reached by its flow only (design 2, 4): when that goes after the 180, nobody can answer any
    more, so the caller gets his final response at once instead of ringing on."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    bob.close()
    response = await asyncio.wait_for(outgoing.transaction.final(), 5)
    same(response.status, 480, "INVITE whose callee is gone")


@scenario(modes=("standalone",), transports=("tcp",))
async def gone_client_leaves_nothing(world):
    """B vanishes with all his connections in a session: A's BYE ends it and nothing waits for B's answer."""
    sa, sb = await world.session()
    sb.agent.close()
    await sa.hang_up()
