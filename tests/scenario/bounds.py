"""What a peer may take (design 5, "Memory"): session-ids that are tried, floods of connections, who stalls, who does not
read. Each time it is limited, counted and logged, and whoever has a session goes on."""
import asyncio
import os
import secrets

from msrp_refusals import PEER, Wire, send_request, server_uri
from transfer import MIB, bulk, end
from ua import check, same
from world import scenario

KIB = 1024


def long(**how):
    """Only with --long."""
    return scenario(**how) if os.environ.get("IMSERV_TEST_LONG") else lambda function: function


async def refused(world, reason):
    return (await world.server.metrics()).values.get('imserv_refused_total{reason="%s"}' % reason) or 0


async def counted(world, reason, least, before):
    """Within a moment that many more were refused for that reason."""
    for _ in range(100):
        now = await refused(world, reason) - before
        if now >= least:
            return
        await asyncio.sleep(0.05)
    check(False, "%d refused for %s, expected %d" % (now, reason, least))


@scenario()
async def guessed_session_ids(world):
    """Session-ids that are tried one after the other: each gets 481 until the connection is closed, counted and
    logged; 128 on a connection without session, more on one that has one. Other sessions go on."""
    sa, sb = await world.session()
    before = await refused(world, "msrp_guessing")
    wire, tries = await Wire().open(world), 0
    for tries in range(1, 200):
        tid, data = send_request(server_uri(world, secrets.token_hex(16)), PEER, body="let me in")
        wire.send(data)
        status = await wire.response(tid)
        if status == 0:
            break
        same(status, 481, "guess %d" % tries)
    same(tries, 129, "first guess without an answer")
    check(await wire.closed(4), "the connection stays open")
    await counted(world, "msrp_guessing", 1, before)
    await world.server.logged("reason=msrp_guessing")
    await sa.send("not harmed")
    await sb.receive()
    # who has a session may err for long, and loses it then
    futures = []
    for i in range(1023):
        tid, data = send_request(server_uri(world, "guess%d" % i), sa.leg.local, body="or me")
        futures.append(sa.leg.expect_response(tid))
        sa.leg.connection.write(data)
    for future in futures:
        same((await sa.leg.outcome(future))[0], 481, "guess on a bound connection")
    await sa.send("still a session")
    await sb.receive()
    tid, data = send_request(server_uri(world, "last"), sa.leg.local, body="or me")
    last = sa.leg.expect_response(tid)
    sa.leg.connection.write(data)
    same((await sa.leg.outcome(last))[0], 481, "the last guess")
    await asyncio.wait_for(sa.leg.connection.closed.wait(), 4)
    await asyncio.gather(sa.dialog.wait_bye(), sb.dialog.wait_bye())
    await counted(world, "msrp_guessing", 2, before)
    await world.normal_session()


@scenario(tuned=True)
async def flood_of_unbound_connections(world):
    """Three hundred connections that name no session, silent or with half a head, while a session talks: it goes on,
    and after limits.unbound (600 ms) all are closed and counted."""
    sa, sb = await world.session()
    before = await refused(world, "msrp_unbound_timeout")
    wires = await asyncio.gather(*[Wire().open(world) for _ in range(300)])
    for i, wire in enumerate(wires):
        wire.send(b"MSRP abcd1234 SEND\r\nTo-Path: "[:i % 30])
    for i in range(20):
        await sa.send("text %d" % i)
        await sb.receive()
    ends = await asyncio.gather(*[wire.closed(4) for wire in wires])
    check(all(ends), "%d connections stay open" % ends.count(False))
    await counted(world, "msrp_unbound_timeout", 300, before)
    await world.server.logged("reason=msrp_unbound_timeout")
    await sa.send("last")
    await sb.receive()
    await end(sa, sb)


