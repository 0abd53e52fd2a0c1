"""The transport rules of RFC 3261 18, RFC 3263, RFC 3581 and RFC 5626, as far as they are not TLS: names, large
requests, keepalives, IPv6, connections that come and go."""
import asyncio
import socket

from ua import Witness, check, same, sip, transport
from ua.core import Core
from ua.dns import Dns
from ua.server import Server
from world import BASE, DOMAIN, Skip, World, scenario

LARGE = b"x" * 3000   # of a request: more than fits a datagram by RFC 3261 18.1.1


# --- names (RFC 3263) ---
class NamedWorld(World):
    """A server whose core.next_hop is a name, with the DNS that knows it."""

    def __init__(self, world, next_hop, settings=None):
        super().__init__(world.server_path, "ims", world.workers, world.io, world.transport,
                         dict(BASE, **(settings or {})))
        self.next_hop, self.dns = next_hop, None

    async def __aenter__(self):
        self.dns = await Dns().open()
        self.core = await Core(self.witness, self.transport, DOMAIN).open()
        return self

    async def begin(self):
        self.server = await Server(self.server_path, "ims", self.workers, self.io, self.settings, self.next_hop,
                                   {"IMSERV_DNS": self.dns.address}).start()
        self.core.attach(self.sip_address)
        return self

    async def __aexit__(self, kind, value, trace):
        self.dns.close()
        if self.server:
            code = await self.stop()
            if kind is None:
                check(code == 0 and not self.server.trouble(), "server ended with %s: %s" % (
                    code, self.server.trouble() or self.server.tail()))

    def service(self, *servers):
        self.dns.zone["_sip._%s.core.test" % self.transport, "SRV"] = list(servers)

    async def counted(self, name):
        return (await self.server.metrics()).sum("imserv_%s_total" % name)


def named(**more):
    return scenario(modes=("ims",), transports=("udp", "tcp", "no tls"), settle=False, seconds=30, **more)


@named()
async def next_hop_by_service(world):
    """No port: the SRV records of the transport say where the core is, and a session runs through it."""
    async with NamedWorld(world, "sip:core.test;transport=" + world.transport) as place:
        place.service((10, 0, place.core.endpoint.port, "a.core.test"))
        place.dns.zone["a.core.test", "A"] = ["127.0.0.1"]
        await place.begin()
        await place.normal_session()
        asked = len(place.dns.questions)
        check(asked <= 4 * place.workers, "%d questions: %s" % (asked, place.dns.questions))
        await place.normal_session()   # perhaps on a worker that has not asked yet
        most = max(place.dns.count(*question) for question in place.dns.questions)
        check(most <= place.workers, "answers are kept by each worker: %s" % place.dns.questions)


@named()
async def next_hop_by_pointer(world):
    """Neither port nor transport: NAPTR chooses the transport, then its SRV the server."""
    async with NamedWorld(world, "sip:core.test") as place:
        service = "SIP+D2U" if world.transport == "udp" else "SIP+D2T"
        place.dns.zone["core.test", "NAPTR"] = [(20, 0, "s", "SIP+D2X", "", "no.core.test"),
                                                (50, 0, "s", service, "", "way.core.test")]
        place.dns.zone["way.core.test", "SRV"] = [(0, 1, place.core.endpoint.port, "a.core.test")]
        place.dns.zone["a.core.test", "A"] = ["127.0.0.1"]
        await place.begin()
        await place.normal_session()


@named()
async def next_hop_with_port(world):
    """A port: only the address is asked for, and asked again when its TTL is over: the core moves to another
    address, and no restart is needed."""
    async with NamedWorld(world, "") as place:
        place.next_hop = "sip:core.test:%d;transport=%s" % (place.core.endpoint.port, world.transport)
        place.dns.zone["core.test", "A"] = ["127.0.0.1"]
        place.dns.ttl = 1
        await place.begin()
        await place.normal_session()
        same(place.dns.count("_sip._%s.core.test" % world.transport, "SRV"), 0, "SRV questions")
        moved = Core(place.witness, world.transport, DOMAIN, "127.0.0.2")
        port = place.core.endpoint.port
        place.close_clients()
        place.core.close()
        await asyncio.sleep(0)
        await moved.endpoint.open(port)
        place.core = moved
        moved.attach(place.sip_address)
        place.dns.zone["core.test", "A"] = ["127.0.0.2"]
        await asyncio.sleep(1.1)      # the TTL
        await place.normal_session()


class Refuser:
    """A server that answers every request with 503."""

    def __init__(self, transport_name):
        self.endpoint = transport.Endpoint("refuser", Witness(), transport_name)
        self.endpoint.on_message = self.received
        self.refused = 0

    async def open(self):
        await self.endpoint.open()
        return self

    def received(self, message, flow):
        if message.method and message.method != "ACK":
            self.refused += 1
            self.endpoint.send(sip.response_to(message, 503, "Service Unavailable", sip.token(5)), flow)


