"""Changes of a running session (6.2.3.3, 6.2.7.2, D1-37, F34): new parameters, hold, new paths, glare, and what
becomes of a change that is refused, taken back or never acknowledged."""
import asyncio

from ua import REQ, check, msrp, same, sdp, sip
from ua.agent import ALLOW
from world import scenario

TYPES = "text/plain message/cpim *"
NEW_TYPES = "text/plain image/png"


def describe(session, version, setup="actpass", accept=TYPES, direction=None, extra=()):
    return sdp.build(session.leg.local, setup, direction, accept, version, extra)


def ask(session, body=b"", method="INVITE", **more):
    """A re-INVITE or UPDATE of this side, under way."""
    headers = [("Supported", "timer"), ("Session-Expires", "1800;refresher=uac"), ("Allow", ALLOW)]
    headers += more.pop("headers", [])
    return session.dialog.request(method, headers=headers, body=body,
                                  content_type="application/sdp" if body else None, **more)


async def accepted(session, transaction, seconds=None):
    response = await transaction.final(seconds)
    same(response.status, 200, "change")
    if transaction.request.method == "INVITE":
        session.dialog.ack(transaction)
    return sdp.Description(response.body)


async def asked(session, method="INVITE", seconds=3):
    """The request that this side gets in its dialog."""
    server = await asyncio.wait_for(session.dialog.incoming.get(), seconds)
    same(server.request.method, method, "request in the dialog")
    return server, sdp.Description(server.request.body)


async def take(session, server, body):
    contact = [("Contact", session.agent.contact), ("Allow", ALLOW)]
    server.respond(200, "OK", contact, body, "application/sdp")
    if server.request.method == "INVITE":
        await server.wait_ack()


async def undisturbed(session, seconds=0.1):
    await asyncio.sleep(seconds)
    check(session.dialog.incoming.empty(), "%s heard of it" % session.agent.name)


async def talk(sa, sb):
    await sa.send("one")
    same(bytes((await sb.receive()).body), b"one", "text at B")
    await sb.send("two")
    same(bytes((await sa.receive()).body), b"two", "text at A")


async def end(sa, sb):
    await talk(sa, sb)
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def change_of_parameters(world):
    """New accept-types by re-INVITE and by UPDATE, of either side: the other is asked by the same method, o= counts
    up by one there, the path stays, and its answer comes back; a repeated description disturbs nobody."""
    sa, sb = await world.session()
    told = {sa: sdp.Description(sa.response.body), sb: sb.offer}
    version = {sa: 1, sb: 1}
    for method, by, other in (("INVITE", sa, sb), ("UPDATE", sb, sa), ("UPDATE", sa, sb), ("INVITE", sb, sa)):
        version[by] += 1
        accept = NEW_TYPES if version[by] == 2 else "text/plain application/v%d" % version[by]
        change = ask(by, describe(by, version[by], accept=accept), method)
        server, offer = await asked(other, method)
        same(offer.problems, [], "offer")
        same(offer.accept_types, accept.split(), "accept-types that are passed on")
        REQ("IM-6.2.3.3-3", "IM-6.2.3.3-5", "IM-6.2.3.3-6", "IM-6.2.7.2-1", "IM-6.2.7.2-4", "IM-6.2.7.2-5")
        same(offer.path, other.leg.remote, "path of the offer")
        same(offer.origin, (told[other].origin[0], told[other].origin[1] + 1), "o= of the offer")
        same(server.request.list("Contact")[0].partition(";")[0],
             "<%s>" % other.dialog.target.partition(";")[0], "Contact") if world.transport == "udp" else None
        check(sip.FEATURE_TAG in server.request.list("Contact")[0], "Contact without feature tag")
        version[other] += 1
        await take(other, server, describe(other, version[other], "passive", accept="text/plain"))
        answer = await accepted(by, change)
        same(answer.problems, [], "answer")
        same(answer.accept_types, ["text/plain"], "accept-types of the answer")
        same(answer.path, by.leg.remote, "path of the answer")
        check(answer.setup in ("active", "passive"), "a=setup:%s in an answer" % answer.setup)
        same(answer.origin, (told[by].origin[0], told[by].origin[1] + 1), "o= of the answer")
        REQ("IM-6.2.3.3-7", "IM-6.2.3.3-9", "IM-6.2.7.2-8", "IM-6.2.7.2-9", "IM-6.2.7.2-10")
        told[by], told[other] = answer, offer
        again = ask(by, describe(by, version[by], accept=accept), method)
        same((await accepted(by, again)).origin, answer.origin, "o= of the answer to a refresh")
        await undisturbed(other, 0.02)
        await talk(sa, sb)
        REQ("IM-6.2.3.3-8", "IM-6.2.7.2-11")
    await end(sa, sb)


