"""Rules that stand beside the functions: what pager mode is (4.2.1), the checks of the terminating side for a MESSAGE
(6.2.8.4), messages of the System (6.2.9.1), what a re-INVITE is about (6.2.3.3), Appendices C and E.2.1."""
import asyncio
import re
import time

import changes
from session_checks import Counted, offer
from ua import REQ, check, same, sip
from world import DOMAIN, scenario


def entering(world, raw, which, method="MESSAGE", headers=(), told=True, **more):
    """A request for one pass of the server in ims mode, which comes back to the core by the Route it brings. With
    `told` that Route says which pass it is."""
    headers = list(headers)
    if world.ims:
        token = sip.token(8)
        world.core.tokens[token] = which
        headers.append(("Route", "<sip:%s:%d;lr%s>, <%s;lr;odi=%s>" % (
            world.sip_address + (";" + which if told else "", world.core.endpoint.uri(), token))))
    return world.request(method, raw, headers=headers, **more)


@scenario()
async def pager_without_state(world):
    """A message and its reply are two transactions that know nothing of each other, and no session is counted for
    either (4.2.1)."""
    alice, bob = await world.pair()
    before = await world.gauges()
    asking = alice.start(alice.build("MESSAGE", bob.uri, body=b"lunch?"))
    asked = await bob.expect("MESSAGE")
    replying = bob.start(bob.build("MESSAGE", alice.uri, body=b"yes"))
    replied = await alice.expect("MESSAGE")
    now = await world.gauges()
    for gauge in ("imserv_sessions", "imserv_msrp_legs"):
        check(now[gauge] <= before[gauge], "%s of two messages: %d, before %d" % (gauge, now[gauge], before[gauge]))
    for request in (asked.request, replied.request):
        for name in ("Contact", "Record-Route"):
            same(request.all(name), [], "%s of a MESSAGE" % name)
        same(request.to_tag, None, "To tag of a MESSAGE")
    names = {m.call_id for m in (asking.request, asked.request, replying.request, replied.request)}
    same(len(names), 4, "different Call-IDs")
    replied.respond(200, "OK")
    same((await replying.final()).status, 200, "reply")
    asked.respond(200, "OK")
    same((await asking.final()).status, 200, "MESSAGE")
    REQ("IM-4.2.1-1")
    same((asked.request.body, replied.request.body), (b"lunch?", b"yes"), "bodies")
    await bob.quiet(0.03)
    await alice.quiet(0.03)
    REQ("IM-4.2.1-2")


def dated(seconds_ago, expires):
    then = time.gmtime(time.time() - seconds_ago)
    return [("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", then)), ("Expires", str(expires))]


@scenario(own={"policy.content_types": "[text/plain]", "policy.feature_tag": "always"}, once=True)
async def message_to_served_user(world):
    """A MESSAGE that enters the terminating side with everything wrong is refused for the first thing on the list,
    with that put right for the next; at last it goes to the user's address, with the server's release and without
    Contact (6.2.6.1, 6.2.8.4, D1-11)."""
    bob, carol = await world.client("bob"), await world.client("carol", register=False)
    raw = await world.raw()
    wrong = {"feature_tag": [("Accept-Contact", "*;+g.oma.other")], "identity": None,
             "unsupported_body": [("Content-Type", "text/html")], "timeout": dated(60, 30), "offline": None}
    answers = {"feature_tag": 403, "identity": 403, "unsupported_body": 403, "timeout": 403, "offline": 480}

    def message():
        sender = "sip:mallory@" + ("elsewhere.invalid" if "identity" in wrong else DOMAIN)
        return entering(world, raw, "term", to=(carol if "offline" in wrong else bob).uri, sender=sender,
                        without=("P-Asserted-Identity",) if "identity" in wrong else (),
                        headers=sum((value for value in wrong.values() if value), []))
    for reason, status in answers.items():
        async with Counted(world, reason):
            same(await raw.ask(message()), status, "MESSAGE with %s" % sorted(wrong))
        same([v.split('"')[1] for v in raw.last.list("Warning")], ["Message expired"] if reason == "timeout" else [],
             "Warning")
        del wrong[reason]
    await bob.quiet(0.03)
    request = message()
    raw.send(request)
    server = await bob.expect("MESSAGE")
    server.respond(200, "OK")
    same(await raw.answer(request.call_id), 200, "MESSAGE")
    REQ("IM-6.2.8.4-1", "IM-6.2.6.1-5", "IM-6.2.6.1-6", "IM-6.2.6.1-7", "IM-6.2.6.1-13")
    if world.ims:
        same({m.uri for m in world.core.from_server if m.method == "MESSAGE"}, {bob.uri}, "Request-URI to the core")
        REQ("IM-6.2.8.4-2")
    same(server.request.get("User-Agent", "").split()[:1], ["IM-serv/OMA1.0"], "User-Agent")
    same(raw.last.get("Server", "").split()[:1], ["IM-serv/OMA1.0"], "Server")
    REQ("IM-6.2.8.4-3")
    same(server.request.all("Contact") + raw.last.all("Contact"), [], "Contact (RFC 3428 4)")


