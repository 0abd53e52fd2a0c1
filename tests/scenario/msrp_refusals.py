"""Bad MSRP: unknown sessions, second connections, garbage, heads that never end (design 5, D2-54)."""
import asyncio
import re
import secrets

from ua import Failure, REQ, check, msrp, same
from world import scenario


class Wire:
    """A bare TCP connection to the MSRP listener."""

    async def open(self, world):
        self.reader, self.writer = await asyncio.open_connection(*world.msrp_address)
        self.buffer = b""
        return self

    def send(self, data):
        self.writer.write(data)

    async def response(self, tid, seconds=4):
        """The status of the response to this transaction; 0 when the connection is closed."""
        async def read():
            pattern = re.compile(rb"MSRP %s (\d{3})[^\r]*\r\n(.*?)-------%s\$\r\n" % (
                tid.encode(), tid.encode()), re.S)
            while True:
                match = pattern.search(self.buffer)
                if match:
                    return int(match.group(1))
                data = await self.reader.read(65536)
                if not data:
                    return 0
                self.buffer += data
        return await asyncio.wait_for(read(), seconds)

    async def closed(self, seconds):
        """True when the server closes within so long."""
        async def read():
            while await self.reader.read(65536):
                pass
        try:
            await asyncio.wait_for(read(), seconds)
            return True
        except asyncio.TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self):
        self.writer.close()


def send_request(to, sender, tid=None, body=None):
    tid = tid or secrets.token_hex(6)
    text = "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\n" % (
        tid, to, sender, secrets.token_hex(6))
    if body is not None:
        text += "Byte-Range: 1-%d/%d\r\nContent-Type: text/plain\r\n\r\n%s\r\n" % (len(body), len(body), body)
    return tid, (text + "-------%s$\r\n" % tid).encode()


PEER = "msrp://127.0.0.1:9/peer;tcp"


def server_uri(world, session_id):
    return "msrp://%s:%d/%s;tcp" % (world.msrp_address + (session_id,))


@scenario()
async def unknown_session(world):
    """A SEND to a session-id that does not exist: 481, whatever the id looks like."""
    sa, sb = await world.session()
    real = msrp.Uri(sa.leg.remote[0]).session_id
    swapped = real[:-1] + ("a" if real[-1] != "a" else "b")
    for session_id in ("x", "unknown", "a" * 26, "a" * 200, swapped, real + "a", real[1:],
                       "7" * len(real), "z" * len(real)):
        wire = await Wire().open(world)
        tid, data = send_request(server_uri(world, session_id), sa.leg.local, body="hello")
        wire.send(data)
        same(await wire.response(tid), 481, "session-id %r" % session_id)
        REQ("IM-12.1.5-1")
        wire.close()
    await sa.send("not harmed")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def ended_session(world):
    """After BYE the session-id is unknown: 481."""
    sa, sb = await world.session()
    path = sa.leg.remote[0]
    await sa.hang_up()
    await sb.wait_bye()
    wire = await Wire().open(world)
    tid, data = send_request(path, sa.leg.local, body="late")
    wire.send(data)
    same(await wire.response(tid), 481, "SEND after BYE")
    wire.close()


