"""Pager messages to users who are away (F2; 6.2.8.2, 10.3.2.4, CR001 12.2.2.3): what is stored and what is not, the
202 after the commit, and a client that answers late. The store is looked into with Python's sqlite3."""
import asyncio
import contextlib
import email.utils
import json
import os
import resource
import sqlite3
import stat
import time

from settings import document, published
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

DEFER = {"policy.offline_pager": "defer"}
CONTENT = "nobody's business"
SILENT = dict(DEFER, **{"timers.client_answer": "700ms"})
CHARGED = [("P-Charging-Vector", "icid-value=1234bc9876e;icid-generated-at=192.0.6.8"),
           ("P-Charging-Function-Addresses", "ccf=192.1.1.1;ecf=192.1.1.2"),
           ("P-Access-Network-Info", "IEEE-802.11"), ("P-Visited-Network-ID", "other.net"),
           ("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg"),
           ("P-User-Database", "<aaa://host.example.com>"), ("P-Profile-Key", "<sip:chatroom-!.*!@example.com>"),
           ("P-Called-Party-ID", "<sip:called@example.com>"), ("Security-Verify", "ipsec-3gpp;q=0.1"),
           ("X-Pruned", "by the operator")]


def store_of(world):
    return os.path.join(world.server.directory, "imserv.db")


def rows(world, user=None):
    """What is stored, for whom: the oldest first."""
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % store_of(world), uri=True)) as database:
        database.row_factory = sqlite3.Row
        found = database.execute("SELECT d.*, m.name FROM deferred d JOIN mailbox m ON m.id = d.mailbox"
                                 " ORDER BY d.position").fetchall()
    return [row for row in found if user is None or row["name"] == "%s@%s" % (user.name, DOMAIN)]


def head_of(row):
    text = row["head"].decode() if isinstance(row["head"], bytes) else row["head"]
    return sip.parse_head(text.encode().removesuffix(b"\r\n"))


def summary_of(row):
    return row["summary"].decode() if isinstance(row["summary"], bytes) else row["summary"]


async def counted(world, name, value, seconds=15):
    """Waits until the counter is there."""
    end = asyncio.get_running_loop().time() + seconds
    while ((await world.server.metrics()).sum("imserv_%s_total" % name) or 0) < value:
        check(asyncio.get_running_loop().time() < end, "%s is not %d" % (name, value))
        await asyncio.sleep(0.02)


async def refused(world, reason):
    return (await world.server.metrics()).values.get('imserv_refused_total{reason="%s"}' % reason, 0)


async def away(world, name="bob"):
    """A user who is not there; in ims mode the core has heard of him."""
    return await world.client(name, register=False)