@scenario(modes=("ims",), own={"policy.allow_anonymity": "false", "policy.content_types": "[text/plain]",
                               "limits.max_size_1to1": "1KiB", "policy.offline_large": "reject"}, once=True)
async def invite_to_served_user(world):
    """The terminating side relies on no check of another server: an INVITE that enters there with everything wrong is
    refused for the first thing on the list, with that put right for the next (6.2.6.1, D1-07)."""
    bob, carol = await world.client("bob"), await world.client("carol", register=False)
    mallory = await world.client("mallory", register=False)
    raw = await world.raw()
    steps = (("feature tag", 403, "feature_tag"), ("asserted identity", 403, "identity"),
             ("anonymity", 403, "identity"),
             ("target", 404, "target_unknown"), ("interval", 422, "interval_too_brief"), ("direction", 488, "sdp"),
             ("size", 403, "too_large"), ("types", 403, "unsupported_body"), ("large", 480, "offline"),
             ("availability", 403, "offline"))
    wrong = {step[0] for step in steps}

    def invite():
        direction = "inactive" if "direction" in wrong else "sendonly" if "large" in wrong else None
        body = offer(mallory, direction, accept="text/html" if "types" in wrong else "text/plain",
                     extra=["a=filesize:%d" % (1025 if "size" in wrong else 1024)] if "large" in wrong else [])
        headers = [("Content-Type", "application/sdp")]
        headers += [("Accept-Contact", "*;+g.oma.other")] if "feature tag" in wrong else []
        headers += [("Privacy", "id")] if "anonymity" in wrong else []
        headers += [("Session-Expires", "1;refresher=uac"), ("Supported", "timer")] if "interval" in wrong else []
        target = "sip:nobody@elsewhere.invalid" if "target" in wrong else (carol if "availability" in wrong else bob).uri
        return entering(world, raw, "term", "INVITE", to=target, body=body, headers=headers,
                        without=("P-Asserted-Identity",) if "asserted identity" in wrong else ())
    for what, status, reason in steps:
        async with Counted(world, reason):
            same(await raw.ask(invite()), status, "INVITE with wrong " + ", ".join(sorted(wrong)))
        wrong.discard(what)
    same(raw.last.get("Warning", "").partition(" ")[2].partition(" ")[2], '"Session cannot be deferred"', "Warning")
    REQ("IM-6.2.6.1-5", "IM-6.2.6.1-7", "IM-6.2.6.1-8")
    await bob.quiet(0.03)
    request = invite()
    raw.send(request)
    (await bob.expect_invite()).refuse(486)
    same(await raw.answer(request.call_id), 486, "INVITE with nothing wrong")
    REQ("IM-6.2.6.1-13", "IM-6.2.6.1-14")


