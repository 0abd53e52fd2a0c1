"""What the receiving side takes (RFC 4975 8.6, D1-17, design 5): types that are not accepted get 415, messages that
are too large 413, at their head, without its ever hearing of them; statuses of the far side pass as they are."""
import asyncio
import secrets

from changes import accepted, ask, asked, describe, take
from ua import check, same, sdp
from world import scenario

CPIM = b"From: <im:a@example.com>\r\nTo: <im:b@example.com>\r\n\r\nContent-Type: %s\r\n\r\nhello"
COMPOSING = "application/im-iscomposing+xml"
ANY = "text/plain message/cpim *"


async def agreed(world, offered=ANY, answered=ANY, alice=None, bob=None, edit=None, extra=()):
    """A session whose sides accept these types; more lines may stand behind them."""
    alice, bob = alice or await world.client("alice"), bob or await world.client("bob")
    outgoing = alice.invite(bob, accept=offered, edit=edit, extra=extra)
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(accept=answered))
    await outgoing.established()
    await accepting
    return outgoing, invitation


async def end(sa, sb):
    await sa.hang_up()
    await sb.wait_bye()


async def status_of(leg, body, content_type, **more):
    more.setdefault("total", len(body))
    return (await leg.outcome(leg.send_chunk(body, secrets.token_hex(6), content_type=content_type, **more)))[0]


async def passes(sender, receiver, body, content_type):
    same(await status_of(sender.leg, body, content_type), 200, "%s that is accepted" % content_type)
    got = await receiver.receive()
    same((bytes(got.body), got.content_type), (body, content_type), "what arrived")


async def is_refused(sender, receiver, body, content_type, status=415, **more):
    chunks = receiver.leg.chunks
    same(await status_of(sender.leg, body, content_type, **more), status, "%s that is not accepted" % content_type)
    await passes(sender, receiver, b"and on", "text/plain")  # nothing overtakes: what was refused had come before
    same(receiver.leg.chunks, chunks + 1, "chunks that arrived")


@scenario()
async def types_of_each_side(world):
    """A SEND of a type that the receiver's accept-types do not name gets 415; what he does name passes, whatever
    the case and the parameters, isComposing too; the types of one side do not bind what it sends itself."""
    sa, sb = await agreed(world, "text/plain image/*", "text/plain Text/HTML " + COMPOSING)
    for content_type in ("TEXT/plain", "text/plain;charset=UTF-8", "text/html; x=\"a;b\"", COMPOSING):
        await passes(sa, sb, b"hi", content_type)
    for content_type in ("image/png", "text/htm", "text/html5", "message/cpim", "application/octet-stream"):
        await is_refused(sa, sb, b"hi", content_type)
        await is_refused(sa, sb, b"x" * 300000, content_type)
    await passes(sb, sa, b"hi", "image/PNG;name=x")
    await is_refused(sb, sa, b"hi", "text/html")
    await is_refused(sb, sa, b"hi", COMPOSING)
    await end(sa, sb)


@scenario()
async def wrapped_types(world):
    """message/cpim passes unchanged if what it holds is in accept-wrapped-types or accept-types; a type that may
    be wrapped may not stand alone; who says nothing about wrapped types gets all of them."""
    sa, sb = await agreed(world, "message/cpim text/plain", "message/cpim text/plain\r\na=accept-wrapped-types:text/html")
    for inner in (b"text/html", b"TEXT/Plain; charset=utf-8"):
        await passes(sa, sb, CPIM % inner, "message/cpim")
    await is_refused(sa, sb, CPIM % b"image/png", "Message/CPIM")
    await is_refused(sa, sb, CPIM % b"image/png" + b"x" * 100000, "message/cpim")
    await is_refused(sa, sb, b"hi", "text/html")
    await passes(sb, sa, CPIM % b"image/png", "message/cpim")
    await is_refused(sb, sa, b"hi", "image/png")
    await end(sa, sb)


@scenario(once=True)
async def later_chunks_of_a_refused_message(world):
    """What is refused at its first chunk stays refused: RFC 4975 10.5 lets no more chunks of it follow."""
    sa, sb = await agreed(world, ANY, "message/cpim text/plain\r\na=accept-wrapped-types:text/html")
    pieces = [CPIM % b"image/png" + b"x" * 1000] + [b"y" * 2000] * 5
    total = sum(len(piece) for piece in pieces)
    at, futures = 1, []
    for i, piece in enumerate(pieces):
        futures.append(sa.leg.send_chunk(piece, "refused", at, total, "$" if i == 5 else "+", "message/cpim"))
        at += len(piece)
    same([(await sa.leg.outcome(f))[0] for f in futures], [415] * 6, "chunks of one message")
    await passes(sa, sb, b"and on", "text/plain")
    same(sb.leg.open, {}, "messages that B waits for")
    await end(sa, sb)


