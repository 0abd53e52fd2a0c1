"""Content is the users' business: what passes an IM session arrives octet by octet as it was sent, whatever its type, its
length known or not (RFC 4975 4, 5.1, 7.1.1; RFC 3862, RFC 3994)."""
import asyncio
import secrets

from tls import secure_pair
from ua import check, same
from world import scenario

CPIM = ("From: Alice <sip:alice@example.com>\r\nTo: B\u00f6b <im:bob@example.com>\r\nDateTime: 2026-01-02T03:04:05.678Z\r\n"
        "Subject:;lang=fr vous \u00eates pri\u00e9\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n"
        "imdn.Disposition-Notification: positive-delivery, display\r\nMyFeatures.Require: none\r\n\r\n"
        "Content-Type: text/html; charset=utf-8\r\nContent-ID: <1@example.com>\r\n\r\n"
        "<p>\u00e4\u00f6\u00fc\r\n\r\nFrom: nobody\r\n</p>").encode()
COMPOSING = ('<?xml version="1.0" encoding="UTF-8"?>\r\n<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"\r\n'
             ' xmlns:x="urn:x">\n\t<state>%s</state>\n\t<contenttype>text/plain</contenttype>\n\t<refresh>90</refresh>'
             '<x:more a=\'"\'/></isComposing>\n\n')
EVERY_OCTET = bytes(range(256))


async def session(world):
    """Over msrps where SIP is over TLS."""
    return await world.session(*(await secure_pair(world) if world.transport == "tls" else ()))


async def exchange(sender, receiver, body, content_type, **more):
    """There, with this type; the Message that arrived."""
    await sender.send(body, content_type=content_type, **more)
    got = await receiver.receive()
    same((bytes(got.body), got.content_type), (body, content_type), "content")
    return got


@scenario()
async def iscomposing_passes(world):
    """Indications of RFC 3994 go both ways between messages, their XML untouched."""
    sa, sb = await session(world)
    for sender, receiver in ((sa, sb), (sb, sa)):
        for state in ("active", "idle"):
            for kind in ("application/im-iscomposing+xml", 'application/im-iscomposing+xml;charset="UTF-8"'):
                await exchange(sender, receiver, (COMPOSING % state).encode(), kind)
        await exchange(sender, receiver, b"what I was composing", "text/plain")
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def cpim_passes(world):
    """message/cpim with IMDN and unknown headers, other people in From and To than those of the session; whole and in
    chunks that cut its headers anywhere."""
    sa, sb = await session(world)
    for sender, receiver in ((sa, sb), (sb, sa)):
        for chunk in (None, 7, 100, len(CPIM) - 1):
            await exchange(sender, receiver, CPIM, "message/cpim", chunk=chunk)
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def every_octet_passes(world):
    """Every value of an octet, alone and around CR, LF and dashes, at begin and end of the content, in chunks of every
    small size."""
    sa, sb = await session(world)
    bodies = [bytes([octet]) for octet in (0, 10, 13, 32, 45, 127, 128, 255)]
    bodies += [EVERY_OCTET, EVERY_OCTET[::-1] * 20, b"\r\n", b"\r\n\r\n", b"\r", b"\n\n", b"\r\n-------", b"-------\r\n",
               b"\r\n-------" * 3, b"MSRP abcd SEND\r\nTo-Path: x\r\n\r\n-------abcd$\r\n", b"\r\n-" + EVERY_OCTET + b"\r"]
    for sender, receiver in ((sa, sb), (sb, sa)):
        for body in bodies:
            await exchange(sender, receiver, body, "application/octet-stream")
        for chunk in (1, 2, 3, 9, 11):
            await exchange(sender, receiver, b"\r\n-------" + EVERY_OCTET + b"\r\n-------", "application/x-any; a=\"b;c\"",
                           chunk=chunk)
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def parts_pass(world):
    """A multipart keeps its boundary, a type its parameters and letters; headers about the content and unknown ones
    come along, each as it was."""
    sa, sb = await session(world)
    boundary = "=_" + secrets.token_hex(8)
    body = ("--%s\r\nContent-Type: message/cpim\r\n\r\n%s\r\n--%s\r\nContent-Type: image/png\r\n"
            "Content-Transfer-Encoding: binary\r\n\r\n" % (boundary, CPIM.decode(), boundary)).encode()
    body += EVERY_OCTET + ("\r\n--%s--\r\n" % boundary).encode()
    more = [("Content-ID", "<part@example.com>"), ("Content-Description", "une \u00eele, \"quoted\""),
            ("Content-Disposition", "attachment; filename=\"a b.png\";handling=optional"),
            ("X-Unknown-Header", "kept: as, it; is")]
    for kind in ("multipart/mixed;boundary=\"%s\"" % boundary, "Multipart/Related; TYPE=x; boundary=%s" % boundary):
        got = await exchange(sa, sb, body, kind, headers=more)
        for name, value in more:
            same(got.chunks[0].get(name), value, name)
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def unknown_length(world):
    """A message whose total is * to its end, or becomes known on the way; small chunks keep their ranges, a long one is
    ended by its end-line only. What is given up arrives as such."""
    sa, sb = await session(world)
    for sender, receiver in ((sa, sb), (sb, sa)):
        pieces = [secrets.token_bytes(n) for n in (1000, 1, 2048, 700)]
        for totals in ("****", "***3749"):
            start, futures, ranges, message_id = 1, [], [], secrets.token_hex(8)
            total = [totals[i:i + 1] for i in range(3)] + [totals[3:]]
            for piece, last in zip(pieces, total):
                flag = "$" if piece is pieces[-1] else "+"
                ranges.append("%d-%d/%s" % (start, start + len(piece) - 1, last))
                futures.append(sender.leg.send_chunk(piece, message_id, start, last, flag))
                start += len(piece)
            same([(await sender.leg.outcome(f))[0] for f in futures], [200] * 4, "responses")
            got = await receiver.receive()
            same(bytes(got.body), b"".join(pieces), "content")
            same([c.get("Byte-Range") for c in got.chunks], ranges, "ranges")
        for flag in "$#":
            body, message_id = secrets.token_bytes(30000), secrets.token_hex(8)
            tid, head = sender.leg.begin_request(headers=[
                ("Message-ID", message_id), ("Byte-Range", "1-*/*"), ("Content-Type", "application/octet-stream")])
            future = sender.leg.expect_response(tid)
            sender.leg.connection.write(head + b"\r\n" + body[:12345])
            for _ in range(300):
                if message_id in receiver.leg.open and receiver.leg.open[message_id].length > 12000:
                    break
                await asyncio.sleep(0.01)
            else:
                check(False, "the beginning does not arrive before the end")
            sender.leg.connection.write(body[12345:] + b"\r\n-------%s%s\r\n" % (tid.encode(), flag.encode()))
            same((await sender.leg.outcome(future))[0], 200, "SEND")
            got = await receiver.receive()
            same((bytes(got.body), got.flag, got.total), (body, flag, None), "content of unknown length")
    await sa.hang_up()
    await sb.wait_bye()
