"""What the focus itself says and does, by the rows of 7.2.1 and 7.2.2: its answers and its INVITEs word by word, who may
come, what is agreed, who is told, and when it is over. In ims mode they are read where they leave the server, before
the Participating Functions make requests and answers of their own of them."""
import asyncio

from conference import FACTORY, begun, clients, contact_of, heard, status_of, user_of
from documents import GROUPS, Xcap
from joining import ACTIONS, new_name, one, ruleset
from referring import sip_identity
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

METHODS = {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "PRACK", "REFER", "SUBSCRIBE", "MESSAGE"}
OWN_LINES = ("a=x-own:of alice", "a=accept-wrapped-types:text/plain text/html")
PRIVATE = ("Privacy", "id")
EVERYBODY = "<cp:identity><cp:many/></cp:identity>"
BROKEN = {"edit": lambda body: body.replace(b"TCP/MSRP", b"RTP/AVP")}


def document(uri, members, rules="", most=None, invites=True):
    """Members are users, or (user, the name that the group has for him)."""
    entries = "".join('<rl:entry uri="%s"><rl:display-name>%s</rl:display-name></rl:entry>' % (m[0].uri, m[1])
                      if isinstance(m, tuple) else '<rl:entry uri="%s"/>' % m.uri for m in members)
    return ('<group xmlns="urn:oma:xml:poc:list-service" xmlns:rl="urn:ietf:params:xml:ns:resource-lists">'
            '<list-service uri="%s"><list>%s</list><invite-members>%s</invite-members>%s%s</list-service></group>' % (
                uri, entries, "true" if invites else "false",
                "<max-participant-count>%d</max-participant-count>" % most if most else "", rules))


async def group_of(world, owner, members, name=None, status=201, **more):
    name = name or new_name()
    uri = "sip:%s@%s" % (name, DOMAIN)
    await Xcap(world, owner.uri).put(GROUPS, name, document(uri, members, **more), status)
    return uri


def said(world, session, status):
    """The response of the focus."""
    if not world.ims:
        return next(r for r in [*session.transaction.provisionals, session.response] if r and r.status == status)
    return next(m for m in world.core.from_server if m.status == status and m.cseq[1] == "INVITE" and
                "isfocus" in m.get("Contact", ""))


def calls(world, *invitations):
    """The INVITEs of the focus."""
    if not world.ims:
        return [invitation.request for invitation in invitations]
    own = {sip.address(m.get("To"))[1]: m for m in world.core.own if m.method == "INVITE"}
    same(len(own), len([m for m in world.core.own if m.method == "INVITE"]), "INVITEs of the focus, each to another")
    return [own[invitation.agent.uri] for invitation in invitations]


def allows_all(message, what):
    check(METHODS <= set(message.list("Allow")), "Allow of %s: %s" % (what, message.all("Allow")))


def check_answer(response, identity, asserted):
    """7.2.1.1, of a 180 and of a 200 alike."""
    what = "the %d" % response.status
    same(response.get("Server").split()[0], "IM-serv/OMA1.0", "Server of " + what)
    allows_all(response, what)
    same(sip.address(response.get("P-Asserted-Identity"))[1], asserted, "P-Asserted-Identity of " + what)
    same(user_of(contact_of(response)), identity, "Contact of " + what)


def check_call(world, request, invited, inviter, asserted, names=None):
    """7.2.2.1 of an INVITE: the session identity is returned."""
    same(request.list("Accept-Contact"), ["*;+g.oma.sip-im;explicit"], "Accept-Contact")
    same(sip.address(request.get("To"))[1], invited.uri, "To")
    if world.ims:
        same(request.uri, invited.uri, "Request-URI")
    same(request.get("User-Agent").split()[0], "IM-serv/OMA1.0", "User-Agent")
    same(sip.address(request.get("P-Asserted-Identity"))[1], asserted, "P-Asserted-Identity")
    same(sip.address(request.get("Referred-By"))[1], inviter.uri, "Referred-By")
    same(request.get("Privacy"), None, "Privacy of one who does not hide")
    allows_all(request, "the INVITE")
    if names:
        for field in ("P-Asserted-Identity", "From"):
            same(sip.address(request.get(field))[0].strip('"'), names, "display name in " + field)
    return user_of(contact_of(request))


def answers(session, status):
    """How many different ones came, whatever was repeated on the way."""
    sent = session.transaction.request
    return len({m.encode() for m in session.agent.log
                if m.status == status and m.call_id == sent.call_id and m.cseq == sent.cseq})


def named(world, alice):
    """Header fields of an INVITE that says how alice is called."""
    if world.ims:
        world.core.asserted[alice.name] = '"Alice A." <%s>' % alice.uri
    return [("From", '"Alice A." <%s>;tag=%s' % (alice.uri, sip.token(5)))]


