#!/usr/bin/env python3
"""The test user agents against each other, without a server: shows that they can talk and that their
checks find what is wrong. usage: selftest.py"""
import asyncio
import contextlib
import hashlib
import io
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ua import Failure, Witness, agent, check, msrp, same, sdp, sip  # noqa: E402

MIB = 1 << 20


async def pair(transport, witness):
    """b first; a sends to b's address."""
    b = agent.Agent(witness, "bob", ("127.0.0.1", 1), transport)
    await b.endpoint.open()
    await b.msrp.open()
    a = agent.Agent(witness, "alice", ("127.0.0.1", b.endpoint.port), transport)
    await a.open()
    return a, b


async def sessions(transport):
    witness = Witness(server=False)
    a, b = await pair(transport, witness)
    for a_setup, b_setup in (("actpass", "passive"), ("actpass", "active"), ("passive", "active"),
                             (None, "passive")):
        sa, sb = await agent.establish(a, b, a_setup, b_setup)
        await sa.send("hello")
        same(bytes((await sb.receive()).body), b"hello", "text")
        await sb.send(b"x" * 10000, chunk=2048)
        got = await sa.receive()
        same((got.length, len(got.chunks)), (10000, 5), "chunked")
        tricky = b"abc\r\n-------deadbeef0000$\r\n-------" + b"y" * 5000
        await sa.send(tricky)
        same(bytes((await sb.receive()).body), tricky, "content like an end-line")
        await sa.hang_up()
        await sb.wait_bye()
    a.close(), b.close()
    same(witness.violations, [], "violations")


async def bulk():
    witness = Witness(server=False)
    a, b = await pair("tcp", witness)
    sa, sb = await agent.establish(a, b)
    total, digest, started = 100 * MIB, hashlib.sha256(), time.monotonic()

    def hashed():
        for block in msrp.pattern(total):
            digest.update(block)
            yield block
    code = await sa.leg.send_stream(hashed(), total, 30)
    got = await sb.receive()
    same((code, got.length, got.digest), (200, total, digest.hexdigest()), "100 MiB")
    print("   100 MiB in %.2f s" % (time.monotonic() - started))
    a.close(), b.close()
    same(witness.violations, [], "violations")


async def parser_is_strict():
    """Each broken input must be noticed."""
    head = "MSRP abcd1234 SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\n"
    for name, text in (
            ("start line", "MSPR abcd1234 SEND\r\n\r\n"),
            ("order", "MSRP abcd1234 SEND\r\nFrom-Path: msrp://a:1/x;tcp\r\nTo-Path: msrp://a:1/x;tcp\r\n"
                      "-------abcd1234$\r\n"),
            ("URI", "MSRP abcd1234 SEND\r\nTo-Path: msrp://a/x;tcp\r\nFrom-Path: msrp://a:1/x;tcp\r\n"
                    "-------abcd1234$\r\n"),
            ("flag", head + "Message-ID: 1\r\n-------abcd1234!\r\n"),
            ("no Message-ID", head + "-------abcd1234$\r\n"),
            ("range", head + "Message-ID: 1\r\nByte-Range: 1-9/9\r\nContent-Type: a/b\r\n\r\n"
                      "12345678\r\n-------abcd1234$\r\n"),
            ("gap", head + "Message-ID: 1\r\nByte-Range: 5-*/9\r\nContent-Type: a/b\r\n\r\n"
                    "12345678\r\n-------abcd1234$\r\n"),
            ("stray response", "MSRP abcd1234 200 OK\r\nTo-Path: msrp://a:1/x;tcp\r\n"
                               "From-Path: msrp://a:1/x;tcp\r\n-------abcd1234$\r\n")):
        witness = Witness(server=False)
        endpoint = await msrp.Endpoint(witness).open()
        leg = msrp.Leg(endpoint)
        leg.remote = ["msrp://127.0.0.1:9/peer;tcp"]
        _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        if "%s" in text:
            text = text % (leg.local, leg.remote[0])
        for octet in text.encode():
            writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0.05)
        check(witness.violations, "not noticed: %s" % name)
        writer.close()
        endpoint.close()