@scenario(own={"limits.chunk_stall": "400ms", "limits.reattach": "500ms"}, once=True)
async def writer_that_stalls(world):
    """A writer that stops in mid-chunk, in a head or in content, loses its connection after limits.chunk_stall; the
    far side hears that no more comes. One that is slow but goes on does not."""
    for n, start in enumerate((b"MSRP stall SEND\r\nTo-Pa", None)):
        before = await refused(world, "msrp_chunk_stall")
        sa, sb = await world.session()
        if start is None:
            tid, head = sa.leg.begin_request(headers=[("Message-ID", "stalled"), ("Byte-Range", "1-*/9000"),
                                                      ("Content-Type", "text/plain")])
            start = head + b"\r\n" + b"x" * 5000
        sa.leg.connection.write(start)
        await asyncio.wait_for(sa.leg.connection.closed.wait(), 4)
        if n:
            got = await sb.receive()
            same((got.flag, got.length), ("#", 5000), "what B got")
        await counted(world, "msrp_chunk_stall", 1, before)
        await asyncio.gather(sa.dialog.wait_bye(), sb.dialog.wait_bye())
    await world.server.logged("reason=msrp_chunk_stall")
    sa, sb = await world.session()
    tid, head = sa.leg.begin_request(headers=[("Message-ID", "slow"), ("Byte-Range", "1-*/9000"),
                                              ("Content-Type", "text/plain")])
    future = sa.leg.expect_response(tid)
    sa.leg.connection.write(head + b"\r\n")
    for _ in range(9):
        sa.leg.connection.write(b"y" * 1000)
        await asyncio.sleep(0.15)
    sa.leg.connection.write(b"\r\n-------%s$\r\n" % tid.encode())
    same((await sa.leg.outcome(future))[0], 200, "slow SEND")
    same((await sb.receive()).length, 9000, "slow message")
    await end(sa, sb)


@scenario(own={"limits.leg_high": "32KiB", "limits.leg_low": "8KiB"}, once=True, transports=("udp", "tcp", "no tls"),
          seconds=90)
async def who_does_not_read_its_answers(world):
    """A peer that asks and asks and never reads what we answer is not read any more; the server keeps little for it,
    others go on, and when it reads every answer is there."""
    sa, sb = await world.session()
    other_a, other_b = await world.session()
    connection = sa.leg.connection
    connection.shrink(16384)
    before = world.server.rss()
    connection.transport.pause_reading()
    futures = []
    for _ in range(1500):      # 64 requests of 200 octets each time, until nobody takes them any more
        for _ in range(64):
            tid, head = sa.leg.begin_request(headers=[("Message-ID", secrets.token_hex(8))])
            futures.append(sa.leg.expect_response(tid))
            connection.write(head + b"-------%s$\r\n" % tid.encode())
        if not connection.writable.is_set():
            await asyncio.sleep(0.2)
            if not connection.writable.is_set():
                break
        await asyncio.sleep(0)
    check(not connection.writable.is_set(), "the server took %d requests" % len(futures))
    grown = world.server.rss() - before
    check(grown < 8 * MIB, "server grew by %.1f MiB" % (grown / MIB))
    await other_a.send("others go on")
    await other_b.receive()
    connection.widen()
    connection.transport.resume_reading()
    for future in futures:
        same((await sa.leg.outcome(future, 20))[0], 200, "empty SEND")
    await end(sa, sb)
    await end(other_a, other_b)


async def stuck(connection, seconds=0.08):
    """Nothing was taken from us for a while, or it was closed."""
    last = None
    while not connection.closed.is_set() and last != connection.transport.get_write_buffer_size():
        last = connection.transport.get_write_buffer_size()
        await asyncio.sleep(seconds)


@scenario(seconds=60)
async def one_deaf_of_a_hundred(world):
    """A hundred sessions on one connection, and the far side of one never reads: the other 99 go on while it is
    offered more and more, the deaf one is dropped (408, BYE to both with Reason, counted), the 99 go on."""
    alice, bob, carol = await world.client("alice"), await world.client("bob"), await world.client("carol")
    before = await refused(world, "queue_full")
    first = await world.session(alice, bob)
    connection = first[0].leg.connection
    pairs = [first] + [await world.session(alice, bob, connection=connection, ring=False) for _ in range(98)]
    da, db = await world.session(alice, carol, connection=connection)
    check(da.leg.connection is connection, "not all sessions are on one connection")
    db.leg.connection.shrink(16384)
    db.leg.connection.transport.pause_reading()
    codes, body = [], secrets.token_bytes(64 * KIB)
    byes = asyncio.gather(da.dialog.wait_bye(30), db.dialog.wait_bye(30))
    for i in range(400):
        if byes.done():
            break
        da.leg.send_chunk(body, "deaf%d" % i, 1, len(body)).add_done_callback(
            lambda future: codes.append(future.result()[0]))
        sa, sb = pairs[i % 99]
        await sa.send("others go on")
        same(bytes((await sb.receive()).body), b"others go on", "text")
    for bye in await byes:
        check("queue_full" in (bye.get("Reason") or ""), "Reason of the BYE: %s" % bye.get("Reason"))
    check(408 in codes, "answers to what was outstanding: %s" % sorted(set(codes)))
    await counted(world, "queue_full", 1, before)
    await world.server.logged("reason=queue_full")
    da.leg.close(), db.leg.close()
    for sa, sb in pairs:
        await sa.send("and on")
    for sa, sb in pairs:
        same(bytes((await sb.receive()).body), b"and on", "text")
    for sa, sb in pairs:
        await end(sa, sb)


