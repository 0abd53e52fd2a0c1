"""Deferred messages as somebody sees them who knows the specification alone: what was sent comes out again, whatever
is in it (F2 to F9, D2-14 to D2-24). Nothing here looks into the store."""
import asyncio
import email
import email.policy
import email.utils
import re
import time

from message_summary import watching
from pushing import PUSH, STORE, comes_back, invited, taken
from retrieving import ask, accepted, deferred
from settings import document, publish
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

FETCH = {"policy.offline_pager": "defer", "deferred.push_on_register": "false"}
OUR_OWN = ("Via", "Route", "Record-Route", "Date", "Max-Forwards", "P-Asserted-Identity")


def sections(message):
    """[(headers, content)] of a multipart/mixed, by the grammar of RFC 2046 5.1.1, and Python's parser agrees."""
    whole = email.message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (message.content_type.encode(), bytes(message.body)),
                                     policy=email.policy.default)
    same((whole.get_content_type(), whole.defects), ("multipart/mixed", []), "multipart")
    boundary = whole.get_boundary().encode()
    check(re.fullmatch(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", boundary), "boundary %r" % boundary)
    octets, found = b"\r\n" + bytes(message.body), []
    places = [m for m in re.finditer(rb"\r\n--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|$)", octets)]
    same([bool(m.group(1)) for m in places], [False] * (len(places) - 1) + [True], "delimiters")
    same((places[0].start(), places[-1].end()), (0, len(octets)), "octets before the first or behind the last delimiter")
    for first, second in zip(places, places[1:]):
        head, blank, content = octets[first.end() + 2:second.start()].partition(b"\r\n\r\n")
        check(blank, "a part without empty line: %r" % head[:60])
        headers = {}
        for line in head.decode("ascii").split("\r\n"):
            name, colon, value = line.partition(": ")
            check(colon and name.startswith("Content-") and name not in headers, "line of a part %r" % line)
            headers[name] = value
        headers.setdefault("Content-Transfer-Encoding", "7bit")
        if headers["Content-Transfer-Encoding"] == "7bit":   # RFC 2045 2.7
            check(max(content) < 128 and 0 not in content, "an octet that is not 7bit")
            check(all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in content.split(b"\r\n")),
                  "a line that is not 7bit")
        else:
            same(headers["Content-Transfer-Encoding"], "binary", "encoding")
        found.append((headers, content))
    same([part.get_content_type() for part in whole.iter_parts()], [h["Content-Type"] for h, _ in found], "parts")
    return found


def pager_in(message):
    (headers, content), = sections(message)
    check(headers["Content-Type"] in ("message/sip", "message/sipfrag"), headers["Content-Type"])
    head, blank, body = content.partition(b"\r\n\r\n")
    check(blank, "no end of the headers: %r" % content[:200])
    inner = sip.parse_head(head)
    inner.body = body
    REQ("CR001-D.2-3", "CR001-D.2-8", "CR001-12.2.2.5-2")
    return inner


def large_in(message):
    """(INVITE, lines of the SEND, content)"""
    (first, fragment), (second, octets) = sections(message)
    same((first["Content-Type"], second["Content-Type"]), ("message/sipfrag", "message/msrpfrag"), "parts")
    head, blank, rest = octets.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    tid = re.fullmatch(r"MSRP ([0-9A-Za-z][-.+%=0-9A-Za-z]{3,31}) SEND", lines[0]).group(1)
    end = b"\r\n-------%s$" % tid.encode()
    check(blank and rest.removesuffix(b"\r\n").endswith(end), "no end-line")
    content = rest.removesuffix(b"\r\n")[:-len(end)]
    check(end not in content, "the end-line inside is in the content")
    same(fragment[-2:], b"\r\n", "end of the header lines")
    return sip.parse_head(fragment.rstrip(b"\r\n")), lines[1:], content


def untouched(inner, sent):
    """Request line, each header that is not pruned, and the body are as they came (D2-14)."""
    same((inner.method, inner.uri), (sent.method, sent.uri), "request line")
    names = [name for name, _ in sent.headers if name not in OUR_OWN]
    same([h for h in inner.headers if h[0] not in OUR_OWN],
         [(n, v) for n, v in sent.headers if n in names], "headers")
    if sent.get("Date"):
        same(inner.all("Date"), sent.all("Date"), "Date")
    else:
        date = email.utils.parsedate_to_datetime(inner.get("Date"))
        check(inner.get("Date").endswith(" GMT") and abs(date.timestamp() - time.time()) < 300, inner.get("Date"))
    same(inner.body, sent.body, "body")
    same(len(inner.all("Via")), 1, "Vias")
    REQ("CR001-D.2-4", "CR001-12.2.2.5-1", "CR001-12.2.2.5-4")


# --- what people send ---
def odd_messages():
    """(body, headers): each is legal, but for two Dates as old software writes them."""
    inner = (b"--in\r\nContent-Type: text/plain\r\n\r\none\r\n--in\r\nContent-Type: image/png\r\n"
             b"Content-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x1a\n\x00\r\n--in--")
    yield "gr\u00fc\u00df Gott \u2603".encode(), [
        ("From", "\"J\u00fcrgen \\\"J.\\\" M\u00fcller, <x>\" <%(sender)s>;tag=t1"), ("Subject", "Gr\u00fc\u00dfe \u2603 \u2014 Mittag?"),
        ("Content-Type", "text/plain; charset=\"UTF-8\" ; format=flowed"), ("Priority", "Non-Urgent")]
    yield b"--boundary42\r\nContent-Type: message/sip\r\n\r\nx\r\n--boundary42--\r\n", []
    yield b"hi\r\n-------elfj49te$\r\nMSRP abcd1234 SEND\r\nTo-Path: msrp://x:1/y;tcp\r\n\r\n-------abcd1234+\r\n", []
    yield b"\r\n\r\nMESSAGE sip:x@example.com SIP/2.0\r\nFrom: <sip:eve@example.com>\r\n\r\n", [("Subject", "")]
    yield bytes(range(256)) * 4, [("Content-Type", "application/octet-stream"), ("Content-Encoding", "x-any")]
    yield b"", []
    yield b"\r\n", []
    yield b"\n", [("Content-Type", "TEXT/Plain;Charset=us-ascii")]
    yield b" \t", []
    yield b"-", []
    yield b"--", []
    yield b"l" * 999, []
    yield inner, [("Content-Type", "multipart/mixed;boundary=in"), ("MIME-Version", "1.0")]
    yield b"later", [("X-Long", "y" * 3000), ("Subject", "s" * 900)]
    yield b"twice", [("X-One", "1"), ("x-one", "2"), ("Content-Language", "de, en"), ("In-Reply-To", "a@b, c@d")]
    yield b"old", [("Date", "Thu, 21 Feb 2002 13:02:03 GMT")]
    yield b"older", [("Date", "Sunday, 06-Nov-94 08:49:37 GMT"), ("Expires", "4294967296")]
    yield b"oldest", [("Date", "Sun Nov  6 08:49:37 1994 EST")]
    yield b"to come", [("Date", "Fri, 01 Jan 2038 00:00:00 GMT"), ("Expires", "86400")]


async def leave(raw, world, bob, sender, body, headers=()):
    """A MESSAGE that the server of him who is away gets; the request."""
    named = [(name, value.replace("%(sender)s", sender)) for name, value in headers]
    request = world.request("MESSAGE", raw, to=bob.uri, sender=sender, which="term", headers=named, body=body or b"x")
    request.body = body
    request.put("Content-Length", len(body))
    same(await raw.ask(request), 202, "MESSAGE of %d octets, %s" % (len(body), str(headers)[:200]))
    return request


async def fetched(bob, target=None, entries=None):
    """All that one retrieval brings."""
    session = await accepted(ask(bob, target or deferred(), entries))
    await session.wait_bye(20)
    found = []
    while not session.leg.messages.empty():
        found.append(session.leg.messages.get_nowait())
    return found


async def odd_ones_left(world):
    bob, raw = await world.client("bob", register=False), await world.raw()
    senders = ["sip:%s@%s" % (sip.token(4), DOMAIN) for _ in range(3)]
    requests = [await leave(raw, world, bob, senders[i % 3], body, headers) for i, (body, headers) in enumerate(odd_messages())]
    if not world.ims:
        bob.witness.secrets.pop("%s:%d" % (raw.host, raw.port), None)
    same((await bob.register()).status, 200, "REGISTER")
    return bob, requests


@scenario(own=FETCH, seconds=40)
async def odd_messages_are_fetched(world):
    """Each octet of body and headers, oldest first."""
    bob, requests = await odd_ones_left(world)
    got = await fetched(bob)
    same(len(got), len(requests), "messages")
    for message, request in zip(got, requests):
        untouched(pager_in(message), request)
    same(len({message.id for message in got}), len(got), "outer Message-IDs")
    same(await fetched(bob), [], "what is left")
    REQ("CR000-11.3.1.1.2-4", "CR000-11.3.1.1.2-5", "CR004-all-7", "CR004-all-8", "IM-10.3.1.1.2-4", "IM-10.3.1.1.2-5",
        "IM-10.3.1.1.2-6", "IM-10.3.1.1-2")
    if world.ims:   # by the core's Route, with the identity it asserts, and ours in the answer
        REQ("IM-10.3.1-15", "CR000-11.3.1-12")


@scenario(own=FETCH, seconds=40, settle=False, once=True)
async def odd_messages_outlive_the_process(world):
    """What was answered with 202 or 200 is the same after kill -9, summary and order too."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    sender = "sip:%s@%s" % (sip.token(4), DOMAIN)
    requests = [await leave(raw, world, bob, sender, body, headers) for body, headers in odd_messages()]
    same((await bob.register()).status, 200, "REGISTER")
    _, before = await watching(bob)
    await world.server.restart(True)
    bob = await world.client(bob.name, unique=False)
    _, after = await watching(bob)
    same((after.head, after.messages), (before.head, before.messages), "summary")
    got = await fetched(bob)
    same(len(got), len(requests), "messages")
    for message, request in zip(got, requests):
        untouched(pager_in(message), request)
    same(await fetched(bob), [], "what is left")


@scenario(own=FETCH, seconds=40)
async def many_write_at_once(world):
    """Five senders with ten messages each to two users, all at a time: each message is there once, each sender's in the order
    in which they were answered."""
    users = [await world.client(name, register=False) for name in ("bob", "carol")]
    raws = [await world.raw() for _ in range(5)]

    async def write(number, raw):
        for n in range(10):
            await leave(raw, world, users[n % 2], "sip:sender%d@%s" % (number, DOMAIN), b"%d %d" % (number, n))
    await asyncio.gather(*[write(number, raw) for number, raw in enumerate(raws)])
    for odd, user in enumerate(users):
        same((await user.register()).status, 200, "REGISTER")
        got = [tuple(map(int, pager_in(message).body.split())) for message in await fetched(user)]
        same(sorted(got), [(number, n) for number in range(5) for n in range(odd, 10, 2)], "messages")
        for number in range(5):
            same([n for who, n in got if who == number], list(range(odd, 10, 2)), "order of one sender")


@scenario(own=PUSH, seconds=40)
async def odd_messages_are_pushed(world):
    """The same, after PUBLISH."""
    bob, requests = await odd_ones_left(world)
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    await taken(invitation)
    for request in requests:
        untouched(pager_in(await invitation.receive()), request)
    await invitation.wait_bye()
    REQ("CR001-D.2-1", "CR001-D.2-2", "CR001-D.2-5", "CR001-D.2-6", "CR001-D.2-7", "IM-4.2.3-2",
        "IM-J-2", "IM-J-3", "IM-J-4", "IM-J-5", "IM-J-6", "IM-J-7", "IM-J-8", "IM-J-9")
    same(await fetched(bob), [], "what is left")


@scenario(own=FETCH, transports=("tcp",))
async def pager_of_the_most_octets(world):
    """64 KiB are a pager message, one octet more is 403 and stored nowhere."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    sender = "sip:carol@" + DOMAIN
    bodies = [b"\xfe" * 65536, b"x" * 65535, b"\r\n" * 32768]
    requests = [await leave(raw, world, bob, sender, body) for body in bodies]
    request = world.request("MESSAGE", raw, to=bob.uri, sender=sender, which="term", body=b"x" * 65537)
    same(await raw.ask(request), 403, "one octet more")
    same((await bob.register()).status, 200, "REGISTER")
    got = await fetched(bob)
    same(len(got), 3, "messages")
    for message, request in zip(got, requests):
        untouched(pager_in(message), request)


@scenario(own=FETCH, transports=("tcp",))
async def headers_of_the_most_octets(world):
    """Header lines near limits.header_bytes, of one line or of hundreds, go the whole way, with 64 KiB behind them; more is 513
    and blocks nobody."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    sender = "sip:carol@" + DOMAIN
    requests = [await leave(raw, world, bob, sender, body, headers) for body, headers in (
        (b"one line", [("X-Long", "y" * 15000)]), (b"x" * 65536, [("X-%d" % n, "z" * 120) for n in range(105)]),
        (b"subject", [("Subject", "\u2603" * 4500)]), (b"after", []))]
    request = world.request("MESSAGE", raw, to=bob.uri, sender=sender, which="term", headers=[("X-Long", "y" * 17000)])
    same(await (await world.raw()).ask(request), 513, "more than header_bytes")
    same((await bob.register()).status, 200, "REGISTER")
    got = await fetched(bob)
    same(len(got), len(requests), "messages")
    for message, request in zip(got, requests):
        untouched(pager_in(message), request)


@scenario(modes=("standalone",), own=PUSH, seconds=40)
async def odd_messages_by_message(world):
    """An ordinary client that registers gets them as MESSAGEs: From, Date, types and octets as they were (design 7)."""
    bob, raw = await world.client("bob", register=False, feature_tag=False), await world.raw()
    senders = ["sip:%s@%s" % (sip.token(4), DOMAIN) for _ in range(3)]
    requests = [await leave(raw, world, bob, senders[i % 3], body, headers) for i, (body, headers) in enumerate(odd_messages())]
    same((await bob.register()).status, 200, "REGISTER")
    same((await publish(bob, document(offline_delivery=True))).status, 200, "PUBLISH")
    for sent in requests:
        server = await bob.expect("MESSAGE", 10)
        inner = server.request
        same(inner.body, sent.body, "body")
        same(sip.address(inner.get("From"))[:2], sip.address(sent.get("From"))[:2], "From")
        for name in ("Subject", "Priority", "Content-Type", "Content-Encoding", "Content-Language", "MIME-Version"):
            if sent.body or not name.startswith("Content"):
                same(inner.all(name), sent.all(name), name)
        if sent.get("Date"):
            same(inner.all("Date"), sent.all("Date"), "Date")
        else:
            check(inner.get("Date", "").endswith(" GMT"), "Date %r" % inner.get("Date"))
        same(inner.all("Contact"), [], "Contact in MESSAGE (RFC 3428)")
        server.respond(200, "OK")
    await bob.quiet(0.2)
    same(await fetched(bob), [], "what is left")


@scenario(own=FETCH)
async def unusual_spelling(world):
    """Compact names, folded lines, blanks and lower case: header by header it is the same (RFC 3261 7.3.1)."""
    bob, raw = await world.client("bob", register=False), await world.raw()
    request = world.request("MESSAGE", raw, to=bob.uri, sender="sip:carol@" + DOMAIN, which="term", body=b"hello",
                            headers=[("Subject", "one two"), ("X-Any", "a")])
    request.put("Content-Length", 5)
    text = request.encode()
    for long, short in ((b"From: ", b"f:"), (b"To: ", b"t : "), (b"Call-ID: ", b"i:\t"), (b"Subject: one two", b"s: one\r\n\t two"),
                        (b"Content-Type: ", b"C: "), (b"Content-Length: ", b"l:  "), (b"CSeq: ", b"cseq: "), (b"X-Any: a", b"x-any:a  ")):
        check(b"\r\n" + long in text, "no %r" % long)
        text = text.replace(b"\r\n" + long, b"\r\n" + short)
    same(await raw.ask(text), 202, "MESSAGE")
    same((await bob.register()).status, 200, "REGISTER")
    message, = await fetched(bob)
    inner = pager_in(message)
    for name in ("From", "To", "Call-ID", "CSeq", "Content-Type", "Content-Length", "X-Any"):
        same([v for n, v in inner.headers if n.lower() == name.lower()], request.all(name), name)
    same(re.sub(r"\s+", " ", inner.get("Subject")), "one two", "Subject")
    same(inner.body, b"hello", "body")


# --- large messages ---
class Upload:
    """A large message on its way, chunk by chunk."""

    def __init__(self, sender, bob, content, **more):
        self.sender, self.bob, self.content, self.at = sender, bob, content, 0
        self.id, self.more = sip.token(8), more

    async def begin(self, headers=()):
        self.session = await self.sender.invite(self.bob, direction="sendonly", headers=headers,
                                                extra=["a=filesize:%d" % len(self.content)]).established()
        self.request = self.session.transaction.request
        return self

    async def go_on(self, octets, status=200):
        piece = self.content[self.at:self.at + octets]
        is_last = self.at + len(piece) == len(self.content)
        future = self.session.leg.send_chunk(piece, self.id, self.at + 1, len(self.content), "$" if is_last else "+",
                                             **self.more)
        self.at += len(piece)
        same((await self.session.leg.outcome(future, 20))[0], status, "chunk of %d at %d" % (len(piece), self.at))
        return is_last

    async def all(self, octets):
        while not await self.go_on(octets):
            pass
        await self.session.hang_up()


def content_of(size, seed):
    """Octets with what looks like delimiters of all kinds in it."""
    odd = b"\r\n--%d\r\n\r\n--%d--\r\n-------%d$\r\nMSRP %d SEND\r\n\x00\xff\xc3" % ((seed,) * 4)
    return ((odd + bytes((i * 7 + seed) % 256 for i in range(251))) * (size // 251 + 1))[:size]


@scenario(own=dict(FETCH, **{"policy.offline_large": "defer"}), seconds=60)
async def sizes_of_large_messages(world):
    """1 octet to 1 MB, in chunks of every kind, with types that have parameters."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    sizes = ((1, 1), (2, 1), (300, 7), (2047, 2048), (2048, 2048), (2049, 2048), (65535, 65536), (65536, 65536),
             (65537, 65536), (131072, 10000), (1040000, 100000))
    kinds = ("text/plain;charset=UTF-8", "application/x-any", 'image/png;name="a b;c.png"', "message/cpim")
    uploads = []
    for n, (size, chunk) in enumerate(sizes):
        upload = await Upload(alice, bob, content_of(size, n), content_type=kinds[n % 4]).begin(
            [("Subject", "n\u00b0 %d \u2603" % n), ("Priority", "urgent")])
        await upload.all(chunk)
        uploads.append(upload)
    same((await bob.register()).status, 200, "REGISTER")
    got = await fetched(bob)
    same(len(got), len(uploads), "messages")
    for n, (message, upload) in enumerate(zip(got, uploads)):
        same(message.length, message.total, "octets of the whole")
        invite, lines, content = large_in(message)
        check(content == upload.content, "content of %d octets is another one of %d" % (len(upload.content), len(content)))
        same(lines, ["Message-ID: " + upload.id, "Content-Type: " + kinds[n % 4]], "lines of the SEND")
        same((invite.method, invite.uri), ("INVITE", bob.uri), "request line")
        same((invite.get("Subject"), invite.get("Priority")), ("n\u00b0 %d \u2603" % n, "urgent"), "Subject, Priority")
        same(sip.address(invite.get("From"))[1], alice.uri, "From")
        if not world.ims:
            same((invite.call_id, invite.get("To")), (upload.request.call_id, upload.request.get("To")), "Call-ID, To")
        same(sorted(name for name, _ in invite.headers),
             ["Call-ID", "Date", "From", "P-Asserted-Identity", "Priority", "Subject", "To"], "headers")
    REQ("IM-6.2.8.3-1", "CR001-12.2.2.5-7", "CR001-12.2.2.5-9", "CR001-12.2.2.5-6")


