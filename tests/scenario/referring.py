"""REFER at the focus: adding one or many, leaving by method=BYE, the NOTIFYs of what came of it, and what is refused
(7.2.1.7, 7.2.1.8; F28, F29; RFC 3515, 4488, 5368)."""
import asyncio

from lists import group
from ua import REQ, check, same, sip
from world import DOMAIN, scenario


class Room:
    """An ad-hoc conference of a host and those whom he invited."""

    def __init__(self, world, host, session, guests):
        self.world, self.host, self.session, self.guests = world, host, session, guests

    @property
    def identity(self):
        """As the host knows it: what stood in the Contact of his 200."""
        return self.session.dialog.target

    async def expect(self, user, by=None, **more):
        """He is invited into it, and comes."""
        invitation = await user.expect_invite()
        check_invitation(self.world, invitation, by or self.host)
        await invitation.accept(**more)
        self.guests.append(invitation)
        return invitation

    async def hears(self, speaker, *listeners):
        text = sip.token(6)
        await speaker.send(text)
        for listener in listeners:
            got = await listener.receive()
            same(bytes(got.body), text.encode(), "message to %s" % listener.agent.name)

    async def end(self):
        """The originator leaves: that releases it (F31)."""
        await self.session.hang_up()
        for guest in self.guests:
            await guest.wait_bye()


def check_invitation(world, invitation, by):
    """F24-3."""
    request = invitation.request
    _, uri, params = sip.address(request.list("Contact")[0])
    check("isfocus" in params and sip.FEATURE_TAG in params, "Contact %r" % request.all("Contact"))
    same(sip.address(request.get("Referred-By", ""))[1], by.uri, "Referred-By")
    if not world.ims:
        same(sip.address(request.get("P-Asserted-Identity", ""))[1], by.uri, "P-Asserted-Identity")


async def room(world, *names, host=None):
    """A conference with these guests, all connected."""
    host = host or await world.client("alice")
    users = [await world.client(name) for name in names]
    session = host.invite_list(users)
    invitations = [await user.expect_invite() for user in users]
    accepting = [asyncio.ensure_future(invitation.accept()) for invitation in invitations]
    await session.established()
    await asyncio.gather(*accepting)
    made = Room(world, host, session, invitations)
    check("isfocus" in sip.address(session.response.list("Contact")[0])[2], "the host's Contact has no isfocus")
    return made


@scenario()
async def refer_one(world):
    """Outside dialogs: 202, NOTIFY with 100, the user is invited and comes, NOTIFY with 200 is the last (F28)."""
    conference = await room(world, "bob")
    alice, carol = conference.host, await world.client("carol")
    sent = alice.refer(conference.identity, "<%s>" % carol.uri)
    response = await sent.accepted()
    check("norefersub" in response.list("Supported"), "Supported %r" % response.all("Supported"))
    check(response.get("Refer-Sub") is None, "Refer-Sub nobody asked for")
    check("isfocus" in sip.address(response.list("Contact")[0])[2], "Contact of the 202")
    REQ("IM-7.2.1.7-4", "IM-7.2.1.7-8", "IM-7.2.1.7-9", "IM-7.2.1.7-11")
    came = await conference.expect(carol)
    REQ("IM-7.2.1.7-12", "IM-6.2.3.5-1")
    told = await sent.finished()
    same([p.status for p in told], [100, 200], "what was told")
    same(told[0].request.get("Event"), "refer", "Event")
    REQ("IM-7.2.1.7-13", "IM-7.2.1.7-14")
    await conference.hears(came, conference.session, conference.guests[0])
    await conference.hears(conference.session, came, conference.guests[0])
    await conference.end()


@scenario()
async def refer_in_a_dialog(world):
    """In a participant's dialog, by a guest too; the second one's NOTIFYs say which REFER they are about (RFC 3515
    2.4.6), and one asked with Refer-Sub: true."""
    conference = await room(world, "bob")
    bob = conference.guests[0]
    carol, dave = await world.client("carol"), await world.client("dave")
    first = bob.agent.refer(None, "<%s;method=INVITE>" % carol.uri, dialog=bob.dialog, silent=False)
    await first.accepted()
    held = await carol.expect_invite()
    second = bob.agent.refer(None, "<%s>" % dave.uri, dialog=bob.dialog)
    await second.accepted()
    await conference.expect(dave, bob.agent)
    told = await second.finished()
    same([p.status for p in told], [100, 200], "of the second")
    check(all("id=%d" % second.request.cseq[0] in p.request.get("Event") for p in told), "NOTIFYs without id")
    await held.accept()
    conference.guests.append(held)
    same([p.status for p in await first.finished()], [100, 200], "of the first")
    await conference.hears(conference.session, bob, held)
    await conference.end()


