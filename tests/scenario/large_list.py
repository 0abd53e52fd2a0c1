"""A large message or a file to a list or a group (9.3, F19 to F22, D2-44)."""
import asyncio
import hashlib
import re
import secrets

from large import database, kept_for
from lists import group
from ua import Failure, REQ, check, same, sip
from world import scenario

FACTORY = "sip:factory@example.com"
FOCUS = re.compile(r";isfocus(;|$)")


def list_of(users):
    entries = "".join('<entry uri="%s"/>' % getattr(user, "uri", user) for user in users)
    return ('<?xml version="1.0" encoding="UTF-8"?><resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">'
            "<list>%s</list></resource-lists>" % entries)


def multipart(description, users):
    part = "--b\r\nContent-Type: %s\r\n%s\r\n%s\r\n"
    return (part % ("application/sdp", "", description.decode()) + part % (
        "application/resource-lists+xml", "Content-Disposition: recipient-list\r\n", list_of(users)) + "--b--\r\n").encode()


def offer(alice, users, size=None, target=FACTORY + ";session=adhoc", extra=(), require=True, **more):
    """alice's INVITE with a large message for them; without users: of a group."""
    lines = (["a=filesize:%d" % size] if size is not None else []) + list(extra)
    if users is None:
        return alice.invite(target, direction="sendonly", extra=lines, **more)
    headers = [("Require", "recipient-list-invite")] if require else []
    return alice.invite(target, direction="sendonly", extra=lines, headers=headers,
                        edit=lambda body: multipart(body, users), content_type="multipart/mixed;boundary=b", **more)


async def established(outgoing):
    """As the sender's own Session.established(), whose offer stood in a multipart."""
    response = await outgoing.transaction.final()
    check(response.status == 200, "INVITE of a list got %s" % response)
    outgoing.answer = outgoing.remote_description(response.body, "200 to INVITE")
    same(outgoing.answer.direction, "recvonly", "direction of the answer")
    check(FOCUS.search(response.list("Contact")[0]), "Contact %s" % response.list("Contact"))
    await outgoing.leg.connect()
    return outgoing


async def answered(user, **more):
    invitation = await user.expect_invite()
    same(invitation.offer.direction, "sendonly", "direction of the offer to %s" % user.name)
    await invitation.accept(direction="recvonly", **more)
    return invitation


async def clients(world, *names):
    return [await world.client(name) for name in names]


async def got(session, content):
    message = await session.receive(20)
    same((message.length, message.digest), (len(content), hashlib.sha256(content).hexdigest()), "content at " + session.agent.name)
    return message


def by_both_passes(world):
    """What the focus begins goes through the terminating pass, as a core has it (D2-59)."""
    if world.ims:
        world.core.own_by_term = True


def confirm(session, message, status=200):
    """The success REPORT of who received all of it."""
    leg = session.leg
    tid, head = leg.begin_request("REPORT", [("Message-ID", message.id), ("Byte-Range", "1-%d/%d" % (message.length, message.length)),
                                             ("Status", "000 %d OK" % status)])
    leg.connection.write(head + b"-------%s$\r\n" % tid.encode())


async def reported(session, status):
    report = await asyncio.wait_for(session.leg.reports.get(), 20)
    same(report.get("Status").split()[:2], ["000", "%d" % status], "REPORT to the sender")
    return report


async def no_report(session):
    """Nothing was reported until what follows was answered."""
    await session.leg.empty()
    check(session.leg.reports.empty(), "a REPORT that should not be")


async def stored(world, user, count):
    """What is kept for the user, when it is as much: the sender's 200 does not wait for the commit."""
    for _ in range(300):
        kept = kept_for(world, user)
        if len(kept) >= count:
            break
        await asyncio.sleep(0.05)
    same(len(kept), count, "messages stored for " + user.name)
    return kept


def contents_of(world, users):
    """How many contents that are too long for their row these have."""
    base = database(world)
    names = ",".join("'%s'" % user.uri[len("sip:"):] for user in users)
    found = base.execute("select count(distinct d.content_id) from deferred d join mailbox m on d.mailbox = m.id "
                         "where d.content_id > 0 and m.name in (%s)" % names).fetchone()[0]
    base.close()
    return found


SUCCESS = [("Success-Report", "yes")]


