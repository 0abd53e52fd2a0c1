"""Pager messages to lists, groups and sessions, and group advertisements, as somebody outside reads the specification:
8.3, E.1, RFC 5363, RFC 5365, D1-12, D1-20, D2-29, D2-37, D2-38, D2-41 to D2-43."""
import asyncio

from conference import begun, contact_of
from deferring import rows
from large_list import by_both_passes
from lists import (ADVERTISED, ADVERTISEMENT, ANONYMOUS, FACTORY, MAY, MEMBERS, MIXED, REQUIRED, group, listed, part, receive,
                   resource_list, rules, to_list, uris)
from pushing import pager_of
from retrieving import accepted, ask, deferred
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

KEPT = {"policy.offline_pager": "defer", "deferred.push_on_register": "false"}
PERMITTED = rules((MEMBERS, MAY))


async def clients(world, *names):
    return [await world.client(name) for name in names]


def group_name():
    return "group" + sip.token(6).lower()


async def quiet(*users):
    """To none of them anything comes; what follows is the proof that the server is through with what went before."""
    for user in users:
        await user.quiet(0.05)


# --- the list as others write it ---
@scenario()
async def lists_of_others(world):
    """The list with prefixes, comments, names, an unknown attribute and element, before and behind the text, in a body
    with preamble and epilogue; header lines of the parts folded and in odd letters."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    prefixed = ('<?xml version="1.0" encoding="UTF-8"?><!-- made by hand --><rl:resource-lists '
                'xmlns:rl="urn:ietf:params:xml:ns:resource-lists" xmlns:x="urn:x"><rl:list name="mine"><rl:display-name>Us'
                '</rl:display-name><rl:entry uri="%s" x:y="z"><rl:display-name xml:lang="en">B &amp; C</rl:display-name>'
                '<x:more/></rl:entry>\n<rl:entry\n uri=\'%s\'/></rl:list></rl:resource-lists>' % (bob.uri, carol.uri)).encode()
    default = ('<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list><entry uri="%s"><display-name>B'
               '</display-name></entry><entry uri="%s"/></list></resource-lists>' % (bob.uri, carol.uri)).encode()
    heads = (("content-type: application/resource-lists+xml", "CONTENT-DISPOSITION: recipient-list"),
             ("Content-Type:  Application/Resource-Lists+XML;charset=UTF-8", "Content-Disposition: recipient-list;handling=required",
              "Content-ID: <list@example.com>"),
             ("Content-Disposition:\r\n recipient-list", "Content-Length: %d", "Content-Type: application/resource-lists+xml"))
    for count, (xml, head) in enumerate([(x, h) for x in (prefixed, default) for h in heads]):
        text = b"number %d" % count
        parts = [part(xml, *[line % len(xml) if "%d" in line else line for line in head]), part(text, "Content-Type: text/plain")]
        body = b"".join(parts if count % 2 else parts[::-1])
        before, after = ((b"", b""), (b"This is a preamble.\r\n", b"and an epilogue\r\n"))[count % 2]
        kind = (MIXED, "Multipart/Mixed; charset=utf-8;\r\n boundary=b7")[count % 2]
        final = await alice.ask("MESSAGE", FACTORY, headers=[REQUIRED], content_type=kind, body=before + body + b"--b7--\r\n" + after)
        same(final.status, 202, "list %d" % count)
        for user in (bob, carol):
            same((await receive(user, text)).get("Content-Type"), "text/plain", "Content-Type")
        REQ("IM-8.3.1.1-8", "IM-8.3.2.1-5")


@scenario()
async def factory_uris(world):
    """D2-29: the parameter is no condition, its old names are synonyms; nor is Require: recipient-list-message one."""
    alice, bob = await world.pair()
    for parameter in ("", ";session=adhoc", ";sessiontype=adhoc", ";session=prearranged", ";session=chat", ";session=1-1",
                      ";x=y"):
        final = await to_list(alice, [bob], headers=(), uri="sip:factory@%s%s" % (DOMAIN, parameter))
        same(final.status, 202, "MESSAGE to the factory%s" % parameter)
        await receive(bob)
    REQ("IM-8.3.1.1-2", "IM-8.3.1.1-12")
    uri = await group(world, alice, group_name(), [alice, bob], PERMITTED)
    for parameter in ("", ";session=prearranged", ";session=adhoc", ";session=pre-defined", ";sessiontype=pre-defined"):
        final = await alice.ask("MESSAGE", uri + parameter, body=b"hello", content_type="text/plain")
        same(final.status, 202, "MESSAGE to a group%s" % parameter)
        await receive(bob)


@scenario()
async def blind_copies(world):
    """RFC 5364, RFC 5365 7.2: who stands as bcc is disclosed to nobody, who stands as to or cc gets the text too."""
    alice, bob, carol, dave = await clients(world, "alice", "bob", "carol", "dave")
    xml = ('<?xml version="1.0" encoding="UTF-8"?><resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists" '
           'xmlns:cp="urn:ietf:params:xml:ns:copycontrol"><list><entry uri="%s" cp:copyControl="to"/>'
           '<entry uri="%s" cp:copyControl="cc"/><entry uri="%s" cp:copyControl="bcc"/></list></resource-lists>' % (
               bob.uri, carol.uri, dave.uri)).encode()
    body = part(b"hello", "Content-Type: text/plain") + part(
        xml, "Content-Type: application/resource-lists+xml", "Content-Disposition: recipient-list") + b"--b7--\r\n"
    same((await alice.ask("MESSAGE", FACTORY, headers=[REQUIRED], content_type=MIXED, body=body)).status, 202, "MESSAGE")
    for user in (bob, carol, dave):
        server = await user.expect("MESSAGE")
        server.respond(200, "OK")
        check(b"hello" in server.request.body, "text at %s" % user.name)
        whole = server.request.encode().decode()
        check(user is dave or dave.name not in whole, "bcc is shown to %s" % user.name)
        check("recipient-list-message" not in whole and "Content-Disposition: recipient-list\r\n" not in whole, "the list went on")
        REQ("IM-8.3.2.1-5")


@scenario()
async def list_that_is_shown(world):
    """A list that one user sends another to look at, without saying that it is for recipients, is a message as any."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    xml = resource_list(carol.uri)
    for headers in ((), (("Content-Disposition", "render"),)):
        asking = asyncio.ensure_future(alice.ask("MESSAGE", bob.uri, headers=headers, body=xml,
                                                 content_type="application/resource-lists+xml"))
        await receive(bob, xml)
        same((await asking).status, 200, "MESSAGE with a list to look at")
    for uri in (bob.uri, "sip:factory2@" + DOMAIN):
        same((await to_list(alice, [carol], headers=(), uri=uri)).status, 404, "a list for recipients at " + uri)
    await quiet(bob, carol)