@scenario()
async def refer_without_a_word(world):
    """Refer-Sub: false is repeated in the 202, and nothing is told (RFC 4488); a list likewise (RFC 5368), in which
    each one is invited once, whoever is there already not at all."""
    conference = await room(world, "bob")
    alice, carol, dave, erin = conference.host, *[await world.client(name) for name in ("carol", "dave", "erin")]
    one = alice.refer(conference.identity, "<%s>" % carol.uri, silent=True)
    same((await one.accepted()).get("Refer-Sub"), "false", "Refer-Sub of the 202")
    REQ("IM-7.2.1.7-10")
    await conference.expect(carol)
    uris = [dave.uri, alice.uri, erin.uri, dave.uri + ";x=y", carol.uri, conference.guests[0].agent.uri, erin.uri]
    many = alice.refer(conference.identity, targets=uris)
    same((await many.accepted()).get("Refer-Sub"), "false", "Refer-Sub of the 202")
    for user in (dave, erin):
        await conference.expect(user)
    REQ("IM-7.2.1.7-3", "IM-7.2.1.7-5")
    await conference.hears(conference.session, *conference.guests)
    for user in (alice, carol, dave, erin):
        check(user.incoming.empty(), "%s was asked again" % user.name)
    check(one.notifies.empty() and many.notifies.empty(), "NOTIFY of a REFER that wants none")
    await conference.end()


@scenario()
async def refer_many_and_be_told(world):
    """A list with a subscription: the status of each one in a NOTIFY of its own that says whose it is; one refuses with a
    Warning, one is not there, one is no user, one comes."""
    conference = await room(world, "bob")
    alice, carol, dave = conference.host, await world.client("carol"), await world.client("dave")
    gone, nobody = "sip:gone@" + DOMAIN, "sip:factory@" + DOMAIN
    sent = alice.refer(conference.identity, targets=[carol.uri, dave.uri, gone, nobody], silent=False)
    await sent.accepted()
    refused = await dave.expect_invite()
    refused.refuse(403, [("Warning", '399 dave "isfocus already assigned"')])
    await conference.expect(carol)
    told = await sent.finished()
    statuses = {sip.address(p.headers["To"])[1]: p.status for p in told[1:]}
    same(len(told), 5, "NOTIFYs")
    same((statuses[carol.uri], statuses[dave.uri], statuses[nobody]), (200, 403, 403), "statuses")
    check(statuses[gone] in (404, 480), "status of one who is not there: %d" % statuses[gone])
    warnings = [p.headers.get("Warning") for p in told if p.headers.get("To") == "<%s>" % dave.uri]
    check("isfocus already assigned" in warnings[0], "Warning %r" % warnings)
    REQ("IM-7.2.1.7-15")
    await conference.hears(conference.session, *conference.guests)
    await conference.end()


@scenario()
async def refer_one_who_refuses(world):
    """His status and Warning are what the last NOTIFY says."""
    conference = await room(world, "bob")
    alice, carol = conference.host, await world.client("carol")
    for status, warning in ((486, None), (603, None), (403, '399 carol "isfocus already assigned"')):
        sent = alice.refer(conference.identity, "<%s>" % carol.uri)
        await sent.accepted()
        (await carol.expect_invite()).refuse(status, [("Warning", warning)] if warning else [])
        told = await sent.finished()
        same([p.status for p in told], [100, status], "what was told")
        check("To" not in told[-1].headers, "a To nobody needs")
        if warning:
            check("isfocus already assigned" in told[-1].headers.get("Warning", ""), "Warning")
    await conference.end()


