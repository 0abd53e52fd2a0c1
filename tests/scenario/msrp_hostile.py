"""Hostile MSRP (issue "Bad input"): what no parser expects gets its answer, or ends the connection it came on, and
harms nobody else. After each a normal session works; the runner looks at gauges and descriptors."""
import asyncio
import secrets

from ua import check, same
from world import scenario


def chunk(leg, lines, body=None, flag="$", method="SEND", tid=None, to=None, sender=None):
    """(transaction id, octets) of a request of this leg's peer with these header lines, whatever they are."""
    tid = tid or secrets.token_hex(6)
    text = ["MSRP %s %s" % (tid, method), "To-Path: " + (to or leg.remote[0]), "From-Path: %s" % (sender or leg.local)]
    text += lines if isinstance(lines, list) else [lines]
    data = "\r\n".join(text).encode() + b"\r\n"
    if body is not None:
        data += b"Content-Type: text/plain\r\n\r\n" + body + b"\r\n"
    return tid, data + b"-------%s%s\r\n" % (tid.encode(), flag.encode())


async def status_of(leg, *what, **more):
    """The status that this request gets."""
    tid, data = chunk(leg, *what, **more)
    future = leg.expect_response(tid)
    leg.connection.write(data)
    return (await leg.outcome(future))[0]


async def raw_status_of(leg, *what, **more):
    """The same where the paths are none, which would be wrong in any other response."""
    tid, data = chunk(leg, *what, **more)
    got, receive = bytearray(), leg.connection.data_received
    leg.connection.data_received = got.extend
    leg.connection.write(data)
    for _ in range(400):
        if b"-------%s$\r\n" % tid.encode() in got:
            break
        await asyncio.sleep(0.005)
    leg.connection.data_received = receive
    check(got.startswith(b"MSRP %s " % tid.encode()), "answer %r" % bytes(got[:100]))
    return int(got.split()[2])


class Seen:
    """What really comes to a leg, without the rules that a message has to keep."""

    def __init__(self, leg):
        self.chunks = []
        leg.begin, leg.data, leg.complete = self.begin, self.data, self.complete

    def begin(self, got):
        got.body = bytearray()

    def data(self, got, part):
        got.body += part

    def complete(self, got, connection):
        self.chunks.append(got)
        if got.method == "SEND" and got.get("Failure-Report") != "no":
            connection.respond(got, 200)

    def take(self):
        """(range, body, flag) of each since the last time."""
        chunks, self.chunks = self.chunks, []
        return [(got.get("Byte-Range"), bytes(got.body), got.flag) for got in chunks]

    def take_content(self):
        return b"".join(body for _, body, _ in self.take())


async def talk(sa, sb):
    await sa.send("still here")
    same(bytes((await sb.receive()).body), b"still here", "text")


async def end(sa, sb):
    await sa.hang_up()
    await sb.wait_bye()


BAD_RANGES = ("0-1/2", "0-0/0", "0-*/*", "3-1/5", "5-3/9", "1-3/2", "4-*/2", "9-9/8", "1-2/9223372036854775808",
              "1-9223372036854775808/*", "9223372036854775808-*/*", "1-2/18446744073709551618", "1-2/" + "9" * 400,
              "-1-2/2", "1--2/2", "1-2", "1/2", "/", "-/", "*-2/2", "1-2/", "1-/2", "-2/2", "1-2/2/2", "1-2/2;x", "1 - 2/2",
              "0x1-2/2", "1-2/**", "bytes 1-2/2", "1,2/2", "", "\u0661-2/2")
GOOD_RANGES = (("1-2/2", 2), ("01-002/0002", 2), ("1-*/2", 2), ("1-2/*", 2), ("1-*/*", 2), ("3-4/4", 2),
               ("1-0/0", 0), ("7-6/6", 0))


