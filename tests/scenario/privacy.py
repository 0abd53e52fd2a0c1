"""P-Asserted-Identity and Privacy (5.2, D1-14, design 4 Identity)."""
import asyncio

from ua import REQ, check, msrp, same, sdp, sip
from world import DOMAIN, scenario


async def delivered(sender, receiver, **more):
    """The MESSAGE as the receiver sees it; it gets 200."""
    sending = sender.start(sender.build("MESSAGE", receiver.uri, body=b"x", content_type="text/plain", **more))
    server = await receiver.expect("MESSAGE")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE")
    return server.request


@scenario(modes=("ims",))
async def asserted_identity_is_copied(world):
    """The display name in P-Asserted-Identity travels; the From header alone is no identity."""
    alice, bob = await world.pair()
    world.core.asserted[alice.name] = '"Alice A." <%s>' % alice.uri
    got = await delivered(alice, bob)
    same(got.get("P-Asserted-Identity"), '"Alice A." <%s>' % alice.uri, "P-Asserted-Identity at B")
    REQ("IM-5.2-1", "IM-6.2.2.1-7", "IM-G-1")
    world.core.assert_identity = False
    same((await alice.pager(bob, "who am I")).status, 403, "MESSAGE without P-Asserted-Identity")
    same((await alice.invite(bob).transaction.final()).status, 403, "INVITE without P-Asserted-Identity")
    REQ("IM-5.2-9", "IM-12.1.3.2-1", "IM-12.1-2")
    await bob.quiet(0.05)


@scenario(modes=("ims",))
async def privacy_towards_trusted_core(world):
    """With Privacy: id the server keeps P-Asserted-Identity and Privacy towards the trusted core, which
    takes the identity away for the client (D1-14)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[
        ("Privacy", "id"), ("From", "<sip:anonymous@anonymous.invalid>;tag=" + sip.token(4))])
    invitation = await bob.expect_invite()
    same(invitation.request.get("Privacy"), "id", "Privacy at B")
    REQ("IM-6.2.7.1-2")
    check(not invitation.request.all("P-Asserted-Identity"), "B sees the identity")
    # what a scenario before left is not of this call
    sent = [m for m in world.core.from_server if m.method == "INVITE" and sip.address(m.get("To"))[1] == bob.uri]
    check(sent, "no INVITE for Bob came to the core")
    for m in sent:
        same(sip.address(m.get("P-Asserted-Identity", ""))[1], alice.uri, "identity towards the core")
        same(m.get("Privacy"), "id", "Privacy towards the core")
    REQ("IM-12.3-1", "IM-12.3-3", "IM-12.3-5", "IM-12.3-11", "IM-12.1-2")
    invitation.ring(headers=[("Privacy", "id")])
    await outgoing.transaction.provisional(180)
    accepting = asyncio.ensure_future(invitation.accept(headers=[("Privacy", "id")]))
    await outgoing.established()
    await accepting
    same(outgoing.response.get("Privacy"), "id", "Privacy of the 200")
    REQ("IM-6.2.7.1-20", "IM-6.2.7.1-23")
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario(modes=("ims",), own={"policy.allow_anonymity": "false"}, once=True)
async def anonymity_refused(world):
    """policy.allow_anonymity off: MESSAGE with Privacy: id is refused with 403."""
    alice, bob = await world.pair()
    same((await alice.pager(bob, "x", headers=[("Privacy", "id")])).status, 403, "anonymous MESSAGE")
    REQ("IM-6.2.4.1-2")
    await delivered(alice, bob)


@scenario(modes=("standalone",))
async def client_sent_identity_is_removed(world):
    """Standalone: what a client puts into P-Asserted-Identity is not believed; B is told the identity
    that From proved to be."""
    alice, bob = await world.pair()
    got = await delivered(alice, bob, headers=[("P-Asserted-Identity", "<sip:king@%s>" % DOMAIN)])
    check("king" not in got.encode().decode(), "the claimed identity reached B")
    same(sip.address(got.get("P-Asserted-Identity", ""))[1], alice.uri, "P-Asserted-Identity at B")
    outgoing = alice.invite(bob, headers=[("P-Asserted-Identity", "<sip:king@%s>" % DOMAIN)])
    invitation = await bob.expect_invite()
    check("king" not in invitation.request.encode().decode(), "the claimed identity reached B")
    REQ("IM-G-1", "IM-12.1-2")
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario(modes=("standalone",))
async def standalone_is_the_privacy_service(world):
    """Standalone with Privacy: id (header, user, critical too): B sees an anonymous From, no
    P-Asserted-Identity, and nothing else that names A (design 13)."""
    alice, bob = await world.pair()
    for value in ("id", "header", "user", "user;critical"):
        got = await delivered(alice, bob, headers=[("Privacy", value)])
        text = got.encode().decode()
        check(alice.name not in text, "Privacy: %s: %s is named in %s" % (value, alice.name, text))
        check("anonymous" in sip.address(got.get("From"))[1], "From %r" % got.get("From"))
        check(not got.all("P-Asserted-Identity"), "P-Asserted-Identity with Privacy: " + value)
        REQ("IM-12.3-1")
    outgoing = alice.invite(bob, headers=[("Privacy", "id")])
    invitation = await bob.expect_invite()
    text = invitation.request.encode().decode()
    check(alice.name not in text, "%s is named in %s" % (alice.name, text))
    invitation.ring()
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    await outgoing.send("guess who")
    await invitation.receive()
    await invitation.hang_up()
    await outgoing.wait_bye()


@scenario()
async def no_privacy_wanted(world):
    """Privacy: none asks for nothing to be hidden: B sees the identity, and the header (RFC 3323 4.2)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("Privacy", "none"), ("Subject", "lunch")])
    invitation = await bob.expect_invite()
    same(invitation.request.get("Privacy"), "none", "Privacy at B")
    same(invitation.request.get("Subject"), "lunch", "Subject at B")
    same(sip.address(invitation.request.get("P-Asserted-Identity", "<>"))[1], alice.uri, "P-Asserted-Identity at B")
    REQ("IM-12.3-8")
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario(modes=("standalone",))
async def privacy_covers_descriptions(world):
    """Standalone: what describes the caller does not reach B either (RFC 3323 4.1), neither headers that
    are passed on otherwise nor the description's free text; without Privacy it does (design 13)."""
    alice, bob = await world.pair()
    telling = [(name, "a word of alice") for name in ("Subject", "Organization", "X-Unknown")]
    telling += [("Call-Info", "<http://h.invalid/alice>;purpose=icon"), ("In-Reply-To", "alice@h")]
    for privacy, named in (((), True), ([("Privacy", "user")], False)):
        got = await delivered(alice, bob, headers=telling + list(privacy))
        for name, value in telling:
            same(name in got.encode().decode(), named, "%s with %r" % (name, privacy))
        outgoing = alice.invite(bob, headers=telling + list(privacy))
        invitation = await bob.expect_invite()
        for name, value in telling:
            same(name in invitation.request.encode().decode(), named, "%s with %r" % (name, privacy))
        invitation.refuse(486)
        await outgoing.transaction.final()
    leg = msrp.Leg(alice.msrp)
    alice.keep_secret(leg)
    offer = sdp.build(leg.local, "actpass").replace(b"s=-", b"s=alice's\r\ne=alice@example.com")
    check(b"alice's" in offer, "the offer of the test")
    outgoing = alice.invite(bob, headers=[("Privacy", "id")], offer=offer)
    invitation = await bob.expect_invite()
    check(b"alice" not in invitation.request.body, "the description names the caller")
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario(modes=("standalone",))
async def foreign_from_is_no_identity(world):
    """Standalone: a From outside the home domains is 403 for INVITE and MESSAGE; the literal address of
    a listener counts as home domain."""
    alice, bob = await world.pair()
    stranger = ("From", "<sip:alice@elsewhere.invalid>;tag=1")
    same((await alice.pager(bob, "x", headers=[stranger])).status, 403, "MESSAGE")
    same((await alice.invite(bob, headers=[stranger]).transaction.final()).status, 403, "INVITE")
    REQ("IM-5.2-9")
    literal = "<sip:%s@%s:%d>;tag=2" % ((alice.name,) + world.sip_address)
    await delivered(alice, bob, headers=[("From", literal)])
    sending = alice.start(alice.build("MESSAGE", "sip:%s@%s:%d" % ((bob.name,) + world.sip_address),
                                      body=b"x", content_type="text/plain"))
    (await bob.expect("MESSAGE")).respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE to the literal address")


