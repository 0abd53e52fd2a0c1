"""Deferred messages on their way to a user who came back (P, F4, F5; 10.3.2.3, 10.3.2.5, CR001 12.2.2.5, CR002
12.2.2.2): the INVITE, the bodies, what is removed and what stays, and MESSAGEs to ordinary clients."""
import asyncio
import email
import email.policy
import re
import secrets

from deferring import away, counted, rows
from settings import document, publish, published
from ua import REQ, agent, certificates, check, same, sdp, sip
from world import DOMAIN, scenario

STORE = "store." + DOMAIN
DEFER = {"policy.offline_pager": "defer"}
PUSH = dict(DEFER, **{"deferred.push_on_register": "false"})
HASTY = dict(PUSH, **{"timers.client_answer": "700ms", "timers.msrp_transaction": "1s", "limits.unbound": "700ms",
                      "timers.t1": "100ms", "limits.reattach": "500ms"})
ALL_TYPES = "multipart/mixed message/sip message/sipfrag message/msrpfrag"
TEXTS = [b"Watson, come here.", "gr\u00fc\u00df dich \u2603".encode(), b"\x00\xff\r\n--b\r\nraw\n", b"x" * 5000, b"last"]


# --- bodies, octet by octet and with Python's own parser ---
class Part:
    def __init__(self, octets):
        head, blank, self.content = octets.partition(b"\r\n\r\n")
        check(blank, "a part without empty line: %r" % octets[:80])
        self.headers = dict(re.match(r"^([!-9;-~]+): (.*)$", line).groups() for line in head.decode().split("\r\n"))
        self.type = self.headers["Content-Type"]


def parts_of(message):
    """The parts of a received MSRP message, by RFC 2046 to the letter: no preamble, no epilogue."""
    found = re.match(r'^multipart/mixed;boundary="([0-9A-Za-z\'()+_,./:=?-]{16,70})"$', message.content_type)
    check(found, "Content-Type %r" % message.content_type)
    REQ("CR001-12.2.2.5-2", "IM-10.3.2.5-2")
    boundary, body = found.group(1).encode(), bytes(message.body)
    check(body.startswith(b"--%s\r\n" % boundary), "does not begin with its boundary: %r" % body[:80])
    check(body.endswith(b"\r\n--%s--" % boundary), "does not end with its boundary: %r" % body[-80:])
    pieces = body[len(boundary) + 4:-len(boundary) - 6].split(b"\r\n--%s\r\n" % boundary)
    same(body.count(boundary), len(pieces) + 1, "places of the boundary")
    parsed = email.message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (message.content_type.encode(), body),
                                      policy=email.policy.SMTP)
    same((parsed.defects, len(parsed.get_payload())), ([], len(pieces)), "what Python's parser finds")
    parts = [Part(piece) for piece in pieces]
    same([p.get_content_type() for p in parsed.get_payload()], [p.type for p in parts], "types")
    for part in parts:
        is_plain = not re.search(rb"[^\t\r\n -~]|(?<!\r)\n|\r(?!\n)", part.content) and \
            max(map(len, part.content.split(b"\r\n"))) <= 998
        same(part.headers.get("Content-Transfer-Encoding"), None if is_plain else "binary", "encoding")
    return parts


def pager_of(message):
    """The SIP MESSAGE inside (F4)."""
    parts = parts_of(message)
    same(len(parts), 1, "parts of a pager message")
    check(parts[0].type in ("message/sip", "message/sipfrag"), "type %r" % parts[0].type)
    REQ("CR001-12.2.2.5-5", "IM-10.3.2.5-5")
    head, _, content = parts[0].content.partition(b"\r\n\r\n")
    inner = sip.parse_head(head)
    inner.body = content
    needed = all(inner.all(name) for name in ("Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq"))
    same(parts[0].type, "message/sip" if needed else "message/sipfrag", "D2-22")
    check(inner.get("Date"), "no Date inside")
    REQ("CR001-12.2.2.5-3")
    check(b"P-Charging" not in head, "charging headers inside")
    return inner