@scenario()
async def change_refused(world):
    """488 of the other side comes back with its Warning, the session stays as it was, and the next change counts."""
    sa, sb = await world.session()
    for by, other, method in ((sa, sb, "INVITE"), (sb, sa, "UPDATE")):
        change = ask(by, describe(by, 2, accept=NEW_TYPES), method)
        server, refused = await asked(other, method)
        server.respond(488, "Not Acceptable Here", [("Warning", '305 test "no images"')])
        response = await change.final()
        same((response.status, response.get("Warning")), (488, '305 test "no images"'), "refusal")
        REQ("IM-6.2.3.3-11", "IM-6.2.7.2-3", "IM-6.2.7.2-13")
        await talk(sa, sb)
        unchanged = await accepted(by, ask(by, describe(by, 1)))
        same(unchanged.path, by.leg.remote, "path after a refused change")
        change = ask(by, describe(by, 3, accept="text/plain"), method)
        server, offer = await asked(other, method)
        check(offer.origin[1] > refused.origin[1], "o= of the next offer %s after %s" % (
            offer.origin, refused.origin))
        await take(other, server, describe(other, 2, "passive"))
        await accepted(by, change)
    await end(sa, sb)


@scenario()
async def change_not_acceptable_here(world):
    """What the server cannot carry is refused by itself, and the other side hears nothing of it."""
    sa, sb = await world.session()
    plain = describe(sa, 2)
    for body, type_, statuses, what in (
            (plain.replace(b"TCP/MSRP", b"RTP/AVP"), "application/sdp", (488,), "no MSRP stream"),
            (plain.replace(b"m=message %d" % sa.leg.local.port, b"m=message 0"), "application/sdp", (488,), "port 0"),
            (plain.replace(b"a=path:msrp", b"a=path:http"), "application/sdp", (488, 400), "no path"),
            (b"v=0\r\nnonsense\r\n", "application/sdp", (400, 488), "no description"),
            (plain, "text/html", (415,), "another body")):
        for method in ("INVITE", "UPDATE"):
            refused = sa.dialog.request(method, body=body, content_type=type_)
            check((await refused.final()).status in statuses, "%s by %s: %s" % (what, method, refused.last))
    REQ("IM-6.2.3.3-2")
    brief = ask(sa, describe(sa, 2), headers=[])
    brief_request = sa.dialog.build("UPDATE", [("Supported", "timer"), ("Session-Expires", "20")])
    response = await sa.agent.layer.start(brief_request, sa.dialog.flow).final()
    same((response.status, response.get("Min-SE")), (422, "90"), "a refresh with Session-Expires: 20")
    await accepted(sa, brief)
    await undisturbed(sb)
    await end(sa, sb)


@scenario()
async def hold(world):
    """a=sendonly and a=inactive of one side are told to the other and taken back."""
    sa, sb = await world.session()
    for version, direction, answered in ((2, "sendonly", "recvonly"), (3, "inactive", "inactive"), (4, None, None)):
        change = ask(sa, describe(sa, version, direction=direction))
        server, offer = await asked(sb)
        same(offer.direction, direction or "sendrecv", "direction")
        await take(sb, server, sdp.build(sb.leg.local, "passive", answered, TYPES, version))
        same((await accepted(sa, change)).direction, answered or "sendrecv", "direction of the answer")
    await end(sa, sb)


