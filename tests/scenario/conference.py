"""Ad-hoc conferences of the factory (F24, F27, F30, F31; D1-09, D1-19 to D1-22, D1-30)."""
import asyncio

from ua import REQ, check, same, sip
from ua.agent import Session
from world import DOMAIN, scenario

FACTORY = "sip:factory@" + DOMAIN


def contact_of(message):
    """(URI, parameters) of the focus as this request or response shows it."""
    _, uri, parameters = sip.address(message.list("Contact")[0])
    check("isfocus" in parameters and sip.FEATURE_TAG in parameters, "Contact %r" % message.get("Contact"))
    return uri


def user_of(uri):
    return uri.partition(":")[2].partition("@")[0]


async def clients(world, *names):
    return [await world.client(name) for name in names]


async def begun(world, *invited, by=None, accept=None, **more):
    """(originator's session, invitations) of an ad-hoc conference that all have joined."""
    alice = by or await world.client("alice")
    outgoing = alice.invite_list(invited, **more)
    invitations = [await user.expect_invite() for user in invited]
    for invitation in invitations:
        await invitation.accept(accept=accept)
    await outgoing.established()
    return outgoing, invitations


async def heard(text, *listeners):
    for listener in listeners:
        same(bytes((await listener.receive()).body), text.encode(), "what %s hears" % listener.agent.name)


@scenario()
async def adhoc_conference(world):
    """F24: the factory invites those of the list, the first 200 is the originator's, what each says all others hear."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol, bob])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    for invitation in (to_bob, to_carol):
        request = invitation.request
        same(sip.address(request.get("Referred-By"))[1], alice.uri, "Referred-By")
        same(sip.address(request.get("P-Asserted-Identity"))[1], alice.uri, "P-Asserted-Identity")
        check("refresher=uas" in request.get("Session-Expires"), "Session-Expires %r" % request.get("Session-Expires"))
        check({"timer", "100rel"} <= {tag.strip() for tag in request.get("Supported").split(",")}, "Supported")
        check(sip.FEATURE_TAG in request.get("Accept-Contact"), "Accept-Contact")
        check(b"resource-lists" not in request.body, "the list went on")
        check(request.get("User-Agent").startswith("IM-serv/OMA1.0"), "User-Agent")
    focus = user_of(contact_of(to_bob.request))
    same(user_of(contact_of(to_carol.request)), focus, "session identity")
    to_bob.ring()
    to_carol.ring()
    ringing = await outgoing.transaction.provisional(180)
    check(world.ims or user_of(contact_of(ringing)) == focus, "session identity of the 180")
    await to_bob.accept()
    await outgoing.established()
    response = outgoing.response
    check(world.ims or user_of(contact_of(response)) == focus, "session identity of the 200")
    same(sip.address(response.get("P-Asserted-Identity"))[1], FACTORY, "P-Asserted-Identity of the 200")
    check(world.ims or "refresher=uac" in response.get("Session-Expires"), "Session-Expires %r" % response.get("Session-Expires"))
    await to_carol.accept()
    REQ("IM-7.2.1.2-7", "IM-7.2.1.2-8")
    await outgoing.send("hello all")
    await heard("hello all", to_bob, to_carol)
    await to_carol.send("hello from carol")
    await heard("hello from carol", outgoing, to_bob)
    await outgoing.hang_up()
    await to_bob.wait_bye()
    await to_carol.wait_bye()


async def status_of(session):
    return await session.transaction.final()


@scenario()
async def adhoc_refusals(world):
    """F24-2 and 7.2.1.2 in their order: description 488, list 400, too many 486 with Warning, nobody to be reached."""
    alice, bob = await clients(world, "alice", "bob")
    broken = await status_of(alice.invite_list([bob], edit=lambda body: body.replace(b"TCP/MSRP", b"RTP/AVP")))
    same(broken.status, 488, "another transport")
    for warning, more in (("Recipient list missing", None), ("Malformed recipient list", {"xml": "<resource-lists"}),
                          ("Nobody else in the recipient list", {"entries": [alice]}),
                          ("Too many entries in the recipient list",
                           {"entries": ["sip:nobody%d@%s" % (i, DOMAIN) for i in range(101)]})):
        refused = await status_of(alice.invite_list(more.pop("entries", []), **more) if more else alice.invite(FACTORY))
        same(refused.status, 400, warning)
        check(warning in refused.get("Warning", ""), "Warning %r" % refused.get("Warning"))
    too_many = await status_of(alice.invite_list(["sip:nobody%d@%s" % (i, DOMAIN) for i in range(100)]))
    same(too_many.status, 486, "101 with himself")
    check("Too many participants" in too_many.get("Warning"), "Warning %r" % too_many.get("Warning"))
    REQ("IM-7.2.1.2-6")
    await bob.quiet(0.05)


@scenario(modes=("standalone",))
async def adhoc_nobody_there(world):
    """D1-19: the lowest status of all; users who are away, elsewhere or no URI at all are legs that fail."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol, "sip:away@" + DOMAIN, "sip:x@elsewhere.invalid"])
    (await bob.expect_invite()).refuse(486)
    (await carol.expect_invite()).refuse(603)
    same((await status_of(outgoing)).status, 404, "the lowest of 404, 480, 486, 603")
    outgoing = alice.invite_list([bob, carol])
    (await bob.expect_invite()).refuse(486)
    (await carol.expect_invite()).refuse(603)
    same((await status_of(outgoing)).status, 486, "the lowest of 486 and 603")
    REQ("IM-7.2.1.2-17", "IM-7.2.1.2-18")


