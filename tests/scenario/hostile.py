"""Hostile SIP (issue "Bad input"): what no parser expects gets its answer and harms nobody. Each scenario
ends with a normal session; the runner then checks gauges, descriptors and what sanitizers printed."""
import asyncio

from ua import Failure, check, same, sip
from world import DOMAIN, scenario


def edited(request, *edits):
    """The request's octets with each (old, new) replaced once."""
    data = request.encode()
    for old, new in edits:
        old, new = (x.encode() if isinstance(x, str) else x for x in (old, new))
        check(old in data, "%r is not in the request" % old)
        data = data.replace(old, new, 1)
    return data


async def ask_all(world, cases, method="MESSAGE", **more):
    """Each case (expected, what, edit...) on a socket of its own; expected 0: no answer at all."""
    for expected, what, *edits in cases:
        raw = await world.raw()
        request = world.request(method, raw, which="term", **more)
        raw.send(edited(request, *edits))
        try:
            got = await raw.answer(seconds=4 if expected else 0.1)
        except Failure:
            got = 0
        allowed = expected if isinstance(expected, tuple) else (expected,)
        check(got in allowed, "%s: expected %s, got %s" % (what, expected, got))
        raw.close()
    await world.normal_session()


OFFLINE = 480  # the request was understood: its target is nobody


@scenario()
async def hostile_names(world):
    """NUL, CR, LF and quotes in display names and tags: 400; what the grammar allows is served."""
    name = "From: <"
    await ask_all(world, [
        (400, "NUL", (name, "From: \"a\0b\" <")),
        (400, "NUL outside quotes", (name, "From: a\0b <")),
        (400, "a bare LF", (name, "From: \"a\nEvil: 1\" <")),
        (400, "a bare CR", (name, "From: \"a\rEvil: 1\" <")),
        (400, "a trailing backslash", (name, "From: \"a\\\" <")),
        (400, "a quote that does not end", (name, "From: \"a <")),
        (400, "quotes in quotes", (name, "From: \"a \"b\" c\" <")),
        (400, "brackets in brackets", (name, "From: <<")),
        (400, "a bracket that does not end", ("@%s>;tag" % DOMAIN, "@%s;tag" % DOMAIN)),
        (400, "a bracket too many", ("@%s>;tag" % DOMAIN, "@%s>>;tag" % DOMAIN)),
        (400, "a comma without quotes", (name, "From: Bell, A <")),
        (400, "two addresses", (name, "From: <sip:a@b>, <")),
        (400, "a tag in quotes", (";tag=", ";tag=\"x\r\n y\";t=")),
        (400, "a tag of nothing", (";tag=", ";tag=;t=")),
        (OFFLINE, "an escaped NUL", (name, "From: \"a\\\0b\" <")),
        (OFFLINE, "a fold", (name, "From: \"a\r\n Evil: 1\" <")),
        (OFFLINE, "escaped quotes", (name, "From: \"a \\\"b\\\\\" <")),
        (OFFLINE, "UTF-8", (name, "From: J\u00f6rg \u2603 <")),
        (OFFLINE, "header-like text", (name, "From: \"<sip:a@b>;tag=1, Evil: 1\" <"))])


@scenario()
async def hostile_lines(world):
    """Lines that are no headers: 400. Names that look like others: unknown headers, ignored."""
    forwards = "Max-Forwards: 70"
    await ask_all(world, [
        (400, "a line without colon", (forwards, forwards + "\r\nevil")),
        (400, "a header without name", (forwards, forwards + "\r\n: evil")),
        (400, "a first line that is a fold", ("Via:", " x\r\nVia:")),
        (400, "LF alone at the end of a line", (forwards, forwards + "\nX: y")),
        (400, "CR alone at the end of a line", (forwards, forwards + "\rX: y")),
        (400, "LF before CR", (forwards, forwards + "\n\rX: y")),
        (OFFLINE, "To and an octet more", (forwards, forwards + "\r\nTo\x01: <sip:evil@%s>;tag=1" % DOMAIN)),
        (OFFLINE, "a name with a blank in it", (forwards, forwards + "\r\nCall ID: x")),
        (OFFLINE, "blanks behind a name", (forwards, "Max-Forwards \t : 70")),
        (OFFLINE, "an empty header", (forwards, forwards + "\r\nX:")),
        (OFFLINE, "folds of nothing", (forwards, "Max-Forwards:\r\n \r\n\t\r\n 70\r\n ")),
        (OFFLINE, "compact forms", ("From:", "f:"), ("To:", "t:"), ("Via:", "v:"), ("Call-ID:", "I:"))])