# --- lists that are too long, or send to nobody ---
@scenario(transports=("tcp",), own={"limits.uri_list": "10000", "limits.max_adhoc_group": "100", "limits.xml_bytes": "2MiB",
                                    "limits.max_size_pager": "2MiB"}, once=True)
async def list_of_ten_thousand(world):
    """10 000 entries: all the same one are one recipient, all others are too many, and none of them gets anything."""
    alice, bob = await world.pair()
    for entries, statuses in (([bob.uri] * 10000, (202, 413, 513)), ([bob.uri] + ["sip:n%d@%s" % (i, DOMAIN) for i in range(9999)],
                                                                     (486, 413, 513))):
        final = await to_list(alice, entries)
        check(final.status in statuses, "10 000 entries got %s" % final)
        if final.status == 202:
            await receive(bob)
        await quiet(bob, alice)
    same((await to_list(alice, [bob] * 10 + [alice])).status, 202, "a short list")
    await receive(bob)
    await receive(alice)


@scenario(own={"limits.uri_list": "100", "limits.max_adhoc_group": "100"})
async def list_limits_of_entries(world):
    """101 entries are 400 however few users they are; 100 duplicates are one recipient (D2-41, design.md 13)."""
    alice, bob = await world.pair()
    before = len(world.core.own) if world.ims else 0
    same((await to_list(alice, [bob] * 101)).status, 400, "101 entries")
    await quiet(bob)
    spellings = [bob.uri, bob.uri + ";transport=tcp", bob.uri.replace("@example.com", "@EXAMPLE.com"), bob.uri + ":5060",
                 "SIP:" + bob.uri[4:], bob.uri.replace("bob", "%62ob"), bob.uri + ";user=ip"]
    for wrong in ("", " ", "sip:", "bob", "http://h.invalid/", "sip:@" + DOMAIN, "sip:a b@" + DOMAIN):
        final = await to_list(alice, [bob, wrong])
        check(final.status in (202, 400), "entry %r got %s" % (wrong, final))
        if final.status == 202:
            await receive(bob)
    await quiet(bob)
    same((await to_list(alice, (spellings * 15)[:100])).status, 202, "100 spellings of one")
    await receive(bob)
    REQ("IM-8.3.1.1-8")
    await quiet(bob)
    if world.ims:
        check(len(world.core.own) - before < 10, "%d requests for one recipient" % (len(world.core.own) - before))