@scenario()
async def large_message_to_a_list(world):
    """Two who are there: each is called by the session's identity, the first 200 makes that to the sender; what he sends
    reaches both as it was; one REPORT when both have confirmed; BYE to both after his."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    content = secrets.token_bytes(100000)
    outgoing = offer(alice, [bob, carol, bob, alice], len(content))
    first, second = await bob.expect_invite(), await carol.expect_invite()
    REQ("IM-9.3.1.1-1", "IM-9.3.2.1-2")
    for invitation in (first, second):
        request = invitation.request
        REQ("IM-7.2.1.9-7")
        same((invitation.offer.direction, invitation.offer.attribute("filesize")), ("sendonly", "%d" % len(content)), "offer")
        check(FOCUS.search(request.list("Contact")[0]), "Contact of the INVITE %s" % request.list("Contact"))
        same(sip.address(request.get("Referred-By"))[1], alice.uri, "Referred-By")
        same(sip.address(request.get("P-Asserted-Identity"))[1], alice.uri, "P-Asserted-Identity")
        same(sip.address(request.get("From"))[1], alice.uri, "From")
        check("+g.oma.sip-im" in request.get("Accept-Contact") and "explicit" in request.get("Accept-Contact"),
              "Accept-Contact %s" % request.get("Accept-Contact"))
        check(b"resource-lists" not in request.body, "the recipient list went on")
    if not world.ims:  # there the terminating pass has a Contact of its own
        same(sip.uri_parts(sip.address(first.request.list("Contact")[0])[1])[1],
             sip.uri_parts(sip.address(second.request.list("Contact")[0])[1])[1], "session identity")
    REQ("IM-9.3.2.1-1", "IM-9.3.2.1-5", "IM-9.3.2.1-6", "IM-9.3.2.1-7", "IM-9.3.2.1-8")
    await bob.quiet(0.05)
    first.ring()
    await outgoing.transaction.provisional(180)
    await first.accept(direction="recvonly")
    await second.accept(direction="recvonly")
    await established(outgoing)
    same(sip.address(outgoing.response.get("P-Asserted-Identity"))[1], FACTORY, "P-Asserted-Identity of the 200")
    same(outgoing.answer.attribute("filesize"), "%d" % len(content), "size in the answer")
    REQ("IM-9.3.1.1-3", "IM-9.3.1.1-4", "IM-9.3.1.1-5")
    await outgoing.send(content, chunk=30000, message_id="m1", headers=SUCCESS + [("Content-Disposition", "attachment")],
                        content_type="image/png")
    for session in (first, second):
        message = await got(session, content)
        same((message.id, message.chunks[0].get("Content-Disposition"), message.chunks[0].get("Success-Report")),
             ("m1", "attachment", "yes"), "head of the copy")
    await no_report(outgoing)
    confirm(first, message)
    await no_report(outgoing)
    confirm(second, message)
    await reported(outgoing, 200)
    REQ("IM-9.3.2.1-13")
    await outgoing.hang_up()
    for session in (first, second):
        await session.wait_bye()
    REQ("IM-9.3.2.1-14", "IM-9.1.3-5")


@scenario()
async def recipient_answers_late(world):
    """Who answers when the message has begun, or ended, or when its sender has left already, gets all of it, a short one
    and one that is longer than what is kept in memory."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    for size in (70, 65536, 300001):
        content = secrets.token_bytes(size)
        outgoing = offer(alice, [bob, carol, dave], size)
        second, third = await carol.expect_invite(), await dave.expect_invite()
        first = await answered(bob)
        await established(outgoing)
        half = size // 2
        future = outgoing.leg.send_chunk(content[:half], "late", 1, size, "+", headers=SUCCESS)
        same((await outgoing.leg.outcome(future))[0], 200, "first chunk")
        await second.accept(direction="recvonly")
        future = outgoing.leg.send_chunk(content[half:], "late", half + 1, size, "$", headers=SUCCESS)
        same((await outgoing.leg.outcome(future))[0], 200, "second chunk")
        message = await got(first, content)
        confirm(first, message)
        same((await got(second, content)).id, "late", "Message-ID of the late copy")
        await no_report(outgoing)
        await outgoing.hang_up()
        await first.wait_bye()
        await second.wait_bye()
        await third.accept(direction="recvonly")
        await got(third, content)
        await third.wait_bye()