@scenario()
async def hostile_mandatory(world):
    """A mandatory header missing, twice or unreadable: 400 where an answer is possible."""
    cases = [(400, "no %s" % name, ("\r\n%s:" % name, "\r\nX-%s:" % name))
             for name in ("From", "To", "Call-ID", "CSeq")]
    cases += [(400, "two of %s" % name, ("\r\n%s:" % name, "\r\n%s: %s\r\n%s:" % (name, value, name)))
              for name, value in (("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>"), ("Call-ID", "x"),
                                  ("CSeq", "1 MESSAGE"), ("Max-Forwards", "70"))]
    cases += [(400, "two of %s" % line.partition(":")[0], ("Max-Forwards", "%s\r\n%s\r\nMax-Forwards" % (line, line)))
              for line in ("Expires: 60", "Date: x", "Session-Expires: 90", "Min-SE: 90", "Event: x", "RAck: 1 1 X",
                           "Content-Disposition: x", "Replaces: x", "Refer-To: <sip:a@b>")]
    cases += [(0, "no Via", ("Via:", "X-Via:"))]
    cases += [(400, "Max-Forwards %r" % value, ("Forwards: 70", "Forwards: " + value))
              for value in ("256", "-1", "", "7 0", "70;x", "0x10", "4294967366", "9" * 400)]
    cases += [(OFFLINE, "Max-Forwards %r" % value, ("Forwards: 70", "Forwards: " + value))
              for value in ("1", "255", "0000000000070")]
    cases += [(400, "CSeq %r" % value, ("CSeq: 1 MESSAGE", "CSeq: " + value))
              for value in ("2147483648 MESSAGE", "4294967297 MESSAGE", "-1 MESSAGE", "MESSAGE", "1", "1 INVITE",
                            "1 message", "1 MESSAGE x", "1MESSAGE", "9" * 400 + " MESSAGE")]
    cases += [(OFFLINE, "CSeq %r" % value, ("CSeq: 1 MESSAGE", "CSeq: " + value))
              for value in ("2147483647 MESSAGE", "0 MESSAGE", "1 \t\r\n MESSAGE")]
    cases += [(400, "Call-ID %r" % value, ("Call-ID: ", "Call-ID: " + value)) for value in ("a b", "a\x01", "a\\\0")]
    cases += [(400, "Require %r" % value, ("Max-Forwards", "Require: %s\r\nMax-Forwards" % value))
              for value in ("\"x\"", "a b", "<x>")]
    await ask_all(world, cases)


@scenario()
async def hostile_uris(world):
    """Request-URIs against the grammar: 400. Escaped CR, LF and NUL are names like others."""
    target = "sip:nobody@%s SIP" % DOMAIN
    bad = ("sip:%zz@" + DOMAIN, "sip:a%4@" + DOMAIN, "sip:@" + DOMAIN, "sip:nobody@", "sip:", "sip", "<sip:a@b>",
           "sip:a b@" + DOMAIN, "sip:a\"b@" + DOMAIN, "sip:a@b@" + DOMAIN, "sip:a@%s:65536" % DOMAIN,
           "sip:a@%s:-1" % DOMAIN, "sip:a@%s:" % DOMAIN, "sip:a@[::1", "sip:a@[%s]" % DOMAIN, "sip:a@b\x01",
           "sip:\u00e4@" + DOMAIN, "sip:a@%s?Route=x" % DOMAIN, "sip:a@%s;x=\"y\"" % DOMAIN, "tel:", "tel:abc-xyz",
           "1sip:a@" + DOMAIN)
    cases = [(400, "Request-URI %r" % uri, (target, uri + " SIP")) for uri in bad]
    cases += [(OFFLINE, "Request-URI %r" % uri, (target, uri + " SIP"))
              for uri in ("sip:a%0d%0aEvil:%201@" + DOMAIN, "sip:a%00@" + DOMAIN, "sip:a;b?c/d@" + DOMAIN,
                          "SIP:nobody@%s:05060" % DOMAIN.upper(), "sip:nobody:secret@" + DOMAIN, "tel:+1-201;x=y",
                          "sip:+1201@elsewhere.invalid;user=phone", "sip:nobody@%s.;lr;transport=udp" % DOMAIN)]
    cases += [(416, "Request-URI %r" % uri, (target, uri + " SIP")) for uri in ("urn:x", "http://x/", "sipx:a@b")]
    await ask_all(world, cases)


