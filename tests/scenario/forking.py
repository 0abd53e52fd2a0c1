"""A user with several contacts (RFC 3261 16.5 to 16.8 as far as a B2BUA forks): who is called when, who wins,
what becomes of the others, and what A hears when all failed."""
import asyncio
import time

from ua import check, same, sip
from ua.agent import Dialog
from world import scenario


async def phones(world, *qs):
    """One user with a client for each q, the first at the first."""
    found = []
    for q in qs:
        phone = await (world.client(found[0].name, register=False, unique=False) if found
                       else world.client("bob", register=False))
        response = await phone.register(headers=[("Contact", phone.contact + ";q=%s" % q)])
        same(response.status, 200, "REGISTER")
        found.append(phone)
    return found


async def refused_by_all(alice, *answers):
    """Status and header of what A hears when the phones answer so."""
    outgoing = alice.invite(answers[0][0])
    invitations = [await phone.expect_invite() for phone, *_ in answers]
    for invitation, (_, status, *headers) in zip(invitations, answers):
        invitation.refuse(status, headers)
    return await outgoing.transaction.final()


@scenario(modes=("standalone",))
async def all_contacts_ring(world):
    """Contacts of one q get the same request at once; one answers, the other is cancelled, and the session is
    with the first."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "0.7", "0.7")
    outgoing = alice.invite(phone)
    a, b = await phone.expect_invite(), await desk.expect_invite()
    same(a.request.get("Max-Forwards"), "69", "Max-Forwards, one less than A's")
    for name in ("Call-ID", "From", "CSeq"):
        same(a.request.get(name), b.request.get(name), name)
    check(a.request.branch != b.request.branch, "one branch for two")
    for invitation, agent in ((a, phone), (b, desk)):
        same(invitation.request.uri, sip.address(agent.contact)[1], "Request-URI")
        invitation.ring()
    await outgoing.transaction.provisional(180)
    accepting = asyncio.ensure_future(b.accept())
    await outgoing.established()
    await accepting
    await a.server.wait_cancel()
    await a.server.wait_ack()
    await outgoing.send("to the desk")
    same(bytes((await b.receive()).body), b"to the desk", "text")
    await outgoing.hang_up()
    await b.wait_bye()


@scenario(modes=("standalone",))
async def second_contact_answers_too(world):
    """Both answer before the CANCEL is there: the second gets ACK and BYE, the session with the first stays,
    and the same holds when the session is over by then."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "1")
    for ends_before in (False, True):
        outgoing = alice.invite(phone)
        a, b = await phone.expect_invite(), await desk.expect_invite()
        a.ring(), b.ring()
        b.server.auto_cancel = False
        accepting = asyncio.ensure_future(a.accept())
        await outgoing.established()
        await accepting
        await b.server.wait_cancel()
        if ends_before:
            await outgoing.hang_up()
            await a.wait_bye()
        await b.accept(bind=False)
        await b.wait_bye()
        if not ends_before:
            await outgoing.send("still here")
            await a.receive()
            await outgoing.hang_up()
            await a.wait_bye()
    strays = (await world.server.metrics()).sum("imserv_session_strays_total")
    check(strays and strays >= 2, "%s strays counted" % strays)


@scenario(modes=("standalone",))
async def next_q_after_a_refusal(world):
    """The contact of the lower q is called when the better one has refused, not before."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "0.5")
    outgoing = alice.invite(phone)
    first = await phone.expect_invite()
    first.ring()
    await desk.quiet(0.1)
    first.refuse(486)
    second = await desk.expect_invite()
    accepting = asyncio.ensure_future(second.accept())
    await outgoing.established()
    await accepting
    await outgoing.hang_up()
    await second.wait_bye()


@scenario(modes=("standalone",), tuned=True)
async def next_q_after_a_while(world):
    """Nobody answers for timers.client_answer (1.5 s): the lower q rings as well, and may win."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "0.5")
    outgoing = alice.invite(phone)
    first = await phone.expect_invite()
    first.ring()
    started = time.monotonic()
    second = await desk.expect_invite()
    check(1.2 < time.monotonic() - started < 3.5, "after %.1f s" % (time.monotonic() - started))
    check(not first.server.cancelled.is_set(), "the first does not ring on")
    accepting = asyncio.ensure_future(second.accept())
    await outgoing.established()
    await accepting
    await first.server.wait_cancel()
    await outgoing.hang_up()
    await second.wait_bye()