# --- the other side ---
async def stored(world, bob, texts, alice=None):
    """Pager messages that wait for him; the requests, in ims mode those of the terminating pass."""
    alice, requests = alice or await world.client("alice"), []
    for text in texts:
        requests.append(alice.build("MESSAGE", bob.uri, body=text, content_type="text/plain"))
        same((await alice.start(requests[-1]).final()).status, 202, "MESSAGE to a user who is away")
    same(len(rows(world, bob)), len(texts), "stored")
    if world.ims:
        passes = [m for m in world.core.to_server if m.method == "MESSAGE" and ";term" in m.all("Route")[0]]
        requests = passes[-len(texts):]
        same([m.body for m in requests], texts, "bodies that reach the terminating pass")
    return requests


async def comes_back(world, bob):
    same((await bob.register()).status, 200, "REGISTER")
    await published(bob, document(offline_delivery=True))


async def invited(world, bob):
    """The INVITE of the push, all of its headers checked."""
    invitation = await bob.expect_invite()
    request = invitation.request
    check_invite(world, bob, request, invitation.offer)
    return invitation


def check_invite(world, bob, request, offer):
    first = world.core.own[-1] if world.ims else request
    deferred = "sip:Deferred@" + STORE
    if world.ims:
        same(first.uri, bob.uri, "Request-URI")
        REQ("CR002-12.2.2.2-3", "IM-10.3.2.3-3", "CR002-12.2.2.2-17", "IM-10.3.2.3-17")
    same(sip.address(request.get("From"))[1], deferred, "From")
    same(sip.address(request.get("To"))[1], bob.uri, "To")
    same(first.get("P-Asserted-Identity"), "<%s>" % deferred, "P-Asserted-Identity")
    REQ("IM-12.1.2-3", "IM-12.1.3.2-2")
    same(first.get("Accept-Contact"), "*;+g.oma.sip-im;require;explicit", "Accept-Contact")
    contact = sip.address(first.list("Contact")[0])
    check("automata" in contact[2] and sip.FEATURE_TAG in contact[2], "Contact %r" % first.get("Contact"))
    check({"INVITE", "ACK", "BYE"} <= set(re.split(r",\s*", first.get("Allow"))), "Allow %r" % first.get("Allow"))
    check(first.get("User-Agent").startswith("IM-serv/OMA1.0"), "User-Agent %r" % first.get("User-Agent"))
    check(re.match(r"^\d+;refresher=uac$", first.get("Session-Expires")), first.get("Session-Expires"))
    check("timer" in first.get("Supported"), "Supported %r" % first.get("Supported"))
    offer = sdp.Description(first.body)
    same(offer.direction, "sendonly", "direction")
    same(offer.attribute("accept-types"), ALL_TYPES, "accept-types")
    same(offer.attribute("accept-wrapped-types"), "*", "accept-wrapped-types")
    REQ("CR002-12.2.2.2-1", "CR002-12.2.2.2-2", "CR002-12.2.2.2-4", "CR002-12.2.2.2-5", "CR002-12.2.2.2-6",
        "CR002-12.2.2.2-7", "CR002-12.2.2.2-8", "CR002-12.2.2.2-9", "CR002-12.2.2.2-10", "CR002-12.2.2.2-11",
        "IM-10.3.2.3-4", "IM-10.3.2.3-5", "IM-10.3.2.3-6", "IM-10.3.2.3-7", "IM-10.3.2.3-8", "IM-10.3.2.3-9",
        "IM-10.3.2.3-10", "IM-10.3.2.3-11")


async def taking(world, bob, answers=None, **more):
    """The push is answered; `answers`: what the next messages get, 200 after those, None: nothing."""
    invitation = await invited(world, bob)
    await taken(invitation, answers, **more)
    return invitation


def answering(answers=None):
    """For Leg.answer: each message with a body gets the next of these, afterwards 200; 0: nothing."""
    left = list(answers or [])
    given = {}

    def answer(chunk, respond):
        if not chunk.has_body:
            respond(200)
            return
        name = chunk.get("Message-ID")
        if name not in given:
            given[name] = left.pop(0) if left else 200
        if given[name]:
            respond(given[name])
    return answer


async def taken(invitation, answers=None, **more):
    invitation.leg.answer = answering(answers)
    await invitation.accept(direction="recvonly", accept=ALL_TYPES, **more)


async def deliveries(invitation, count):
    return [pager_of(await invitation.receive()) for _ in range(count)]


def unaltered(got, sent):
    """Inside is what was sent."""
    same(len(got), len(sent), "messages")
    for inner, request in zip(got, sent):
        same(inner.body, request.body, "body")
        for name in ("Call-ID", "CSeq", "From", "Content-Type"):
            same(inner.get(name), request.get(name), name)
    REQ("CR001-12.2.2.5-1", "CR001-12.2.2.5-4", "IM-10.3.2.5-4")


