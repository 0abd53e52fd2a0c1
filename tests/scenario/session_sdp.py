"""Session descriptions across the server: which m= line is used, what passes unchanged, what the server
decides (RFC 3264, RFC 4975 8, RFC 5547; D1-08, D1-17, D1-31)."""
import asyncio
import re

from ua import REQ, check, msrp, same, sdp
from world import scenario

AUDIO = "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
VIDEO = "m=video 4002/2 RTP/AVP 31\r\n"


def described(agent, **more):
    """(leg, session part, media part) of an offer."""
    leg = msrp.Leg(agent.msrp)
    agent.keep_secret(leg)
    text = sdp.build(leg.local, "actpass", **more).decode()
    at = text.index("m=message")
    return leg, text[:at], text[at:]


async def answered(outgoing, invitation, answer=None, edit=None):
    """The 200 goes back, both legs are bound; returns the answer's text as A got it."""
    if edit:
        build = sdp.build
        sdp.build = lambda *a, **k: edit(build(*a, **k))
    try:
        accepting = asyncio.ensure_future(invitation.accept())
        await asyncio.sleep(0)
    finally:
        if edit:
            sdp.build = build
    response = await outgoing.transaction.final()
    await accepting
    return response.body.decode()


async def refused(alice, bob, text, status, what, warning=None, **more):
    outgoing = alice.invite(bob, offer=text.encode() if isinstance(text, str) else text, **more)
    response = await outgoing.transaction.final()
    same(response.status, status, what)
    same([v.split()[0] for v in response.list("Warning")], [warning] if warning else [], "Warning: " + what)
    return response


@scenario()
async def other_media_are_rejected(world):
    """Of several m= lines the first MSRP one that can be used is the session's; the answer has all of
    them in their order, the others with port 0 (RFC 3264 6); the called side is offered that one only."""
    alice, bob = await world.pair()
    leg, head, media = described(alice)
    dead = media.replace("m=message %d" % leg.local.port, "m=message 0")
    secure = media.replace("TCP/MSRP", "TCP/WHAT/MSRP").replace("a=path:msrp:", "a=path:msrps:")
    idle = media + "a=inactive\r\n"
    for parts in ((AUDIO, media, VIDEO), (dead, media), (secure, media), (idle, media), (media, media),
                  (AUDIO, VIDEO, dead, secure, media, AUDIO)):
        outgoing = alice.invite(bob, offer=(head + "".join(parts)).encode())
        outgoing.leg = leg
        invitation = await bob.expect_invite()
        same(invitation.request.body.decode().count("\r\nm="), 1, "m= lines at B")
        answer = await answered(outgoing, invitation)
        lines = re.findall(r"m=(\S+) (\d+)", answer)
        same([kind for kind, _ in lines], [re.match(r"m=(\S+)", p).group(1) for p in parts], "m= lines")
        used = [i for i, (_, port) in enumerate(lines) if port != "0"]
        same(used, [parts.index(media)], "m= line in use")
        await outgoing.dialog.hang_up()
        await invitation.wait_bye()
        leg, head, fresh = described(alice)
    REQ("IM-6.2.3.2-6", "IM-9.4.1-1")