# --- each leg for itself ---
@scenario()
async def legs_fail_in_each_way(world):
    """Six recipients answer 200, 302, 401, 404, 503 and 600: the sender has one 202, and the next list reaches all."""
    names = {200: "a", 302: "b", 401: "c", 404: "d", 503: "e", 600: "f"}
    sender = await world.client("sender")
    users = {status: await world.client(name) for status, name in names.items()}
    responses = []
    for text in (b"one", b"two"):
        request = sender.build("MESSAGE", FACTORY, headers=[REQUIRED], content_type=MIXED,
                               body=listed(uris(*users.values()), (text, "text/plain")))
        transaction = sender.start(request)
        same((await transaction.final()).status, 202, "MESSAGE")
        for status, user in users.items():
            server = await user.expect("MESSAGE")
            same(server.request.body, text, "body")
            server.respond(status if text == b"one" else 200, None)
        responses.append([m.status for m in sender.log if m.method is None and m.call_id == request.call_id])
    REQ("IM-8.3.1.1-10", "IM-8.3.1.1-12")
    same([set(got) for got in responses], [{202}, {202}], "responses to the sender")
    await quiet(*users.values())


@scenario(transports=("udp",))
async def list_is_retransmitted(world):
    """The same request thrice: the same answer, and one copy for each."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    request = alice.build("MESSAGE", FACTORY, headers=[REQUIRED], content_type=MIXED,
                          body=listed(uris(bob, carol), (b"hello", "text/plain")))
    transaction = alice.start(request)
    for _ in range(2):
        alice.endpoint.send(request, alice.flow)
    same((await transaction.final()).status, 202, "MESSAGE")
    alice.endpoint.send(request, alice.flow)
    for user in (bob, carol):
        await receive(user)
    same((await to_list(alice, [bob, carol], b"next")).status, 202, "MESSAGE")
    for user in (bob, carol):
        await receive(user, b"next")
    await quiet(bob, carol)
    answers = [m for m in alice.log if m.method is None and m.call_id == request.call_id]
    same({(m.status, m.to_tag) for m in answers}, {(202, answers[0].to_tag)}, "answers")


# --- who is away ---
@scenario(own=KEPT)
async def list_and_group_for_later(world):
    """Members who are away fetch what was sent to the list, the group and the advertisement, octet by octet, without the
    list, and with the sender's name; who is there has it at once."""
    by_both_passes(world)
    alice, bob = await world.pair()
    carol, dave = [await world.client(name, register=False) for name in ("carol", "dave")]
    uri = await group(world, alice, group_name(), [alice, bob, carol, dave], PERMITTED)
    strange = bytes(range(256)) * 2 + b"\r\n--b7\r\r\n\n"
    sent = [(b"", strange.replace(b"--b7", b"--c7"), "application/octet-stream"), (b"group", strange, "text/x-any;a=\"b\""),
            (b"group", ADVERTISED, ADVERTISEMENT)]
    for target, text, kind in sent:
        if target:
            final = await alice.ask("MESSAGE", uri, body=text, content_type=kind)
        else:
            final = await to_list(alice, [carol, bob, dave], text, content_type=kind)
        same(final.status, 202, "MESSAGE with %s" % kind)
        same((await receive(bob, text)).get("Content-Type"), kind, "Content-Type")
    end = asyncio.get_running_loop().time() + 20
    while len(rows(world)) < 6:
        check(asyncio.get_running_loop().time() < end, "%d messages are stored" % len(rows(world)))
        await asyncio.sleep(0.05)
    calls = set()
    for user in (carol, dave):
        same((await user.register()).status, 200, "REGISTER")
        session = await accepted(ask(user, deferred()))
        inner = [pager_of(await session.receive()) for _ in sent]
        await session.wait_bye()
        found = sorted((m.body, m.get("Content-Type")) for m in inner)
        same(found, sorted((text, kind) for _, text, kind in sent), "what %s fetched" % user.name)
        for message in inner:
            same((sip.address(message.get("From"))[1], sip.address(message.get("To"))[1]), (alice.uri, user.uri), "From, To")
            check("recipient-list" not in message.encode().decode("latin-1"), "traces of the list")
            calls.add(message.call_id)
    REQ("IM-8.3.2.1-1", "IM-8.3.2.1-3", "IM-8.3.2.1-5", "IM-8.3.2.1-6")
    same(len(calls), 6, "Call-IDs")