@scenario()
async def hostile_lengths(world):
    """Very long names, tags, branches, lists of nothing: answered, whatever they are."""
    long = "x" * 8000
    forwards = "Max-Forwards: 70"
    await ask_all(world, [
        (OFFLINE, "a tag", (";tag=", ";tag=" + long)),
        (OFFLINE, "a Call-ID", ("Call-ID: ", "Call-ID: " + long)),
        (OFFLINE, "a branch", ("branch=z9hG4bK", "branch=z9hG4bK" + long)),
        (OFFLINE, "a branch of RFC 2543", ("branch=z9hG4bK", "branch=" + long)),
        (OFFLINE, "a parameter", (";tag=", ";%s=%s;tag=" % (long[:7000], long[:7000]))),
        ((OFFLINE, 513), "a display name", ("To: <", "To: \"%s\" <" % long)),
        ((404, 414, OFFLINE), "a user", ("sip:nobody@", "sip:%s@" % long)),
        ((403, 404, OFFLINE), "a host in To", ("To: <sip:nobody@", "To: <sip:nobody@" + long)),
        (OFFLINE, "folds", (forwards, forwards + "\r\nX: a" + "\r\n " * 2500)),
        (OFFLINE, "commas", (forwards, forwards + "\r\nSupported: " + "," * 15000)),
        (OFFLINE, "commas in a list we read", (forwards, forwards + "\r\nRequire: " + "," * 15000)),
        (400, "commas in Via", (forwards, forwards + "\r\nVia: SIP/2.0/UDP a" + "," * 14000)),
        (OFFLINE, "commas in Contact", (forwards, forwards + "\r\nContact: <sip:a@b>" + "," * 14000)),
        (400, "semicolons in Contact", (forwards, forwards + "\r\nContact: <sip:a@b>" + ";" * 14000)),
        (OFFLINE, "parameters", (forwards, forwards + "\r\nContact: <sip:a@b>" + ";a" * 7000)),
        (OFFLINE, "quotes", (forwards, forwards + "\r\nSubject: " + "\"" * 14000)),
        (OFFLINE, "brackets", (forwards, forwards + "\r\nRoute: " + "<" * 14000)) if not world.ims else
        (OFFLINE, "escapes", (forwards, forwards + "\r\nSubject: " + "\\" * 14000)),
        (OFFLINE, "numbers", (forwards, forwards + "\r\nExpires: %s\r\nMin-Expires: -1" % ("9" * 8000)))])


@scenario(modes=("standalone",))
async def hostile_headers_are_not_passed_on(world):
    """What alice folds, escapes or invents arrives at bob as one line each, or not at all."""
    alice, bob = await world.pair()
    folded = "a\r\n Evil: 1\r\n\tEvil: 2"
    request = alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain", headers=[
        ("Subject", folded), ("X-New", folded), ("To\x01", "evil"), ("X Y", "evil"), ("<x>", "evil")])
    request.put("From", "\"Evil: \\\"1\\\\\" %s" % request.get("From"))
    request.put("To", "\"a\\\\\" %s" % request.get("To"))
    sending = alice.start(request)
    server = await bob.expect("MESSAGE")
    got = server.request
    names = [name for name, _ in got.headers]
    check("Evil" not in names, "a header of its own: %s" % names)
    check(all(sip.TOKEN.match(name) for name in names), "names that are none: %s" % names)
    same(got.get("Subject"), "a Evil: 1 Evil: 2", "Subject")
    same(got.get("X-New"), "a Evil: 1 Evil: 2", "an unknown header")
    same(sip.address(got.get("From"))[1], alice.uri, "From")
    same(got.body, b"x", "body")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE")
    for user in ("a%0d%0aEvil%3a1", "%0D%0A%0D%0A", "%00"):
        eve = await world.client(user, unique=False)
        sending = alice.start(alice.build("MESSAGE", eve.uri, body=b"y", content_type="text/plain"))
        server = await eve.expect("MESSAGE")
        same(sip.address(server.request.get("To"))[1].lower(), eve.uri.lower(), "To")
        server.respond(200, "OK")
        same((await sending.final()).status, 200, "MESSAGE to %s" % user)
        sending = eve.start(eve.build("MESSAGE", bob.uri, body=b"y", content_type="text/plain"))
        server = await bob.expect("MESSAGE")
        asserted = sip.address(server.request.get("P-Asserted-Identity"))[1]
        same(asserted.lower(), eve.uri.lower(), "P-Asserted-Identity")
        server.respond(200, "OK")
        same((await sending.final()).status, 200, "MESSAGE from %s" % user)
    await world.normal_session()