@scenario()
async def hostile_ranges(world):
    """A Byte-Range that starts at 0, ends before it begins or beyond its total, does not fit 63 bits or is none at
    all: 400, and B hears nothing; in a REPORT: no answer. The session lives."""
    sa, sb = await world.session()
    seen = Seen(sb.leg)
    for value in BAD_RANGES:
        same(await status_of(sa.leg, ["Message-ID: m1", "Byte-Range: " + value], b"hi"), 400, "Byte-Range %r" % value)
        sa.leg.connection.write(chunk(sa.leg, ["Message-ID: m1", "Byte-Range: " + value, "Status: 000 200 OK"],
                                      method="REPORT")[1])
    same(await status_of(sa.leg, ["Message-ID: m2", "Byte-Range: 1-2/9223372036854775807"], b"hi"), 413,
         "a total of 2^63 - 1")
    same(seen.take(), [], "chunks at B")
    for value, n in GOOD_RANGES:
        same(await status_of(sa.leg, ["Message-ID: m3", "Byte-Range: " + value], b"hi"[:n]), 200, "Byte-Range " + value)
    same([len(body) for _, body, _ in seen.take()], [n for _, n in GOOD_RANGES], "chunks at B")
    await end(sa, sb)
    await world.normal_session()


@scenario()
async def hostile_messages(world):
    """Chunks that make no message: again, with gaps, overlapping, backwards, with another total each time, after
    the end, of two messages with one id: passed on as they are, for B to judge, and answered as B answers."""
    sa, sb = await world.session()
    seen = Seen(sb.leg)
    sent = [("1-5/15", "+"), ("1-5/15", "+"), ("1-5/15", "+"), ("11-15/15", "+"), ("3-7/15", "+"), ("6-10/15", "+"),
            ("1-5/20", "+"), ("6-10/10", "+"), ("6-10/*", "+"), ("1000001-1000005/2000000", "+"), ("1-5/15", "$"),
            ("6-10/15", "+"), ("11-15/15", "$"), ("11-15/15", "#"), ("1-5/5", "#"), ("6-10/10", "#")]
    for i, (value, flag) in enumerate(sent):
        body = b"%05d" % i
        same(await status_of(sa.leg, ["Message-ID: same", "Byte-Range: " + value], body, flag), 200, "chunk %d" % i)
    same(seen.take(), [(value, b"%05d" % i, flag) for i, (value, flag) in enumerate(sent)], "chunks at B")
    for value, body in (("1-5/*", b"more than five"), ("1-100/100", b"less"), ("1-1/*", b"x" * 5000)):
        same(await status_of(sa.leg, ["Message-ID: lies", "Byte-Range: " + value], body), 200, "a range that lies")
        same(seen.take_content(), body, "content at B")
    for value, body in (("1-5/5", b"more than five"), ("1-1/1", b"x" * 5000), ("1-*/4999", b"x" * 5000)):
        same(await status_of(sa.leg, ["Message-ID: lies", "Byte-Range: " + value], body), 400, "more than the total")
        same([flag for _, _, flag in seen.take() if flag != "#"], [], "whole chunks at B")
    await end(sa, sb)
    await world.normal_session()


@scenario()
async def hostile_end_lines(world):
    """Content that looks like an end-line at every length and with every flag: content; only the end-line itself is
    the end. What follows it is the next request."""
    sa, sb = await world.session()
    seen = Seen(sb.leg)
    tid = secrets.token_hex(6)
    whole = b"\r\n-------%s$\r\n" % tid.encode()
    looks = [whole[:n] for n in range(1, len(whole))] + [whole[n:] for n in range(1, len(whole))]
    looks += [whole.replace(b"$", flag) for flag in (b"", b"%", b" ", b"\0", b"$$", b"+$", b"-", b"\r\n$", b"$\n", b"$\r")]
    looks += [whole.replace(b"-------", hyphens) for hyphens in (b"", b"------", b"------ -", b"--------")]
    looks += [whole.replace(b"\r\n-", b"\n-"), whole.replace(tid.encode(), tid.upper().encode()[::-1]),
              whole[:-1] + b"x", whole[:-2] + b"\n\r"]
    for look in looks:
        for wrap in (b"", b"x" * 3000):
            body = wrap + look + wrap
            if body.endswith(whole[:-2]):
                body += b"."
            if body.startswith(whole[2:]):  # right behind the empty line it is the end of no content
                body = b"." + body
            same(await status_of(sa.leg, ["Message-ID: looks", "Byte-Range: 1-%d/%d" % (len(body), len(body))], body,
                                 tid=tid), 200, "content with %r" % look)
            same(seen.take_content(), body, "content at B")
    await end(sa, sb)
    await world.normal_session()