def within(raw, invite, response, method, cseq="1"):
    """A request in the dialog that the 200 `response` to the `invite` of a raw socket made."""
    m = sip.Message(method, sip.address(response.list("Contact")[0])[1])
    m.add("Via", "SIP/2.0/%s %s:%d;branch=%s" % (raw.transport.upper(), raw.host, raw.port, sip.branch()))
    m.add("Max-Forwards", "70").add("From", invite.get("From")).add("To", response.get("To"))
    return m.add("Call-ID", invite.call_id).add("CSeq", "%s %s" % (cseq, method))


@scenario(modes=("ims",))
async def who_refreshes_towards_the_core(world):
    """A 200 of the terminating side says refresher=uas unless the Controlling Function named one itself, and
    Require: timer when it knows the session timer (6.2.7.1, D1-04)."""
    bob = await world.client("bob")
    mallory = await world.client("mallory", register=False)
    raw = await world.raw()
    for interval, supported, expected in (("1800", True, "uas"), (None, True, "uas"), ("1800;refresher=uac", True, "uac"),
                                          ("1800;refresher=uas", True, "uas"), ("1800", False, "uas")):
        headers = [("Content-Type", "application/sdp")]
        headers += [("Session-Expires", interval)] if interval else []
        headers += [("Supported", "timer")] if supported else []
        request = entering(world, raw, "term", "INVITE", to=bob.uri, body=offer(mallory), headers=headers)
        raw.send(request)
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept(bind=False))
        same(await raw.answer(request.call_id), 200, "INVITE")
        same(raw.last.get("Session-Expires"), "1800;refresher=" + expected, "Session-Expires for %r" % interval)
        same("timer" in raw.last.list("Require"), supported, "Require of the 200 for %r" % interval)
        raw.send(within(raw, request, raw.last, "ACK"))
        await accepting
        same(await raw.ask(within(raw, request, raw.last, "BYE", "2")), 200, "BYE")
        await invitation.wait_bye()
        invitation.leg.close()
    REQ("IM-6.2.7.1-24", "IM-6.2.7.1-25")


@scenario(modes=("ims",))
async def message_of_the_system(world):
    """What the core asserts to be of somebody who is no user goes to the client like any other MESSAGE, and the
    client's answer back (6.2.9.1)."""
    bob = await world.client("bob")
    raw = await world.raw()
    system = "sip:system@operator.invalid"
    for status in (200, 486):
        request = entering(world, raw, "term", to=bob.uri, sender=system, body=b"maintenance at noon")
        raw.send(request)
        server = await bob.expect("MESSAGE")
        same((server.request.body, sip.address(server.request.get("P-Asserted-Identity"))[1]),
             (b"maintenance at noon", system), "MESSAGE at the client")
        REQ("IM-6.2.9.1-1")
        server.respond(status)
        same(await raw.answer(request.call_id), status, "answer")
        REQ("IM-6.2.9.1-2")


ROLES = ('[{proto: udp, address: "127.0.0.1:0", role: originating}, {proto: udp, address: "127.0.0.1:0", role: '
         'terminating}, {proto: msrp, address: "127.0.0.1:0"}, {proto: http, address: "127.0.0.1:0"}]')
METHODS = {"INVITE": [("Content-Type", "application/sdp")], "MESSAGE": [], "SUBSCRIBE": [("Event", "conference")],
           "REFER": [("Refer-To", "<sip:x@y.invalid>")]}