async def remain(world, bob, count, seconds=10):
    """So many are stored for him, after at most this time."""
    end = asyncio.get_running_loop().time() + seconds
    while len(rows(world, bob)) != count:
        check(asyncio.get_running_loop().time() < end, "%d stored, not %d" % (len(rows(world, bob)), count))
        await asyncio.sleep(0.02)


async def rest_arrives(world, bob, requests):
    """With the next trigger."""
    same((await publish(bob, document(offline_delivery=True))).status, 200, "PUBLISH")
    invitation = await taking(world, bob)
    unaltered(await deliveries(invitation, len(requests)), requests)
    await invitation.wait_bye()
    await remain(world, bob, 0)


# --- P ---
@scenario(own=PUSH)
async def push_after_publish(world):
    """P, F4: nothing after REGISTER; after the PUBLISH the INVITE, each message once, in order and unaltered, then BYE
    and an empty store."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS)
    same((await bob.register()).status, 200, "REGISTER")
    await bob.quiet(0.3)
    tag = await published(bob, document(offline_delivery=True))
    invitation = await taking(world, bob)
    got = [await invitation.receive() for _ in TEXTS]
    unaltered([pager_of(message) for message in got], sent)
    same(len({message.id for message in got}), len(got), "outer Message-IDs")
    await invitation.wait_bye()
    REQ("CR001-12.2.2.5-8", "IM-10.3.2.5-8", "CR002-12.2.2.2-14", "CR002-6.1.1.5-7", "IM-E.1.2-6")
    same(rows(world, bob), [], "what is stored after the BYE")
    same((await publish(bob, match=tag)).status, 200, "refresh")
    await bob.quiet(0.3)
    await counted(world, "deferred_delivered", len(TEXTS))


@scenario(own=PUSH)
async def push_as_active_side(world):
    """The client says a=setup:active: it connects, and gets its messages over that."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:2])
    await comes_back(world, bob)
    invitation = await taking(world, bob, setup="active")
    unaltered(await deliveries(invitation, 2), sent)
    await invitation.wait_bye()


@scenario(own=PUSH)
async def no_push_unless_wanted(world):
    """Not after offline-delivery false, not without it, not for who is not registered, not without messages."""
    bob = await away(world)
    await stored(world, bob, TEXTS[:1])
    if world.ims:
        await bob.register(0)
    same((await bob.register()).status, 200, "REGISTER")
    await published(bob, document(offline_delivery=False))
    await published(bob, document(visible=True))
    carol = await world.client("carol")
    await published(carol, document(offline_delivery=True))
    await bob.quiet(0.4)
    await carol.quiet(0.1)
    same(len(rows(world, bob)), 1, "stored")


@scenario(own=HASTY)
async def push_refused(world):
    """4b: whatever he answers, or nothing, all stays; the next PUBLISH tries again."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:2])
    await comes_back(world, bob)
    for status in (486, 404, 603, 302) if world.transport == "tls" else (486, 404, 603, 488, 302):
        (await invited(world, bob)).refuse(status)
        same(len(rows(world, bob)), 2, "stored after %d" % status)
        await pushes_over(world, bob)
    silent = await invited(world, bob)
    silent.ring()
    await silent.server.wait_cancel()
    await pushes_over(world, bob)
    (await invited(world, bob)).refuse(480)
    same(len(rows(world, bob)), 2, "stored")
    await ended(world)
    await rest_arrives(world, bob, sent)


async def ended(world, seconds=10):
    """No push is under way: gauges say so."""
    end = asyncio.get_running_loop().time() + seconds
    while ((await world.server.metrics()).sum("imserv_pushes") or 0) > 0:
        check(asyncio.get_running_loop().time() < end, "a push is still under way")
        await asyncio.sleep(0.02)


async def pushes_over(world, bob):
    """The one that was refused is over, and another PUBLISH begins another."""
    await ended(world)
    same((await publish(bob, document(offline_delivery=True))).status, 200, "PUBLISH")


@scenario(own=PUSH)
async def push_of_types_not_taken(world):
    """4a: an answer without multipart/mixed: ACK, BYE, and all stays; `*` takes them."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:1])
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    await invitation.accept(direction="recvonly", accept="text/plain message/cpim", bind=False)
    await invitation.wait_bye()
    same(len(rows(world, bob)), 1, "stored")
    await pushes_over(world, bob)
    invitation = await invited(world, bob)
    await invitation.accept(direction="recvonly", accept="text/plain *")
    unaltered(await deliveries(invitation, 1), sent)
    await invitation.wait_bye()


