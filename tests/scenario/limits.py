"""Bad SIP: lengths that lie, blocks that are too long, loops (design 4, issue "Bad input"). Each scenario
ends with a normal session; the runner then checks gauges and descriptors."""
import asyncio

from ua import Failure, check, same, sip
from world import scenario


def with_length(request, *values):
    """The request with these Content-Length headers instead of the true one."""
    request = request.copy().remove("Content-Length")
    for value in values:
        request.add("Content-Length", value)
    return request


@scenario()
async def content_length_lies(world):
    """Content-Length negative, above 2^32, repeated and different, not a number, longer than the
    datagram: 400, never a wrapped number."""
    values = [("-1",), ("4294967328",), ("18446744073709551648",), ("5", "6"), ("five",), ("0x5",),
              ("5 5",), ("",)]
    if world.transport == "udp":
        values += [("6",), ("1000",), ("65536",)]
    for value in values:
        raw = await world.raw()
        request = world.request("MESSAGE", raw)
        raw.send(with_length(request, *value))
        got = await raw.answer(request.call_id)
        same(got, 400, "Content-Length: %s" % ", ".join(value))
        raw.close()
    await world.normal_session()


@scenario(modes=("standalone",), transports=("udp",))
async def content_length_shorter_than_datagram(world):
    """What follows the announced body in a datagram is ignored (RFC 3261 18.3)."""
    alice, bob = await world.pair()
    request = alice.build("MESSAGE", bob.uri, body=b"hello", content_type="text/plain")
    sending = alice.layer.start(request, alice.flow)
    alice.endpoint.send_datagram(request.encode() + b"trailing", alice.outbound)
    server = await bob.expect("MESSAGE")
    same(server.request.body, b"hello", "body")
    server.respond(200, "OK")
    await sending.final()


@scenario()
async def header_block_too_long(world):
    """A header block over limits.header_bytes (16 KiB): 513; just under it is served."""
    raw = await world.raw()
    request = world.request("MESSAGE", raw)
    request.add("X-Long", "x" * 17000)
    same(await raw.ask(request), 513, "header block of 17 kB")
    raw = await world.raw()
    request = world.request("MESSAGE", raw, which="term")
    request.add("X-Long", "x" * (15500 - len(request.encode())))
    same(await raw.ask(request), 480, "header block of 15.5 kB to an offline user")
    raw = await world.raw()
    request = world.request("MESSAGE", raw)
    for i in range(3000):
        request.add("X-%d" % i, "many")
    same(await raw.ask(request), 513, "3000 headers")
    await world.normal_session()


@scenario(transports=("tcp",))
async def body_too_large(world):
    """An announced body of 900 MiB: 413 without waiting for it, or the connection is closed."""
    raw = await world.raw()
    request = world.request("MESSAGE", raw)
    raw.send(with_length(request, str(900 << 20)))
    same(await raw.answer(request.call_id), 413, "Content-Length of 900 MiB")
    await world.normal_session()


@scenario()
async def ten_thousand_vias(world):
    """10 000 Via headers: 513, or 400; the server is not impressed. Over TCP the answer may be lost when
    the connection is closed on what was not read, over UDP Vias that were cut off cannot be answered."""
    raw = await world.raw()
    if world.transport == "udp":
        count, via = 2000, "SIP/2.0/UDP a;branch=z9hG4bKx"
    else:
        count, via = 10000, "SIP/2.0/TCP a.example.org:5060;branch=z9hG4bKxxxxxxxx"
    request = world.request("MESSAGE", raw)
    request.headers += [("Via", via)] * count
    raw.send(request)
    try:
        got = await raw.answer(request.call_id, 1)
    except Failure:
        got = 0
    check(got in (400, 513, 0), "%d Vias: %d" % (count, got))
    raw = await world.raw()
    request = world.request("MESSAGE", raw, which="term")
    top = request.headers[0]
    request.headers = [top] + [("v", "SIP/2.0/UDP a;branch=z9hG4bKx")] * 60 + request.headers[1:]
    request.put("Via", "SIP/2.0/%s %s:%d;branch=%s" % (
        raw.transport.upper(), raw.host, raw.port, sip.branch()))
    same(await raw.ask(request), 480, "some more Vias are legal")
    await world.normal_session()


