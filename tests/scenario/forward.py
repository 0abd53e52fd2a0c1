"""SUBSCRIBE and REFER outside dialogs are passed on with Record-Route, and the requests of the dialogs that they
make come through us both ways (6.2.3.4, 6.2.3.5, 6.2.9.2; D1-03, D1-15)."""
import asyncio
import contextlib

import digest

from ua import REQ, agent, check, same, sip
from world import DOMAIN, scenario

TAG = ("Accept-Contact", "*;%s;require;explicit" % sip.FEATURE_TAG)


@contextlib.contextmanager
def proxied(world):
    """A proxy shows each side what the other one said: no B2BUA's rules."""
    world.witness.server = False
    try:
        yield
    finally:
        world.witness.server = True


def subscription(user, uri, event="conference", headers=(), **more):
    return user.build("SUBSCRIBE", uri, headers=[TAG, ("Event", event), ("Expires", "600"), *headers], **more)


def referral(user, uri, to, headers=(), **more):
    return user.build("REFER", uri, headers=[TAG, ("Contact", user.contact), ("Refer-To", to), *headers], **more)


def our_records(world, message):
    """User parts of the Record-Routes that are the server's."""
    uris = [sip.uri_parts(sip.address(v)[1]) for v in message.list("Record-Route")]
    return [u[1] for u in uris if u[2:4] == tuple(world.sip_address)]


async def in_dialog(dialog, other, method, status=200, headers=(), **more):
    """One request in the dialog, answered; the request as it arrived."""
    sent = dialog.request(method, headers=headers, **more)
    server = await agent_wait(other)
    same(server.request.method, method, "method in the dialog")
    server.respond(status, None, [("Contact", other.agent.contact), ("X-Answer", method)])
    response = await sent.final()
    same((response.status, response.get("X-Answer")), (status, method), "answer to " + method)
    return server.request


async def agent_wait(dialog):
    return await asyncio.wait_for(dialog.incoming.get(), dialog.agent.patience)


async def dialog_of(user, sent, peer, status=200, headers=()):
    """(Dialog of who sent, of who answered) of a SUBSCRIBE or REFER that is under way."""
    server = await peer.expect(sent.request.method)
    answer = server.respond(status, "Yes", [("Contact", peer.contact), ("Expires", "600"),
                                            ("Server", "other/1"), *headers])
    response = await sent.final()
    return (server, response, agent.Dialog(user, sent.flow, sent.request, response, True),
            agent.Dialog(peer, server.flow, server.request, answer, False))


def same_request(world, sent, got):
    """What a proxy leaves alone, and what it adds."""
    for name in ("From", "To", "Call-ID", "CSeq", "Contact", "User-Agent", "Event", "Expires", "Accept-Contact"):
        same(got.all(name), sent.all(name), name)
    hops = 3 if world.ims else 0
    same(int(got.get("Max-Forwards")), int(sent.get("Max-Forwards")) - (hops + 2 if world.ims else 1), "Max-Forwards")
    check(len(got.list("Via")) > len(sent.list("Via")), "no Via of ours")
    same(got.body, sent.body, "body")
    same(len(our_records(world, got)), 2 if world.ims else 1, "Record-Routes of the server")


@scenario()
async def forwarded_subscribe(world):
    """SUBSCRIBE to B, NOTIFY back, refresh and end: each through us, by Record-Route; the answers as they are."""
    alice, bob = await world.pair()
    with proxied(world):
        sent = alice.start(subscription(alice, bob.uri, headers=[("Require", "x-eventlist")]))
        server, response, mine, theirs = await dialog_of(alice, sent, bob, 202)
        same_request(world, sent.request, server.request)
        same(server.request.get("Require"), "x-eventlist", "Require is not a proxy's business")
        REQ("IM-6.2.3.4-1", "IM-6.2.3.4-3")
        same(server.request.get("P-Asserted-Identity"), "<%s>" % alice.uri, "P-Asserted-Identity")
        same((response.status, response.reason, response.get("Expires"), response.get("Server")),
             (202, "Yes", "600", "other/1"), "answer")
        same(sip.address(response.get("Contact"))[1], sip.address(bob.contact)[1], "Contact of the answer")
        same(response.list("Record-Route"), server.request.list("Record-Route"), "Record-Route of the answer")
        REQ("IM-6.2.3.4-4")
        world.core and world.core.from_server.clear()
        notify = await in_dialog(theirs, mine, "NOTIFY", headers=[
            ("Event", "conference"), ("Subscription-State", "active;expires=600"), ("Contact", bob.contact)],
            body=b"<x/>", content_type="application/conference-info+xml")
        same((notify.body, notify.get("Subscription-State")), (b"<x/>", "active;expires=600"), "NOTIFY")
        check(our_records(world, notify), "NOTIFY without Record-Route (RFC 6665 4.3)")
        if world.ims:
            same(len([m for m in world.core.from_server if m.method == "NOTIFY"]), 2, "passes of NOTIFY")
        REQ("IM-6.2.9.2-1", "IM-6.2.9.2-2", "IM-6.2.9.2-3")
        refresh = await in_dialog(mine, theirs, "SUBSCRIBE", headers=[
            ("Event", "conference"), ("Expires", "0"), ("Contact", alice.contact)])
        same(refresh.get("Expires"), "0", "Expires of the refresh")
        await in_dialog(theirs, mine, "NOTIFY", 481, headers=[
            ("Event", "conference"), ("Subscription-State", "terminated"), ("Contact", bob.contact)])


