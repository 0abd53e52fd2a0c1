"""Deferred messages that their user fetches (F6 to F9, F11; CR000 11.3.1, CR004, D2-04 to D2-10): every way to address
them, each refusal in its order, what is removed and what stays."""
import asyncio
import hashlib
import json
import os
import re

from deferring import away, counted, refused, rows
from digest import PROVISIONED, log_in, user
from large import offer as offer_large, size_of
from pushing import ALL_TYPES, STORE, answering, comes_back, ended, pager_of, parts_of, remain, stored, taking, unaltered
from ua import REQ, check, same, sdp, sip
from world import DOMAIN, scenario

FETCH = {"policy.offline_pager": "defer", "deferred.push_on_register": "false", "limits.uri_list": "4"}
HASTY = dict(FETCH, **{"timers.msrp_transaction": "1s", "limits.unbound": "700ms", "timers.t1": "100ms",
                       "limits.reattach": "500ms"})
LIST = ('<?xml version="1.0" encoding="UTF-8"?>\r\n<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">'
        "\r\n<list>%s</list>\r\n</resource-lists>\r\n")


def deferred(host=STORE, name="Deferred"):
    return "sip:%s@%s" % (name, host)


def account(user, host=STORE):
    return "sip:%s@%s" % (user.name, host)


def message_uri(row):
    return "sip:%s@%s" % (row["id"], STORE)


def with_list(description, entries, raw=None):
    """SDP and recipient list, as F7 prints it."""
    text = raw if raw is not None else LIST % "".join('<entry uri="%s"/>' % entry for entry in entries)
    return (b"--b7\r\nContent-Type: application/sdp\r\n\r\n" + description +
            b"\r\n--b7\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n" +
            text.encode() + b"\r\n--b7--\r\n")


def ask(user, target, entries=None, raw=None, headers=(), direction="recvonly", accept=ALL_TYPES, **more):
    if entries is not None or raw is not None:
        headers = [("Require", "recipient-list-invite"), *headers]
        more.update(edit=lambda body: with_list(body, entries or (), raw), content_type='multipart/mixed;boundary="b7"')
    return user.invite(target, direction=direction, accept=accept, headers=headers, **more)


async def accepted(session, answers=None):
    """The 200 with all that it must have; the leg is bound, what comes is answered 200 or as said."""
    session.leg.answer = answering(answers)
    response = await session.transaction.final()
    same(response.status, 200, "INVITE to the store")
    contact = sip.address(response.list("Contact")[0])
    check("automata" in contact[2] and sip.FEATURE_TAG in contact[2], "Contact %r" % response.get("Contact"))
    check(response.get("Server").startswith("IM-serv/OMA1.0"), "Server %r" % response.get("Server"))
    check({"INVITE", "ACK", "BYE"} <= set(re.split(r",\s*", response.get("Allow"))), "Allow %r" % response.get("Allow"))
    same(response.get("P-Asserted-Identity"), "<%s>" % deferred(), "P-Asserted-Identity")
    session.answer = session.remote_description(response.body, "200 to INVITE")
    same(session.answer.direction, "sendonly", "direction")
    session.active = session.answer.setup not in ("active", "holdconn")
    await session.bind()
    REQ("CR000-11.3.1-7", "CR000-11.3.1-8", "CR000-11.3.1-9", "CR000-11.3.1-10", "CR000-11.3.1-11", "IM-10.3.1-10",
        "IM-10.3.1-11", "IM-10.3.1-12", "IM-10.3.1-13", "IM-10.3.1-14")
    return session


async def fetched(session, requests):
    """Exactly these messages, in this order, then BYE."""
    await accepted(session)
    unaltered([pager_of(await session.receive()) for _ in requests], requests)
    await session.wait_bye()
    check(session.leg.messages.empty(), "more than was asked for")
    REQ("CR000-11.3.1.1.2-6", "CR004-D.1-5", "IM-10.3.2.5-1")


async def status_of(session):
    return (await session.transaction.final()).status


async def returned(world, texts):
    """Bob is back, and so much waits for him."""
    bob = await away(world)
    requests = await stored(world, bob, texts)
    same((await bob.register()).status, 200, "REGISTER")
    return bob, requests


