"""A MESSAGE to a list, a group or a session (F23; 8.3.1.1, 8.3.2.1; RFC 5365; D2-41 to D2-43), and group
advertisements (F23b)."""
import asyncio
import json
import os
import re

from conference import begun, contact_of
from deferring import counted, head_of, refused, rows
from documents import GROUPS, RULES, Xcap, one, ruleset
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

FACTORY = "sip:factory@%s;session=adhoc" % DOMAIN
BOUNDARY = "b7"
MIXED = 'multipart/mixed;boundary="%s"' % BOUNDARY
REQUIRED = ("Require", "recipient-list-message")
ADVERTISEMENT = "application/vnd.IM.group-advertisement+xml"
ADVERTISED = """<?xml version="1.0" encoding="UTF-8"?>
<group-advertisement xmlns="urn:oma:params:xml:ns:IM:group-advertisement">
  <note>Join us</note>
  <group type="dialed-in"><display-name>Teleworkers</display-name><uri>sip:group1@example.com</uri></group>
</group-advertisement>
""".replace("\n", "\r\n").encode()
ANONYMOUS = ("Privacy", "id")


def resource_list(*entries):
    """Entries are URIs, or whole elements."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\r\n<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">'
            "<list>%s</list></resource-lists>\r\n" % "".join(
                e if e.startswith("<") else '<entry uri="%s"/>' % e.replace("&", "&amp;") for e in entries)).encode()


def part(content, *head):
    return b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), "\r\n".join(head).encode(), content)


def listed(entries, *contents, first=False):
    """A multipart body: (content, type) and the recipient list."""
    parts = [part(content, "Content-Type: " + kind) for content, kind in contents]
    parts.insert(0 if first else len(parts), part(
        resource_list(*entries), "Content-Type: application/resource-lists+xml", "Content-Disposition: recipient-list"))
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY.encode()


def uris(*users):
    return [getattr(user, "uri", user) for user in users]


async def to_list(sender, entries, text=b"hello", headers=(REQUIRED,), uri=FACTORY, content_type="text/plain"):
    """The final response to a MESSAGE with a list."""
    return await sender.ask("MESSAGE", uri, headers=headers, content_type=MIXED,
                            body=listed(uris(*entries), (text, content_type)))


async def receive(user, text=b"hello", status=200):
    server = await user.expect("MESSAGE")
    server.respond(status, None)
    same(server.request.body, text, "body at " + user.name)
    return server.request


async def group(world, owner, name, members, rules=None, more=""):
    """The URI of a new group."""
    uri = "sip:%s@%s" % (name, DOMAIN)
    document = ('<group xmlns="urn:oma:xml:poc:list-service" xmlns:rl="urn:ietf:params:xml:ns:resource-lists">'
                '<list-service uri="%s"><display-name>Us</display-name><list>%s</list>%s%s</list-service></group>' % (
                    uri, "".join('<rl:entry uri="%s"/>' % u for u in uris(*members)), more, rules or ""))
    await Xcap(world, owner.uri).put(GROUPS, name, document, 201)
    return uri


@scenario()
async def list_to_each_once(world):
    """F23: B, C, B: 202 at once, then exactly one MESSAGE to each, with the sender's From and identity, a Call-ID of
    its own, and without the list."""
    alice, bob, carol = await world.client("alice"), await world.client("bob"), await world.client("carol")
    again = "sip:%s@%s;x=y" % (bob.name, DOMAIN.upper())
    request = alice.build("MESSAGE", FACTORY, content_type=MIXED, headers=[REQUIRED, ("Subject", "lunch")],
                          body=listed(uris(bob, carol, again, bob), (b"Hello \xe2\x98\x83", "text/plain;charset=UTF-8")))
    final = await alice.start(request).final()
    same(final.status, 202, "MESSAGE to a list")
    REQ("IM-8.3.1.1-12", "IM-4.2.2-1", "IM-6.2.4.1-4")
    calls = set()
    for user in (bob, carol):
        server = await user.expect("MESSAGE")
        got = server.request
        same(got.body, b"Hello \xe2\x98\x83", "body")
        same(got.get("Content-Type"), "text/plain;charset=UTF-8", "Content-Type")
        check(not got.all("Content-Disposition"), "Content-Disposition of the list")
        check("recipient-list-message" not in ",".join(got.all("Require")), "Require %r" % got.all("Require"))
        REQ("IM-8.3.2.1-5", "IM-8.3.1.1-8", "IM-8.3.1.1-10")
        same(sip.address(got.get("To"))[1], user.uri, "To")
        REQ("IM-8.3.2.1-3", "IM-8.3.1.1-2")
        same(sip.address(got.get("From"))[1], alice.uri, "From")
        same(got.get("P-Asserted-Identity"), "<%s>" % alice.uri, "P-Asserted-Identity")
        REQ("IM-8.3.2.1-4")
        check("*;+g.oma.sip-im;explicit" in got.all("Accept-Contact"), "Accept-Contact %r" % got.all("Accept-Contact"))
        REQ("IM-8.3.2.1-2")
        same(got.get("CSeq"), "1 MESSAGE", "CSeq")
        same(got.get("Subject"), "lunch", "Subject")
        same(got.get("Max-Forwards"), "69" if not world.ims else got.get("Max-Forwards"), "Max-Forwards")
        calls.add(got.call_id)
        server.respond(200, "OK")
    check(len(calls) == 2 and request.call_id not in calls, "Call-IDs %s" % calls)
    REQ("IM-8.3.2.1-1")
    if world.ims:
        own = [m for m in world.core.own if m.method == "MESSAGE"]
        same(sorted(m.uri for m in own), sorted(uris(bob, carol)), "Request-URIs that went to the core")
        REQ("IM-8.3.1.1-9")
        check(not any(m.all("Route") for m in own), "a copy with the Route of the request to us")
        REQ("IM-8.3.2.1-9", "IM-8.3.2.1-10", "IM-8.3.1.1-13")
    await bob.quiet(0.1)
    await carol.quiet(0.05)


@scenario()
async def list_keeps_other_parts(world):
    """What is beside the list stays a multipart when it is more than one part, wherever the list stood; a single part
    keeps the header lines that describe it."""
    alice, bob = await world.pair()
    two = ((b"one", "text/plain"), (b"<b>two</b>", "text/html"))
    for first in (True, False):
        body = listed(uris(bob), *two, first=first)
        same((await alice.ask("MESSAGE", FACTORY, content_type=MIXED, body=body)).status, 202, "MESSAGE")
        got = await receive(bob, part(b"one", "Content-Type: text/plain") +
                            part(b"<b>two</b>", "Content-Type: text/html") + b"--b7--\r\n")
        same(got.get("Content-Type"), MIXED, "Content-Type")
    body = part(b"bonjour", "content-type:  text/plain", "Content-Language: fr") + listed(uris(bob))
    same((await alice.ask("MESSAGE", FACTORY, content_type=MIXED, body=body)).status, 202, "MESSAGE")
    got = await receive(bob, b"bonjour")
    same((got.get("Content-Type"), got.get("Content-Language")), ("text/plain", "fr"), "description of the part")


@scenario(own={"limits.max_adhoc_group": "4", "limits.uri_list": "8", "policy.offline_pager": "reject"})
async def list_refusals(world):
    """Bad lists, 400; more than limits.max_adhoc_group with the sender, 486 with Warning; to nobody goes anything."""
    alice, bob = await world.pair()
    before = await refused(world, "recipients")

    async def asked(expected, what, body, content_type=MIXED, warning=None, headers=()):
        final = await alice.ask("MESSAGE", FACTORY, content_type=content_type, body=body, headers=headers)
        same(final.status, expected, what)
        if warning:
            check(warning in final.get("Warning", ""), "%s: Warning %r" % (what, final.get("Warning")))

    text = (b"hello", "text/plain")
    await asked(400, "no list", b"hello", "text/plain", "Recipient list missing")
    await asked(400, "multipart without list", part(b"hello", "Content-Type: text/plain") + b"--b7--\r\n")
    REQ("IM-8.3.1.1-8")
    await asked(400, "no XML", listed(["<"], text))
    await asked(400, "an entry without URI", listed(["<entry/>"], text))
    await asked(400, "entry-ref", listed([bob.uri, '<entry-ref ref="resource-lists/users/x"/>'], text))
    await asked(400, "external", listed([bob.uri, '<external anchor="http://x.invalid/"/>'], text))
    await asked(400, "an entry that is no URI", listed([bob.uri, "bob"], text), warning="no URI")
    await asked(400, "only a list", listed([bob.uri]))
    await asked(400, "more than limits.uri_list", listed(uris(bob) * 9, text))
    many = ["sip:nobody%d@%s" % (i, DOMAIN) for i in range(3)]
    await asked(486, "too many with the sender", listed(uris(bob, *many), text), warning="Too many participants")
    await asked(486, "too many, the sender listed", listed(uris(bob, alice, *many), text))
    check(await refused(world, "recipients") >= before + 2, "refusals are not counted")
    await bob.quiet(0.1)
    await asked(202, "as many as there may be", listed(uris(bob, alice, many[0], many[1]), text))
    await receive(bob)
    await receive(alice)  # D2-41: who lists himself gets a copy
    await asked(202, "duplicates count once", listed(uris(bob, bob, many[0], many[1], bob, many[1]), text))
    await receive(bob)
    await bob.quiet(0.1)


@scenario(own={"policy.allow_anonymity": "false", "policy.content_types": '["text/*"]', "limits.max_size_pager": "1KiB"})
async def list_checks_in_order(world):
    """Anonymity before the list, the list before size and type; what a copy holds is what has a size and a type."""
    alice, bob = await world.pair()
    final = await alice.ask("MESSAGE", FACTORY, headers=[ANONYMOUS], body=b"hello", content_type="text/plain")
    same(final.status, 403, "anonymous and without list")
    REQ("IM-8.3.1.1-6")
    large = b"x" * 1025
    same((await alice.ask("MESSAGE", FACTORY, body=large, content_type="application/x")).status, 400,
         "too large, of a wrong type and without list")
    same((await to_list(alice, [bob], large)).status, 403, "too large")
    same((await to_list(alice, [bob], content_type="application/x")).status, 403, "of a type that is not permitted")
    old = [("Date", "Sat, 13 Nov 2010 23:29:00 GMT"), ("Expires", "1")]
    same((await to_list(alice, [bob], headers=old)).status, 202, "with a Date that nobody believes")
    await receive(bob)
    same((await to_list(alice, [bob], b"x" * 1024)).status, 202, "at the limit, the list apart")
    await receive(bob, b"x" * 1024)
    if world.ims:
        request = alice.build("MESSAGE", FACTORY, body=listed(uris(bob), (b"hello", "text/plain")), content_type=MIXED,
                              without=("Accept-Contact",))
        same((await alice.start(request).final()).status, 403, "without the feature tag")


@scenario()
async def list_legs_are_apart(world):
    """What becomes of one copy touches neither the sender nor the others: declined, unknown, away, of another domain,
    a function."""
    alice, bob, carol = await world.client("alice"), await world.client("bob"), await world.client("carol")
    others = ["sip:nobody@%s" % DOMAIN, "sip:x@elsewhere.invalid", "sip:factory@" + DOMAIN, "mailto:a@b.invalid",
              "sip:history@" + DOMAIN]
    if world.ims:
        others.remove("sip:x@elsewhere.invalid")
    same((await to_list(alice, [others[0], bob, *others[1:], carol])).status, 202, "MESSAGE")
    await receive(bob, status=486)
    await receive(carol)
    REQ("IM-8.3.1.1-10")
    same((await to_list(alice, [carol, bob])).status, 202, "MESSAGE")
    await receive(bob)
    await receive(carol)


@scenario(own={"policy.offline_pager": "defer", "log.cdr": "cdr.jsonl"})
async def list_offline_members(world):
    """F23 step 5: who is away finds a copy of his own in his mailbox, without the list; each copy is a line of the
    call detail records."""
    alice, bob = await world.pair()
    away = [await world.client(name, register=False) for name in ("carol", "dave")]
    if world.ims:
        world.core.own_by_term = True
    same((await to_list(alice, [away[0], bob, away[1]])).status, 202, "MESSAGE")
    await receive(bob)
    await counted(world, "deferred_stored", 2)
    calls = set()
    for user in away:
        found = rows(world, user)
        same(len(found), 1, "messages stored for " + user.name)
        head = head_of(found[0])
        same(sip.address(head.get("To"))[1], user.uri, "To")
        same(head.get("Content-Type"), "text/plain", "Content-Type")
        check(not head.all("Require"), "Require is stored")
        calls.add(head.get("Call-ID"))
        whole = b"".join(bytes(str(value), "utf-8", "replace") if not isinstance(value, bytes) else value
                         for value in tuple(found[0]))
        check(b"resource-lists" not in whole, "the list is stored")
    same(len(calls), 2, "Call-IDs")
    REQ("IM-8.3.2.1-5", "IM-8.3.2.1-1")
    path = os.path.join(world.server.directory, "cdr.jsonl")
    expected = {"%s@%s" % (user.name, DOMAIN) for user in [bob, *away]}
    end = asyncio.get_running_loop().time() + 10
    while True:
        with open(path) as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        taken = [line for line in lines if line["type"] == "pager" and line["messages"] == 1]
        if {line["to"] for line in taken} == expected:
            break
        check(asyncio.get_running_loop().time() < end, "records %s" % lines)
        await asyncio.sleep(0.02)
    check(all(line["from"] == "%s@%s" % (alice.name, DOMAIN) and line["octets"] == 5 for line in taken), "%s" % taken)


@scenario(modes=("standalone",))
async def list_access_rules(world):
    """The rules of each recipient decide about his copy alone."""
    alice, bob, carol = await world.client("alice"), await world.client("bob"), await world.client("carol")
    rejects = ruleset((one(alice.uri), {"allow-session": "accept", "allow-pager-mode-message": "reject"}))
    await Xcap(world, bob.uri).put(RULES, "rules", rejects, 201)
    before = await refused(world, "access_rejected")
    same((await to_list(alice, [bob, carol])).status, 202, "MESSAGE")
    await receive(carol)
    end = asyncio.get_running_loop().time() + 10
    while await refused(world, "access_rejected") < before + 1:
        check(asyncio.get_running_loop().time() < end, "the rejected copy is not counted")
        await asyncio.sleep(0.02)
    await bob.quiet(0.05)


@scenario(own={"core.users": "provisioned", "policy.offline_pager": "defer"}, modes=("standalone",))
async def list_provisioned_users(world):
    """Where users are provisioned, nothing is stored for a name that nobody has."""
    alice, bob, away = [await world.client(name, register=False) for name in ("alice", "bob", "away")]
    for user in (alice, bob, away):
        same((await world.server.api("PUT", "users/" + user.name, {}))[0], 201, "PUT user")
    await alice.register()
    await bob.register()
    before = await refused(world, "target_unknown")
    same((await to_list(alice, ["sip:nobody@" + DOMAIN, bob, away])).status, 202, "MESSAGE")
    await receive(bob)
    await counted(world, "deferred_stored", 1)
    end = asyncio.get_running_loop().time() + 10
    while await refused(world, "target_unknown") < before + 1:
        check(asyncio.get_running_loop().time() < end, "the copy to nobody is not counted")
        await asyncio.sleep(0.02)
    same([row["name"] for row in rows(world)], ["%s@%s" % (away.name, DOMAIN)], "mailboxes with messages")


@scenario()
async def list_anonymous_sender(world):
    """Privacy: id: who gets a copy hears of nobody."""
    alice, bob = await world.pair()
    headers = [ANONYMOUS, ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'),
               ("P-Preferred-Identity", "<%s>" % alice.uri)]
    same((await to_list(alice, [bob], headers=headers)).status, 202, "MESSAGE")
    got = await receive(bob)
    check(not got.all("P-Asserted-Identity"), "P-Asserted-Identity")
    check(alice.name not in got.encode().decode(), "the sender is named")
    same(sip.address(got.get("From"))[1], "sip:anonymous@anonymous.invalid", "From")


@scenario()
async def list_unknown_session(world):
    """D2-43: a session identity that nobody knows: 403; what the B2BUA gave out as Contact is none."""
    alice, bob = await world.pair()
    outgoing, invitation = await world.session(alice, bob)
    contact = sip.address(outgoing.response.get("Contact"))[1]
    minted = "sip:%s@%s" % (sip.uri_parts(contact)[1], DOMAIN)
    same((await alice.ask("MESSAGE", minted, body=b"x", content_type="text/plain")).status, 403, "no session of the focus")
    REQ("IM-8.3.1.1-5")
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario()
async def advertisement(world):
    """F23b: to a user and to a list it arrives as it was; anonymous 403; what is no advertisement is not exploded."""
    alice, bob, carol = await world.client("alice"), await world.client("bob"), await world.client("carol")
    strange = ADVERTISEMENT.upper()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=ADVERTISED, content_type=strange))
    server = await bob.expect("MESSAGE")
    same((server.request.body, server.request.get("Content-Type")), (ADVERTISED, strange), "advertisement")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "advertisement to a user")
    REQ("IM-6.2.3.8-3", "IM-6.2.3.8-4", "IM-6.2.4.5-3", "IM-6.2.4.5-4", "IM-E.1.6-5")
    hidden = [ANONYMOUS]
    final = await alice.ask("MESSAGE", bob.uri, body=ADVERTISED, content_type=ADVERTISEMENT, headers=hidden)
    same(final.status, 403, "an anonymous advertisement")
    REQ("IM-6.2.3.8-1", "IM-6.2.4.5-1")
    same((await to_list(alice, [bob, carol], ADVERTISED, content_type=ADVERTISEMENT)).status, 202, "to a list")
    for user in (bob, carol):
        same((await receive(user, ADVERTISED)).get("Content-Type"), ADVERTISEMENT, "Content-Type")
    REQ("IM-E.1.7-1", "IM-E.1.6-2")
    same((await to_list(alice, [bob], ADVERTISED, headers=hidden, content_type=ADVERTISEMENT)).status, 403,
         "an anonymous one to a list")
    broken = re.sub(rb"<uri>.*</uri>", b"", ADVERTISED)
    same((await to_list(alice, [bob], broken, content_type=ADVERTISEMENT)).status, 400, "without a group URI")
    REQ("IM-E.1.6-1", "IM-E.1.6-4")
    await bob.quiet(0.05)


CP = "urn:ietf:params:xml:ns:common-policy"


def rules(*those):
    """Each: (conditions, {action: value})."""
    return '<cp:ruleset xmlns:cp="%s">%s</cp:ruleset>' % (CP, "".join(
        '<cp:rule id="r%d"><cp:conditions>%s</cp:conditions><cp:actions>%s</cp:actions></cp:rule>' % (
            i, conditions, "".join("<%s>%s</%s>" % (a, v, a) for a, v in actions.items()))
        for i, (conditions, actions) in enumerate(those)))


MEMBERS = "<is-list-member>true</is-list-member>"
MAY = {"allow-initiate-conference": "true", "join-handling": "true"}


@scenario()
async def group_to_members(world):
    """A MESSAGE to a group: one to each member but the sender; no more than one level; the sender must be permitted."""
    alice, bob, carol, eve = [await world.client(name) for name in ("alice", "bob", "carol", "eve")]
    name = "group" + sip.token(6).lower()
    other = await group(world, carol, name + "b", [eve])
    uri = await group(world, alice, name, [bob, alice, other, carol, "sip:%s@%s" % (bob.name, DOMAIN.upper())],
                      rules((MEMBERS, MAY)))
    final = await alice.ask("MESSAGE", uri + ";session=prearranged", body=b"hello", content_type="text/plain")
    same(final.status, 202, "MESSAGE to a group")
    REQ("IM-8.3.1.1-12", "IM-8.3.1.1-2")
    for user in (bob, carol):
        got = await receive(user)
        same(sip.address(got.get("To"))[1], user.uri, "To")
        same(sip.address(got.get("From"))[1], alice.uri, "From")
        same(got.get("P-Asserted-Identity"), "<%s>" % alice.uri, "P-Asserted-Identity")
    REQ("IM-8.3.1.1-7", "IM-8.3.2.1-6", "IM-8.3.2.1-4", "IM-8.3.1.1-10")
    same((await eve.ask("MESSAGE", uri, body=b"hello", content_type="text/plain")).status, 403, "who is no member")
    REQ("IM-8.3.1.1-4")
    final = await alice.ask("MESSAGE", "sip:%s-none@%s" % (name, DOMAIN), body=b"hello", content_type="text/plain")
    same(final.status, 404, "a group that is not there")
    check("Conference URI does not exist" in final.get("Warning", ""), "Warning %r" % final.get("Warning"))
    REQ("IM-8.3.1.1-3")
    for user in (alice, bob, carol, eve):
        await user.quiet(0.05)


@scenario()
async def group_in_list(world):
    """D1-20: a group of ours among the recipients is its members; who is in it and listed gets one; a group that does
    not permit the sender or is not there harms nobody else."""
    alice, bob, carol, eve = [await world.client(name) for name in ("alice", "bob", "carol", "eve")]
    name = "group" + sip.token(6).lower()
    uri = await group(world, carol, name, [alice, bob, carol], rules((MEMBERS, MAY)))
    closed = await group(world, eve, name + "c", [eve])
    same((await to_list(alice, [bob, uri, "sip:%s-none@%s" % (name, DOMAIN), closed, uri])).status, 202, "MESSAGE")
    await receive(bob)
    await receive(carol)
    for user in (alice, bob, carol, eve):
        await user.quiet(0.05)
    same((await to_list(alice, [closed])).status, 202, "to a group alone that does not permit it")
    same((await to_list(alice, [alice, uri])).status, 202, "who lists himself")
    for user in (alice, bob, carol):
        await receive(user)
    await eve.quiet(0.05)


@scenario(own={"limits.max_adhoc_group": "3", "policy.offline_pager": "reject"})
async def group_in_list_counts(world):
    """The members of a listed group count for limits.max_adhoc_group, so that nobody makes hundreds of a few; a group
    alone has no such limit."""
    alice, bob, carol = [await world.client(name) for name in ("alice", "bob", "carol")]
    uri = await group(world, alice, "group" + sip.token(6).lower(), [bob, carol, "sip:nobody@" + DOMAIN, alice])
    final = await to_list(alice, [uri])
    same(final.status, 486, "a listed group with three others")
    await bob.quiet(0.05)
    same((await alice.ask("MESSAGE", uri, body=b"hello", content_type="text/plain")).status, 202, "to the group")
    await receive(bob)
    await receive(carol)


@scenario()
async def group_anonymity(world):
    """8.1.1 NOTE 1: a group that does not permit it refuses who hides; permission comes first."""
    alice, bob, eve = [await world.client(name) for name in ("alice", "bob", "eve")]
    name = "group" + sip.token(6).lower()
    uri = await group(world, alice, name, [alice, bob], rules((MEMBERS, MAY)))
    final = await alice.ask("MESSAGE", uri, headers=[ANONYMOUS], body=b"hello", content_type="text/plain")
    same(final.status, 403, "an anonymous message")
    check("nonymity" in final.get("Warning", ""), "Warning %r" % final.get("Warning"))
    REQ("IM-8.3.1.1-6", "IM-8.1.1-5")
    final = await eve.ask("MESSAGE", uri, headers=[ANONYMOUS], body=b"hello", content_type="text/plain")
    same((final.status, final.get("Warning")), (403, None), "who is no member, and hides")
    await bob.quiet(0.05)
    uri = await group(world, alice, name + "a", [alice, bob], rules((MEMBERS, dict(MAY, **{"allow-anonymity": "true"}))))
    headers = [ANONYMOUS, ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'),
               ("P-Preferred-Identity", "<%s>" % alice.uri)]
    final = await alice.ask("MESSAGE", uri, headers=headers, body=b"hello", content_type="text/plain")
    same(final.status, 202, "where it is permitted")
    check(alice.name not in (await receive(bob)).encode().decode(), "the sender is named")


@scenario()
async def group_advertised(world):
    """F23b: an advertisement to a group reaches its members as it was; who hides or is not permitted: 403."""
    alice, bob, eve = [await world.client(name) for name in ("alice", "bob", "eve")]
    uri = await group(world, alice, "group" + sip.token(6).lower(), [alice, bob],
                      rules((MEMBERS, dict(MAY, **{"allow-anonymity": "true"}))))
    tagged = [("Accept-Contact", "*;+g.oma.sip-im;+g.poc.groupad;require;explicit")]

    async def advertise(user, expected, what, headers=(), body=ADVERTISED):
        final = await user.ask("MESSAGE", uri, body=body, content_type=ADVERTISEMENT, headers=[*tagged, *headers])
        same(final.status, expected, what)

    await advertise(alice, 403, "an anonymous one", [ANONYMOUS])
    await advertise(eve, 403, "by somebody else")
    REQ("IM-6.2.3.8-2")
    await advertise(alice, 400, "no advertisement at all", body=b"<x/>")
    await advertise(alice, 202, "an advertisement")
    got = await receive(bob, ADVERTISED)
    same(got.get("Content-Type"), ADVERTISEMENT, "Content-Type")
    check("+g.poc.groupad" in ",".join(got.all("Accept-Contact")), "Accept-Contact %r" % got.all("Accept-Contact"))
    REQ("IM-E.1.9-1")
    await bob.quiet(0.05)


@scenario()
async def session_participants(world):
    """F23 step 6, D2-43: a MESSAGE to the identity of a session, as Contact or in the home domain, goes to all other
    participants with From = that identity; who takes no part gets 403."""
    alice, bob, carol, eve = [await world.client(name) for name in ("alice", "bob", "carol", "eve")]
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    contact = contact_of(outgoing.response)
    focus = contact
    if world.ims:  # what alice has is the Contact of her participating function (D1-15)
        focus = contact_of([m for m in world.core.own if m.method == "INVITE"][0])
        check(focus != contact, "Contact was not mapped")
    identity = "sip:%s@%s" % (sip.uri_parts(focus)[1], DOMAIN)
    for uri in (identity, sip.address(to_bob.request.list("Contact")[0])[1]):
        same((await bob.ask("MESSAGE", uri, body=b"psst", content_type="text/plain")).status, 202, "MESSAGE to " + uri)
        for user in (alice, carol):
            got = await receive(user, b"psst")
            same(sip.address(got.get("From"))[1], identity, "From")
            same(sip.address(got.get("To"))[1], user.uri, "To")
            same(got.get("P-Asserted-Identity"), "<%s>" % bob.uri, "P-Asserted-Identity")
    REQ("IM-8.3.1.1-11", "IM-8.3.2.1-7", "IM-8.3.2.1-8")
    same((await eve.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status, 403, "who takes no part")
    REQ("IM-8.3.1.1-4")
    await to_carol.hang_up()
    same((await bob.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status, 202, "MESSAGE")
    await receive(alice, b"psst")
    same((await carol.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status, 403, "who has left")
    await carol.quiet(0.05)
    await bob.quiet(0.05)
    await outgoing.hang_up()
    await to_bob.wait_bye()
    same((await bob.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status, 403, "a session that has ended")
    REQ("IM-8.3.1.1-5")


@scenario(own={"policy.offline_pager": "defer", "timers.client_answer": "700ms"}, modes=("standalone",), settle=False)
async def list_outlives_sigterm(world):
    """Who sent to a list has his 202: a server that is asked to end waits for the copies, here until one is stored."""
    alice, bob = await world.pair()
    same((await to_list(alice, [bob])).status, 202, "MESSAGE")
    await bob.expect("MESSAGE")
    await world.server.restart()
    same(len(rows(world, bob)), 1, "messages stored for who did not answer")