@scenario(modes=("standalone",))
async def hostile_responses_are_not_passed_on(world):
    """What bob puts into his responses arrives at alice as one line each; bad responses are none."""
    alice, bob = await world.pair()

    def answer(server, status_line, *lines):
        m = server.request
        head = [status_line] + ["Via: " + v for v in m.all("Via")]
        head += ["%s: %s" % (name, m.get(name)) for name in ("From", "Call-ID", "CSeq")]
        head += ["To: %s;tag=b" % m.get("To"), *lines, "Content-Length: 0", "", ""]
        server.flow.send("\r\n".join(head).encode())
    for line in ("Warning: 399 x \"a\r\n Evil: 1\"", "Retry-After: 5\r\n Evil: 1", "Reason: SIP;text=\"a\r\n\tEvil: 1\"",
                 "Error-Info: <sip:a@b>\r\n Evil: 1", "P-Asserted-Identity: \"a\r\n Evil: 1\" <sip:a@b>",
                 "Retry-After: 99999999999999999999999", "Server: a\r\n Evil: 1"):
        sending = alice.start(alice.build("MESSAGE", bob.uri, body=b"x", content_type="text/plain"))
        server = await bob.expect("MESSAGE")
        # none of these is an answer: bad start lines, no To, another CSeq, a NUL, two Vias
        via = server.request.get("Via")
        answer(server, "SIP/2.0 699999 no")
        answer(server, "SIP/2.0 200 OK", "CSeq: 1 INVITE")
        answer(server, "SIP/2.0 200 OK", "To: <sip:a@b>")
        answer(server, "SIP/2.0 200 OK", "Via: " + via)
        answer(server, "SIP/2.0 200 OK", "X: a\0b")
        answer(server, "SIP/2.0 603 No\tthank you", line)
        final = await sending.final()
        same(final.status, 603, line)
        check("Evil" not in [name for name, _ in final.headers], "a header of its own by %s" % line)
    await world.normal_session()


@scenario()
async def responses_to_nothing(world):
    """Thousands of responses and ACKs that nobody asked for are dropped and counted."""
    raw = await world.raw()
    before = await world.server.metrics()
    for i in range(1500):
        branch = "z9hG4bK" + ("a" * (3 * i % 40)) + ".%08x" % i
        method = ("INVITE", "MESSAGE", "BYE", "CANCEL")[i % 4]
        m = sip.Message(status=(100, 180, 200, 404, 503, 699)[i % 6], reason="x")
        m.add("Via", "SIP/2.0/%s 127.0.0.1;branch=%s" % (raw.transport.upper(), branch))
        m.add("From", "<sip:a@b>;tag=1").add("To", "<sip:a@b>;tag=2").add("Call-ID", "r%d" % i)
        m.add("CSeq", "1 " + method)
        raw.send(m)
        if i % 3 == 0:
            ack = world.request("ACK", raw)
            raw.send(ack)
        if i % 100 == 0:
            await asyncio.sleep(0)
    await world.normal_session()
    for _ in range(100):     # the session came by another connection: these may still be read
        after = await world.server.metrics()
        dropped = sum(v - before.values.get(k, 0) for k, v in after.values.items() if "response_unknown" in k)
        if dropped >= (1 if world.transport == "udp" else 1500):
            break
        await asyncio.sleep(0.05)
    else:
        check(False, "%d counted" % dropped)
    check(raw.queue.empty(), "something was answered")