@scenario()
async def forwarded_refer(world):
    """REFER to B with a list of targets in its body; its NOTIFYs; then the refusals of B as they are."""
    alice, bob = await world.pair()
    with proxied(world):
        sent = alice.start(referral(alice, bob.uri, "<cid:a@b>", headers=[("Require", "multiple-refer")],
                                    body=b"<resource-lists/>", content_type="application/resource-lists+xml"))
        server, response, mine, theirs = await dialog_of(alice, sent, bob, 202)
        same_request(world, sent.request, server.request)
        same((server.request.get("Refer-To"), server.request.get("Require")), ("<cid:a@b>", "multiple-refer"), "REFER")
        REQ("IM-6.2.3.5-2", "IM-6.2.3.5-3")
        same(response.status, 202, "REFER")
        REQ("IM-6.2.3.5-4")
        await in_dialog(theirs, mine, "NOTIFY", headers=[
            ("Event", "refer"), ("Subscription-State", "terminated;reason=noresource"), ("Contact", bob.contact)],
            body=b"SIP/2.0 200 OK", content_type="message/sipfrag")
        # RFC 3261 16.7 step 6, RFC 4320 4.2
        for status, expected in ((404, 404), (481, 481), (489, 489), (603, 603), (302, 302), (503, 500)):
            sent = alice.start(referral(alice, bob.uri, "<sip:x@y.invalid>"))
            (await bob.expect("REFER")).respond(status, None, [("X-Answer", "here")])
            response = await sent.final()
            same((response.status, response.get("X-Answer")), (expected, "here"), "answer %d" % status)


@scenario(modes=("ims",))
async def forwarded_to_another_domain(world):
    """SUBSCRIBE and REFER to a session of a focus elsewhere leave by the core as they are, and the dialog with it
    leads through the one pass that was on the way (6.2.3.4, 6.2.3.5)."""
    alice, focus = await world.pair()
    world.core.elsewhere = focus.name
    session = "sip:session1@elsewhere.invalid;gr=1"
    with proxied(world):
        for method in ("SUBSCRIBE", "REFER"):
            sent = alice.start(subscription(alice, session) if method == "SUBSCRIBE" else
                               referral(alice, session, "<sip:x@y.invalid;method=INVITE>"))
            server, _, mine, theirs = await dialog_of(alice, sent, focus)
            got = server.request
            same((got.uri, got.get("Refer-To")), (session, sent.request.get("Refer-To")), method)
            same(len(our_records(world, got)), 1, "Record-Routes of the server")
            same(got.get("P-Asserted-Identity"), "<%s>" % alice.uri, "P-Asserted-Identity")
            REQ("IM-6.2.3.4-1", "IM-6.2.3.4-3", "IM-6.2.3.5-2", "IM-6.2.3.5-3")
            world.core.from_server.clear()
            await in_dialog(theirs, mine, "NOTIFY", headers=[
                ("Event", "conference"), ("Subscription-State", "active"), ("Contact", focus.contact)])
            same(len([m for m in world.core.from_server if m.method == "NOTIFY"]), 1, "passes of NOTIFY")
            await in_dialog(mine, theirs, "SUBSCRIBE", headers=[
                ("Event", "conference"), ("Expires", "0"), ("Contact", alice.contact)])
        sent = alice.start(subscription(alice, session, headers=[("Privacy", "id")]))
        server = await focus.expect("SUBSCRIBE")
        same((server.request.get("Privacy"), server.request.get("P-Asserted-Identity")), ("id", "<%s>" % alice.uri),
             "Privacy is the core's business (D1-14)")
        server.respond(403, "Forbidden")
        same((await sent.final()).status, 403, "SUBSCRIBE")
    REQ("IM-6.2.3.4-4", "IM-6.2.3.5-4")


