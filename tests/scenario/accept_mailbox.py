"""A mailbox as its owner uses it who knows the specification alone (F6 to F11, F10, D2-04 to D2-10, D2-19, D2-27): what
he is told, every way to name what he wants, and what a push does with an answer."""
import asyncio
import datetime
import re

from accept_deferred import FETCH, Upload, fetched, large_in, leave, pager_in
from deferred_list import AUID, entries
from documents import Xcap, both, one, ruleset
from message_summary import STORE, watching
from pushing import PUSH, comes_back, ended, invited
from retrieving import LIST, ask, deferred, status_of
from settings import document, published
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

RULES = "org.openmobilealliance.im-rules"
BOTH = dict(FETCH, **{"policy.offline_large": "defer"})


async def summary_until(watcher, count):
    """The summary in which so many messages wait: one NOTIFY may tell of several."""
    while True:
        _, _, summary = await watcher.notify(seconds=15)
        if len(summary.messages) == count:
            return summary


async def waiting(world, texts, headers=(), name="bob"):
    """(user who is back, requests, Message-IDs that he is told)."""
    user, raw = await world.client(name, register=False), await world.raw()
    requests = [await leave(raw, world, user, "sip:carol@" + DOMAIN, text, headers) for text in texts]
    same((await user.register()).status, 200, "REGISTER")
    _, summary = await watching(user)
    return user, requests, [block["Message-ID"] for block in summary.messages]


def texts_of(messages):
    return [pager_in(message).body for message in messages]


@scenario(own=BOTH, seconds=40)
async def charlie_of_appendix_d(world):
    """004 D.1: Alice writes, Joe sends something large and urgent; Charlie is told of both, takes one by its escaped
    Message-ID, then the rest by the name of his account, and is told each time."""
    alice, joe = await world.client("alice"), await world.client("joe")
    charlie = await world.client("charlie", register=False)
    same((await alice.pager(charlie, "carpool?", headers=[("Subject", "carpool tomorrow?"), ("Priority", "normal")])).status,
         202, "MESSAGE")
    upload = await Upload(joe, charlie, b"HELP " * 1000).begin([("Subject", "HELP! at home ill"), ("Priority", "urgent")])
    await upload.all(1000)
    REQ("CR004-D.1-1", "IM-K-1", "IM-K-2", "IM-10.3.2.2-5")
    same((await charlie.register()).status, 200, "REGISTER")
    watcher, summary = await watching(charlie)
    same(summary.head, {"Messages-Waiting": "yes", "Message-Account": "sip:%s@%s" % (charlie.name, STORE),
                        "Text-Message": "2/0 (1/0)"}, "what waits")
    REQ("CR004-D.1-2")
    first, second = summary.messages
    same([(sip.address(m["From"])[1], m["Subject"], m["Priority"]) for m in (first, second)],
         [(alice.uri, "carpool tomorrow?", "normal"), (joe.uri, "HELP! at home ill", "urgent")], "blocks")
    word = re.fullmatch(r"sip:([a-z0-9]{26,})@" + re.escape(STORE), second["Message-ID"]).group(1)
    message, = await fetched(charlie, "sip:%s%%40%s@%s" % (word, STORE, STORE))
    same(large_in(message)[2], upload.content, "content")
    REQ("CR004-D.1-3", "IM-K-4", "IM-K-5", "IM-K-6")
    summary = await summary_until(watcher, 1)
    same((summary.messages, summary.head["Text-Message"]), ([first], "1/0 (0/0)"), "what is left")
    same(texts_of(await fetched(charlie, "sip:%s@%s" % (charlie.name, STORE))), [b"carpool?"], "the rest")
    summary = await summary_until(watcher, 0)
    same(summary.head, {"Messages-Waiting": "no", "Message-Account": "sip:%s@%s" % (charlie.name, STORE)}, "nothing waits")
    same(await status_of(ask(charlie, first["Message-ID"])), 404, "what was fetched")
    await watcher.again(0)
    await watcher.notify()


