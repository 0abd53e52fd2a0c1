"""Rules that stand beside the functions: what pager mode is (4.2.1), the checks of the terminating side for a MESSAGE
(6.2.8.4), messages of the System (6.2.9.1), what a re-INVITE is about (6.2.3.3), Appendices C and E.2.1."""
import time

import changes
from session_checks import Counted
from ua import REQ, check, same, sip
from world import DOMAIN, scenario


def entering(world, raw, which, method="MESSAGE", headers=(), **more):
    """A request for one pass of the server in ims mode, which comes back to the core by the Route it brings."""
    headers = list(headers)
    if world.ims:
        token = sip.token(8)
        world.core.tokens[token] = which
        headers.append(("Route", "<sip:%s:%d;lr;%s>, <%s;lr;odi=%s>" % (
            world.sip_address + (which, world.core.endpoint.uri(), token))))
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
        if reason == "timeout":
            REQ("IM-6.2.6.1-6")
        del wrong[reason]
    await bob.quiet(0.03)
    request = message()
    raw.send(request)
    server = await bob.expect("MESSAGE")
    server.respond(200, "OK")
    same(await raw.answer(request.call_id), 200, "MESSAGE")
    REQ("IM-6.2.8.4-1")
    if world.ims:
        sent = [m for m in world.core.from_server if m.method == "MESSAGE"]
        same([m.uri for m in sent], [bob.uri], "Request-URI towards the core")
        REQ("IM-6.2.8.4-2")
    same(server.request.get("User-Agent", "").split()[:1], ["IM-serv/OMA1.0"], "User-Agent")
    same(raw.last.get("Server", "").split()[:1], ["IM-serv/OMA1.0"], "Server")
    REQ("IM-6.2.8.4-3")
    same(server.request.all("Contact") + raw.last.all("Contact"), [], "Contact (RFC 3428 4)")


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


@scenario(own={"limits.max_size_file": "1000"}, once=True)
async def change_is_message_or_conversation(world):
    """A change that makes the stream one-way is judged as a file of the announced size, one that keeps it both ways
    as the conversation it is (6.2.3.3, D1-08)."""
    sa, sb = await world.session()
    version = 1
    for method in ("INVITE", "UPDATE"):
        version += 1
        refused = await changes.ask(sa, changes.describe(
            sa, version, direction="sendonly", extra=["a=filesize:1001"]), method).final()
        same(refused.status, 403, "one way, too large, by " + method)
        await changes.undisturbed(sb, 0.03)
        for direction, size, most in (("sendonly", 1000, "1000"), (None, 1001, "209715200")):
            version += 1
            change = changes.ask(sa, changes.describe(
                sa, version, direction=direction, extra=["a=filesize:%d" % size]), method)
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
