"""Rooms as a chatting outsider finds them: what is said reaches everybody else once, whole and in order, whoever joins,
leaves, breaks off or does not read; private messages and nicknames (F24-7, F30; design.md 5; RFC 4975, RFC 7701)."""
import asyncio
import hashlib

from conference import begun, clients, contact_of, heard
from conference_state import focus_of, watched, watching
from ua import REQ, check, msrp, same, sip
from world import DOMAIN, scenario

CHAT = ("a=chatroom:nickname private-messages",)


def cpim(sender, to, text):
    return ("From: <%s>\r\nTo: <%s>\r\nDateTime: 2026-01-01T00:00:00Z\r\n\r\nContent-Type: text/plain\r\n\r\n%s" % (
        sender, to, text)).encode()


async def take(listener, count):
    """The next messages: {Message-ID: digest}, each once, all whole."""
    got = {}
    for _ in range(count):
        message = await listener.receive()
        same(message.flag, "$", "end of %s at %s" % (message.id, listener.agent.name))
        check(message.id not in got, "%s came twice" % message.id)
        got[message.id] = message.digest
    check(listener.leg.messages.empty(), "more than was sent")
    return got


async def speak(session, pieces):
    """Messages of (octets, octets of a chunk), one after the other: {Message-ID: digest}."""
    said = {}
    for number, (size, chunk) in enumerate(pieces):
        body = b"".join(msrp.pattern(size))
        name = "%s-%d-%s" % (session.agent.name, number, sip.token(4))
        said[name] = hashlib.sha256(body).hexdigest()
        codes = await session.leg.send(body, chunk, message_id=name, content_type="application/octet-stream")
        same(set(codes), {200}, "what %s was answered" % session.agent.name)
    return said


async def two_at_once(world, one, other):
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    from_alice, from_bob = await asyncio.gather(speak(outgoing, one), speak(at_bob, other))
    same(await take(at_bob, len(one)), from_alice, "what bob heard")
    same(await take(outgoing, len(other)), from_bob, "what alice heard")
    got = await take(at_carol, len(one) + len(other))
    same(got, {**from_alice, **from_bob}, "what carol heard")
    for said in (from_alice, from_bob):
        same([name for name in got if name in said], list(said), "order")
    REQ("IM-7.2.1.2-16", "IM-7.2.2.2-15")
    await outgoing.hang_up()
    await at_bob.wait_bye()
    await at_carol.wait_bye()


@scenario()
async def two_senders_at_once(world):
    """Both are heard whole and in their order by the third, in chunks of 1 octet to 32 KiB; Message-IDs are kept."""
    await two_at_once(world, [(30, 1), (5000, 2048), (20000, 7000), (1, 1), (32768, 32768)],
                      [(300, 7), (2049, 2049), (40, 1), (30000, 2047), (9, 9)])


@scenario(own={"limits.leg_high": "16MiB"}, once=True)
async def two_senders_of_large_chunks(world):
    """The same with chunks up to 1 MiB: they interleave."""
    await two_at_once(world, [(1 << 20, 1 << 20), (10, 1), (3 << 20, 1 << 20)],
                      [(20, 1), (1 << 20, 65536), (1 << 20, 1 << 20)])


@scenario()
async def all_talk(world):
    """Six who talk at the same time: each hears the five others, each of them in his order, and never himself."""
    users = await clients(world, "alice", "bob", "carol", "dave", "erin", "frank")
    outgoing, others = await begun(world, *users[1:], by=users[0])
    sessions = [outgoing, *others]
    said = await asyncio.gather(*(speak(session, [(50, 50)] * 4) for session in sessions))
    for session, own in zip(sessions, said):
        got = await take(session, 20)
        for theirs in said:
            expected = [] if theirs is own else list(theirs)
            same([name for name in got if name in theirs], expected, "what %s heard" % session.agent.name)
    await outgoing.hang_up()
    for session in others:
        await session.wait_bye()