@scenario(modes=("ims",), transports=("udp",), own={"listen": ROLES}, once=True)
async def a_port_for_each_side(world):
    """What the core's filter criteria send to the originating port is served for who asks and leaves for the core,
    wherever the asked one is; at the terminating port it is served for who is asked (Appendix C, D2-56)."""
    bob, carol = await world.client("bob"), await world.client("carol", register=False)
    ready = next(line for line in world.server.lines if line.startswith("imservd ready"))
    ports = {role: (host, int(port)) for host, port, role in re.findall(r"udp:([\d.]+):(\d+)/(\w+)", ready)}
    same(sorted(ports), ["originating", "terminating"], "roles of the ports")
    same(world.sip_address, ports["terminating"], "where the core sends what comes back")
    raw, alice = await world.raw(), "<sip:alice@%s>" % DOMAIN
    world.witness.server = False  # of SUBSCRIBE and REFER each side sees what the other said
    for method, own in METHODS.items():
        body = offer(bob) if method == "INVITE" else b"hello" if method == "MESSAGE" else b""
        own = own + [("Accept-Contact", "*;%s;require;explicit" % sip.FEATURE_TAG), ("P-Asserted-Identity", alice)]
        own += [] if method == "MESSAGE" else [("Contact", "<sip:alice@%s:%d>" % (raw.host, raw.port))]
        for role, left in (("originating", 1), ("terminating", 0)):
            raw.flow = await raw.endpoint.flow_to(ports[role])
            world.core.from_server.clear()
            # who is not there is known to the terminating side, which the core asks next
            request = entering(world, raw, role[:4], method, to=carol.uri, body=body, headers=own, told=False)
            check(await raw.ask(request) in (403, 480), "%s to the %s port: %s" % (method, role, raw.last))
            same(len({m.branch for m in world.core.from_server if m.method == method}), left, method + " that left")
            request = entering(world, raw, role[:4], method, to=bob.uri, body=body, headers=own, told=False)
            raw.send(request)
            (await bob.expect(method)).respond(486)
            same(await raw.answer(request.call_id), 486, "%s by the %s port" % (method, role))
    world.witness.server = True
    REQ("IM-C-1", "IM-C-2")


@scenario(own={"limits.max_size_file": "1000"}, once=True)
async def change_is_message_or_conversation(world):
    """A change that makes the stream one-way is judged as a file of the announced size, one that keeps it both ways
    as the conversation it is (6.2.3.3, D1-08)."""
    sa, sb = await world.session()
    version = 1
    for method in ("INVITE", "UPDATE"):
        version += 1
        refused = await changes.ask(sa, changes.describe(
            sa, version, direction="sendonly", extra=["a=filename:f", "a=filesize:1001"]), method).final()
        same(refused.status, 403, "one way, too large, by " + method)
        await changes.undisturbed(sb, 0.03)
        for direction, size, most in (("sendonly", 1000, "1000"), (None, 1001, "209715200")):
            version += 1
            change = changes.ask(sa, changes.describe(
                sa, version, direction=direction, extra=["a=filename:f", "a=filesize:%d" % size]), method)
            server, offer = await changes.asked(sb, method)
            same((offer.direction, offer.attribute("max-size")), (direction or "sendrecv", most), "what B is offered")
            await changes.take(sb, server, changes.describe(
                sb, version, "passive", direction="recvonly" if direction else None))
            await changes.accepted(sa, change)
    REQ("IM-6.2.3.3-1")
    await changes.end(sa, sb)


@scenario()
async def session_parameter(world):
    """`session=` in the Request-URI never decides anything: with each value, an unknown one, none at all, and one
    that contradicts the target the INVITE reaches the user (E.2.1, D2-29)."""
    alice, bob = await world.pair()
    for value in ("", ";session=1-1", ";session=adhoc", ";session=prearranged", ";session=chat", ";session=party"):
        if world.ims:
            world.core.from_server.clear()
        outgoing = alice.invite(bob.uri + value)
        (await bob.expect_invite()).refuse(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE to %s%s" % (bob.uri, value))
        if world.ims:  # the first pass copies what it was asked for
            same([m.uri for m in world.core.from_server if m.method == "INVITE"][0], bob.uri + value, "Request-URI")
            REQ("IM-6.2.3.2-5")
    REQ("IM-E.2.1-1")