# --- every way to say it ---
@scenario(own=FETCH)
async def retrieve_all(world):
    """F8, F9: all messages, oldest first, by each name of the store; then it is empty."""
    bob = await away(world)
    alice = await world.client("alice")
    same((await bob.register(expires=0)).status, 200, "REGISTER")
    for target in (deferred(), deferred(name="DEFERRED"), deferred(DOMAIN), account(bob), account(bob, "bob." + STORE)):
        requests = await stored(world, bob, [b"one", b"two\r\n", b"three"], alice)
        same(len({message_uri(row) for row in rows(world, bob)}), 3, "URIs, one of each message")
        same((await bob.register()).status, 200, "REGISTER")
        await fetched(ask(bob, target), requests)
        await remain(world, bob, 0)
        if target == account(bob):  # the URI of all of them together
            REQ("CR004-all-1")
        REQ("CR000-11.3.1.1-2", "IM-10.3.1-9", "IM-10.1.1-1", "IM-10.1.1-3")
        same((await bob.register(expires=0)).status, 200, "REGISTER")
    await counted(world, "retrievals", 5)
    await counted(world, "deferred_delivered", 15)


@scenario(own=FETCH)
async def retrieve_nothing(world):
    """D2-10: 200, no message, BYE."""
    bob = await world.client("bob")
    for target in (deferred(), account(bob)):
        await fetched(ask(bob, target), [])