@scenario()
async def refer_refusals(world):
    """What cannot be read, what is asked, whom; nobody is invited."""
    conference = await room(world, "bob", "dave")
    alice, carol = conference.host, await world.client("carol")
    bob, identity = conference.guests[0], conference.identity

    async def refused(status, what, to=None, user=alice, **more):
        response = await user.refer(more.pop("uri", identity), to, **more).final()
        same(response.status, status, what)
        return response

    response = await refused(420, "an unknown extension", "<%s>" % carol.uri, headers=[("Require", "teleport")])
    check("teleport" in response.list("Unsupported"), "Unsupported %r" % response.all("Unsupported"))
    await refused(400, "no Refer-To", "x", without=("Refer-To",))
    await refused(400, "nobody to call", "<http://example.com/>")
    await refused(403, "another method", "<%s;method=MESSAGE>" % carol.uri)
    await refused(403, "BYE to another", "<%s;method=BYE>" % bob.agent.uri)
    await refused(403, "BYE to oneself by name", "<%s;method=BYE>" % alice.uri)
    REQ("IM-7.2.1.8-2", "IM-7.2.1.8-12")
    await refused(400, "no such part", "<cid:other@%s>" % DOMAIN, targets=[carol.uri])
    await refused(400, "a list of nothing", targets=[])
    await refused(400, "entry-ref", targets=[carol.uri], extra='<entry-ref ref="x"/>')
    await refused(403, "BYE in a list", targets=[carol.uri, bob.agent.uri + ";method=BYE"])
    many = await refused(400, "101 entries", targets=["sip:u%d@%s" % (i, DOMAIN) for i in range(101)])
    check("Too many entries" in many.get("Warning", ""), "Warning %r" % many.get("Warning"))
    REQ("IM-7.2.1.7-3")
    stranger = await world.client("eve")
    for dialog in (None, bob.dialog):
        by = bob.agent if dialog else alice
        response = await by.refer(identity, "<%s;method=REGISTER>" % carol.uri, dialog=dialog).final()
        same(response.status, 403, "REGISTER")
    known = identity if not world.ims else sip_identity(world)
    await refused(403, "by a stranger", "<%s>" % carol.uri, user=stranger, uri=known)
    await refused(403, "a stranger leaves", "<%s;method=BYE>" % known, user=stranger, uri=known)
    REQ("IM-7.2.1.7-1", "IM-7.2.1.8-1")
    await bob.hang_up()
    await refused(403, "by one who has left", "<%s>" % carol.uri, user=bob.agent, uri=known)
    REQ("IM-7.2.2.7-3")
    check(carol.incoming.empty(), "carol was invited")
    conference.guests.remove(bob)
    await conference.end()


def sip_identity(world):
    """ims: the focus's own Contact, not that of a Participating Function: what its 200 said."""
    answers = [m for m in world.core.from_server if m.status == 200 and m.cseq[1] == "INVITE"
               and "isfocus" in m.get("Contact", "")]
    return sip.address(answers[0].list("Contact")[0])[1]


@scenario(own={"limits.max_adhoc_group": "4"}, once=True)
async def refer_to_a_full_conference(world):
    """Too many are refused as one (D1-20): nobody of them is invited; those who are there already do not count."""
    conference = await room(world, "bob")
    alice, carol, dave, erin = conference.host, *[await world.client(name) for name in ("carol", "dave", "erin")]
    sent = alice.refer(conference.identity, targets=[carol.uri, dave.uri, erin.uri])
    await sent.refused(486, "Too many participants")
    REQ("IM-7.2.1.7-6")
    sent = alice.refer(conference.identity, targets=[carol.uri, dave.uri, alice.uri, conference.guests[0].agent.uri])
    await sent.accepted()
    held = await carol.expect_invite()
    await conference.expect(dave)
    await alice.refer(conference.identity, "<%s>" % erin.uri).refused(486, "Too many participants")
    held.refuse(486)  # his place is free again
    await held.server.wait_ack()
    while True:
        sent = alice.refer(conference.identity, "<%s>" % erin.uri)
        if (await sent.final()).status == 202:
            break
        await asyncio.sleep(0.02)
    await conference.expect(erin)
    same([p.status for p in await sent.finished()], [100, 200], "what was told")
    await conference.end()


@scenario(own={"policy.adhoc_adders": "originator"}, once=True)
async def refer_by_the_originator_only(world):
    """The operator may permit it to him who made the conference alone (7.2.2.7)."""
    conference = await room(world, "bob")
    bob, carol = conference.guests[0], await world.client("carol")
    await bob.agent.refer(None, "<%s>" % carol.uri, dialog=bob.dialog).refused(403)
    REQ("IM-7.2.2.7-4")
    sent = conference.host.refer(conference.identity, "<%s>" % carol.uri)
    await sent.accepted()
    await conference.expect(carol)
    same([p.status for p in await sent.finished()], [100, 200], "what was told")
    await conference.end()