@scenario()
async def our_own_end_line(world):
    """The sender learns under which id his chunk goes on (a conspirator tells him) and writes the end-line of that:
    content, and B gets it as such, RFC 4975 7.1."""
    sa, sb = await world.session()
    seen, ids = Seen(sb.leg), []
    sb.agent.msrp.tap = lambda connection, is_sent, data: is_sent or ids.extend(
        line.split()[1] for line in data.split(b"\r\n") if line.startswith(b"MSRP ") and line.endswith(b" SEND"))
    for flag in b"$+#":
        tid, head = sa.leg.begin_request(headers=[("Message-ID", "own"), ("Byte-Range", "1-*/*"),
                                                  ("Content-Type", "text/plain")])
        future = sa.leg.expect_response(tid)
        body = b"x" * 5000
        sa.leg.connection.write(head + b"\r\n" + body)
        del ids[:]
        for _ in range(3):
            for _ in range(200):
                if ids:
                    break
                await asyncio.sleep(0.005)
            more = b"\r\n-------%s%c\r\n" % (ids.pop(), flag) + b"y" * 3000
            del ids[:]
            sa.leg.connection.write(more)
            body += more
        sa.leg.connection.write(b"\r\n-------%s$\r\n" % tid.encode())
        same((await sa.leg.outcome(future))[0], 200, "SEND")
        got = seen.take()
        check(b"".join(part for _, part, _ in got) == body, "content at B")
        same([f for _, _, f in got], ["+"] * (len(got) - 1) + ["$"], "flags at B")
        check(len(got) >= 4, "%d parts" % len(got))
    sb.agent.msrp.tap = None
    await end(sa, sb)
    await world.normal_session()


@scenario()
async def hostile_paths(world):
    """To-Path that names us twice or is none, From-Path of others, in a session: 481 each time, nothing at B, and
    the session goes on."""
    sa, sb = await world.session()
    other_a, other_b = await world.session()
    ours, mine = sa.leg.remote[0], str(sa.leg.local)
    seen = Seen(sb.leg)
    cases = [(ours + " " + ours, mine), (other_a.leg.remote[0] + " " + ours, mine), (ours + " " + mine, mine),
             ("msrp://127.0.0.1:9/x;tcp " + ours, mine), ("x", mine), ("msrp:", mine), (ours + ";x", mine + "x"),
             ("sip:a@b", mine), (ours.partition("//")[2], mine), (ours.replace("msrp:", "http:"), mine),
             (" ".join(["msrp://127.0.0.1:9/x;tcp"] * 200), mine), (ours + "%00", mine), (other_a.leg.remote[0], mine),
             (ours, "x"), (ours, ours), (ours, mine + " " + mine), (ours, "msrp://127.0.0.1:9/x;tcp " + mine),
             (ours, str(sa.leg.local.with_id("other"))), (ours, str(other_a.leg.local)), (ours, str(sb.leg.local)),
             (ours, mine.replace("msrp:", "msrps:")), (ours, mine.replace(";tcp", ";sctp"))]
    for to, sender in cases:
        same(await raw_status_of(sa.leg, ["Message-ID: p", "Byte-Range: 1-2/2"], b"hi", to=to, sender=sender), 481,
             "To-Path %.90s, From-Path %s" % (to, sender))
        sa.leg.connection.write(chunk(sa.leg, ["Message-ID: p", "Byte-Range: 1-2/2", "Status: 000 200 OK"],
                                      method="REPORT", to=to, sender=sender)[1])
        await asyncio.sleep(0)
    same(await status_of(sa.leg, ["Message-ID: p", "Byte-Range: 1-2/2"], b"hi"), 200, "the right paths")
    same(len(seen.chunks), 1, "chunks at B")
    for pair in ((sa, sb), (other_a, other_b)):
        if pair[0] is other_a:
            await talk(*pair)
        await end(*pair)
    await world.normal_session()


