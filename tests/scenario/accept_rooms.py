"""Conferences as an outside tester finds them, from the text alone: what the focus says of itself, whom it invites and how
it takes their answers, who may come back, modify, refer and watch, what nobody may learn of who hides, and how it ends
(F1, F24 to F34; 7.2; D1-02 to D1-39)."""
import asyncio
import re

from conference import FACTORY, begun, clients, contact_of, heard, status_of, user_of
from conference_state import GROUPS, focus_of, watched, watching
from documents import Xcap
from joining import INVITES, new_name, one, ruleset
from lists import group
from reliable import expect_prack
from ua import Failure, REQ, check, same, sdp, sip
from ua.agent import ALLOW, RESOURCE_LISTS, Dialog
from world import DOMAIN, scenario

PRIVATE = [("Privacy", "id")]


async def over(*sessions):
    for session in sessions:
        await session.wait_bye()


def check_answer(response, by):
    """7.2.1.1, of a 180 or 200 that the focus sent."""
    contact_of(response)
    check(response.get("Server", "").startswith("IM-serv/OMA1.0"), "Server %r" % response.get("Server"))
    check({"INVITE", "ACK", "BYE", "CANCEL", "REFER", "SUBSCRIBE"} <= set(response.list("Allow")),
          "Allow %r" % response.list("Allow"))
    same(sip.address(response.get("P-Asserted-Identity", ""))[1], by, "P-Asserted-Identity")


@scenario()
async def what_the_focus_says(world):
    """7.2.1.1 and 7.2.2.1: each header of the 180 and the 200, and of the INVITE, for a list and for a group."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, new_name(), [bob, alice, carol], more=INVITES)
    for target, by in ((None, FACTORY), (uri, uri)):
        outgoing = alice.invite(target) if target else alice.invite_list([bob, carol])
        to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
        for user, invitation in ((bob, to_bob), (carol, to_carol)):
            request = invitation.request
            same(user_of(request.uri), user.name, "Request-URI")
            check("explicit" in request.get("Accept-Contact"), "Accept-Contact %r" % request.get("Accept-Contact"))
            same(sip.address(request.get("P-Asserted-Identity"))[1], target or alice.uri, "P-Asserted-Identity")
            same(sip.address(request.get("Referred-By"))[1], alice.uri, "Referred-By")
            check("BYE" in request.list("Allow") and "UPDATE" in request.list("Allow"), "Allow")
            same(invitation.offer.direction, "sendrecv", "direction of the offer")
            REQ("IM-7.2.2.1-2", "IM-7.2.2.1-3", "IM-7.2.2.1-6", "IM-7.2.2.1-7", "IM-7.2.2.1-8", "IM-7.2.2.1-9", "IM-7.2.2.1-14")
        to_carol.ring()
        ringing = await outgoing.transaction.provisional(180)
        check_answer(ringing, by)
        REQ("IM-7.2.1.1-3", "IM-7.2.1.1-4", "IM-7.2.1.1-5", "IM-7.2.1.1-6", "IM-7.2.1.1-7", "IM-7.2.1.1-8")
        to_bob.ring()
        await to_bob.accept()
        await outgoing.established()
        response = outgoing.response
        check_answer(response, by)
        check("refresher=uac" in response.get("Session-Expires"), "Session-Expires %r" % response.get("Session-Expires"))
        check("timer" in response.list("Require"), "Require %r" % response.list("Require"))
        same(contact_of(ringing), contact_of(response), "session identity of the 180 and the 200")
        same(len([r for r in outgoing.transaction.provisionals if r.status == 180]), 1, "180s")
        REQ("IM-7.2.1.1-10", "IM-7.2.1.1-11", "IM-7.2.1.1-12", "IM-7.2.1.1-13", "IM-7.2.1.1-14", "IM-7.2.1.2-9", "IM-7.2.1.3-17")
        await to_carol.accept()
        await outgoing.hang_up()
        for session in (to_bob, to_carol):      # a group goes on without the originator
            await (session.hang_up() if target else session.wait_bye())


@scenario()
async def reliable_ringing(world):
    """7.2.2.2: 183 with Require: 100rel gets PRACK from the focus."""
    alice, bob = await clients(world, "alice", "bob")
    outgoing = alice.invite_list([bob])
    to_bob = await bob.expect_invite()
    response = to_bob.server.respond(183, None, [("Contact", bob.contact), ("Require", "100rel"), ("RSeq", "77")])
    early = Dialog(bob, to_bob.server.flow, to_bob.request, response, False)
    await expect_prack(early, 77, to_bob)
    REQ("IM-7.2.2.2-7")
    await to_bob.accept()
    await outgoing.established()
    await outgoing.hang_up()
    await over(to_bob)


BROKEN = (b"v=0\r\nthis is no description\r\n", b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n")


def no_path(body):
    return re.sub(rb"a=path:[^\r]*\r\n", b"", body)


@scenario()
async def answers_with_a_broken_description(world):
    """An invitee whose 200 nobody can use gets ACK and BYE, and is a leg that failed: the others come; the first 200 that
    counts is the next one."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    for edit in (lambda body: BROKEN[0], lambda body: BROKEN[1], no_path):
        outgoing = alice.invite_list([bob, carol])
        to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
        await to_bob.accept(edit=edit, bind=False)
        await over(to_bob)
        await to_carol.accept()
        await outgoing.established()
        await to_carol.send("without bob")
        await heard("without bob", outgoing)
        await outgoing.hang_up()
        await over(to_carol)
    outgoing = alice.invite_list([bob])
    to_bob = await bob.expect_invite()
    await to_bob.accept(edit=no_path, bind=False)
    await over(to_bob)
    refused = await status_of(outgoing)
    check(refused.status >= 400 and refused.status not in (401, 407, 422), "nobody left: %s" % refused)