@scenario(modes=("standalone",), once=True)
async def best_failure(world):
    """All failed: 16.7 of RFC 3261 on what D1-19 leaves of the codes, with what explains it."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "1")
    for one, other, expected in ((486, 480, 486), (404, 503, 404), (500, 480, 480), (302, 500, 480),
                                 (401, 500, 403), (407, 480, 403), (486, 415, 415), (422, 503, 480),
                                 (408, 488, 488), (486, 486, 486)):
        for statuses in ((one, other), (other, one)):
            final = await refused_by_all(alice, *(
                (agent, status, *([("Accept", "application/sdp")] if status == 415 else []))
                for agent, status in zip((phone, desk), statuses)))
            same(final.status, expected, "answer to %d and %d" % statuses)
    final = await refused_by_all(alice, (phone, 480), (desk, 503, ("Retry-After", "17")))
    same((final.status, final.get("Retry-After")), (480, None), "480 before 503")
    final = await refused_by_all(alice, (phone, 500, ("Retry-After", "17")), (desk, 503))
    same((final.status, final.get("Retry-After")), (500, "17"), "explanation of the one chosen")


@scenario(modes=("standalone",))
async def decline_ends_all(world):
    """A 6xx is the user's word for all his contacts: A has it at once, who still rings is cancelled, and the
    lower q is not called."""
    alice, phone, desk, spare = await world.client("alice"), *await phones(world, "1", "1", "0.1")
    outgoing = alice.invite(phone)
    a, b = await phone.expect_invite(), await desk.expect_invite()
    b.ring()
    a.refuse(603)
    same((await outgoing.transaction.final()).status, 603, "INVITE")
    await b.server.wait_cancel()
    await spare.quiet(0.1)


@scenario(modes=("standalone",))
async def cancel_reaches_all(world):
    """A takes the INVITE back: every contact that was called is cancelled, no other is called."""
    alice, phone, desk, spare = await world.client("alice"), *await phones(world, "1", "1", "0.1")
    outgoing = alice.invite(phone)
    invitations = await phone.expect_invite(), await desk.expect_invite()
    for invitation in invitations:
        invitation.ring()
    await outgoing.transaction.provisional(180)
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "INVITE")
    for invitation in invitations:
        await invitation.server.wait_cancel()
    await spare.quiet(0.1)


@scenario(modes=("standalone",), transports=("tcp",))
async def contact_without_flow(world):
    """A contact whose connection is gone is passed over at once."""
    alice, gone, desk = await world.client("alice"), *await phones(world, "1", "0.5")
    gone.close()
    outgoing = alice.invite(desk)
    invitation = await desk.expect_invite(3)
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario(modes=("standalone",))
async def message_to_the_next_contact(world):
    """A MESSAGE whose contact answers 430 or 408 goes to the next one; another refusal is the answer."""
    alice, phone, desk = await world.client("alice"), *await phones(world, "1", "0.5")
    for status, expected in ((430, 200), (408, 200), (486, 486)):
        sending = alice.start(alice.build("MESSAGE", phone.uri, body=b"x", content_type="text/plain"))
        (await phone.expect("MESSAGE")).respond(status)
        if expected == 200:
            (await desk.expect("MESSAGE")).respond(200, "OK")
        same((await sending.final()).status, expected, "MESSAGE answered %d" % status)
    await desk.quiet(0.05)


@scenario()
async def longer_session_timer(world):
    """B's 422 is answered by one more INVITE with his Min-SE (RFC 4028 7.3, D1-04); a second one is no longer
    A's business: 480 (D1-19)."""
    alice, bob = await world.pair()
    for again in (False, True):
        outgoing = alice.invite(bob)
        first = await bob.expect_invite()
        first.refuse(422, [("Min-SE", "7200")])
        second = await bob.expect_invite()
        same(second.request.call_id, first.request.call_id, "Call-ID of the second INVITE")
        same(second.request.cseq[0], first.request.cseq[0] + 1, "CSeq of the second INVITE")
        same((second.request.get("Session-Expires").partition(";")[0], second.request.get("Min-SE")),
             ("7200", "7200"), "session timer of the second INVITE")
        if again:
            second.refuse(422, [("Min-SE", "9000")])
            same((await outgoing.transaction.final()).status, 480, "INVITE")
            continue
        accepting = asyncio.ensure_future(second.accept())
        await outgoing.established()
        await accepting
        await outgoing.hang_up()
        await second.wait_bye()


@scenario()
async def several_answers_of_one_branch(world):
    """A proxy behind the contact forks: its 18x of several dialogs reach A in A's one dialog; of its 2xx the
    first is the session, each other one gets ACK, once more for each repetition, and one BYE."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    own = invitation.server.tag
    for tag, status in (("left", 180), ("right", 183)):
        invitation.server.tag = tag
        invitation.ring(status)
        await outgoing.transaction.provisional(status)
    same(len({m.to_tag for m in outgoing.transaction.provisionals if m.status > 100}), 1, "dialogs of A")
    invitation.server.tag = own
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    forks = {}
    for tag in ("left", "right"):
        answer = invitation.server.last.copy()
        answer.put("To", answer.get("To").replace(own, tag))
        forks[tag] = answer, Dialog(bob, invitation.server.flow, invitation.request, answer, False)
    acks = []
    invitation.server.on_ack = lambda ack: acks.append(ack.to_tag)
    for answer, _ in forks.values():
        invitation.server.layer.endpoint.send(answer, invitation.server.flow)
    for _, dialog in forks.values():
        await dialog.wait_bye()
    for answer, _ in forks.values():
        invitation.server.layer.endpoint.send(answer, invitation.server.flow)
    for _ in range(100):
        if len(acks) >= 4:
            break
        await asyncio.sleep(0.02)
    same((acks.count("left"), acks.count("right")), (2, 2), "ACKs")
    same(len([m for m in bob.log if m.method == "BYE"]), 2, "BYEs")
    await outgoing.send("with the first")
    await invitation.receive()
    await outgoing.hang_up()
    await invitation.wait_bye()
