"""Pager mode: one MESSAGE to one user (6.2.4.1, 6.2.6.1), refusals in the order of design 4."""
from ua import REQ, check, same, sip
from world import DOMAIN, scenario


@scenario()
async def pager_message(world):
    """MESSAGE from A to B: B gets body, type and From intact with a new Call-ID, A gets B's 200."""
    alice, bob = await world.pair()
    text = "héllo \u2603 \r\n\r\nMESSAGE sip:x SIP/2.0\r\n"
    sending = alice.start(alice.build(
        "MESSAGE", bob.uri, body=text.encode(), content_type="text/plain;charset=UTF-8",
        headers=[("Subject", "weather"), ("Date", "Sat, 13 Nov 2010 23:29:00 GMT")]))
    server = await bob.expect("MESSAGE")
    got = server.request
    same(got.body, text.encode(), "body")
    same(got.get("Content-Type"), "text/plain;charset=UTF-8", "Content-Type")
    same(got.get("Subject"), "weather", "Subject")
    same(sip.address(got.get("From"))[1], alice.uri, "From")
    same(sip.address(got.get("To"))[1], bob.uri, "To")
    check(got.call_id != sending.request.call_id, "Call-ID was not changed")
    check(sip.FEATURE_TAG in got.get("Accept-Contact", ""), "Accept-Contact %r" % got.get("Accept-Contact"))
    check(sending.last is None, "200 before B answered")
    server.respond(200, "OK")
    final = await sending.final()
    same(final.status, 200, "MESSAGE")
    REQ("IM-6.2.4.1-5", "IM-6.2.4.1-6", "IM-6.2.6.1-13", "IM-6.2.6.1-14", "IM-6.2.2.1-6")
    check(not final.all("Contact") and not got.all("Contact"), "MESSAGE or its 200 with Contact (RFC 3428 7)")
    REQ("IM-6.2.8.4-4")
    if world.ims:
        terminating = [m for m in world.core.from_server if m.method == "MESSAGE"]
        same(len(terminating), 2, "passes")
        for m in terminating:
            same(m.get("P-Asserted-Identity"), "<%s>" % alice.uri, "P-Asserted-Identity passed on")
        REQ("IM-6.2.2.1-7", "IM-5.2-1", "IM-5.2-2")


@scenario()
async def pager_answers_pass_through(world):
    """What B answers reaches A: refusal codes as they are, 202 too."""
    alice, bob = await world.pair()
    for status in (202, 415, 486, 488, 603):
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"hello", content_type="text/plain"))
        server = await bob.expect("MESSAGE")
        more = [("Accept", "text/html")] if status == 415 else []
        server.respond(status, None, more)
        same((await sending.final()).status, status, "MESSAGE")
    REQ("IM-6.2.4.1-6", "IM-6.2.6.1-14")