# --- groups ---
@scenario()
async def group_message_checks(world):
    """Owned (404), then authorised (403), then anonymity (403), with their Warnings, whatever else is wrong."""
    alice, bob, eve = await clients(world, "alice", "bob", "eve")
    name = group_name()
    uri = await group(world, alice, name, [alice, bob], PERMITTED)
    nothing = "sip:%s-x@%s" % (name, DOMAIN)

    async def asked(user, target, status, phrase, headers=(), body=b"hello", content_type="text/plain"):
        final = await user.ask("MESSAGE", target, headers=headers, body=body, content_type=content_type)
        same(final.status, status, "MESSAGE of %s to %s" % (user.name, target))
        check((phrase or "") in final.get("Warning", ""), "Warning %r" % final.get("Warning"))
        return final
    for headers in ((), (ANONYMOUS,)):
        await asked(eve, nothing, 404, "Conference URI does not exist", headers)
        REQ("IM-8.3.1.1-3")
        final = await asked(eve, uri, 403, None, headers)
        check("nonym" not in final.get("Warning", ""), "anonymity before authorisation: %r" % final.get("Warning"))
        REQ("IM-8.3.1.1-4")
    await asked(alice, uri, 403, "nonym", (ANONYMOUS,))
    REQ("IM-8.3.1.1-6")
    await asked(eve, uri, 403, None, body=b"<x/>", content_type=ADVERTISEMENT)
    await quiet(alice, bob, eve)
    await asked(bob, uri, 202, None)
    await receive(alice)
    await quiet(bob)


