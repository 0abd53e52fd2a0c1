"""Other stacks write the same things in other ways (RFC 4975 6, 6.1, 9): forms of URIs, of header names, what a head may
leave out."""
import asyncio
import re
import secrets

from ua import check, msrp, same
from world import scenario


class Form(msrp.Uri):
    """A URI of ours as a description has it, of another form than the test agent's own."""

    def __init__(self, uri, text, endpoint, leg):
        super().__init__(text)
        self.fingerprint, self.relays = uri.fingerprint, uri.relays
        endpoint.sessions[self.session_id] = leg


FORMS = (
    lambda u: u.replace("msrp:", "MSRP:").replace(";tcp", ";TCP"),
    lambda u: u.replace("//", "//alice@"),
    lambda u: u.replace("//", "//al%69ce;phone=1:x!$&'()*+,=@"),
    lambda u: u.replace("/", "/-._~+=/a", 3).replace("/-._~+=/a/-._~+=/a", "//", 1) + ";a=b;c",
    lambda u: re.sub(r"/\w+;", "/%s;" % ("Aa0-._~!$&'()*+,=:@/%41" + secrets.token_hex(60)), u),
)


async def invited(world, form, setup):
    """(Session of alice, Session of bob, URI of alice in this form): her description has it."""
    alice, bob = await world.pair()
    made = []

    def edit(body):
        own = re.search(rb"a=path:(\S+)", body).group(1).decode()
        made.append((own, form(own)))
        return body.replace(own.encode(), made[0][1].encode())
    outgoing = alice.invite(bob, setup=setup, edit=edit)
    outgoing.leg.local = Form(outgoing.leg.local, made[0][1], alice.msrp, outgoing.leg)
    accepting = asyncio.ensure_future((await bob.expect_invite()).accept())
    await outgoing.established(bind=False)
    return outgoing, await accepting


async def talk(sa, sb):
    await sa.send("from a")
    same(bytes((await sb.receive()).body), b"from a", "text to bob")
    await sb.send("from b")
    same(bytes((await sa.receive()).body), b"from b", "text to alice")


@scenario(transports=("udp", "tcp", "no tls"))
async def forms_of_uris(world):
    """Upper case, userinfo, parameters, every character that a session-id may have: the server keeps what the
    description says, whichever side connects."""
    for form in FORMS:
        for setup in ("actpass", "passive"):
            sa, sb = await invited(world, form, setup)
            await sa.bind()
            await talk(sa, sb)
            await sa.hang_up()
            await sb.wait_bye()


@scenario(transports=("udp", "tcp", "no tls"))
async def equal_uris(world):
    """From-Path and To-Path are compared by the rules of 6.1: what is another form of the same is taken; another
    session-id, port or host is not (481)."""
    sa, sb = await invited(world, lambda u: u.replace("127.0.0.1", "Phone.Example.COM"), "actpass")
    sa.leg.connection = await sa.agent.msrp.connect(sa.leg.remote[0])
    server, own = sa.leg.remote[0], str(sa.leg.local)
    session_id = sa.leg.local.session_id

    async def ask(to, sender):
        tid = secrets.token_hex(6)
        future = sa.leg.expect_response(tid)
        sa.leg.connection.write(("MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\n-------%s$\r\n" % (
            tid, to, sender, secrets.token_hex(6), tid)).encode())
        return (await sa.leg.outcome(future))[0]
    for to, sender in ((server, own.replace("Phone", "phone").replace(session_id, session_id[:-1] + "A")),
                       (server, own.replace("COM:", "COM:1")), (server, own.replace("Phone", "Telephone")),
                       (server, own.replace("msrp:", "msrps:")), (server[:-5] + "aa;tcp", own)):
        same(await ask(to, sender), 481, "SEND to %s from %s" % (to, sender))
    for to, sender in ((server, own.lower()), (server, own.upper().replace(session_id.upper(), session_id)),
                       (server, own.replace("Phone", "ph%6Fne")), (server, own.replace("//", "//me:too@") + ";x=y"),
                       (server.replace("msrp:", "Msrp:").replace(";tcp", ";TCP"), own),
                       (server.replace("//", "//x@") + ";more", own)):
        same(await ask(to, sender), 200, "SEND to %s from %s" % (to, sender))
    await talk(sa, sb)
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def forms_of_heads(world):
    """Header names in any case and order, no Byte-Range, responses without comment, a first SEND with content."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    accepting = asyncio.ensure_future((await bob.expect_invite()).accept())
    await outgoing.established(bind=False)
    sb = await accepting
    leg = outgoing.leg
    leg.connection = await alice.msrp.connect(leg.remote[0])
    paths = "%s: %s\r\n%s: %s\r\n"
    heads = (
        paths % ("To-Path", leg.remote[0], "From-Path", leg.local) +
        "Message-ID: %s\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n",
        paths % ("to-path", leg.remote[0], "FROM-PATH", leg.local) +
        "byte-range: 1-5/5\r\nfailure-report: yes\r\nmessage-Id: %s\r\nCONTENT-TYPE: text/plain\r\n",
        paths % ("To-Path", leg.remote[0], "From-Path", leg.local) +
        "X-More: a\r\nContent-Disposition: render\r\nMessage-ID: %s\r\nContent-Type: text/plain\r\n",
        paths % ("To-Path", leg.remote[0], "From-Path", leg.local) +
        "Byte-Range: 1-*/*\r\nMessage-ID: %s\r\nSuccess-Report: no\r\nContent-Type: text/plain\r\n")

    def short(chunk, respond):
        """A response whose comment is left out, with the space before it or without."""
        connection = sb.leg.connection
        connection.write(("MSRP %s 200\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n" % (
            chunk.tid, chunk.get("From-Path"), chunk.get("To-Path"), chunk.tid)).encode())
    for answer in (sb.leg.answer, short):
        sb.leg.answer = answer
        for head in heads:
            tid = secrets.token_hex(6)
            future = leg.expect_response(tid)
            leg.connection.write(("MSRP %s SEND\r\n%s\r\nhello\r\n-------%s$\r\n" % (
                tid, head % secrets.token_hex(6), tid)).encode())
            same((await leg.outcome(future))[0], 200, "SEND with the head %r" % head)
            got = await sb.receive()
            same((bytes(got.body), got.content_type), (b"hello", "text/plain"), "text to bob")
    check(not leg.connection.closed.is_set(), "closed")
    await outgoing.hang_up()
    await sb.wait_bye()