@scenario(transports=("udp",), modes=("standalone",))
async def everything_is_repeated(world):
    """All that alice sent in a session comes again, in the order of sending and backwards: nothing of it
    happens twice."""
    alice, bob = await world.pair()
    sent = []
    send = alice.endpoint.send_datagram

    def recording(data, peer):
        sent.append((data, peer))
        send(data, peer)
        send(data, peer)
    alice.endpoint.send_datagram = recording
    await world.scatter(alice)
    sa, sb = await world.session(alice, bob)
    await sa.send("once")
    same(bytes((await sb.receive()).body), b"once", "text")
    await sa.hang_up()
    await sb.wait_bye()
    alice.endpoint.send_datagram = send
    heard = len(bob.log)
    for data, peer in sent + sent[::-1]:
        send(data, peer)
    await bob.quiet(0.2)
    again = [str(m) for m in bob.log[heard:] if m.method]
    check(not again, "bob got %s" % again)


@scenario(modes=("standalone",))
async def hostile_registrations(world):
    """Contacts against the grammar, of impossible numbers and of thousands: answered; what is kept comes
    back in one line each."""
    raw = await world.raw()

    async def register(*contacts, expires="600"):
        request = world.request("REGISTER", raw, to="sip:" + DOMAIN, without=("Contact",))
        request.put("To", "<sip:mallory@%s>" % DOMAIN).put("Expires", expires)
        for contact in contacts:
            request.add("Contact", contact)
        raw.send(request)
        return await raw.answer(request.call_id)
    for contact in ("<sip:a@b>;q=1.1", "<sip:a@b>;q=-1", "<sip:a@b>;q=99999999999", "<sip:a@b", "sip:a@b?x=y",
                    "<sip:a@b>;;", "\"a\\\" <sip:a@b>", "*, <sip:a@b>", "*", "<urn:x>", "<tel:+1>",
                    "<sip:%s@b>" % ("a" * 6000), "<sip:a@b>, , <sip:a@b>>"):
        got = await register(contact)
        check(got in (400, 403, 416), "Contact %.40s got %d" % (contact, got))
    same(await register(), 200, "a query")
    check(not raw.last.all("Contact"), "something was registered: %s" % raw.last.all("Contact"))
    for value in ("-1", "x", "99999999999999999999", "4294967296"):
        same(await register("<sip:m@%s:%d>;expires=%s" % (raw.host, raw.port, value)), 200, "expires=%s" % value)
        left = int(sip.parameters(";" + raw.last.all("Contact")[0].partition(">;")[2])["expires"])
        check(0 < left <= 2 ** 32 - 1, "expires %d" % left)
    same(await register("\"a\r\n b\" <sip:m@%s:%d>;x=\"c\r\n Evil: 1\";y" % (raw.host, raw.port)), 200, "folds")
    check("Evil" not in [name for name, _ in raw.last.headers], "a header of its own")
    if world.transport == "tcp":
        got = await register(", ".join("<sip:%d@b>" % i for i in range(1000)))
        check(got in (200, 400, 403, 413, 503), "1000 contacts got %d" % got)
        check(len(raw.last.list("Contact")) <= 64, "%d were kept" % len(raw.last.list("Contact")))
    same(await register("*", expires="0"), 200, "removing all")
    await world.normal_session()


def multipart(parts, boundary="b"):
    return "".join("--%s\r\n%s\r\n" % (boundary, part) for part in parts) + "--%s--\r\n" % boundary