@scenario()
async def wrong_from_path(world):
    """A From-Path that is not the negotiated one: 481, before and after the session is bound; the right
    peer can still bind."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(bind=False))
    await outgoing.established(bind=False)
    await accepting
    for sender in (PEER, "msrp://127.0.0.1:9/%s;tcp" % outgoing.leg.local.session_id,
                   str(outgoing.leg.local.with_id("other"))):
        wire = await Wire().open(world)
        tid, data = send_request(outgoing.leg.remote[0], sender, body="stolen")
        wire.send(data)
        same(await wire.response(tid), 481, "From-Path %s" % sender)
        REQ("IM-12.1.5-1")
        wire.close()
    await asyncio.gather(outgoing.bind(), invitation.bind())
    await outgoing.send("mine")
    same(bytes((await invitation.receive()).body), b"mine", "text")
    await outgoing.hang_up()
    await invitation.wait_bye()


@scenario()
async def second_connection(world):
    """A second connection for a bound session: 506; the first one goes on."""
    sa, sb = await world.session()
    for _ in range(3):
        wire = await Wire().open(world)
        tid, data = send_request(sa.leg.remote[0], sa.leg.local, body="hijack")
        wire.send(data)
        same(await wire.response(tid), 506, "second connection")
        wire.close()
    await sa.send("first")
    same(bytes((await sb.receive()).body), b"first", "text")
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def to_path_of_two(world):
    """A To-Path of more than one URI that ends at the server: 481."""
    sa, sb = await world.session()
    tid, _ = sa.leg.begin_request()
    text = send_request("%s %s" % (sa.leg.remote[0], server_uri(world, "next")), sa.leg.local, tid, "x")[1]
    future = sa.leg.expect_response(tid)
    sa.leg.connection.write(text)
    same((await sa.leg.outcome(future))[0], 481, "two URIs in To-Path")
    await sa.send("goes on")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def garbage(world):
    """Bytes that are not MSRP: the connection is closed, nothing else happens."""
    good = send_request(server_uri(world, "x"), PEER, "abcd1234", "hello")[1]
    for name, data in (
            ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("SIP", b"OPTIONS sip:x SIP/2.0\r\n\r\n"),
            ("zeros", b"\0" * 5000), ("random", b"\xff" + secrets.token_bytes(4000) + b"\r\n\r\n"),
            ("no tid", b"MSRP  SEND\r\n\r\n"), ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
                                                b"\r\n" * 3),
            ("no To-Path", good.replace(b"To-Path", b"No-Path", 1)),
            ("bare LF", good.replace(b"\r\n", b"\n"))):
        wire = await Wire().open(world)
        wire.send(data)
        check(await wire.closed(4), "connection stays open after %s" % name)
        wire.close()
    await world.normal_session()


@scenario()
async def endless_head(world):
    """A chunk head that never ends is cut off: header line, many headers, path, transaction id."""
    for name, start, more in (
            ("header line", b"MSRP abcd1234 SEND\r\nTo-Path: ", b"x" * 4096),
            ("headers", b"MSRP abcd1234 SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\n" % (
                server_uri(world, "x").encode(), PEER.encode()), b"X-More: yes\r\n" * 300),
            ("start line", b"MSRP ", b"a" * 4096)):
        wire = await Wire().open(world)
        wire.send(start)
        ended = asyncio.ensure_future(wire.closed(6))
        for _ in range(100):
            if ended.done():
                break
            wire.send(more)
            await asyncio.sleep(0.01)
        check(await ended, "connection stays open after an endless %s" % name)
        wire.close()
    await world.normal_session()


@scenario()
async def garbage_in_a_session(world):
    """A bound connection that turns to garbage is closed and the session ended; others are not touched."""
    alice, bob = await world.pair()
    sa, sb = await world.session(alice, bob)
    other_a, other_b = await world.session()
    sa.leg.connection.write(b"this is not MSRP\r\n\r\n" * 10)
    await asyncio.wait_for(sa.leg.connection.closed.wait(), 4)
    await asyncio.gather(sa.dialog.wait_bye(), sb.dialog.wait_bye())
    check(sa.dialog.bye.get("Reason"), "BYE without Reason")
    await other_a.send("not harmed")
    await other_b.receive()
    await other_a.hang_up()
    await other_b.wait_bye()


@scenario()
async def half_open_connections(world):
    """Sixty connections that say nothing or half a head and go away leave nothing behind."""
    wires = [await Wire().open(world) for _ in range(60)]
    for i, wire in enumerate(wires):
        if i % 2:
            wire.send(b"MSRP abcd1234 SEND\r\nTo-Pa")
    await asyncio.sleep(0.1)
    for wire in wires:
        wire.close()
    await world.normal_session()


@scenario(own={"core.trusted": "[]", "limits.conns_per_ip": "4", "limits.unbound": "20s"}, modes=("standalone",),
          transports=("udp",))
async def connections_of_one_address(world):
    """The fifth connection of one address that names no session is closed, whichever worker accepts it; one that
    carries a session does not count."""
    host, port = world.msrp_address
    sa, sb = await world.session()
    five = [await asyncio.open_connection(host, port) for _ in range(5)]
    # workers accept at their own pace: any of the five may be the one that came last
    ends = {asyncio.ensure_future(reader.read(1)): (reader, writer) for reader, writer in five}
    closed, open_still = await asyncio.wait(ends, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    same([end.result() for end in closed], [b""], "octets on the connections that were closed")
    for end in open_still:
        end.cancel()
    await asyncio.wait(open_still)
    silent = [ends[end] for end in open_still]
    for end in closed:
        ends[end][1].close()
    sending = sa.leg.send(b"still here")
    if asyncio.iscoroutine(sending):
        await sending
    silent[0][1].close()
    for _ in range(50):  # the server sees the close a moment later
        reader, writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.wait_for(reader.read(1), 0.2)
        except asyncio.TimeoutError:
            break
        writer.close()
    else:
        raise Failure("no connection is accepted after one was closed")
    for _, other in silent[1:] + [(reader, writer)]:
        other.close()
    await sa.hang_up()
    await sb.wait_bye()