@scenario()
async def recipients_who_are_away(world):
    """For who is away it is stored, byte for byte and once on the disk, and counts as delivered in the REPORT; who is
    there gets it at once. All away: the sender is answered at once."""
    by_both_passes(world)
    alice, bob = await clients(world, "alice", "bob")
    away = [await world.client(name, register=False) for name in ("carol", "dave", "erin")]
    for size in (9, 200000):
        content = secrets.token_bytes(size)
        for there in ([bob], []):
            outgoing = offer(alice, there + away, size)
            sessions = [await answered(user) for user in there]
            await established(outgoing)
            await outgoing.send(content, chunk=50000, headers=SUCCESS, content_type="image/png")
            for session in sessions:
                confirm(session, await got(session, content))
            await reported(outgoing, 200)
            REQ("IM-9.3.1.1-6")
            await outgoing.hang_up()
            for session in sessions:
                await session.wait_bye()
    for user in away:
        kept = kept_for(world, user)
        same([len(k.content) for k in kept], [9, 9, 200000, 200000], "stored for " + user.name)
        same(kept[-1].digest, hashlib.sha256(content).hexdigest(), "content stored for " + user.name)
        same((kept[-1].header("To"), sip.address(kept[-1].header("From"))[1]), ("<%s>" % user.uri, alice.uri), "To, From")
        same(kept[-1].header("Content-Type", kept[-1].sent[1:]), "image/png", "Content-Type")
        check(kept[-1].head[0].startswith("INVITE %s " % user.uri), "request line %r" % kept[-1].head[0])
    if not world.ims:  # there each is stored where he is served
        same(contents_of(world, away), 2, "contents on the disk")


@scenario()
async def all_recipients_fail(world):
    """Nobody can be reached: the lowest status, and nothing rings or listens any more."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    if not world.ims:
        outgoing = offer(alice, [bob, carol, "sip:nobody@elsewhere.invalid"], 5)
        (await bob.expect_invite()).refuse(603)
        (await carol.expect_invite()).refuse(486)
        same((await outgoing.transaction.final()).status, 404, "INVITE that nobody takes")
    outgoing = offer(alice, [bob, carol], 5)
    (await carol.expect_invite()).refuse(488)
    (await bob.expect_invite()).refuse(486)
    same((await outgoing.transaction.final()).status, 486, "INVITE that nobody takes")
    REQ("IM-9.3.2.1-9", "IM-9.3.2.1-10")


@scenario()
async def one_recipient_fails(world):
    """One refuses, the other takes it: the sender is accepted, and hears of the failure in one REPORT; with
    Failure-Report: no of nothing."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = offer(alice, [bob, carol], 5)
    (await carol.expect_invite()).refuse(603)
    first = await answered(bob)
    await established(outgoing)
    await outgoing.send(b"hello", headers=SUCCESS)
    confirm(first, await got(first, b"hello"))
    await reported(outgoing, 403)
    await outgoing.send(b"again", headers=[("Failure-Report", "no")])
    await got(first, b"again")
    await no_report(outgoing)
    await outgoing.hang_up()
    await first.wait_bye()