@scenario()
async def adhoc_cancelled(world):
    """7.2.2.4: his CANCEL takes every invitation back; who answers 200 all the same gets ACK and BYE."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    to_bob.ring(), to_carol.ring()
    await outgoing.transaction.provisional(180)
    to_carol.server.auto_cancel = False
    outgoing.transaction.cancel()
    same((await status_of(outgoing)).status, 487, "cancelled INVITE")
    await to_bob.server.wait_cancel()
    await to_carol.server.wait_cancel()
    await to_carol.accept(bind=False)
    await to_carol.wait_bye()


@scenario()
async def leaving_and_coming_back(world):
    """F30, F27: who leaves hears nothing more and may come back by the session identity; who was never invited not."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    focus = contact_of(at_bob.request)
    await at_bob.hang_up()
    await outgoing.send("without bob")
    await heard("without bob", at_carol)
    same((await status_of(dave.invite(focus))).status, 403, "never invited")
    REQ("IM-7.2.2.9-1")
    back = await bob.invite(focus).established()
    await at_carol.send("bob is back")
    await heard("bob is back", outgoing, back)
    again = await bob.invite(focus).established()
    await back.wait_bye()
    await outgoing.send("once more")
    await heard("once more", again, at_carol)
    await outgoing.hang_up()
    await again.wait_bye()
    await at_carol.wait_bye()
    gone = await status_of(bob.invite(focus))
    same(gone.status, 404, "INVITE to a session that is over")
    check("Conference URI does not exist" in gone.get("Warning"), "Warning %r" % gone.get("Warning"))


@scenario()
async def one_to_one_by_factory(world):
    """D1-16: one listed user; when either leaves it is over."""
    alice, bob = await clients(world, "alice", "bob")
    for who in (0, 1):
        outgoing, (at_bob,) = await begun(world, bob, by=alice)
        await at_bob.send("just us")
        await heard("just us", outgoing)
        await (outgoing, at_bob)[who].hang_up()
        await (at_bob, outgoing)[who].wait_bye()