@scenario(own=FETCH)
async def summaries_of_odd_messages(world):
    """Values on one line each, as they were written; counts by kind; of a hidden sender nothing."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    sender = "sip:carol@" + DOMAIN
    kinds = [([("Subject", "gr\u00fc\u00dfe \u2603"), ("From", '"J\u00fc, \\"x\\"" <%(sender)s>;tag=a')], "text"),
             ([("Subject", "one\r\n\t two\r\n  three")], "text"), ([("Priority", "URGENT")], "text urgent"),
             ([("Content-Type", "Image/PNG;x=y"), ("Priority", "urgent")], "multimedia urgent"),
             ([("Content-Type", "video/x-any")], "multimedia"),
             ([("Privacy", "id"), ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=b'), ("Subject", "guess"),
               ("P-Preferred-Identity", "<%(sender)s>")], "text")]
    for headers, _ in kinds:
        await leave(raw, world, bob, sender, b"x", headers)
    same((await bob.register()).status, 200, "REGISTER")
    watcher, summary = await watching(bob)
    same((summary.head["Text-Message"], summary.head["Multimedia-Message"]), ("4/0 (1/0)", "2/0 (1/0)"), "counts")
    same(len(summary.messages), 6, "blocks")
    block = summary.messages[0]
    same((block["Subject"], block["From"]), ("gr\u00fc\u00dfe \u2603", '"J\u00fc, \\"x\\"" <%s>' % sender), "UTF-8")
    same(re.sub(r"\s+", " ", summary.messages[1]["Subject"]), "one two three", "a folded Subject")
    hidden = summary.messages[5]
    check("carol" not in str(hidden) and "P-Asserted-Identity" not in hidden, "who hides: %s" % hidden)
    same(hidden.get("Subject"), "guess" if world.ims else None, "Subject of who hides: the privacy service takes it (RFC 3323)")
    found, _ = await entries(Xcap(world, bob.uri))
    same([e.get("uri") for e in found], [m["Message-ID"] for m in summary.messages], "the same by XCAP")
    REQ("CR001-12.2.2.3-14")
    check("carol" not in str(found[5].attrib), "who hides: %s" % found[5].attrib)
    got = await fetched(bob, summary.messages[5]["Message-ID"])
    check(b"carol" not in bytes(got[0].body), "the sender is named")
    await watcher.again(0)


@scenario(own=BOTH)
async def summaries_of_large_messages(world):
    """What counts is the type of the content, not of the INVITE; lines as those of a MESSAGE."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    for n, (kind, priority) in enumerate((("image/png", "urgent"), ("TEXT/plain;charset=utf-8", "normal"), ("video/mp4", None))):
        upload = await Upload(alice, bob, b"x" * 3000, content_type=kind).begin(
            [("Subject", "gr\u00fc\u00dfe %d" % n)] + ([("Priority", priority)] if priority else []))
        await upload.all(2000)
    same((await bob.register()).status, 200, "REGISTER")
    watcher, summary = await watching(bob)
    same((summary.head["Text-Message"], summary.head["Multimedia-Message"]), ("1/0 (0/0)", "2/0 (1/0)"), "counts")
    same([(m["Subject"], m.get("Priority"), sip.address(m["To"])[1], sip.address(m["From"])[1]) for m in summary.messages],
         [("gr\u00fc\u00dfe 0", "urgent", bob.uri, alice.uri), ("gr\u00fc\u00dfe 1", "normal", bob.uri, alice.uri),
          ("gr\u00fc\u00dfe 2", None, bob.uri, alice.uri)], "blocks")
    for m in summary.messages:
        check(m["Date"].endswith(" GMT") and alice.uri in m["P-Asserted-Identity"], "block %s" % m)
    same([len(large_in(message)[2]) for message in await fetched(bob)], [3000] * 3, "contents")
    same((await summary_until(watcher, 0)).head["Messages-Waiting"], "no", "in the end")
    await watcher.again(0)


@scenario(own=FETCH, transports=("tcp",))
async def summaries_of_long_lines(world):
    """Lines as long as a request may have: he is told how many wait, and can fetch them by what he is told."""
    subject = [("Subject", "s" * 9000), ("From", '"%s" <%%(sender)s>;tag=1' % ("f" * 4000))]
    bob, raw = await world.client("bob", register=False), await world.raw()
    for n in range(12):
        await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"%d" % n, subject)
    same((await bob.register()).status, 200, "REGISTER")
    watcher, summary = await watching(bob)
    same(summary.head["Text-Message"], "12/0 (0/0)", "counts")
    check(summary.messages, "no blocks")
    same(texts_of(await fetched(bob, summary.messages[0]["Message-ID"])), [b"0"], "the first")
    found, _ = await entries(Xcap(world, bob.uri))
    same(len(found), 11, "entries")
    same((await world.server.api("GET", "mailbox/" + bob.name))[1]["messages"], 11, "API")
    same(len(await fetched(bob)), 11, "the rest")
    await watcher.again(0)