@scenario(own=dict(DEFER, **{"deferred.prune": "[X-Pruned]", "log.cdr": "cdr.jsonl"}))
async def deferred_pager(world):
    """F2: 202, and the store has request line, headers without the prune list, a Date, and the body as it was."""
    alice, bob = await world.client("alice"), await away(world)
    text = b"Watson, \x00\xff come here.\r\n.\r\n"
    request = alice.build("MESSAGE", bob.uri, body=text, content_type="text/plain;charset=UTF-8",
                          headers=[("Subject", "lunch"), ("Priority", "urgent"), ("X-Kept", "yes"), *CHARGED])
    final = await alice.start(request).final()
    same(final.status, 202, "MESSAGE to a user who is away")
    found = rows(world, bob)
    same(len(found), 1, "messages stored")
    row, head = found[0], head_of(found[0])
    REQ("IM-4.2.3-1", "IM-6.2.6.1-7", "IM-6.2.6.1-8", "IM-6.2.8.2-1", "CR001-12.2.2.3-9")
    same((head.method, head.uri), ("MESSAGE", bob.uri), "request line")
    same(bytes(row["content"]), text, "body")
    same(head.get("Subject"), "lunch", "Subject")
    same(head.get("X-Kept"), "yes", "an unknown header")
    same(sip.address(head.get("From"))[1], alice.uri, "From")
    same(head.get("Content-Type"), "text/plain;charset=UTF-8", "Content-Type")
    REQ("CR001-12.2.2.3-1", "IM-10.3.2.4-1", "IM-10.3.2.4-5")
    for name in [name for name, _ in CHARGED] + ["Route", "Record-Route"]:
        check(head.get(name) is None, "%s is stored" % name)
    REQ("CR001-12.2.2.3-3")
    date = email.utils.parsedate_to_datetime(head.get("Date"))
    check(abs(date.timestamp() - row["received"] / 1e6) < 2 and head.get("Date").endswith(" GMT"), "Date %s" % head.get("Date"))
    REQ("CR001-12.2.2.3-2")
    same(len(head.all("Via")), 1, "Vias")
    same(head.all("P-Asserted-Identity"), ["<%s>" % alice.uri], "P-Asserted-Identity")
    check(len(row["id"]) == 26 and row["id"].islower(), "id %r" % row["id"])
    same((await alice.pager(bob, text)).status, 202, "another one")
    check(len({other["id"] for other in rows(world, bob)}) == 2, "ids are not unique")
    REQ("CR001-12.2.2.3-8", "IM-10.3.2.4-3", "IM-10.3.2.4-4", "IM-10.3.2.4-6")
    same(sorted(line.partition(":")[0] for line in summary_of(row).splitlines()),
         ["Date", "From", "P-Asserted-Identity", "Priority", "Subject", "To"], "lines of the summary")
    same(row["expires_at"] - row["received"] // 1000000, 7 * 86400, "expiry without Expires")
    REQ("CR001-12.2.2.3-12")
    await counted(world, "deferred_stored", 2)
    path = os.path.join(world.server.directory, "cdr.jsonl")
    end = asyncio.get_running_loop().time() + 10
    while not os.path.exists(path) or not any('"stored"' in line for line in open(path)):
        check(asyncio.get_running_loop().time() < end, "no record of a stored message")
        await asyncio.sleep(0.02)
    record = [json.loads(line) for line in open(path) if '"stored"' in line][0]
    same((record["type"], record["octets"], record["messages"]), ("pager", len(text), 1), "record")


@scenario(own=DEFER)
async def deferred_keeps_date_and_expires(world):
    """A Date of the sender is kept; an Expires up to deferred.expires_max counts from it if it is plausible."""
    alice, bob = await world.client("alice"), await away(world)
    sent = email.utils.formatdate(time.time() - 600, usegmt=True)
    old = "Thu, 21 Feb 2002 13:02:03 GMT"
    for date, expires in ((sent, 3600), (old, 3600), (old, 3000000), (sent, None)):
        headers = [("Date", date)] + ([("Expires", str(expires))] if expires else [])
        same((await alice.pager(bob, "one", headers=headers)).status, 202, "MESSAGE")
    found = rows(world, bob)
    same([head_of(row).get("Date") for row in found], [sent, old, old, sent], "Dates")
    lives = [row["expires_at"] - row["received"] // 1000000 for row in found]
    begun = int(email.utils.parsedate_to_datetime(sent).timestamp())
    same(found[0]["expires_at"], begun + 3600, "Expires from a plausible Date")
    same(lives[1:], [3600, 7 * 86400, 7 * 86400], "Expires with an old Date, beyond the most, none")
    REQ("CR001-12.2.2.3-10", "CR001-12.2.2.3-11")


@scenario(own=dict(DEFER, **{"log.cdr": "cdr.jsonl", "log.level": "debug"}), transports=("udp", "tcp"))
async def deferred_anonymous(world):
    """No file has an identity, address or Via of a sender who asked for anonymity: store, records, log."""
    bob = await away(world)
    raw = await world.raw()
    for number, privacy in enumerate(("id", "header", "user", "critical;id", None)):
        name = "secret%s" % sip.token(6)
        sender = "sip:%s@%s" % (name, DOMAIN)
        request = world.request("MESSAGE", raw, to=bob.uri, sender=sender, which="term", body=CONTENT.encode(), headers=[
            ("Contact", "<sip:%s@hidden.invalid>" % name), ("User-Agent", name), ("Reply-To", "<%s>" % sender),
            ("Organization", name), ("Call-Info", "<http://%s.invalid/>" % name), ("Remote-Party-ID", "<%s>" % sender),
            ("P-Preferred-Identity", "<%s>" % sender), ("X-Name", name), ("Referred-By", "<%s>" % sender)])
        if privacy:
            request.put("Privacy", privacy)
        else:
            request.put("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=%s' % sip.token(5))
        same(await raw.ask(request), 202, "anonymous MESSAGE")
        too_long = request.copy()
        too_long.put("Call-ID", sip.token(9)).put("Expires", "0")
        too_long.put("Via", too_long.get("Via").partition(";")[0] + ";branch=" + sip.branch())
        same(await raw.ask(too_long), 480, "an anonymous MESSAGE that is refused")
        row = rows(world, bob)[number]
        head = head_of(row)
        same(sip.address(head.get("From"))[1], "sip:anonymous@anonymous.invalid", "From")
        same(head.from_tag, request.from_tag, "From tag")
        same(head.call_id, request.call_id, "Call-ID")
        for header in ("Via", "Contact", "P-Asserted-Identity", "Remote-Party-ID", "User-Agent", "Reply-To",
                       "Organization", "Call-Info", "Referred-By"):
            check(head.get(header) is None, "%s is stored" % header)
        secrets = [name.encode(), ("%s:%d" % (raw.host, raw.port)).encode()]
        folder = world.server.directory
        for file in os.listdir(folder):
            with open(os.path.join(folder, file), "rb") as content:
                data = content.read()
            check(not any(secret in data for secret in secrets), "%s names the sender" % file)
            if file.startswith("imserv.db"):
                same(stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode), 0o600, "mode of " + file)
        same([line for line in world.server.lines if CONTENT in line], [], "lines of the log with the content")
        same([line for line in world.server.lines if name in line], [], "lines of the log that name him")
    REQ("CR001-12.2.2.3-4", "IM-12.3-10")


@scenario(own=dict(DEFER, **{"policy.content_types": "[text/*, application/*, message/*]", "limits.max_size_pager": "2KiB"}))
async def never_stored(world):
    """What is refused before it is looked where the user is, and what is for now only: nothing is stored."""
    alice, bob = await world.client("alice"), await away(world)
    past = email.utils.formatdate(time.time() - 1200, usegmt=True)
    composing = b"<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>"
    if world.transport != "udp":
        same((await alice.pager(bob, b"x" * 2049)).status, 403, "too large")
        REQ("IM-6.2.6.1-5")
    same((await alice.pager(bob, b"x", content_type="image/png")).status, 403, "content type")
    response = await alice.pager(bob, "late", headers=[("Date", past), ("Expires", "600")])
    same(response.status, 403, "expired")
    check("Message expired" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    REQ("IM-6.2.6.1-6")
    before = await refused(world, "not_stored")
    same((await alice.pager(bob, composing, content_type="application/im-iscomposing+xml")).status, 480, "isComposing")
    same((await alice.pager(bob, b"<imdn/>", content_type="message/imdn+xml")).status, 480, "delivery report")
    same((await alice.pager(bob, "now or never", headers=[("Expires", "0")])).status, 480, "Expires 0")
    same(await refused(world, "not_stored") - before, 3, "refusals counted")
    same(rows(world), [], "messages stored")


@scenario(own=dict(DEFER, **{"deferred.quota_messages": "2", "deferred.quota_bytes": "1KiB"}))
async def deferred_quota(world):
    """A mailbox takes as many messages and octets as it may, then 480; another one still takes some."""
    alice, bob, carol = await world.client("alice"), await away(world), await away(world, "carol")
    same((await alice.pager(bob, "x" * 700)).status, 202, "first")
    same((await alice.pager(bob, "x" * 700)).status, 480, "more octets than the quota")
    same((await alice.pager(bob, "x" * 300)).status, 202, "second")
    same((await alice.pager(bob, "x")).status, 480, "one message too many")
    same((await alice.pager(carol, "x")).status, 202, "another mailbox")
    same(len(rows(world, bob)), 2, "messages stored")
    same(await refused(world, "quota"), 2, "refusals counted")


@scenario(own=SILENT, seconds=40)
async def silent_client(world):
    """A registered client that does not answer: stored and 202. Its 200 that comes later removes the copy."""
    alice, bob = await world.pair()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"hello?", content_type="text/plain"))
    server = await bob.expect("MESSAGE")
    same((await sending.final(20)).status, 202, "MESSAGE to a silent client")
    same(len(rows(world, bob)), 1, "messages stored")
    server.respond(200, "OK")
    await counted(world, "deferred_late", 1)
    end = asyncio.get_running_loop().time() + 10
    while rows(world, bob):
        check(asyncio.get_running_loop().time() < end, "the copy stays")
        await asyncio.sleep(0.02)


@scenario(own=dict(DEFER, **{"deferred.push_on_register": "false"}))  # a slow store would find the first message
async def client_says_away(world):
    """408, 480, 430, 503 and what counts as 480 (D1-19) are stored and 202; other refusals are his answer."""
    alice, bob = await world.pair()
    for number, status in enumerate((408, 480, 430, 503, 302)):
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"hello", content_type="text/plain"))
        (await bob.expect("MESSAGE")).respond(status, None)
        same((await sending.final(20)).status, 202, "answer to %d" % status)
        same(len(rows(world, bob)), number + 1, "messages stored")
    for status in (486, 404, 603):
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"hello", content_type="text/plain"))
        (await bob.expect("MESSAGE")).respond(status, None)
        same((await sending.final()).status, status, "answer")
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="application/im-iscomposing+xml"))
    (await bob.expect("MESSAGE")).respond(480, None)
    same((await sending.final()).status, 480, "isComposing to one who says that he is away")
    same(len(rows(world, bob)), 5, "messages stored")