@scenario(modes=("standalone",))
async def hostile_descriptions(world):
    """INVITEs whose body lies: 400, 415 or 488, at once; nobody's phone rings."""
    alice, bob = await world.pair()
    good = alice.invite(bob)
    offer = good.transaction.request.body.decode()
    (await bob.expect_invite()).refuse(486)
    await good.transaction.final()
    lines = offer.split("\r\n")
    media = next(line for line in lines if line.startswith("m="))
    path = next(line for line in lines if line.startswith("a=path"))

    def changed(old, new):
        check(old in offer, "%r is not in the offer" % old)
        return offer.replace(old, new, 1)
    nested = "Content-Type: application/sdp\r\n\r\n" + offer
    for i in range(200):
        nested = "Content-Type: multipart/mixed;boundary=b%d\r\n\r\n" % i + multipart([nested], "b%d" % i)
    bodies = [(changed("v=0", "v=1"), None), (changed("v=0\r\n", ""), None), (changed("o=", "x="), None),
              (changed(media, media.replace(" TCP", "/4294967297 TCP")), None),
              (changed(media, "m=message 65536 TCP/MSRP *"), None), (changed(media, "m=message -1 TCP/MSRP *"), None),
              (changed(media, "m=message 0 TCP/MSRP *"), None), (changed(media, "m=message"), None),
              (changed(path, "a=path:msrp://127.0.0.1:99999/x;tcp"), None), (changed(path, "a=path:x"), None),
              (changed(path, "a=path:" + " ".join(["msrp://127.0.0.1:9/x;tcp"] * 200)), None),
              (changed(path, path + "\0"), None), (changed(path, path + "\rEvil"), None),
              (changed(path, path + "\r\n\r\n"), None), (changed(path, "=" * 5000), None),
              (offer + (media + "\r\n") * 40, None), ("\xff\xfe", None), ("\r\n" * 500, None), ("v=0", None),
              (changed("c=", "c=x\r\nc="), None),
              (offer, "multipart/mixed"), (offer, "multipart/mixed;boundary="), (offer, "multipart/mixed;boundary=\"\""),
              (offer, "multipart/mixed;boundary=%s" % ("b" * 500)), ("--b" * 3000, "multipart/mixed;boundary=b"),
              ("--b\r\n" * 3000, "multipart/mixed;boundary=b"), ("--b--" * 3000, "multipart/mixed;boundary=b"),
              (multipart(["Content-Type: text/plain\r\n\r\nx"] * 300), "multipart/mixed;boundary=b"),
              (nested[-20000:], "multipart/mixed;boundary=b199"), (offer, "application"), (offer, "a/b;;"),
              (offer, "application/sdp, application/sdp")]
    for i, (body, kind) in enumerate(bodies):
        body = body.encode("latin-1")
        if world.transport == "udp" and len(body) > 30000:
            continue
        request = alice.build("INVITE", bob.uri, body=body, content_type=kind or "application/sdp")
        try:
            final = await alice.start(request).final(2)
        except Failure:
            raise Failure("body %d %.60r got no answer" % (i, body)) from None
        check(final.status in (400, 415, 488), "body %d %.60r got %s" % (i, body, final))
    await bob.quiet(0.05)
    await world.normal_session()


@scenario(transports=("tcp",))
async def garbage_behind_requests(world):
    """Octets that are not SIP behind whole requests: these are answered, then the connection is closed. A
    wrong message whose end is known harms only itself."""
    raw = await world.raw()
    requests = [world.request("MESSAGE", raw, which="term") for _ in range(5)]
    raw.send(b"".join(r.encode() for r in requests) + b"\0\xff garbage \r\n\r\n" + requests[0].encode())
    for _ in requests:
        same(await raw.answer(), OFFLINE, "MESSAGE before the garbage")
    await asyncio.wait_for(raw.flow.closed, 5)
    raw = await world.raw()
    first, wrong, last = (world.request("MESSAGE", raw, which="term") for _ in range(3))
    raw.send(first.encode() + b"\r\n" + edited(wrong, ("CSeq: 1", "CSeq: x")) + b"\r\n\r\n\r\n" +
             edited(wrong, ("Max-Forwards: 70", "evil")) + last.encode())
    got = sorted([await raw.answer() for _ in range(4)])
    same(got, [400, 400, OFFLINE, OFFLINE], "answers")
    await world.normal_session()


@scenario(transports=("tcp",), own={"limits.chunk_stall": "300ms"})
async def head_that_drips(world):
    """A head that comes octet by octet and never ends is closed at limits.chunk_stall, not later."""
    raw = await world.raw()
    loop = asyncio.get_running_loop()
    started = loop.time()
    raw.send(b"MESSAGE sip:x SIP/2.0\r\n")
    while not raw.flow.closed.done() and loop.time() - started < 8:
        await asyncio.wait({raw.flow.closed}, timeout=0.05)
        if not raw.flow.closed.done():
            raw.send(b"X")
    check(raw.flow.closed.done(), "still open after %.1f s" % (loop.time() - started))
    await world.normal_session()