def not_in_sip(text, *users):
    for user in users:
        check(not any(text.encode() in m.encode() for m in user.log), "%r in SIP at %s" % (text, user.name))


async def both_answer(world, outgoing, first, second, group=None):
    """Two ring, two come: one 180 and one 200 are what the inviter gets of it, and all three hear each other."""
    asserted = group or FACTORY
    identity = {check_call(world, request, invitation.agent, outgoing.agent, group or outgoing.agent.uri,
                           "The Boss" if group else "Alice A.")
                for request, invitation in zip(calls(world, first, second), (first, second))}
    same(len(identity), 1, "session identities in the INVITEs")
    identity = identity.pop()
    for invitation in (first, second):
        check(set(OWN_LINES) <= set(invitation.request.body.decode().split("\r\n")), "lines of alice in the offer")
        same(invitation.offer.problems, [], "offer of the focus")
        check(invitation.offer.path != [str(outgoing.leg.local)], "path of the offer")
        invitation.ring()
    await outgoing.transaction.provisional(180)
    check_answer(said(world, outgoing, 180), identity, asserted)
    check(not outgoing.response, "200 before anybody has come")
    await first.accept(extra=("a=x-first:of bob",))
    await outgoing.established()
    ok = said(world, outgoing, 200)
    check_answer(ok, identity, asserted)
    same(ok.get("Session-Expires").partition(";")[2], "refresher=uac", "Session-Expires of the 200")
    check("timer" in ok.list("Require"), "Require of the 200")
    same(outgoing.answer.problems, [], "answer of the focus")
    lines = outgoing.response.body.decode().split("\r\n")
    check({*OWN_LINES, "a=x-first:of bob"} <= set(lines), "lines of alice and bob in the answer: %s" % lines)
    await second.accept(extra=("a=x-second:of carol",))
    for speaker, listeners in ((outgoing, (first, second)), (second, (outgoing, first)), (first, (second, outgoing))):
        text = sip.token(12)
        await speaker.send(text)
        await heard(text, *listeners)
        not_in_sip(text, outgoing.agent, first.agent, second.agent)
    same((answers(outgoing, 180), answers(outgoing, 200)), (1, 1), "180s and 200s to the inviter")
    for session in (outgoing, first, second):
        check(not session.dialog.ended.is_set(), "the session of %s ended with its message" % session.agent.name)
    return identity


@scenario()
async def words_of_the_focus_adhoc(world):
    """7.2.1.1, 7.2.1.2, 7.2.2.1, 7.2.2.2 of an ad-hoc session; the list lasts as long as the session."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol], headers=named(world, alice), extra=OWN_LINES)
    sessions = await bob.expect_invite(), await carol.expect_invite()
    identity = await both_answer(world, outgoing, *sessions)
    REQ("IM-7.2.1.1-2", "IM-7.2.1.1-3", "IM-7.2.1.1-4", "IM-7.2.1.1-5", "IM-7.2.1.1-6", "IM-7.2.1.1-8")
    REQ("IM-7.2.1.1-9", "IM-7.2.1.1-10", "IM-7.2.1.1-12", "IM-7.2.1.1-13", "IM-7.2.1.1-14", "IM-7.2.1.1-15")
    REQ("IM-7.2.1.2-5", "IM-7.2.1.2-9", "IM-7.2.1.2-10", "IM-7.2.1.2-11", "IM-7.2.1.2-12", "IM-7.2.1.2-14")
    REQ("IM-7.2.1.2-15", "IM-7.2.1.2-16", "IM-7.2.2.2-15", "IM-4.3-1", "IM-4.3-2", "IM-4.3-3", "IM-4.3.1-1")
    REQ("IM-7.2.2.1-1", "IM-7.2.2.1-2", "IM-7.2.2.1-3", "IM-7.2.2.1-4", "IM-7.2.2.1-6", "IM-7.2.2.1-7", "IM-7.2.2.1-9")
    REQ("IM-7.2.2.1-10", "IM-7.2.2.1-14", "IM-7.2.2.2-1", "IM-7.2.2.2-2", "IM-7.2.2.2-3", "IM-7.2.2.2-4", "IM-7.2.2.2-5")
    REQ("IM-7.2.2.2-6")
    focus = contact_of(sessions[0].request)
    await outgoing.hang_up()
    for session in sessions:
        await session.wait_bye()
    REQ("IM-7.2.2.8-10", "IM-7.2.2.5-1", "IM-7.2.2.5-2", "IM-7.2.1.9-2", "IM-7.2.1.9-3")
    same((await status_of(bob.invite(focus))).status, 404, "INVITE to an identity that was released")
    REQ("IM-7.2.2.5-3", "IM-4.3.1-4")
    if world.ims:
        world.core.own.clear()
    again, sessions = await begun(world, bob, carol, by=alice)
    check(user_of(contact_of(calls(world, sessions[0])[0])) != identity, "one identity for two sessions")
    await again.hang_up()
    for session in sessions:
        await session.wait_bye()


@scenario()
async def words_of_the_focus_of_a_group(world):
    """The same of a group's session: its identity is asserted, and its document says how the inviter is called."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group_of(world, alice, [(alice, "The Boss"), bob, carol])
    outgoing = alice.invite(uri, headers=named(world, alice), extra=OWN_LINES)
    sessions = await bob.expect_invite(), await carol.expect_invite()
    await both_answer(world, outgoing, *sessions, group=uri)
    REQ("IM-7.2.1.1-7", "IM-7.2.1.1-13", "IM-7.2.2.1-8", "IM-7.2.2.2-2", "IM-7.2.2.3-1", "IM-7.2.2.3-2")
    REQ("IM-7.2.1.3-8", "IM-7.2.1.3-9", "IM-7.2.1.3-10", "IM-7.2.1.4-7", "IM-7.2.1.4-8", "IM-7.2.1.4-9")
    REQ("IM-7.2.1.3-17", "IM-7.2.1.3-18", "IM-7.2.1.3-19", "IM-7.2.1.3-20", "IM-7.2.1.3-22", "IM-7.2.1.3-23")
    for session in (outgoing, *sessions):
        await session.hang_up()


