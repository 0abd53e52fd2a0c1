"""A large message to a user who is there, as a session through both passes (6.2.4.2, 6.2.4.3, 6.2.4.4, D1-29): headers of
the INVITE and of its answers, what of them is kept, how it is cancelled and released; what the core adds to an INVITE
that is stored."""
import asyncio

import changes
from deferring import CHARGED
from large import away, kept_for, offer, size_of
from passes import no_legs
from session import SUPPORTED, path_host_port
from ua import Failure, REQ, agent, check, same, sdp, sip
from world import scenario

OF_ONE_WAY = {"direction": "sendonly", "extra": size_of(5)}


async def sending(alice, bob, allow=None):
    """(session of the sender, session of the recipient)"""
    outgoing = alice.invite(bob, **OF_ONE_WAY)
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    before, agent.ALLOW = agent.ALLOW, allow or agent.ALLOW
    try:
        accepting = asyncio.ensure_future(invitation.accept(direction="recvonly"))
        await outgoing.established()
        await accepting
    finally:
        agent.ALLOW = before
    return outgoing, invitation


def towards(world, user, method):
    """What the server sent to the core about this user: both passes."""
    return [m for m in world.core.from_server if m.method == method and sip.address(m.get("To"))[1] == user.uri]


def check_contact(world, message, what):
    _, uri, features = sip.address(message.list("Contact")[0])
    check(sip.FEATURE_TAG in features, "Contact of the %s: %s" % (what, message.all("Contact")))
    same(sip.uri_parts(uri)[2:4], world.sip_address, "host of the Contact of the " + what)
    return uri


@scenario()
async def large_session_headers(world):
    """The INVITE that goes on is the server's own, to whom it was for, with the server's Contact; 180 and 200 say who
    answers and what is possible; the ACK goes to the Contact of the 200."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, **OF_ONE_WAY)
    invitation = await bob.expect_invite()
    arrived = towards(world, bob, "INVITE") if world.ims else [invitation.request]
    same(len(arrived), 2 if world.ims else 1, "INVITEs of the server")
    REQ("IM-6.2.4.2-6")
    asked = outgoing.transaction.request
    for invite in arrived:
        check(invite.call_id != asked.call_id and invite.from_tag != asked.from_tag, "it is no call of the server's own")
        same((invite.to_tag, invite.cseq[1], len(invite.all("Max-Forwards"))), (None, "INVITE", 1), "To tag, CSeq")
        check(invite.get("User-Agent").startswith("IM-serv/OMA1.0"), "User-Agent %s" % invite.get("User-Agent"))
        same(SUPPORTED - set(invite.list("Allow")), set(), "missing in Allow of the INVITE")
        same(sip.address(invite.get("P-Asserted-Identity"))[1], alice.uri, "P-Asserted-Identity") if world.ims else None
        check_contact(world, invite, "INVITE")
        offered = sdp.Description(invite.body)
        same((offered.direction, offered.attribute("filesize")), ("sendonly", "5"), "offer")
    REQ("IM-6.2.4.2-1", "IM-6.2.4.2-2", "IM-6.2.4.2-3")
    if world.ims:
        same(arrived[0].uri, bob.uri, "Request-URI of the originating pass")
    else:
        same(arrived[0].uri, sip.address(bob.contact)[1], "Request-URI: where he registered")
    REQ("IM-6.2.4.2-4")
    invitation.ring()
    ringing = await outgoing.transaction.provisional(180)
    same((ringing.call_id, ringing.cseq, ringing.from_tag), (asked.call_id, asked.cseq, asked.from_tag), "dialog of the 180")
    check(ringing.to_tag, "180 without To tag")
    check_contact(world, ringing, "180")
    REQ("IM-6.2.4.2-18")
    check(ringing.get("Server", "").startswith("IM-serv/OMA1.0"), "Server of the 180 %r" % ringing.get("Server"))
    REQ("IM-6.2.4.2-19")
    accepting = asyncio.ensure_future(invitation.accept(direction="recvonly"))
    await outgoing.established()
    await accepting
    answer = outgoing.response
    same((answer.call_id, answer.cseq, answer.from_tag), (asked.call_id, asked.cseq, asked.from_tag), "dialog of the 200")
    check_contact(world, answer, "200")
    check(sip.address(answer.list("Contact")[0])[1] != sip.address(bob.contact)[1], "the 200 has the other client's Contact")
    REQ("IM-6.2.4.2-12", "IM-6.2.4.2-14", "IM-6.2.4.2-20")
    check(answer.get("Server", "").startswith("IM-serv/OMA1.0"), "Server of the 200 %r" % answer.get("Server"))
    REQ("IM-6.2.4.2-21")
    same(SUPPORTED - set(answer.list("Allow")), set(), "missing in Allow of the 200")
    REQ("IM-6.2.4.2-22")
    for session in (outgoing, invitation):
        same(path_host_port(session), world.msrp_address, "path of the server")
    if world.ims:
        contacts = [sip.address(m.list("Contact")[0])[1] for m in world.core.from_server
                    if m.status == 200 and m.cseq[1] == "INVITE" and sip.address(m.get("To"))[1] == bob.uri]
        same(sorted(m.uri for m in towards(world, bob, "ACK")), sorted([contacts[0], sip.address(bob.contact)[1]]),
             "Request-URIs of the ACKs")
    else:
        check(invitation.dialog.acknowledged.is_set(), "no ACK")
    await outgoing.send("hello")
    await invitation.receive()
    await outgoing.hang_up()
    same((await invitation.wait_bye()).uri, sip.address(bob.contact)[1], "Request-URI of the BYE")
    REQ("IM-6.2.4.2-11")


@scenario()
async def large_session_methods_are_remembered(world):
    """A change that the sender makes by UPDATE reaches the recipient by the method that the Allow of his 200 has."""
    alice, bob = await world.pair()
    for allow, method in (("INVITE, ACK, CANCEL, BYE", "INVITE"), (None, "UPDATE")):
        sa, sb = await sending(alice, bob, allow)
        change = changes.ask(sa, changes.describe(sa, 2, accept=changes.NEW_TYPES, direction="sendonly", extra=size_of(5)),
                             "UPDATE")
        server, offered = await changes.asked(sb, method)
        same(offered.direction, "sendonly", "direction of the change")
        REQ("IM-6.2.4.2-10")
        await changes.take(sb, server, changes.describe(sb, 2, "passive", accept=changes.NEW_TYPES, direction="recvonly"))
        await changes.accepted(sa, change)
        await sa.send("hello")
        await sb.receive()
        await sa.hang_up()
        await sb.wait_bye()


@scenario()
async def large_session_cancelled(world):
    """CANCEL before the recipient answers: 200 to it and 487 to the INVITE by each pass, and he is cancelled; a CANCEL
    of nothing is 481."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, **OF_ONE_WAY)
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    await invitation.server.wait_cancel()
    await invitation.server.wait_ack()
    REQ("IM-6.2.4.3-2")
    if world.ims:
        for method, status in (("CANCEL", 200), ("INVITE", 487)):
            seen = [m for m in world.core.from_server if m.status == status and m.cseq[1] == method and
                    sip.address(m.get("To"))[1] == bob.uri]
            same(len(seen), 2, "%d to %s of both passes" % (status, method))
    same((await alice.start(alice.build("CANCEL", bob.uri)).final()).status, 481, "CANCEL of nothing")
    REQ("IM-6.2.4.3-1")


