"""Large messages and files to one, to a list and to a group, as somebody outside reads the specification: chapter 9, FT,
F18 to F22, D1-22, D2-11 to D2-13, D2-44 to D2-46, RFC 5366, RFC 5547."""
import asyncio
import hashlib
import re
import secrets

from files import describe, lines_of, take_paths
from large import kept_for
from large_list import (FACTORY, SUCCESS, by_both_passes, clients, confirm, got, multipart, no_report, offer, reported,
                        stored)
from large_list import established as established_by_focus
from lists import group
from pushing import large_of
from retrieving import accepted, ask, deferred
from ua import REQ, agent, check, msrp, same, sip
from world import scenario

KINDS = ("one", "list", "group")
MIB = 1 << 20
KEPT = {"policy.offline_large": "defer", "deferred.push_on_register": "false"}


async def asked(world, kind, alice, members, size=None, extra=(), **more):
    """alice's INVITE to the first of them, to a list of them or to a new group of hers."""
    if kind == "one":
        lines = (["a=filesize:%d" % size] if size is not None else []) + list(extra)
        return alice.invite(members[0], direction="sendonly", extra=lines, **more)
    if kind == "list":
        return offer(alice, members, size, extra=extra, **more)
    uri = await group(world, alice, "group" + sip.token(6).lower(), [alice, *members])
    return offer(alice, None, size, uri + ";session=prearranged", extra=extra, **more)


async def begun(world, kind, alice, members, size=None, **more):
    """(her session, theirs), in which she may send."""
    outgoing = await asked(world, kind, alice, members, size, **more)
    sessions = [await user.expect_invite() for user in (members[:1] if kind == "one" else members)]
    answering = [asyncio.ensure_future(session.accept(direction="recvonly")) for session in sessions]
    await (outgoing.established() if kind == "one" else established_by_focus(outgoing))
    for task in answering:
        await task
    return outgoing, sessions


async def over(outgoing, *sessions):
    await outgoing.hang_up()
    for session in sessions:
        await session.wait_bye()