@scenario()
async def description_passes(world):
    """Attributes and lines nobody knows pass unchanged in both directions, at both levels; o=, c= and the
    path are the server's; what the peer forgot is added (RFC 4566 5)."""
    alice, bob = await world.pair()
    leg, head, media = described(alice, extra=["a=chatroom:nickname", "a=own:1  2", "a=accept-wrapped-types:*",
                                               "a=msrp-cema", "i=title"][:4])
    head = head.replace("s=-", "s=Caf\u00e9").replace("t=0 0", "b=AS:64\r\nt=0 0") + "a=tool:x y\r\n"
    outgoing = alice.invite(bob, offer=(head + media).encode())
    outgoing.leg = leg
    invitation = await bob.expect_invite()
    text = invitation.request.body.decode()
    for line in ("s=Caf\u00e9", "b=AS:64", "t=0 0", "a=tool:x y", "a=chatroom:nickname", "a=own:1  2",
                 "a=accept-wrapped-types:*", "a=msrp-cema"):
        check("\r\n%s\r\n" % line in text, "%r is missing at B: %r" % (line, text))
    check(re.search(r"\r\nm=message \d+ TCP/MSRP \*\r\n", text), "m= line: %r" % text)

    def edit(body):
        return body.replace(b"t=0 0", b"a=tool:z").replace(b"s=-\r\n", b"") + b"a=hers:3\r\na=max-size:4711\r\n"
    answer = await answered(outgoing, invitation, edit=edit)
    for line in ("s=-", "t=0 0", "a=tool:z", "a=hers:3", "a=max-size:4711"):
        check("\r\n%s\r\n" % line in answer, "%r is missing at A: %r" % (line, answer))
    await outgoing.dialog.hang_up()
    await invitation.wait_bye()


@scenario()
async def unusable_descriptions(world):
    """No m= line that can be used is 488 with a Warning that says why, what is no description 400, one
    that is too long 513, too many m= lines 488."""
    alice, bob = await world.pair()
    leg, head, media = described(alice)
    await refused(alice, bob, head, 488, "no media", "304")
    await refused(alice, bob, head + AUDIO + VIDEO, 488, "no message", "304")
    await refused(alice, bob, head + media.replace("m=message %d" % leg.local.port, "m=message 0"), 488,
                  "port 0", "304")
    await refused(alice, bob, head + media.replace("TCP/MSRP", "TCP/BFCP"), 488, "no MSRP", "302")
    for path in ("", "a=path:\r\n", "a=path:http://h/x;tcp\r\n", "a=path:msrp://h:1/s\r\n", "a=path:msrps://h:1/s;tcp\r\n"):
        await refused(alice, bob, head + re.sub("a=path:[^\n]*\n", path, media), 488, "path %r" % path, "399")
    await refused(alice, bob, head + re.sub("a=accept-types:[^\n]*\n", "", media), 488, "no accept-types", "305")
    await refused(alice, bob, head + media + "a=inactive\r\n", 488, "inactive", "399")
    await refused(alice, bob, head + media + "a=recvonly\r\n", 403, "recvonly")
    await refused(alice, bob, head + media * 17, 488, "17 m= lines", "399")
    for text in (head.replace("v=0", "v=1") + media, head[5:] + media, head + media.replace("*", "").replace(
            "TCP/MSRP", ""), head.replace("c=", "C=") + media, head + "x\r\n" + media, "hello"):
        await refused(alice, bob, text, 400, "no description: %r" % text[:30])
    if world.transport == "tcp":
        for n, status in ((13000, 486), (16000, 513)):
            outgoing = alice.invite(bob, offer=(head + media + "a=own:%s\r\n" % ("x" * n)).encode())
            if status == 486:
                (await bob.expect_invite()).refuse(486)
            same((await outgoing.transaction.final()).status, status, "description of %d octets" % n)
    await bob.quiet(0.05)