@scenario()
async def failures_that_mean_others(world):
    """D1-19: 3xx counts as 480 and is not followed, 401, 407 and 422 are never passed on, else the lowest."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    elsewhere = [("Contact", "<%s>" % carol.uri)]
    outgoing = alice.invite_list([bob])
    (await bob.expect_invite()).refuse(302, elsewhere)
    same((await status_of(outgoing)).status, 480, "302 alone")
    await carol.quiet(0.05)
    for status in (401, 407, 422):
        outgoing = alice.invite_list([bob])
        refused = [("WWW-Authenticate", 'Digest realm="x", nonce="y"')] if status == 401 else [
            ("Proxy-Authenticate", 'Digest realm="x", nonce="y"')] if status == 407 else [("Min-SE", "100000")]
        (await bob.expect_invite()).refuse(status, refused)
        if status == 422:      # may be tried again with what he asks for
            try:
                (await bob.expect_invite(2)).refuse(422, refused)
            except Failure:
                pass
        check((await status_of(outgoing)).status in (403, 480), "%d is answered %s" % (status, outgoing.transaction.last))
    outgoing = alice.invite_list([bob, carol])
    (await bob.expect_invite()).refuse(603)
    (await carol.expect_invite()).refuse(486)
    same((await status_of(outgoing)).status, 486, "the lowest")
    REQ("IM-7.2.1.2-17", "IM-7.2.1.2-18")


@scenario()
async def lists_of_all_kinds(world):
    """D1-20, RFC 5366: many times the same is once, ourselves is nobody, an entry-ref 400; what is no URI or not served
    harms nobody else; a group of ours is its members."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    same_bob = "sip:%s@%s;x=y" % (bob.name, DOMAIN.upper())
    outgoing = alice.invite_list([bob, alice] + [bob, same_bob] * 20 + [alice])
    to_bob = await bob.expect_invite()
    await to_bob.accept()
    await outgoing.established()
    for user in (alice, bob):
        await user.quiet(0.05)
    REQ("IM-7.2.2.2-3")
    await outgoing.hang_up()
    await over(to_bob)
    entries = '<entry uri="%s"/><entry-ref ref="resource-lists/users/x/index"/>' % bob.uri
    same((await status_of(alice.invite_list([], xml=RESOURCE_LISTS % entries))).status, 400, "entry-ref")
    external = '<entry uri="%s"/><external anchor="http://xcap.example.com/x"/>' % bob.uri
    same((await status_of(alice.invite_list([], xml=RESOURCE_LISTS % external))).status, 400, "external")
    await bob.quiet(0.05)
    REQ("IM-7.2.1.2-8")
    uri = await group(world, alice, new_name(), [bob, alice, carol])
    outgoing = alice.invite_list([uri, bob])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    await to_bob.accept()
    await outgoing.established()
    await to_carol.accept()
    for user in (alice, bob, carol):
        await user.quiet(0.05)
    await outgoing.hang_up()
    await over(to_bob, to_carol)


