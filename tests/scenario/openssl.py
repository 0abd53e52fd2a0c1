"""MSRPS (RFC 4975 14.4, RFC 8122) with a TLS stack that nobody here wrote at the other end: `openssl s_client`,
`openssl s_server` and `gnutls-cli` carry MSRP that is written by hand, SIP is the test agent's."""
import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal

from tls import count, one_more, secure_pair
from ua import Failure, check, same
from ua.certificates import authority, main
from world import Skip, scenario


class Program:
    """One process: what is written to it goes over its connection, what comes is its output."""

    def __init__(self):
        self.process = self.readers = None
        self.output, self.errors = bytearray(), bytearray()
        self.news = asyncio.Event()

    async def start(self, *arguments):
        self.process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE)
        self.readers = asyncio.gather(self._read(self.process.stdout, self.output),
                                      self._read(self.process.stderr, self.errors))
        return self

    async def _read(self, stream, buffer):
        while data := await stream.read(65536):
            buffer += data
            self.news.set()

    def send(self, data):
        self.process.stdin.write(data if isinstance(data, bytes) else data.encode())

    async def expect(self, pattern, seconds=6):
        """The next output that is like this; what was before it is forgotten."""
        async def look():
            while not (match := re.search(pattern, self.output, re.S)):
                self.news.clear()
                await self.news.wait()
            return match
        try:
            match = await asyncio.wait_for(look(), seconds)
        except asyncio.TimeoutError:
            raise Failure("%r did not come, but %r and %r" % (
                pattern, bytes(self.output[-400:]), bytes(self.errors[-400:]))) from None
        found = [bytes(g) for g in match.groups()]
        del self.output[:match.end()]
        return found

    async def ended(self, seconds=6):
        """The other side closed: all it wrote on its standard error."""
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except asyncio.TimeoutError:
            raise Failure("the connection stays open: %r" % bytes(self.errors[-400:])) from None
        await self.readers
        return self.errors.decode("utf-8", "replace")

    async def close(self):
        """With close_notify, which s_client sends when its input ends."""
        self.process.stdin.close()
        return await self.ended()

    async def cut(self):
        """Without: the kernel closes the socket of a process that was killed."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self.readers


class Peer:
    """The MSRP side of a user agent's session, spoken through a Program."""

    def __init__(self, session):
        self.session, self.leg = session, session.leg
        self.tls = None

    async def connect(self, certificate, *options):
        host, port = self.leg.remote[0].split("/")[2].rsplit(":", 1)
        shown = ("-cert", certificate.cert, "-key", certificate.key) if certificate else ()
        self.tls = await Program().start("openssl", "s_client", "-connect", "%s:%s" % (host, port), "-quiet", "-no_ign_eof",
                                         "-state", *shown, *options)
        return self

    async def connect_gnutls(self, version):
        if not shutil.which("gnutls-cli"):
            raise Skip("gnutls-cli is not installed")
        certificate = self.session.agent.msrp.certificate
        host, port = self.leg.remote[0].split("/")[2].rsplit(":", 1)
        self.tls = await Program().start("gnutls-cli", "-p", port, "--insecure", "--inline-commands",
                                         "--priority=NORMAL:-VERS-ALL:+VERS-" + version, "--x509certfile",
                                         certificate.cert, "--x509keyfile", certificate.key, host)
        return self

    def paths(self):
        return "To-Path: %s\r\nFrom-Path: %s\r\n" % (self.leg.remote[0], self.leg.local)

    def begin(self, text="", more=""):
        """A SEND without its end; the transaction id."""
        tid = secrets.token_hex(6)
        self.tls.send("MSRP %s SEND\r\n%sMessage-ID: %s\r\n%s%s" % (tid, self.paths(), secrets.token_hex(6), more, text))
        return tid

    async def send(self, text=None):
        """The status of a SEND, empty or with this text."""
        if text is None:
            tid = self.begin("")
            self.tls.send("-------%s$\r\n" % tid)
        else:
            tid = self.begin("\r\n" + text, "Byte-Range: 1-%d/%d\r\nContent-Type: text/plain\r\n" % (
                len(text), len(text)))
            self.tls.send("\r\n-------%s$\r\n" % tid)
        code, to, sender = await self.tls.expect(
            r"MSRP %s (\d{3})[^\r]*\r\nTo-Path: ([^\r]*)\r\nFrom-Path: ([^\r]*)\r\n-------%s\$\r\n".encode()
            .replace(b"%s", tid.encode()))
        same((to.decode(), sender.decode()), (str(self.leg.local), self.leg.remote[0]), "paths of the response")
        return int(code)

    async def receive(self):
        """The text of the next SEND, which gets 200."""
        tid, body = await self.tls.expect(
            rb"MSRP (\S+) SEND\r\nTo-Path: [^\r]*\r\nFrom-Path: [^\r]*\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n-------\1\$\r\n")
        self.tls.send(b"MSRP %s 200 OK\r\n%s-------%s$\r\n" % (tid, self.paths().encode(), tid))
        return body