@scenario()
async def bodies(world):
    """The description may be a part of a multipart, in any order; other parts go on to B as they came;
    415 with Accept for what must be understood and is not, and for encodings (D1-31, RFC 3261 8.2.3)."""
    alice, bob = await world.pair()
    leg, head, media = described(alice)
    plain = head + media

    def part(content_type, content, *more):
        return "--b1\r\n%s\r\n\r\n%s\r\n" % ("\r\n".join(("Content-Type: " + content_type,) + more), content)
    card = part("application/x-card", "hello", "Content-ID: <c1>")
    maybe = part("application/x-other", "well", "Content-Disposition: by-reference;handling=optional")
    session = part("application/sdp", plain, "Content-Disposition: session", "Content-Length: %d" % len(plain))
    mixed = "multipart/mixed;boundary=b1"
    for kind, text in (("multipart/mixed; boundary=\"b1\"", session), (mixed, card + session + maybe),
                       (mixed, session + card), ("multipart/related;boundary=b1", maybe + session)):
        outgoing = alice.invite(bob, offer=(text + "--b1--\r\n").encode(), headers=[], content_type=kind)
        server = await bob.expect("INVITE")
        got = server.request
        body = got.body.decode()
        if text == session:
            same(got.get("Content-Type"), "application/sdp", "type of the description alone")
        else:
            same(got.get("Content-Type"), kind, "Content-Type at B")
            for piece in (card, maybe):
                same(piece in body, piece in text, "part at B: %r" % body)
            check("Content-Length: %d\r\n" % len(plain) not in body, "stale Content-Length in a part")
            check(body.endswith("\r\n--b1--\r\n"), "end of %r" % body)
        check(re.search(r"\r\na=path:msrp://", body), "description at B: %r" % body)
        check(leg.local.session_id not in body, "A's path at B")
        server.respond(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE")
    REQ("IM-6.2.3.2-6")

    async def odd(text, kind, status, **more):
        response = await alice.invite(bob, offer=text.encode(), content_type=kind, **more).transaction.final()
        same(response.status, status, "INVITE with %s %r" % (kind, text[:40]))
        if status == 415:
            check("application/sdp" in response.list("Accept") and "multipart/mixed" in response.list("Accept"),
                  "Accept %s" % response.all("Accept"))
        return response
    await odd("hello", "text/plain", 415)
    await odd(card + "--b1--\r\n", mixed, 415)
    await odd(session, mixed, 400)
    await odd(session + "--b1--\r\n", "multipart/mixed", 400)
    await odd(part("application/sdp", plain, "Content-Transfer-Encoding: base64") + "--b1--\r\n", mixed, 415)
    response = await odd(plain, "application/sdp", 415, headers=[("Content-Encoding", "gzip")])
    same(response.list("Accept-Encoding"), ["identity"], "Accept-Encoding of the 415")
    await odd(plain, "application/sdp", 415, headers=[("Content-Disposition", "early-session")])
    # what may be ignored is: then the INVITE offers nothing, and the server does
    outgoing = alice.invite(bob, offer=b"hello", content_type="text/plain",
                            headers=[("Content-Disposition", "render;handling=optional"), ("Content-Language", "de")])
    server = await bob.expect("INVITE")
    same(server.request.get("Content-Type"), "application/sdp", "Content-Type at B")
    for name in ("Content-Disposition", "Content-Language"):
        same(server.request.all(name), [], name + " of a body that did not go on")
    server.respond(486)
    same((await outgoing.transaction.final()).status, 486, "INVITE with a body that may be ignored")
    await bob.quiet(0.05)


@scenario(modes=("standalone",))
async def hidden_callers_parts_stay(world):
    """Standalone, Privacy: id: only the description goes on, for other parts may name the caller."""
    alice, bob = await world.pair()
    leg, head, media = described(alice)
    text = "--b1\r\nContent-Type: text/x-card\r\n\r\n%s\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n%s\r\n--b1--\r\n" % (
        alice.name, head + media)
    outgoing = alice.invite(bob, offer=text.encode(), content_type="multipart/mixed;boundary=b1",
                            headers=[("Privacy", "id")])
    server = await bob.expect("INVITE")
    same(server.request.get("Content-Type"), "application/sdp", "Content-Type at B")
    check(alice.name not in server.request.encode().decode(), "the caller is named")
    server.respond(486)
    await outgoing.transaction.final()


@scenario(own={"limits.max_size_file": "1000", "limits.max_size_1to1": "500"}, once=True)
async def announced_sizes(world):
    """One-way transfers announce their size by filesize, filelength or file-selector: all agree or 488; above
    limits.max_size_file 403 (what has no name is a message: limits.max_size_1to1, D2-12), at it the INVITE goes on
    with the attributes as they are; a=max-size is the smaller of the peer's and ours (D1-17, RFC 5547)."""
    alice, bob = await world.pair()
    for extra, status, warning in (
            (["a=filesize:501"], 403, None), (["a=filename:f", "a=filelength:1001"], 403, None),
            (['a=file-selector:type:" name:" size:501'], 403, None),
            (['a=file-selector:name:"a b" size:1001 type:text/plain'], 403, None),
            (["a=filesize:9", "a=filelength:10"], 488, "399"), (["a=filesize:9", "a=file-selector:size:10"], 488, "399"),
            (["a=filesize:many"], 488, "399"), (["a=filesize:99999999999999999999"], 488, "399")):
        leg, head, media = described(alice, direction="sendonly", extra=extra)
        await refused(alice, bob, head + media, status, str(extra), warning)
    REQ("IM-6.2.2.1-3", "IM-6.2.6.1-5")
    for extra, most in ((["a=filename:f", "a=filesize:1000"], 1000), (["a=filesize:500"], 500),
                        (["a=filelength:1000", "a=filesize:1000", "a=filename:f"], 1000),
                        (['a=file-selector:name:" size:5000" size:1000'], 1000), ([], 500)):
        outgoing = alice.invite(bob, direction="sendonly", extra=extra + ["a=max-size:2000"])
        invitation = await bob.expect_invite()
        text = invitation.request.body.decode()
        for line in extra + ["a=sendonly", "a=max-size:%d" % most]:
            check("\r\n%s\r\n" % line in text, "%r is missing: %r" % (line, text))
        REQ("IM-6.2.3.2-7", "IM-6.2.3.1-6")
        # an answer that forgets to say so is recvonly all the same
        answer = await answered(outgoing, invitation)
        check("\r\na=recvonly\r\n" in answer, "direction of the answer: %r" % answer)
        await outgoing.dialog.hang_up()
        await invitation.wait_bye()
    for said, expected in ((None, 500), (499, 499), (501, 500)):
        outgoing = alice.invite(bob, extra=["a=max-size:%d" % said] if said else [])
        invitation = await bob.expect_invite()
        same(invitation.offer.attribute("max-size"), str(expected), "max-size of a session's offer")
        answer = await answered(outgoing, invitation)
        check("\r\na=max-size:500\r\n" in answer, "max-size of the answer: %r" % answer)
        await outgoing.dialog.hang_up()
        await invitation.wait_bye()


@scenario(own={"policy.content_types": "[text/plain, message/cpim, 'image/*']"}, once=True)
async def content_policy(world):
    """policy.content_types: an offer of nothing permitted is 403 without Warning; of others only what is
    permitted is offered on and answered (6.2.2.1 step 3)."""
    alice, bob = await world.pair()
    leg, head, media = described(alice, accept="text/html video/*")
    await refused(alice, bob, head + media, 403, "nothing permitted")
    REQ("IM-6.2.2.1-3", "IM-6.2.6.1-5")
    for said, expected in (("*", "text/plain message/cpim image/*"), ("text/html image/png text/plain",
                                                                   "image/png text/plain")):
        outgoing = alice.invite(bob, accept=said, extra=["a=accept-wrapped-types:text/html"])
        invitation = await bob.expect_invite()
        same(invitation.offer.attribute("accept-types"), expected, "accept-types at B")
        same(invitation.offer.attribute("accept-wrapped-types"), None, "accept-wrapped-types at B")
        invitation.refuse(486)
        await outgoing.transaction.final()


@scenario(modes=("standalone",), transports=("udp",))
async def addresses_in_descriptions(world):
    """c= may be IPv6 or a name where nobody has to connect there; it never reaches the other side."""
    alice, bob = await world.pair()
    for line in ("c=IN IP6 2001:db8::9", "c=IN IP4 phone.alice.invalid", "c=IN IP4 224.2.36.42/127"):
        leg, head, media = described(alice)
        head = re.sub(r"c=[^\r]*", line, head)
        outgoing = alice.invite(bob, offer=(head + media).encode())
        invitation = await bob.expect_invite()
        check(line not in invitation.request.body.decode(), "A's c= at B")
        await answered(outgoing, invitation)
        await outgoing.dialog.hang_up()
        await invitation.wait_bye()