@scenario()
async def list_is_cancelled(world):
    """CANCEL before anybody answers: 487, and each pending leg is cancelled; who answers all the same is hung up on."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    before = await world.gauges()
    outgoing = offer(alice, [bob, carol], 5)
    first, second = await bob.expect_invite(), await carol.expect_invite()
    first.ring(), second.ring()
    await outgoing.transaction.provisional(180)
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    for invitation in (first, second):
        await invitation.server.wait_cancel()
    REQ("IM-9.3.1.2-1")
    for _ in range(400):
        now = await world.gauges()
        if all(now[name] <= before[name] for name in ("imserv_sessions", "imserv_msrp_legs")):
            return
        await asyncio.sleep(0.05)
    raise Failure("legs are left: %s, before %s" % (now, before))


@scenario()
async def sender_aborts(world):
    """'#', or a connection that is lost in mid-chunk: ended for who is there, nothing is kept for who is away, and the next
    message goes through."""
    by_both_passes(world)
    alice, bob = await clients(world, "alice", "bob")
    carol = await world.client("carol", register=False)
    outgoing = offer(alice, [bob, carol], 100000)
    first = await answered(bob)
    await established(outgoing)
    future = outgoing.leg.send_chunk(b"x" * 70000, "one", 1, 100000, "+")
    same((await outgoing.leg.outcome(future))[0], 200, "first chunk")
    outgoing.leg.send_chunk(b"y" * 100, "one", 70001, 100000, "#")
    same((await first.receive(20)).chunks[-1].flag, "#", "end of what was given up")
    content = b"z" * 100000
    await outgoing.send(content, chunk=20000)
    await got(first, content)
    tid, head = outgoing.leg.begin_request(headers=[("Message-ID", "two"), ("Byte-Range", "1-*/100000"), ("Content-Type", "a/b")])
    outgoing.leg.connection.write(head + b"\r\n" + b"h" * 90000)
    while not (first.leg.open and next(iter(first.leg.open.values())).length > 50000):
        await asyncio.sleep(0.01)
    outgoing.leg.connection.transport.abort()
    same((await first.receive(20)).chunks[-1].flag, "#", "end of what was lost")
    kept, = await stored(world, carol, 1)
    same(kept.content, content, "stored")
    await first.wait_bye(20)


@scenario()
async def recipient_dies(world):
    """One closes his connection in mid-chunk, one says BYE: the third gets all of it, and the sender one REPORT of
    the failure."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    content = secrets.token_bytes(150000)
    outgoing = offer(alice, [bob, carol, dave], len(content))
    first, second, third = [await answered(user) for user in (bob, carol, dave)]
    await established(outgoing)
    future = outgoing.leg.send_chunk(content[:70000], "m", 1, len(content), "+", headers=SUCCESS)
    same((await outgoing.leg.outcome(future))[0], 200, "first chunk")
    second.leg.connection.transport.abort()
    await third.hang_up()
    future = outgoing.leg.send_chunk(content[70000:], "m", 70001, len(content), "$", headers=SUCCESS)
    same((await outgoing.leg.outcome(future))[0], 200, "second chunk")
    confirm(first, await got(first, content))
    report = await asyncio.wait_for(outgoing.leg.reports.get(), 20)
    check(report.get("Status").split()[1] != "200", "success although two have left: %s" % report.get("Status"))
    await outgoing.hang_up()
    await first.wait_bye()
    await second.wait_bye()


@scenario(modes=("standalone",), own={"limits.max_adhoc_group": "4", "limits.uri_list": "6", "limits.max_size_1tom": "1000",
                                      "limits.max_size_file": "2000", "policy.allow_anonymity": "false"}, once=True)
async def refusals_of_lists(world):
    """Each check and its code, in their order: list, number, anonymity, description, sizes (F19, D1-06, D1-20)."""
    alice, bob = await clients(world, "alice", "bob")
    users = ["sip:u%d@example.com" % i for i in range(7)]

    async def refused(status, warning=None, **more):
        more.setdefault("users", [bob])
        response = await offer(alice, more.pop("users"), **more).transaction.final()
        same(response.status, status, "INVITE with %s" % more)
        if warning:
            check(warning in "".join(response.all("Warning")), "Warning %s" % response.all("Warning"))
    await refused(400, users=users)
    await refused(486, "Too many participants", users=users[:4])
    REQ("IM-9.3.1.1-1")
    await refused(400, users=[])
    await refused(400, users=[alice])
    response = await alice.invite(FACTORY, direction="sendonly", extra=["a=filesize:5"]).transaction.final()
    same(response.status, 400, "INVITE without a list")
    await refused(403, size=1001)
    await refused(403, size=2001, extra=["a=filename:x"])
    await refused(488, size=5, extra=["a=filelength:6"])
    response = await alice.invite(FACTORY, direction="sendonly", headers=[("Privacy", "id")],
                                  edit=lambda body: multipart(body, [bob]), content_type="multipart/mixed;boundary=b"
                                  ).transaction.final()
    same(response.status, 403, "anonymous INVITE")
    await bob.quiet(0.05)
    outgoing = offer(alice, [bob], 1500, extra=["a=filename:x"])
    first = await answered(bob)
    await established(outgoing)
    codes = await outgoing.leg.send(b"x" * 2001, chunk=1000)
    same(codes[0], 413, "a file that is larger than one may be")
    await outgoing.send(b"x" * 1500)
    await got(first, b"x" * 1500)
    await outgoing.hang_up()
    await first.wait_bye()