async def unacknowledged(world):
    """A session whose first 2xx the caller has not acknowledged."""
    a, b = await world.pair()
    sa = a.invite(b)
    sa.auto_ack = False
    sb = await b.expect_invite()
    await sb.accept(bind=False)
    same((await sa.transaction.final()).status, 200, "INVITE")
    return sa, sb


@scenario()
async def change_before_the_ack(world):
    """A change of one side overtakes the ACK of the other: it waits for that, and so does not collide with what is
    over for its sender (RFC 3261 14.1, RFC 3311 5.1). While it waits, a second one gets 500."""
    for method in ("INVITE", "UPDATE"):
        sa, sb = await unacknowledged(world)
        change = ask(sb, describe(sb, 3, accept=NEW_TYPES), method)
        await undisturbed(sa)
        same((await ask(sb, describe(sb, 4), method).final()).status, 500, "second change")
        check(change.last is None, "held change got %s" % change.last)
        await sa.established(bind=False)
        server, offer = await asked(sa, method)
        same(offer.accept_types, NEW_TYPES.split(), "accept-types")
        await take(sa, server, describe(sa, 2, "active"))
        await accepted(sb, change)
        await asyncio.gather(sa.bind(), sb.bind())
        # and after a re-INVITE of the other
        first = ask(sa, describe(sa, 3, accept="text/plain"))
        server, _ = await asked(sb)
        await take(sb, server, describe(sb, 5, "passive"))
        same((await first.final()).status, 200, "re-INVITE")
        change = ask(sb, describe(sb, 6, accept=NEW_TYPES), method)
        await undisturbed(sa)
        sa.dialog.ack(first)
        server, _ = await asked(sa, method)
        await take(sa, server, describe(sa, 4, "passive"))
        await accepted(sb, change)
        await end(sa, sb)


@scenario()
async def held_change_cancelled(world):
    """A change that waits for the ACK of the other side is taken back: it never hears of it."""
    sa, sb = await unacknowledged(world)
    change = ask(sb, describe(sb, 2, accept=NEW_TYPES))
    await undisturbed(sa, 0.05)
    same((await change.cancel().final()).status, 200, "CANCEL")
    same((await change.final()).status, 487, "change that is taken back")
    while world.ims and not any(m.status == 487 for m in world.core.from_server):
        await asyncio.sleep(0.01)    # the pass that holds it hears of the CANCEL by way of the core
    await asyncio.gather(sa.established(), sb.bind())
    await undisturbed(sa)
    await end(sa, sb)


@scenario()
async def bye_while_a_change_is_held(world):
    """A change that waits for the ACK of the other side ends with the session: 487."""
    sa, sb = await unacknowledged(world)
    change = ask(sb, describe(sb, 2, accept=NEW_TYPES))
    await undisturbed(sa, 0.05)
    await sb.hang_up()
    same((await change.final()).status, 487, "change whose session ended")
    sa.dialog.ack(sa.transaction)
    await sa.wait_bye()


def move(session):
    """A new path for this side; the connection of the old one stays as it is."""
    old, session.leg = session.leg, msrp.Leg(session.agent.msrp)
    session.leg.remote = old.remote
    session.agent.keep_secret(session.leg)
    return old


@scenario()
async def new_path(world):
    """A side moves to a new MSRP path and connection, as the active and as the passive one; the other side is told
    and keeps its own."""
    sa, sb = await world.session()
    for setup in ("active", "passive"):
        for by, other in ((sa, sb), (sb, sa)):
            old = move(by)
            change = ask(by, describe(by, 5, setup))
            if not world.ims:  # there the next pass sees the description that it has: a refresh
                server, offer = await asked(other)
                same(offer.path, other.leg.remote, "path that the other side is told")
                await take(other, server, describe(other, 1, "passive"))
            answer = await accepted(by, change)
            same(answer.path, by.leg.remote, "our path")
            same(answer.setup, "passive" if setup == "active" else "active", "a=setup of the answer")
            by.active = setup == "active"
            await by.bind()
            old.close()
            await talk(sa, sb)
            REQ("IM-6.2.3.3-8", "IM-6.2.7.2-11")
    await end(sa, sb)


