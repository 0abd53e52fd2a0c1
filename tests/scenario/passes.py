"""How a session ends through both passes of the server: CANCEL, BYE and the session timer, and what is left
of it then (6.2.3.6, 6.2.3.7, 6.2.3.9, 6.2.10, 6.2.11); what of the answers is kept for later requests."""
import asyncio
import time

import changes
from ua import REQ, Failure, agent, check, same, sip
from world import scenario

SHORT = {"timers.session_expires": "2s", "timers.min_se": "1s"}


async def no_legs(world, before, seconds=3):
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        now = await world.gauges()
        if now["imserv_msrp_legs"] <= before["imserv_msrp_legs"] and now["imserv_sessions"] <= before["imserv_sessions"]:
            return
        check(loop.time() < end, "left over: %s, before %s" % (now, before))
        await asyncio.sleep(0.02)


@scenario()
async def release_frees_both_legs(world):
    """BYE from either side: 200 at once, though the other side has not answered its own yet; the leg of
    who left is gone then, the other one with the answer (6.2.3.7, 6.2.11)."""
    alice, bob = await world.pair()
    for ender in (0, 1):
        before = await world.gauges()
        sessions = await world.session(alice, bob)
        one, other = sessions[ender], sessions[1 - ender]
        held = []
        receive = other.agent.layer.on_request
        other.agent.layer.on_request = held.append
        world.core and world.core.from_server.clear()
        started = time.monotonic()
        one.dialog.finish()
        response = await one.dialog.request("BYE").final()
        same(response.status, 200, "BYE")
        check(time.monotonic() - started < 4, "the 200 waited for the other side")
        if one.leg.connection and not one.leg.connection.closed.is_set():
            try:
                codes = await asyncio.wait_for(one.leg.send(b"too late"), 3)
            except (ConnectionError, Failure):
                codes = [481]
            check(set(codes) <= {481, 0}, "a leg that was released took a chunk: %s" % codes)
        while not held:
            await asyncio.sleep(0.01)
        if world.ims:  # the second pass answered the first before the client answered it
            answered = [m for m in world.core.from_server if m.status == 200 and m.cseq[1] == "BYE"]
            same(len(answered), 2, "200s to BYE of both passes")
            REQ("IM-6.2.11-1")
        other.agent.layer.on_request = receive
        receive(held[0])
        await other.dialog.wait_bye()
        await no_legs(world, before)
        one.leg.close(), other.leg.close()
    REQ("IM-6.2.3.7-2", "IM-6.2.3.7-4", "IM-6.2.11-2", "IM-6.2.11-3", "IM-6.2.11-4")


@scenario()
async def cancel_through_both_passes(world):
    """CANCEL is answered 200 and the INVITE 487 by each pass for itself, and B is cancelled (6.2.10)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    await invitation.server.wait_cancel()
    await invitation.server.wait_ack()
    if world.ims:
        for method, status in (("CANCEL", 200), ("INVITE", 487)):
            seen = [m for m in world.core.from_server if m.status == status and m.cseq[1] == method]
            same(len(seen), 2, "%d to %s of both passes" % (status, method))
    REQ("IM-6.2.10-1", "IM-6.2.10-2")


@scenario(own=SHORT, once=True, seconds=15)
async def session_timer_runs_out(world):
    """A should refresh and does not: BYE to both sides, and with the answers nothing is left."""
    alice, bob = await world.pair()
    before = await world.gauges()
    started = time.monotonic()
    sa, sb = await world.session(alice, bob)
    same(sa.response.get("Session-Expires"), "2;refresher=uac", "Session-Expires of the 200")
    await asyncio.gather(sa.dialog.wait_bye(6), sb.dialog.wait_bye(6))
    check(1 < time.monotonic() - started < 5, "BYE after %.1f s" % (time.monotonic() - started))
    REQ("IM-6.2.7.1-26", "IM-6.2.3.9-1", "IM-6.2.3.9-2")
    await no_legs(world, before)
    REQ("IM-6.2.3.9-3", "IM-6.2.3.9-4")
    sa.leg.close(), sb.leg.close()


@scenario()
async def answers_are_remembered(world):
    """ACK, BYE and refreshes go to the Contact that the 200 gave, each side's by way of ours; the
    methods of its Allow decide how it is asked later (6.2.3.2, 6.2.7.1)."""
    alice, bob = await world.pair()
    sa, sb = await world.session(alice, bob)
    if world.ims:
        passed = [m for m in world.core.from_server if m.status == 200 and m.cseq[1] == "INVITE"]
        contacts = [sip.address(m.list("Contact")[0])[1] for m in passed]
        acks = [m.uri for m in world.core.from_server if m.method == "ACK"]
        same(sorted(acks), sorted([contacts[0], sip.address(bob.contact)[1]]), "Request-URIs of the ACKs")
        check(contacts[0] != contacts[1], "both passes gave the same Contact")
    else:
        same(sb.dialog.remote_cseq, sb.request.cseq[0], "CSeq after the ACK")
    REQ("IM-6.2.3.2-13")
    # B's request to the Contact it was given comes out at A
    response = await sb.dialog.request("UPDATE", headers=[("Session-Expires", "1800;refresher=uac"),
                                                         ("Supported", "timer")]).final()
    same(response.status, 200, "UPDATE from B")
    invited = [m for m in world.core.from_server if m.method == "INVITE"] if world.ims else []
    await sb.hang_up()
    await sa.wait_bye()
    if world.ims:  # B's BYE to our Contact goes on to the one that came with the INVITE of the other pass
        ended = [m.uri for m in world.core.from_server if m.method == "BYE"]
        same(ended[0], sip.address(invited[0].list("Contact")[0])[1], "Request-URI of the BYE")
        check(invited[0].list("Contact") != invited[1].list("Contact"), "both passes gave the same Contact")
    REQ("IM-6.2.7.1-10")


@scenario()
async def methods_are_remembered(world):
    """B's 200 lists no UPDATE in Allow: a change that A makes by UPDATE reaches B by re-INVITE (D1-37)."""
    alice, bob = await world.pair()
    allow, agent.ALLOW = agent.ALLOW, "INVITE, ACK, CANCEL, BYE"
    try:
        sa, sb = await world.session(alice, bob)
    finally:
        agent.ALLOW = allow
    change = changes.ask(sa, changes.describe(sa, 2, accept=changes.NEW_TYPES), "UPDATE")
    server, _ = await changes.asked(sb, "INVITE")
    REQ("IM-6.2.3.2-12", "IM-6.2.3.3-4")
    await changes.take(sb, server, changes.describe(sb, 2, "passive"))
    await changes.accepted(sa, change)
    await changes.end(sa, sb)