@scenario()
async def refer_to_leave(world):
    """method=BYE is how one leaves: 202, BYE, NOTIFY (F29); inside his dialog and outside; the others go on, until the
    originator leaves. Of a session that is over: 403."""
    conference = await room(world, "bob", "carol", "dave")
    bob, carol, dave = conference.guests
    for guest, dialog, silent in ((bob, bob.dialog, None), (carol, None, True)):
        uri = guest.dialog.target
        sent = guest.agent.refer(uri, "<%s;method=BYE>" % uri, dialog=dialog, silent=silent)
        response = await sent.accepted()
        check("norefersub" in response.list("Supported"), "Supported")
        same(response.get("Refer-Sub"), "false" if silent else None, "Refer-Sub")
        await guest.wait_bye()
        if not silent:
            same([p.status for p in await sent.finished()], [100, 200], "what was told")
    REQ("IM-7.2.1.8-3", "IM-7.2.1.8-4", "IM-7.2.1.8-5", "IM-7.2.1.8-6", "IM-7.2.1.8-7", "IM-7.2.1.8-13", "IM-7.2.1.8-14")
    conference.guests = [dave]
    await conference.hears(conference.session, dave)
    identity = conference.identity
    known = identity if not world.ims else sip_identity(world)
    sent = conference.host.refer(identity, "<%s;method=BYE>" % identity)
    await sent.accepted()
    await conference.session.wait_bye()
    await dave.wait_bye()
    REQ("IM-7.2.1.8-8")
    same([p.status for p in await sent.finished()], [100, 200], "what was told")
    await conference.host.refer(known, "<%s;method=BYE>" % known).refused(403)
    response = await conference.host.refer(known, "<%s>" % dave.agent.uri).final()
    check(response.status in (404, 481), "REFER to a session that is over got %s" % response)


@scenario()
async def refer_and_go(world):
    """The referrer leaves before the end: his subscription goes on in what is left of the dialog (RFC 5057). One who
    does not take NOTIFYs has none any more; those whom he named come all the same."""
    conference = await room(world, "bob", "carol")
    bob, carol = conference.guests
    dave, erin = await world.client("dave"), await world.client("erin")
    sent = bob.agent.refer(None, "<%s>" % dave.uri, dialog=bob.dialog)
    await sent.accepted()
    same((await sent.progress()).status, 100, "first NOTIFY")
    invitation = await dave.expect_invite()
    await bob.hang_up()
    await invitation.accept()
    last = await sent.progress()
    same((last.status, last.is_last), (200, True), "after the referrer has left")
    sent = carol.agent.refer(None, "<%s>" % erin.uri, dialog=carol.dialog)
    await sent.accepted()
    held = await erin.expect_invite()
    await sent.progress(answer=481)
    await held.accept()
    conference.guests = [carol, invitation, held]
    await conference.hears(held, conference.session, carol, invitation)
    check(sent.notifies.empty(), "NOTIFY to one who knows no such subscription")
    await conference.end()


@scenario()
async def refer_and_release(world):
    """The conference ends while one is invited: he is cancelled, and the referrer is told so."""
    conference = await room(world, "bob")
    bob, carol = conference.guests[0], await world.client("carol")
    sent = bob.agent.refer(None, "<%s>" % carol.uri, dialog=bob.dialog)
    await sent.accepted()
    invitation = await carol.expect_invite()
    invitation.ring()
    await conference.session.hang_up()
    await bob.wait_bye()
    await invitation.server.wait_cancel()
    told = await sent.finished()
    same([p.status for p in told], [100, 487], "what was told")


@scenario()
async def refer_subscription(world):
    """The subscription can be asked again and ended by SUBSCRIBE in its dialog (RFC 3515 2.4.4)."""
    conference = await room(world, "bob")
    alice, carol = conference.host, await world.client("carol")
    sent = alice.refer(conference.identity, "<%s>" % carol.uri)
    await sent.accepted()
    same((await sent.progress()).status, 100, "first NOTIFY")
    invitation = await carol.expect_invite()

    async def subscribe(event, expires):
        return (await sent.dialog.request("SUBSCRIBE", headers=[
            ("Event", event), ("Expires", expires), ("Contact", alice.contact)]).final()).status

    same(await subscribe("conference", "60"), 489, "another event in that dialog")
    same(await subscribe("refer", "60"), 200, "refresh")
    again = await sent.progress()
    same((again.status, again.state), (100, "active"), "after the refresh")
    same(await subscribe("refer", "0"), 200, "end")
    last = await sent.progress()
    same((last.is_last, last.params.get("reason")), (True, "timeout"), "the last one")
    await invitation.accept()
    conference.guests.append(invitation)
    await conference.hears(invitation, conference.session, conference.guests[0])
    check(sent.notifies.empty(), "NOTIFY after the end")
    await conference.end()


