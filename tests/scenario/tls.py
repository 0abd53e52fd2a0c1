"""TLS for SIP and MSRP (RFC 3261 26, RFC 8446, RFC 4975 14.4, RFC 8122; design 2): versions, names,
certificates of clients, resumption, what is not TLS, certificates read again."""
import asyncio
import hashlib
import os
import shutil
import socket
import ssl

from ua import REQ, Failure, agent, certificates, check, same, sip
from ua.certificates import authority, client_context, settings
from world import scenario

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
OPTIONS = ("OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;rport;branch=%s\r\nMax-Forwards: 70\r\n"
           "From: <sip:probe@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\n"
           "Content-Length: 0\r\n\r\n")


class Visit:
    """One connection, an OPTIONS and its answer; what was seen of TLS."""

    def __init__(self, address, context, name="127.0.0.1", session=None):
        with socket.create_connection(address, 5) as plain:
            plain.settimeout(5)
            with context.wrap_socket(plain, server_hostname=name, session=session) as secure:
                secure.sendall((OPTIONS % (sip.branch(), sip.token())).encode())
                self.answer = secure.recv(4000)      # with TLS 1.3 the ticket comes before it
                self.version = secure.version()
                self.certificate = hashlib.sha256(secure.getpeercert(True)).hexdigest()
                self.session, self.is_resumed = secure.session, secure.session_reused
                if not self.answer.startswith(b"SIP/2.0 "):
                    raise ConnectionError("closed: %r" % self.answer[:40])


async def visit(address, context=None, **more):
    """A Visit, in a thread of its own: asyncio hands no session back."""
    return await asyncio.get_running_loop().run_in_executor(
        None, lambda: Visit(address, context or client_context(), **more))


async def refused(address, context=None, **more):
    """True when there is no answer: the handshake fails, or what follows it."""
    try:
        await visit(address, context, **more)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def digest(certificate):
    return certificate.fingerprint().partition(" ")[2].replace(":", "").lower()


async def count(world, reason):
    metrics = await world.server.metrics()
    return metrics.values.get('imserv_refused_total{reason="%s"}' % reason, 0)


async def one_more(world, reason, before):
    """The refusal is counted once, and said once on the log."""
    for _ in range(300):
        if await count(world, reason) > before:
            break
        await asyncio.sleep(0.01)
    same(await count(world, reason), before + 1, "refusals for " + reason)


def listen(*secure):
    """`listen` with these SIP listeners for TLS, in their order, by the name of their
    certificate."""
    entries = ['{proto: tls, address: "127.0.0.1:0", tls: %s}' % name for name in secure]
    entries += ['{proto: %s, address: "127.0.0.1:0"}' % proto for proto in ("msrp", "http")]
    return "[%s]" % ", ".join(entries)


def ports(world):
    """The SIP listeners of the ready line, all of them."""
    line = next(x for x in world.server.lines if x.startswith("imservd ready"))
    return [("127.0.0.1", int(x.rpartition(":")[2])) for x in line.split()[2][4:].split(",")]


# --- SIP ---

@scenario(transports=("tls",))
async def tls_headers(world):
    """What the server sends over TLS says so: Via SIP/2.0/TLS with its TLS port, Contact with
    transport=tls."""
    sa, sb = await world.session()
    port = world.sip_address[1]
    invite = sb.request
    transport, sent_by, _ = sip.via(invite.list("Via")[0]) if not world.ims else sip.via(invite.list("Via")[1])
    same((transport, sent_by), ("TLS", "127.0.0.1:%d" % port), "Via")
    for message in (invite, sa.response):
        scheme, _, host, at, parameters = sip.uri_parts(sip.address(message.get("Contact"))[1])
        same((scheme, host, at, parameters.get("transport")), ("sip", "127.0.0.1", port, "tls"), "Contact")
    await sa.hang_up()
    await sb.wait_bye()