# --- what arrives ---
@scenario(seconds=80)
async def sizes_of_messages(world):
    """0, 1, 1299, 1300 and 65536 octets, announced as such: the same octets at each recipient, with type, name and
    disposition, and one REPORT when all have confirmed."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    for kind in KINDS:
        for size in (0, 1, 1299, 1300, 65536):
            content = secrets.token_bytes(size)
            outgoing, sessions = await begun(world, kind, alice, [bob, carol], size)
            sent = "m%d.%s" % (size, kind)
            await outgoing.send(content, chunk=(None, 1000, 2048, 30000)[size % 4], message_id=sent, headers=SUCCESS + [
                ("Content-Disposition", "attachment; filename=\"a b\"")], content_type="application/x-any")
            for session in sessions:
                message = await got(session, content)
                head = message.chunks[0]
                same((message.id, message.content_type, head.get("Content-Disposition"), head.get("Success-Report")),
                     (sent, "application/x-any", "attachment; filename=\"a b\"", "yes"), "head of the copy")
                await no_report(outgoing)
                confirm(session, message)
            report = await reported(outgoing, 200)
            same(report.get("Message-ID"), sent, "Message-ID of the REPORT")
            await no_report(outgoing)
            await over(outgoing, *sessions)
            REQ("IM-9.3.1.1-6", "IM-9.3.2.1-13", "IM-9.3.2.1-14")


@scenario(own=dict(KEPT, **{"limits.max_size_file": "10MiB", "limits.max_size_1to1": "10MiB"}), seconds=150, once=True)
async def ten_mebibytes(world):
    """10 MiB, the most that is permitted, to one, to a list and to a group, to who is there and who is away; an octet more
    is 403 to one, list and group."""
    by_both_passes(world)
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    dave = await world.client("dave", register=False)
    content = secrets.token_bytes(10 * MIB)
    digest = hashlib.sha256(content).hexdigest()
    for kind in KINDS:
        outgoing, sessions = await begun(world, kind, alice, [bob, carol], len(content))
        await outgoing.send(content, chunk=MIB, seconds=60)
        for session in sessions:
            message = await session.receive(60)
            same((message.length, message.digest), (len(content), digest), "content at " + session.agent.name)
        await over(outgoing, *sessions)
        outgoing = await asked(world, kind, alice, [bob, carol], len(content) + 1)
        same((await outgoing.transaction.final()).status, 403, "10 MiB and an octet to %s" % kind)
    await bob.quiet(0.05)
    outgoing = await asked(world, "list", alice, [dave], len(content))
    await established_by_focus(outgoing)
    await outgoing.send(content, chunk=MIB, seconds=60, headers=SUCCESS)
    await reported(outgoing, 200)
    await outgoing.hang_up()
    same([kept.digest for kept in kept_for(world, dave)], [digest], "kept for dave")


@scenario(own=KEPT, seconds=60)
async def large_messages_for_later(world):
    """Who is away fetches later, octet by octet, what was sent to him alone, in a list and in a group, with the sender's
    name and the headers of the SEND; the sender's REPORT says that it was accepted."""
    by_both_passes(world)
    alice, bob = await clients(world, "alice", "bob")
    carol, dave = [await world.client(name, register=False) for name in ("carol", "dave")]
    contents = []
    for kind, size in (("list", 1300), ("group", 200001), ("list", 1), ("group", 2049)):
        contents.append(b"\xff" + secrets.token_bytes(size - 1))   # no text, whatever the rest is
        outgoing = await asked(world, kind, alice, [carol, bob, dave], size)
        session = await bob.expect_invite()
        await session.accept(direction="recvonly")
        await established_by_focus(outgoing)
        await outgoing.send(contents[-1], chunk=70000, message_id="id-%d" % size, content_type="image/x-any",
                            headers=SUCCESS + [("Content-Disposition", "attachment")])
        confirm(session, await got(session, contents[-1]))
        await reported(outgoing, 200)
        await over(outgoing, session)
    for user in (carol, dave):
        await stored(world, user, len(contents))
        same((await user.register()).status, 200, "REGISTER")
        session = await accepted(ask(user, deferred()))
        for content in contents:
            fragment, headers, inside = large_of(await session.receive(30))
            check(inside == content, "%d octets are others" % len(content))
            same(sip.address(fragment.get("From"))[1], alice.uri, "From")
            same((headers["Message-ID"], headers["Content-Type"], headers["Content-Disposition"]),
                 ("id-%d" % len(content), "image/x-any", "attachment"), "headers of the SEND")
            check("resource-lists" not in fragment.encode().decode("latin-1"), "traces of the list")
        await session.wait_bye()
        REQ("IM-9.3.1.1-3")


# --- descriptions ---
@scenario()
async def attributes_go_on(world):
    """D1-22, D2-45, D2-46: what describes the content goes to each recipient as it came, unknown attributes too, and is in
    the answer; path, set-up and direction are the server's own."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    lines = ["a=filename:x y.jpg", "a=filetype:image/jpeg", 'a=file-selector:name:"x y.jpg" type:image/jpeg size:9',
             "a=filelength:9", "a=file-transfer-id:Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE", "a=file-disposition:attachment",
             "a=disposition:inline", 'a=file-date:creation:"Mon, 15 May 2006 15:01:31 +0300"', "a=file-icon:cid:i@h",
             "a=x-unknown:some thing", "a=x-flag", "a=accept-wrapped-types:text/html image/png"]
    for kind in KINDS:
        outgoing, sessions = await begun(world, kind, alice, [bob, carol], 9, extra=lines)
        for session in sessions:
            offered = session.request.body.decode().split("\r\n")
            same([line for line in lines + ["a=filesize:9", "a=sendonly"] if line not in offered], [], "not offered to " + kind)
            same(len([line for line in offered if line.startswith("a=path:")]), 1, "paths")
            check(str(outgoing.leg.local) not in session.request.body.decode(), "the sender's path went on")
        answer = outgoing.response.body.decode().split("\r\n")
        if kind != "one":   # there the answer is the recipient's
            same([line for line in lines[:-1] + ["a=filesize:9"] if line not in answer], [], "not in the answer to " + kind)
        check("a=recvonly" in answer and "a=sendonly" not in answer, "direction of the answer %s" % answer)
        await outgoing.send(b"picture!!", content_type="image/jpeg")
        for session in sessions:
            await got(session, b"picture!!")
        await over(outgoing, *sessions)
        REQ("IM-9.3.1.1-5", "IM-9.3.2.1-5", "IM-9.3.2.1-7", "IM-FT-2", "IM-FT-3")


@scenario()
async def sizes_that_contradict(world):
    """D2-11: three notations of the size; two that differ are 488 to one, list and group, two that agree are none."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    size, length, selector = "a=filesize:%d", "a=filelength:%d", 'a=file-selector:name:"f" size:%d'
    for kind in KINDS:
        for first, second in ((size, length), (size, selector), (length, selector)):
            outgoing = await asked(world, kind, alice, [bob, carol], extra=[first % 5, second % 6])
            same((await outgoing.transaction.final()).status, 488, "%s and %s to %s" % (first, second, kind))
        await bob.quiet(0.05)
        outgoing, sessions = await begun(world, kind, alice, [bob, carol], extra=[size % 5, length % 5, selector % 5])
        await outgoing.send(b"hello")
        for session in sessions:
            await got(session, b"hello")
        await over(outgoing, *sessions)