@scenario()
async def hostile_reports(world):
    """REPORTs of nothing, of REPORTs, broken ones, with content, by the thousand: never answered. What can be read
    passes to the other side, the session goes on."""
    sa, sb = await world.session()
    seen = Seen(sb.leg)
    good = ["Message-ID: r", "Byte-Range: 1-2/2", "Status: 000 200 OK"]
    passing = [good, good + ["Success-Report: yes", "Failure-Report: yes"], ["Message-ID: r", "Status: 000 999"],
               ["Message-ID: never-sent", "Byte-Range: 1-2/2", "Status: 000 413 no"], good + ["X: y"],
               ["Message-ID: r", "Byte-Range: 1-*/*", "Status: 123 456 x y z"], good[:2]]
    broken = [good[1:], good + good, ["Message-ID: ", *good[1:]], [*good[:2], "Status: 200 OK"], [*good[:2], "Status: "],
              [*good[:2], "Status: 000 20"], [*good[:2], "Status: 000 2000 x"], [*good[:2], "Status: x"],
              ["Message-ID: r", "Byte-Range: 2-0/1", good[2]], good + ["Failure-Report: perhaps"]]
    for lines in broken + passing:
        sa.leg.connection.write(chunk(sa.leg, lines, method="REPORT")[1])
    for flag in "+#":
        sa.leg.connection.write(chunk(sa.leg, good, method="REPORT", flag=flag)[1])
    sa.leg.connection.write(chunk(sa.leg, ["Message-ID: r", "Byte-Range: 1-*/*", good[2]], b"content" * 1000,
                                  method="REPORT")[1])
    same(await status_of(sa.leg, ["Message-ID: s", "Byte-Range: 1-2/2"], b"hi"), 200, "SEND behind them")
    got = [c for c in seen.chunks if c.method == "REPORT"]
    same([c.get("Status") for c in got[:len(passing)]],
         [next((line[8:] for line in lines if line.startswith("Status")), None) for lines in passing], "REPORTs at B")
    check(len(got) >= len(passing) + 3, "%d REPORTs at B" % len(got))
    del seen.chunks[:]
    storm = [chunk(sa.leg, good, method="REPORT")[1] for _ in range(50)]
    for _ in range(40):
        sa.leg.connection.write(b"".join(storm))
        sb.leg.connection.write(b"".join(chunk(sb.leg, good, method="REPORT")[1] for _ in range(50)))
        await sa.leg.drain()
        await sb.leg.drain()
    same(await status_of(sa.leg, ["Message-ID: s", "Byte-Range: 1-2/2"], b"hi"), 200, "SEND behind the storm")
    same(len(seen.chunks), 2001, "chunks at B")
    same(sa.leg.connection.strays + sb.leg.connection.strays, [], "answers to REPORTs")
    await end(sa, sb)
    await world.normal_session()


@scenario()
async def hostile_methods(world):
    """Methods that nobody here knows, and NICKNAME and AUTH, which are for chat rooms (RFC 7701) and relays (RFC
    4976): 501, whatever they carry. Unknown headers of a SEND pass as they are."""
    sa, sb = await world.session()
    seen = Seen(sb.leg)
    for method in ("NICKNAME", "AUTH", "PING", "X", "SENDER", "SEN", "REPORTS", "INVITE", "M" * 4000):
        for lines, body in ((["Message-ID: m"], None), (["Use-Nickname: \"x\""], None), (["Byte-Range: 0-0/0"], b"x" * 5000),
                            (["Failure-Report: x", "Status: y"], b"")):
            same(await status_of(sa.leg, lines, body, method=method), 501, "%.20s" % method)
    same(seen.take(), [], "chunks at B")
    headers = ["X-Unknown: a b  c", "x: y", "Expires: -1", "Authorization: Digest x=\"y\"", "Use-Path: msrp://a:1/b;tcp",
               "A.b-c!%*_+`'~9: \u00e4\u00f6 \"", "Content-Transfer-Encoding: binary", "Content-Disposition: render", "Empty: "]
    same(await status_of(sa.leg, ["Message-ID: m", "Byte-Range: 1-2/2", *headers], b"hi"), 200, "unknown headers")
    same(["%s: %s" % h for h in seen.chunks[-1].headers if h[0] not in (
        "To-Path", "From-Path", "Message-ID", "Byte-Range", "Content-Type")], headers, "headers at B")
    await end(sa, sb)
    await world.normal_session()