@scenario(own=dict(PUSH, **{"deferred.push_window": "2"}))
async def push_skips_what_is_not_taken(world):
    """6a: 413 and 415 leave that message and go on with the next."""
    bob = await away(world)
    sent = await stored(world, bob, [b"%d" % i for i in range(5)])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [200, 413, 200, 415, 200])
    unaltered(await deliveries(invitation, 5), sent)
    await invitation.wait_bye()
    same([bytes(row["content"]) for row in rows(world, bob)], [b"1", b"3"], "stored")
    await ended(world)
    await rest_arrives(world, bob, [sent[1], sent[3]])


@scenario(own=dict(PUSH, **{"deferred.push_window": "1"}))
async def push_ends_with_an_error(world):
    """Any other error ends the session; what was not answered with 200 stays."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:4])
    await comes_back(world, bob)
    for k, status in enumerate((400, 481, 403)):
        invitation = await taking(world, bob, [200, status])
        unaltered(await deliveries(invitation, 2), sent[k:k + 2])
        await invitation.wait_bye()
        same(len(rows(world, bob)), 3 - k, "stored after %d" % status)
        await pushes_over(world, bob)
    invitation = await taking(world, bob)
    unaltered(await deliveries(invitation, 1), sent[3:])
    await invitation.wait_bye()


@scenario(own=dict(HASTY, **{"deferred.push_window": "1"}))
async def push_to_one_who_falls_silent(world):
    """Messages without an answer: BYE after timers.msrp_transaction, and they stay."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:3])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [200, None])
    unaltered(await deliveries(invitation, 2), sent[:2])
    await invitation.wait_bye()
    same(len(rows(world, bob)), 2, "stored")
    await ended(world)
    await rest_arrives(world, bob, sent[1:])


@scenario(own=dict(HASTY, **{"deferred.push_window": "1"}))
async def push_whose_connection_breaks(world):
    """6b: after k messages k are removed, and only the rest comes with the next trigger."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:4])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [200, 200, None])
    unaltered(await deliveries(invitation, 3), sent[:3])
    invitation.leg.connection.close()
    await invitation.wait_bye()
    await remain(world, bob, 2)
    await ended(world)
    await rest_arrives(world, bob, sent[2:])


@scenario(own=dict(PUSH, **{"deferred.push_window": "1"}))
async def push_that_he_ends(world):
    """BYE of the client: what he has is removed, the rest stays."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:3])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [200, None])
    unaltered(await deliveries(invitation, 2), sent[:2])
    await invitation.hang_up()
    await remain(world, bob, 2)
    await ended(world)
    await rest_arrives(world, bob, sent[1:])