# --- every way to name it ---
@scenario(own=FETCH, seconds=40)
async def names_of_one_message(world):
    """Escaped more than needed, in the other case where that is the same, with parameters: the same message."""
    shapes = ["sip:%(word)s@STORE.Example.Com", "SIP:%(word)s@%(host)s", "sip:%(word)s@%(host)s;transport=tcp;x=y",
              "sip:%(hex)s@%(host)s", "sip:%(word)s%%40STORE.example.com@%(host)s", "sip:%(word)s%%40%(host)s@%(host)s;user=ip"]
    bob, requests, ids = await waiting(world, [b"%d" % n for n in range(len(shapes))])
    for shape, request, uri in zip(shapes, requests, ids):
        word = uri[4:].partition("@")[0]
        target = shape % {"word": word, "host": STORE, "hex": "%%%02x%s" % (ord(word[0]), word[1:])}
        same(texts_of(await fetched(bob, target)), [request.body], target)
    same(await status_of(ask(bob, "sip:%s@%s" % (word.upper(), STORE))), 404, "String in capitals")
    for target in ("sip:DeFeRReD@" + DOMAIN.upper(), "sip:%%44eferred@%s" % STORE, "sip:%s@%s;transport=udp" % ("deferred", STORE),
                   "sip:%s@%s" % (bob.name.replace("b", "%62", 1), STORE)):
        same(await fetched(bob, target), [], target)


@scenario(own=FETCH)
async def call_ids_of_messages(world):
    """A Call-ID names a message while it is the only one of it; another's says nothing (D2-06, D2-07)."""
    bob, requests, _ = await waiting(world, [b"1", b"2"], [("Call-ID", "same@pc.example.net")])
    other, theirs, ids = await waiting(world, [b"3"], [("Call-ID", "their@pc.example.net")], "dora")
    twice = "sip:same%%40pc.example.net@%s" % STORE
    same(await status_of(ask(bob, twice)), 404, "a Call-ID of two")
    same(await status_of(ask(bob, "sip:their%%40pc.example.net@%s" % STORE)), 404, "a Call-ID of somebody else's")
    same(await status_of(ask(bob, ids[0])), 404, "a Message-ID of somebody else's")
    same(texts_of(await fetched(other, "sip:their%%40pc.example.net@%s" % STORE)), [b"3"], "his own")
    _, summary = await watching(bob)
    await fetched(bob, summary.messages[0]["Message-ID"])
    same(texts_of(await fetched(bob, twice)), [b"2"], "when it is of one only")


def wrapped(parts, boundary="b7", before="", after=""):
    """multipart/mixed of (header lines, octets)."""
    return before.encode() + b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), "\r\n".join(lines).encode(), octets)
                                      for lines, octets in parts) + b"--%s--" % boundary.encode() + after.encode()