@scenario(own={"policy.content_types": '["text/plain", "image/png"]'})
async def types_that_are_taken(world):
    """D1-22: what is offered on is what both the sender and the server take; nothing in common is 488 with Warning 305,
    and nobody is called."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    for kind in ("list", "group"):
        outgoing = await asked(world, kind, alice, [bob, carol], 5, accept="image/gif text/html")
        response = await outgoing.transaction.final()
        if world.ims:  # the originating pass has looked before the focus does (6.2.3.2)
            check(response.status in (403, 488), "types that nobody takes got %s" % response)
        else:
            same(response.status, 488, "types that nobody takes")
            check(re.match(r"305 ", response.get("Warning", "")), "Warning %r" % response.get("Warning"))
        await bob.quiet(0.05)
        outgoing, sessions = await begun(world, kind, alice, [bob, carol], 5, accept="image/gif text/plain")
        for description in [outgoing.answer] + [session.offer for session in sessions]:
            check("image/gif" not in description.accept_types and "text/plain" in description.accept_types,
                  "types %s" % description.accept_types)
        REQ("IM-9.3.2.1-6")
        await outgoing.send(b"hello")
        for session in sessions:
            await got(session, b"hello")
        await over(outgoing, *sessions)


# --- several files ---
class Files:
    """Alice offers files to several; each takes some of them."""

    def __init__(self, world, alice, members, files):
        self.world, self.alice, self.members, self.files = world, alice, members, files

    async def offer(self, kind):
        self.mine = [msrp.Leg(self.alice.msrp) for _ in self.files]
        body = describe(self.mine, self.files, "actpass", "sendonly")
        if kind == "list":
            self.outgoing = self.alice.invite(
                FACTORY, offer=body, headers=[("Require", "recipient-list-invite")], edit=lambda text: multipart(text, self.members),
                content_type="multipart/mixed;boundary=b")
        else:
            uri = await group(self.world, self.alice, "group" + sip.token(6).lower(), [self.alice, *self.members])
            self.outgoing = self.alice.invite(uri, offer=body)
        self.servers = [await user.expect("INVITE") for user in self.members]
        self.theirs, self.dialogs = [], []
        return self

    async def answer(self):
        """Each takes what he is offered; then who has a line in use binds it. The numbers of the files that go over."""
        for user, server in zip(self.members, self.servers):
            ports = [port for port, _ in lines_of(server.request.body)]
            legs = [msrp.Leg(user.msrp) for _ in ports]
            take_paths(legs, server.request.body, "offer to " + user.name)
            body = describe(legs, [()] * len(legs), "passive", "recvonly", accept="*")
            response = server.respond(200, "OK", [("Contact", user.contact), ("Allow", agent.ALLOW)], body, "application/sdp")
            self.dialogs.append(agent.Dialog(user, server.flow, server.request, response, False))
            self.theirs.append(legs)
        same((await self.outgoing.transaction.final()).status, 200, "INVITE with files")
        used = take_paths(self.mine, self.outgoing.response.body, "answer")
        for server in self.servers:
            await server.wait_ack()
        for leg in used:
            await leg.connect()
        for legs in self.theirs:
            for leg in legs:
                await leg.wait_bound()
        return [self.mine.index(leg) for leg in used]

    async def over(self):
        await self.outgoing.dialog.hang_up()
        for dialog in self.dialogs:
            await dialog.wait_bye()
        for leg in [*self.mine, *[leg for legs in self.theirs for leg in legs]]:
            leg.close()


def file_lines(name, size):
    return ["a=filename:" + name, "a=filesize:%d" % size, 'a=file-selector:name:"%s" type:image/png size:%d' % (name, size),
            "a=file-transfer-id:" + secrets.token_hex(16)]


@scenario()
async def several_files_to_several(world):
    """Three files to a list and a group: as many lines in the answer, each of which is in use or has port 0 (RFC 3264 6, RFC
    5547 8.2); what is in use is offered to all as it was described, and reaches all; BYE after the last."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    contents = [secrets.token_bytes(size) for size in (3000, 9, 70000)]
    files = [file_lines("f%d.png" % number, len(content)) for number, content in enumerate(contents)]
    for kind in ("list", "group"):
        transfer = await Files(world, alice, [bob, carol], files).offer(kind)
        used = await transfer.answer()
        check(used, "no file is taken")
        for server, legs in zip(transfer.servers, transfer.theirs):
            for number in used:
                found = [i for i, (_, part) in enumerate(lines_of(server.request.body)) if files[number][-1] in part]
                same(len(found), 1, "lines of the offer with file %d" % number)
                part = lines_of(server.request.body)[found[0]][1]
                same([line for line in files[number] + ["a=sendonly"] if "\r\n%s\r\n" % line not in part], [], "missing in the offer")
        for at, number in enumerate(used):
            same(set(await transfer.mine[number].send(contents[number], content_type="image/png", headers=[
                ("Content-Disposition", "attachment")])), {200}, "responses")
            for legs in transfer.theirs:
                message = await legs[at].message(20)
                same(message.digest, hashlib.sha256(contents[number]).hexdigest(), "file %d" % number)
                same(message.chunks[0].get("Content-Disposition"), "attachment", "Content-Disposition")
        REQ("IM-FT-1", "IM-FT-4")
        await transfer.over()