async def sip_is_strict():
    good = ("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h:1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"
            "To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nServer: IM-serv/OMA1.0 x\r\n"
            "Content-Length: 0\r\n\r\n")
    request = sip.Message("MESSAGE", "sip:c@d")
    for name, value in (("Via", "SIP/2.0/UDP h:1;branch=z9hG4bKa"), ("From", "<sip:a@b>;tag=1"),
                        ("To", "<sip:c@d>"), ("Call-ID", "x"), ("CSeq", "1 MESSAGE")):
        request.add(name, value)
    for name, old, new, broken in (
            ("good", "", "", False), ("no To tag", ";tag=2", "", True),
            ("Via", "branch=z9hG4bKa", "branch=z9hG4bKb", True), ("Server", "IM-serv", "other", True),
            ("CSeq", "1 MESSAGE", "2 MESSAGE", True), ("From", "tag=1", "tag=3", True),
            ("length", "Content-Length: 0\r\n", "", True), ("status", "200 OK", "405 No", True)):
        witness = Witness()
        sip.check_response(sip.parse_datagram(good.replace(old, new, 1).encode()), request, witness)
        same(bool(witness.violations), broken, "noticed %s" % name)
    for bad in (b"SIP/2.0 200 OK\r\n", good.replace("OK\r\n", "OK\n", 1).encode(),
                good.replace("Length: 0", "Length: 5").encode(),
                good.replace("Length: 0\r\n", "Length: 0\r\nContent-Length: 1\r\n").encode()):
        try:
            sip.parse_datagram(bad)
        except sip.Malformed:
            continue
        raise Failure("not noticed: %r" % bad)
    check(sdp.Description(b"v=0\r\nm=audio 1 RTP/AVP 0\r\n").problems, "SDP problems not noticed")


async def failures(transport):
    witness = Witness(server=False)
    a, b = await pair(transport, witness)
    out = a.invite(b)
    invitation = await b.expect_invite()
    invitation.ring()
    await out.transaction.provisional(180)
    same((await out.transaction.cancel().final()).status, 200, "CANCEL")
    same((await out.transaction.final()).status, 487, "cancelled INVITE")
    await invitation.server.wait_ack()
    out = a.invite(b)
    invitation = await b.expect_invite()
    await asyncio.sleep(0.7)
    check(transport == "tcp" or invitation.server.repeated, "INVITE was not retransmitted")
    invitation.refuse(603)
    same((await out.transaction.final()).status, 603, "declined INVITE")
    await invitation.server.wait_ack()
    a.close(), b.close()
    same(witness.violations, [], "violations")


async def second_chance():
    """What fails twice has failed; what passes the second time passed, visibly; crashes count at once."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scenario"))
    import run
    said = []
    report = run.Report(False)
    for name in ("ok", "fail", "unsteady"):
        def note(scenario, parameters, *why, name=name, real=getattr(report, name)):
            said.append((name, scenario))
            with contextlib.redirect_stdout(io.StringIO()):
                real(scenario, parameters, *why)
        setattr(report, name, note)
    report.once = lambda *_: None
    steady, unsteady, broken, crash = (type(n, (), {"name": n}) for n in ("s", "u", "b", "c"))
    first = run.Row(report, "")
    first.passed(steady, 0)
    first.not_passed(unsteady, "late"), first.not_passed(broken, "wrong")
    first.not_passed(crash, "heap-use-after-free", for_good=True)
    again = run.Row(report, "", first.failed)
    again.passed(unsteady, 0)
    again.not_passed(broken, "wrong")
    same(said, [("ok", "s"), ("fail", "c"), ("unsteady", "u"), ("fail", "b")], "verdicts")
    same((report.passed, report.failed), (2, 2), "passed and failed")


def main():
    failed = 0
    tests = [(f, a) for f, a in ((sessions, ("udp",)), (sessions, ("tcp",)), (failures, ("udp",)),
                                 (failures, ("tcp",)), (parser_is_strict, ()), (sip_is_strict, ()),
                                 (second_chance, ()), (bulk, ()))]
    for function, arguments in tests:
        name = "%s(%s)" % (function.__name__, ",".join(arguments))
        try:
            asyncio.run(asyncio.wait_for(function(*arguments), 60))
            print("ok", name)
        except Exception as error:  # the report goes on with the next test
            failed += 1
            print("FAIL %s: %s: %s" % (name, type(error).__name__, error))
    print("%d passed, %d failed, 0 skipped" % (len(tests) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