@scenario(own=FETCH, seconds=40)
async def lists_in_many_shapes(world):
    """RFC 2046, RFC 4826 and RFC 5363 allow more than F7 prints."""
    plain = LIST % '<entry uri="%s"/>'
    head = ["Content-Type: application/resource-lists+xml", "Content-Disposition: recipient-list"]
    space = 'xmlns:rl="urn:ietf:params:xml:ns:resource-lists"'
    shapes = {
        "list first": (plain, head, {"first": True}),
        "preamble, epilogue": (plain, head, {"before": "This is MIME\r\n", "after": "\r\nthat was it\r\n"}),
        "headers in capitals": (plain, ["CONTENT-TYPE: Application/Resource-Lists+XML; charset=utf-8",
                                        "content-disposition: Recipient-List; handling=required", "Content-ID: <a@b>"], {}),
        "prefix": ('<?xml version="1.0"?><rl:resource-lists %s><rl:list name="a"><!-- c --><rl:entry uri="%%s">'
                   "<rl:display-name>x &amp; y</rl:display-name></rl:entry></rl:list></rl:resource-lists>" % space, head, {}),
        "nested": (plain.replace("<list>", '<list name="o"><list name="i">').replace("</list>", "</list></list>"), head, {}),
        "two lists": (plain.replace("<list>", "<list/><list>"), head, {}),
        "foreign attributes": (plain.replace("<entry ", "<entry xmlns:cp='urn:ietf:params:xml:ns:copyControl' cp:copyControl='to' "),
                               head, {}),
        "no prolog": (plain.partition("?>")[2].strip(), head, {}),
        "blank in the boundary": (plain, head, {"boundary": "a b'c(d)"}),
        "boundary without quotes": (plain, head, {"boundary": "_x.1", "type": "Multipart/Mixed; Boundary=%s"})}
    bob, requests, ids = await waiting(world, [b"%d" % n for n in range(len(shapes))])
    for (what, (text, lines, more)), request, uri in zip(shapes.items(), requests, ids):
        boundary = more.get("boundary", "b7")

        def edit(description, text=text, lines=lines, more=more, uri=uri, boundary=boundary):
            parts = [(["Content-Type: application/sdp"], description), (lines, (text % uri).encode())]
            return wrapped(parts[::-1] if more.get("first") else parts, boundary, more.get("before", ""), more.get("after", ""))
        session = bob.invite(deferred(), direction="recvonly", accept="multipart/*", edit=edit,
                             headers=[("Require", "recipient-list-invite")],
                             content_type=more.get("type", 'multipart/mixed;boundary="%s"') % boundary)
        response = await session.transaction.final()
        same(response.status, 200, what)
        session.answer = session.remote_description(response.body, "200")
        session.active = session.answer.setup != "active"
        await session.bind()
        await session.wait_bye(15)
        same(session.leg.messages.qsize(), 1, "messages, list with " + what)
        same(pager_in(session.leg.messages.get_nowait()).body, request.body, what)
    same(len(set(ids)), len(ids), "URIs of messages")
    REQ("CR000-11.3.1.1.2-2", "CR000-11.3.1.1.2-3", "CR004-multi-6", "CR004-all-6", "IM-10.3.1.1.2-2", "IM-10.3.1.1.2-3",
        "CR000-11.3.1.1.1-1", "IM-10.3.1.1.1-1", "CR004-multi-9")
    same(await fetched(bob), [], "what is left")


@scenario(own=FETCH, transports=("tcp",), seconds=40)
async def a_list_of_a_hundred(world):
    """As many entries as limits.uri_list has, in any order: those messages, in the order of reception; one more is 400."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    for n in range(102):
        await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"%d" % n)
    found, _ = await entries(Xcap(world, bob.uri))
    ids = [e.get("uri") for e in found]
    same((await bob.register()).status, 200, "REGISTER")
    same(await status_of(ask(bob, deferred(), ids[:101])), 400, "101 entries")
    same(texts_of(await fetched(bob, deferred(), ids[100:0:-1])), [b"%d" % n for n in range(1, 101)], "messages")
    same(texts_of(await fetched(bob, deferred())), [b"0", b"101"], "the others")


@scenario(own=FETCH)
async def offers_of_a_retrieval(world):
    """Types that allow it, and a description with a line for something else: that line is refused (RFC 3264)."""
    bob, requests, _ = await waiting(world, [b"one", b"two", b"three"])
    for accept, status in (("multipart/*", 200), ("*", 200), ("Multipart/Mixed", 200), ("text/*", 488), ("message/sip", 488),
                           ("text/plain\r\na=accept-wrapped-types:multipart/mixed", 488)):
        session = ask(bob, deferred(), accept=accept)
        same(await status_of(session), status, accept)
        if status == 200:
            await session.hang_up()
    for audio in (b"m=audio 4000 RTP/AVP 0\r\n", b"m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n"):
        session = ask(bob, deferred(), edit=lambda body: body.replace(b"m=message", audio + b"m=message", 1))
        response = await session.transaction.final()
        same(response.status, 200, "two media")
        check(re.search(rb"m=audio 0 RTP/AVP[^\r]*\r\n(.*\r\n)*m=message [1-9]", response.body), "answer %r" % response.body)
        await session.hang_up()
    same(texts_of(await fetched(bob)), [r.body for r in requests], "all is still there")


# --- how long it waits ---
@scenario(own=FETCH, once=True)
async def expiry_near_the_limits(world):
    """Expires up to deferred.expires_max is used, beyond it the default, which is less (D2-19)."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    day = 86400
    cases = ((30 * day, 30 * day), (30 * day + 1, 7 * day), (4294967295, 7 * day), (7 * day + 1, 7 * day + 1), (100, 100), (None, 7 * day))
    for expires, _ in cases:
        await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"x", [("Expires", str(expires))] if expires else [])
    found, _ = await entries(Xcap(world, bob.uri))
    for (expires, lives), entry in zip(cases, found):
        received, end = (datetime.datetime.fromisoformat(entry.get(n).replace("Z", "+00:00")) for n in ("received", "expires"))
        check(abs((end - received).total_seconds() - lives) <= 1, "Expires %s: lives from %s to %s" % (expires, received, end))