@scenario()
async def hostile_heads(world):
    """Heads that can be read and are wrong: 400, the session goes on."""
    sa, sb = await world.session()
    seen = Seen(sb.leg)
    good = ["Message-ID: m", "Byte-Range: 1-2/2"]
    for lines in (good[1:], ["Message-ID: ", good[1]], ["Message-ID: a b", good[1]], ["Message-ID: " + "m" * 129, good[1]],
                  ["Message-ID: \u00e4", good[1]], good + good[:1], good + good[1:], good + ["Content-Type: a/b"],
                  good + ["Failure-Report: maybe"], good + ["Failure-Report: yes", "Failure-Report: no"],
                  good + ["Success-Report: perhaps"], good + ["Success-Report: yes", "Success-Report: yes"],
                  good + ["Success-Report: "], good + ["Status: x"]):
        same(await status_of(sa.leg, lines, b"hi"), 400, "%r" % lines)
    same(await status_of(sa.leg, good + ["Failure-Report: YES", "Success-Report: nO"], b"hi"), 200, "a right one")
    same(len(seen.chunks), 1, "chunks at B")
    await end(sa, sb)
    await world.normal_session()


async def is_cut_off(world, name, data):
    """These octets in a session end the connection; limits.reattach later both sides get BYE with a Reason."""
    sa, sb = await world.session()
    sa.agent.msrp.tolerant = True
    data = data(sa.leg) if callable(data) else data
    for at in range(0, len(data), 65536):
        if sa.leg.connection.closed.is_set():
            break
        sa.leg.connection.write(data[at:at + 65536])
        await asyncio.sleep(0.002)
    try:
        await asyncio.wait_for(sa.leg.connection.closed.wait(), 4)
    except asyncio.TimeoutError:
        check(False, "the connection stays open after %s" % name)
    await asyncio.gather(sa.dialog.wait_bye(), sb.dialog.wait_bye())
    check(sa.dialog.bye.get("Reason") and sb.dialog.bye.get("Reason"), "BYE without Reason after %s" % name)