@scenario(once=True)
async def refusals_and_failure_report(world):
    """Failure-Report: no is answered by nothing, partial by the error."""
    sa, sb = await agreed(world, ANY, "text/plain")
    for wish, expected in (("no", None), ("partial", 415), ("yes", 415)):
        future = sa.leg.send_chunk(b"hi", "w" + wish, 1, 2, content_type="a/b", headers=[("Failure-Report", wish)])
        if expected:
            same((await sa.leg.outcome(future))[0], expected, "Failure-Report: " + wish)
        await passes(sa, sb, b"and on", "text/plain")
    same(sa.leg.connection.strays, [], "responses that nobody waits for")
    await end(sa, sb)


@scenario(once=True)
async def answer_without_types(world):
    """An answer that says nothing of types refuses none."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, accept="text/plain")
    invitation = await bob.expect_invite()
    body = sdp.build(invitation.leg.local, "passive").replace(b"a=accept-types:text/plain message/cpim\r\n", b"")
    check(b"accept-types" not in body, "the answer has types")
    edited = invitation.server.respond
    invitation.server.respond = lambda status, reason, more, _, content_type: edited(
        status, reason, more, body, content_type)
    accepting = asyncio.ensure_future(invitation.accept())
    world.witness.kinds.add("SDP of  to INVITE: no a=accept-types")  # it is the answer that passes through
    await outgoing.established()
    await accepting
    await passes(outgoing, invitation, b"hi", "any/thing")
    await is_refused(invitation, outgoing, b"hi", "any/thing")
    await end(outgoing, invitation)


@scenario(once=True)
async def types_that_change(world):
    """A re-INVITE brings other types of both sides; the connections stay, the new types hold."""
    sa, sb = await agreed(world, "text/plain", "text/plain")
    connection = sa.leg.connection
    await is_refused(sa, sb, b"hi", "text/html")
    for version, types, other in ((2, "text/plain text/html", "image/png"), (3, "text/plain image/png", "text/html")):
        change = ask(sa, describe(sa, version, accept=types))
        server, _ = await asked(sb)
        await take(sb, server, describe(sb, version, "passive", accept=types))
        await accepted(sa, change)
        for sender, receiver in ((sa, sb), (sb, sa)):
            await passes(sender, receiver, b"hi", types.split()[1])
            await is_refused(sender, receiver, b"hi", other)
    change = ask(sa, describe(sa, 4, accept="*"))
    server, _ = await asked(sb)
    server.respond(488, "Not Acceptable Here")
    same((await change.final()).status, 488, "change")
    await is_refused(sb, sa, b"hi", "text/html")  # as it was
    check(sa.leg.connection is connection, "the connection changed")
    await end(sa, sb)


@scenario(own={"policy.content_types": "[text/plain, message/cpim]"}, once=True)
async def types_of_the_operator(world):
    """policy.content_types binds what is sent whatever the receiver accepts, wrapped or not."""
    sa, sb = await agreed(world, ANY + "\r\na=accept-wrapped-types:*", ANY)
    for sender, receiver in ((sa, sb), (sb, sa)):
        await passes(sender, receiver, CPIM % b"text/plain", "message/cpim")
        await is_refused(sender, receiver, CPIM % b"text/html", "message/cpim")
        await is_refused(sender, receiver, b"hi", "text/html")
    await end(sa, sb)


@scenario()
async def size_that_the_receiver_takes(world):
    """a=max-size of the receiver: at it a message passes, one octet more gets 413; B hears '#' of what had begun."""
    sa, sb = await agreed(world, ANY, "text/plain *\r\na=max-size:5000")
    await passes(sa, sb, b"x" * 5000, "text/plain")
    await is_refused(sa, sb, b"x" * 5001, "text/plain", 413)
    await is_refused(sa, sb, b"x", "text/plain", 413, start=5001, total="*")
    codes = []
    for at in range(3):  # 6000 in all, announced by nobody
        future = sa.leg.send_chunk(b"y" * 2000, "grows", 2000 * at + 1, "*", "$" if at == 2 else "+")
        codes.append((await sa.leg.outcome(future))[0])
    same(codes, [200, 200, 413], "a message that grows")
    got = await sb.receive()
    same((got.flag, got.length), ("#", 4000), "what B got of it")
    await passes(sb, sa, b"z" * 20000, "text/plain")
    await end(sa, sb)


STATUSES = (200, 400, 403, 408, 413, 415, 423, 424, 425, 428, 481, 501, 506, 302, 399, 404, 499, 500, 599, 603, 699, 999)


@scenario()
async def every_status_passes(world):
    """Whatever status B answers with, A gets it with its comment: in one chunk, in one that streams, before its
    end. A 2xx is a success."""
    sa, sb = await world.session()
    for status in STATUSES:
        for body in (b"x", b"x" * 9000):
            for comment in ("Some thing: w\u00f6rds", ""):
                sb.leg.answer = lambda chunk, respond: respond(status, comment)
                got = await sa.leg.outcome(sa.leg.send_chunk(body, secrets.token_hex(6), 1, len(body)))
                same(got[0], status, "status of B at A")
                if comment and status != 200:
                    same(got[1], comment, "comment of B at A")
                await sb.receive()
    sb.leg.answer = lambda chunk, respond: respond(200)
    await sa.send("fine again")
    await sb.receive()
    await end(sa, sb)