@scenario(own=DEFER, transports=("udp",))
async def deferred_once(world):
    """The same MESSAGE again and again is stored once."""
    alice, bob = await world.client("alice"), await away(world)
    await world.scatter(alice)
    request = alice.build("MESSAGE", bob.uri, body=b"once", content_type="text/plain")
    sending = alice.start(request)
    for _ in range(3):
        alice.endpoint.send(request, alice.flow)
    same((await sending.final()).status, 202, "MESSAGE")
    alice.endpoint.send(request, alice.flow)
    same((await alice.pager(bob, "another")).status, 202, "MESSAGE")
    same([bytes(row["content"]) for row in rows(world, bob)], [b"once", b"another"], "messages stored")


@scenario(own=DEFER, settle=False)
async def deferred_outlives_the_process(world):
    """What got its 202 is there after kill -9, in order, and more comes behind it."""
    alice, bob = await world.client("alice"), await away(world)
    for number in range(5):
        same((await alice.pager(bob, "number %d" % number)).status, 202, "MESSAGE")
    await world.server.restart(True)
    alice = await world.client("alice")
    same((await alice.pager(bob, "number 5")).status, 202, "MESSAGE after the restart")
    same([bytes(row["content"]) for row in rows(world, bob)], [b"number %d" % n for n in range(6)], "stored")