@scenario(tuned=True)
async def hostile_streams(world):
    """Octets after which nobody could say where the next request begins: start lines of a megabyte, statuses of one
    or four digits, lines that are no headers, heads without end. The connection is closed, others go on."""
    def said(text):
        return lambda leg: text.encode().replace(b"TO", leg.remote[0].encode()).replace(b"FROM", str(leg.local).encode())
    paths = "\r\nTo-Path: TO\r\nFrom-Path: FROM\r\n"
    good_a, good_b = await world.session()
    cases = [("a start line of 1 MB", said("MSRP abcd " + "A" * 1000000 + paths)),
             ("a transaction id of 1 MB", said("MSRP " + "a" * 1000000)),
             ("a header of 1 MB", said("MSRP abcd1234 SEND" + paths + "X: " + "y" * 1000000)),
             ("100000 headers", said("MSRP abcd1234 SEND" + paths + "X: y\r\n" * 100000)),
             ("a status of one digit", said("MSRP abcd1234 2 OK" + paths + "-------abcd1234$\r\n")),
             ("a status of four digits", said("MSRP abcd1234 2000 OK" + paths + "-------abcd1234$\r\n")),
             ("a status below 100", said("MSRP abcd1234 099 OK" + paths + "-------abcd1234$\r\n")),
             ("a status and letters", said("MSRP abcd1234 20x OK" + paths + "-------abcd1234$\r\n")),
             ("a method in small letters", said("MSRP abcd1234 send" + paths + "-------abcd1234$\r\n")),
             ("no method", said("MSRP abcd1234" + paths + "-------abcd1234$\r\n")),
             ("a transaction id of three", said("MSRP abc SEND" + paths + "-------abc$\r\n")),
             ("a transaction id of 33", said("MSRP " + "a" * 33 + " SEND" + paths)),
             ("a transaction id with a slash", said("MSRP ab/cd SEND" + paths)),
             ("another version", said("MSRP/2.0 abcd1234 SEND" + paths)),
             ("a bare LF", said(("MSRP abcd1234 SEND" + paths).replace("\r\n", "\n"))),
             ("a bare CR", said("MSRP abcd1234 SEND" + paths + "X: a\rb\r\n-------abcd1234$\r\n")),
             ("a NUL", said("MSRP abcd1234 SEND" + paths + "X: a\0b\r\n-------abcd1234$\r\n")),
             ("a line without colon", said("MSRP abcd1234 SEND" + paths + "evil\r\n-------abcd1234$\r\n")),
             ("a folded line", said("MSRP abcd1234 SEND" + paths + "X: y\r\n z\r\n-------abcd1234$\r\n")),
             ("two To-Paths", said("MSRP abcd1234 SEND" + paths + "To-Path: TO\r\n-------abcd1234$\r\n")),
             ("no From-Path", said("MSRP abcd1234 SEND\r\nTo-Path: TO\r\n-------abcd1234$\r\n")),
             ("the end-line of another", said("MSRP abcd1234 SEND" + paths + "Message-ID: m\r\n-------abcd1235$\r\n")),
             ("an end-line without flag", said("MSRP abcd1234 SEND" + paths + "Message-ID: m\r\n-------abcd1234\r\n")),
             ("a flag that is none", said("MSRP abcd1234 SEND" + paths + "Message-ID: m\r\n-------abcd1234?\r\n")),
             ("an empty line between requests", b"\r\n")]
    for some in range(0, len(cases), 9):
        await asyncio.gather(*(is_cut_off(world, *case) for case in cases[some:some + 9]))
        await talk(good_a, good_b)
    await end(good_a, good_b)
    await world.normal_session()


@scenario()
async def hostile_msrp_responses(world):
    """Responses that nobody waits for, twice, with the id of somebody else's chunk, with content: ignored, and what
    they try to answer still waits for the right one."""
    sa, sb = await world.session()
    ma, mb = await world.session()
    held = []
    sb.leg.answer = lambda got, respond: held.append((got, respond))
    future = sa.leg.send_chunk(b"wait", "w", 1, 4)
    while not held:
        await asyncio.sleep(0.005)
    tid = held[0][0].tid

    def response(leg, tid, status="200 OK", tail=""):
        return ("MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n%s-------%s$\r\n" % (
            tid, status, leg.remote[0], leg.local, tail, tid)).encode()
    for leg in (ma.leg, mb.leg, sa.leg):
        for name in (tid, tid[:-1], tid + "a", tid.upper(), "abcd", "a" * 32, "7" * len(tid), secrets.token_hex(9)):
            for status in ("200 OK", "413 Stop", "481", "999 \u00e4"):
                leg.connection.write(response(leg, name, status))
        leg.connection.write(response(leg, tid, tail="Content-Type: a/b\r\n\r\nx\r\n"))
        leg.connection.write(response(leg, tid, tail="Message-ID: x\r\nMessage-ID: y\r\nByte-Range: 0-0/0\r\n"))
    await talk(ma, mb)
    await asyncio.sleep(0.1)
    check(not future.done(), "A has got an answer, B gave none")
    held[0][1](403, "mine")
    same(await sa.leg.outcome(future), (403, "mine"), "B's answer at A")
    for status in ("200 OK", "413 Stop"):
        sb.leg.connection.write(response(sb.leg, tid, status) * 100)
    sb.leg.answer = lambda got, respond: (respond(200), respond(200), respond(413))
    await sb.receive()
    await talk(sa, sb)
    same(sa.leg.connection.strays, [], "responses that A does not wait for")
    await end(sa, sb)
    await end(ma, mb)
    await world.normal_session()