ANONYMOUS = ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=an')


@scenario(modes=("standalone",))
async def anonymous_by_flow(world):
    """Standalone without digest: an anonymous From is who P-Preferred-Identity says, else the one user who
    registered by the flow that the request came by; nobody or several are nobody: 403 (design 13)."""
    alice, bob = await world.pair()
    stranger = await world.client("mallory", register=False)
    for how in ([], [("P-Preferred-Identity", "<%s>" % alice.uri)], [("P-Preferred-Identity", "<sip:x@else.invalid>")]):
        got = await delivered(alice, bob, headers=[ANONYMOUS] + how)
        check(alice.name not in got.encode().decode(), "%s is named with %s" % (alice.name, how))
        outgoing = alice.invite(bob, headers=[ANONYMOUS] + how)
        invitation = await bob.expect_invite()
        check(alice.name not in invitation.request.encode().decode(), "the caller is named")
        accepting = asyncio.ensure_future(invitation.accept())
        await outgoing.established()
        await accepting
        await outgoing.hang_up()
        await invitation.wait_bye()
    same((await stranger.pager(bob, "x", headers=[ANONYMOUS])).status, 403, "MESSAGE by an unknown flow")
    same((await stranger.invite(bob, headers=[ANONYMOUS]).transaction.final()).status, 403, "INVITE by an unknown flow")
    REQ("IM-5.2-9")
    for uri, expires in (("sip:second%s@%s" % (alice.name, DOMAIN), "600"), ("sip:second%s@%s" % (alice.name, DOMAIN), "0")):
        request = alice.build("REGISTER", "sip:" + DOMAIN, headers=[("From", "<%s>;tag=2" % uri), ("Expires", expires)])
        request.put("To", "<%s>" % uri)
        same((await alice.start(request).final()).status, 200, "REGISTER of a second user by that flow")
        if expires == "600":
            same((await alice.pager(bob, "x", headers=[ANONYMOUS])).status, 403, "MESSAGE by a shared flow")
    await delivered(alice, bob, headers=[ANONYMOUS])
    same((await alice.register(0)).status, 200, "de-registration")
    same((await alice.pager(bob, "x", headers=[ANONYMOUS])).status, 403, "MESSAGE after de-registration")
    await bob.quiet(0.05)