@scenario(own=FETCH)
async def retrieval_directions(world):
    """D2-08: of the media or of the session, the media's own first, in any case."""
    bob = await world.client("bob")
    ways = (("a=RecvOnly", "", 200), ("", "a=recvonly", 200), ("a=recvonly", "a=sendrecv", 200), ("a=sendrecv", "a=recvonly", 403),
            ("", "", 403), ("", "a=RECVONLY", 200))
    for media, session, status in ways:
        def edit(body, media=media, session=session):
            head, m_line, rest = body.replace(b"a=recvonly\r\n", b"").partition(b"m=message")
            lines = [line.encode() + b"\r\n" if line else b"" for line in (session, media)]
            return head + lines[0] + m_line + rest + lines[1]
        asked = ask(bob, deferred(), edit=edit)
        if status == 200:
            await fetched(asked, [])
        else:
            response = await asked.transaction.final()
            same(response.status, status, "%r, session %r" % (media, session))
            check("a=recvonly" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    REQ("CR000-11.3.1-5", "IM-10.3.1-5")


@scenario(own=FETCH)
async def retrieve_one(world):
    """F6: by its Message-ID as Request-URI, escaped or not, by a list of one, by its Call-ID; the others stay."""
    bob, requests = await returned(world, [b"%d" % n for n in range(6)])
    found = rows(world, bob)
    same(len(found), 6, "stored")
    call_id = requests[3].call_id
    bob.witness.secrets.pop(call_id, None)  # he was told it with the message, and says it himself
    escaped = "%s%%40%s" % (found[1]["id"], STORE)
    ways = [(message_uri(found[0]), None), ("sip:%s@%s" % (escaped, STORE), None),
            (deferred(), [message_uri(found[2])]),
            ("sip:%s@%s" % (call_id.replace("@", "%40"), STORE), None),
            (account(bob), ["sip:%s%%40%s@%s;x=y" % (found[4]["id"], STORE.upper(), STORE)])]
    for n, (target, entries) in enumerate(ways):
        await fetched(ask(bob, target, entries), [requests[n]])
        await remain(world, bob, 5 - n)
        REQ("CR004-one-4", "IM-10.3.1-7", "CR004-D.1-4")
    same([row["id"] for row in rows(world, bob)], [found[5]["id"]], "what stays")


@scenario(own=dict(FETCH, **{"log.cdr": "cdr.jsonl"}))
async def retrieve_several(world):
    """F7: the listed ones, in the order of reception, each once; what is no message of his is skipped."""
    bob, requests = await returned(world, [b"%d" % n for n in range(6)])
    alice = await world.client("alice")
    carol = await away(world, "carol")
    await stored(world, carol, [b"not yours"], alice)
    found, foreign = rows(world, bob), rows(world, carol)[0]
    await fetched(ask(bob, account(bob), [message_uri(found[3]), message_uri(found[1]), message_uri(found[3])]),
                  [requests[1], requests[3]])
    REQ("CR000-11.3.1.1-1", "CR004-multi-5", "CR004-multi-7", "CR004-multi-8", "IM-10.3.1-8", "IM-10.3.1.1-1")
    await fetched(ask(bob, deferred(), ["sip:nobody@" + STORE, message_uri(foreign), "tel:+49", message_uri(found[0])]),
                  [requests[0]])
    await counted(world, "retrieval_entries_skipped", 3)
    await fetched(ask(bob, message_uri(found[4]), [message_uri(found[2])]), [requests[2], requests[4]])
    await remain(world, bob, 1)
    same(len(rows(world, carol)), 1, "of somebody else")
    same(await status_of(ask(bob, deferred(), direction="sendrecv")), 403, "refused")
    path, records = os.path.join(world.server.directory, "cdr.jsonl"), []
    end = asyncio.get_running_loop().time() + 10
    while len(records) < 4:
        check(asyncio.get_running_loop().time() < end, "records: %s" % records)
        await asyncio.sleep(0.02)
        records = [json.loads(line) for line in open(path) if '"retrieval"' in line] if os.path.exists(path) else []
    same([(r["messages"], r["reason"]) for r in records],
         [(2, "complete"), (1, "complete"), (2, "complete"), (0, "retrieval_direction")], "records")
    same({r["from"] for r in records}, {"%s@%s" % (bob.name, DOMAIN)}, "who fetched")


@scenario(own=dict(FETCH, **{"policy.offline_large": "defer"}))
async def retrieve_large(world):
    """A large message: INVITE headers, then the SEND with its content, octet by octet (F5)."""
    bob, alice = await away(world), await world.client("alice")
    text = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(20000))
    sent = await offer_large(alice, bob, len(text), headers=[("Subject", "lunch")])
    await sent.send(text, chunk=30000, content_type="application/octet-stream")
    await sent.hang_up()
    same((await alice.pager(bob, b"and a small one")).status, 202, "MESSAGE")
    same((await bob.register()).status, 200, "REGISTER")
    session = await accepted(ask(bob, deferred()))
    parts = parts_of(await session.receive(30))
    same([part.type for part in parts], ["message/sipfrag", "message/msrpfrag"], "parts")
    check(b"Subject: lunch\r\n" in parts[0].content, "no Subject: %r" % parts[0].content)
    head, _, rest = parts[1].content.partition(b"\r\n\r\n")
    check(re.match(rb"^MSRP [\w.-]+ SEND\r\n", head), "head %r" % head)
    same(hashlib.sha256(rest[:len(text)]).hexdigest(), hashlib.sha256(text).hexdigest(), "content")
    same(pager_of(await session.receive()).body, b"and a small one", "the other one")
    await session.wait_bye()
    await remain(world, bob, 0)


# --- refusals ---
@scenario(own=FETCH)
async def retrieval_refusals(world):
    """F11, in its order."""
    bob, _ = await returned(world, [b"one", b"two"])
    alice = await world.client("alice")
    carol = await world.client("carol")
    row = rows(world, bob)[0]
    unknown = "sip:%s@%s" % ("a" * 26, STORE)
    if world.ims:
        same(await status_of(ask(bob, deferred(), without=("Accept-Contact",))), 403, "without feature tag")
        same(await status_of(ask(bob, unknown, without=("Accept-Contact",))), 403, "before 404")
        REQ("CR000-11.3.1-1", "IM-10.3.1-1")
    for target in (unknown, "sip:nobody@" + STORE, "sip:x%40y@" + STORE):
        same(await status_of(ask(bob, target)), 404, target)
        same(await status_of(ask(bob, target, direction="sendrecv")), 404, "before the direction: " + target)
    same(await status_of(ask(alice, message_uri(row))), 404, "a message of somebody else")
    same(await status_of(ask(alice, message_uri(row), direction="sendrecv")), 404, "and nobody can try out ids")
    REQ("CR000-11.3.1-4", "IM-10.3.1-4", "CR004-one-4")
    for direction in ("sendrecv", "sendonly", "inactive", None):
        for target in (deferred(), account(bob), message_uri(row), account(carol)):
            same(await status_of(ask(bob, target, direction=direction)), 403, "%s, %s" % (direction, target))
    same((await bob.ask("INVITE", deferred())).status, 403, "no description")
    same((await bob.ask("INVITE", deferred(), body=b"hello")).status, 403, "a text instead")
    same((await bob.ask("INVITE", deferred(), body=(LIST % '<entry uri="%s"/>' % message_uri(row)).encode(),
                        content_type="application/resource-lists+xml")).status, 403, "a list alone")
    same(await refused(world, "retrieval_direction"), 19, "counted")
    REQ("CR000-11.3.1-5", "IM-10.3.1-5")
    same(await status_of(ask(alice, account(bob))), 403, "the account of somebody who has messages")
    same(await status_of(ask(alice, account(carol))), 403, "of somebody who is registered")
    same(await status_of(ask(alice, account(bob), [message_uri(row)])), 403, "with a list")
    same(await refused(world, "mailbox_foreign"), 3, "counted")
    REQ("CR004-all-5", "CR004-multi-5")
    same(len(rows(world, bob)), 2, "what is stored after all that")