@scenario(modes=("standalone",), transports=("tcp",))
async def conference_of_ten_thousand(world):
    """Refused as a whole: not one INVITE leaves for it; whether all are different or all the same."""
    bob = await world.client("bob")
    for entries in (["sip:n%d@x.y" % i for i in range(9999)] + [bob.uri], [bob.uri] * 3000):
        alice = await world.client("alice")      # after what is too large the connection may be closed
        xml = RESOURCE_LISTS % "".join('<entry uri="%s"/>' % entry for entry in entries)
        check((await status_of(alice.invite_list([], xml=xml))).status in (400, 413, 486, 513), "a list without end")
        await bob.quiet(0.1)


@scenario(own={"policy.feature_tag": "always"}, once=True)
async def tag_comes_first(world):
    """The feature tag is looked for before anything else: INVITE, SUBSCRIBE and REFER without it are 403, even to what is
    not there."""
    alice, bob = await clients(world, "alice", "bob")
    outgoing, (at_bob,) = await begun(world, bob, by=alice)
    uri = await group(world, alice, new_name(), [alice, bob])
    for target in (FACTORY, uri, "sip:%s@%s" % (new_name(), DOMAIN), focus_of(outgoing)):
        refused = await status_of(alice.invite(target, without=["Accept-Contact"]))
        same(refused.status, 403, "INVITE %s without the tag" % target)
        refused = await alice.ask("SUBSCRIBE", target, headers=[("Event", "conference"), ("Expires", "60")])
        same(refused.status, 403, "SUBSCRIBE %s without the tag" % target)
    REQ("IM-7.2.1.2-3", "IM-7.2.1.3-1", "IM-7.2.1.4-1", "IM-7.2.1.5-1", "IM-7.2.2.10-3")
    await outgoing.hang_up()
    await over(at_bob)