@named()
async def next_server_after_503(world):
    """The server of the best priority answers 503: the request goes to the next one, with a new branch; for a
    while nothing else is tried there first."""
    async with NamedWorld(world, "sip:core.test;transport=" + world.transport) as place:
        refuser = await Refuser(world.transport).open()
        place.service((1, 0, refuser.endpoint.port, "a.core.test"), (2, 0, place.core.endpoint.port, "a.core.test"))
        place.dns.zone["a.core.test", "A"] = ["127.0.0.1"]
        await place.begin()
        await place.normal_session()
        check(1 <= refuser.refused <= place.workers, "%d requests to the server that answers 503" % refuser.refused)
        same(await place.counted("sip_next_servers"), refuser.refused, "sip_next_servers")
        refuser.endpoint.close()


@scenario(modes=("ims",), transports=("tcp", "no tls"), settle=False)
async def next_server_after_no_connection(world):
    """The server of the best priority takes no connections: the next one gets the request at once."""
    async with NamedWorld(world, "sip:core.test;transport=tcp") as place:
        with socket.socket() as closed:   # bound, not listening: connecting is refused
            closed.bind(("127.0.0.1", 0))
            place.service((1, 0, closed.getsockname()[1], "a.core.test"),
                          (2, 0, place.core.endpoint.port, "a.core.test"))
            place.dns.zone["a.core.test", "A"] = ["127.0.0.1"]
            await place.begin()
            await place.normal_session()
            check(await place.counted("sip_next_servers") >= 1, "no request went to the next server")


@named()
async def next_hop_unknown(world):
    """A name that nobody knows: requests fail with 503, the server stays; when it is known they succeed."""
    async with NamedWorld(world, "sip:core.test;transport=" + world.transport) as place:
        await place.begin()
        alice, bob = await place.client("alice"), await place.client("bob")
        response = await alice.pager(bob, "lost")
        check(response.status in (480, 503), "MESSAGE got %s" % response)
        same(await place.counted("names_unknown") > 0, True, "unknown names counted")
        place.service((1, 0, place.core.endpoint.port, "a.core.test"))
        place.dns.zone["a.core.test", "A"] = ["127.0.0.1"]
        await asyncio.sleep(5.1)      # the time of a negative answer
        await place.normal_session()


@named()
async def dns_falls_silent(world):
    """An answer whose TTL is over is used on while the DNS is silent."""
    async with NamedWorld(world, "sip:core.test;transport=" + world.transport) as place:
        place.workers = 1              # each keeps answers of its own
        place.service((1, 0, place.core.endpoint.port, "a.core.test"))
        place.dns.zone["a.core.test", "A"] = ["127.0.0.1"]
        place.dns.ttl = 1
        await place.begin()
        await place.normal_session()
        place.dns.failing = True
        await asyncio.sleep(1.1)
        await place.normal_session()


# --- large requests (RFC 3261 18.1.1) ---
async def bob_with_tcp_port(world):
    """A client over UDP, and a bound TCP socket with the same port."""
    for _ in range(10):               # somebody else may have that port
        bob, s = await world.client("bob"), socket.socket()
        try:
            s.bind(("127.0.0.1", bob.endpoint.port))
            return bob, s
        except OSError:
            s.close()
    raise Skip("no port free for both UDP and TCP")


async def large_message(world, alice, bob, seconds=6):
    """(request as B got it, seconds until it came)"""
    loop = asyncio.get_running_loop()
    began = loop.time()
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=LARGE, content_type="text/plain"))
    server = await bob.expect("MESSAGE", seconds=seconds)
    took = loop.time() - began
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "large MESSAGE")
    same(server.request.body, LARGE, "body")
    return server, took


async def counted(world, name):
    return (await world.server.metrics()).sum("imserv_%s_total" % name)


@scenario(modes=("standalone",), transports=("udp",), settle=False)
async def large_request_by_tcp(world):
    """To a UDP contact that takes TCP at the same address a request of more than 1300 octets goes by TCP, and
    its Via says so; a small one goes by UDP."""
    alice, (bob, port) = await world.client("alice"), await bob_with_tcp_port(world)
    bob.endpoint.server = await asyncio.get_running_loop().create_server(
        lambda: transport.TcpFlow(bob.endpoint), sock=port)
    before = await counted(world, "sip_large_by_tcp")
    server, _ = await large_message(world, alice, bob)
    same(server.request.get("Via").split()[0], "SIP/2.0/TCP", "transport in the Via")
    check(isinstance(server.flow, transport.TcpFlow), "came by UDP")
    same(await counted(world, "sip_large_by_tcp"), before + 1, "sip_large_by_tcp")
    sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"small", content_type="text/plain"))
    server = await bob.expect("MESSAGE")
    same(server.request.get("Via").split()[0], "SIP/2.0/UDP", "transport of the small one")
    server.respond(200, "OK")
    await sending.final()


