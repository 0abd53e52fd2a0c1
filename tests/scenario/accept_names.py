"""Who sends, to whom, and how that is written; uploads and deliveries off the usual way: by the specification alone
(RFC 3261 19.1.4, RFC 4975, D2-14 to D2-17, D2-24)."""
import asyncio
import email.utils
import time

from accept_deferred import FETCH, Upload, fetched, large_in, leave, pager_in, sections, untouched
from accept_mailbox import BOTH, RULES, texts_of, waiting
from deferred_list import entries
from documents import EVERYBODY, Xcap, both, one, ruleset
from message_summary import STORE, watching
from pushing import PUSH, comes_back, ended, invited
from retrieving import accepted, ask, deferred, status_of
from settings import document, published
from ua import REQ, check, same, sip
from world import DOMAIN, scenario


# --- to whom ---
@scenario(own=FETCH)
async def one_mailbox_for_all_his_names(world):
    """However his URI is written, it is his mailbox (RFC 3261 19.1.4)."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    shapes = ("sip:%s@EXAMPLE.com", "sip:%s@example.com;transport=tcp", "SIP:%s@example.com", "sip:%s@example.com;x=y;user=ip")
    targets = [shape % bob.name for shape in shapes] + ["sip:%%%02x%s@example.com" % (ord(bob.name[0]), bob.name[1:])]
    requests = []
    for n, target in enumerate(targets):
        request = world.request("MESSAGE", raw, to=target, sender="sip:carol@" + DOMAIN, which="term", body=b"%d" % n)
        same(await raw.ask(request), 202, target)
        requests.append(request)
    same((await bob.register()).status, 200, "REGISTER")
    got = [pager_in(message) for message in await fetched(bob)]
    same([inner.body for inner in got], [request.body for request in requests], "messages")
    same([inner.uri for inner in got], targets, "Request-URIs as they were")
    same([inner.get("To") for inner in got], ["<%s>" % target for target in targets], "To as it was")


@scenario(own=FETCH)
async def a_number_is_one_user(world):
    """tel:, user=phone and visual separators: the same user (design 2)."""
    number = "+4930%d" % (int(time.time() * 1000) % 10000000 + 10000000)
    bob, raw = await world.client(number, register=False, unique=False), await world.raw()
    spaced = "%s-%s.%s" % (number[:3], number[3:5], number[5:])
    targets = ["tel:" + number, "tel:" + spaced, "sip:%s@%s;user=phone" % (number, DOMAIN), "sip:%s@%s;user=phone" % (spaced, DOMAIN)]
    for target in targets:
        request = world.request("MESSAGE", raw, to=target, sender="sip:carol@" + DOMAIN, which="term", body=target.encode())
        same(await raw.ask(request), 202, target)
    same((await bob.register()).status, 200, "REGISTER")
    if world.ims:   # the core knows him by his number
        world.core.asserted[bob.name] = '"Bob" <tel:%s>' % number
    _, summary = await watching(bob, uri="tel:" + number)
    same(len(summary.messages), 4, "blocks")
    same([pager_in(message).body.decode() for message in await fetched(bob, summary.messages[1]["Message-ID"])], targets[1:2], "one")
    del targets[1]
    got = await fetched(bob, summary.head["Message-Account"])
    same([pager_in(message).body.decode() for message in got], targets, "messages")


@scenario(own=FETCH)
async def users_with_odd_names(world):
    """What a user part may have (RFC 3261 25.1): his mailbox is told, listed and fetched by what it is told as."""
    raw = await world.raw()
    for name in ("o'neil!~*(x)", "a+b=c&d$e,f;g/h", "x%20%22y%22%3cz%3e", "u" * 150, "ALice", "alice"):
        bob = await world.client(name, register=False, unique=False)
        request = await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"to " + name.encode())
        await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"to be deleted")
        same((await bob.register()).status, 200, "REGISTER of " + name)
        watcher, summary = await watching(bob)
        same(len(summary.messages), 2, "what waits for " + name)
        await watcher.again(0)
        found, _ = await entries(Xcap(world, bob.uri))
        same([e.get("uri") for e in found], [m["Message-ID"] for m in summary.messages], "list of " + name)
        code, out, _ = await world.server.ctl("mailbox", bob.uri)
        check(code == 0 and summary.messages[0]["Message-ID"][4:30] in out, "imservctl mailbox %s: %s" % (name, out))
        code, _, error = await world.server.ctl("mailbox", bob.uri, "delete", found[1].get("uri"))
        same((code, error), (0, ""), "imservctl mailbox %s delete" % name)
        message, = await fetched(bob, summary.head["Message-Account"])
        untouched(pager_in(message), request)


@scenario(own=FETCH)
async def rules_of_many_kinds(world):
    """Who is meant by a rule, and of several the most that one allows (RFC 4745 7.1, 10.2)."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    x, alice, carol = Xcap(world, bob.uri), "sip:alice@" + DOMAIN, "sip:carol@" + DOMAIN
    reject, accept = both("reject"), both("accept")
    many = "<identity><many%s</many></identity>"
    for rules, of_alice, of_carol in (
            ([(EVERYBODY, reject), (one(alice), accept)], 202, 403),
            ([(many % '><except id="%s"/>' % alice, reject)], 202, 403),
            ([(many % ' domain="%s">' % DOMAIN, reject)], 403, 403),
            ([(many % ' domain="example.org">', reject)], 202, 202),
            ([(one("sip:ALICE@example.com", "sip:dora@example.com"), reject)], 202, 202),
            ([(one("sip:alice@EXAMPLE.com"), reject), (one(carol), accept)], 403, 202),
            ([(one(alice), reject), (one(alice), {"allow-session": "accept"})], 403, 202),
            ([("<sphere value='work'/>" + one(alice), reject)], 202, 202)):
        got = await x.do("PUT", RULES, "index", ruleset(*rules))
        check(got[0] in (200, 201), "PUT %s: %s" % (rules, got))
        for sender, status in ((alice, of_alice), (carol, of_carol)):
            request = world.request("MESSAGE", raw, to=bob.uri, sender=sender, which="term", body=b"x")
            same(await raw.ask(request), status, "%s by %s" % (sender, rules))


