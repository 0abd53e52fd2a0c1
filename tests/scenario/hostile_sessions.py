"""Hostile peers inside calls and sessions: floods of responses, requests that lie inside dialogs, bad
credentials. What they do harms their own call at most."""
import asyncio

from ua import check, same, sip
from world import DOMAIN, scenario


def response(request, status, tag, *lines):
    """A response to the request as bytes, with the To tag of whatever fork."""
    head = ["SIP/2.0 %d x" % status] + ["Via: " + v for v in request.all("Via")]
    head += ["%s: %s" % (name, request.get(name)) for name in ("From", "Call-ID", "CSeq")]
    head += ["To: %s;tag=%s" % (request.get("To").partition(";tag=")[0], tag), *lines, "Content-Length: 0", "", ""]
    return "\r\n".join(head).encode()


async def invited(world, alice, bob, headers=()):
    """(alice's session, bob's end of it): bob answers nothing by himself."""
    call = alice.invite(bob, headers=headers)
    server = await bob.expect("INVITE")
    return call, server


@scenario(modes=("standalone",))
async def flood_of_ringing(world):
    """A called client answers thousands of 18x, reliable and not, each of another fork: alice hears some of
    them and then her final answer; nothing of it stays."""
    alice, bob = await world.pair()
    bob.layer.on_ack = lambda request: None
    for headers in ((), [("Supported", "timer, 100rel")]):
        call, server = await invited(world, alice, bob, headers)
        contact = "Contact: " + bob.contact
        for i in range(1500):
            more = ["Require: 100rel", "RSeq: %d" % (i * 999983 % 2 ** 32)] if i % 2 else []
            server.flow.send(response(server.request, 180 + i % 4, "fork%d" % i, contact, *more))
            if i % 50 == 0:
                await asyncio.sleep(0)
        for line in ("RSeq: 0", "RSeq: 4294967296", "RSeq: -1", "RSeq: x", "X: y", "RSeq: 4294967295"):
            server.flow.send(response(server.request, 183, "last" + line[-1], "Require: 100rel", contact, line))
        server.flow.send(response(server.request, 486, "final"))
        final = await call.transaction.final()
        check(final.status in (486, 480), "alice got %s" % final)
    await world.normal_session()


@scenario(modes=("standalone",))
async def flood_of_answers(world):
    """A called client accepts one call a thousand times, each time as another fork: one of them is alice's,
    the first ones of the others are ended, and no more is done about the rest."""
    alice, bob = await world.pair()
    bob.layer.on_ack = lambda request: None
    byes = []
    serve = bob.layer.on_request
    bob.layer.on_request = lambda s: byes.append(s.respond(200, "OK")) if s.request.method == "BYE" else serve(s)
    call, server = await invited(world, alice, bob)
    for i in range(1000):
        server.flow.send(response(server.request, 200, "fork%d" % i, "Contact: " + bob.contact))
        if i % 50 == 0:
            await asyncio.sleep(0)
    final = await call.transaction.final()
    check(final.status >= 400, "an answer without description became %s" % final)
    await bob.quiet(0.3)
    check(len(byes) <= 100, "%d BYEs for one call" % len(byes))
    bob.witness.reset()
    await world.normal_session()