@scenario()
async def coming_back_in_order(world):
    """F27: who was never invited 403 although his description is no good too, then 488; REFER lets one in; over: 404."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob,) = await begun(world, bob, by=alice)
    focus = focus_of(outgoing)
    bad = {"edit": lambda body: body.replace(b"TCP/MSRP", b"RTP/AVP")}
    worse = {} if world.ims else bad      # on the way to the focus a Participating Function looks at it
    same((await status_of(carol.invite(focus, **worse))).status, 403, "never invited")
    REQ("IM-7.2.1.5-2", "IM-7.2.2.9-1")
    same((await status_of(bob.invite(focus, **bad))).status, 488, "no description")
    REQ("IM-7.2.1.5-5")
    await at_bob.send("nothing has changed")
    await heard("nothing has changed", outgoing)
    await alice.refer(focus, "<%s>" % carol.uri, silent=True).accepted()
    (await carol.expect_invite()).refuse(486)
    at_carol = await carol.invite(focus).established()
    check_answer(at_carol.response, FACTORY)
    REQ("IM-7.2.1.5-6", "IM-7.2.1.5-9", "IM-7.2.1.5-10")
    await at_carol.send("here I am")
    await heard("here I am", outgoing, at_bob)
    await outgoing.hang_up()
    await over(at_bob, at_carol)
    for user in (bob, carol):
        gone = await status_of(user.invite(focus, **worse))
        same(gone.status, 404, "an identity that is over, with no description either")
        check("Conference URI does not exist" in gone.get("Warning", ""), "Warning %r" % gone.get("Warning"))
    REQ("IM-7.2.2.5-3")


async def reinvite(session, accept, version, method="INVITE"):
    body = sdp.build(session.leg.local, None, None, accept, version)
    transaction = session.dialog.request(method, headers=[
        ("Allow", ALLOW), ("Supported", "timer"), ("Session-Expires", "1800;refresher=uac")], body=body,
        content_type="application/sdp")
    response = await transaction.final()
    if method == "INVITE" and response.status == 200:
        session.dialog.ack(transaction)
    return response


@scenario()
async def modified(world):
    """F34: re-INVITE and UPDATE with other types: nothing shared 488 and all stays; else a subset of what was offered, and
    only the one who asked is concerned."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice, accept="text/plain text/html message/cpim")
    for number, method in enumerate(("INVITE", "UPDATE")):
        refused = await reinvite(at_bob, "image/png", 2 + 2 * number, method)
        same(refused.status, 488, "%s with nothing shared" % method)
        REQ("IM-7.2.1.6-1")
        await at_bob.send("as before")
        await heard("as before", outgoing, at_carol)
        response = await reinvite(at_bob, "text/html text/plain application/x-unknown", 3 + 2 * number, method)
        same(response.status, 200, method)
        check(set(sdp.Description(response.body).accept_types) <= {"text/html", "text/plain"}, "answer %r" % response.body)
        check(sdp.Description(response.body).accept_types, "no types")
        REQ("IM-7.2.1.6-3", "IM-7.2.1.6-4", "IM-7.2.1.6-5")
        check("refresher=uac" in response.get("Session-Expires", ""), "Session-Expires %r" % response.get("Session-Expires"))
        contact_of(response)
    await outgoing.send("plain")
    await heard("plain", at_bob, at_carol)
    check(at_carol.dialog.incoming.empty(), "carol was asked too")
    await outgoing.hang_up()
    await over(at_bob, at_carol)


@scenario(own={"timers.min_se": "2s"}, once=True)
async def session_timers(world):
    """F32: too small 422 with Min-SE; refreshed by UPDATE it lives, with refresher=uac; not refreshed the leg gets BYE."""
    alice, bob = await clients(world, "alice", "bob")
    refused = await status_of(alice.invite_list([bob], timer="1;refresher=uac"))
    same((refused.status, refused.get("Min-SE")), (422, "2"), "Session-Expires: 1")
    outgoing = alice.invite_list([bob], timer="4;refresher=uac")
    to_bob = await bob.expect_invite()
    await to_bob.accept()
    await outgoing.established()
    expires = outgoing.response.get("Session-Expires")
    check("refresher=uac" in expires and int(expires.partition(";")[0]) <= 4, "Session-Expires %r" % expires)
    refreshed = await outgoing.dialog.request("UPDATE", headers=[
        ("Supported", "timer"), ("Session-Expires", "4;refresher=uac")]).final()
    same(refreshed.status, 200, "UPDATE")
    check("refresher=uac" in refreshed.get("Session-Expires", ""), "Session-Expires %r" % refreshed.get("Session-Expires"))
    REQ("IM-7.2.1.12-1")
    await outgoing.wait_bye()
    REQ("IM-7.2.1.12-2")
    await over(to_bob)


@scenario()
async def group_takes_so_many(world):
    """D1-20: of more members than max-participant-count the first are invited, in the order of the document, the
    originator counted and not invited."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    uri = await group(world, alice, new_name(), [bob, alice, carol, dave],
                      more=INVITES + "<max-participant-count>3</max-participant-count>")
    outgoing = alice.invite(uri)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    full = await status_of(dave.invite(uri))
    same(full.status, 486, "a pending invitation holds its place")
    check("Too many participants" in full.get("Warning", ""), "Warning %r" % full.get("Warning"))
    await to_bob.accept()
    await outgoing.established()
    await to_carol.accept()
    await dave.quiet(0.05)
    await alice.quiet(0.05)
    REQ("IM-7.2.2.3-2", "IM-7.2.2.3-3")
    for session in (outgoing, to_bob, to_carol):
        await session.hang_up()


@scenario(own={"policy.auto_release": "true"}, once=True)
async def originator_releases_group(world):
    """F30: with auto-release a group's session ends when the originator leaves; not when another one does."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, new_name(), [alice, bob, carol])
    legs = [await user.invite(uri).established() for user in (alice, bob, carol)]
    await legs[1].hang_up()
    await legs[0].send("without bob")
    await heard("without bob", legs[2])
    REQ("IM-7.2.2.8-4", "IM-7.2.2.8-11")
    await legs[0].hang_up()
    await over(legs[2])