@scenario()
async def forwarded_by_our_mark_only(world):
    """A request with a foreign To tag goes nowhere without our mark for its Call-ID: 481. From a strict router the
    mark is in the Request-URI (RFC 3261 16.4); an INVITE in such a dialog is 405."""
    alice, bob = await world.pair()
    with proxied(world):
        sent = alice.start(subscription(alice, bob.uri))
        _, _, mine, theirs = await dialog_of(alice, sent, bob)
        for change in (lambda m: m.remove("Route"), lambda m: m.put("Call-ID", "another"),
                       lambda m: forge(m, world)):
            request = theirs.build("NOTIFY", headers=[
                ("Event", "conference"), ("Subscription-State", "active"), ("Contact", bob.contact)])
            request = for_server(world, request)
            change(request)
            raw = await world.raw()
            own_via(request, raw)
            same(await raw.ask(request), 481, "without our mark")
        await alice.quiet(0.05)
        request = own_via(for_server(world, theirs.build("INVITE")), await world.raw())
        raw = world.sockets[-1]
        same(await raw.ask(request), 405, "INVITE in a subscription's dialog")
        raw.send(ack_of(request, raw.last))
        if world.ims:
            return
        request = theirs.build("NOTIFY", headers=[
            ("Event", "conference"), ("Subscription-State", "active"), ("Contact", bob.contact)])
        strict = sip.address(request.list("Route")[0])[1]
        request.put("Route", "<%s>" % request.uri)
        request.uri = strict
        sent = bob.start(request)
        server = await agent_wait(mine)
        same((server.request.uri, server.request.all("Route")), (sip.address(alice.contact)[1], []), "after 16.4")
        server.respond(200, "OK")
        same((await sent.final()).status, 200, "NOTIFY from a strict router")


def forge(request, world):
    routes = request.list("Route")
    first = routes[0]
    at = first.index(":") + 20
    request.remove("Route")
    for route in [first[:at] + ("1" if first[at] == "0" else "0") + first[at + 1:]] + routes[1:]:
        request.add("Route", route)


def for_server(world, request):
    """As it reaches the server: without the Routes of the core above its own."""
    routes = request.list("Route")
    while sip.uri_parts(sip.address(routes[0])[1])[2:4] != tuple(world.sip_address):
        routes = routes[1:]
    request.remove("Route")
    for route in routes:
        request.add("Route", route)
    return request


def own_via(request, raw):
    request.put("Via", "SIP/2.0/%s %s:%d;branch=%s" % (raw.transport.upper(), raw.host, raw.port, sip.branch()))
    return request


def ack_of(request, response):
    ack = sip.Message("ACK", request.uri)
    for name in ("Via", "From", "Call-ID"):
        ack.add(name, request.get(name))
    ack.add("To", response.get("To")).add("CSeq", "%d ACK" % request.cseq[0]).add("Max-Forwards", "70")
    return ack