@scenario(modes=("standalone",))
async def lies_inside_a_session(world):
    """Requests inside a dialog against every grammar: each is answered, the session goes on."""
    alice, bob = await world.pair()
    sa, sb = await world.session(alice, bob)
    dialog = sa.dialog
    evil = "x%0D%0AEvil:%201"

    async def asked(expected, what, method, *edits, **more):
        request = dialog.build(method, **more)
        for name, value in edits:
            request.put(name, value)
        final = await alice.layer.start(request, dialog.flow).final()
        check(final.status in expected, "%s: %s" % (what, final))
        check("Evil" not in [name for name, _ in final.headers], what)

    async def pass_all():
        while True:
            server = await sb.dialog.incoming.get()
            names = [name for name, _ in server.request.headers]
            check("Evil" not in names and "X Y" not in names, "%s: %s" % (server.request, names))
            # a REFER that is taken makes a subscription, which outlives the session (RFC 5057 4.1)
            server.respond(603 if server.request.method == "REFER" else 200, None, [("Contact", bob.contact)])
    passing = asyncio.ensure_future(pass_all())
    await asked((400, 500), "a CSeq below", "INFO", ("CSeq", "0 INFO"))
    await asked((200, 420), "an unknown extension", "INFO", ("Require", "x-nothing"))
    await asked((483,), "Max-Forwards 0", "INFO", ("Max-Forwards", "0"))
    await asked((200, 403, 481, 501), "an unknown method", "DANCE")
    await asked((422,), "a brief timer", "UPDATE", ("Session-Expires", "1"), ("Supported", "timer"))
    await asked((400,), "no timer", "UPDATE", ("Session-Expires", "x"))
    await asked((400, 481), "PRACK of nothing", "PRACK", ("RAck", "1 1 INVITE"))
    await asked((400, 481), "PRACK of numbers", "PRACK", ("RAck", "4294967296 99999999999 INVITE"))
    await asked((400, 481), "PRACK without RAck", "PRACK")
    for value in ("<sip:b@c?Replaces=%s>" % evil, "<sip:b@c?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&%zz=1>", "x", "<>", "*",
                  "\"a\r\n Evil: 1\" <sip:b@c>;x=\"\r\n y\"", "<sip:%s@c>" % evil, "<sip:%s@c>" % ("a" * 5000),
                  "<sip:b@c?%s>" % ("&a=b" * 1500), "<http://x?y>"):
        await asked((400, 513, 603), "Refer-To %.50s" % value, "REFER", ("Refer-To", value))
    for name, value in (("Event", "refer;id=99999999999999"), ("Event", ";;;"), ("Event", "x\r\n Evil: 1"),
                        ("Subscription-State", "terminated;expires=99999999999999;reason=\"x\r\n y\""),
                        ("Target-Dialog", "a;b=c;to-tag=;"), ("Replaces", ";;;to-tag=1"), ("X Y", "z")):
        await asked((200, 202, 400, 481, 489, 501, 503), "%s: %s" % (name, value), "NOTIFY", (name, value))
    for body in (b"v=0", b"\0" * 1000, b"--b--" * 500):
        await asked((400, 415, 488), "INVITE with %r" % body[:10], "INVITE", ("Content-Type", "application/sdp"), body=body,
                    content_type="application/sdp")
    many = [alice.layer.start(dialog.build("INFO"), dialog.flow) for _ in range(200)]
    statuses = {(await t.final(10)).status for t in many}
    check(statuses <= {200, 500, 503}, "200 INFO at once: %s" % statuses)
    passing.cancel()
    await sa.send("still")
    same(bytes((await sb.receive()).body), b"still", "text")
    await sa.hang_up()
    await sb.wait_bye()
    await world.normal_session()


@scenario(modes=("standalone",), own={"core.authenticate": "digest"}, settle=False)
async def lying_credentials(world):
    """Credentials against the grammar are 400, those that prove nothing are challenged again: never 200."""
    raw = await world.raw()
    same(await raw.ask(world.request("REGISTER", raw, to="sip:" + DOMAIN, headers=[
        ("To", "<sip:mallory@%s>" % DOMAIN)])), 401, "REGISTER")
    challenge = sip.parameters(";" + raw.last.all("WWW-Authenticate")[0].partition(" ")[2].replace(",", ";"))
    nonce = challenge["nonce"].strip('"')
    good = {"username": '"mallory"', "realm": '"%s"' % DOMAIN, "nonce": '"%s"' % nonce, "uri": '"sip:%s"' % DOMAIN,
            "response": '"%s"' % ("0" * 64), "algorithm": "SHA-256", "qop": "auth", "nc": "00000001", "cnonce": '"x"'}

    def credentials(**changed):
        values = dict(good, **changed)
        return "Digest " + ", ".join("%s=%s" % item for item in values.items() if item[1] is not None)
    lies = [credentials(), credentials(username='"%s"' % ("u" * 1500)), credentials(username='"a\\"b"'), credentials(username='""'),
            credentials(username='"mallory@elsewhere"'), credentials(username="\"'; DROP TABLE users; --\""),
            credentials(username='"%00"'), credentials(username='"\u2603"'), credentials(nonce='""'),
            credentials(nonce='"%s"' % nonce[:-1]), credentials(nonce='"%s"' % ("A" * 48)), credentials(nonce='"%s"' % ("9" * 1900)),
            credentials(nc="ffffffff"), credentials(nc="0"), credentials(nc="g0000001"), credentials(nc="000000000000000000001"),
            credentials(response='""'), credentials(response='"zz"'), credentials(response='"%s"' % ("0" * 32), algorithm="MD5"),
            credentials(algorithm="MD5-sess"), credentials(algorithm="x"), credentials(qop="auth-int"), credentials(qop=None),
            credentials(cnonce=None), credentials(realm='"elsewhere"'), credentials(uri='"sip:a@b"'), credentials(uri='""'),
            credentials() + ", " + credentials()[7:], "Digest", "Digest ,,,", "Digest =", "Digest a=\"", "Digest a=\"b\\", "Basic eDp5",
            "Digest " + "a=b," * 500, "Digest " + "\"" * 999, credentials(x="\"\r\n Evil: 1\""), ",", "digest username=x"]
    for lie in lies:
        request = world.request("REGISTER", raw, to="sip:" + DOMAIN, headers=[
            ("To", "<sip:mallory@%s>" % DOMAIN), ("Authorization", lie)])
        got = await raw.ask(request)
        check(got in (400, 401, 403), "%.60s got %d" % (lie, got))
        check("Evil" not in [name for name, _ in raw.last.headers], "a header of its own")
    request = world.request("REGISTER", raw, to="sip:" + DOMAIN, headers=[("To", "<sip:mallory@%s>" % DOMAIN)])
    request.headers += [("Authorization", credentials())] * 50
    check(await raw.ask(request) in (400, 401), "50 times credentials")