@scenario(transports=("tcp",), once=True)
async def refer_storm(world):
    """Many at once, and a list of ten thousand: each is answered, and one INVITE is all that comes of it."""
    conference = await room(world, "bob")
    alice, carol = conference.host, await world.client("carol")
    sent = [alice.refer(conference.identity, "<%s>" % carol.uri, silent=i % 2 == 0) for i in range(60)]
    for one in sent:
        check((await one.final()).status in (202, 503), "answer in a storm")
    await conference.expect(carol)
    for one in sent[1::2]:
        if (await one.final()).status == 202:
            same([p.status for p in await one.finished()], [100, 200], "what was told")
    if not world.ims:  # on a connection of its own, for it ends with what is too large
        uris = ["sip:u%d@x" % i for i in range(10000)]
        await (await world.client("eve")).refer(conference.identity, targets=uris).refused(413)
    check(carol.incoming.empty(), "carol was invited twice")
    await conference.hears(conference.session, *conference.guests)
    await conference.end()


def rule(number, uri, *actions):
    """What that user may do in a group."""
    return ('<cp:rule id="r%d"><cp:conditions><cp:identity><cp:one id="%s"/></cp:identity></cp:conditions><cp:actions>%s'
            "</cp:actions></cp:rule>" % (number, uri, "".join("<%s>true</%s>" % (a, a) for a in actions)))


def rules(*those):
    return '<cp:ruleset xmlns:cp="urn:ietf:params:xml:ns:common-policy">%s</cp:ruleset>' % "".join(
        rule(i, uri, *actions) for i, (uri, *actions) in enumerate(those))


@scenario()
async def refer_in_a_group(world):
    """A group's document says who may add, who may be added, how many there may be, and who may hide (7.2.2.7)."""
    alice, bob, carol, dave, erin = [await world.client(n) for n in ("alice", "bob", "carol", "dave", "erin")]
    join = "join-handling"
    uri = await group(world, alice, "group-" + sip.token(4), [alice, bob], rules(
        (alice.uri, join, "allow-initiate-conference", "allow-invite-users-dynamically"),
        (bob.uri, join), (carol.uri, join), (erin.uri, join)),
        "<invite-members>false</invite-members><max-participant-count>3</max-participant-count>")
    await alice.refer(uri, "<%s>" % carol.uri).refused(404, "Conference URI does not exist")
    await alice.refer(uri, "<%s;method=BYE>" % uri).refused(403)
    mine = await alice.invite(uri).established()
    theirs = await bob.invite(uri).established()
    await bob.refer(uri, "<%s>" % carol.uri).refused(403)
    REQ("IM-7.2.2.7-1")
    await alice.refer(uri, "<%s>" % carol.uri, headers=[("Privacy", "id")]).refused(403)
    REQ("IM-7.2.1.7-1", "IM-7.2.1.7-2")
    await alice.refer(uri, targets=[carol.uri, erin.uri]).refused(486, "Too many participants")
    REQ("IM-7.2.1.7-7")
    sent = alice.refer(uri, targets=[carol.uri, dave.uri], silent=False)
    same(sip.address((await sent.accepted()).get("P-Asserted-Identity"))[1], uri, "P-Asserted-Identity of the 202")
    invitation = await carol.expect_invite()
    await invitation.accept()
    told = await sent.finished()
    same({sip.address(p.headers["To"])[1]: p.status for p in told[1:]}, {carol.uri: 200, dave.uri: 403}, "statuses")
    check(dave.incoming.empty() and erin.incoming.empty(), "somebody who may not come was invited")
    REQ("IM-7.2.2.7-2")
    REQ("IM-7.2.1.7-12")
    await Room.hears(None, invitation, mine, theirs)
    sent = carol.refer(uri, "<%s;method=BYE>" % uri)
    await sent.accepted()
    await invitation.wait_bye()
    same([p.status for p in await sent.finished()], [100, 200], "what was told")
    await mine.hang_up()
    await theirs.hang_up()