@scenario()
async def large_message_to_a_group(world):
    """Its members but the sender are called, the group asserts itself; who may not begin a session of it, hides, or says
    that he is a focus is refused, and what is no group is 404 (F20)."""
    by_both_passes(world)
    alice, bob, carol, mallory = await clients(world, "alice", "bob", "carol", "mallory")
    away = await world.client("dave", register=False)
    uri = await group(world, alice, "group" + alice.name, [alice, bob, carol, away])
    REQ("IM-9.3.1.1-2")

    async def refused(user, status, warning=None, target=uri, **more):
        response = await offer(user, None, 5, target + ";session=prearranged", **more).transaction.final()
        same(response.status, status, "INVITE of %s to %s" % (user.name, target))
        check(not warning or warning in "".join(response.all("Warning")), "Warning %s" % response.all("Warning"))
    await refused(mallory, 403)
    await refused(alice, 404, "Conference URI does not exist", "sip:groupnone@example.com")
    await refused(alice, 403, "isfocus already assigned", headers=[("Contact", alice.contact + ";isfocus")])
    await refused(alice, 403, headers=[("Privacy", "id")])
    outgoing = offer(alice, None, 5, uri + ";session=prearranged")
    first, second = await bob.expect_invite(), await carol.expect_invite()
    REQ("IM-9.3.2.1-3", "IM-9.3.2.1-4")
    await first.accept(direction="recvonly")
    await second.accept(direction="recvonly")
    await established(outgoing)
    same(sip.address(outgoing.response.get("P-Asserted-Identity"))[1], uri, "P-Asserted-Identity of the 200")
    await outgoing.send(b"hello", headers=SUCCESS)
    for session in (first, second):
        confirm(session, await got(session, b"hello"))
    await reported(outgoing, 200)
    kept, = kept_for(world, away)
    same(kept.content, b"hello", "stored for the member who is away")
    await outgoing.hang_up()
    await first.wait_bye()
    await second.wait_bye()


@scenario()
async def group_in_a_list(world):
    """A group among the recipients is its members, each once (D1-20)."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, "group" + alice.name, [alice, bob, carol])
    outgoing = offer(alice, [bob, uri], 5)
    first, second = await answered(bob), await answered(carol)
    await established(outgoing)
    await outgoing.send(b"hello")
    for session in (first, second):
        await got(session, b"hello")
    await bob.quiet(0.05)
    await outgoing.hang_up()
    await first.wait_bye()
    await second.wait_bye()


@scenario(modes=("standalone",), seconds=60)
async def many_recipients(world):
    """Thirty recipients, some of whom are away and some of whom answer late: each gets all of a message that is far larger
    than what may wait for one of them."""
    alice = await world.client("alice")
    users = [await world.client("u") for _ in range(20)]
    away = [await world.client("v", register=False) for _ in range(10)]
    content = secrets.token_bytes(1 << 20)
    outgoing = offer(alice, users + away, len(content))
    invitations = [await user.expect_invite() for user in users]
    for invitation in invitations[5:]:
        await invitation.accept(direction="recvonly")
    await established(outgoing)
    sending = asyncio.ensure_future(outgoing.send(content, chunk=100000, headers=SUCCESS, seconds=40))
    while not invitations[5].leg.open:
        await asyncio.sleep(0.01)
    for invitation in invitations[:5]:
        await invitation.accept(direction="recvonly")
    await sending
    for invitation in invitations[5:]:
        confirm(invitation, await got(invitation, content))
    for invitation in invitations[:5]:
        await got(invitation, content)
    await reported(outgoing, 200)
    for user in away:
        same(kept_for(world, user)[0].digest, hashlib.sha256(content).hexdigest(), "stored for " + user.name)
    same(contents_of(world, away), 1, "contents on the disk")
    await outgoing.hang_up()
    for invitation in invitations:
        await invitation.wait_bye()


@scenario(modes=("standalone",), own={"runtime.drain": "200ms"}, once=True, settle=False)
async def lists_are_drained(world):
    """The server stops while one list rings, one has a message half sent and one waits for somebody who is late: whoever
    has a dialog gets BYE, who rings is cancelled, and nothing is left behind."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    away = await world.client("dave", register=False)
    ringing = offer(alice, [bob, away], 5)
    rings = await bob.expect_invite()
    rings.ring()
    await ringing.transaction.provisional(180)
    half = offer(alice, [bob, carol, away], 300000)
    first, late = await bob.expect_invite(), await carol.expect_invite()
    late.ring()
    await first.accept(direction="recvonly")
    await established(half)
    future = half.leg.send_chunk(b"x" * 200000, "half", 1, 300000, "+")
    same((await half.leg.outcome(future))[0], 200, "first chunk")
    world.server.terminate()
    same((await ringing.transaction.final()).status, 503, "INVITE that rang")
    await rings.server.wait_cancel()
    await first.wait_bye()
    await half.dialog.wait_bye()
    await late.server.wait_cancel()