@scenario()
async def late_joiner(world):
    """Who comes back in the middle of a message hears the next one first, and whole; who was there hears both."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    focus = contact_of(at_carol.request)
    await at_carol.hang_up()
    body = b"".join(msrp.pattern(8000))
    first = outgoing.leg.send_chunk(body[:4000], "half", 1, 8000, "+", "application/octet-stream")
    same((await outgoing.leg.outcome(first))[0], 200, "first half")
    back = await carol.invite(focus).established()
    last = outgoing.leg.send_chunk(body[4000:], "half", 4001, 8000, "$", "application/octet-stream")
    same((await outgoing.leg.outcome(last))[0], 200, "second half")
    await outgoing.send("next")
    whole = await at_bob.receive()
    same((whole.length, whole.digest), (8000, hashlib.sha256(body).hexdigest()), "what bob heard")
    await heard("next", at_bob, back)
    await outgoing.hang_up()
    await at_bob.wait_bye()
    await back.wait_bye()


@scenario()
async def breaks_off_in_a_chunk(world):
    """A sender whose connection ends within a chunk: nobody takes that message for whole, the others go on at once, and
    he gets BYE with a Reason."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    tid, head = at_bob.leg.begin_request(headers=[
        ("Message-ID", "broken"), ("Byte-Range", "1-*/100000"), ("Content-Type", "application/octet-stream")])
    at_bob.leg.connection.write(head + b"\r\n" + b"x" * 20000)
    while not at_carol.leg.octets:        # the beginning is on its way already
        await asyncio.sleep(0.01)
    at_bob.leg.connection.transport.abort()
    await outgoing.send("go on")
    flags = {}
    for listener in (at_carol,):
        while "$" not in flags.values():
            message = await listener.receive()
            flags[message.id] = message.flag
            if message.flag == "$":
                same(bytes(message.body), b"go on", "what %s heard" % listener.agent.name)
        same(flags.pop("broken", "#"), "#", "end of the broken message")
    bye = await at_bob.wait_bye()
    check(bye.get("Reason"), "BYE without Reason")
    REQ("IM-7.2.1.9-1", "IM-7.2.1.9-2", "IM-7.2.1.9-3")
    await at_carol.send("still here")
    while True:
        message = await outgoing.receive()
        if message.flag == "$":
            break
    same(bytes(message.body), b"still here", "what alice heard")
    await outgoing.hang_up()
    await at_carol.wait_bye()


@scenario(own={"limits.leg_high": "64KiB", "limits.leg_low": "16KiB"}, once=True, seconds=90)
async def never_reads(world):
    """Who does not read is dropped with a Reason; all others hear everything."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    at_bob.leg.connection.shrink(4096)
    at_bob.leg.connection.transport.pause_reading()
    body = b"".join(msrp.pattern(16000))
    for number in range(4000):
        same(await outgoing.leg.send(body, 2000, content_type="application/octet-stream"), [200] * 8, "answers to alice")
        got = await at_carol.receive()
        same((got.length, got.flag), (16000, "$"), "message %d" % number)
        if at_bob.dialog.ended.is_set():
            break
    bye = await at_bob.wait_bye()
    check(bye.get("Reason"), "BYE without Reason")
    await outgoing.send("he is gone")
    await heard("he is gone", at_carol)
    await outgoing.hang_up()
    await at_carol.wait_bye()


@scenario()
async def refuses_one_message(world):
    """A member who answers 413 hears no more of that message but stays; the sender is told so once, and the others have
    all of it (D2-44, design.md 5)."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    at_bob.leg.answer = lambda chunk, respond: respond(413, "enough")
    body = b"".join(msrp.pattern(12000))
    await outgoing.leg.send(body, 2000, message_id="much", content_type="application/octet-stream")
    whole = await at_carol.receive()
    same((whole.length, whole.digest), (12000, hashlib.sha256(body).hexdigest()), "what carol heard")
    at_bob.leg.answer = lambda chunk, respond: respond(200)
    await outgoing.send("and now")
    await heard("and now", at_carol)
    while True:
        message = await at_bob.receive()
        if message.id != "much":
            break
    same(bytes(message.body), b"and now", "what bob heard then")
    await outgoing.hang_up()
    await at_bob.wait_bye()
    await at_carol.wait_bye()