@scenario(own={"limits.queued_bytes": "4MiB", "limits.leg_high": "1MiB"}, once=True, seconds=60)
async def a_full_worker(world):
    """Peers that never read hold limits.queued_bytes of a worker and no more: their senders are stopped, or the
    longest of them dropped (BYE to both with Reason). Who reads is served all the same."""
    good_a, good_b = await world.session()
    deaf, dropped = [], 0
    full, body = 4 * MIB * world.workers, secrets.token_bytes(8 * MIB)
    for _ in range(6 * world.workers):
        sa, sb = await world.session()
        sa.leg.connection.shrink(), sb.leg.connection.shrink()
        sb.leg.connection.transport.pause_reading()
        sa.leg.send_chunk(body, "deaf", 1, len(body))
        await stuck(sa.leg.connection)
        await good_a.send("served")
        await good_b.receive()
        queued = (await world.server.metrics()).sum("imserv_msrp_queued_bytes")
        # the bound holds at the end of a turn, in which each worker may receive 4 MiB
        check(queued <= full + 4 * MIB * world.workers, "%d octets are queued" % queued)
        deaf.append((sa, sb))
    check(queued > full // 3, "%d octets are queued" % queued)
    for sa, sb in deaf:
        sb.leg.connection.transport.resume_reading()
        if sa.dialog.ended.is_set() or sa.leg.connection.closed.is_set():
            dropped += 1
            byes = await asyncio.gather(sa.dialog.wait_bye(), sb.dialog.wait_bye())
            check("queued_bytes" in (byes[0].get("Reason") or ""), "Reason %s" % byes[0].get("Reason"))
            sa.leg.close(), sb.leg.close()
        else:
            await sa.hang_up()
            await sb.wait_bye()
    metrics = await world.server.metrics()
    check(metrics.sum("imserv_msrp_rx_paused_total") + dropped >= len(deaf), "%d senders were paused, %d dropped" % (
        metrics.sum("imserv_msrp_rx_paused_total"), dropped))
    await end(good_a, good_b)


async def slowly(world, total, piece, seconds):
    """`total` octets to a reader that takes a rest again and again, with flat memory of the server."""
    sa, sb = await world.session()
    sb.leg.connection.shrink()
    moving = asyncio.ensure_future(bulk(world, sa, sb, total, piece, seconds))
    while not moving.done():
        sb.leg.connection.transport.pause_reading()
        await asyncio.sleep(0.05)
        sb.leg.connection.transport.resume_reading()
        await asyncio.wait([moving], timeout=0.15)
    await moving
    await end(sa, sb)


@scenario(seconds=60, once=True)
async def bulk_in_small_chunks(world):
    """16 MiB in chunks of 2048 octets, octet-exact with flat memory; two sessions at once, one with a slow reader."""
    sa, sb = await world.session()
    await asyncio.gather(bulk(world, sa, sb, 16 * MIB, 2048), slowly(world, 16 * MIB, None, 40))
    await end(sa, sb)


@long(seconds=400, once=True)
async def hundred_mebibytes_in_small_chunks(world):
    """100 MiB in chunks of 2048 octets, octet-exact with flat memory; then two at once, each with a slow reader,
    one in chunks of 2048 octets and one in a single chunk."""
    sa, sb = await world.session()
    await bulk(world, sa, sb, 100 * MIB, 2048, 300)
    await end(sa, sb)
    await asyncio.gather(slowly(world, 100 * MIB, 2048, 300), slowly(world, 100 * MIB, None, 300))