@scenario()
async def group_deleted_while_they_join(world):
    """7.2.2.8: whoever was let in meanwhile gets BYE, the others a refusal; nobody stays in a room that is gone."""
    users = await clients(world, *["member"] * 10)
    name = new_name()
    uri = await group(world, users[0], name, users)
    first = await users[0].invite(uri).established()
    attempts = [user.invite(uri) for user in users[1:]]
    deleting = asyncio.ensure_future(Xcap(world, users[0].uri).delete(GROUPS, name, 200))
    for session in attempts:
        status = (await session.transaction.final()).status
        check(status in (200, 403, 404, 480, 487), "INVITE while the group goes: %d" % status)
        if status == 200:
            await session.wait_bye()
    await deleting
    await over(first)
    REQ("IM-7.2.2.8-15", "IM-7.2.2.5-2")
    gone = await status_of(users[1].invite(uri))
    same(gone.status, 404, "INVITE afterwards")
    check("Conference URI does not exist" in gone.get("Warning", ""), "Warning %r" % gone.get("Warning"))
    REQ("IM-7.2.1.3-2")


def hears_nothing_of(user, *names):
    for message in user.log:
        text = message.encode().decode("utf-8", "replace")
        for name in names:
            check(name not in text, "%s was shown %r in %s" % (user.name, name, message))


@scenario(once=True, seconds=60)
async def who_hides_is_nowhere(world):
    """D1-14, D1-23, D2-63: of an originator who hides and an invitee who hides, nothing that others get has the name: not
    the INVITE, not the state, not what is said, not the invitation by REFER."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    headers = [("P-Preferred-Identity", "<%s>" % alice.uri), ("Privacy", "id"),
               ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=' + sip.token(5))]
    outgoing = alice.invite_list([bob, carol], headers=headers)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    same(to_bob.request.get("Referred-By"), None, "Referred-By")
    REQ("IM-7.2.2.1-13")
    await to_bob.accept(headers=PRIVATE)
    await outgoing.established()
    await to_carol.accept()
    watcher = await watching(carol, focus_of(to_carol), entity=None)
    hidden = {entity for entity in watcher.view.users if "anonymous" in entity}
    same(len(hidden), 2, "those who hide")
    same(watcher.view.users.keys() - hidden, {carol.uri}, "those who do not")
    REQ("IM-7.2.2.11-9", "IM-7.2.2.11-11", "IM-7.2.2.11-15")
    for speaker, listeners in ((outgoing, (to_bob, to_carol)), (to_bob, (outgoing, to_carol))):
        said = ("From: Me <%s>\r\nTo: <sip:all@%s>\r\n\r\nContent-Type: text/plain\r\n\r\nboo" % (
            speaker.agent.uri, DOMAIN)).encode()
        same(await speaker.leg.send(said, content_type="message/cpim"), [200], "message/cpim")
        for listener in listeners:
            body = bytes((await listener.receive()).body)
            check(speaker.agent.name.encode() not in body, "%s heard %r" % (listener.agent.name, body))
            check(b"anonymous" in body and body.endswith(b"boo"), "%s heard %r" % (listener.agent.name, body))
    sent = alice.refer(focus_of(outgoing), "<%s>" % dave.uri, silent=True, headers=headers)
    await sent.accepted()
    to_dave = await dave.expect_invite()
    await to_dave.accept()
    await watcher.until(dave.uri, "connected")
    await outgoing.hang_up()
    await watcher.gone()
    await over(to_bob, to_carol, to_dave)
    hears_nothing_of(dave, alice.name + "@", bob.name + "@")
    hears_nothing_of(carol, alice.name + "@", bob.name + "@")
    hears_nothing_of(bob, alice.name + "@")


@watched(seconds=60)
async def state_of_a_group_at_rest(world):
    """D1-23: the entity is the group; those of the document under its URIs; a group at rest has a state too, and after the
    end one may watch again."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, new_name(), [alice, bob], rules=ruleset(
        ("<cp:identity><cp:many/></cp:identity>", ("allow-initiate-conference", "join-handling", "allow-conference-state"))))
    watcher = await watching(carol, uri, entity=uri)
    same(watcher.view.users, {}, "a group at rest")
    same(sip.address(watcher.response.get("P-Asserted-Identity"))[1], uri, "P-Asserted-Identity")
    REQ("IM-7.2.2.10-12", "IM-7.2.2.11-5")
    at_alice = await alice.invite(uri).established()
    await watcher.until(alice.uri, "connected")
    at_bob = await bob.invite(uri).established()
    await watcher.until(bob.uri, "connected")
    same(watcher.view.document.state, "partial", "state of a change")
    REQ("IM-7.2.1.4-15", "IM-7.2.1.4-16", "IM-7.2.2.11-3")
    await at_bob.hang_up()
    await watcher.until(bob.uri, None)
    REQ("IM-7.2.1.11-4", "IM-7.2.1.11-6")
    await at_alice.hang_up()
    again = await watching(bob, uri, entity=uri)
    await again.until(alice.uri, None)