@scenario(own=dict(FETCH, **{"policy.offline_large": "defer"}), seconds=40)
async def uploads_side_by_side(world):
    """Two senders to one, one sender to two, their chunks in turns; pager messages between. Each mailbox is in the order in
    which the messages were complete."""
    alice, joe = await world.client("alice"), await world.client("joe")
    bob, carol = await world.client("bob", register=False), await world.client("carol", register=False)
    contents = [content_of(size, size) for size in (90000, 30000, 61111)]
    first, second = await Upload(alice, bob, contents[0]).begin(), await Upload(joe, bob, contents[1]).begin()
    third = await Upload(alice, carol, contents[2]).begin()
    open_ones, between = [first, second, third], []
    while open_ones:
        open_ones = [upload for upload in open_ones if not await upload.go_on(9999)]
        if len(open_ones) == 2 and not between:
            between = [(await joe.pager(to, "between")).status for to in (bob, carol)]
    same(between, [202, 202], "MESSAGEs")
    for upload in (first, second, third):
        await upload.session.hang_up()
    for user, expected in ((bob, [contents[1], b"between", contents[0]]), (carol, [b"between", contents[2]])):
        same((await user.register()).status, 200, "REGISTER")
        got = [large_in(message)[2] if len(sections(message)) == 2 else pager_in(message).body
               for message in await fetched(user)]
        same([len(g) for g in got], [len(e) for e in expected], "order")
        check(got == expected, "contents")