@scenario(own=FETCH)
async def retrieval_without_account(world):
    """Who is no user of ours has no account: 403 (standalone: nobody else gets so far)."""
    bob = await world.client("bob")
    if world.ims:
        world.core.asserted[bob.name] = "<sip:%s@elsewhere.example.org>" % bob.name
        for target in (deferred(), account(bob), "sip:%s@%s" % ("a" * 26, STORE)):
            same(await status_of(ask(bob, target)), 403, target)
        REQ("CR000-11.3.1-2", "CR000-11.3.1.1.2-1", "IM-10.3.1.1.2-1")
        del world.core.asserted[bob.name]
    await fetched(ask(bob, deferred()), [])


@scenario(own=dict(FETCH, **{"policy.allow_anonymity": "false"}))
async def retrieval_against_policy(world):
    """Where the operator lets nobody hide, who hides fetches nothing: 403 by each name, before it is looked whether
    there is such a message; nothing is lost, and without Privacy he gets it."""
    bob, requests = await returned(world, [b"one"])
    row = rows(world, bob)[0]
    for target in (deferred(), account(bob), message_uri(row), "sip:nobody@" + STORE):
        same(await status_of(ask(bob, target, headers=[("Privacy", "id")])), 403, target)
    same(len(rows(world, bob)), 1, "stored")
    await fetched(ask(bob, deferred()), requests)
    REQ("CR000-11.3.1-3", "IM-10.3.1-3")


@scenario(own=FETCH)
async def retrieval_bodies(world):
    """What else an INVITE to the store can get wrong: timer 422, description 488, list 400 and 404."""
    bob, requests = await returned(world, [b"one"])
    row = rows(world, bob)[0]
    same(await status_of(ask(bob, deferred(), timer="30;refresher=uac")), 422, "a session timer too brief")
    same(await status_of(ask(bob, deferred(), accept="text/plain message/cpim")), 488, "types that are not sent")
    for raw, status in (("no XML", 400), ("<a/>", 400), (LIST % "", 400), (LIST % "<entry/>", 400),
                        ('<!DOCTYPE a [<!ENTITY b "c">]>' + LIST % ('<entry uri="%s"/>' % message_uri(row)), 400),
                        (LIST % ('<entry uri="sip:a@b"/>' * 5), 400)):
        same(await status_of(ask(bob, deferred(), raw=raw)), status, raw)
    for entries in (["sip:nobody@" + STORE], ["sip:nobody@" + STORE, "sip:alice@" + DOMAIN, "x"]):
        same(await status_of(ask(bob, deferred(), entries)), 404, repr(entries))
    same(await status_of(ask(bob, bob.uri, ["sip:nobody@" + STORE], direction="sendrecv")), 420, "a list to a user")
    same(await refused(world, "xml"), 5, "lists that are none")
    same(await refused(world, "uri_list"), 1, "lists too long")
    await fetched(ask(bob, deferred(), [message_uri(row)] * 4), requests)