@scenario()
async def groups_within_groups(world):
    """D1-20: one level only: groups and factories inside a listed group, and a group that contains itself, make no further
    copies."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    name = group_name()
    inner = await group(world, alice, name + "i", [alice, carol], PERMITTED)
    itself = "sip:%s@%s" % (name, DOMAIN)
    same(await group(world, alice, name, [bob, alice, inner, itself, "sip:factory@" + DOMAIN], PERMITTED), itself, "group")
    for entries in ([itself], [itself, itself + ";session=prearranged", bob, "sip:factory@%s;session=adhoc" % DOMAIN]):
        same((await to_list(alice, entries)).status, 202, "MESSAGE")
        await receive(bob)
        await quiet(bob, alice, carol)
    same((await alice.ask("MESSAGE", itself, body=b"hello", content_type="text/plain")).status, 202, "MESSAGE to the group")
    REQ("IM-8.3.1.1-7", "IM-8.3.2.1-6")
    await receive(bob)
    await quiet(bob, alice, carol)


# --- advertisements ---
NAMESPACE = b"urn:oma:params:xml:ns:IM:group-advertisement"


@scenario()
async def advertisements_of_others(world):
    """E.1.6 to E.1.8: each namespace, type, number of groups and URIs that is valid is exploded as it is; what is not valid
    is 400; another type with the same content is no advertisement."""
    alice, bob = await world.pair()
    plain = b'<group-advertisement xmlns="%s"><group%s>%s<uri>sip:g@example.com</uri>%s</group>%s</group-advertisement>'
    good = [plain % (name, kind, title, more, again)
            for name in (NAMESPACE, b"urn:oma:params:xml:ns:IM:groupadvertisement", b"urn:oma:params:xml:ns:im:group-advertisement")
            for kind, title, more, again in ((b"", b"", b"", b""), (b' type="dialed-out"', b"<display-name>x</display-name>", b"", b""),
                                             (b' type="other"', b"", b"<uri>tel:+1</uri>", b"<group><uri>sip:h@example.com</uri></group>"))]
    good.append((b'<?xml version="1.0" encoding="UTF-8"?>\n<g:group-advertisement xmlns:g="%s" xmlns:x="urn:x" x:y="z"><g:note>' +
                 "\u2603".encode() + b'</g:note><g:group x:w="v" type="dialed-in"><g:uri>sip:g@example.com</g:uri><x:other/>'
                 b'</g:group></g:group-advertisement>') % NAMESPACE)
    for document in good:
        final = await to_list(alice, [bob], document, content_type=ADVERTISEMENT)
        same(final.status, 202, "advertisement %r" % document)
        await receive(bob, document)
        REQ("IM-E.1.6-2", "IM-E.1.6-3", "IM-E.1.6-4", "IM-E.1.8-1")
    bad = [b"", b"hello", good[0][:-1], good[0].replace(NAMESPACE, b"urn:other"), b'<group-advertisement xmlns="%s"/>' % NAMESPACE,
           plain % (NAMESPACE, b' type="dialled"', b"", b"", b""),
           b'<!DOCTYPE x [<!ENTITY e "v">]>' + plain % (NAMESPACE, b"", b"<display-name>&e;</display-name>", b"", b""),
           b'<group-advertisement xmlns="%s"><group><display-name>x</display-name></group></group-advertisement>' % NAMESPACE,
           b'<group-advertisement xmlns="%s"><group><uri>sip:g@h</uri></group><note>late</note></group-advertisement>' % NAMESPACE]
    for document in bad:
        final = await to_list(alice, [bob], document, content_type=ADVERTISEMENT)
        same(final.status, 400, "advertisement %r" % document)
        REQ("IM-E.1.6-1")
    await quiet(bob)
    same((await to_list(alice, [bob], b"<x/>", content_type="application/vnd.poc.group-advertisement+xml")).status, 202,
         "another type (D2-38)")
    await receive(bob, b"<x/>")


# --- sessions ---
@scenario()
async def session_of_a_group(world):
    """A session of a group by its identity: those who take part get it, members who do not take part and the sender do not;
    nobody else may send, and after the end nobody."""
    by_both_passes(world)
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, group_name(), [alice, bob, carol], PERMITTED, more="<invite-members>true</invite-members>")
    outgoing = alice.invite(uri + ";session=prearranged")
    first, second = await bob.expect_invite(), await carol.expect_invite()
    second.refuse(603)
    await first.accept()
    await outgoing.established()
    identity = contact_of(first.request)
    alices = contact_of(outgoing.response)
    for user, target, others in ((bob, identity, [alice]), (alice, alices, [bob])):
        same((await user.ask("MESSAGE", target, body=b"psst", content_type="text/plain")).status, 202, "MESSAGE to the session")
        for other in others:
            got = await receive(other, b"psst")
            same(sip.address(got.get("To"))[1], other.uri, "To")
            check(sip.address(got.get("From"))[1] != user.uri, "From names the sender: %s" % got.get("From"))
        REQ("IM-8.3.1.1-11", "IM-8.3.2.1-7", "IM-8.3.2.1-8")
    same((await carol.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status, 403, "a member who takes no part")
    same((await bob.ask("MESSAGE", uri, body=b"all", content_type="text/plain")).status, 202, "MESSAGE to the group")
    for user in (alice, carol):
        got = await receive(user, b"all")
        same(sip.address(got.get("From"))[1], bob.uri, "From")
    await quiet(alice, bob, carol)
    await outgoing.hang_up()
    while (final := await alice.ask("MESSAGE", alices, body=b"bye", content_type="text/plain")).status == 202:
        await receive(bob, b"bye")  # a pass that answers her BYE itself tells the focus afterwards
    same(final.status, 403, "who has left")
    await first.hang_up()  # a group's session goes on with one (D1-30)
    while (await bob.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status != 403:
        await asyncio.sleep(0.05)
    REQ("IM-8.3.1.1-5")
    await quiet(alice, bob, carol)


@scenario()
async def session_message_with_one_away(world):
    """One participant does not take it: the sender has his 202, the others their copy, and the session goes on."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    outgoing, (to_bob, to_carol) = await begun(world, bob, carol, by=alice)
    identity = contact_of(to_bob.request)
    same((await bob.ask("MESSAGE", identity, body=b"psst", content_type="text/plain")).status, 202, "MESSAGE to the session")
    await receive(alice, b"psst", 486)
    await receive(carol, b"psst")
    await outgoing.send("still here")
    for session in (to_bob, to_carol):
        same(bytes((await session.receive()).body), b"still here", "text at " + session.agent.name)
    await quiet(alice, bob, carol)
    await outgoing.hang_up()
    await to_bob.wait_bye()
    await to_carol.wait_bye()