# --- the push and its answer ---
@scenario(own=dict(PUSH, **{"limits.unbound": "3s"}), seconds=40)
async def answers_to_a_push(world):
    """Answers that take no message: ACK and BYE, and all stays; the next PUBLISH tries again; types that include it do."""
    bob, requests, _ = await waiting(world, [b"one", b"two"])
    await comes_back(world, bob)

    def without_media(body):
        return re.sub(rb"m=message \d+", b"m=message 0", body)
    for accept, edit in (("text/plain message/cpim", None), ("message/sip message/sipfrag message/msrpfrag", None),
                         ("text/plain\r\na=accept-wrapped-types:multipart/mixed", None), ("multipart/mixed", without_media)):
        invitation = await invited(world, bob)
        await invitation.accept(direction="recvonly", accept=accept, bind=False, edit=edit)
        await invitation.wait_bye()
        check(invitation.leg.messages.empty(), "a message for %s" % accept)
        await ended(world)
        await published(bob, document(offline_delivery=True))
    watcher, _ = await watching(bob)
    invitation = await invited(world, bob)
    invitation.ring()
    invitation.ring(183)
    await invitation.accept(direction="recvonly", accept="Multipart/* text/plain")
    same([pager_in(await invitation.receive()).body for _ in requests], [r.body for r in requests], "messages")
    await invitation.wait_bye()
    same((await summary_until(watcher, 0)).head["Messages-Waiting"], "no", "after the push")
    await watcher.again(0)
    same(await fetched(bob), [], "what is left")


@scenario(own=dict(PUSH, **{"deferred.push_window": "1"}), seconds=40)
async def states_of_the_setting(world):
    """Each spelling of the booleans; a refresh pushes what is left, false and a removal do not (D2-25, D2-36)."""
    bob, requests, _ = await waiting(world, [b"one", b"two", b"three"])
    tag = await published(bob, document(offline_delivery=True).replace('"true"', '"1"'))
    invitation = await invited(world, bob)
    left = [200, 403]
    invitation.leg.answer = lambda chunk, respond: respond(left.pop(0) if chunk.has_body and left else 200)
    await invitation.accept(direction="recvonly", accept="*")
    await invitation.wait_bye()
    await ended(world)
    tag = await published(bob, document(offline_delivery=False).replace('"false"', '" 0 "'), match=tag)
    await bob.quiet(0.3)
    tag = await published(bob, document(offline_delivery=True), match=tag)
    invitation = await invited(world, bob)
    invitation.refuse(486)
    await ended(world)
    tag = await published(bob, match=tag)   # a refresh
    invitation = await invited(world, bob)
    await invitation.accept(direction="recvonly", accept="*")
    same([pager_in(await invitation.receive()).body for _ in requests[1:]], [r.body for r in requests[1:]], "messages")
    await invitation.wait_bye()