@scenario(own=DEFER, seconds=40, once=True)
async def deferred_expires(world):
    """What expired leaves the store, and is counted."""
    alice, bob = await world.client("alice"), await away(world)
    same((await alice.pager(bob, "short", headers=[("Expires", "1")])).status, 202, "MESSAGE")
    same((await alice.pager(bob, "long", headers=[("Expires", "1000")])).status, 202, "MESSAGE")
    await counted(world, "deferred_expired", 1, 30)
    same([bytes(row["content"]) for row in rows(world, bob)], [b"long"], "stored")


@scenario(own=dict(DEFER, **{"policy.content_types": "[text/*]"}))
async def barred_is_not_stored(world):
    """What the user bars is refused before it counts that he is away; what nobody bars is stored."""
    alice, bob = await world.pair()
    tag = await published(bob, document(pager_barring=True))
    same((await bob.register(0)).status, 200, "de-registration")
    before = await refused(world, "barred")
    same((await alice.pager(bob, "barred")).status, 480, "MESSAGE")
    same(await refused(world, "barred") - before, 1, "refusals counted")
    same((await alice.pager(bob, "x", content_type="image/png")).status, 403, "barred and of a wrong type")
    if world.ims:  # as it comes from another network, whose policy is another
        raw = await world.raw()
        request = world.request("MESSAGE", raw, to=bob.uri, which="term", headers=[("Content-Type", "image/png")])
        same(await raw.ask(request), 480, "at the terminating side barring comes first")
        REQ("IM-6.2.6.1-5")
        await published(bob, document(pager_barring=False), match=tag)
        request = world.request("MESSAGE", raw, to=bob.uri, which="term", headers=[("Content-Type", "image/png")])
        same(await raw.ask(request), 403, "a wrong type at the terminating side")
    same(rows(world), [], "messages stored")
    REQ("IM-6.2.6.1-1")