@scenario(own=HASTY)
async def push_that_nobody_binds(world):
    """He answers and then nobody connects: BYE after limits.unbound, and all stays."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:1])
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    await invitation.accept(direction="recvonly", accept=ALL_TYPES, setup="active", bind=False)
    await invitation.wait_bye()
    same(len(rows(world, bob)), 1, "stored")
    await ended(world)
    await rest_arrives(world, bob, sent)


@scenario(own=PUSH)
async def one_push_at_a_time(world):
    """PUBLISHs while a push is under way begin no other; new messages of that time come with it or with the next."""
    alice, bob = await world.client("alice"), await away(world)
    sent = await stored(world, bob, TEXTS[:2], alice)
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    for _ in range(3):
        same((await publish(bob, document(offline_delivery=True))).status, 200, "PUBLISH")
    await bob.quiet(0.3)
    await taken(invitation)
    unaltered(await deliveries(invitation, 2), sent)
    await invitation.wait_bye()
    await bob.quiet(0.2)


@scenario(own=PUSH)
async def push_of_many(world):
    """More than a window and a page: all of them, once, in order."""
    bob = await away(world)
    sent = await stored(world, bob, [b"message %d" % i for i in range(60)])
    await comes_back(world, bob)
    invitation = await taking(world, bob)
    unaltered(await deliveries(invitation, 60), sent)
    await invitation.wait_bye()
    same(rows(world, bob), [], "stored")


@scenario(own=PUSH)
async def push_of_anonymous(world):
    """F4: from a sender who asked for privacy: message/sipfrag, and nothing that names him."""
    alice, bob = await world.client("alice"), await away(world)
    request = alice.build("MESSAGE", bob.uri, body=b"guess", content_type="text/plain", headers=[
        ("Privacy", "id"), ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=49583')] + (
        [] if world.ims else [("P-Preferred-Identity", "<%s>" % alice.uri)]))
    same((await alice.start(request).final()).status, 202, "MESSAGE")
    await comes_back(world, bob)
    invitation = await taking(world, bob)
    message = await invitation.receive()
    inner = pager_of(message)
    same(inner.body, b"guess", "body")
    same(parts_of(message)[0].type, "message/sipfrag", "type")
    check(alice.name.encode() not in bytes(message.body), "the sender is named")
    same((inner.all("Via"), inner.all("P-Asserted-Identity"), inner.all("Contact")), ([], [], []), "headers")
    REQ("CR001-12.2.2.5-7")
    await invitation.wait_bye()


@scenario(modes=("ims",), own=PUSH)
async def push_by_the_terminating_port(world):
    """The core leads the push through our own terminating port: what the Deferred Function sends is not barred there,
    nor stored (design 7)."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:2])
    world.core.own_by_term = True
    same((await bob.register()).status, 200, "REGISTER")
    await published(bob, document(offline_delivery=True, session_barring=True, pager_barring=True))
    invitation = await bob.expect_invite()
    await taken(invitation)
    unaltered(await deliveries(invitation, 2), sent)
    await invitation.wait_bye()
    await remain(world, bob, 0)