@scenario()
async def garbage_on_sip(world):
    """Bytes that are not SIP are dropped, or the connection is closed; keep-alives do no harm."""
    for data in (b"\r\n\r\n", b"\0\0\0\0", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 2000,
                 b"SIP/2.0 200 OK\r\n\r\n", b"MESSAGE sip:x SIP/2.0\r\n\r\n", b"INVITE\r\n\r\n",
                 b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKforeign\r\nFrom: <sip:a@b>;tag=1\r\n"
                 b"To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
                 b"ACK sip:x@example.com SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKy\r\n"
                 b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 ACK\r\n"
                 b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"):
        raw = await world.raw()
        raw.send(data)
        await asyncio.sleep(0.02)
        raw.close()
    await world.normal_session()


@scenario(transports=("tcp",))
async def tcp_framing(world):
    """Several requests in one segment, one request in many, keep-alives between: each is answered."""
    raw = await world.raw()
    requests = [world.request("MESSAGE", raw, which="term") for _ in range(10)]
    raw.send(b"\r\n\r\n".join(r.encode() for r in requests))
    answered = set()
    for _ in requests:
        same(await raw.answer(), 480, "MESSAGE to an offline user")
        answered.add(raw.last.call_id)
    same(answered, {r.call_id for r in requests}, "answered requests")
    request = world.request("MESSAGE", raw, body=b"abc", which="term")
    for octet in request.encode():
        raw.send(bytes([octet]))
        if octet == 10:
            await asyncio.sleep(0.001)
    same(await raw.answer(request.call_id), 480, "MESSAGE octet by octet")


@scenario(modes=("standalone",))
async def loop(world):
    """A request that carries the Via of the server with the branch it minted for the same target is a
    loop: 482."""
    alice, bob = await world.pair()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain"))
    server = await bob.expect("MESSAGE")
    looped = server.request.copy()
    looped.uri = bob.uri
    looped.push("Via", alice.endpoint.via(sip.branch()))
    looped.put("Max-Forwards", "60")
    got = await alice.layer.start(looped, alice.flow).final()
    check(got.status == 482, "looped request got %s" % got)
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE")


@scenario()
async def strange_but_legal(world):
    """Folded lines, compact names, odd spacing and case, unknown headers: served (RFC 4475)."""
    raw = await world.raw()
    request = world.request("MESSAGE", raw, which="term")
    text = request.encode().decode()
    text = text.replace("From: ", "f  :\t").replace("Call-ID: ", "i: ").replace("CSeq: 1 ", "cseq:  1\r\n  ")
    text = text.replace("Max-Forwards: 70", "MAX-FORWARDS:   70\r\nX-Empty:", 1)
    raw.send(text.encode())
    same(await raw.answer(request.call_id), 480, "MESSAGE to an offline user")


@scenario(modes=("standalone",), own={"limits.sessions": "2", "overload.retry_after": "17s"},
          least_workers=2)
async def sessions_limit(world):
    """limits.sessions holds for the server, not for each worker: of eight INVITEs two are taken, the
    others get 503 with Retry-After; a place that is free again is taken again."""
    alice, bob = await world.pair()
    calls = [alice.invite(bob) for i in range(8)]
    invitations = [await bob.expect_invite(), await bob.expect_invite()]
    for i in range(6):
        await asyncio.sleep(0.05)
    refused = [c for c in calls if c.transaction.last is not None]
    same([c.transaction.last.status for c in refused], [503] * 6, "INVITEs beyond limits.sessions")
    same({c.transaction.last.get("Retry-After") for c in refused}, {"17"}, "Retry-After of 503")
    await bob.quiet(0.05)
    for invitation in invitations:
        invitation.refuse(486)
    for call in calls:
        await call.transaction.final()
    await world.normal_session()


@scenario(own={"limits.sessions": "2"}, once=True)
async def sessions_that_ended_take_no_place(world):
    """What is kept of a session for a while after its end, for answers that come late, does not count: many small
    sessions a minute go through a server that may have few at a time."""
    alice, bob = await world.pair()
    for _ in range(20):
        sa, sb = await world.session(alice, bob)
        await sa.hang_up()
        await sb.wait_bye()
        while (await world.gauges())["imserv_sessions"] > 0:
            await asyncio.sleep(0.01)