@scenario(modes=("standalone",), transports=("tls",))
async def tls_versions(world):
    """TLS 1.2 and 1.3 are spoken; the certificate is the one that was configured."""
    for version, name in ((V12, "TLSv1.2"), (V13, "TLSv1.3")):
        seen = await visit(world.sip_address, client_context(lowest=version, highest=version))
        same((seen.version, seen.certificate), (name, digest(certificates.main())), "handshake")
        REQ("IM-12.1.2-1", "IM-12.1.3.1-1", "IM-12.1-1")


@scenario(modes=("standalone",), transports=("tls",), once=True,
          own=lambda: {"tls": "[%s]" % settings(min="1.3")})
async def tls_lowest_version(world):
    """tls[].min: 1.3 refuses 1.2, counted."""
    before = await count(world, "tls_handshake")
    check(await refused(world.sip_address, client_context(highest=V12)), "TLS 1.2 was accepted")
    await one_more(world, "tls_handshake", before)
    same((await visit(world.sip_address)).version, "TLSv1.3", "version")


def named():
    other = authority().issue("other", "DNS:other.example.com")
    return {"listen": listen("main", "second"), "tls": "[%s, %s]" % (settings(), settings(other, name="second"))}


@scenario(modes=("standalone",), transports=("tls",), once=True, own=named)
async def tls_server_name(world):
    """The name that a client asks for chooses among all certificates; without one, or with one that
    nobody bears, it is the listener's own (RFC 6066 3)."""
    first, second = ports(world)
    main, other = digest(certificates.main()), digest(authority().issue("other"))
    unchecked = client_context(verify=False)
    for address, name, wanted in ((first, "main.example.com", main), (first, "other.example.com", other),
                                  (second, "other.example.com", other), (second, "main.example.com", main),
                                  (first, "nobody.example.com", main), (second, "nobody.example.com", other),
                                  (first, None, main), (second, None, other)):
        for version in (V12, V13):
            unchecked.minimum_version = unchecked.maximum_version = version
            seen = await visit(address, unchecked, name=name)
            same(seen.certificate, wanted, "certificate for %s at port %d" % (name, address[1]))
    await visit(first, name="other.example.com")


def three_ways():
    ways = ("none", "optional", "required")
    return {"listen": listen(*ways),
            "tls": "[%s]" % ", ".join(settings(name=way, client_auth=way) for way in ways)}


@scenario(modes=("standalone",), transports=("tls",), once=True, own=three_ways)
async def tls_client_certificates(world):
    """client_auth none, optional and required, with a certificate of the ca, of nobody, and
    without."""
    good, bad = authority().issue("client"), authority().lone("stranger")
    for address, way, outcomes in zip(ports(world), ("none", "optional", "required"),
                                      ((True, True, True), (True, True, False), (False, True, False))):
        for certificate, is_welcome in zip((None, good, bad), outcomes):
            for version in (V12, V13):
                before = await count(world, "tls_handshake")
                context = client_context(certificate, version, version)
                same(not await refused(address, context), is_welcome, "client_auth %s, certificate %s" % (
                    way, certificate and os.path.basename(certificate.cert)))
                if not is_welcome:
                    await one_more(world, "tls_handshake", before)


@scenario(modes=("standalone",), transports=("tls",), once=True, own=three_ways)
async def tls_resumption(world):
    """A session is resumed with its ticket by any worker, also one in which the client showed a
    certificate; not at a listener that asks for more."""
    none, optional, required = ports(world)
    for version in (V12, V13):
        context = client_context(authority().issue("client"), version, version)
        for address in (none, required):
            first = await visit(address, context)
            check(not first.is_resumed and first.session, "no session to resume")
            for _ in range(4):
                check((await visit(address, context, session=first.session)).is_resumed, "not resumed")
    naked = client_context(highest=V13)
    ticket = (await visit(none, naked)).session
    check(await refused(required, naked, session=ticket), "a ticket of another listener opened this one")
    metrics = await world.server.metrics()
    check(metrics.sum("imserv_tls_resumptions_total") >= 16, "resumptions are not counted")


