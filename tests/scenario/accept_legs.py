"""Large messages to lists and groups of which one leg fails, one after the other in each way, or the sender: as somebody
outside reads the specification (9.3, F19 to F21, D1-19, D2-44, design.md 5, RFC 4975)."""
import asyncio
import hashlib
import re
import secrets

from accept_files import asked, begun, over
from conference import contact_of
from large import kept_for, nothing_is_left
from large_list import FACTORY, SUCCESS, by_both_passes, clients, confirm, got, no_report, offer, reported
from large_list import established as established_by_focus
from lists import listed
from ua import Failure, REQ, check, same, sip
from world import DOMAIN, scenario

SEVERAL = ("list", "group")
MIB = 1 << 20


async def failure(outgoing, seconds=70):
    """The sender's one REPORT, of a failure (at most 60 s after the last chunk)."""
    report = await asyncio.wait_for(outgoing.leg.reports.get(), seconds)
    namespace, status = report.get("Status").split()[:2]
    check(namespace == "000" and status != "200", "REPORT %s although one has failed" % report.get("Status"))
    check(report.get("Message-ID"), "REPORT without Message-ID")
    await no_report(outgoing)
    return int(status)


def answering(code):
    """Who answers each chunk that has octets with this; 0: with nothing."""
    def answer(chunk, respond):
        if not chunk.has_body:
            respond(200)
        elif code:
            respond(code)
    return answer


@scenario(seconds=90)
async def bad_answers_to_the_invite(world):
    """One of two refuses, declines the file, or answers with a description that is none or leads nowhere: his 200 is
    acknowledged and ended, the other gets it all, and the sender hears of it in one REPORT."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    ways = {"busy": None, "declined": lambda body: re.sub(rb"m=message \d+", b"m=message 0", body),
            "no path": lambda body: re.sub(rb"a=path:[^\r]*\r\n", b"", body),
            "no port": lambda body: re.sub(rb"127\.0\.0\.1:\d+/", b"127.0.0.1:1/", re.sub(rb"m=message \d+", b"m=message 1", body)),
            "no SDP": lambda body: b"hello", "other types": lambda body: body.replace(b"m=message", b"m=audio")}
    for kind in SEVERAL:
        for way, edit in ways.items():
            outgoing = await asked(world, kind, alice, [bob, carol], 5)
            first, second = await bob.expect_invite(), await carol.expect_invite()
            if edit:
                await first.accept(direction="recvonly", edit=edit, wait=False)
            else:
                first.refuse(486)
            accepting = asyncio.ensure_future(second.accept(direction="recvonly"))
            await established_by_focus(outgoing)
            await accepting
            await outgoing.send(b"hello", headers=SUCCESS)
            confirm(second, await got(second, b"hello"))
            await failure(outgoing)
            if edit:
                await first.wait_bye(20)
            await over(outgoing, second)
            REQ("IM-9.3.2.1-13", "IM-9.3.1.1-6")


@scenario(seconds=90)
async def bad_answers_to_the_message(world):
    """A recipient who answers 400, 403, 413 or 415 has ended that message for himself, the next one reaches him; 481 and
    a lost connection end his leg. The sender's own responses are all 200, and one REPORT tells of the failure."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    content = secrets.token_bytes(120000)
    for kind in SEVERAL:
        for code in (400, 403, 413, 415, 481):
            outgoing, (first, second) = await begun(world, kind, alice, [bob, carol], len(content))
            first.leg.answer = answering(code)
            await outgoing.send(content, chunk=40000, headers=SUCCESS)
            confirm(second, await got(second, content))
            await failure(outgoing)
            if code == 481:
                bye = await first.wait_bye(20)
                check(bye.get("Reason"), "BYE without Reason to who answered 481")
                await over(outgoing, second)
                continue
            first.leg.answer = lambda chunk, respond: respond(200)
            await outgoing.send(b"again", message_id="again", headers=SUCCESS)
            while (message := await first.receive(20)).id != "again":
                check(message.flag in ("#", "$"), "a message without end")  # `$`: all was on its way before he refused
            same(bytes(message.body), b"again", "the next one")
            confirm(first, message)
            confirm(second, await got(second, b"again"))
            await reported(outgoing, 200)
            await over(outgoing, first, second)