@scenario(seconds=40)
async def closed_at_every_octet(world):
    """The sender's connection ends behind each octet of an exchange, in turn with FIN and with RST, and he comes
    back on another one; then the receiver's behind each octet of his answer. The session lives; B never sees a
    message as whole that was not, and A hears 408 of what nobody answered."""
    sa, sb = await world.session()
    leg, seen = sa.leg, Seen(sb.leg)
    bind = chunk(leg, "Message-ID: b", tid="bind1234")[1]
    text = chunk(leg, ["Message-ID: whole", "Byte-Range: 1-5/5"], b"whole", tid="whole123")[1]
    flow = chunk(leg, ["Message-ID: flows", "Byte-Range: 1-*/*"], b"flows", tid="flows123")[1]
    host, port = world.msrp_address
    leg.connection.close()
    octets = bind + text + flow
    step = 1 if world.transport == "udp" else 3
    for cut in range(0, len(octets) + 1, step):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(octets[:cut])
        await writer.drain()
        if cut >= len(bind):  # bound: what follows has been seen when the binding is answered
            await asyncio.wait_for(reader.readuntil(b"-------bind1234$\r\n"), 4)
        if cut % 2:
            writer.transport.abort()
        else:
            writer.close()
    wholes = {"whole": 0, "flows": 0}
    await leg_back(leg)
    for got in seen.chunks:
        text = bytes(got.body)
        check(text == got.get("Message-ID").encode() or (got.flag != "$" and got.get("Message-ID").encode().startswith(text)),
              "B got %r%s of %s" % (text, got.flag, got.get("Message-ID")))
        wholes[got.get("Message-ID")] += got.flag == "$"
    check(wholes["flows"] <= 1 and wholes["whole"] <= len(flow) // step + 2, "whole messages at B: %s" % wholes)
    del seen.chunks[:]
    same(await status_of(leg, ["Message-ID: m", "Byte-Range: 1-2/2"], b"hi"), 200, "SEND on the last connection")
    same(seen.take_content(), b"hi", "content at B")
    await closed_in_an_answer(sa, sb, step)
    same(await status_of(leg, ["Message-ID: m", "Byte-Range: 1-2/2"], b"hi"), 200, "SEND to the last connection")
    await end(sa, sb)
    await world.normal_session()


async def closed_in_an_answer(sa, sb, step):
    came, complete = asyncio.Queue(), sb.leg.complete
    sb.leg.complete = lambda got, connection: came.put_nowait((got, connection))
    n = cut = 0
    while cut <= n:
        tid, data = chunk(sa.leg, ["Message-ID: m", "Byte-Range: 1-2/2"], b"hi")
        future = sa.leg.expect_response(tid)
        sa.leg.connection.write(data)
        got, connection = await asyncio.wait_for(came.get(), 4)
        answer = ("MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n" % (
            got.tid, got.get("From-Path"), got.get("To-Path"), got.tid)).encode()
        n = len(answer)
        connection.write(answer[:cut])
        said = 200 if cut > answer.rindex(b"\r\n-") + 2 else 408  # its headers are over: nothing can change it
        if cut % 2 and said == 408:
            connection.transport.abort()
        else:
            connection.close()
        same((await sa.leg.outcome(future))[0], said, "SEND whose answer ends behind octet %d" % cut)
        sb.leg.complete = complete
        await leg_back(sb.leg)
        sb.leg.complete = lambda got, connection: came.put_nowait((got, connection))
        cut = n if cut < n < cut + step else cut + step
    sb.leg.complete = complete


async def leg_back(leg):
    """Connect again, as the active side; the connection before may not be forgotten yet."""
    for _ in range(100):
        leg.connection = await leg.endpoint.connect(leg.remote[0])
        leg.connection.sessions.add(leg)
        code, _ = await leg.empty()
        if code == 200:
            return
        check(code == 506, "binding again got %d" % code)
        leg.connection.sessions.discard(leg)
        leg.connection.close()
        await asyncio.sleep(0.02)
    check(False, "no connection is taken")