@scenario()
async def few_remain(world):
    """F31, D1-30: the originator stays, but number-of-remaining-participants are left."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    await at_bob.hang_up()
    await outgoing.send("two left")
    await heard("two left", at_carol)
    await at_carol.hang_up()
    await outgoing.wait_bye()
    REQ("IM-7.2.2.8-7", "IM-7.2.2.8-13", "IM-7.2.1.11-3")


@scenario()
async def agreed_types(world):
    """D1-22, F34: what is offered to the invited is the originator's, his answer has what the first takes too; one with
    whom nothing is shared gets BYE after his ACK, a re-INVITE with nothing shared 488."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol], accept="text/plain text/html")
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    same(sorted(to_bob.offer.accept_types), ["text/html", "text/plain"], "offered")
    await to_bob.accept(accept="text/plain")
    await outgoing.established()
    same(outgoing.answer.accept_types, ["text/plain"], "answered")
    await to_carol.accept(accept="image/png", bind=False)
    await to_carol.wait_bye()
    await outgoing.send("plain")
    await heard("plain", to_bob)
    same(await outgoing.leg.send(b"<p>", content_type="text/html"), [415], "what the session does not use")
    await outgoing.hang_up()
    await to_bob.wait_bye()


@scenario()
async def two_become_three(world):
    """F33: a list that names, with the peer, the dialog of the session that there is: his INVITE has Replaces of that
    dialog as he knows it, and he ends it."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    at_alice, at_bob = await world.session(alice, bob)
    dialog = at_alice.dialog
    replaces = "%s;to-tag=%s;from-tag=%s" % (dialog.invite.call_id, dialog.remote_tag, dialog.local_tag)
    escaped = replaces.replace("@", "%40").replace(";", "%3B").replace("=", "%3D")
    outgoing = alice.invite_list(["%s?Replaces=%s" % (bob.uri, escaped), carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    check("?" not in to_bob.request.uri, "Request-URI %r" % to_bob.request.uri)
    if not world.ims:
        known = at_bob.dialog
        same(sorted(to_bob.request.get("Replaces").split(";")), sorted([
            known.invite.call_id, "to-tag=" + known.local_tag, "from-tag=" + known.remote_tag]), "Replaces")
    same(to_carol.request.get("Replaces"), None, "Replaces to who is new")
    await to_bob.accept()
    await outgoing.established()
    await to_carol.accept()
    await at_bob.hang_up()
    await at_alice.wait_bye()
    await outgoing.send("now we are three")
    await heard("now we are three", to_bob, to_carol)
    await outgoing.hang_up()
    await to_bob.wait_bye()
    await to_carol.wait_bye()


@scenario(own={"policy.session_max_length": "2s"}, once=True)
async def longest_session(world):
    """F31: policy.session_max_length ends it for everybody; until then the API lists it."""
    alice, bob = await clients(world, "alice", "bob")
    outgoing, (at_bob,) = await begun(world, bob, by=alice)
    status, listed = await world.server.api("GET", "conferences")
    same(status, 200, "GET conferences")
    same([(c["kind"], c["participants"], c["from"]) for c in listed["items"]],
         [("1-1", 2, "%s@%s" % (alice.name, DOMAIN))], "conferences")
    await outgoing.wait_bye()
    await at_bob.wait_bye()
    REQ("IM-7.2.2.8-6", "IM-7.2.2.8-14")


@scenario(own={"policy.allow_anonymity": "false"}, once=True)
async def nobody_unnamed(world):
    """policy.allow_anonymity: who hides begins no conference, and an invitee who answers so gets BYE."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    same((await status_of(alice.invite_list([bob], headers=[("Privacy", "id")]))).status, 403, "Privacy: id")
    outgoing = alice.invite_list([bob, carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    await to_bob.accept(headers=[("Privacy", "id")], bind=False)
    await to_bob.wait_bye()
    await to_carol.accept()
    await outgoing.established()
    await outgoing.hang_up()
    await to_carol.wait_bye()


@scenario()
async def invitation_expires(world):
    """RFC 3261 13.3.1: nobody answered within the Expires of his INVITE: 487, and the invitations are taken back."""
    alice, bob = await clients(world, "alice", "bob")
    outgoing = alice.invite_list([bob], headers=[("Expires", "1")])
    to_bob = await bob.expect_invite()
    to_bob.ring()
    same((await status_of(outgoing)).status, 487, "INVITE that has expired")
    await to_bob.server.wait_cancel()
