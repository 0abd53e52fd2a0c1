"""What MSRP carries (RFC 4975, design 5): chunks, ranges, reports, size, back-pressure, who answers."""
import asyncio
import hashlib
import secrets
import time

from ua import REQ, check, msrp, same
from world import scenario

MIB = 1 << 20


async def end(sa, sb):
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def chunked_message(world):
    """A message in 2048-octet chunks arrives whole, each chunk with the range it was sent with."""
    sa, sb = await world.session()
    body = secrets.token_bytes(40000)
    for sender, receiver in ((sa, sb), (sb, sa)):
        await sender.send(body, chunk=2048, content_type="application/octet-stream")
        got = await receiver.receive()
        same((got.digest, got.total), (hashlib.sha256(body).hexdigest(), len(body)), "message")
        same([c.get("Byte-Range") for c in got.chunks],
             ["%d-%d/40000" % (i + 1, min(i + 2048, 40000)) for i in range(0, 40000, 2048)], "ranges")
        same(got.content_type, "application/octet-stream", "Content-Type")
    await end(sa, sb)


@scenario()
async def one_large_chunk(world):
    """64 KiB in one chunk; an end-line look-alike inside is content; so is an empty message."""
    sa, sb = await world.session()
    body = secrets.token_bytes(65536)
    await sa.send(body)
    same((await sb.receive()).digest, hashlib.sha256(body).hexdigest(), "64 KiB")
    leg = sa.leg
    tid = "abcd" + secrets.token_hex(4)
    for tricky in (b"a\r\n-------%s" % tid.encode(), b"\r\n-------%s?\r\n" % tid.encode(),
                   b"\r\n-------other$\r\n", b"\r\n" * 500, b"MSRP %s SEND\r\n" % tid.encode(),
                   b"-------" * 400):
        body = tricky + b"x" * 3000 + tricky
        future = leg.send_chunk(body, secrets.token_hex(6), 1, len(body), tid=tid)
        same((await leg.outcome(future))[0], 200, "SEND")
        same(bytes((await sb.receive()).body), body, "content like an end-line")
    future = leg.send_chunk(b"", secrets.token_hex(6), 1, 0)
    same((await leg.outcome(future))[0], 200, "SEND with an empty body")
    same((await sb.receive()).length, 0, "empty body")
    await end(sa, sb)


@scenario()
async def split_anywhere(world):
    """The same bytes in writes of one octet and with pauses at every position of head and end-line."""
    sa, sb = await world.session()
    tid, head = sa.leg.begin_request(headers=[("Message-ID", "m1"), ("Byte-Range", "1-6/6"),
                                              ("Content-Type", "text/plain")])
    future = sa.leg.expect_response(tid)
    for octet in head + b"\r\nhel\r\nx\r\n-------%s$\r\n" % tid.encode():
        sa.leg.connection.write(bytes([octet]))
        if octet in b"\r\n-$":
            await asyncio.sleep(0.001)
    same((await sa.leg.outcome(future))[0], 200, "SEND")
    same(bytes((await sb.receive()).body), b"hel\r\nx", "body")
    await end(sa, sb)


@scenario()
async def interleaved_messages(world):
    """Chunks of several messages mixed: each message arrives whole."""
    sa, sb = await world.session()
    bodies = [secrets.token_bytes(20000) for _ in range(5)]
    futures = []
    for start in range(0, 20000, 2000):
        for i, body in enumerate(bodies):
            piece = body[start:start + 2000]
            futures.append(sa.leg.send_chunk(piece, "mix%d" % i, start + 1, 20000,
                                             "$" if start == 18000 else "+"))
    for future in futures:
        same((await sa.leg.outcome(future))[0], 200, "chunk")
    got = {m.id: m.digest for m in [await sb.receive() for _ in bodies]}
    same(got, {"mix%d" % i: hashlib.sha256(b).hexdigest() for i, b in enumerate(bodies)}, "messages")
    await end(sa, sb)


@scenario()
async def abandoned_message(world):
    """A message ended with `#` reaches B as abandoned; the session goes on."""
    sa, sb = await world.session()
    first = sa.leg.send_chunk(b"x" * 100, "gone", 1, 300, "+")
    second = sa.leg.send_chunk(b"y" * 100, "gone", 101, 300, "#")
    same([(await sa.leg.outcome(f))[0] for f in (first, second)], [200, 200], "responses")
    got = await sb.receive()
    same((got.flag, got.length), ("#", 200), "abandoned message")
    await sa.send("next")
    same(bytes((await sb.receive()).body), b"next", "text")
    await end(sa, sb)


