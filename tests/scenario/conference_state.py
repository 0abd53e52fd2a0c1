"""Conference state (RFC 4575 as 7.2.2.10 to 7.2.2.12 limit it; F1, D1-23, D1-24, D1-39): who may watch, what each NOTIFY
says, how often, and how subscriptions end."""
import functools

from conference import FACTORY, begun, clients, contact_of, user_of
from forward import proxied
from ua import REQ, check, conference_info, same, sip
from ua.conference_info import View
from ua.subscription import Subscription
from world import DOMAIN, scenario

EVENT = "conference"
GROUPS = "org.openmobilealliance.groups"
OWNER = "sip:owner@" + DOMAIN
PRIVATE = [("Privacy", "id")]
WINDOW = 12     # s until a NOTIFY that waits for the one before, on a busy machine


def watched(seconds=40, **more):
    """A scenario, once per mode and with short timers. In ims mode what is for the focus is forwarded on its way, as its
    sender wrote it."""
    def register(function):
        @functools.wraps(function)
        async def run(world):
            if not world.ims:
                await function(world)
                return
            with proxied(world):
                await function(world)
        return scenario(once=True, tuned="own" not in more, seconds=seconds, **more)(run)
    return register


def group_document(uri, members, everybody=True, see=True):
    identity = "<cp:identity><cp:many/></cp:identity>" if everybody else "<ocp:is-list-member/>"
    entries = "".join('<rl:entry uri="%s"/>' % member for member in members)
    actions = "".join("<%s>true</%s>" % (action, action) for action in (
        "allow-initiate-conference", "join-handling", "allow-anonymity", *(["allow-conference-state"] if see else [])))
    return """<group xmlns="urn:oma:xml:poc:list-service" xmlns:rl="urn:ietf:params:xml:ns:resource-lists"
 xmlns:cp="urn:ietf:params:xml:ns:common-policy" xmlns:ocp="urn:oma:xml:xdm:common-policy"><list-service uri="%s">
 <list>%s</list><invite-members>false</invite-members><max-participant-count>10</max-participant-count>
 <cp:ruleset><cp:rule id="a"><cp:conditions>%s</cp:conditions><cp:actions>%s</cp:actions></cp:rule></cp:ruleset>
 </list-service></group>""" % (uri, entries, identity, actions)


async def put_group(world, name, members=(), **more):
    uri = "sip:%s@%s" % (name, DOMAIN)
    code, _, errors = await world.server.ctl("doc", "put", GROUPS, OWNER, name,
                                             stdin=group_document(uri, members, **more))
    same(code, 0, "doc put: %s" % errors)
    return uri


async def refused(world):
    return (await world.server.metrics()).values.get('imserv_refused_total{reason="conference_state"}', 0)


class Watcher(Subscription):
    """Who watches a conference, and what he knows of it."""

    def __init__(self, user, uri, entity=None, **more):
        super().__init__(user, uri, EVENT, conference_info.TYPE, **more)
        self.view = View(entity)

    async def told(self, seconds=WINDOW):
        """The next NOTIFY, read and answered; (document, notification)."""
        notification = await self.notify(seconds=seconds)
        same(notification.request.get("Content-Type"), conference_info.TYPE, "Content-Type")
        REQ("IM-7.2.2.11-1", "IM-7.2.2.11-4", "IM-7.1.1.12-7")
        check("isfocus" in sip.address(notification.request.list("Contact")[0])[2], "Contact of a NOTIFY")
        return self.view.take(notification), notification

    async def until(self, entity, status):
        """Told until he is known to be that; None: not there."""
        while self.view.users.get(entity) != status:
            await self.told()

    async def gone(self, reason="noresource"):
        """The last NOTIFY, whatever changes come before."""
        while True:
            document, notification = await self.told()
            if notification.state == "terminated":
                same(notification.reason, reason, "reason")
                return document


async def watching(user, uri, expires=600, **more):
    """Its first NOTIFY came, with all who are there."""
    watcher = Watcher(user, uri, **more)
    response = await watcher.subscribe(expires)
    same(response.status, 200, "SUBSCRIBE of %s" % user.name)
    document, notification = await watcher.told()
    same((document.state, notification.state), ("full", "active"), "first NOTIFY")
    return watcher


def focus_of(session):
    return sip.address((session.response or session.request).list("Contact")[0])[1]