@scenario()
async def confirmed_by_all(world):
    """Success-Report: yes goes to all; the sender gets one REPORT when the last one has confirmed (D2-44)."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (at_bob, at_carol) = await begun(world, bob, carol, by=alice)
    same(await outgoing.leg.send(b"sure?", message_id="sure", headers=[("Success-Report", "yes")]), [200], "answer")
    for listener in (at_bob, at_carol):
        message = await listener.receive()
        same(message.chunks[0].get("Success-Report"), "yes", "Success-Report at %s" % listener.agent.name)
        same(message.id, "sure", "Message-ID")
        check(outgoing.leg.reports.empty(), "a REPORT before all have confirmed")
        tid, head = listener.leg.begin_request("REPORT", [
            ("Message-ID", message.id), ("Byte-Range", "1-5/5"), ("Status", "000 200 OK")])
        listener.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
    report = await asyncio.wait_for(outgoing.leg.reports.get(), world.patience)
    same((report.get("Message-ID"), report.get("Status").split()[:2]), ("sure", ["000", "200"]), "REPORT")
    same(report.get("Byte-Range"), "1-5/5", "Byte-Range of the REPORT")
    await outgoing.send("next")
    await heard("next", at_bob, at_carol)
    check(outgoing.leg.reports.empty(), "a second REPORT")
    await outgoing.hang_up()
    await at_bob.wait_bye()
    await at_carol.wait_bye()


# --- RFC 7701 ---
async def nickname(session, name):
    """The status of a NICKNAME; `name` as it stands in Use-Nickname, None: without."""
    tid, head = session.leg.begin_request("NICKNAME", [("Use-Nickname", name)] if name is not None else [])
    future = session.leg.expect_response(tid)
    session.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
    return (await session.leg.outcome(future))[0]


async def chatroom(world, *users, plain=()):
    """A conference whose clients know chat rooms, but for those who are `plain`."""
    outgoing = users[0].invite_list(users[1:], extra=CHAT)
    invitations = [await user.expect_invite() for user in users[1:]]
    for invitation in invitations:
        offered = invitation.offer.attribute("chatroom")
        check(offered is not None and "nickname" in offered, "a=chatroom of the offer %r" % offered)
        await invitation.accept(extra=() if invitation.agent in plain else CHAT)
    await outgoing.established()
    answered = outgoing.answer.attribute("chatroom")
    check(answered is not None and set(answered.split()) >= {"nickname", "private-messages"},
          "a=chatroom of the answer %r" % answered)
    return [outgoing, *invitations]


@scenario()
async def nicknames(world):
    """RFC 7701 7: a name is one's own until he gives it back or leaves; the same for another is 425, no name at all 424."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, at_bob, at_carol = await chatroom(world, alice, bob, carol)
    same(await nickname(outgoing, '"Alice the great"'), 200, "a nickname")
    same(await nickname(outgoing, '"Alice the great"'), 200, "one's own nickname again")
    same(await nickname(at_bob, '"Alice the great"'), 425, "another's nickname")
    for malformed in (None, "unquoted", '"never closed'):
        same(await nickname(at_bob, malformed), 424, "Use-Nickname: %s" % malformed)
    same(await nickname(at_bob, '"Bob"'), 200, "a nickname")
    same(await nickname(outgoing, '""'), 200, "none any more")
    same(await nickname(at_bob, '"Alice the great"'), 200, "one that was given back")
    same(await nickname(at_carol, '"Bob"'), 200, "one that was changed for another")
    await at_carol.hang_up()
    await outgoing.send("who is Bob")
    await heard("who is Bob", at_bob)
    same(await nickname(outgoing, '"Bob"'), 200, "one of somebody who has left")
    await outgoing.hang_up()
    await at_bob.wait_bye()


@scenario()
async def private_messages(world):
    """RFC 7701 6: message/cpim to one participant reaches him alone; to one who is not there 404, to one whose client does
    not know it 428; to the room all."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    outgoing, at_bob, at_carol, at_dave = await chatroom(world, alice, bob, carol, dave, plain=[dave])
    focus = contact_of(at_bob.request)

    async def say(speaker, to, text):
        codes = await speaker.leg.send(cpim(speaker.agent.uri, to, text), content_type="message/cpim")
        same(len(codes), 1, "answers")
        return codes[0]

    same(await say(outgoing, bob.uri, "between us"), 200, "to bob alone")
    same(await say(outgoing, "sip:nobody@" + DOMAIN, "anybody?"), 404, "to one who is not there")
    same(await say(outgoing, dave.uri, "you too"), 428, "to one whose client does not know it")
    same(await say(at_bob, alice.uri, "yes"), 200, "to alice alone")
    same(await say(at_carol, focus, "for all"), 200, "to the room")
    for listener, texts in ((at_bob, ("between us", "for all")), (outgoing, ("yes", "for all")), (at_dave, ("for all",))):
        for text in texts:
            message = await listener.receive()
            same(message.content_type, "message/cpim", "Content-Type")
            check(bytes(message.body).endswith(text.encode()), "%s heard %r instead of %r" % (
                listener.agent.name, bytes(message.body), text))
    await outgoing.send("the end")
    await heard("the end", at_bob, at_carol, at_dave)
    await outgoing.hang_up()
    for session in (at_bob, at_carol, at_dave):
        await session.wait_bye()


@watched(seconds=60)
async def seen_by_nickname(world):
    """D1-38: those who watch see the nickname; who hides is written to under the name that they see, and he alone gets
    that; who is lost is seen to be gone."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing = alice.invite_list([bob, carol], extra=CHAT)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    await to_bob.accept(extra=CHAT, headers=[("Privacy", "id")])
    await outgoing.established()
    await to_carol.accept(extra=CHAT)
    same(await nickname(to_carol, '"Caz"'), 200, "a nickname")
    watcher = await watching(alice, focus_of(outgoing))
    while watcher.view.names.get(carol.uri) != "Caz":
        await watcher.told()
    REQ("IM-7.2.2.11-12", "IM-7.2.2.11-13")
    hidden, = [entity for entity in watcher.view.users if "anonymous" in entity]
    same(await outgoing.leg.send(cpim(alice.uri, hidden, "psst"), content_type="message/cpim"), [200], "to one who hides")
    await outgoing.send("to all")
    check(bytes((await to_bob.receive()).body).endswith(b"psst"), "what bob heard")
    await heard("to all", to_bob, to_carol)
    to_carol.leg.connection.transport.abort()
    await watcher.until(carol.uri, None)
    await to_carol.wait_bye()
    REQ("IM-7.2.1.9-5", "IM-7.2.1.9-6")
    await outgoing.hang_up()
    await watcher.gone()
    await to_bob.wait_bye()