@scenario()
async def reports_of_the_recipients(world):
    """A failure in a recipient's REPORT is the sender's; a success is one when it covers all octets, in whatever pieces; a
    recipient who reports twice is no two."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    content = secrets.token_bytes(5000)

    def report(session, message, first, last):
        tid, head = session.leg.begin_request("REPORT", [
            ("Message-ID", message.id), ("Byte-Range", "%d-%d/%d" % (first, last, message.length)), ("Status", "000 200 OK")])
        session.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
    for kind in SEVERAL:
        outgoing, (first, second) = await begun(world, kind, alice, [bob, carol], len(content))
        await outgoing.send(content, chunk=2000, headers=SUCCESS, message_id="pieces")
        one, two = await got(first, content), await got(second, content)
        confirm(first, one)
        confirm(first, one)
        report(second, two, 1, 2000)
        report(second, two, 1001, 4000)
        for session in (first, second):
            await session.leg.empty()
        await no_report(outgoing)
        report(second, two, 4001, 5000)
        same((await reported(outgoing, 200)).get("Message-ID"), "pieces", "Message-ID")
        await no_report(outgoing)
        await outgoing.send(content, headers=SUCCESS)
        one, two = await got(first, content), await got(second, content)
        confirm(first, one, 413)
        confirm(second, two)
        await failure(outgoing)
        await over(outgoing, first, second)


@scenario(own={"timers.msrp_transaction": "4s", "limits.connect_to": "any"}, seconds=90)
async def recipients_who_fall_silent(world):
    """Who takes the octets and never answers, and who does not read at all: the third gets it all, the sender's chunks are
    answered, and he is told of the failure; the silent ones get BYE with a Reason."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    content = secrets.token_bytes(3 * MIB)
    outgoing, (first, second, third) = await begun(world, "list", alice, [bob, carol, dave], len(content))
    first.leg.answer = answering(0)
    second.leg.connection.shrink()
    second.leg.connection.transport.pause_reading()
    await outgoing.send(content, chunk=100000, headers=SUCCESS, seconds=40)
    confirm(third, await got(third, content))
    for session in (first, second):
        bye = await session.wait_bye(70)
        check("cause=480" in bye.get("Reason", ""), "Reason %r" % bye.get("Reason"))
    await failure(outgoing)
    await outgoing.send(b"still here", headers=SUCCESS)
    message = await got(third, b"still here")
    confirm(third, message)
    await over(outgoing, third)


# --- the sender ---
@scenario()
async def sender_leaves_in_mid_message(world):
    """BYE, or a connection that is lost, before the last chunk: who is there sees `#` and BYE, for who is away nothing is
    stored, and nothing listens any more."""
    by_both_passes(world)
    alice, bob = await clients(world, "alice", "bob")
    dave = await world.client("dave", register=False)
    for kind in SEVERAL:
        for way in ("bye", "lost"):
            outgoing = await asked(world, kind, alice, [bob, dave], 200000)
            session = await bob.expect_invite()
            accepting = asyncio.ensure_future(session.accept(direction="recvonly"))
            await established_by_focus(outgoing)
            await accepting
            future = outgoing.leg.send_chunk(b"x" * 90000, "half", 1, 200000, "+", headers=SUCCESS)
            same((await outgoing.leg.outcome(future))[0], 200, "first chunk")
            if way == "bye":
                await outgoing.hang_up()
            else:
                outgoing.leg.connection.transport.abort()
            message = await session.receive(20)
            same((message.flag, message.length), ("#", 90000), "what arrived")
            await session.wait_bye(30)
            if way == "lost":
                await outgoing.dialog.wait_bye(30)
            await nothing_is_left(world, dave)
            REQ("IM-9.1.3-5", "IM-9.3.2.1-14")


@scenario()
async def cancelled_at_each_time(world):
    """F21: CANCEL when one has refused, one rings and one is away: 487, the ringing is cancelled, nothing is stored; CANCEL
    that crosses a 200: whoever answered has ACK and BYE; CANCEL of what is over, or never was, is answered and harms
    nothing."""
    by_both_passes(world)
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    dave = await world.client("dave", register=False)
    for kind in SEVERAL:
        members = [bob, carol]
        outgoing = await asked(world, kind, alice, members, 5)
        first, second = [await user.expect_invite() for user in members]
        first.refuse(486)
        second.ring()
        await outgoing.transaction.provisional(180)
        same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
        same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
        await second.server.wait_cancel()
        REQ("IM-9.3.1.2-1")
        outgoing = await asked(world, kind, alice, members, 5)
        first, second = [await user.expect_invite() for user in members]
        second.ring()
        await outgoing.transaction.provisional(180)
        cancelling = outgoing.transaction.cancel()
        await first.accept(direction="recvonly", wait=False)
        check((await cancelling.final()).status in (200, 481), "CANCEL that crosses")
        final = await outgoing.transaction.final()
        check(final.status in (200, 487), "INVITE got %s" % final)
        if final.status == 200:
            await outgoing.dialog.hang_up()
        await first.wait_bye(20)
        await second.server.wait_cancel()
    await nothing_is_left(world, dave)
    outgoing, sessions = await begun(world, "list", alice, [bob, carol], 5)
    check((await outgoing.transaction.cancel().final()).status in (200, 481), "CANCEL afterwards")
    await outgoing.send(b"hello")
    for session in sessions:
        await got(session, b"hello")
    await over(outgoing, *sessions)


