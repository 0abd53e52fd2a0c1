"""A large message to a user who is away (10.3.2.2, F3): accepted on his behalf and stored, or nothing is."""
import asyncio
import hashlib
import json
import re
import resource
import secrets
import sqlite3

from ua import Failure, REQ, check, msrp, same, sdp
from world import scenario
import documents
import settings

MIB = 1 << 20
STORE_HOST = "store.example.com"


class Kept:
    """A stored message: what of the INVITE and of the SEND is kept, and its content."""

    def __init__(self, head, sent, content, message_id, received_us, expires_at_s):
        self.head, self.sent, self.content = head.split("\r\n"), sent.split("\r\n"), content
        self.id, self.lives_s = message_id, expires_at_s - received_us // 1000000

    def header(self, name, lines=None):
        found = [line.partition(":")[2].strip() for line in lines or self.head[1:]
                 if line.partition(":")[0].lower() == name.lower()]
        return found[0] if found else None

    @property
    def digest(self):
        return hashlib.sha256(self.content).hexdigest()


def database(world):
    return sqlite3.connect("file:%s/imserv.db?mode=ro" % world.server.directory, uri=True, timeout=10)


def kept_for(world, user):
    """What his mailbox shows, oldest first."""
    found, base = [], database(world)
    rows = base.execute("select d.head, d.msrp, d.content, d.content_id, d.size, d.id, d.received, d.expires_at from deferred d "
                        "join mailbox m on d.mailbox = m.id where m.name = ? order by d.position",
                        (user.uri[len("sip:"):],)).fetchall()
    for head, sent, content, content_id, size, *more in rows:
        if content_id:
            pieces = base.execute("select piece from content where id = ? order by at", (content_id,))
            content = b"".join(piece for piece, in pieces)
        same(len(content), size, "size in the store")
        found.append(Kept(head, sent, bytes(content), *more))
    base.close()
    return found


async def nothing_is_left(world, *users):
    """Neither visible nor on its way, and no quota is taken."""
    for user in users:
        same(kept_for(world, user), [], "stored for %s" % user.name)
    for _ in range(200):
        base = database(world)
        uploads = base.execute("select count(*) from upload").fetchone()[0]
        taken = base.execute("select sum(uploads), sum(upload_octets) from mailbox").fetchone()
        base.close()
        if not uploads and not any(taken):
            return
        await asyncio.sleep(0.05)
    raise Failure("%d uploads are left, quota taken %s" % (uploads, taken))


async def away(world):
    return await world.client("alice"), await world.client("bob", register=False)


def size_of(n):
    return ["a=filesize:%d" % n]


async def offer(alice, bob, size, bind=True, **more):
    """The session in which alice sends a message of that size."""
    more.setdefault("extra", size_of(size) if size is not None else ())
    return await alice.invite(bob, direction="sendonly", **more).established(bind=bind)


async def report(session, seconds=8):
    return await asyncio.wait_for(session.leg.reports.get(), seconds)