@scenario()
async def replaces_of_nothing(world):
    """D1-16: a list whose entry names a dialog that is not there invites without Replaces."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    escaped = "nothing%40nowhere%3Bto-tag%3Da%3Bfrom-tag%3Db"
    outgoing = alice.invite_list(["%s?Replaces=%s" % (bob.uri, escaped), carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    for invitation in (to_bob, to_carol):
        same(invitation.request.get("Replaces"), None, "Replaces")
    await to_bob.accept()
    await outgoing.established()
    await to_carol.accept()
    await outgoing.hang_up()
    await over(to_bob, to_carol)


@scenario()
async def group_nobody_comes(world):
    """F25, D1-19: all members refuse: the lowest status, and the group is at rest as before; alone in it: 200 at once."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, new_name(), [alice, bob, carol], more=INVITES)
    outgoing = alice.invite(uri)
    (await bob.expect_invite()).refuse(603)
    (await carol.expect_invite()).refuse(486)
    same((await status_of(outgoing)).status, 486, "nobody comes")
    REQ("IM-7.2.1.3-25", "IM-7.2.1.3-26")
    outgoing = carol.invite(uri)                # begins anew, so the others are invited
    to_alice, to_bob = await alice.expect_invite(), await bob.expect_invite()
    to_bob.refuse(486)
    await to_alice.accept()
    await outgoing.established()
    await to_alice.send("the two of us")
    await heard("the two of us", outgoing)
    await outgoing.hang_up()
    await to_alice.hang_up()
    lonely = await group(world, alice, new_name(), [alice], more=INVITES)
    at_alice = await alice.invite(lonely).established()
    await alice.quiet(0.05)
    await at_alice.hang_up()


@scenario()
async def invited_and_comes_himself(world):
    """D1-09: who joins while his own invitation rings is one participant, not two; the originator gets his 200, and each
    hears what the other says once."""
    alice, bob = await clients(world, "alice", "bob")
    uri = await group(world, alice, new_name(), [alice, bob],
                      more=INVITES + "<max-participant-count>2</max-participant-count>")
    outgoing = alice.invite(uri)
    to_bob = await bob.expect_invite()
    to_bob.ring()
    at_bob = await bob.invite(uri).established()
    await to_bob.server.wait_cancel()
    await outgoing.established()
    for speaker, listener in ((outgoing, at_bob), (at_bob, outgoing)):
        await speaker.send("once")
        await heard("once", listener)
        check(listener.leg.messages.empty(), "%s heard it twice" % listener.agent.name)
    await at_bob.hang_up()
    await outgoing.hang_up()