@scenario()
async def pager_to_offline_user(world):
    """B is not registered and deferring is off: 480."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE to offline user")
    REQ("IM-6.2.6.1-7")


@scenario(transports=("tcp",))
async def pager_too_large(world):
    """A body over limits.max_size_pager (64 KiB) is refused with 403, one octet less is delivered.
    Over UDP it does not fit into a datagram."""
    alice, bob = await world.pair()
    limit = 65536
    same((await alice.pager(bob, b"x" * (limit + 1))).status, 403, "MESSAGE over the limit")
    REQ("IM-6.2.2.1-3")
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x" * limit, content_type="text/plain"))
    server = await bob.expect("MESSAGE")
    same(len(server.request.body), limit, "length of the body")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE at the limit")


@scenario(transports=("udp",))
async def pager_retransmission_is_one_message(world):
    """The same MESSAGE three times is delivered once, and answered from the transaction."""
    alice, bob = await world.pair()
    await world.scatter(alice)
    request = alice.build("MESSAGE", bob.uri, body=b"once", content_type="text/plain")
    sending = alice.start(request)
    for _ in range(3):
        alice.endpoint.send(request, alice.flow)
    server = await bob.expect("MESSAGE")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE")
    alice.endpoint.send(request, alice.flow)
    await bob.quiet(0.2)


@scenario()
async def refusals_in_order(world):
    """Each check of design 4 answers with its code, and the earlier one wins when a request fails two
    neighbouring checks."""
    raw = await world.raw()
    unsupported = ("Require", "x-nothing")

    async def refused(expected, what, method="MESSAGE", **more):
        request = world.request(method, raw, **more)
        got = await raw.ask(request)
        same(got, expected, what)

    strange_uri = {"to": "foo:bar"}
    in_dialog = ("To", "<sip:nobody@%s>;tag=unknown" % DOMAIN)
    no_tag = ("Accept-Contact", "*;audio")
    # one fault
    await refused(400, "no From", without=("From",))
    await refused(400, "CSeq of another method", headers=[("CSeq", "1 INVITE")])
    await refused(400, "CSeq without number", headers=[("CSeq", "MESSAGE")])
    await refused(483, "Max-Forwards 0", headers=[("Max-Forwards", "0")])
    await refused(501, "unknown method", method="FOO")
    await refused(416, "unknown scheme", **strange_uri)
    await refused(420, "unknown Require", headers=[unsupported])
    same(raw.last.get("Unsupported"), "x-nothing", "Unsupported")
    await refused(481, "unknown To tag", headers=[in_dialog])
    if world.ims:
        await refused(403, "no feature tag", headers=[no_tag])
        REQ("IM-6.2.2.1-1")
        await refused(403, "no Accept-Contact", without=("Accept-Contact",))
        await refused(403, "no identity", without=("P-Asserted-Identity",))
        REQ("IM-5.2-9", "IM-6.2.2.1-2", "IM-6.2.4.1-1")
    else:
        await refused(403, "From of a foreign domain", sender="sip:mallory@elsewhere.invalid")
        await refused(404, "target in a foreign domain", to="sip:x@elsewhere.invalid")
    # two faults, neighbours in the list
    await refused(400, "syntax before Max-Forwards", headers=[("Max-Forwards", "0"), ("CSeq", "x MESSAGE")])
    await refused(483, "Max-Forwards before method", method="FOO", headers=[("Max-Forwards", "0")])
    await refused(501, "method before scheme", method="FOO", **strange_uri)
    await refused(416, "scheme before Require", headers=[unsupported], **strange_uri)
    await refused(420, "Require before dialog", headers=[unsupported, in_dialog])
    await refused(481, "dialog before identity", headers=[in_dialog],
                  sender="sip:mallory@elsewhere.invalid", without=("P-Asserted-Identity",))
    if not world.ims:
        await refused(403, "identity before target", to="sip:x@elsewhere.invalid",
                      sender="sip:mallory@elsewhere.invalid")


@scenario()
async def version_not_supported(world):
    """SIP/3.0: 505, before Max-Forwards is looked at."""
    raw = await world.raw()
    request = world.request("MESSAGE", raw, headers=[("Max-Forwards", "0")])
    raw.send(request.encode().replace(b" SIP/2.0\r\n", b" SIP/3.0\r\n", 1))
    same(await raw.answer(request.call_id), 505, "SIP/3.0")


@scenario(modes=("standalone",))
async def pager_without_feature_tag(world):
    """Ordinary clients have no OMA feature tag: standalone mode does not ask for it (design 1)."""
    alice = await world.client("alice", feature_tag=False)
    bob = await world.client("bob", feature_tag=False)
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"plain", content_type="text/plain"))
    server = await bob.expect("MESSAGE")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE between ordinary clients")


@scenario(modes=("standalone",))
async def options_ping(world):
    """OPTIONS to the server itself is answered with Allow."""
    raw = await world.raw()
    host, port = world.sip_address
    request = world.request("OPTIONS", raw, to="sip:%s:%d" % (host, port))
    same(await raw.ask(request), 200, "OPTIONS to the server")
    check("INVITE" in ",".join(raw.last.all("Allow")), "Allow %r" % raw.last.all("Allow"))