@watched(seconds=60)
async def state_of_an_adhoc_session(world):
    """F1: 200 with the focus, all users in full; then each change alone, versions without a gap; the end."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol])
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    await to_bob.accept()
    await outgoing.established()
    watcher = Watcher(alice, focus_of(outgoing))
    response = await watcher.subscribe(600)
    same((response.status, response.get("Expires")), (200, "600"), "SUBSCRIBE")
    REQ("IM-7.2.2.10-7", "IM-7.2.2.10-8")
    contact_of(response)
    REQ("IM-7.2.2.10-9")
    same(sip.address(response.get("P-Asserted-Identity"))[1], FACTORY, "P-Asserted-Identity")
    REQ("IM-7.2.2.10-10", "IM-7.2.2.10-11")
    check("norefersub" in response.get("Supported", ""), "Supported %r" % response.get("Supported"))
    REQ("IM-7.2.2.10-13", "IM-D.1-3")
    document, notification = await watcher.told()
    same((document.state, notification.state), ("full", "active"), "first NOTIFY")
    same(watcher.view.users, {alice.uri: "connected", bob.uri: "connected"}, "users")
    REQ("IM-7.2.2.10-15", "IM-7.2.2.10-16", "IM-7.2.2.11-6", "IM-7.2.2.11-8", "IM-7.2.2.11-10", "IM-D.1-4")
    same(document.entity.partition("@")[2], DOMAIN, "entity %s" % document.entity)
    check(world.ims or user_of(document.entity) == user_of(focus_of(outgoing)), "entity %s" % document.entity)
    to_carol.ring()
    document, _ = await watcher.told()
    same([(u.entity, u.status) for u in document.users], [(carol.uri, "alerting")], "who rings")
    same(document.state, "partial", "state")
    REQ("IM-7.2.2.2-8", "IM-7.2.2.11-3", "IM-D.1-7", "IM-7.2.2.10-17")
    await to_carol.accept()
    document, _ = await watcher.told()
    same([(u.entity, u.status) for u in document.users], [(carol.uri, "connected")], "who joined")
    REQ("IM-7.2.2.2-16", "IM-7.2.1.3-24")
    await to_carol.hang_up()
    document, _ = await watcher.told()
    same([(u.entity, u.status) for u in document.users], [(carol.uri, "disconnected")], "who left")
    REQ("IM-7.2.1.11-4")
    await outgoing.hang_up()
    await watcher.gone()
    REQ("IM-7.2.2.10-18", "IM-7.2.2.12-3", "IM-7.2.2.12-4", "IM-7.2.2.12-5")
    await to_bob.wait_bye()
    response = await Watcher(bob, focus_of(to_bob)).subscribe()
    same(response.status, 404, "SUBSCRIBE after the end")
    same((await watcher.again()).status, 481, "SUBSCRIBE in the dialog that is over")
    REQ("IM-7.2.2.12-1")


@watched(seconds=60)
async def state_merged_in_a_window(world):
    """D1-39: what happens between two NOTIFYs is one: the last state of each, also of who came and went."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    outgoing = alice.invite_list([bob, carol, dave])
    to_bob, to_carol, to_dave = [await user.expect_invite() for user in (bob, carol, dave)]
    await to_bob.accept()
    await outgoing.established()
    watcher = await watching(bob, focus_of(to_bob))
    to_carol.ring()
    held = await watcher.request(WINDOW)     # while he does not answer it none may follow
    await to_carol.accept()
    to_dave.ring()
    await to_dave.accept()
    await to_carol.hang_up()
    await watcher.quiet(0.3)
    watcher.queue.put_nowait(held)
    await watcher.told()
    same(watcher.view.users[carol.uri], "alerting", "carol")
    await watcher.until(dave.uri, "connected")
    same({u.entity: u.status for u in watcher.view.document.users}, {carol.uri: "disconnected", dave.uri: "connected"},
         "what came together")
    REQ("IM-7.2.2.11-2")
    await outgoing.hang_up()
    for session in (to_bob, to_dave):
        await session.wait_bye()
    await watcher.gone()


@watched()
async def state_refreshed_fetched_ended(world):
    """A SUBSCRIBE in the dialog brings all again; Expires 0 ends it, or is a fetch."""
    alice, bob = await clients(world, "alice", "bob")
    outgoing, (to_bob,) = await begun(world, bob, by=alice)
    watcher = await watching(alice, focus_of(outgoing))
    same((await watcher.again(1000)).status, 200, "refresh")
    document, notification = await watcher.told()
    same((document.state, notification.state), ("full", "active"), "after the refresh")
    check(900 < notification.expires <= 1000, "expires %d" % notification.expires)
    same((await watcher.again(0)).status, 200, "end")
    document, notification = await watcher.told()
    same((notification.state, notification.reason), ("terminated", "timeout"), "the end")
    same(watcher.view.connected, {alice.uri, bob.uri}, "users")
    fetch = Watcher(alice, focus_of(outgoing))
    response = await fetch.subscribe(0)
    same((response.status, response.get("Expires")), (200, "0"), "fetch")
    document, notification = await fetch.told()
    same((document.state, notification.state, notification.reason), ("full", "terminated", "timeout"), "fetched")
    same(fetch.view.connected, {alice.uri, bob.uri}, "users")
    brief = await watching(alice, focus_of(outgoing), expires=1)
    await brief.gone("timeout")
    await outgoing.hang_up()
    await to_bob.wait_bye()