# --- who ---
@scenario(own=BOTH, seconds=40)
async def who_hides_and_who_does_not(world):
    """Privacy that asks for it takes the identity away, other values do not; in the body nothing is touched (D2-17)."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    kinds = (("none", False), ("session", False), ("id", True), ("Header;session", True), ("id;critical", True))
    requests = []
    for n, (privacy, _) in enumerate(kinds):
        requests.append(await leave(raw, world, bob, "sip:secret%d@%s" % (n, DOMAIN), b"I am secret%d" % n, [
            ("Privacy", privacy), ("User-Agent", "agent of secret%d" % n), ("Reply-To", "<sip:secret%d@%s>" % (n, DOMAIN)),
            ("P-Preferred-Identity", "<sip:secret%d@%s>" % (n, DOMAIN)), ("Organization", "secret%d" % n)]))
    alice = await world.client("alice")
    upload = await Upload(alice, bob, b"large secret").begin([
        ("Privacy", "id"), ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=%s' % sip.token(4))] + (
            [] if world.ims else [("P-Preferred-Identity", "<%s>" % alice.uri)]))
    await upload.all(5)
    same((await bob.register()).status, 200, "REGISTER")
    *small, large = await fetched(bob)
    for n, (message, (privacy, hides), request) in enumerate(zip(small, kinds, requests)):
        inner, name = pager_in(message), "secret%d" % n
        same(inner.body, request.body, "body")
        same(inner.call_id, request.call_id, "Call-ID")
        same(inner.from_tag, request.from_tag, "From tag")
        (headers, content), = sections(message)
        named = name in content.partition(b"\r\n\r\n")[0].decode()
        same(named, not hides, "he is named with Privacy: " + privacy)
        same(bool(inner.all("P-Asserted-Identity")), not hides, "P-Asserted-Identity with Privacy: " + privacy)
        if hides:
            same((headers["Content-Type"], inner.all("Via"), inner.all("Contact")), ("message/sipfrag", [], []), privacy)
            same(sip.address(inner.get("From"))[1], "sip:anonymous@anonymous.invalid", "From with Privacy: " + privacy)
    invite, _, content = large_in(large)
    same(content, b"large secret", "content")
    check(alice.name.encode() not in bytes(large.body), "the sender of the large one is named")
    same(invite.all("P-Asserted-Identity"), [], "P-Asserted-Identity")
    REQ("IM-10.3.2.5-7", "IM-10.3.2.5-3", "IM-J-5")


@scenario(modes=("ims",), own=FETCH)
async def two_identities_asserted(world):
    """A SIP and a telephone URI, on one line or on two: both are delivered (RFC 3325 9.1)."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    both = ['"C" <sip:carol@example.com>', "<tel:+4930123>"]
    await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"1", [("P-Asserted-Identity", ", ".join(both))])
    request = world.request("MESSAGE", raw, to=bob.uri, sender="sip:carol@" + DOMAIN, which="term", body=b"2",
                            headers=[("P-Asserted-Identity", both[0])])
    request.add("P-Asserted-Identity", both[1])
    same(await raw.ask(request), 202, "MESSAGE")
    same((await bob.register()).status, 200, "REGISTER")
    for message in await fetched(bob):
        same(pager_in(message).list("P-Asserted-Identity"), both, "identities")


