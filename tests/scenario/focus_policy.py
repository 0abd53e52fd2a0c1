"""How long a session of the focus lasts and who stays in it: the policies of 7.2.2, session timers, who hides, and what
they are told who watch (7.2.1.8, 7.2.1.9, 7.2.1.11, 7.2.1.12; F31, D1-19, D1-20, D1-23, D1-30)."""
import asyncio

import large_list
from conference import FACTORY, begun, clients, contact_of, heard, status_of
from conference_state import focus_of, watched, watching
from focus import EVERYBODY, PRIVATE, calls, group_of
from joining import ACTIONS, new_name, one, ruleset
from participants import change
from reliable import expect_prack, ring_reliably
from session_headers import OF_THE_CORE
from ua import Failure, REQ, agent, check, same, sdp, sip
from world import scenario


# refreshes after 3 s, and the end after 6: time enough to set up a conference first
BRIEF = {"timers.session_expires": "6s", "timers.min_se": "1s"}
BRIEFER = {"timers.session_expires": "3s", "timers.min_se": "1s"}


async def legs(world, count, seconds=10):
    """Wait until there are so many MSRP legs."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        now = (await world.gauges())["imserv_msrp_legs"]
        if now == count:
            return
        check(asyncio.get_running_loop().time() < end, "%d MSRP legs instead of %d" % (now, count))
        await asyncio.sleep(0.02)


# ---- who is invited, and what the inviter gets of it ----

@scenario()
async def more_members_than_places(world):
    """7.2.2.3: of a group that is too large the first are called, with the originator as many as it may have; when none
    of them comes he gets the lowest status."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    uri = await group_of(world, alice, [alice, bob, carol, dave], most=3)
    outgoing = alice.invite(uri)
    (await bob.expect_invite()).refuse(603)
    (await carol.expect_invite()).refuse(486)
    same((await status_of(outgoing)).status, 486, "the lowest of 603 and 486")
    REQ("IM-7.2.1.3-25", "IM-7.2.1.3-26")
    check(dave.incoming.empty(), "a fourth was called")
    REQ("IM-7.2.2.3-3")