@scenario(transports=("tls",))
async def garbage_on_tls(world):
    """What is not TLS is closed, counted and said once on the log; TLS goes on."""
    request = world.request("OPTIONS", await world.raw())
    for data in (request.encode(), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 300, b"\0" * 4000):
        before = await count(world, "tls_handshake")
        lines = len([x for x in world.server.lines if "reason=tls_handshake" in x])
        reader, writer = await asyncio.open_connection(*world.sip_address)
        writer.write(data)
        try:
            answer = await asyncio.wait_for(reader.read(), 3)
        except ConnectionError:
            answer = b""
        check(not answer or answer[0] == 0x15, "answered with %r" % answer[:20])
        writer.close()
        await one_more(world, "tls_handshake", before)
        for _ in range(300):   # the log comes by another way than the counter
            said = len([x for x in world.server.lines if "reason=tls_handshake" in x])
            if said > lines:
                break
            await asyncio.sleep(0.01)
        same(said, lines + 1, "log lines")
    await world.normal_session()


@scenario(transports=("tls",), own={"limits.unbound": "300ms"}, once=True)
async def slow_handshake(world):
    """A handshake that is not over in limits.unbound is given up, whatever it got as far as; a
    connection that made it may be idle longer."""
    hello = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = hello.read()
    idle = await world.raw()
    for data in (b"", hello[:1], hello[:len(hello) // 2], hello):
        before = await count(world, "tls_timeout")
        started = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection(*world.sip_address)
        writer.write(data)
        try:
            await asyncio.wait_for(reader.read(), 3)
        except asyncio.TimeoutError:
            raise Failure("a handshake of %d octets waits for ever" % len(data)) from None
        check(asyncio.get_running_loop().time() - started > 0.25, "given up too early")
        writer.close()
        await one_more(world, "tls_timeout", before)
    check(not idle.flow.closed.done(), "an idle connection was closed")
    await world.normal_session()


@scenario(modes=("standalone",), transports=("tls",))
async def records_are_cut(world):
    """Octet by octet, and several requests in one record: framing is that of TLS, not of TCP."""
    loop = asyncio.get_running_loop()

    def talk():
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = client_context().wrap_bio(into, out, server_hostname="127.0.0.1")
        with socket.create_connection(world.sip_address, 5) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def step(action, *arguments):
                while True:
                    try:
                        done = action(*arguments)
                    except ssl.SSLWantReadError:
                        done = None
                    for octet in out.read():
                        plain.sendall(bytes([octet]))
                    if done is not None or action == secure.do_handshake and secure.version():
                        return done
                    into.write(plain.recv(4000))
            plain.settimeout(5)
            step(secure.do_handshake)
            step(secure.write, b"".join((OPTIONS % (sip.branch(), sip.token())).encode() for _ in range(3)))
            answers = b""
            while answers.count(b"SIP/2.0 ") < 3:
                answers += step(secure.read, 16384)
            return answers
    answers = await loop.run_in_executor(None, talk)
    same(answers.count(b"CSeq: 1 OPTIONS"), 3, "answers")


@scenario(modes=("standalone",), transports=("tls",))
async def tls_end_is_clean(world):
    """A peer that says close_notify is gone; the server says it too when it closes."""
    loop = asyncio.get_running_loop()

    def talk():
        with socket.create_connection(world.sip_address, 5) as plain:
            plain.settimeout(5)
            secure = client_context().wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
            with secure:
                secure.sendall(b"GARBAGE\r\n\r\n" * 3 + b"INVITE sip:x SIP/9.0\r\nContent-Length: x\r\n\r\n")
                data = b"x"
                while data:
                    data = secure.recv(4000)   # a ragged end would be an exception
    await loop.run_in_executor(None, talk)
    await visit(world.sip_address)


# --- certificates read again ---

def copied():
    """Files of their own, which the scenario changes."""
    folder = os.path.join(authority().directory, "copied-" + sip.token(4))
    os.mkdir(folder)
    main = certificates.main()
    shutil.copy(main.cert, folder + "/a.pem")
    shutil.copy(main.key, folder + "/a.key")
    return {"tls": "[%s]" % settings(cert=folder + "/a.pem", key=folder + "/a.key"),
            "log.level": "info"}


def files_of(world):
    text = world.server.settings["tls"]
    return [text.partition(key + ': "')[2].partition('"')[0] for key in ("cert", "key")]


@scenario(transports=("tls",), own=copied)
async def certificates_read_again(world):
    """SIGHUP: new connections see the new certificate, those that are open go on, and so do their
    sessions; one that cannot be used changes nothing, and one log line says why."""
    cert, key = files_of(world)
    sa, sb = await world.session()
    plain = client_context(verify=False)
    same((await visit(world.sip_address, plain)).certificate, digest(certificates.main()), "first certificate")
    new = authority().issue("renewed")
    shutil.copy(new.cert, cert)
    world.server.reload()
    await world.server.logged("reload-refused")
    same(len([x for x in world.server.lines if "config error" in x]), 1, "log lines")
    check(any("tls[0].key" in x and "is not the key of tls[0].cert" in x for x in world.server.lines), "why")
    same((await visit(world.sip_address, plain)).certificate, digest(certificates.main()), "the old certificate")
    shutil.copy(new.key, key)
    world.server.reload()
    await world.server.logged("config reloaded ")       # by then all workers have changed over
    for _ in range(8):                               # by any worker
        same((await visit(world.sip_address, plain)).certificate, digest(new), "the new certificate")
    await sa.send("still here")
    same(bytes((await sb.receive()).body), b"still here", "text")
    await sb.hang_up()
    await sa.wait_bye()
    await world.normal_session()


# --- the next hop ---

def untrusted():
    """An authority that has signed nothing of what the core shows."""
    stranger = authority().lone("another-authority")
    return {"tls": "[%s]" % settings(ca=stranger.cert)}


@scenario(modes=("ims",), transports=("tls",), own=untrusted, once=True)
async def next_hop_is_not_verified(world):
    """A core whose certificate is of another authority gets no request: the log says why, the
    caller 480 or 503."""
    raw = await world.raw()
    raw.send(world.request("MESSAGE", raw, which="orig"))
    status = await raw.answer()
    check(status in (408, 480, 500, 503), "MESSAGE got %d" % status)
    check(any("side=client" in x and "certificate" in x for x in world.server.lines), world.server.tail(4))
    same([m for m in world.core.from_server if m.method == "MESSAGE"], [], "what the core got")
    REQ("IM-12.1.2-2", "IM-12.1.3.3-1")


# --- MSRP ---

async def secure_pair(world, **more):
    return [await world.client(name, certificate=authority().lone("phone-" + name), **more)
            for name in ("alice", "bob")]


@scenario(transports=("tls",))
async def msrps_session(world):
    """Both sides over msrps, as active and as passive side: TCP/TLS/MSRP with our fingerprint,
    which is that of the certificate that is shown; the session carries text both ways and a large
    message."""
    for a_setup, b_setup in (("actpass", "passive"), ("actpass", "active"), ("passive", "passive")):
        alice, bob = await secure_pair(world)
        sa, sb = await world.session(alice, bob, a_setup=a_setup, b_setup=b_setup)
        for description in (sa.answer, sb.offer):
            check(description.is_secure, "m=%s" % " ".join(description.line))
            same(description.fingerprint, certificates.main().fingerprint(), "fingerprint")
            REQ("IM-12.1.4-1", "IM-12.1-1")
        for session in (sa, sb):
            shown = session.leg.connection.transport.get_extra_info("ssl_object").getpeercert(True)
            if session.active:                       # it asks for one
                same(hashlib.sha256(shown).hexdigest(), digest(certificates.main()), "certificate")
        await sa.send("hello")
        same(bytes((await sb.receive()).body), b"hello", "text to bob")
        await sb.send("x" * 300000, chunk=2048)
        same((await sa.receive()).length, 300000, "octets to alice")
        await sa.hang_up()
        await sb.wait_bye()


@scenario(transports=("tls",))
async def msrps_at_another_worker(world):
    """The first chunk may come to any worker: TLS moves with the connection, and many sessions of
    two users all find their way."""
    alice, bob = await secure_pair(world)
    for _ in range(8):
        sa, sb = await world.session(alice, bob)
        await sa.send("moved")
        same(bytes((await sb.receive()).body), b"moved", "text")
        await sa.hang_up()
        await sb.wait_bye()


@scenario(transports=("tls",))
async def msrps_shared_connection(world):
    """Several sessions over one msrps connection, whichever workers own them."""
    alice, bob = await secure_pair(world)
    first, to = await world.session(alice, bob)
    sessions = [(first, to)]
    for _ in range(5):
        sessions.append(await world.session(alice, bob, connection=first.leg.connection))
    for number, (sa, sb) in enumerate(sessions):
        await sa.send("number %d" % number)
        same(bytes((await sb.receive()).body), b"number %d" % number, "text")
    for sa, sb in reversed(sessions):
        await sa.hang_up()
        await sb.wait_bye()


@scenario(transports=("tls",))
async def msrps_with_another_certificate(world):
    """A connection that shows another certificate than a=fingerprint names, or none: 403, and it is
    closed; the right one is taken. Without a=fingerprint any is (RFC 8122 6.2)."""
    alice, bob = await secure_pair(world)
    right, other = alice.msrp.certificate, authority().lone("somebody-else")
    for shown, code in ((other, 403), (None, 403), (right, 200)):
        outgoing = alice.invite(bob)
        accepting = asyncio.ensure_future((await bob.expect_invite()).accept(bind=False))
        await outgoing.established(bind=False)
        sb = await accepting
        before = await count(world, "tls_certificate")
        connection = await connect(alice, outgoing, shown)
        outgoing.leg.connection = connection
        same((await outgoing.leg.empty())[0], code, "SEND")
        if code == 403:
            await asyncio.wait_for(connection.closed.wait(), 3)
            await one_more(world, "tls_certificate", before)
        await outgoing.hang_up()
        await sb.wait_bye()
        connection.close()


async def connect(agent, session, certificate):
    """A connection to the session's peer that shows this certificate."""
    usual, agent.msrp.certificate = agent.msrp.certificate, certificate
    try:
        return await agent.msrp.connect(session.leg.remote[0])
    finally:
        agent.msrp.certificate = usual


@scenario(transports=("tls",))
async def msrps_without_fingerprint(world):
    """A description without a=fingerprint binds nobody to a certificate; one by SHA-1 does."""
    alice, bob = await secure_pair(world)

    def edit(replacement):
        def change(body):
            lines = [x for x in body.split(b"\r\n") if not x.startswith(b"a=fingerprint")]
            return b"\r\n".join(lines[:-1] + replacement + [b""])
        return change
    by_sha1 = b"a=fingerprint:" + alice.msrp.certificate.fingerprint("sha1").encode()
    for lines in ([], [by_sha1], [by_sha1.lower().replace(b"sha-1", b"sha-1")]):
        sa, sb = await world.session(alice, bob, edit=edit(lines))
        await sa.send("hello")
        await sb.receive()
        await sa.hang_up()
        await sb.wait_bye()


@scenario(transports=("tls",))
async def msrps_peer_is_not_announced(world):
    """Where the server connects, it ends what is not the certificate that the SDP announced: the
    session ends."""
    alice, bob = await secure_pair(world)
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    before = await count(world, "tls_certificate")
    invitation.leg.local.fingerprint = authority().lone("nobody").fingerprint()
    accepting = asyncio.ensure_future(invitation.accept(setup="passive", bind=False))
    await outgoing.established(bind=False)
    await accepting
    await one_more(world, "tls_certificate", before)
    check(not invitation.leg.bound.is_set(), "bound all the same")
    await outgoing.wait_bye()
    await invitation.wait_bye()


@scenario(transports=("tls",))
async def msrp_transports_do_not_mix(world):
    """B gets what A has offered: plain stays plain. A path with msrps in a line without TLS, or the
    reverse, is no path: 488."""
    alice, bob = await world.pair()
    sa, sb = await world.session(alice, bob)
    check(not sb.offer.is_secure and not sa.answer.is_secure, "plain became secure")
    same(sb.offer.fingerprint, None, "fingerprint")
    await sa.hang_up()
    await sb.wait_bye()
    secure, _ = await secure_pair(world)
    for user, old, new in ((alice, b"TCP/MSRP", b"TCP/TLS/MSRP"), (secure, b"TCP/TLS/MSRP", b"TCP/MSRP")):
        refusal = await user.invite(bob, edit=lambda body: body.replace(old, new)).transaction.final()
        same(refusal.status, 488, "INVITE")


@scenario(transports=("tcp",), once=True)
async def msrps_without_listener(world):
    """Without an msrps listener an offer of TCP/TLS/MSRP is refused with 488 and Warning 302."""
    if "tls" in world.server.ready.msrp:
        return
    secure, bob = await secure_pair(world)
    refusal = await secure.invite(bob).transaction.final()
    same(refusal.status, 488, "INVITE")
    check((refusal.get("Warning") or "").startswith("302 "), "Warning %r" % refusal.get("Warning"))


@scenario(transports=("tls",))
async def msrps_sends_no_tickets(world):
    """The connection may move to another worker, so nothing but the handshake is written before its
    first chunk."""
    loop = asyncio.get_running_loop()

    def talk():
        with socket.create_connection(world.server.ready.msrp["tls"], 5) as plain:
            plain.settimeout(0.3)
            context = client_context()
            context.check_hostname = False
            with context.wrap_socket(plain) as secure:
                try:
                    secure.recv(1)
                except TimeoutError:
                    pass
                return secure.session
    session = await loop.run_in_executor(None, talk)
    check(session is None or not session.has_ticket, "a ticket was sent")


# --- sips ---

@scenario(transports=("tls",))
async def sips_session(world):
    """An INVITE to a sips URI: our Contact is one on both sides (RFC 3261 8.1.1.8, 12.1.1), without
    transport, and what is sent to it arrives."""
    alice, bob = await world.pair()
    outgoing = alice.invite("sips:" + bob.uri[4:])
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    port = world.sip_address[1]
    for message in (invitation.request, outgoing.response):
        scheme, user, host, at, parameters = sip.uri_parts(sip.address(message.get("Contact"))[1])
        same((scheme, host, at, parameters), ("sips", "127.0.0.1", port, {}), "Contact")
    await outgoing.send("by sips")
    same(bytes((await invitation.receive()).body), b"by sips", "text")
    await invitation.hang_up()
    await outgoing.wait_bye()


@scenario(modes=("standalone",), transports=("tls",))
async def sips_only_by_tls(world):
    """A user who is there by TCP only is not there for a sips URI: 480; nor is a sips contact that
    was registered by TCP, for anybody (RFC 3261 26.2.2)."""
    alice, bob = await world.pair()
    plain = agent.Agent(world.witness, "carol", world.server.ready.sip["tcp"], "tcp")
    world.agents.append(plain)
    await plain.open()
    same((await plain.register()).status, 200, "REGISTER by TCP")
    same((await alice.invite("sips:" + plain.uri[4:]).transaction.final()).status, 480, "INVITE to sips:carol")
    same((await alice.pager("sips:" + plain.uri[4:], "psst")).status, 480, "MESSAGE to sips:carol")
    await plain.quiet(0.05)
    sending = asyncio.ensure_future(alice.pager("sips:" + bob.uri[4:], "psst"))
    (await bob.expect("MESSAGE")).respond(200)
    same((await sending).status, 200, "MESSAGE to sips:bob")
    same((await plain.register(0)).status, 200, "REGISTER with Expires 0")
    contact = "<sips:%s>" % plain.endpoint.uri(plain.name)[4:].partition(";")[0]
    same((await plain.register(headers=[("Contact", contact)])).status, 200, "REGISTER of a sips contact by TCP")
    same((await alice.pager(plain.uri, "psst")).status, 480, "MESSAGE to a sips contact without TLS")


@scenario(modes=("ims",), transports=("tcp",))
async def sips_needs_a_secure_core(world):
    """What is for a sips URI does not leave without TLS: 480 or 503, and the core gets nothing."""
    if world.transport == "tls":
        return
    raw = await world.raw()
    raw.send(world.request("MESSAGE", raw, to="sips:nobody@example.com", which="orig"))
    status = await raw.answer()
    check(status in (480, 503), "MESSAGE got %d" % status)
    same([m for m in world.core.from_server if m.method == "MESSAGE"], [], "what the core got")