# --- datagrams ---
@scenario(own=FETCH, transports=("udp",))
async def octets_behind_the_body(world):
    """RFC 3261 18.3: what a datagram has beyond Content-Length is no message."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    request = world.request("MESSAGE", raw, to=bob.uri, sender="sip:carol@" + DOMAIN, which="term", body=b"hello\r\n\r\n")
    request.put("Content-Length", 5)
    same(await raw.ask(request), 202, "MESSAGE")
    same((await bob.register()).status, 200, "REGISTER")
    same(texts_of(await fetched(bob)), [b"hello"], "messages")


# --- uploads off the usual way ---
@scenario(own=BOTH, seconds=40)
async def uploads_as_rfc4975_allows_them(world):
    """Messages in one session, of which a second one that begins too early is refused and the first goes on; ranges
    without end and total; no range at all; a chunk in pieces; a report where it is asked for."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    size, texts = 6000, [bytes([97 + n]) * 6000 for n in range(4)]
    upload = await Upload(alice, bob, texts[0]).begin()
    leg = upload.session.leg
    ids = [sip.token(6) for _ in texts]

    async def chunk(n, at, octets, flag, total="*", status=200):
        future = leg.send_chunk(texts[n][at:at + octets], ids[n], at + 1, total, flag)
        same((await leg.outcome(future, 10))[0], status, "chunk of message %d at %d" % (n, at))
    await chunk(0, 0, 2000, "+", size)
    await chunk(1, 0, 2000, "+", status=413)
    await chunk(0, 2000, 4000, "$", size)
    await chunk(1, 0, 3000, "+")
    await chunk(1, 3000, 3000, "$")
    await chunk(2, 0, 1, "+")
    tid, head = leg.begin_request(headers=[("Message-ID", ids[2]), ("Byte-Range", "2-*/*"), ("Content-Type", "text/plain")])
    future = leg.expect_response(tid)
    for piece in (head, b"\r\n", texts[2][1:1000], texts[2][1000:size], b"\r\n-------%s$\r\n" % tid.encode()):
        leg.connection.write(piece)
        await asyncio.sleep(0)
    same((await leg.outcome(future, 10))[0], 200, "a range without an end")
    tid, head = leg.begin_request(headers=[("Message-ID", ids[3]), ("Success-Report", "yes"), ("Content-Type", "text/plain")])
    future = leg.expect_response(tid)
    leg.connection.write(head + b"\r\n" + texts[3] + b"\r\n-------%s$\r\n" % tid.encode())
    same((await leg.outcome(future, 10))[0], 200, "no range")
    report = await asyncio.wait_for(leg.reports.get(), 10)
    same((report.get("Message-ID"), report.get("Status")), (ids[3], "000 200 OK"), "REPORT")
    await upload.session.hang_up()
    same((await bob.register()).status, 200, "REGISTER")
    got = [large_in(message) for message in await fetched(bob)]
    same([content for _, _, content in got], texts, "contents")
    same([lines[0] for _, lines, _ in got], ["Message-ID: " + name for name in ids], "Message-IDs")