@scenario(modes=("standalone",), transports=("udp",), settle=False)
async def large_request_by_udp_after_refusal(world):
    """To a UDP contact without TCP it goes by UDP after all, at once; for ten minutes that is remembered."""
    alice, bob = await world.pair()
    server, took = await large_message(world, alice, bob)
    same(server.request.get("Via").split()[0], "SIP/2.0/UDP", "transport in the Via")
    check(took < 1.5, "it took %.1f s" % took)
    tried = await counted(world, "sip_large_by_tcp")
    for _ in range(2 * world.workers):
        server, _ = await large_message(world, alice, bob)
        same(server.request.get("Via").split()[0], "SIP/2.0/UDP", "transport in the Via")
    more = await counted(world, "sip_large_by_tcp") - tried
    check(more < world.workers, "%d more attempts by TCP of %d workers" % (more, world.workers))


@scenario(modes=("standalone",), transports=("udp",), settle=False)
async def large_request_by_udp_after_silence(world):
    """A contact whose TCP port does not answer gets it by UDP after two seconds."""
    alice, (bob, hole) = await world.client("alice"), await bob_with_tcp_port(world)
    hole.listen(0)
    fill = []
    for _ in range(4):                # the queue of a listener with backlog 0 is full with one
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(hole.getsockname())
        fill.append(s)
    try:
        server, took = await large_message(world, alice, bob)
        same(server.request.get("Via").split()[0], "SIP/2.0/UDP", "transport in the Via")
        check(1.5 < took < 4, "it took %.1f s" % took)
    finally:
        for s in fill + [hole]:
            s.close()


# --- keepalives (RFC 5626 3.5, 4.4; RFC 8489) ---
class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        self.queue = asyncio.Queue()

    def datagram_received(self, data, peer):
        self.queue.put_nowait(data)


@scenario(modes=("standalone",), transports=("udp",), settle=False)
async def keepalive_of_datagrams(world):
    """CRLF datagrams are taken for what they are; a STUN Binding request is answered with the address it came
    from; any other STUN message is dropped and counted."""
    loop = asyncio.get_running_loop()
    sender, got = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    address = world.server.ready.sip["udp"]
    before = await world.server.metrics()
    for data in (b"\r\n\r\n", b"\r\n"):
        sender.sendto(data, address)
    head = b"\x21\x12\xa4\x42" + b"twelveoctets"
    sender.sendto(b"\0\x01\0\x08" + head + b"\0\x06\0\x04user", address)       # USERNAME must be understood
    sender.sendto(b"\0\x11\0\0" + head, address)                               # an indication
    sender.sendto(b"\0\x01\0\x08" + head + b"\x80\x22\0\x03abc\0", address)    # SOFTWARE need not
    answer = await asyncio.wait_for(got.queue.get(), 3)
    port, host = sender.get_extra_info("sockname")[1], b"\x7f\0\0\1"
    mapped = bytes(a ^ b for a, b in zip(port.to_bytes(2, "big") + b"", b"\x21\x12"))
    mapped += bytes(a ^ b for a, b in zip(host, b"\x21\x12\xa4\x42"))
    same(answer, b"\x01\x01\0\x0c" + head + b"\0\x20\0\x08\0\x01" + mapped, "Binding response")
    check(got.queue.empty(), "more than one answer")
    sender.close()
    after = await world.server.metrics()

    def more(name):
        return (after.values.get(name) or 0) - (before.values.get(name) or 0)
    same(more("imserv_sip_keepalives_total"), 3, "keepalives")
    same(more('imserv_refused_total{reason="stun"}'), 2, "STUN dropped")
    same(more('imserv_refused_total{reason="framing"}'), 0, "taken for garbage")


@scenario(transports=("tcp",))
async def keepalive_of_streams(world):
    """A double CRLF is answered with a single one (RFC 5626 4.4.1), a single one with nothing; whether between
    messages or before the first."""
    reader, writer = await asyncio.open_connection(*world.server.ready.sip["tcp"])
    writer.write(b"\r\n\r\n")
    same(await asyncio.wait_for(reader.readexactly(2), 3), b"\r\n", "pong")
    writer.write(b"\r\n")
    writer.write(b"\r\n\r\n"[:3])
    await asyncio.sleep(0)
    writer.write(b"\n" + b"\r\n\r\n")
    got = await asyncio.wait_for(reader.readexactly(2), 3)
    same(got, b"\r\n", "pong of a ping in pieces")
    writer.close()