@scenario()
async def change_moves_the_other(world):
    """The other side answers a change with a new path of its own."""
    sa, sb = await world.session()
    change = ask(sa, describe(sa, 2, accept=NEW_TYPES))
    server, _ = await asked(sb)
    old = move(sb)
    await take(sb, server, describe(sb, 2, "active"))
    await accepted(sa, change)
    sb.active = True
    await sb.bind()
    old.close()
    await end(sa, sb)


@scenario()
async def path_before_its_answer(world):
    """Who answers an offer with a new path connects at once: MSRP may be faster than the answer, in a 200 and in an
    ACK. It waits for that (RFC 4975 5.4 lets it) and is no stranger."""
    sa, sb = await world.session()
    change = ask(sa, describe(sa, 2, accept=NEW_TYPES))
    server, _ = await asked(sb)
    old = move(sb)
    sb.active = True
    binding = asyncio.ensure_future(sb.bind())
    await asyncio.sleep(0.1)
    check(not binding.done(), "bound before the answer")
    await take(sb, server, describe(sb, 2, "active"))
    await accepted(sa, change)
    await binding
    old.close()
    await talk(sa, sb)
    change = ask(sa)
    same((await change.final()).status, 200, "offerless re-INVITE")
    old = move(sa)
    sa.active = True
    binding = asyncio.ensure_future(sa.bind())
    await asyncio.sleep(0.1)
    check(not binding.done(), "bound before the answer")
    acknowledge_with_answer(sa, change, describe(sa, 3, "active"))
    if not world.ims:
        server, _ = await asked(sb)
        await take(sb, server, describe(sb, 2, "passive"))
    await binding
    old.close()
    await end(sa, sb)


@scenario()
async def glare(world):
    """Changes of both sides at once: each that finds another one under way gets 491 (RFC 3261 14.2), and the
    session lives on; a second one before the first is answered gets 500 with Retry-After."""
    sa, sb = await world.session()
    change = ask(sa, describe(sa, 2, accept=NEW_TYPES))
    server, _ = await asked(sb)
    for method in ("INVITE", "UPDATE"):
        crossing = ask(sb, describe(sb, 2, accept=NEW_TYPES), method)
        same((await crossing.final()).status, 491, "%s that crosses an INVITE of the server" % method)
        second = ask(sa, describe(sa, 3, accept="text/plain"), method)
        response = await second.final()
        same(response.status, 500, "second %s" % method)
        check(0 <= int(response.get("Retry-After", "-1")) <= 10, "Retry-After %r" % response.get("Retry-After"))
    same((await ask(sb, method="UPDATE").final()).status, 200, "UPDATE without offer meanwhile")
    server.respond(491, "Request Pending")
    same((await change.final()).status, 491, "491 of the other side")
    change = ask(sb, describe(sb, 3, accept=NEW_TYPES))
    server, _ = await asked(sa)
    await take(sa, server, describe(sa, 3, "passive"))
    await accepted(sb, change)
    await end(sa, sb)


def acknowledge_with_answer(session, change, body):
    ack = session.dialog.build("ACK")
    ack.put("CSeq", "%d ACK" % change.request.cseq[0])
    ack.add("Content-Type", "application/sdp")
    ack.body = body
    change.ack = ack.encode()
    session.agent.endpoint.send(ack, session.dialog.flow)


@scenario()
async def change_cancelled(world):
    """CANCEL of a re-INVITE: 487, and the other side is cancelled too; if it had answered already, it gets the
    old description back."""
    sa, sb = await world.session()
    for late in (False, True):
        change = ask(sa, describe(sa, 2, accept=NEW_TYPES))
        server, offer = await asked(sb)
        server.auto_cancel = not late
        server.respond(180, "Ringing", [("Contact", sb.agent.contact)])
        await asyncio.sleep(0.05)
        same((await change.cancel().final()).status, 200, "CANCEL")
        same((await change.final()).status, 487, "cancelled change")
        await server.wait_cancel()
        if late:
            await take(sb, server, describe(sb, 2, "passive"))
            server, back = await asked(sb, "UPDATE")
            same(back.accept_types, TYPES.split(), "accept-types that are given back")
            check(back.origin[1] > offer.origin[1], "o= of what is given back")
            await take(sb, server, describe(sb, 3, "passive"))
        await talk(sa, sb)
    await end(sa, sb)


