"""Conferences whose focus is somebody else's: its Contact, which says isfocus, reaches the client by ours, and what the
client sends there reaches the focus - INVITE, SUBSCRIBE and REFER, inside the session and outside (6.2.3.4, 6.2.3.5,
6.2.7.1, 7.1.1.9; D1-15; F1-2, F26). The focus is a test client here."""
import asyncio

from forward import TAG, agent_wait, dialog_of, in_dialog, proxied
from referring import Room
from reload import with_file
from ua import REQ, agent, check, same, sip
from ua.server import Server
from world import BASE, scenario

GROUP = "sip:group1@elsewhere.invalid"


async def focus_of(world):
    # the core tells who is elsewhere by the host
    focus = await world.client("focus", **({"host": "127.0.0.2"} if world.ims else {}))
    focus.features = ";isfocus"
    if world.ims:
        world.core.elsewhere = focus.name
    return focus, GROUP if world.ims else focus.uri


async def join(user, focus, uri, **more):
    """(Session of the user, of the focus), connected."""
    session = user.invite(uri, **more)
    joining = await focus.expect_invite()
    accepting = asyncio.ensure_future(joining.accept(headers=[("P-Asserted-Identity", "<%s>" % GROUP)]))
    await session.established()
    await accepting
    return session, joining


def params_of_contact(message):
    return sip.address(message.list("Contact")[0])[2]


async def says(speaker, listener):
    text = sip.token(6)
    await speaker.send(text)
    same(bytes((await listener.receive()).body), text.encode(), "message")


async def watch(user, contact, focus):
    """SUBSCRIBE to the Contact, and a NOTIFY back."""
    sent = user.start(user.build("SUBSCRIBE", contact, headers=[TAG, ("Event", "conference"), ("Expires", "600")]))
    server, _, here, there = await dialog_of(user, sent, focus)
    same(server.request.uri, sip.address(focus.contact)[1], "Request-URI of the SUBSCRIBE")
    notify = await in_dialog(there, here, "NOTIFY", headers=[
        ("Event", "conference"), ("Subscription-State", "active"), ("Contact", focus.contact)],
        body=b"<conference-info/>", content_type="application/conference-info+xml")
    same(notify.body, b"<conference-info/>", "conference state")