@scenario()
async def provisional_answers(world):
    """A 180 has Allow, and Privacy where B wants it (6.2.7.1)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring(headers=[("Privacy", "id")])
    ringing = await outgoing.transaction.provisional(180)
    same(ringing.all("Privacy"), ["id"], "Privacy of the 180")
    REQ("IM-6.2.7.1-15")
    check("BYE" in ringing.list("Allow"), "Allow of the 180: %s" % ringing.all("Allow"))
    REQ("IM-6.2.7.1-17")
    if not world.ims:
        check(not ringing.all("P-Asserted-Identity"), "identity of one who hides")
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario(modes=("ims",), own={"core.trust_from": "true", "core.trusted": '["127.0.0.1/32"]'}, once=True)
async def from_may_be_trusted(world):
    """core.trust_from: a trusted core that asserts no identity is believed the From, nobody else is (5.2, D1-14)."""
    alice, bob = await world.pair()
    stranger = await world.raw(host="127.0.0.9")
    request = world.request("MESSAGE", stranger, to=bob.uri, sender=alice.uri, without=("P-Asserted-Identity",))
    same(await stranger.ask(request), 403, "MESSAGE by From of one who is not the core")
    world.core.assert_identity = False
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    # towards the core it is asserted from here on
    sent = [m for m in world.core.from_server if m.method == "INVITE"][0]
    same(sip.address(sent.get("P-Asserted-Identity", ""))[1], alice.uri, "P-Asserted-Identity")
    REQ("IM-5.2-7", "IM-5.2-8")
    invitation.refuse(486)
    same((await outgoing.transaction.final()).status, 486, "INVITE by From")


@scenario()
async def expired_message(world):
    """A MESSAGE whose Date and Expires say that it is over: 403 with `Message expired`; a valid one goes
    on with both (6.2.4.1, D1-18)."""
    alice, bob = await world.pair()

    def dated(seconds_ago):
        return ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - seconds_ago)))
    response = await alice.pager(bob, "x", headers=[dated(60), ("Expires", "30")])
    same(response.status, 403, "expired MESSAGE")
    check("Message expired" in response.get("Warning", ""), "Warning %s" % response.all("Warning"))
    if world.ims:  # the originating side does not let it out
        same([m.method for m in world.core.from_server if m.method == "MESSAGE"], [], "MESSAGE of the server")
    REQ("IM-6.2.4.1-3")
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", headers=[dated(10), ("Expires", "300")]))
    server = await bob.expect("MESSAGE")
    same(server.request.get("Expires"), "300", "Expires at B")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "valid MESSAGE")


@scenario()
async def group_advertisement(world):
    """A MESSAGE with a group advertisement goes its way like any other, but never anonymously: 403; the
    type decides, without case, not the feature tag +g.poc.groupad (6.2.3.8, D1-12, D2-38)."""
    alice, bob = await world.pair()
    kind = "application/vnd.im.GROUP-advertisement+xml"
    for content_type, headers, status in ((kind, [("Privacy", "id")], 403), (kind, [], 200),
                                          ("text/plain", [("Privacy", "id")], 200)):
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"<x/>", content_type=content_type, headers=headers))
        if status == 200:
            server = await bob.expect("MESSAGE")
            same((server.request.get("Content-Type"), server.request.body), (content_type, b"<x/>"), "MESSAGE at B")
            server.respond(200, "OK")
            REQ("IM-6.2.3.8-3", "IM-6.2.4.5-3")
        same((await sending.final()).status, status, "%s with %s" % (content_type, headers))
    REQ("IM-6.2.3.8-1", "IM-6.2.3.8-4", "IM-6.2.4.5-1", "IM-6.2.4.5-4")
    await bob.quiet(0.05)