@contextlib.asynccontextmanager
async def session(world, certificate=None, options=(), setup="actpass", connect=True):
    """(Peer of alice, Session of bob): alice's MSRP is not the test agent's. No openssl is left behind."""
    alice, bob = await secure_pair(world)
    outgoing = alice.invite(bob, setup=setup)
    accepting = asyncio.ensure_future((await bob.expect_invite()).accept())
    await outgoing.established(bind=False)
    sb = await accepting
    peer = Peer(outgoing)
    try:
        if connect:
            await peer.connect(certificate or alice.msrp.certificate, *options)
        yield peer, sb
    finally:
        if peer.tls:
            await peer.tls.cut()


@scenario(transports=("tls",))
async def s_client_session(world):
    """With TLS 1.2 and 1.3: bound by an empty SEND, text both ways, each with its 200; close_notify of the peer is
    answered by one; the session is then the server's to end."""
    for version in ("-tls1_2", "-tls1_3"):
        async with session(world, options=(version,)) as (peer, sb):
            same(await peer.send(), 200, "empty SEND")
            same(await peer.send("hello bob"), 200, "SEND")
            same(bytes((await sb.receive()).body), b"hello bob", "text to bob")
            sending = asyncio.ensure_future(sb.send("hello alice"))
            same(await peer.receive(), b"hello alice", "text to alice")
            await sending
            await peer.tls.close()
            await peer.session.hang_up()
            await sb.wait_bye()


@scenario(transports=("tls",))
async def gnutls_session(world):
    """The same with GnuTLS, which in TLS 1.3 changes its keys and has the server change its own between two texts; its
    attempt to negotiate TLS 1.2 again ends its connection, not the server."""
    for version in ("TLS1.3", "TLS1.2"):
        async with session(world, connect=False) as (peer, sb):
            await peer.connect_gnutls(version)
            same(await peer.send(), 200, "empty SEND")
            same(await peer.send("hello bob"), 200, "SEND")
            same(bytes((await sb.receive()).body), b"hello bob", "text to bob")
            for command in ("^rekey1^\n", "^rekey^\n") if version == "TLS1.3" else ():
                peer.tls.send(command)
                await peer.tls.expect(b"Rekey was completed")  # what it reads together with a command waits for more
                same(await peer.send("new keys"), 200, "SEND after " + command)
                same(bytes((await sb.receive()).body), b"new keys", "text to bob")
            sending = asyncio.ensure_future(sb.send("hello alice"))
            same(await peer.receive(), b"hello alice", "text to alice")
            await sending
            if version == "TLS1.2":
                peer.tls.send("^renegotiate^\n")
                await peer.tls.ended()
            await peer.session.hang_up()
            await sb.wait_bye()


@scenario(transports=("tls",))
async def s_client_shows_another(world):
    """Another certificate than a=fingerprint names, or none: 403, close_notify, the end of the connection; the
    announced one is taken afterwards."""
    async with session(world, connect=False) as (peer, sb):
        for shown in (authority().lone("somebody-else"), None):
            before = await count(world, "tls_certificate")
            await peer.connect(shown)
            same(await peer.send(), 403, "SEND")
            said = await peer.tls.ended()
            check("alert read:warning:close notify" in said, "no close_notify: %s" % said)
            await one_more(world, "tls_certificate", before)
        await peer.connect(peer.session.agent.msrp.certificate)
        same(await peer.send(), 200, "SEND")
        same(await peer.send("at last"), 200, "SEND")
        same(bytes((await sb.receive()).body), b"at last", "text")
        await peer.session.hang_up()
        await sb.wait_bye()


@scenario(transports=("tls",))
async def s_client_too_old(world):
    """TLS 1.0 and 1.1 are refused with the alert protocol_version (RFC 8996), counted; the session waits on for
    somebody who can do more."""
    async with session(world, connect=False) as (peer, sb):
        for version in ("-tls1", "-tls1_1"):
            before = await count(world, "tls_handshake")
            await peer.connect(peer.session.agent.msrp.certificate, version, "-cipher", "DEFAULT@SECLEVEL=0")
            said = await peer.tls.ended()
            check("alert read:fatal:protocol version" in said, "alert: %s" % said)
            await one_more(world, "tls_handshake", before)
        await peer.connect(peer.session.agent.msrp.certificate)
        same(await peer.send("new enough"), 200, "SEND")
        same(bytes((await sb.receive()).body), b"new enough", "text")
        await peer.session.hang_up()
        await sb.wait_bye()