@scenario(modes=("standalone",))
async def lying_paths(world):
    """Path against the grammar is 400; what is kept comes back and goes out in one line."""
    raw = await world.raw()

    async def register(*paths):
        request = world.request("REGISTER", raw, to="sip:" + DOMAIN, headers=[
            ("To", "<sip:mallory@%s>" % DOMAIN), ("Supported", "path"), ("Expires", "60")])
        for path in paths:
            request.add("Path", path)
        return await raw.ask(request)
    for path in ("x", "<sip:a@b", "<>", "<sip:a b>", "<sip:p@h;lr>,<", "<sip:p@h>;;"):
        got = await register(path)
        check(got in (400, 420), "Path %s got %d" % (path, got))
    got = await register(*["<sip:%d@%s;lr>" % (i, "h" * 60) for i in range(100)])
    check(got in (200, 400, 403, 513), "100 Paths got %d" % got)
    same(await register("\"a\r\n Evil: 1\" <sip:127.0.0.1:9;lr>;x=\"\r\n\tEvil: 2\""), 200, "folds")
    check("Evil" not in [name for name, _ in raw.last.headers], "a header of its own")
    await world.normal_session()


@scenario(modes=("standalone",), transports=("udp",), once=True, seconds=40)
async def lying_to_the_api(world):
    """Names, bodies and requests that no tool sends: refused with 4xx, and the server goes on."""
    server = world.server
    names = ("%00", "%0d%0aX:%201", "..%2f..%2fetc%2fpasswd", "../status", "%", "%zz", "x" * 3000, "%ff%fe", "a%40b%40c", "@", "sip:",
             "tel:x", "a b".replace(" ", "%20"), "';DROP%20TABLE%20users;--", "%3Cscript%3E", "group1", "factory")
    bodies = (b"", b"{", b"[" * 20000, b"{\"password\":" * 5000, b"{\"password\":5}", b"{\"password\":\"\\u0000\"}", b"\xff\xfe", b"null",
              b"{\"password\":\"a\",\"password\":\"b\"}", b"{\"x\":1}", b"{\"password\":\"%s\"}" % (b"p" * 200000))
    for name in names:
        for method in ("PUT", "DELETE", "GET"):
            got, _ = await server.api(method, "users/" + name, {})
            check(got in (200, 201, 204) or 400 <= got < 500, "%s of user %.40r: %d" % (method, name, got))
            if got in (200, 201):
                await server.api("DELETE", "users/" + name)
    with open(server.token_file) as file:
        token = file.read().strip()

    async def talk(data):
        reader, writer = await asyncio.open_connection(*server.ready.http)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(4096), 0.5)
        except (ConnectionError, asyncio.TimeoutError):
            return b""  # closed, or it waits for the rest of something that is none
        finally:
            writer.close()
    head = "PUT /api/v1/users/eve HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nAuthorization: Bearer %s\r\n" % (
        server.ready.http + (token,))
    for body in bodies:
        answer = await talk(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        check(not answer or answer.split(b" ")[1][:1] in (b"2", b"4"), "body %.30r: %.60r" % (body, answer))
    for line in ("Content-Length: -1", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
                 "X: " + "y" * 100000, "\0", "Host: b", "Origin: http://x", "Expect: 100-continue\r\nContent-Length: 0"):
        answer = await talk((head + line + "\r\n\r\n").encode())
        check(not answer or answer.split(b" ")[1][:1] in (b"1", b"2", b"4", b"5"), "%.30r: %.60r" % (line, answer))
    for data in (b"\0" * 5000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G" * 100000, b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 60000)):
        await talk(data)
    got, _ = await server.api("GET", "status")
    same(got, 200, "status")
    await server.api("DELETE", "users/eve")
    await world.normal_session()