@watched()
async def state_refused(world):
    """7.2.2.10 in its order: 404, other events, 403 for who is not in it, what cannot be read, too many."""
    alice, bob, eve = await clients(world, "alice", "bob", "eve")
    outgoing, (to_bob,) = await begun(world, bob, by=alice)
    focus = focus_of(outgoing)
    before = await refused(world)
    response = await Watcher(eve, focus).subscribe()
    same(response.status, 403, "SUBSCRIBE of who is not in it")
    REQ("IM-7.2.2.10-4", "IM-7.2.2.10-6", "IM-D.1-2")
    same(await refused(world), before + 1, "counted")
    unknown = "sip:group-of-nobody@" + DOMAIN
    response = await Watcher(alice, unknown).subscribe()
    same(response.status, 404, "SUBSCRIBE to a group that is none")
    check("Conference URI does not exist" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    REQ("IM-7.2.2.10-1", "IM-7.2.2.10-2")
    other = Subscription(alice, focus, "presence")
    response = await other.subscribe()
    same((response.status, response.get("Allow-Events")), (489, "conference"), "another event")
    response = await Watcher(alice, focus, headers=[("Accept", "application/pidf+xml")]).subscribe()
    same((response.status, response.get("Accept")), (406, conference_info.TYPE), "another type")
    response = await Watcher(alice, focus).subscribe(headers=[("Expires", "soon")])
    same(response.status, 400, "Expires that is none")
    watchers = [await watching(alice, focus) for _ in range(8)]
    response = await Watcher(alice, focus).subscribe()
    same(response.status, 403, "the ninth")
    check("Too many subscriptions" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    REQ("IM-7.2.2.10-5")
    same((await watchers.pop().again(0)).status, 200, "one ends")
    await outgoing.hang_up()
    await to_bob.wait_bye()
    for watcher in watchers:
        await watcher.gone()


@watched(seconds=60)
async def state_for_participants_alone(world):
    """D1-23: who leaves an ad-hoc session sees no more of it; the others go on."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    by_alice, by_bob = await watching(alice, focus_of(outgoing)), await watching(bob, focus_of(to_bob))
    await to_bob.hang_up()
    document = await by_bob.gone()
    check((bob.uri, "disconnected") in {(u.entity, u.status) for u in document.users}, "he hears of himself")
    REQ("IM-7.2.2.12-2", "IM-7.2.1.11-5")
    await by_alice.until(bob.uri, None)
    same(by_alice.view.connected, {alice.uri, carol.uri}, "who is left")
    same((await Watcher(bob, focus_of(to_bob)).subscribe()).status, 403, "SUBSCRIBE of who left")
    await outgoing.hang_up()
    await to_carol.wait_bye()
    await by_alice.gone()


@watched()
async def state_hides_the_anonymous(world):
    """7.2.2.11 2a: who hides is sip:anonymousN@anonymous.invalid, in each document the same; his address is nowhere."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice, headers=PRIVATE)
    watcher = Watcher(bob, focus_of(to_bob))
    same((await watcher.subscribe()).status, 200, "SUBSCRIBE")
    notification = await watcher.notify()
    watcher.view.take(notification)
    check(alice.name.encode() not in notification.request.encode(), "his name in %s" % notification.body)
    hidden = watcher.view.connected - {bob.uri, carol.uri}
    same(len(hidden), 1, "who hides: %s" % watcher.view.connected)
    REQ("IM-7.2.2.11-9", "IM-12.3-6")
    same((await watcher.again()).status, 200, "refresh")
    await watcher.told()
    same(watcher.view.connected - {bob.uri, carol.uri}, hidden, "his name the second time")
    await outgoing.hang_up()
    for session in (to_bob, to_carol):
        await session.wait_bye()
    document = await watcher.gone()
    check(alice.name.encode() not in b"".join(u.entity.encode() for u in document.users), "his name")


@watched(modes=("standalone",))
async def state_in_the_dialog_of_an_invite(world):
    """SUBSCRIBE in the dialog of his session: the NOTIFYs come there, also the last, after his BYE (RFC 5057)."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    watcher = Watcher(bob, focus_of(to_bob), dialog=to_bob.dialog)
    same((await watcher.subscribe()).status, 200, "SUBSCRIBE in the dialog")
    await watcher.told()
    same(watcher.view.connected, {alice.uri, bob.uri, carol.uri}, "users")
    same((await watcher.again()).status, 200, "refresh")
    same((await watcher.told())[0].state, "full", "after the refresh")
    other = await to_bob.dialog.request("SUBSCRIBE", headers=[("Event", "dialog"), ("Contact", bob.contact)]).final()
    same(other.status, 489, "another event in the dialog")
    await to_bob.hang_up()
    await watcher.gone()
    same((await watcher.again()).status, 481, "the dialog after its last usage")
    await outgoing.hang_up()
    await to_carol.wait_bye()


@watched(seconds=60)
async def state_of_a_group(world):
    """An idle group has an empty state (D1-23); who watches sees its session begin and end; then anew."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    group = await put_group(world, "group-" + alice.name)
    watcher = Watcher(carol, group, entity=group)
    response = await watcher.subscribe()
    same(response.status, 200, "SUBSCRIBE to an idle group")
    same(sip.address(response.get("P-Asserted-Identity"))[1], group, "P-Asserted-Identity")
    REQ("IM-7.2.2.10-12")
    document, notification = await watcher.told()
    same((document.state, notification.state, document.users), ("full", "active", []), "empty state")
    REQ("IM-7.2.2.11-5")
    sessions = []
    for user in (alice, bob):
        session = user.invite(group)
        await session.established()
        sessions.append(session)
        await watcher.until(user.uri, "connected")
        same(watcher.view.document.state, "partial", "state")
    REQ("IM-7.2.1.3-16", "IM-7.2.1.4-15")
    await sessions[0].hang_up()
    await watcher.until(alice.uri, None)
    await sessions[1].hang_up()
    await watcher.gone()
    again = Watcher(carol, group, entity=group)
    same((await again.subscribe()).status, 200, "SUBSCRIBE to the group afterwards")
    document, _ = await again.told()
    same((document.state, document.users), ("full", []), "empty state again")
    code, _, errors = await world.server.ctl("doc", "del", GROUPS, OWNER, "group-" + alice.name)
    same(code, 0, "doc del: %s" % errors)
    await again.gone()
    response = await Watcher(carol, group).subscribe()
    same(response.status, 404, "SUBSCRIBE to a group that was deleted")
    check("Conference URI does not exist" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))


@watched()
async def state_by_the_rules_of_a_group(world):
    """allow-conference-state decides, for who is in it too; taken away it ends what was watched by it."""
    alice, eve = await clients(world, "alice", "eve")
    name = "group-" + eve.name
    group = await put_group(world, name, [alice.uri], everybody=False)
    same((await Watcher(eve, group).subscribe()).status, 403, "SUBSCRIBE of who is no member")
    watcher = await watching(alice, group, entity=group)
    await put_group(world, name, [alice.uri], everybody=False, see=False)
    await watcher.gone()
    same((await Watcher(alice, group).subscribe()).status, 403, "SUBSCRIBE without the right")


@watched(seconds=60)
async def state_for_who_does_not_take_it(world):
    """RFC 6665 4.2.2: who refuses a NOTIFY, or does not answer it, is told no more; the others are."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    refusing, silent, good = [Watcher(user, focus_of(session)) for user, session in (
        (bob, to_bob), (carol, to_carol), (alice, outgoing))]
    for watcher in (refusing, silent):
        same((await watcher.subscribe()).status, 200, "SUBSCRIBE")
    same((await good.subscribe()).status, 200, "SUBSCRIBE")
    await good.told()
    (await refusing.request()).respond(481)
    await world.server.logged("ended user=%s@" % bob.name)
    same((await refusing.again()).status, 481, "SUBSCRIBE of who refused")
    await silent.request()
    await world.server.logged("ended user=%s@" % carol.name, 30)
    await to_bob.hang_up()
    await good.until(bob.uri, None)
    await outgoing.hang_up()
    await to_carol.wait_bye()
    await good.gone()


@watched(own={"runtime.drain": "200ms"}, settle=False)
async def state_when_the_server_stops(world):
    """A drain: the session is released, with its subscriptions; who watches an idle group is to come again elsewhere."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    idle = await watching(carol, await put_group(world, "group-" + alice.name))
    outgoing, (to_bob,) = await begun(world, bob, by=alice)
    running = await watching(bob, focus_of(to_bob))
    world.server.terminate()
    await running.gone("noresource")
    await idle.gone("deactivated")
    await to_bob.wait_bye()