@scenario()
async def reports(world):
    """Success-Report: yes reaches B; B's REPORT comes back to A with Message-ID and range, unanswered."""
    sa, sb = await world.session()
    await sa.send("please confirm", message_id="confirm1", headers=[("Success-Report", "yes")])
    got = await sb.receive()
    same(got.chunks[0].get("Success-Report"), "yes", "Success-Report at B")
    tid, head = sb.leg.begin_request("REPORT", [
        ("Message-ID", got.id), ("Byte-Range", "1-14/14"), ("Status", "000 200 OK")])
    sb.leg.connection.write(head + b"-------%s$\r\n" % tid.encode())
    report = await asyncio.wait_for(sa.leg.reports.get(), 4)
    same((report.get("Message-ID"), report.get("Byte-Range"), report.get("Status")),
         ("confirm1", "1-14/14", "000 200 OK"), "REPORT at A")
    same([report.get("To-Path"), report.get("From-Path")], [str(sa.leg.local), sa.leg.remote[0]],
         "paths of the REPORT")
    await sb.send("no answer to REPORT came before")
    await sa.receive()
    await end(sa, sb)


@scenario()
async def failure_report_no(world):
    """With Failure-Report: no nothing is answered and everything arrives."""
    sa, sb = await world.session()
    for i in range(20):
        sa.leg.send_chunk(b"silent %d" % i, "s%d" % i, 1, len("silent %d" % i),
                          headers=[("Failure-Report", "no")])
    for i in range(20):
        same(bytes((await sb.receive()).body), b"silent %d" % i, "text")
    await sa.send("answered")
    await sb.receive()
    await end(sa, sb)


@scenario()
async def answered_by_the_far_side(world):
    """A's 200 comes only after B's; B's error is mapped back to A (design 5, who answers a SEND)."""
    sa, sb = await world.session()
    held = []
    sb.leg.answer = lambda chunk, respond: held.append(respond)
    future = sa.leg.send_chunk(b"wait", "w1", 1, 4)
    await sb.receive()
    await asyncio.sleep(0.4)
    check(not future.done(), "A got a response before B answered")
    held.pop()(200)
    same((await sa.leg.outcome(future))[0], 200, "SEND")
    for code in (413, 415, 400, 403):
        sb.leg.answer = lambda chunk, respond: respond(code, "no")
        future = sa.leg.send_chunk(b"refuse", "r%d" % code, 1, 6)
        same((await sa.leg.outcome(future))[0], code, "error of B at A")
        await sb.receive()
    sb.leg.answer = lambda chunk, respond: respond(200)
    await sa.send("fine again")
    await sb.receive()
    await end(sa, sb)


@scenario()
async def failure_report_partial(world):
    """Failure-Report: partial: B's errors are mapped, its 200s are swallowed."""
    sa, sb = await world.session()
    partial = [("Failure-Report", "partial")]
    good = sa.leg.send_chunk(b"good", "p1", 1, 4, headers=partial)
    await sb.receive()
    sb.leg.answer = lambda chunk, respond: respond(413, "no")
    bad = sa.leg.send_chunk(b"bad!", "p2", 1, 4, headers=partial)
    same((await sa.leg.outcome(bad))[0], 413, "error of B at A")
    check(not good.done(), "a 200 came although Failure-Report was partial")
    sb.leg.answer = lambda chunk, respond: respond(200)
    await end(sa, sb)