@scenario(transports=("tls",))
async def s_client_renegotiates(world):
    """A second handshake within TLS 1.2 is refused with the warning no_renegotiation, for which s_client gives up:
    only its own connection ends, the text before arrived, another session does not notice."""
    other_a, other_b = await world.session()
    async with session(world, connect=False) as (peer, sb):
        # its commands are lines that begin with R or Q; they are known only without -quiet
        certificate = peer.session.agent.msrp.certificate
        address = peer.leg.remote[0].split("/")[2]
        peer.tls = await Program().start("openssl", "s_client", "-connect", address, "-tls1_2", "-state",
                                         "-cert", certificate.cert, "-key", certificate.key)
        await peer.tls.expect(b"Secure Renegotiation IS supported")
        await peer.tls.expect(b"Extended master secret: \\w+\n---\n")
        same(await peer.send("before"), 200, "SEND")
        same(bytes((await sb.receive()).body), b"before", "text")
        peer.tls.send("R\n")
        said = await peer.tls.ended()
        check("no renegotiation" in said, "renegotiation: %s" % said)
        await other_a.send("not harmed")
        same(bytes((await other_b.receive()).body), b"not harmed", "text of the others")
        await peer.connect(certificate)
        await peer.session.hang_up()
        await sb.wait_bye()
    await other_a.hang_up()
    await other_b.wait_bye()


@scenario(transports=("tls",))
async def s_client_is_cut(world):
    """A connection that ends in mid-chunk without close_notify: what came is ended for the other side with the flag #,
    the session ends for both with a Reason after limits.reattach."""
    async with session(world) as (peer, sb):
        same(await peer.send(), 200, "empty SEND")
        peer.begin("\r\n" + "x" * 5000, "Byte-Range: 1-*/10000\r\nContent-Type: text/plain\r\n")
        for _ in range(300):
            if sb.leg.octets:
                break
            await asyncio.sleep(0.01)
        check(sb.leg.octets, "nothing of the chunk arrived")
        await peer.tls.cut()
        got = await sb.receive()
        same((got.flag, bytes(got.body)), ("#", b"x" * got.length), "what came of the message")
        for bye in (await sb.wait_bye(), await peer.session.dialog.wait_bye()):
            check(bye.get("Reason"), "BYE without Reason")


@scenario(transports=("tls",))
async def s_server_is_connected_to(world):
    """Where the peer is passive the server connects and shows the certificate that its own a=fingerprint names."""
    alice, bob = await secure_pair(world)
    certificate = alice.msrp.certificate
    tls = await Program().start("openssl", "s_server", "-accept", "127.0.0.1:0", "-state", "-Verify", "1", "-verify_return_error",
                                "-CAfile", authority().ca, "-cert", certificate.cert, "-key", certificate.key)
    try:
        [port] = await tls.expect(rb"ACCEPT 127\.0\.0\.1:(\d+)\n")

        def there(body):
            old = b":%d/" % alice.msrp.port
            return body.replace(old, b":%s/" % port).replace(b"m=message %d " % alice.msrp.port, b"m=message %s " % port)
        outgoing = alice.invite(bob, setup="passive", edit=there)
        accepting = asyncio.ensure_future((await bob.expect_invite()).accept())
        await outgoing.established(bind=False)
        peer = Peer(outgoing)
        peer.tls, peer.leg.local = tls, type(peer.leg.local)(str(peer.leg.local).replace(
            ":%d/" % alice.msrp.port, ":%s/" % port.decode()))
        shown, tid = await tls.expect(rb"-----BEGIN CERTIFICATE-----\n(.*?)\n-----END.*MSRP (\S+) SEND\r\n.*?-------\2\$\r\n")
        with open(main().cert, "rb") as file:
            check(shown in file.read(), "the certificate that was shown")
        tls.send(b"MSRP %s 200 OK\r\n%s-------%s$\r\n" % (tid, peer.paths().encode(), tid))
        sb = await accepting
        same(await peer.send("hello bob"), 200, "SEND")
        same(bytes((await sb.receive()).body), b"hello bob", "text to bob")
        sending = asyncio.ensure_future(sb.send("hello alice"))
        same(await peer.receive(), b"hello alice", "text to alice")
        await sending
        await sb.hang_up()
        await outgoing.dialog.wait_bye()
        for _ in range(300):
            if b"close notify" in tls.errors:
                break
            await asyncio.sleep(0.01)
        check(b"alert read:warning:close notify" in tls.errors, "no close_notify")
    finally:
        await tls.cut()