@scenario()
async def message_for_later(world):
    """F3: 200 with Contact automata, Date, P-Asserted-Identity of the store and a recvonly answer; the message is in the
    store when its 200 comes, and a REPORT follows if it is asked for."""
    alice, bob = await away(world)
    text = "for later \u2603".encode()
    session = await offer(alice, bob, len(text), headers=[("Subject", "lunch"), ("Priority", "urgent"),
                                                          ("Content-Language", "en"), ("Expires", "60")])
    answer = session.response
    contact = answer.get("Contact")
    check(";automata" in contact and ";+g.oma.sip-im" in contact and "isfocus" not in contact, "Contact %s" % contact)
    REQ("IM-10.3.2.2-7")
    check(re.match(r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$", answer.get("Date", "")),
          "Date %r" % answer.get("Date"))
    REQ("IM-10.3.2.2-8")
    same(answer.get("P-Asserted-Identity"), "<sip:Deferred@%s>" % STORE_HOST, "P-Asserted-Identity")
    REQ("IM-10.3.2.2-10")
    check(answer.get("Server", "").startswith("IM-serv/OMA1.0"), "Server %r" % answer.get("Server"))
    REQ("IM-10.3.2.2-6")
    check("timer" in answer.get("Require", "") and ";refresher=uac" in answer.get("Session-Expires", ""), "session timer")
    same(session.answer.direction, "recvonly", "direction of the answer")
    same(session.answer.accept_types, ["text/plain", "message/cpim", "*"], "accept-types")
    same(session.answer.attribute("filesize"), str(len(text)), "filesize in the answer")
    REQ("IM-10.3.2.2-9", "IM-10.3.2.2-1")
    await session.send(text, message_id="first1", content_type="text/plain;charset=utf-8", headers=[
        ("Success-Report", "yes"), ("Content-Disposition", "attachment"), ("Subject", "not kept")])
    kept, = kept_for(world, bob)   # at once: the 200 says that it is there
    said = await report(session)
    same((said.get("Message-ID"), said.get("Status"), said.get("Byte-Range")),
         ("first1", "000 200 OK", "1-%d/%d" % (len(text), len(text))), "REPORT")
    same(kept.content, text, "content")
    request = session.transaction.request
    same(kept.head[0], "INVITE %s SIP/2.0" % bob.uri, "request line")
    for name in ("To", "Subject", "Priority") if world.ims else ("To", "Subject", "Priority", "Call-ID"):
        same(kept.header(name), request.get(name), name)   # between two passes it is a call of the server's own
    check(kept.header("From").endswith(request.get("From")) or alice.uri in kept.header("From"), "From")
    check(kept.header("Date"), "no Date")
    check(alice.uri in kept.header("P-Asserted-Identity"), "P-Asserted-Identity")
    same(sorted(line.partition(":")[0] for line in kept.head[1:] if line),
         ["Call-ID", "Date", "From", "P-Asserted-Identity", "Priority", "Subject", "To"], "headers that are kept")
    REQ("IM-10.3.2.2-4", "CR001-12.2.2.3-5", "CR001-12.2.2.3-9")
    check(re.match(r"^MSRP \S+ SEND$", kept.sent[0]), "start line %r" % kept.sent[0])
    same(kept.sent[1:], ["Message-ID: first1", "Content-Type: text/plain;charset=utf-8",
                         "Content-Disposition: attachment", ""], "MSRP headers that are kept")
    REQ("CR001-12.2.2.3-6")
    check(re.match(r"^[a-z0-9]{26,}$", kept.id), "Message-ID sip:%s@%s" % (kept.id, STORE_HOST))
    REQ("CR001-12.2.2.3-8", "IM-10.3.2.4-3", "IM-10.3.2.4-4", "IM-10.3.2.4-5")
    check(abs(kept.lives_s - 7 * 24 * 3600) <= 1, "it lives for %d s" % kept.lives_s)   # Expires is the INVITE's alone
    REQ("CR001-12.2.2.3-13")
    await session.hang_up()
    same(len(kept_for(world, bob)), 1, "messages")


@scenario()
async def every_notation_of_the_size(world):
    """filesize, filelength and the size of file-selector are the same (D2-11), at media level; what describes a file is
    repeated in the answer (D2-45), and two messages of that size are two."""
    alice, bob = await away(world)
    for number, extra in enumerate((size_of(5), ["a=filelength:5"], ["a=file-selector:name:\"a b.txt\" type:text/plain size:5",
                                    "a=file-transfer-id:vBnG916bdberum2f"], size_of(5) + ["a=filelength:5"])):
        session = await offer(alice, bob, None, extra=extra)
        for line in extra:
            name, _, value = line[2:].partition(":")
            same(session.answer.attribute(name), value, name)
        await session.send("hello")
        await session.send("again")
        await session.hang_up()
        same([k.content for k in kept_for(world, bob)][2 * number:], [b"hello", b"again"], "stored with %s" % extra)
    session = await offer(alice, bob, 0)
    for n in (1, 70000):
        check(413 in await session.leg.send(b"x" * n), "more than nothing")
    await session.send("")
    await session.hang_up()
    same([k.content for k in kept_for(world, bob)][8:], [b""], "nothing is stored as that")


@scenario()
async def invites_that_are_not_kept(world):
    """Refused in this order: sizes that contradict each other 488, beyond limits.max_size_1to1 403, no size 403 with a
    Warning; a session 403 or 480 (D1-07, D2-13). Nothing of it is stored."""
    alice, bob = await away(world)
    for extra, status, warning in (
            (size_of(5) + ["a=filelength:6"], 488, None), (["a=filesize:many"], 488, None),
            (size_of(201 * MIB), 403, None), ((), 403, "Message size missing")):
        outgoing = alice.invite(bob, direction="sendonly", extra=extra)
        response = await outgoing.transaction.final()
        same(response.status, status, "offer with %s" % list(extra))
        if warning:
            check(re.match(r'^399 \S+ "%s"$' % warning, response.get("Warning", "")), "Warning %r" % response.get("Warning"))
            REQ("IM-10.3.2.2-2")
        elif status == 403:
            same(response.get("Warning"), None, "Warning")
    response = await alice.invite(bob, extra=size_of(5)).transaction.final()
    same(response.status, 403 if world.ims else 480, "a session")
    if world.ims:
        check("Session cannot be deferred" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    await nothing_is_left(world, bob)


@scenario(own={"limits.max_size_1to1": "1000", "policy.barred_code": "486"}, once=True)
async def barred_large_message(world):
    """Barring of pager messages holds for large ones, whether the user is there or away, and at the terminating side it
    comes before the size (6.2.6.1, D1-07); barring of sessions does not. Nothing is stored."""
    alice, bob = await world.pair()
    tag = await settings.published(bob, settings.document(pager_barring=True))
    for expires in (600, 0):
        same((await bob.register(expires)).status, 200, "REGISTER")
        for size, status in ((5, 486), (1001, 403)):
            response = await alice.invite(bob, direction="sendonly", extra=size_of(size)).transaction.final()
            same(response.status, status, "INVITE for %d octets" % size)
            same(response.get("Warning"), None, "Warning")
        REQ("IM-6.2.6.1-1")
    if world.ims:   # as it comes from another network, whose policy is another
        raw = await world.raw()
        body = sdp.build(msrp.Leg(alice.msrp).local, "actpass", "sendonly", extra=size_of(1001))
        invite = world.request("INVITE", raw, bob.uri, body=body, headers=[("Content-Type", "application/sdp")], which="term")
        same(await raw.ask(invite), 486, "too large and barred")
    await nothing_is_left(world, bob)
    await settings.published(bob, settings.document(session_barring=True), match=tag)
    session = await offer(alice, bob, 5)
    await session.send("hello")
    await session.hang_up()
    same(len(kept_for(world, bob)), 1, "stored")


@scenario()
async def rejected_large_message(world):
    """Access rules that reject the sender's messages reject his large ones: 403 without a Warning, whether the user is
    there or away, before it counts whether a size was named; nothing is stored. Rules for sessions do not."""
    alice, bob = await world.pair()
    x = documents.Xcap(world, bob.uri)
    rules = documents.ruleset((documents.one(alice.uri), {"allow-pager-mode-message": "reject"}))
    await x.put(documents.RULES, "index", rules, 201)
    for expires in (600, 0):
        same((await bob.register(expires)).status, 200, "REGISTER")
        for extra in (size_of(5), ()):
            response = await alice.invite(bob, direction="sendonly", extra=extra).transaction.final()
            same((response.status, response.get("Warning")), (403, None), "INVITE")
        REQ("IM-6.2.6.1-2", "IM-6.2.6.1-4")
    await nothing_is_left(world, bob)
    await x.put(documents.RULES, "index", rules.replace("allow-pager-mode-message", "allow-session"), 200)
    session = await offer(alice, bob, 5)
    await session.send("hello")
    await session.hang_up()
    same(len(kept_for(world, bob)), 1, "stored")


@scenario(own={"policy.offline_large": "reject"}, once=True)
async def large_messages_rejected(world):
    """policy.offline_large: reject is 480, with and without a size."""
    alice, bob = await away(world)
    for extra in (size_of(5), ()):
        response = await alice.invite(bob, direction="sendonly", extra=extra).transaction.final()
        same(response.status, 480, "INVITE")
    await nothing_is_left(world, bob)


@scenario(own={"deferred.require_size": "false", "limits.max_size_1to1": "200000", "limits.max_size_file": "400000",
               "policy.content_types": '["text/plain", "image/*"]'}, once=True)
async def sizes_that_nobody_announced(world):
    """deferred.require_size off: messages of any size in one session, each stored or refused by itself; 413 beyond the
    limit of a message, which a file has another of (D2-12), 415 for types that policy.content_types does not permit and
    for what is never stored (D2-62)."""
    alice, bob = await away(world)
    session = await offer(alice, bob, None)
    same(session.answer.attribute("max-size"), "200000", "a=max-size")
    same(session.answer.accept_types, ["text/plain", "text/plain", "image/*"], "accept-types")
    await session.send(b"a" * 200000, chunk=50000)
    codes = await session.leg.send(b"b" * 200001, chunk=50000)
    check(413 in codes, "200001 octets got %s" % codes)
    await session.send(b"")
    await session.send(b"c" * 65536, content_type="image/png")
    same((await session.leg.send(b"d", content_type="text/html"))[0], 415, "a type that is not permitted")
    same((await session.leg.send(b"e", content_type="application/im-iscomposing+xml"))[0], 415, "isComposing")
    same([len(k.content) for k in kept_for(world, bob)], [200000, 0, 65536], "stored")
    await session.hang_up()
    response = await alice.invite(bob, direction="sendonly", extra=size_of(200001)).transaction.final()
    same(response.status, 403, "a message beyond limits.max_size_1to1")
    session = await offer(alice, bob, None, extra=['a=file-selector:name:"f" size:400000'])
    await session.send(b"f" * 400000, chunk=100000)
    same(len(kept_for(world, bob)), 4, "stored")
    await session.hang_up()


@scenario()
async def uploads_that_end_early(world):
    """`#`, a BYE before `$`, a connection that is lost, fewer octets than announced (400), more (413): nothing is stored,
    and no quota stays taken. After a refusal the same session may begin again."""
    alice, bob = await away(world)
    dave = await world.client("dave", register=False)
    body = secrets.token_bytes(150000)
    for end in ("abort", "bye", "lost", "short", "long"):
        session = await offer(alice, dave if end == "abort" else bob, len(body))
        sent = [session.leg.send_chunk(body[:70000], "m-" + end, 1, len(body), "+")]
        same((await session.leg.outcome(sent[0]))[0], 200, "first chunk")
        if end == "abort":   # again and again: the leg waits for no piece of what is over
            session.leg.send_chunk(body[70000:80000], "m-" + end, 70001, len(body), "#")
            for i in range(5):
                session.leg.send_chunk(body[:140000], "m%d-%s" % (i, end), 1, len(body), "#")
            await session.send(body, chunk=40000)
            same([k.content for k in kept_for(world, dave)], [body], "stored after all")
        elif end == "short":
            future = session.leg.send_chunk(body[70000:80000], "m-" + end, 70001, len(body), "$")
            same((await session.leg.outcome(future))[0], 400, "a message that ends early")
        elif end == "long":
            future = session.leg.send_chunk(body[70000:] + b"x", "m-" + end, 70001, "*", "$")
            same((await session.leg.outcome(future))[0], 413, "a message that is too long")
        elif end == "lost":
            session.leg.connection.transport.abort()
            await session.wait_bye()   # limits.reattach, and nobody came back
            continue
        await session.hang_up()
    await nothing_is_left(world, bob)
    session = await offer(alice, bob, len(body))
    same((await session.leg.outcome(session.leg.send_chunk(body[:9], "short1", 1, len(body), "$")))[0], 400, "too short")
    await session.send(body, message_id="short1")
    await session.hang_up()
    same([k.content for k in kept_for(world, bob)], [body], "stored after all")
    REQ("CR001-12.2.2.3-7")


@scenario(own={"deferred.quota_messages": "3", "deferred.quota_bytes": "200KiB", "deferred.require_size": "false"}, once=True)
async def mailbox_that_is_full(world):
    """A size that does not fit into what is left: 480 to the INVITE. Not announced, or others were faster: 413 by MSRP."""
    alice, bob = await away(world)
    session = await offer(alice, bob, 110000)
    other = await offer(alice, bob, 110000)
    await session.send(b"a" * 110000, chunk=30000)
    check(413 in await other.leg.send(b"b" * 110000, chunk=30000), "what others were faster than")
    for size in (110000, 204800):
        response = await alice.invite(bob, direction="sendonly", extra=size_of(size)).transaction.final()
        same(response.status, 480, "INVITE for %d octets" % size)
    unknown = await offer(alice, bob, None)
    check(413 in await unknown.leg.send(b"c" * 94801, chunk=10000), "an octet too many")
    await unknown.send(b"d" * 94800, chunk=10000)
    for n in (70000, 300000):
        check(413 in await unknown.leg.send(b"e" * n, chunk=50000), "into a full mailbox")
    await unknown.send(b"")
    same((await unknown.leg.send(b""))[0], 413, "a fourth message")
    response = await alice.invite(bob, direction="sendonly", extra=size_of(1)).transaction.final()
    same(response.status, 480, "INVITE for a fourth message")
    for ended in (session, other, unknown):
        await ended.hang_up()
    same([len(k.content) for k in kept_for(world, bob)], [110000, 94800, 0], "stored")


@scenario(modes=("standalone",))
async def sender_who_wants_no_answers(world):
    """Failure-Report: no: nothing is answered, and the 200 to BYE, which may overtake the message, says that it is
    stored (design 5). With a core between, it is the originating pass that answers the BYE."""
    alice, bob = await away(world)
    silent = [("Failure-Report", "no")]
    for number, n in enumerate((10, 300000)):
        body = secrets.token_bytes(n)
        session = await offer(alice, bob, n)
        same(await session.leg.send(body, chunk=20000, headers=silent), [], "responses")
        await session.hang_up()
        same(kept_for(world, bob)[number].content, body, "content")


@scenario()
async def anonymous_large_message(world):
    """Of who asks for privacy neither identity nor address is in the files of the store (D2-17)."""
    alice, bob = await away(world)
    from_ = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=%s" % secrets.token_hex(4)
    headers = [("Privacy", "id")] if not world.ims else [("Privacy", "id"), ("From", from_)]
    session = await offer(alice, bob, 5, headers=headers)
    await session.send("quiet")
    await session.hang_up()
    kept, = kept_for(world, bob)
    check(kept.header("From").startswith("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "From %s" % kept.header("From"))
    same(kept.header("P-Asserted-Identity"), None, "P-Asserted-Identity")
    files = b""
    for name in ("imserv.db", "imserv.db-wal"):
        with open("%s/%s" % (world.server.directory, name), "rb") as file:
            files += file.read()
    at = files.find(kept.head[0].encode())
    while at >= 0:      # the rows of this message; alice's own registration stands elsewhere
        around = files[max(0, at - 600):at + 1200]
        check(alice.name.encode() not in around, "the sender's name is in the store")
        check(alice.endpoint.sent_by.encode() not in around, "the sender's address is in the store")
        at = files.find(kept.head[0].encode(), at + 1)


@scenario()
async def inside_an_upload(world):
    """Refreshes by UPDATE and re-INVITE, OPTIONS, a new path after the connection was lost; other methods are
    405."""
    alice, bob = await away(world)
    session = await offer(alice, bob, 5)
    for method, more in (("UPDATE", {}), ("INVITE", {"body": session.transaction.request.body, "content_type": "application/sdp"})):
        asked = session.dialog.request(method, headers=[("Supported", "timer"), ("Session-Expires", "1800;refresher=uac")], **more)
        response = await asked.final()
        same(response.status, 200, method)
        check("refresher=uac" in response.get("Session-Expires", ""), "session timer of the answer to %s" % method)
        if method == "INVITE":
            session.dialog.ack(asked)
            same(sdp.Description(response.body).direction, "recvonly", "direction")
    for method, status in (("OPTIONS", 200), ("MESSAGE", 405), ("INFO", 405), ("REFER", 405)):
        response = await session.dialog.request(method).final()
        same(response.status, status, method)
        check("BYE" in response.get("Allow", ""), "Allow of the answer to %s" % method)
    future = session.leg.send_chunk(b"he", "moves1", 1, 5, "+")
    same((await session.leg.outcome(future))[0], 200, "first chunk")
    session.leg.connection.transport.abort()
    await session.leg.connection.closed.wait()
    leg = msrp.Leg(alice.msrp)
    alice.keep_secret(leg)
    body = sdp.build(leg.local, "actpass", "sendonly", "text/plain message/cpim *", 2, size_of(5))
    asked = session.dialog.request("INVITE", body=body, content_type="application/sdp")
    response = await asked.final()
    same(response.status, 200, "INVITE with a new path")
    session.dialog.ack(asked)
    session.leg.close()
    session.leg = leg
    session.answer = session.remote_description(response.body, "200 to INVITE")
    await session.leg.connect()
    if world.ims:   # the originating pass has kept the connection to the store: the message is not over there
        future = session.leg.send_chunk(b"", "moves1", 3, 5, "#")
        same((await session.leg.outcome(future))[0], 200, "the end of what was begun")
    await session.send("hello")
    await session.hang_up()
    same([k.content for k in kept_for(world, bob)], [b"hello"], "stored")


@scenario()
async def upload_without_connection(world):
    """An accepted INVITE without an MSRP connection ends with BYE after limits.unbound."""
    alice, bob = await away(world)
    session = await offer(alice, bob, 5, bind=False)
    bye = await session.wait_bye()
    check(bye.get("Reason"), "no Reason in the BYE")
    same(bye.uri, alice.contact.partition(">")[0][1:] if not world.ims else bye.uri, "Request-URI of the BYE")
    REQ("IM-10.3.2.2-3")
    await nothing_is_left(world, bob)


@scenario()
async def cancelled_in_time_or_not(world):
    """A CANCEL gets 200, and the INVITE 487 or the 200 that was faster; a session that nobody wants any more is hung
    up by its client."""
    alice, bob = await away(world)
    outgoing = alice.invite(bob, direction="sendonly", extra=size_of(5))
    outgoing.transaction.cancel()
    response = await outgoing.transaction.final()
    check(response.status in (200, 487), "INVITE got %s" % response)
    if response.status == 200:
        await outgoing.hang_up()
    await nothing_is_left(world, bob)


async def bulk(world, alice, bob, total, piece):
    """`total` octets, byte-exact, while the server does not grow with them."""
    digest = hashlib.sha256()
    session = await offer(alice, bob, total)
    before, highest = world.server.rss(), 0

    def blocks():
        nonlocal highest
        for block in msrp.pattern(total, piece or MIB):
            digest.update(block)
            highest = max(highest, world.server.rss())
            yield block
    if piece:
        codes = await session.leg.send_pieces(blocks(), total, 16, 60, "application/octet-stream")
    else:
        codes = [await session.leg.send_stream(blocks(), total, 60)]
    same(set(codes), {200}, "responses")
    same(kept_for(world, bob)[-1].digest, digest.hexdigest(), "%d octets" % total)
    await session.hang_up()
    return highest - before


@scenario(seconds=60)
async def megabytes_for_later(world):
    """1 MiB in one chunk and in small ones, 10 MiB: each octet is there."""
    alice, bob = await away(world)
    await bulk(world, alice, bob, MIB, None)
    await bulk(world, alice, bob, MIB, 2000)
    await bulk(world, alice, bob, 10 * MIB, 100000)


@scenario(own={"deferred.quota_bytes": "1GiB"}, once=True, seconds=120)
async def memory_of_uploads(world):
    """The server does not grow with the octets: measured when its buffers have been used for the first time."""
    alice, bob = await away(world)
    for total in (MIB, 10 * MIB, 20 * MIB):
        await bulk(world, alice, bob, total, None)
    grown = await bulk(world, alice, bob, 48 * MIB, None)
    check(grown < 32 * MIB, "the server grew by %.1f MiB" % (grown / MIB))


async def refresh_that_comes(session):
    return await asyncio.wait_for(session.dialog.incoming.get(), 6)


@scenario(modes=("standalone",), own={"timers.session_expires": "3s", "timers.min_se": "1s"}, once=True, seconds=40)
async def uploads_that_are_refreshed(world):
    """Who knows no session timer is refreshed by the server, by UPDATE or with its description by INVITE; an offerless
    INVITE of the client is answered with an offer; who answers no refresh, or refreshes not as he said, gets BYE."""
    alice, bob = await away(world)
    alice.auto_refresh = False
    for allow in ("INVITE, ACK, BYE, CANCEL, UPDATE", "INVITE, ACK, BYE, CANCEL"):
        session = await offer(alice, bob, 5, timer=None, headers=[("Allow", allow)])
        same(session.response.get("Session-Expires"), "3;refresher=uas", "Session-Expires of the 200")
        refresh = await refresh_that_comes(session)
        same(refresh.request.get("Session-Expires"), "3;refresher=uac", "Session-Expires of the refresh")
        same(refresh.request.method, "UPDATE" if "UPDATE" in allow else "INVITE", "refresh")
        if refresh.request.method == "UPDATE":
            refresh.respond(491)   # once more, a little later
            refresh = await refresh_that_comes(session)
            refresh.respond(200, "OK", [("Contact", alice.contact)])
        else:
            same(sdp.Description(refresh.request.body).direction, "recvonly", "direction of the refresh")
            refresh.respond(200, "OK", [("Contact", alice.contact)], sdp.build(
                session.leg.local, "active", "sendonly", "text/plain message/cpim *"), "application/sdp")
            await refresh.wait_ack()
            asked = session.dialog.request("INVITE")
            response = await asked.final()
            same((response.status, sdp.Description(response.body).direction), (200, "recvonly"), "offer of the server")
            ack = session.dialog.build("ACK", body=sdp.build(session.leg.local, "active", "sendonly", "text/plain message/cpim *"),
                                       content_type="application/sdp")
            ack.put("CSeq", "%d ACK" % asked.request.cseq[0])
            alice.endpoint.send(ack, session.dialog.flow)
        await session.send("hello")
        check((await session.dialog.wait_bye(12)).get("Reason"), "BYE without Reason")
        session.leg.close()
    session = await offer(alice, bob, 5, timer="3;refresher=uac")
    check((await session.dialog.wait_bye(12)).get("Reason"), "BYE without Reason")
    session.leg.close()
    same(len(kept_for(world, bob)), 2, "stored")


@scenario(modes=("standalone",), own={"deferred.push_on_register": "true"}, once=True)
async def recipient_who_came_back_meanwhile(world):
    """He registers while the message is still coming: nothing was there for him then, so it is pushed when it is."""
    alice, bob = await away(world)
    session = await offer(alice, bob, 100000)
    same((await session.leg.outcome(session.leg.send_chunk(b"a" * 60000, "late1", 1, 100000, "+")))[0], 200, "chunk")
    same((await bob.register()).status, 200, "REGISTER")
    await bob.quiet(0.1)
    same((await session.leg.outcome(session.leg.send_chunk(b"b" * 40000, "late1", 60001, 100000, "$")))[0], 200, "chunk")
    invitation = await bob.expect_invite()
    check("Deferred@" in invitation.request.get("From"), "From %s" % invitation.request.get("From"))
    invitation.refuse(486)
    await session.hang_up()
    same([len(k.content) for k in kept_for(world, bob)], [100000], "stored")


async def offer_at_last(alice, bob, size, seconds=15):
    """The same as offer() when the store is well again."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        outgoing = alice.invite(bob, direction="sendonly", extra=size_of(size))
        response = await outgoing.transaction.final()
        if response.status == 200:
            return await outgoing.established()
        same(response.status, 503, "INVITE while the store is not well")
        check(asyncio.get_running_loop().time() < end, "the disk is well and the store is not")
        await asyncio.sleep(0.05)


@scenario(own={}, once=True, seconds=60)
async def large_message_on_a_full_disk(world):
    """The disk takes nothing more: 408 to what comes, whole or in pieces, 500 to the BYE of who wants no answers, and
    nothing is stored. When there is room again, the same message may be sent again."""
    alice, bob = await away(world)
    body = secrets.token_bytes(200000)
    session, small = await offer(alice, bob, len(body)), await offer(alice, bob, 5)
    silent = await offer(alice, bob, 5)
    limits = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    same((await small.leg.send(b"hello"))[0], 408, "a message in one piece")
    check(408 in await session.leg.send(body, chunk=50000), "a message in many pieces")
    await silent.leg.send(b"hello", headers=[("Failure-Report", "no")])
    silent.dialog.finish()
    status = (await silent.dialog.request("BYE").final()).status
    check(status == 500 or world.ims, "BYE of who wants no answers got %d" % status)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, limits)
    again = await offer_at_last(alice, bob, len(body))
    for _ in range(200):   # the INVITE only reads
        if set(await again.leg.send(body, message_id="again1", chunk=50000)) == {200}:
            break
        await asyncio.sleep(0.05)
    same([k.content for k in kept_for(world, bob)], [body], "stored")
    for ended in (session, small, again):
        await ended.hang_up()


@scenario(own={"log.cdr": "cdr.log"}, once=True)
async def what_operators_see(world):
    """The session is in the list while it lasts, and a call detail record tells how it ended: who stored how much for
    whom, an anonymous sender apart."""
    alice, bob = await away(world)
    session = await offer(alice, bob, 5)
    await session.send("hello")
    sessions = (await world.server.api("GET", "sessions"))[1]["items"]
    storing, = [s for s in sessions if s["state"] == "STORING"]
    check(bob.name in str(storing) and alice.name in str(storing), "in the list: %s" % storing)
    await session.send("again")
    await session.hang_up()
    half = await offer(alice, bob, 100, headers=[("Privacy", "id")])
    listed = [s for s in (await world.server.api("GET", "sessions"))[1]["items"] if s["state"] == "STORING"]
    check(alice.name not in str(listed) and bob.name in str(listed), "who hides is in the list: %s" % listed)
    await half.hang_up()
    for _ in range(200):
        with open(world.server.directory + "/cdr.log") as file:
            records = [json.loads(line) for line in file if '"type":"large"' in line]
        if len(records) == 2:
            break
        await asyncio.sleep(0.05)
    whole, nothing = records
    same((whole["to"], whole["octets"], whole["messages"], whole["reason"]), (bob.uri[4:], 10, 2, "bye"), "record")
    check(world.ims or alice.name in whole["from"], "from")
    same((nothing["from"], nothing["octets"], nothing["messages"]), (None, 0, 0), "record of a message that did not come")


@scenario(own={"runtime.drain": "0s"}, once=True)
async def drained_while_storing(world):
    """A server that stops ends uploads with BYE and a Reason; what had its 200 is there afterwards, what had not is
    gone."""
    alice, bob = await away(world)
    done = await offer(alice, bob, 100000)
    await done.send(b"a" * 100000, chunk=30000)
    half = await offer(alice, bob, 100000)
    same((await half.leg.outcome(half.leg.send_chunk(b"b" * 70000, "half1", 1, 100000, "+")))[0], 200, "chunk")
    restarting = asyncio.ensure_future(world.server.restart())
    for session in (done, half):
        check("stopping" in (await session.wait_bye()).get("Reason", ""), "Reason of the BYE")
    await restarting
    same([k.content for k in kept_for(world, bob)], [b"a" * 100000], "stored")
    same(database(world).execute("select count(*) from upload").fetchone()[0], 0, "uploads left")


@scenario(own={}, once=True)
async def killed_while_storing(world):
    """kill -9: what had its 200 is there, whole; what was on its way is gone."""
    alice, bob = await away(world)
    done = await offer(alice, bob, 100000)
    await done.send(b"a" * 100000, chunk=30000)
    half = await offer(alice, bob, 200000)
    same((await half.leg.outcome(half.leg.send_chunk(b"b" * 170000, "half1", 1, 200000, "+")))[0], 200, "chunk")
    await world.server.restart(kill=True)
    same([k.content for k in kept_for(world, bob)], [b"a" * 100000], "stored")
    same(database(world).execute("select count(*) from upload").fetchone()[0], 0, "uploads left")


@scenario()
async def large_message_to_somebody_who_is_there(world):
    """F18: a registered recipient gets it as a session of two sides, with the direction and all that describes the
    message; each chunk is answered by him, and so is the REPORT. Without a size too (D2-13)."""
    alice, bob = await world.pair()
    for extra in (size_of(40000) + ['a=file-selector:name:"x.bin" type:application/octet-stream size:40000',
                                    "a=file-disposition:attachment", "a=x-unknown:kept"], []):
        outgoing = alice.invite(bob, direction="sendonly", extra=extra)
        invitation = await bob.expect_invite()
        same(invitation.offer.direction, "sendonly", "direction at B")
        for line in extra:
            name, _, value = line[2:].partition(":")
            same(invitation.offer.attribute(name), value, name)
        REQ("IM-6.2.4.2-5", "IM-6.2.8.5-1")
        accepting = asyncio.ensure_future(invitation.accept(direction="recvonly"))
        await outgoing.established()
        await accepting
        same(outgoing.answer.direction, "recvonly", "direction of the answer")
        REQ("IM-6.2.4.2-13")
        body = secrets.token_bytes(40000)
        await outgoing.send(body, chunk=15000, headers=[("Success-Report", "yes")])
        same((await invitation.receive()).digest, hashlib.sha256(body).hexdigest(), "message")
        await outgoing.hang_up()
        await invitation.wait_bye()
    for status in (480, 486, 488):
        outgoing = alice.invite(bob, direction="sendonly", extra=size_of(5))
        (await bob.expect_invite()).refuse(status)
        same((await outgoing.transaction.final()).status, status, "what a client refuses is not stored")
        REQ("IM-6.2.4.2-17")
    await nothing_is_left(world, bob)