@scenario(own={"policy.feature_tag": "always"}, once=True)
async def feature_tag_for_the_focus(world):
    """Without +g.oma.sip-im in Accept-Contact whatever is for the focus is refused, with all else that is wrong too."""
    alice, bob = await clients(world, "alice", "bob")
    uri = await group_of(world, alice, [alice, bob], invites=False)
    untagged = {"without": ("Accept-Contact",)}
    same((await status_of(bob.invite_list([], **untagged))).status, 403, "INVITE to the factory")
    REQ("IM-7.2.1.2-3")
    same((await status_of(bob.invite(uri, **untagged))).status, 403, "INVITE to an idle group")
    REQ("IM-7.2.1.3-1")
    at_alice = await alice.invite(uri).established()
    same((await status_of(bob.invite(uri, **untagged))).status, 403, "INVITE to an active group")
    REQ("IM-7.2.1.4-1")
    at_bob = await bob.invite(uri).established()
    identity = contact_of(at_bob.response)
    same((await status_of(bob.invite(identity, **untagged))).status, 403, "INVITE to a session identity")
    REQ("IM-7.2.1.5-1")
    for to in (uri, identity):
        response = await bob.ask("SUBSCRIBE", to, headers=[("Event", "conference"), ("Expires", "60")])
        same(response.status, 403, "SUBSCRIBE to " + to)
    REQ("IM-7.2.2.10-3", "IM-7.2.2.10-14")
    await at_bob.hang_up()
    await at_alice.hang_up()


@scenario()
async def strangers_at_the_focus(world):
    """Who is not known to be anybody begins nothing and joins nothing; a factory that is none calls nobody."""
    alice, bob = await clients(world, "alice", "bob")
    eve = await world.client("eve")
    uri = await group_of(world, alice, [alice, bob], rules=ruleset((EVERYBODY, ACTIONS)), invites=False)
    at_alice = await alice.invite(uri).established()
    unknown = [] if world.ims else [("From", "<sip:eve@elsewhere.invalid>;tag=" + sip.token(4))]
    if world.ims:
        world.core.assert_identity = False
    same((await status_of(eve.invite_list([bob], headers=unknown))).status, 403, "INVITE to the factory")
    REQ("IM-7.2.1.2-4")
    same((await status_of(eve.invite(uri, headers=unknown))).status, 403, "INVITE to a group")
    REQ("IM-7.2.1.3-4")
    if world.ims:
        world.core.assert_identity = True
    if not world.ims:  # there the core finds nobody of that name
        refused = await status_of(alice.invite_list([bob], to="sip:factory2@" + DOMAIN, without=("Require",)))
        same(refused.status, 404, "another factory")
        check("Conference-factory URI does not exist" in refused.get("Warning", ""), "Warning %r" % refused.get("Warning"))
        REQ("IM-7.2.1.2-2")
    refused = await status_of(alice.invite_list([eve], to=bob.uri))
    same((refused.status, refused.list("Unsupported")), (420, ["recipient-list-invite"]), "a user is no factory")
    same((await status_of(alice.invite("sip:%s@%s" % (new_name(), DOMAIN)))).status, 404, "another group")
    REQ("IM-7.2.1.3-2")
    await bob.quiet(0.05)
    await at_alice.hang_up()