# --- connections that come and go ---
@scenario(transports=("tcp",))
async def half_closed_client(world):
    """A client that shuts its sending side down right after its request gets the answer."""
    for count in (1, 20):
        raw = await world.raw(transport_name="tcp")
        requests = [world.request("OPTIONS", raw, to="sip:" + DOMAIN) for _ in range(count)]
        for request in requests:
            raw.send(request)
        raw.flow.transport.write_eof()
        left = {request.call_id for request in requests}
        while left:
            check(await raw.answer() != 0, "closed with %d answers missing" % len(left))
            left.discard(raw.last.call_id)
        await asyncio.wait_for(raw.flow.closed, 3)


@scenario(modes=("standalone",), transports=("tcp",), settle=False,
          own={"core.trusted": "[]", "limits.conns_per_ip": "4"})
async def sip_connections_of_one_address(world):
    """limits.conns_per_ip counts connections that are neither a registered flow nor a session's: requests alone
    do not buy any, a registration does."""
    raws = []
    for _ in range(4):
        raw = await world.raw(transport_name="tcp")
        await raw.ask(world.request("OPTIONS", raw, to="sip:" + DOMAIN))
        raws.append(raw)
    one_more = await world.raw(transport_name="tcp")
    await asyncio.wait_for(one_more.flow.closed, 3)
    metrics = await world.server.metrics()
    same(metrics.values.get('imserv_refused_total{reason="connection_limit"}'), 1, "connections refused")
    raws[0].close()
    await asyncio.wait_for(raws[0].flow.closed, 3)
    while (await world.server.metrics()).values["imserv_connections"] > 3:
        await asyncio.sleep(0.02)     # its worker sees the close in its own time; another accepts meanwhile
    for _ in range(6):                # registered flows: any number of them
        await world.client("alice")
    last = await world.raw(transport_name="tcp")
    same(await last.ask(world.request("OPTIONS", last, to="sip:" + DOMAIN)) > 0, True, "the last place")


# --- IPv6 ---
LISTEN_V6 = ('[{proto: udp, address: "[::1]:0"}, {proto: tcp, address: "[::1]:0"}, '
             '{proto: msrp, address: "[::1]:0"}, {proto: http, address: "127.0.0.1:0"}]')


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@scenario(transports=("udp", "tcp", "no tls"), settle=False, seconds=30)
async def session_over_ipv6(world):
    """Everything over [::1]: Via, Contact, Record-Route, SDP, MSRP, next_hop."""
    if not has_ipv6():
        raise Skip("no ::1 here")
    place = World(world.server_path, world.mode, world.workers, world.io, world.transport,
                  dict(BASE, listen=LISTEN_V6))
    if place.ims:
        place.core = await Core(place.witness, place.transport, DOMAIN, "::1").open()
    place.server = await Server(place.server_path, place.mode, place.workers, place.io, place.settings,
                                place.core.next_hop() if place.ims else "").start()
    address = place.sip_address
    if place.ims:
        place.core.attach(address)
    try:
        alice, bob = await place.client("alice", host="::1"), await place.client("bob", host="::1")
        sa, sb = await place.session(alice, bob)
        for session in (sa, sb):
            same(sip.uri_parts(session.dialog.target)[2], "[::1]", "host of the Contact")
            check(session.leg.remote[0].startswith("msrp://[::1]:"), "path %s" % session.leg.remote)
        via = sb.dialog.invite.list("Via")[0]
        check(" [::1]:" in via, "Via %s" % via)
        await sa.send("over IPv6")
        same(bytes((await sb.receive()).body), b"over IPv6", "text")
        await sa.hang_up()
        await sb.wait_bye()
        if not place.ims:             # received and rport (RFC 3581) of a Via that names another host
            request = alice.build("OPTIONS", "sip:" + DOMAIN)
            via = request.get("Via").replace(alice.endpoint.sent_by, "phone.invalid:5060") + ";rport"
            request.put("Via", via)
            response = await alice.start(request).final()
            _, _, parameters = sip.via(response.get("Via"))
            same(parameters.get("received", "").strip("[]"), "::1", "received")
            own = alice.endpoint.port if place.transport == "udp" else (
                alice.flow.transport.get_extra_info("sockname")[1])
            same(parameters.get("rport"), str(own), "rport")
        check(not place.witness.violations, "; ".join(place.witness.violations[:3]))
    finally:
        code = await place.stop()
    check(code == 0 and not place.server.trouble(), "server ended with %s: %s" % (code, place.server.trouble()))