# --- standalone: REGISTER and ordinary clients ---
@scenario(modes=("standalone",), own=DEFER)
async def push_on_register(world):
    """A REGISTER is enough, unless he published that he does not want it."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:2])
    same((await bob.register()).status, 200, "REGISTER")
    invitation = await taking(world, bob)
    unaltered(await deliveries(invitation, 2), sent)
    await invitation.wait_bye()
    await ended(world)
    tag = await published(bob, document(offline_delivery=False))
    same((await bob.register(0)).status, 200, "de-registration")
    sent = await stored(world, bob, TEXTS[:1])
    same((await bob.register()).status, 200, "REGISTER")
    await bob.quiet(0.3)
    same((await publish(bob, expires=0, match=tag)).status, 200, "removal of the settings")
    same((await bob.register()).status, 200, "REGISTER")
    invitation = await taking(world, bob)
    unaltered(await deliveries(invitation, 1), sent)
    await invitation.wait_bye()


async def told(bob, request, status=200):
    """A stored message arrives as the MESSAGE that it was."""
    server = await bob.expect("MESSAGE")
    got = server.request
    same(got.body, request.body, "body")
    same(sip.address(got.get("From"))[1], sip.address(request.get("From"))[1], "From")
    same(got.get("Content-Type"), request.get("Content-Type"), "Content-Type")
    same(sip.address(got.get("To"))[1], bob.uri, "To")
    check(got.get("Date"), "no Date")
    check(got.call_id != request.call_id, "Call-ID was not changed")
    if status:
        server.respond(status)
    return server


@scenario(modes=("standalone",), own=DEFER)
async def fallback_messages(world):
    """design 7: to a client without the feature tag as MESSAGEs, oldest first, one at a time, removed on 2xx."""
    bob = await world.client("bob", register=False, feature_tag=False)
    sent = await stored(world, bob, TEXTS)
    same((await bob.register()).status, 200, "REGISTER")
    for k, request in enumerate(sent):
        server = await told(bob, request, None)
        await bob.quiet(0.1)
        same(len(rows(world, bob)), len(sent) - k, "stored while it is unanswered")
        server.respond(200)
    await remain(world, bob, 0)
    await bob.quiet(0.1)


@scenario(modes=("standalone",), own=DEFER)
async def fallback_messages_refused(world):
    """415 leaves that one and goes on; 486 ends it, and the rest waits for the next REGISTER."""
    bob = await world.client("bob", register=False, feature_tag=False)
    sent = await stored(world, bob, [b"%d" % i for i in range(4)])
    same((await bob.register()).status, 200, "REGISTER")
    for request, status in zip(sent, (415, 200, 486)):
        await told(bob, request, status)
    await ended(world)
    same([bytes(row["content"]) for row in rows(world, bob)], [b"0", b"2", b"3"], "stored")
    same((await bob.register()).status, 200, "REGISTER")
    for k in (0, 2, 3):
        await told(bob, sent[k])
    await remain(world, bob, 0)


@scenario(modes=("standalone",), own=dict(DEFER, **{"deferred.fallback": "none"}))
async def fallback_off(world):
    """deferred.fallback none: an ordinary client gets nothing by itself."""
    bob = await world.client("bob", register=False, feature_tag=False)
    await stored(world, bob, TEXTS[:1])
    same((await bob.register()).status, 200, "REGISTER")
    await bob.quiet(0.3)
    same(len(rows(world, bob)), 1, "stored")


@scenario(modes=("standalone",), own=DEFER)
async def push_prefers_the_feature_tag(world):
    """Two clients of one user: the one that knows pushes is called, whatever its q."""
    phone = await world.client("bob", register=False, feature_tag=False)
    tablet = await world.client(phone.name, register=False, unique=False)
    sent = await stored(world, phone, TEXTS[:2])
    both = "%s;q=1.0" % phone.contact, "%s;q=0.1" % tablet.contact
    same((await tablet.register(headers=[("Contact", both[1])])).status, 200, "REGISTER of the tablet")
    invitation = await invited(world, tablet)
    same((await phone.register(headers=[("Contact", both[0])])).status, 200, "REGISTER of the phone")
    await taken(invitation)
    unaltered(await deliveries(invitation, 2), sent)
    await invitation.wait_bye()
    await phone.quiet(0.2)


# --- F5 and what was not plain ---
def large_of(message):
    """(headers of the INVITE, headers of the SEND, content) of a large message (F5)."""
    first, second = parts_of(message)
    same((first.type, second.type), ("message/sipfrag", "message/msrpfrag"), "types")
    REQ("CR001-12.2.2.5-6", "CR001-D.2-9", "IM-J-10")
    fragment = sip.parse_head(first.content.removesuffix(b"\r\n"))
    head, _, rest = second.content.partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    found = re.match(r"^MSRP ([0-9A-Za-z][-.+%=0-9A-Za-z]{3,31}) SEND$", line)
    check(found, "first line of the SEND %r" % line)
    end = b"\r\n-------%s$" % found.group(1).encode()
    check(rest.endswith(end), "no end-line: %r" % rest[-60:])
    return fragment, dict(h.split(": ", 1) for h in headers), rest[:-len(end)]


@scenario(own=PUSH, seconds=40)
async def push_of_large_messages(world):
    """F5: a small one and one of 300 kB, in one message each, octet by octet, among pager messages in their order."""
    alice, bob = await world.client("alice"), await away(world)
    before = await stored(world, bob, [b"before"], alice)
    contents = [b"Hi, Alice!  I'm Bob!", secrets.token_bytes(300000)]
    for k, content in enumerate(contents):
        session = await alice.invite(bob, direction="sendonly", extra=["a=filesize:%d" % len(content)],
                                     headers=[("Subject", "lunch"), ("Priority", "normal")]).established()
        await session.send(content, message_id="id-%d" % k, chunk=70000, content_type="application/x-any",
                           headers=[("Content-Disposition", "attachment")])
        await session.hang_up()
    await comes_back(world, bob)
    invitation = await taking(world, bob)
    unaltered(await deliveries(invitation, 1), before)
    for k, content in enumerate(contents):
        message = await invitation.receive(20)
        same(message.length, message.total, "octets of the whole")
        fragment, headers, got = large_of(message)
        check(got == content, "content of %d octets is another" % len(content))
        same((fragment.method, fragment.uri), ("INVITE", bob.uri), "request line")
        same((fragment.get("Subject"), fragment.get("Priority")), ("lunch", "normal"), "Subject, Priority")
        check(fragment.get("Date") and fragment.get("Call-ID") and fragment.get("From") and fragment.get("To"), "headers")
        same((fragment.all("Via"), fragment.all("Contact")), ([], []), "headers that are not kept")
        REQ("CR001-12.2.2.5-7", "CR001-12.2.2.5-9")
        same(headers, {"Message-ID": "id-%d" % k, "Content-Type": "application/x-any",
                       "Content-Disposition": "attachment"}, "headers of the SEND")
    await invitation.wait_bye()
    same(rows(world, bob), [], "stored")


@scenario(own=PUSH)
async def push_all_refused(world):
    """A whole window is on its way and everything gets 400: BYE, and all of it stays."""
    bob = await away(world)
    sent = await stored(world, bob, [b"%d" % i for i in range(12)])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [400] * 12)
    await invitation.wait_bye()
    same(len(rows(world, bob)), 12, "stored")
    await ended(world)
    await rest_arrives(world, bob, sent)


@scenario(own=PUSH)
async def push_larger_than_max_size(world):
    """What is over the a=max-size of his answer is not begun; it stays."""
    bob = await away(world)
    sent = await stored(world, bob, [b"x" * 3000, b"small"])
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    await taken(invitation, extra=["a=max-size:2500"])
    unaltered(await deliveries(invitation, 1), sent[1:])
    await invitation.wait_bye()
    same([len(row["content"]) for row in rows(world, bob)], [3000], "stored")


@scenario(own=PUSH)
async def push_wants_a_longer_timer(world):
    """422 to the INVITE: another one with his Min-SE (RFC 4028 7.3)."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:1])
    await comes_back(world, bob)
    (await invited(world, bob)).refuse(422, [("Min-SE", "7200")])
    invitation = await invited(world, bob)
    same(invitation.request.get("Session-Expires"), "7200;refresher=uac", "Session-Expires")
    same(invitation.request.get("Min-SE"), "7200", "Min-SE")
    same(invitation.request.cseq[0], 2, "CSeq")
    await taken(invitation)
    unaltered(await deliveries(invitation, 1), sent)
    await invitation.wait_bye()