@scenario()
async def types_of_a_session(world):
    """D1-22: the first answer gets what inviter and invitee take, who joins what of it he takes; nothing at all: 488
    with Warning 305, and he is not in it."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    uri = await group_of(world, alice, [alice, bob], rules=ruleset((EVERYBODY, ACTIONS)))
    outgoing = alice.invite(uri, accept="text/plain text/html image/png")
    at_bob = await (await bob.expect_invite()).accept(accept="image/png text/plain image/gif")
    await outgoing.established()
    same(set(outgoing.answer.accept_types), {"text/plain", "image/png"}, "types of the first answer")
    REQ("IM-7.2.1.3-21", "IM-7.2.1.2-13")
    at_carol = await carol.invite(uri, accept="image/png text/html").established()
    same((at_carol.answer.problems, at_carol.answer.accept_types), ([], ["image/png"]), "answer to who joins")
    REQ("IM-7.2.1.3-12", "IM-7.2.1.3-13", "IM-7.2.1.4-11", "IM-7.2.1.4-12")
    refused = await status_of(dave.invite(uri, accept="text/html"))
    same(refused.status, 488, "nothing in common")
    check(refused.get("Warning").startswith("305 "), "Warning %r" % refused.get("Warning"))
    REQ("IM-7.2.1.3-7", "IM-7.2.1.4-6")
    identity = contact_of(at_carol.response)
    refused = await status_of(carol.invite(identity, accept="text/html"))
    same(refused.status, 488, "nothing in common, to come back")
    check(refused.get("Warning").startswith("305 "), "Warning %r" % refused.get("Warning"))
    REQ("IM-7.2.1.5-5")
    check(not at_carol.dialog.ended.is_set(), "who could not come back so has lost what he had")
    again = await carol.invite(identity, accept="text/plain text/html").established()
    same((again.answer.problems, again.answer.accept_types), ([], ["text/plain"]), "answer to who comes back")
    REQ("IM-7.2.1.5-7", "IM-7.2.1.5-8", "IM-7.2.1.5-9")
    await at_carol.wait_bye()
    await outgoing.send("to all")
    await heard("to all", again)
    REQ("IM-7.2.1.5-10")
    for session in (again, outgoing, at_bob):
        await session.hang_up()


@scenario()
async def joining_a_running_session(world):
    """7.2.1.3 and 7.2.1.4 with an active session: 200 at once, nobody is invited, all hear him; then 7.2.1.5 in its
    order: 403 for who may not join, 486, 403 for who may not hide, 488, and 200."""
    alice, bob, carol, dave, eve = await clients(world, "alice", "bob", "carol", "dave", "eve")
    join = ("join-handling",)
    uri = await group_of(world, alice, [alice, bob, carol, dave], most=3, invites=False, rules=ruleset(
        (one(alice), ACTIONS), (one(bob), ("join-handling", "allow-anonymity")), (one(carol), join), (one(dave), join)))
    at_alice = await alice.invite(uri).established()
    at_bob = await bob.invite(uri).established()
    if world.ims:
        world.core.from_server.clear()
    at_carol = await carol.invite(uri).established()
    identity = user_of(contact_of(said(world, at_carol, 200)))
    check_answer(said(world, at_carol, 200), identity, uri)
    REQ("IM-7.2.1.3-11", "IM-7.2.1.3-14", "IM-7.2.1.4-10", "IM-7.2.1.4-13")
    known = sip_identity(world) if world.ims else contact_of(at_carol.response)
    await at_carol.send("carol is here")
    await heard("carol is here", at_alice, at_bob)
    REQ("IM-7.2.1.3-15", "IM-7.2.1.4-14")
    await at_carol.hang_up()
    at_dave = await dave.invite(uri).established()
    broken = {} if world.ims else BROKEN
    same((await status_of(eve.invite(known, headers=[PRIVATE], **broken))).status, 403, "who may not join")
    REQ("IM-7.2.1.5-2", "IM-7.2.2.9-2")
    full = await status_of(carol.invite(known, headers=[PRIVATE], **broken))
    same(full.status, 486, "three are the most")
    check("Too many participants" in full.get("Warning", ""), "Warning %r" % full.get("Warning"))
    REQ("IM-7.2.1.5-3", "IM-4.3.1-3")
    await at_dave.hang_up()
    same((await status_of(carol.invite(known, headers=[PRIVATE], **broken))).status, 403, "who may not hide")
    REQ("IM-7.2.1.5-4")
    if broken:
        same((await status_of(carol.invite(known, **broken))).status, 488, "description")
    if world.ims:
        world.core.from_server.clear()
    at_carol = await carol.invite(known).established()
    check_answer(said(world, at_carol, 200), identity, uri)
    REQ("IM-7.2.1.5-6")
    await at_alice.send("again")
    await heard("again", at_carol, at_bob)
    for session in (at_carol, at_bob, at_alice):
        await session.hang_up()