@scenario()
async def forwarding_refused_in_order(world):
    """The checks of design 4 for a SUBSCRIBE and a REFER: each with its code, the earlier one first."""
    alice, bob = await world.pair()
    gone = await world.client("carol", register=False)
    raw = await world.raw()

    async def refused(expected, what, method="SUBSCRIBE", to=None, which="orig", without=(), headers=()):
        more = [TAG, ("Contact", "<sip:mallory@%s:%d>" % (raw.host, raw.port))]
        more += [("Event", "conference")] if method == "SUBSCRIBE" else [("Refer-To", "<sip:x@y.invalid>")]
        if world.ims:
            more += [("Route", "<sip:%s:%d;lr;%s>" % (tuple(world.sip_address) + (which,))),
                     ("P-Asserted-Identity", "<sip:mallory@%s>" % DOMAIN)]
        same(await raw.ask(world.request(method, raw, to, headers=[*more, *headers], without=without)), expected, what)

    for method in ("SUBSCRIBE", "REFER"):
        await refused(483, "Max-Forwards 0", method, headers=[("Max-Forwards", "0"), ("Proxy-Require", "x-nothing")])
        await refused(416, "unknown scheme", method, to="foo:bar", headers=[("Proxy-Require", "x-nothing")])
        await refused(420, "Proxy-Require", method, headers=[("Proxy-Require", "x-nothing")], without=("Accept-Contact",))
        await refused(481, "unknown To tag", method, headers=[("To", "<sip:nobody@%s>;tag=unknown" % DOMAIN)])
        if world.ims:
            await refused(403, "no feature tag", method, to=bob.uri, without=("Accept-Contact",))
            await refused(403, "no identity", method, to=bob.uri, without=("P-Asserted-Identity",))
        else:
            foreign = ("From", "<sip:mallory@elsewhere.invalid>;tag=x")
            await refused(403, "sender of nowhere", method, to="sip:x@elsewhere.invalid", headers=[foreign])
            await refused(404, "target elsewhere", method, to="sip:x@elsewhere.invalid")
            await refused(403, "who hides", method, to=bob.uri, headers=[("Privacy", "id")])
        # owned here, by functions that have nothing of that name
        for owned in ("group1", "history", "factory", "Deferred"):
            await refused(404, owned, method, "sip:%s@%s" % (owned, DOMAIN), which="term" if owned == "group1" else "orig")
        await refused(480, "offline", method, gone.uri, which="term")
    same(await raw.ask(world.request("NOTIFY", raw)), 481, "NOTIFY of no dialog")
    await bob.quiet(0.05)


@scenario(own={"policy.allow_anonymity": "false"}, once=True)
async def forwarding_for_nobody(world):
    """Where anonymity is not allowed, who asks for it may not subscribe (as in 6.2.3.2)."""
    alice, bob = await world.pair()
    same((await alice.start(subscription(alice, bob.uri, headers=[("Privacy", "id")])).final()).status, 403, "SUBSCRIBE")


@scenario()
async def forwarded_to_contact_of_a_session(world):
    """SUBSCRIBE and REFER to the Contact that the B2BUA gave out reach the other side's own Contact, in Refer-To it
    is mapped likewise; after the session for a while still; what nobody gave out is 404 (IM-6.2.3.4-2, D1-15)."""
    sa, sb = await world.session()
    alice, bob, other = sa.agent, sb.agent, await world.client("dave")
    with proxied(world):
        for mine, peer in ((sa, bob), (sb, alice)):
            user, contact = mine.agent, mine.dialog.target
            sent = user.start(subscription(user, contact))
            server, _, here, there = await dialog_of(user, sent, peer)
            same(server.request.uri, sip.address(peer.contact)[1], "Request-URI")
            same(sip.address(server.request.get("To"))[1], contact, "To")
            REQ("IM-6.2.3.4-2", "IM-D.1-1", "IM-D.1-3")
            await in_dialog(there, here, "NOTIFY", headers=[
                ("Event", "conference"), ("Subscription-State", "active"), ("Contact", peer.contact)])
            REQ("IM-D.1-6", "IM-D.1-9")
            sent = user.start(referral(user, contact, "<%s;method=BYE>" % contact))
            server = await peer.expect("REFER")
            refer_to = sip.address(server.request.get("Refer-To"))[1]
            check(refer_to.startswith(sip.address(peer.contact)[1].partition(";")[0]) and "method=BYE" in refer_to,
                  "Refer-To %r" % refer_to)
            server.respond(403, "Forbidden")
            same((await sent.final()).status, 403, "REFER")
            sent = user.start(referral(user, other.uri, "<%s>" % contact))
            server = await other.expect("REFER")
            same(sip.address(server.request.get("Refer-To"))[1].partition(";")[0],
                 sip.address(peer.contact)[1].partition(";")[0], "Refer-To to somebody else")
            server.respond(603, "Decline")
            same((await sent.final()).status, 603, "REFER")
        contact = sa.dialog.target
        user_part = sip.uri_parts(contact)[1]
        for name in (user_part[:-1] + ("a" if user_part[-1] != "a" else "q"), "x" * 36):
            unknown = contact.replace(user_part, name)
            response = await alice.start(subscription(alice, unknown)).final()
            check(response.status in (404, 480), "a Contact of nobody got %s" % response)
        await sa.hang_up()
        await sb.wait_bye()
        sent = alice.start(referral(alice, contact, "<%s;method=BYE>" % contact))
        server = await bob.expect("REFER")
        same(server.request.uri, sip.address(bob.contact)[1], "Request-URI in the grace time")
        server.respond(202, "Accepted", [("Contact", bob.contact)])
        same((await sent.final()).status, 202, "REFER in the grace time")