@scenario(modes=("standalone",), own=dict(FETCH, **PROVISIONED))
async def retrieval_with_passwords(world):
    """Provisioned users: who they are is proved first, the names of the store are no users, and whoever is provisioned
    has an account."""
    alice, bob = await user(world, "alice"), await user(world, "bob", register=False)
    carol = await user(world, "carol", register=False)
    requests = [alice.build("MESSAGE", bob.uri, body=text, content_type="text/plain") for text in (b"one", b"two", b"three")]
    for request in requests:
        same((await alice.start(request).final()).status, 202, "MESSAGE to a user who is away")
    found = rows(world, bob)
    login, bob.login = bob.login, None
    for target in (deferred(), account(bob), message_uri(found[0])):
        same(await status_of(ask(bob, target)), 407, "without credentials: " + target)
    bob.login = login
    await log_in(bob)
    await fetched(ask(bob, message_uri(found[1])), [requests[1]])
    await fetched(ask(bob, account(bob), [message_uri(found[2])]), [requests[2]])
    await fetched(ask(bob, deferred()), [requests[0]])
    for target, status in ((account(carol), 403), ("sip:nobody@" + STORE, 404), (message_uri(found[0]), 404)):
        same(await status_of(ask(bob, target)), status, target)


# --- what goes wrong later ---
@scenario(own=HASTY)
async def retrieval_that_is_not_taken(world):
    """413 and 415 leave that message and go on; silence, BYE and a lost connection leave the rest (D2-24)."""
    bob, requests = await returned(world, [b"%d" % n for n in range(6)])
    session = await accepted(ask(bob, deferred(), [message_uri(row) for row in rows(world, bob)[:3]]), answers=[413, 200, 415])
    unaltered([pager_of(await session.receive()) for _ in range(3)], requests[:3])
    await session.wait_bye()
    await remain(world, bob, 5)
    session = await accepted(ask(bob, message_uri(rows(world, bob)[0])), answers=[None])
    await session.wait_bye(10)
    await remain(world, bob, 5)
    session = await accepted(ask(bob, deferred()), answers=[200, None, None, None, None])
    await session.receive()
    _, listed = await world.server.api("GET", "sessions")
    same([(s["from"], s["to"], s["state"]) for s in listed["items"] if (s["to"] or "").startswith("Deferred@")],
         [("%s@%s" % (bob.name, DOMAIN), "Deferred@" + STORE, "FETCHING")], "listed")
    await remain(world, bob, 4)
    await session.hang_up()
    await remain(world, bob, 4)
    session = await accepted(ask(bob, deferred()), answers=[200, None, None, None])
    await session.receive()
    await remain(world, bob, 3)
    session.leg.close()
    await session.wait_bye(10)
    await remain(world, bob, 3)
    session = ask(bob, deferred())
    session.leg.answer = lambda chunk, respond: respond(200)
    same((await session.transaction.final()).status, 200, "INVITE")
    await session.wait_bye(10)  # nobody connected
    await fetched(ask(bob, deferred()), requests[3:])
    await remain(world, bob, 0)


@scenario(own=FETCH)
async def retrieved_once(world):
    """Two devices fetch at the same time: each message goes to one of them."""
    bob, requests = await returned(world, [b"%d" % n for n in range(30)])
    first, second = ask(bob, deferred()), ask(bob, deferred())
    got = []

    async def collect(session):
        await accepted(session)
        await session.wait_bye(20)
        while not session.leg.messages.empty():
            got.append(pager_of(session.leg.messages.get_nowait()).body)
    await asyncio.gather(collect(first), collect(second))
    same(sorted(got), sorted(request.body for request in requests), "messages")
    await remain(world, bob, 0)


@scenario(own=dict(FETCH, **{"deferred.push_window": "1"}))
async def push_beside_a_retrieval(world):
    """A push holds the message that is on its way: a retrieval at the same time gets the others, each of them once."""
    bob = await away(world)
    sent = await stored(world, bob, [b"1", b"2", b"3"])
    await comes_back(world, bob)
    pushed = await taking(world, bob, [None])
    first = pager_of(await pushed.receive())
    await fetched(ask(bob, deferred()), sent[1:])
    same(first.body, sent[0].body, "what the push has")
    await pushed.hang_up()
    await remain(world, bob, 1)
    await ended(world)
    await fetched(ask(bob, deferred()), sent[:1])