@scenario()
async def icons(world):
    """FT-5: the picture that stands in the body beside the description reaches who is to see it."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    icon = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    part = (b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <id2@alicepc.example.com>\r\n"
            b"Content-Disposition: icon\r\n\r\n" + icon + b"\r\n")
    lines = file_lines("x.png", 5) + ["a=file-icon:cid:id2@alicepc.example.com"]
    for members in ([bob], [bob, carol]):
        uri, headers = (bob, []) if len(members) == 1 else (FACTORY, [("Require", "recipient-list-invite")])

        def edit(body):
            whole = multipart(body, members)
            if len(members) == 1:
                whole = whole[:whole.index(b"--b\r\nContent-Type: application/resource-lists+xml")] + b"--b--\r\n"
            return whole.replace(b"--b--\r\n", part + b"--b--\r\n")
        outgoing = alice.invite(uri, direction="sendonly", extra=lines, edit=edit, headers=headers,
                                content_type="multipart/mixed;boundary=b")
        for user in members:
            server = await user.expect("INVITE")
            check(icon in server.request.body and b"Content-ID: <id2@alicepc.example.com>" in server.request.body,
                  "no icon at %s of %d: %r" % (user.name, len(members), server.request.body))
            check(b"a=file-icon:cid:id2@alicepc.example.com" in server.request.body, "no file-icon")
            check(b"resource-lists" not in server.request.body, "the list went on")
            server.respond(486, "Busy Here")
            REQ("IM-FT-5")
        same((await outgoing.transaction.final()).status, 486, "INVITE with an icon")