@scenario(own=PUSH)
async def push_is_refreshed(world):
    """A re-INVITE of the client inside the push is answered, and the delivery goes on."""
    bob = await away(world)
    sent = await stored(world, bob, TEXTS[:2])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [None])
    unaltered(await deliveries(invitation, 2), sent)
    again = invitation.dialog.request("INVITE", headers=[("Supported", "timer")], content_type="application/sdp",
                                      body=sdp.build(invitation.leg.local, "actpass", "recvonly", ALL_TYPES, version=2))
    answer = await again.final()
    invitation.dialog.ack(again)
    same(answer.status, 200, "re-INVITE")
    same(sdp.Description(answer.body).direction, "sendonly", "direction")
    await invitation.hang_up()
    await remain(world, bob, 1)


@scenario(modes=("standalone",), transports=("tcp",), own=PUSH)
async def push_over_tls(world):
    """Who signals over TLS and refuses the first offer with 488 is offered msrps; a second 488 is his answer."""
    bob = await world.client("bob", register=False, certificate=certificates.authority().lone("phone-bob")
                             if world.transport == "tls" else None)
    sent = await stored(world, bob, TEXTS[:2])
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    check(not invitation.offer.is_secure, "the first offer is msrps")
    invitation.refuse(488)
    if world.transport == "tls":
        invitation = await invited(world, bob)
        check(invitation.offer.is_secure and invitation.offer.fingerprint, "the second offer is not msrps")
        invitation.refuse(488)
        await pushes_over(world, bob)
        (await invited(world, bob)).refuse(488)
        invitation = await taking(world, bob)
        unaltered(await deliveries(invitation, 2), sent)
        await invitation.wait_bye()
        return
    await ended(world)
    same(len(rows(world, bob)), 2, "stored")


@scenario(own=dict(HASTY, **{"timers.client_answer": "2s", "timers.t1": "500ms", "timers.msrp_transaction": "20s"}), once=True,
          seconds=40)
async def late_answer_during_a_push(world):
    """A silent client answers its MESSAGE while the copy is on its way to it: that goes when the delivery ends, however
    it ends (design 13)."""
    alice, bob = await world.pair()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"twice", content_type="text/plain"))
    server = await bob.expect("MESSAGE")
    same((await sending.final(20)).status, 202, "MESSAGE to a silent client")
    await comes_back(world, bob)
    invitation = await taking(world, bob, [None])
    same((await deliveries(invitation, 1))[0].body, b"twice", "body")
    server.respond(200, "OK")
    await counted(world, "deferred_late", 1)
    same(len(rows(world, bob)), 1, "stored while it is being delivered")
    invitation.leg.connection.close()
    await invitation.wait_bye()
    await remain(world, bob, 0)
    await ended(world)