@scenario(own=DEFER, modes=("standalone",))
async def another_phone_takes_it(world):
    """A phone that says it is away is no answer as long as another one takes the message."""
    alice, phone = await world.client("alice"), await world.client("bob")
    laptop = await world.client(phone.name, register=False, unique=False)
    for first in (laptop, phone):  # each registers anew, and the last comes first
        same((await first.register()).status, 200, "REGISTER")
    for status in (480, 408, 430, 503):
        sending = alice.start(alice.build("MESSAGE", phone.uri, body=b"where are you", content_type="text/plain"))
        (await phone.expect("MESSAGE")).respond(status, None)
        (await laptop.expect("MESSAGE")).respond(200, None)
        same((await sending.final()).status, 200, "MESSAGE")
    same(rows(world), [], "messages stored")
    sending = alice.start(alice.build("MESSAGE", phone.uri, body=b"nobody", content_type="text/plain"))
    (await phone.expect("MESSAGE")).respond(480, None)
    (await laptop.expect("MESSAGE")).respond(408, None)
    same((await sending.final(20)).status, 202, "MESSAGE that no phone takes")
    same(len(rows(world, phone)), 1, "messages stored")


@scenario(own=DEFER, once=True, settle=False)
async def deferred_on_a_full_disk(world):
    """The disk takes nothing more: 503 and Retry-After, and nothing is stored; 202 when there is room again."""
    alice, bob = await world.client("alice"), await away(world)
    same((await alice.pager(bob, "before")).status, 202, "MESSAGE")
    limits = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    response = await alice.pager(bob, "x" * 900)
    same(response.status, 503, "MESSAGE")
    check(response.get("Retry-After"), "no Retry-After")
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, limits)
    end = asyncio.get_running_loop().time() + 15
    while (response := await alice.pager(bob, "after")).status == 503:
        check(asyncio.get_running_loop().time() < end, "the disk is well and the store is not")
        await asyncio.sleep(0.05)
    same(response.status, 202, "MESSAGE when there is room")
    same([bytes(row["content"]) for row in rows(world, bob)], [b"before", b"after"], "messages stored")


@scenario(own={"policy.offline_pager": "reject"})
async def deferring_is_off(world):
    """offline_pager: reject: whoever is away, or says so, or is silent, gets nothing: 480."""
    alice, bob = await world.pair()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"hello", content_type="text/plain"))
    (await bob.expect("MESSAGE")).respond(480, None)
    same((await sending.final()).status, 480, "MESSAGE")
    same((await bob.register(0)).status, 200, "de-registration")
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE")
    same(rows(world), [], "messages stored")


@scenario(own=DEFER, modes=("standalone",), transports=("tcp",))
async def whose_connection_is_gone(world):
    """A client whose connection has ended is away, whether the server has seen that already or only when it writes."""
    alice, bob = await world.pair()
    bob.close()
    for number in range(3):
        same((await alice.pager(bob, "number %d" % number)).status, 202, "MESSAGE")
    same([bytes(row["content"]) for row in rows(world, bob)], [b"number %d" % n for n in range(3)], "stored")