async def bulk(world, sender, receiver, total, piece, seconds=30):
    """Move `total` octets in pieces of `piece` (None: one single chunk), checking hash and memory. The first
    quarter is not looked at: it touches the receive buffers of the ring for the first time. On a loaded machine
    that goes on a while (measured: 13 MiB, 30 in all, flat from the third 100 MiB on)."""
    await sender.send("warm")
    await receiver.receive()
    before, highest, digest = 0, 0, hashlib.sha256()

    def blocks():
        nonlocal before, highest
        written = 0
        for i, block in enumerate(msrp.pattern(total, piece or MIB)):
            digest.update(block)
            if i % max(1, 4 * MIB // len(block)) == 0:
                highest = max(highest, world.server.rss())
            if written <= total // 4:
                before = highest
            written += len(block)
            yield block
    started = time.monotonic()
    if piece is None:
        codes = [await sender.leg.send_stream(blocks(), total, seconds)]
    else:
        codes = await sender.leg.send_pieces(blocks(), total, 16, seconds, "application/octet-stream")
    got = await receiver.receive(seconds)
    same(set(codes), {200}, "responses")
    same((got.length, got.digest), (total, digest.hexdigest()), "%d MiB" % (total // MIB))
    check(highest - before < 20 * MIB, "server grew by %.1f MiB while relaying %d MiB" % (
        (highest - before) / MIB, total // MIB))
    return time.monotonic() - started


@scenario(seconds=60)
async def hundred_mebibytes(world):
    """100 MiB byte-exact with flat server memory: from A in chunks of 256 KiB, from B in one chunk."""
    sa, sb = await world.session()
    await bulk(world, sa, sb, 100 * MIB, 256 * 1024)
    await bulk(world, sb, sa, 100 * MIB, None)
    await end(sa, sb)


@scenario(seconds=60, once=True)
async def small_chunks_in_bulk(world):
    """16 MiB in chunks of 2048 octets both ways at once."""
    sa, sb = await world.session()
    digests = [hashlib.sha256(), hashlib.sha256()]

    def blocks(digest):
        for block in msrp.pattern(16 * MIB, 2048):
            digest.update(block)
            yield block
    await asyncio.gather(sa.leg.send_pieces(blocks(digests[0]), 16 * MIB, 64, 30),
                         sb.leg.send_pieces(blocks(digests[1]), 16 * MIB, 64, 30))
    same((await sb.receive()).digest, digests[0].hexdigest(), "16 MiB at B")
    same((await sa.receive()).digest, digests[1].hexdigest(), "16 MiB at A")
    await end(sa, sb)


@scenario(seconds=40)
async def slow_reader(world):
    """B does not read: A is held by TCP, the server's memory stays bounded; then everything arrives."""
    sa, sb = await world.session()
    sa.leg.connection.shrink(), sb.leg.connection.shrink()
    await sa.send("warm")
    await sb.receive()
    before, total, digest = world.server.rss(), 48 * MIB, hashlib.sha256()
    sb.leg.connection.transport.pause_reading()
    written = 0

    def blocks():
        nonlocal written
        for block in msrp.pattern(total, 65536):
            digest.update(block)
            written += len(block)
            yield block
    sending = asyncio.ensure_future(sa.leg.send_pieces(blocks(), total, 1000, 30))
    last = -1
    while written != last:
        last = written
        await asyncio.sleep(0.4)
    check(written < total * 3 // 4, "A could write %d MiB while B read nothing" % (written // MIB))
    grown = world.server.rss() - before
    check(grown < 8 * MIB, "server grew by %.1f MiB for a slow reader" % (grown / MIB))
    other_a, other_b = await world.session()
    await other_a.send("others go on")
    await other_b.receive()
    await end(other_a, other_b)
    sb.leg.connection.transport.resume_reading()
    same(set(await sending), {200}, "responses")
    got = await sb.receive(30)
    same((got.length, got.digest), (total, digest.hexdigest()), "message")
    await end(sa, sb)


@scenario()
async def bye_right_after_the_last_octet(world):
    """BYE from A directly after the 200 of its last chunk: B has everything, and gets BYE."""
    alice, bob = await world.pair()
    for _ in range(5):
        sa, sb = await world.session(alice, bob)
        await sa.send(b"z" * 100000, chunk=30000)
        await sa.hang_up()
        same((await sb.receive()).length, 100000, "message")
        await sb.wait_bye()
        REQ("IM-6.2.3.7-3")


@scenario(own={"limits.max_size_1to1": "20000", "limits.max_size_file": "30000"}, once=True)
async def too_large_for_a_session(world):
    """A message over the size that the server named in a=max-size: 413 to its first chunk when the total
    says so, else where it grows too large, and B hears that no more comes; at the limit it arrives whole.
    A file, which goes one way and has a name, has limits.max_size_file; a large message has none (D1-17, D2-12,
    RFC 4975 8.6)."""
    sa, sb = await world.session()
    for sender, receiver in ((sa, sb), (sb, sa)):
        codes = await sender.leg.send(b"x" * 20001)
        same(codes[0], 413, "SEND of 20001 octets")
        await sender.send(b"y" * 20000)
        got = await receiver.receive()
        same(bytes(got.body), b"y" * 20000, "message at the limit")
    await sa.hang_up()
    await sb.wait_bye()
    sa, sb = await world.session(direction="sendonly")
    same((await sa.leg.send(b"z" * 20001))[0], 413, "large message of 20001 octets")
    await sa.hang_up()
    await sb.wait_bye()
    sa, sb = await world.session(direction="sendonly", extra=['a=file-selector:name:"z"'])
    await sa.send(b"z" * 30000)
    same(len((await sb.receive()).body), 30000, "transfer at the limit")
    same((await sa.leg.send(b"z" * 30001))[0], 413, "transfer beyond it")
    await sa.hang_up()
    await sb.wait_bye()