async def refer(user, contact, focus, to, expected, session):
    """REFER to the Contact, answered and told about by the focus; `session`: in its dialog."""
    sent = user.refer(contact, to, dialog=session and session.dialog)
    server = await (agent_wait(session.there) if session else focus.expect("REFER"))
    request = server.request
    same(request.method, "REFER", "method")
    same(request.uri, sip.address(focus.contact)[1], "Request-URI of the REFER")
    uri = sip.address(request.get("Refer-To"))[1]
    same((sip.uri_parts(uri)[1:4], uri.partition(";method=")[2]), (sip.uri_parts(expected)[1:4], to.partition(";method=")[2][:-1]),
         "Refer-To %s" % uri)
    answer = server.respond(202, "Accepted", [("Contact", focus.contact), ("Supported", "norefersub")])
    same("norefersub" in (await sent.accepted()).list("Supported"), True, "Supported of the 202")
    there = session.there if session else agent.Dialog(focus, server.flow, request, answer, False)
    for line, state in ((b"SIP/2.0 100 Trying\r\n", "active;expires=60"),
                        (b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource")):
        told = there.request("NOTIFY", headers=[
            ("Event", "refer"), ("Subscription-State", state), ("Contact", focus.contact)],
            body=line, content_type="message/sipfrag")
        progress = await sent.progress()
        same((progress.request.body, progress.state), (line, state.partition(";")[0]), "NOTIFY")
        same((await told.final()).status, 200, "NOTIFY")


@scenario()
async def conference_elsewhere(world):
    """A client calls the focus: state, REFER of somebody, REFER BYE, leaving and coming again by the Contact it got."""
    alice, carol = await world.client("alice"), await world.client("carol")
    focus, group = await focus_of(world)
    mine, joining = await join(alice, focus, group)
    check("isfocus" in params_of_contact(mine.response), "isfocus was not passed on")
    if world.ims:
        same(mine.response.get("P-Asserted-Identity"), "<%s>" % focus.uri, "P-Asserted-Identity of the 200")
    check("isfocus" not in params_of_contact(joining.request), "isfocus that nobody said")
    REQ("IM-6.2.7.1-12")
    await says(mine, joining)
    contact, own = mine.dialog.target, sip.address(focus.contact)[1]
    with proxied(world):
        await watch(alice, contact, focus)
        REQ("IM-6.2.3.4-1", "IM-6.2.3.4-2", "IM-6.2.3.4-3", "IM-6.2.3.4-4")
        await refer(alice, contact, focus, "<%s>" % carol.uri, carol.uri, None)
        await refer(alice, contact, focus, "<%s;method=BYE>" % contact, own, None)
        REQ("IM-6.2.3.5-2", "IM-6.2.3.5-3", "IM-6.2.3.5-4")
    mine.there = joining.dialog
    await refer(alice, contact, focus, "<%s>" % carol.uri, carol.uri, mine)
    await refer(alice, contact, focus, "<%s;method=BYE>" % contact, own, mine)
    await joining.hang_up()
    await mine.wait_bye()
    again, rejoining = await join(alice, focus, contact)
    same(rejoining.request.uri, own, "Request-URI of the INVITE that comes again")
    check("isfocus" in params_of_contact(again.response), "isfocus was not passed on")
    await says(rejoining, again)
    await again.hang_up()
    await rejoining.wait_bye()


@scenario()
async def invited_from_elsewhere(world):
    """The focus calls a client: its Contact resolves back to the focus, isfocus is in it, and everything reaches the focus."""
    bob, carol = await world.client("bob"), await world.client("carol")
    focus, _ = await focus_of(world)
    theirs = focus.invite(bob)
    invitation = await bob.expect_invite()
    check("isfocus" in params_of_contact(invitation.request), "isfocus was not passed on")
    accepting = asyncio.ensure_future(invitation.accept())
    await theirs.established()
    await accepting
    check("isfocus" not in params_of_contact(theirs.response), "isfocus that nobody said")
    REQ("IM-6.2.7.1-11", "IM-6.2.7.1-12")
    contact, own = invitation.dialog.target, sip.address(focus.contact)[1]
    with proxied(world):
        await watch(bob, contact, focus)
        await refer(bob, contact, focus, "<%s>" % carol.uri, carol.uri, None)
        await refer(bob, contact, focus, "<%s;method=BYE>" % contact, own, None)
    REQ("IM-6.2.7.1-10")
    invitation.there = theirs.dialog
    await refer(bob, contact, focus, "<%s>" % carol.uri, carol.uri, invitation)
    await invitation.hang_up()
    await theirs.wait_bye()
    again, rejoining = await join(bob, focus, contact)
    same(rejoining.request.uri, own, "Request-URI of the INVITE that comes again")
    await again.hang_up()
    await rejoining.wait_bye()


@scenario()
async def nobody_rejoins_a_user(world):
    """The Contact of a user is no way around his settings: INVITE to it is 404, while the session lives and after it."""
    sa, sb = await world.session()
    for mine in (sa, sb):
        session = mine.agent.invite(mine.dialog.target)
        same((await session.transaction.final()).status, 404, "INVITE to a user's Contact")
    await sa.hang_up()
    await sb.wait_bye()
    session = sa.agent.invite(sa.dialog.target)
    same((await session.transaction.final()).status, 404, "INVITE to the Contact of one who has left")


@scenario(modes=("ims",))
async def lists_pass_to_a_factory_elsewhere(world):
    """A list and the extension that it requires are the factory's business (RFC 5366); towards a user they are 420."""
    alice, bob = await world.pair()
    focus, _ = await focus_of(world)
    content = (b"--b\r\nContent-Type: application/sdp\r\n\r\n%s\r\n--b\r\nContent-Type: application/resource-lists+xml\r\n"
               b"Content-Disposition: recipient-list\r\n\r\n<resource-lists/>\r\n--b--\r\n")
    more = {"edit": lambda body: content % body, "content_type": "multipart/mixed;boundary=b",
            "headers": [("Require", "recipient-list-invite")]}
    sent = alice.invite("sip:factory@elsewhere.invalid", **more)
    server = await focus.expect("INVITE")
    same(server.request.list("Require"), ["recipient-list-invite"], "Require")
    check(b"<resource-lists/>" in server.request.body, "the list did not arrive")
    server.respond(488, "Not Acceptable Here")
    same((await sent.transaction.final()).status, 488, "INVITE")
    # it leaves our originating side, and the terminating one refuses
    response = await alice.invite(bob, **more).transaction.final()
    same((response.status, response.list("Unsupported")), (420, ["recipient-list-invite"]), "INVITE to a user")


@scenario(modes=("standalone",), own=with_file(), once=True, seconds=60)
async def two_servers(world):
    """Two of us: users are at home at the one, the focus is the other one, in the next domain behind core.next_hop. Joining,
    talking, REFER of another user, state of the conference, REFER BYE and coming again, all by the Contact of the first."""
    address = "sip:%s:%d;transport=%s" % (*world.sip_address, world.transport)
    settings = dict(BASE, **{"domain.home": "elsewhere.invalid", "domain.factory": "sip:factory@elsewhere.invalid"})
    other = await Server(world.server_path, "ims", world.workers, world.io, settings, address).start()
    try:
        hop = "sip:%s:%d;transport=%s" % (*other.ready.sip[world.transport], world.transport)
        await world.server.reread('core: {next_hop: "%s"}\n' % hop)
        await conference_between(world)
    finally:
        world.close_clients()
        await other.stop()


async def conference_between(world):
    alice, bob, carol = [await world.client(name) for name in ("alice", "bob", "carol")]
    session = alice.invite_list([bob], to="sip:factory@elsewhere.invalid")
    invitation = await bob.expect_invite()
    for message in (invitation.request,):
        check("isfocus" in params_of_contact(message), "Contact %r" % message.get("Contact"))
        same(sip.address(message.get("Referred-By"))[1], alice.uri, "Referred-By")
    accepting = asyncio.ensure_future(invitation.accept())
    await session.established()
    await accepting
    check("isfocus" in params_of_contact(session.response), "Contact %r" % session.response.get("Contact"))
    conference = Room(world, alice, session, [invitation])
    await conference.hears(session, invitation)
    await conference.hears(invitation, session)
    watching = await bob.subscribe(invitation.dialog.target, "conference", accept="application/conference-info+xml")
    for dialog in (None, session.dialog):
        user = carol if dialog is None else await world.client("dave")
        sent = alice.refer(conference.identity, "<%s>" % user.uri, dialog=dialog)
        await sent.accepted()
        await conference.expect(user)
        same([p.status for p in await sent.finished()], [100, 200], "what was told")
    await conference.hears(conference.guests[1], session, *conference.guests[::2])
    leaving = conference.guests.pop(1)
    contact = leaving.dialog.target
    sent = carol.refer(contact, "<%s;method=BYE>" % contact)
    await sent.accepted()
    await leaving.wait_bye()
    same([p.status for p in await sent.finished()], [100, 200], "what was told")
    again = await carol.invite(contact).established()
    await conference.hears(again, session, *conference.guests)
    check(watching is not None, "no subscription")
    await again.hang_up()
    await conference.end()