@scenario(modes=("standalone",), own=dict(HASTY, **{"deferred.push_on_register": "true"}))
async def push_to_the_contact_that_came_later(world):
    """While a client that is gone is being called, another of his registers: it gets them."""
    gone = await away(world)
    sent = await stored(world, gone, TEXTS[:2])
    same((await gone.register()).status, 200, "REGISTER of the one that will not answer")
    silent = await invited(world, gone)
    silent.ring()
    other = await world.client(gone.name, register=False, unique=False)
    same((await other.register()).status, 200, "REGISTER of the other")
    await silent.server.wait_cancel()
    invitation = await taking(world, other)
    unaltered(await deliveries(invitation, 2), sent)
    await invitation.wait_bye()


@scenario(own=dict(PUSH, **{"timers.session_expires": "3s", "timers.min_se": "1s"}), once=True)
async def push_is_refreshed_by_us(world):
    """A slow client: the session timer of the push is ours to refresh, and the session lives on."""
    bob = await away(world)
    await stored(world, bob, TEXTS[:1])
    await comes_back(world, bob)
    invitation = await taking(world, bob, [None], session_timer=False,
                              headers=[("Session-Expires", "3;refresher=uac"), ("Require", "timer")])
    await invitation.receive()
    end = asyncio.get_running_loop().time() + 15
    while len([m for m in bob.log if m.method == "UPDATE" and m.to_tag]) < 2:
        check(asyncio.get_running_loop().time() < end, "no second refresh")
        check(not invitation.dialog.ended.is_set(), "the session ended")
        await asyncio.sleep(0.05)
    update = next(m for m in bob.log if m.method == "UPDATE")
    same(update.get("Session-Expires"), "3;refresher=uac", "Session-Expires of the refresh")
    REQ("CR002-12.2.2.2-14", "CR002-12.2.2.2-15", "CR002-12.2.2.2-16", "IM-10.3.2.3-14", "IM-10.3.2.3-15",
        "IM-10.3.2.3-16")
    await invitation.hang_up()
    await remain(world, bob, 1)


@scenario(own=dict(PUSH, **{"timers.session_expires": "3s", "timers.min_se": "1s"}), once=True)
async def push_remembers_the_answer(world):
    """Methods and Contact of the 200 count, not those of the 180 before it: without UPDATE we refresh by INVITE, and ACK,
    refresh and BYE go to that Contact."""
    bob = await away(world)
    await stored(world, bob, TEXTS[:1])
    await comes_back(world, bob)
    invitation = await invited(world, bob)
    at = bob.contact.partition(">")[0]
    invitation.server.respond(180, "Ringing", [("Contact", at.replace("sip:", "sip:early-") + ">"),
                                               ("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE")])
    allow, agent.ALLOW = agent.ALLOW, "INVITE, ACK, CANCEL, BYE"
    try:
        await taken(invitation, [None], session_timer=False,
                    headers=[("Session-Expires", "3;refresher=uac"), ("Require", "timer")])
    finally:
        agent.ALLOW = allow
    await invitation.receive()
    refresh = await asyncio.wait_for(invitation.dialog.incoming.get(), 6)
    same(refresh.request.method, "INVITE", "refresh of who knows no UPDATE")
    same(sdp.Description(refresh.request.body).direction, "sendonly", "direction of the refresh")
    REQ("CR002-12.2.2.2-12", "IM-10.3.2.3-12")
    refresh.respond(200, "OK", [("Contact", bob.contact), ("Session-Expires", "3;refresher=uac"), ("Require", "timer")],
                    sdp.build(invitation.leg.local, "passive", "recvonly", ALL_TYPES, version=1), "application/sdp")
    await refresh.wait_ack()
    invitation.leg.connection.close()
    bye = await invitation.wait_bye(15)
    requests = [m for m in bob.log if m.method in ("ACK", "INVITE", "BYE") and m.to_tag]
    same({m.method for m in requests}, {"ACK", "INVITE", "BYE"}, "requests in the dialog")
    same({m.uri for m in requests} | {bye.uri}, {at.lstrip("<")}, "Request-URIs in the dialog")
    REQ("CR002-12.2.2.2-13", "IM-10.3.2.3-13")
    await remain(world, bob, 1)