# --- rules, and what is thrown away ---
@scenario(own=FETCH)
async def checks_before_it_is_stored(world):
    """Barring, then access rules, then size, then age, whether he is there or not; nothing waits afterwards."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    x, raw = Xcap(world, bob.uri), await world.raw()
    past = [("Date", "Thu, 21 Feb 2002 13:02:03 GMT")]
    await x.put(RULES, "index", ruleset((one(alice.uri), both("reject"))), 201)

    async def sent(headers=(), sender=alice.uri, body=b"x"):
        request = world.request("MESSAGE", raw, to=bob.uri, sender=sender, which="term", headers=headers, body=body)
        return await raw.ask(request)
    same(await sent(), 403, "rejected")
    same(raw.last.get("Warning"), None, "Warning of a rejection")
    same(await sent([("Privacy", "id")]), 403, "rejected, hidden")
    same(await sent([("Expires", "0")]), 403, "rejected, now or never")
    same(await sent(past, "sip:carol@" + DOMAIN), 202, "an old Date without Expires")
    same((await alice.invite(bob, direction="sendonly", extra=["a=filesize:9"]).transaction.final()).status, 403, "large, rejected")
    if world.ims:
        await bob.register(0)
    else:
        await bob.register()
    tag = await published(bob, document(pager_barring=True))
    same(await sent(), 480, "barred and rejected")
    same(await sent([], "sip:carol@" + DOMAIN), 480, "barred")
    await published(bob, document(pager_barring=False), match=tag)
    await bob.register(0)
    same(await sent(), 403, "rejected again")
    await x.delete(RULES, "index", 200)
    same(await sent(), 202, "without rules")
    same(len((await entries(x))[0]), 2, "what waits")


@scenario(own=FETCH)
async def thrown_away(world):
    """4.2.3: what is deleted is told at once, cannot be fetched, and the others can."""
    bob, requests, ids = await waiting(world, [b"0", b"1", b"2", b"3"])
    x, node = Xcap(world, bob.uri), 'deferred-list/entry[@uri="%s"]'
    watcher, _ = await watching(bob)
    await x.delete(AUID, "index", 200, node=node % ids[1])
    summary = await summary_until(watcher, 3)
    same(([m["Message-ID"] for m in summary.messages], summary.head["Text-Message"]),
         ([ids[0], ids[2], ids[3]], "3/0 (0/0)"), "after XCAP")
    same((await world.server.ctl("mailbox", bob.uri, "delete", ids[2]))[0], 0, "imservctl")
    same([m["Message-ID"] for m in (await summary_until(watcher, 2)).messages], [ids[0], ids[3]], "after imservctl")
    for uri in ids[1:3]:
        same(await status_of(ask(bob, uri)), 404, "what was deleted")
    same(texts_of(await fetched(bob, deferred(), [ids[3], ids[2], ids[1]])), [b"3"], "a list with what was deleted")
    same(texts_of(await fetched(bob)), [b"0"], "the rest")
    same((await summary_until(watcher, 0)).head["Messages-Waiting"], "no", "in the end")
    await watcher.again(0)


async def thrown_away_meanwhile(world, answered):
    """A message that is deleted while its delivery waits for an answer, and the one behind it."""
    bob, requests, ids = await waiting(world, [b"0", b"1", b"2"])
    x, node, held = Xcap(world, bob.uri), 'deferred-list/entry[@uri="%s"]', []
    session = ask(bob, deferred())
    response = await session.transaction.final()
    same(response.status, 200, "INVITE")

    def answer(chunk, respond):
        held.append(respond) if chunk.has_body and not held else respond(200)
    session.leg.answer = answer
    session.answer = session.remote_description(response.body, "200")
    session.active = session.answer.setup != "active"
    await session.bind()
    same(pager_in(await session.receive()).body, b"0", "the first")
    for uri in ids[:2]:
        await x.delete(AUID, "index", 200, node=node % uri)
    left = [e.get("uri") for e in (await entries(x))[0]]
    check(left in (ids[2:], ids[:1] + ids[2:]), "the list: %s of %s" % (left, ids))   # what is under way may go last
    if answered:
        held[0](200)
        await session.wait_bye()
        rest = []
        while not session.leg.messages.empty():
            rest.append(pager_in(session.leg.messages.get_nowait()).body)
        check(rest in ([b"2"], [b"1", b"2"]), "what came behind it: %s" % rest)
    else:
        await session.hang_up()
    expected, end = [] if answered else ids[2:], asyncio.get_running_loop().time() + 10
    while [e.get("uri") for e in (await entries(x))[0]] != expected:
        check(asyncio.get_running_loop().time() < end, "the list in the end is not %s" % expected)
        await asyncio.sleep(0.02)
    same(texts_of(await fetched(bob)), [] if answered else [b"2"], "what is left")


@scenario(own=dict(FETCH, **{"deferred.push_window": "1"}))
async def thrown_away_while_it_is_delivered(world):
    """The delivery ends well, and nothing is left or comes twice."""
    await thrown_away_meanwhile(world, True)


@scenario(own=dict(FETCH, **{"deferred.push_window": "1"}))
async def thrown_away_before_he_hangs_up(world):
    """A delivery that ends without an answer: what was deleted meanwhile does not come back."""
    await thrown_away_meanwhile(world, False)