@scenario(own=BOTH)
async def uploads_that_come_to_nothing(world):
    """F3 3a, 3b: what was given up, was too long or too short is not there; the next one is (D2-62, design 13)."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    given_up = await Upload(alice, bob, b"x" * 5000).begin()
    await given_up.go_on(2000)
    await given_up.session.hang_up()
    aborted = await Upload(alice, bob, b"y" * 5000).begin()
    await aborted.go_on(2000)
    leg = aborted.session.leg
    future = leg.send_chunk(b"y", aborted.id, 2001, 5000, "#")
    check((await leg.outcome(future))[0] in (200, 413), "abort")
    await aborted.session.hang_up()
    for octets, status in ((5001, 413), (4999, 400)):
        other = await Upload(alice, bob, b"z" * 5000).begin()
        leg = other.session.leg
        future = leg.send_chunk(b"z" * octets, other.id, 1, "*", "$")
        same((await leg.outcome(future, 10))[0], status, "%d octets of 5000" % octets)
        await other.session.hang_up()
    good = await Upload(alice, bob, b"w" * 5000).begin()
    await good.all(5000)
    found, _ = await entries(Xcap(world, bob.uri))
    same([(e.get("type"), e.get("size")) for e in found], [("large", "5000")], "what waits")
    same((await bob.register()).status, 200, "REGISTER")
    message, = await fetched(bob)
    same(large_in(message)[2], good.content, "content")


# --- deliveries off the usual way ---
@scenario(own=dict(FETCH, **{"deferred.push_window": "1"}))
async def a_client_that_talks_to_the_store(world):
    """It SENDs though it said recvonly, sends an unknown request, refreshes: no 200 for what nobody takes, and its messages
    still come."""
    bob, requests, _ = await waiting(world, [b"one", b"two"])
    session, held = ask(bob, deferred()), []

    def answer(chunk, respond):
        held.append(lambda: respond(200)) if chunk.has_body and not held else respond(200)
    response = await session.transaction.final()
    same(response.status, 200, "INVITE")
    session.leg.answer = answer
    session.answer = session.remote_description(response.body, "200")
    session.active = session.answer.setup != "active"
    await session.bind()
    same(pager_in(await session.receive()).body, b"one", "first")
    code, = await session.leg.send(b"hello store", seconds=10)
    check(code in (403, 413, 415, 501), "SEND to a store that sends: %d" % code)
    tid, head = session.leg.begin_request("NICKNAME", [("Use-Nickname", '"x"')])
    future = session.leg.expect_response(tid)
    session.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
    same((await session.leg.outcome(future, 10))[0], 501, "NICKNAME")
    refreshed = await session.dialog.request("UPDATE", headers=[("Supported", "timer"), ("Session-Expires", "1800;refresher=uac")]).final()
    same(refreshed.status, 200, "UPDATE")
    same((await session.dialog.request("OPTIONS").final()).status, 200, "OPTIONS")
    same(session.leg.messages.qsize(), 0, "the next one waits for the answer")
    held[0]()
    same(pager_in(await session.receive()).body, b"two", "second")
    await session.wait_bye()


@scenario(own=PUSH, seconds=40)
async def retrieval_whatever_the_setting(world):
    """offline-delivery true or false: what is there can be fetched (D2-09, CR000 11.3.1); to hold on to a push's offer
    does not take it from a retrieval for ever."""
    bob, requests, ids = await waiting(world, [b"one", b"two", b"three"])
    tag = await published(bob, document(offline_delivery=False))
    same(texts_of(await fetched(bob, ids[1])), [b"two"], "with false")
    REQ("CR000-11.3.1-6")
    await published(bob, document(offline_delivery=True), match=tag)
    invitation = await invited(world, bob)
    invitation.refuse(486)
    await ended(world)
    same(texts_of(await fetched(bob)), [b"one", b"three"], "with true, after a push that was refused")


@scenario(own=FETCH, seconds=40)
async def expired_is_gone(world):
    """At once: it is not in a summary, a list or a retrieval; 404 by its name."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"short", [("Expires", "2")])
    await leave(raw, world, bob, "sip:carol@" + DOMAIN, b"long", [("Expires", "3600"), ("Date", email.utils.formatdate(usegmt=True))])
    same((await bob.register()).status, 200, "REGISTER")
    found, _ = await entries(Xcap(world, bob.uri))
    names = [e.get("uri") for e in found]
    end = time.time() + 20
    while len((await entries(Xcap(world, bob.uri)))[0]) > 1:
        check(time.time() < end, "what expired is still there")
        await asyncio.sleep(0.05)
    _, summary = await watching(bob)
    same([m["Message-ID"] for m in summary.messages], names[-1:], "summary")
    same([e.get("uri") for e in (await entries(Xcap(world, bob.uri)))[0]], names[-1:], "list")
    if len(names) == 2:
        same(await status_of(ask(bob, names[0])), 404, "by its name")
        same(await status_of(ask(bob, deferred(), names[:1])), 404, "in a list alone")
    same(texts_of(await fetched(bob)), [b"long"], "what is there")