@scenario()
async def offerless_reinvite(world):
    """A re-INVITE without a description gets ours as the offer, and the answer in the ACK may bring a new path."""
    sa, sb = await world.session()
    for moves in (False, True):
        change = ask(sa)
        response = await change.final()
        same(response.status, 200, "offerless re-INVITE")
        offer = sdp.Description(response.body)
        same(offer.path, sa.leg.remote, "path of the offer")
        same((await ask(sa, describe(sa, 2), "UPDATE").final()).status, 491, "UPDATE before the answer")
        old = move(sa) if moves else sa.leg
        acknowledge_with_answer(sa, change, describe(sa, 3 if moves else 1, "active"))
        if moves:
            if not world.ims:
                server, _ = await asked(sb)
                await take(sb, server, describe(sb, 1, "passive"))
            sa.active = True
            await sa.bind()
            old.close()
        await talk(sa, sb)
    await end(sa, sb)


@scenario()
async def update_not_understood(world):
    """An UPDATE that the other side refuses as a method becomes a re-INVITE there (D1-37)."""
    sa, sb = await world.session()
    change = ask(sa, describe(sa, 2, accept=NEW_TYPES), "UPDATE")
    server, _ = await asked(sb, "UPDATE")
    server.respond(501, "Not Implemented")
    server, offer = await asked(sb, "INVITE")
    same(offer.accept_types, NEW_TYPES.split(), "accept-types")
    REQ("IM-6.2.3.3-4", "IM-6.2.7.2-2")
    await take(sb, server, describe(sb, 2, "passive"))
    await accepted(sa, change)
    await end(sa, sb)


@scenario()
async def change_unknown_to_the_other(world):
    """481 to a change: the other side has no session any more, both get BYE (RFC 5057)."""
    for method, code in (("INVITE", 481), ("UPDATE", 408)):
        sa, sb = await world.session()
        change = ask(sa, describe(sa, 2, accept=NEW_TYPES), method)
        server, _ = await asked(sb, method)
        server.respond(code)
        await change.final()   # in ims mode the BYE of the other pass may be faster than its answer
        check(change.last.status in (481, 408, 480) + (487,) * world.ims, "change got %s" % change.last)
        check((await sa.wait_bye()).get("Reason"), "BYE without Reason")
        await sb.wait_bye()


@scenario()
async def bye_during_a_change(world):
    """BYE of either side while a change waits: the change ends with 487, the session ends."""
    for ender in ("asking", "asked"):
        sa, sb = await world.session()
        change = ask(sa, describe(sa, 2, accept=NEW_TYPES))
        server, _ = await asked(sb)
        first, second = (sa, sb) if ender == "asking" else (sb, sa)
        await first.hang_up()
        await second.wait_bye()
        same((await change.final()).status, 487, "change whose session ended")
        server.respond(487, "Request Terminated")
        await asyncio.wait_for(server.acknowledged.wait(), 3) if world.transport == "udp" else None
        sa.leg.close(), sb.leg.close()


@scenario()
async def old_cseq(world):
    """A request with a CSeq that was used before gets 500 (RFC 3261 12.2.2); the session lives on."""
    sa, sb = await world.session()
    await accepted(sa, ask(sa, describe(sa, 1)))
    for method in ("INVITE", "UPDATE", "INFO", "BYE"):
        old = sa.dialog.build(method)
        old.put("CSeq", "1 " + method)
        same((await sa.agent.layer.start(old, sa.dialog.flow).final()).status, 500, method)
    await end(sa, sb)


@scenario(tuned=True)
async def change_never_acknowledged(world):
    """A 2xx to a re-INVITE that nobody acknowledges: both sides get BYE (RFC 3261 13.3.1.4)."""
    sa, sb = await world.session()
    change = ask(sa, describe(sa, 2, accept=NEW_TYPES))
    server, _ = await asked(sb)
    await take(sb, server, describe(sb, 2, "passive"))
    same((await change.final()).status, 200, "change")
    check((await sa.wait_bye(10)).get("Reason"), "BYE without Reason")
    await sb.wait_bye()