@scenario(modes=("standalone",))
async def forwarded_to_next_contact(world):
    """One contact after the other (RFC 3261 16.6 step 4): who cannot be reached (430) is followed by the next."""
    alice, bob = await world.client("alice"), await world.client("bob")
    with proxied(world):
        second = await world.client("bob", register=False)
        second.name = bob.name
        same((await second.register(headers=[("Contact", "%s;q=0.1" % second.contact)])).status, 200, "REGISTER")
        same((await bob.register(headers=[("Contact", "%s;q=0.9" % bob.contact)])).status, 200, "REGISTER")
        sent = alice.start(subscription(alice, bob.uri))
        (await bob.expect("SUBSCRIBE")).respond(430, "Flow Failed")
        _, _, mine, theirs = await dialog_of(alice, sent, second)
        await in_dialog(mine, theirs, "SUBSCRIBE", headers=[
            ("Event", "conference"), ("Expires", "0"), ("Contact", alice.contact)])
        await bob.quiet(0.05)


@scenario(transports=("udp",))
async def forwarded_once(world):
    """A repeated SUBSCRIBE is passed on once, and its answer repeated."""
    alice, bob = await world.pair()
    with proxied(world):
        await world.scatter(alice)
        request = subscription(alice, bob.uri)
        sent = alice.start(request)
        for _ in range(3):
            alice.endpoint.send(request, alice.flow)
        (await bob.expect("SUBSCRIBE")).respond(200, "OK", [("Contact", bob.contact), ("Expires", "60")])
        same((await sent.final()).status, 200, "SUBSCRIBE")
        await bob.quiet(0.1)


@scenario(modes=("standalone",), own=digest.DIGEST)
async def forwarding_asks_for_credentials(world):
    """SUBSCRIBE is challenged by 401, REFER by 407, and the credentials for us go no further (RFC 3261 22.3); inside
    their dialogs nobody is challenged."""
    alice, bob = await digest.user(world, "alice"), await digest.user(world, "bob")
    login, alice.login = alice.login, None
    for method, expected in (("SUBSCRIBE", 401), ("REFER", 407)):
        def build():
            return (subscription(alice, bob.uri) if method == "SUBSCRIBE" else
                    referral(alice, bob.uri, "<sip:x@y.invalid>"))
        alice.login = None
        same((await alice.start(build()).final()).status, expected, method + " without credentials")
        alice.login = login
        with proxied(world):
            server, _, mine, theirs = await dialog_of(alice, alice.start(build()), bob)
            for name in ("Authorization", "Proxy-Authorization"):
                check(not server.request.all(name), "%s reached the other side" % name)
            same(server.request.get("P-Asserted-Identity"), "<%s>" % alice.uri, "P-Asserted-Identity")
            await in_dialog(theirs, mine, "NOTIFY", headers=[
                ("Event", "conference"), ("Subscription-State", "active"), ("Contact", bob.contact)])
            await in_dialog(mine, theirs, "SUBSCRIBE", headers=[
                ("Event", "conference"), ("Expires", "0"), ("Contact", alice.contact)])
    request = subscription(alice, bob.uri)
    request.put("From", "<%s>;tag=x" % bob.uri)
    same((await alice.start(request).final()).status, 403, "in the name of another user")


@scenario(own={"timers.t1": "10ms"}, once=True)
async def forwarded_to_silence(world):
    """Nobody answers: 480, as a 408 would come too late for everybody (RFC 4320 4.2); a NOTIFY that nobody answers
    ends the same way."""
    alice, bob = await world.pair()
    with proxied(world):
        sent = alice.start(subscription(alice, bob.uri))
        await bob.expect("SUBSCRIBE")
        same((await sent.final()).status, 480, "SUBSCRIBE to silence")
        _, _, mine, theirs = await dialog_of(alice, alice.start(subscription(alice, bob.uri)), bob)
        sent = theirs.request("NOTIFY", headers=[
            ("Event", "conference"), ("Subscription-State", "active"), ("Contact", bob.contact)])
        await agent_wait(mine)
        same((await sent.final()).status, 480, "NOTIFY to silence")