async def answers_of_both(world, seconds=4):
    """200 to BYE by each pass."""
    end = asyncio.get_running_loop().time() + seconds
    while len([m for m in world.core.from_server if m.status == 200 and m.cseq[1] == "BYE"]) < 2:
        check(asyncio.get_running_loop().time() < end, "a pass waited for the client before it answered BYE")
        await asyncio.sleep(0.01)


@scenario()
async def large_session_released(world):
    """BYE of the sender or the recipient, in the middle of the message: 200 at once, though the other side has not
    answered yet; the leg of who left takes nothing more, the other one goes with the answer."""
    alice, bob = await world.pair()
    for ender in (0, 1):
        before = await world.gauges()
        sessions = await sending(alice, bob)
        sender, _ = sessions
        future = sender.leg.send_chunk(b"he", "part%d" % ender, 1, 5, "+")
        same((await sender.leg.outcome(future))[0], 200, "first chunk")
        one, other = sessions[ender], sessions[1 - ender]
        held = []
        receive = other.agent.layer.on_request
        other.agent.layer.on_request = held.append
        world.core and world.core.from_server.clear()
        one.dialog.finish()
        same((await asyncio.wait_for(one.dialog.request("BYE").final(), 4)).status, 200, "BYE")
        if world.ims:  # each pass answered the one before it, and the client has not
            await answers_of_both(world)
        REQ("IM-6.2.4.4-1")
        if one.leg.connection and not one.leg.connection.closed.is_set():
            try:
                codes = await asyncio.wait_for(one.leg.send(b"llo"), 3)
            except (ConnectionError, Failure):
                codes = [481]
            check(set(codes) <= {481, 0}, "a leg that was released took a chunk: %s" % codes)
        REQ("IM-6.2.4.4-2")
        while not held:
            await asyncio.sleep(0.01)
        same(held[0].request.method, "BYE", "what the other side gets")
        REQ("IM-6.2.4.4-3")
        other.agent.layer.on_request = receive
        receive(held[0])
        await other.dialog.wait_bye()
        await no_legs(world, before)
        REQ("IM-6.2.4.4-4")
        one.leg.close(), other.leg.close()


@scenario(modes=("ims",))
async def large_message_of_a_core(world):
    """What a core adds to an INVITE is taken and not stored; who sends is whom the core asserts, whatever From says, and
    without that nothing is accepted; the store asserts itself, and all it says goes to the core (TS 24.229)."""
    alice, bob = await away(world)
    world.core.asserted[alice.name] = '"Alice A." <%s>' % alice.uri
    session = await offer(alice, bob, 5, headers=CHARGED + [("From", '"King" <sip:king@elsewhere.invalid>;tag=k1')])
    same(session.response.get("P-Asserted-Identity"), "<sip:Deferred@store.example.com>", "P-Asserted-Identity of the 200")
    await session.send("hello")
    kept, = kept_for(world, bob)
    same(kept.header("P-Asserted-Identity"), '"Alice A." <%s>' % alice.uri, "P-Asserted-Identity that is kept")
    same([name for name, _ in CHARGED if kept.header(name)], [], "headers of the core that are kept")
    same((kept.header("Route"), kept.header("Record-Route")), (None, None), "routes that are kept")
    await session.hang_up()
    world.core.assert_identity = False
    response = await alice.invite(bob, **OF_ONE_WAY).transaction.final()
    same(response.status, 403, "INVITE without P-Asserted-Identity")
    same(len(kept_for(world, bob)), 1, "stored")
    REQ("IM-10.3.2.2-11")