@scenario()
async def nobody_comes_after_the_200(world):
    """7.2.1.2 and 7.2.1.3, last step: the inviter has his 200, who came has left, the others refuse: he is removed."""
    alice, bob, carol, erin = await clients(world, "alice", "bob", "carol", "erin")
    uri = await group_of(world, alice, [alice, bob, carol], rules=ruleset((EVERYBODY, ACTIONS)))
    outgoing = alice.invite(uri)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    at_erin = await erin.invite(uri).established()
    await outgoing.established()
    await at_erin.hang_up()
    to_bob.refuse(486)
    check(not outgoing.dialog.ended.is_set(), "removed while one may still come")
    to_carol.refuse(603)
    await outgoing.wait_bye()
    REQ("IM-7.2.1.3-27")
    outgoing = alice.invite_list([bob, carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    await to_bob.accept()
    await outgoing.established()
    await to_bob.hang_up()
    to_carol.refuse(486)
    await outgoing.wait_bye()
    REQ("IM-7.2.1.2-19")


# ---- how long it lasts ----

@scenario(own={"policy.auto_release": "true", "policy.remaining_participants": "0"}, once=True)
async def releases_as_the_operator_wants(world):
    """7.2.2.8: auto-release ends a group's session when its originator leaves; with 0 remaining participants an ad-hoc
    one waits for who may come back."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group_of(world, alice, [alice, bob, carol], invites=False)
    at_alice, at_bob, at_carol = [await user.invite(uri).established() for user in (alice, bob, carol)]
    await at_bob.hang_up()
    await at_alice.send("bob was not the originator")
    await heard("bob was not the originator", at_carol)
    await at_alice.hang_up()
    await at_carol.wait_bye()
    REQ("IM-7.2.2.8-4", "IM-7.2.2.8-11", "IM-7.2.2.8-17")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    for session in (to_bob, to_carol):
        await session.hang_up()
    back = await bob.invite(contact_of(to_bob.request)).established()
    await back.send("back")
    await heard("back", outgoing)
    REQ("IM-7.2.2.8-3", "IM-7.2.2.8-7")
    await outgoing.hang_up()
    await back.wait_bye()


@scenario()
async def session_of_one_listed(world):
    """D1-16: one listed user makes it a session of two, which is over when either leaves."""
    alice, bob = await clients(world, "alice", "bob")
    outgoing, (to_bob,) = await begun(world, bob, by=alice)
    back = contact_of(to_bob.request)
    await to_bob.hang_up()
    await outgoing.wait_bye()
    REQ("IM-7.2.1.2-1", "IM-7.2.2.8-8", "IM-7.2.2.8-9", "IM-7.2.2.8-12", "IM-7.2.1.11-3")
    same((await status_of(bob.invite(back))).status, 404, "INVITE to what is over")


# ---- session timers, and what is kept of an answer ----

async def answer(invitation, *headers, direction=None):
    """200 with no more than that: no session timer, no Allow."""
    user = invitation.agent
    body = sdp.build(invitation.leg.local, "passive", direction, "text/plain message/cpim *")
    response = invitation.server.respond(200, "OK", [("Contact", user.contact), *headers], body, "application/sdp")
    invitation.dialog = agent.Dialog(user, invitation.server.flow, invitation.request, response, False)
    await invitation.server.wait_ack()
    await invitation.bind()


async def refreshed(session, method, direction=None):
    """The focus refreshes that session, by that method."""
    server = await asyncio.wait_for(session.dialog.incoming.get(), session.agent.patience)
    same(server.request.method, method, "refresh of " + session.agent.name)
    body = sdp.build(session.leg.local, "active" if session.active else "passive", direction,
                     "text/plain message/cpim *") if method == "INVITE" else b""
    server.respond(200, "OK", [("Contact", session.agent.contact)], body, "application/sdp" if body else None)
    if method == "INVITE":
        await server.wait_ack()


@scenario(own=BRIEF, once=True, modes=("standalone",))
async def allow_is_kept(world):
    """Who knows no session timer is refreshed by the focus: by UPDATE where INVITE, 180 or 200 said that in Allow, by
    re-INVITE where they did not (D1-37)."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    for user in (alice, bob, carol, dave):
        user.auto_refresh = False
    outgoing = alice.invite_list([bob, carol, dave], timer=None, headers=[("Allow", "INVITE, ACK, BYE, CANCEL")])
    to_bob, to_carol, to_dave = [await user.expect_invite() for user in (bob, carol, dave)]
    to_bob.ring(headers=[("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")])
    await outgoing.transaction.provisional(180)
    await answer(to_bob)
    await outgoing.established()
    await answer(to_carol, ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"))
    await answer(to_dave, ("Allow", "INVITE, ACK, BYE, CANCEL"))
    await asyncio.gather(refreshed(outgoing, "INVITE"), refreshed(to_bob, "UPDATE"), refreshed(to_carol, "UPDATE"),
                         refreshed(to_dave, "INVITE"))
    REQ("IM-7.2.1.1-1", "IM-7.2.2.2-9", "IM-7.2.2.2-11")
    for user in (alice, bob, carol, dave):
        user.auto_refresh = True
    await outgoing.hang_up()
    for session in (to_bob, to_carol, to_dave):
        await session.wait_bye()


@scenario(own=BRIEFER, once=True, modes=("standalone",))
async def silent_participants_are_removed(world):
    """7.2.1.12: who promised to refresh and does not gets BYE; the others go on, until it is the originator's turn."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    outgoing = alice.invite_list([bob, carol, dave], timer=None)   # refreshed by the focus
    to_bob, to_carol, to_dave = [await user.expect_invite() for user in (bob, carol, dave)]
    await to_bob.accept()                                          # refresher=uas: his is the duty
    await outgoing.established()
    await to_carol.accept(session_timer=False)
    await to_dave.accept(session_timer=False)
    bye = await to_bob.wait_bye()
    check(bye.get("Reason"), "BYE without Reason")
    REQ("IM-7.2.1.12-2", "IM-7.2.2.1-15")
    await outgoing.send("bob was silent")
    await heard("bob was silent", to_carol, to_dave)
    await outgoing.hang_up()
    for session in (to_carol, to_dave):
        await session.wait_bye()
    outgoing = alice.invite_list([carol], timer="2;refresher=uac")
    to_carol = await carol.expect_invite()
    await to_carol.accept(session_timer=False)
    await outgoing.established()
    same(outgoing.response.get("Session-Expires"), "2;refresher=uac", "Session-Expires of the 200")
    for session in (outgoing, to_carol):
        await session.wait_bye()
    REQ("IM-7.2.1.1-11")


@scenario(own=BRIEF, once=True, modes=("standalone",))
async def allow_of_a_list_is_kept(world):
    """9.3.2.1: so are the legs of a large message, while its sender takes his time; and their BYE goes to the Contact
    of their 200."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = large_list.offer(alice, [bob, carol], 5, timer=None)   # refreshed by the focus
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    bob.__class__ = AtHisDesk
    bob.auto_refresh = carol.auto_refresh = False
    await answer(to_bob, ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"), direction="recvonly")
    await large_list.established(outgoing)
    await answer(to_carol, ("Allow", "INVITE, ACK, BYE, CANCEL"), direction="recvonly")
    await asyncio.gather(refreshed(to_bob, "UPDATE"), refreshed(to_carol, "INVITE", "recvonly"))
    REQ("IM-9.3.2.1-11")
    bob.auto_refresh = True
    await outgoing.send(b"hello")
    for session in (to_bob, to_carol):
        await large_list.got(session, b"hello")
    await outgoing.hang_up()
    same((await to_bob.wait_bye()).uri, sip.address(bob.contact)[1], "Request-URI of BYE")
    REQ("IM-9.3.2.1-12")
    await to_carol.wait_bye()


@scenario(modes=("ims",))
async def list_by_way_of_the_core(world):
    """9.3.1.2, 9.3.2.1 in IMS: what a core adds is tolerated; the INVITEs of the legs, and their CANCELs, go to the core,
    with the sender's asserted identity and to the recipient's address."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    world.core.asserted[alice.name] = '"Alice A." <%s>' % alice.uri
    outgoing = alice.invite(FACTORY, direction="sendonly", extra=["a=filesize:5"],
                            headers=[("Require", "recipient-list-invite"), *OF_THE_CORE],
                            edit=lambda body: large_list.multipart(body, [bob, carol]), content_type="multipart/mixed;boundary=b")
    sessions = await bob.expect_invite(), await carol.expect_invite()
    for invitation, request in zip(sessions, calls(world, *sessions)):
        same(request.uri, invitation.agent.uri, "Request-URI")
        same(request.get("P-Asserted-Identity"), '"Alice A." <%s>' % alice.uri, "P-Asserted-Identity")
        check(not request.all("Route"), "Route of a request that is the focus's own: %s" % request.all("Route"))
        invitation.ring()
    REQ("IM-9.3.2.1-15")
    await outgoing.transaction.provisional(180)
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "INVITE")
    for invitation in sessions:
        await invitation.server.wait_cancel()
    cancelled = {sip.address(m.get("To"))[1] for m in world.core.from_server if m.method == "CANCEL"}
    check({bob.uri, carol.uri} <= cancelled, "CANCELs that went to the core: %s" % cancelled)
    REQ("IM-9.3.1.2-2")


class AtHisDesk(agent.Agent):
    """Answers from another Contact than he has registered."""

    @property
    def contact(self):
        return "<%s>;%s" % (self.endpoint.uri("desk"), sip.FEATURE_TAG)


@scenario(modes=("standalone",))
async def contact_is_kept(world):
    """What an invitee says in Contact is where the requests of his dialog go: PRACK to that of the 183, BYE to that of
    the 200."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    bob.__class__ = carol.__class__ = AtHisDesk
    early = ring_reliably(to_bob, 7, 183)
    request = (await expect_prack(early, 7, to_bob)).request
    same(request.uri, sip.address(bob.contact)[1], "Request-URI of PRACK")
    REQ("IM-7.2.2.2-10")
    await to_carol.accept()
    await outgoing.established()
    await outgoing.hang_up()
    await to_bob.server.wait_cancel()
    same((await to_carol.wait_bye()).uri, sip.address(carol.contact)[1], "Request-URI of BYE")
    REQ("IM-7.2.2.2-12")


@scenario()
async def change_that_counts(world):
    """F34: who says by re-INVITE that he only sends is sent nothing more, until he says otherwise."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    same((await change(to_bob, 2, "text/plain message/cpim *", direction="sendonly")).status, 200, "re-INVITE")
    before = to_bob.leg.chunks
    await outgoing.send("not to bob")
    await heard("not to bob", to_carol)
    await to_bob.send("from bob")
    await heard("from bob", outgoing, to_carol)
    same(to_bob.leg.chunks, before, "chunks for one who only sends")
    same((await change(to_bob, 3, "text/plain message/cpim *", direction="sendrecv")).status, 200, "re-INVITE")
    await outgoing.send("to all")
    await heard("to all", to_bob, to_carol)
    REQ("IM-7.2.1.6-2")
    await outgoing.hang_up()
    for session in (to_bob, to_carol):
        await session.wait_bye()


# ---- who hides ----

@scenario()
async def inviter_who_hides(world):
    """7.2.2.1: Privacy: id is handed on to those who are invited, Referred-By says nobody then (D1-14)."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol], headers=[PRIVATE])
    sessions = await bob.expect_invite(), await carol.expect_invite()
    for request in calls(world, *sessions):
        same(request.get("Privacy"), "id", "Privacy")
        check(alice.name not in request.get("Referred-By", ""), "Referred-By %r" % request.get("Referred-By"))
    REQ("IM-7.2.2.1-13")
    for session in sessions:
        check(alice.name not in session.request.encode().decode(), "the inviter is named: %s" % session.request)
        await session.accept()
    await outgoing.established()
    await outgoing.hang_up()
    for session in sessions:
        await session.wait_bye()


@watched(seconds=60)
async def invitees_who_hide(world):
    """7.2.2.2: Privacy: id of a 200 needs allow-anonymity, else BYE; who may is sip:anonymousN to those who watch, and
    who does not hide has there the name that the group gives him."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group_of(world, alice, [(alice, "The Boss"), bob, carol], rules=ruleset(
        (one(alice), ACTIONS), (one(bob), ("join-handling",)), (one(carol), ("join-handling", "allow-anonymity"))))
    outgoing = alice.invite(uri)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    await to_bob.accept(headers=[PRIVATE], bind=False)
    await to_bob.wait_bye()
    REQ("IM-7.2.2.2-13", "IM-7.2.2.2-14")
    await to_carol.accept(headers=[PRIVATE])
    await outgoing.established()
    watcher = await watching(alice, uri, entity=uri)
    hidden = watcher.view.connected - {alice.uri}
    same(len(hidden), 1, "who hides")
    check(hidden.pop().startswith("sip:anonymous"), "who hides: %s" % watcher.view.users)
    REQ("IM-7.2.2.11-11")
    same(watcher.view.names[alice.uri], "The Boss", "display-text")
    REQ("IM-7.2.2.11-12")
    await to_carol.hang_up()
    await outgoing.hang_up()
    await watcher.gone()


# ---- what is told of who comes and goes ----

@watched(seconds=90)
async def told_of_who_leaves(world):
    """BYE and REFER with method=BYE are told to those who stay, who left watches no more (D1-23); coming back is told."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    outgoing, (to_bob, to_carol, to_dave) = await begun(world, bob, carol, dave, by=alice)
    by_alice, by_bob = await watching(alice, focus_of(outgoing)), await watching(bob, focus_of(to_bob))
    uri = to_bob.dialog.target
    sent = bob.refer(uri, "<%s;method=BYE>" % uri, dialog=None, silent=True)
    await sent.accepted()
    await to_bob.wait_bye()
    await by_alice.until(bob.uri, None)
    REQ("IM-7.2.1.8-9", "IM-7.2.1.8-11")
    await by_bob.gone()
    REQ("IM-7.2.1.8-10")
    await to_dave.hang_up()
    REQ("IM-7.2.1.11-1")
    await by_alice.until(dave.uri, None)
    REQ("IM-7.2.1.11-6")
    back = await bob.invite(contact_of(to_bob.request)).established()
    await by_alice.until(bob.uri, "connected")
    REQ("IM-7.2.1.5-11", "IM-7.2.1.5-12")
    await outgoing.hang_up()
    for session in (to_carol, back):
        await session.wait_bye()
    await by_alice.gone()


async def is_stopped(session):
    """Its MSRP session is no more."""
    try:
        codes = await asyncio.wait_for(session.leg.send(b"too late"), session.agent.patience)
    except (ConnectionError, Failure):
        codes = [481]
    check(set(codes) <= {481, 0}, "a leg that was stopped took a chunk: %s" % codes)


@watched(seconds=60)
async def told_of_who_is_removed(world):
    """7.2.1.9: the group no longer has him: his MSRP leg stops, he gets BYE, with his 200 the leg is gone, and the
    others are told; so is who joins."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    name = new_name()
    uri = await group_of(world, alice, [alice, bob, carol], name, invites=False, rules=ruleset((one(alice), ACTIONS), (
        one(bob), ("join-handling",)), (one(carol), ("join-handling",))))
    before = (await world.gauges())["imserv_msrp_legs"]
    at_alice = await alice.invite(uri).established()
    watcher = await watching(alice, uri, entity=uri)
    one_leg = (await world.gauges())["imserv_msrp_legs"] - before
    at_bob = await bob.invite(uri).established()
    at_carol = await carol.invite(uri).established()
    await watcher.until(carol.uri, "connected")
    REQ("IM-7.2.1.4-16")
    await group_of(world, alice, [alice, carol], name, 200, invites=False, rules=ruleset(
        (one(alice), ACTIONS), (one(carol), ("join-handling",))))
    await at_bob.dialog.wait_bye()
    REQ("IM-7.2.1.9-2", "IM-7.2.1.9-3", "IM-7.2.2.8-16")
    await is_stopped(at_bob)
    at_bob.leg.close()
    REQ("IM-7.2.1.9-1")
    await legs(world, before + 2 * one_leg)
    REQ("IM-7.2.1.9-4")
    await watcher.until(bob.uri, None)
    REQ("IM-7.2.1.9-5", "IM-7.2.1.9-6")
    await at_carol.dialog.hang_up()
    await is_stopped(at_carol)
    at_carol.leg.close()
    await legs(world, before + one_leg)
    REQ("IM-7.2.1.11-2")
    await at_alice.hang_up()
    await watcher.gone()