# --- refusals, and lists that are too long ---
@scenario(own={"policy.offline_large": "reject"})
async def nobody_stores(world):
    """Where nothing is kept, who is away is a leg that failed: alone the sender's answer, with others one REPORT."""
    by_both_passes(world)
    alice, bob = await clients(world, "alice", "bob")
    dave = await world.client("dave", register=False)
    for kind in SEVERAL:
        outgoing = await asked(world, kind, alice, [dave], 5)
        status = (await outgoing.transaction.final()).status
        check(status in ((403, 480) if world.ims else (480,)), "INVITE of a list that is away got %d" % status)
        outgoing = await asked(world, kind, alice, [dave, bob], 5)
        session = await bob.expect_invite()
        accepting = asyncio.ensure_future(session.accept(direction="recvonly"))
        await established_by_focus(outgoing)
        await accepting
        await outgoing.send(b"hello", headers=SUCCESS)
        confirm(session, await got(session, b"hello"))
        await failure(outgoing)
        await over(outgoing, session)
    same(kept_for(world, dave), [], "kept for dave")


@scenario()
async def lists_at_other_addresses(world):
    """A list at an address that is neither factory nor group: 404, as MESSAGE and as INVITE, and nobody gets anything."""
    alice, bob = await world.pair()
    for uri in ("sip:factory2@" + DOMAIN, "sip:groupfactory@%s;session=adhoc" % DOMAIN):
        response = await offer(alice, [bob], 5, uri, require=False).transaction.final()
        same(response.status, 404, "INVITE to " + uri)
        final = await alice.ask("MESSAGE", uri, content_type='multipart/mixed;boundary="b7"',
                                body=listed([bob.uri], (b"hello", "text/plain")))
        same(final.status, 404, "MESSAGE to " + uri)
        REQ("IM-8.3.1.1-3", "IM-9.3.1.1-1")
    await bob.quiet(0.1)


@scenario(transports=("tcp",), own={"limits.uri_list": "10000", "limits.max_adhoc_group": "100", "limits.xml_bytes": "2MiB"}, once=True)
async def invitations_of_a_thousand(world):
    """1000 entries: of one user he is invited once, of as many users 486, and nobody is invited."""
    alice, bob = await world.pair()
    response = await offer(alice, [bob] + ["sip:n%d@%s" % (i, DOMAIN) for i in range(999)], 5).transaction.final()
    check(response.status in (413, 486, 513), "1000 users got %s" % response)
    check(response.status != 486 or "Too many participants" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    await bob.quiet(0.1)
    outgoing = offer(alice, [bob] * 1000, 5)
    try:
        invitation = await bob.expect_invite(3)
        invitation.refuse(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE of one who is named 1000 times")
    except Failure:
        check((await outgoing.transaction.final()).status in (413, 513), "1000 times the same got %s" % outgoing.transaction.last)
    await bob.quiet(0.05)
    outgoing, sessions = await begun(world, "list", alice, [bob] * 1, 5)
    await outgoing.send(b"hello")
    await got(sessions[0], b"hello")
    await over(outgoing, *sessions)


@scenario(transports=("udp",))
async def list_invite_is_retransmitted(world):
    """The same INVITE thrice: one INVITE to each, one answer."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = offer(alice, [bob, carol], 5)
    for _ in range(2):
        alice.endpoint.send(outgoing.transaction.request, alice.flow)
    sessions = [await user.expect_invite() for user in (bob, carol)]
    same(len({session.request.call_id for session in sessions}), 2, "Call-IDs")
    for session in sessions:
        contact_of(session.request)
    answering_both = [asyncio.ensure_future(session.accept(direction="recvonly")) for session in sessions]
    await established_by_focus(outgoing)
    for task in answering_both:
        await task
    await outgoing.send(b"hello")
    for session in sessions:
        await got(session, b"hello")
    await bob.quiet(0.05)
    await carol.quiet(0.05)
    tags = {m.to_tag for m in alice.log if m.method is None and m.call_id == outgoing.transaction.request.call_id and m.status == 200}
    same(len(tags), 1, "To tags of the answers")
    await over(outgoing, *sessions)
    REQ("IM-9.3.2.1-2", "IM-9.3.2.1-9", "IM-9.3.2.1-10")
