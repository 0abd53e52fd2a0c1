"""Requests of other methods inside a session (design.md 4, "In-dialog requests across the B2BUA"; D1-15): sent anew in
the other dialog, the answer brought back, names of one side replaced by those of the other; subscriptions."""
import asyncio
import re
import urllib.parse

from ua import REQ, check, same, sip
from world import scenario


async def asked(session, method, seconds=3):
    server = await asyncio.wait_for(session.dialog.incoming.get(), seconds)
    same(server.request.method, method, "request in the dialog")
    return server


def same_place(uri, other, what):
    same(sip.uri_parts(uri)[1:4], sip.uri_parts(other)[1:4], what)


async def notify(by, to, event, state, status=200):
    """A NOTIFY of one side that the other answers; what the other got."""
    sent = by.dialog.request("NOTIFY", headers=[
        ("Event", event), ("Subscription-State", state), ("Contact", by.agent.contact)],
        body=b"SIP/2.0 100 Trying\r\n", content_type="message/sipfrag;version=2.0")
    server = await asked(to, "NOTIFY")
    same((server.request.body, server.request.get("Content-Type")),
         (b"SIP/2.0 100 Trying\r\n", "message/sipfrag;version=2.0"), "body of the NOTIFY")
    same(server.request.get("Subscription-State"), state, "Subscription-State")
    server.respond(status, "Test", [("Contact", to.agent.contact)])
    same((await sent.final()).status, status, "answer to NOTIFY")
    return server.request


@scenario()
async def any_method(world):
    """INFO, MESSAGE, PUBLISH, OPTIONS and a method nobody here knows, both ways: body and headers arrive, the answer and its
    body come back; a refusal too; and the session goes on."""
    sa, sb = await world.session()
    for method in ("INFO", "MESSAGE", "PUBLISH", "OPTIONS", "FROBNICATE"):
        for by, other in ((sa, sb), (sb, sa)):
            sent = by.dialog.request(method, headers=[
                ("X-Word", "kept"), ("Content-Language", "en"), ("Info-Package", "p1"), ("Require", "frobnication")],
                body=b"question", content_type="application/question;x=1")
            server = await asked(other, method)
            request = server.request
            same((request.body, request.get("Content-Type")), (b"question", "application/question;x=1"), "body")
            same((request.get("X-Word"), request.get("Content-Language"), request.get("Info-Package"),
                  request.get("Require")), ("kept", "en", "p1", "frobnication"), "headers")
            check(not request.list("Contact"), "%s with Contact" % method)
            server.respond(202, "Well", [("X-Word", "back"), ("Content-Language", "de")], b"answer",
                           "application/answer")
            response = await sent.final()
            same((response.status, response.reason, response.body, response.get("Content-Type"),
                  response.get("X-Word")), (202, "Well", b"answer", "application/answer", "back"), "answer")
            sent = by.dialog.request(method)
            (await asked(other, method)).respond(488, "No", [("Warning", '399 test "no"')])
            response = await sent.final()
            same((response.status, response.reason, response.get("Warning")), (488, "No", '399 test "no"'), "refusal")
    sent = sa.dialog.request("OPTIONS")
    (await asked(sb, "OPTIONS")).respond(200, "OK", [("Allow", "INVITE, ACK, BYE"), ("Supported", "histinfo"),
                                                    ("Accept", "text/weird")])
    options = await sent.final()
    same(options.status, 200, "OPTIONS")
    check("UPDATE" in options.list("Allow"), "Allow %r" % options.all("Allow"))
    check("timer" in options.list("Supported") and "histinfo" not in options.list("Supported"),
          "Supported %r" % options.all("Supported"))
    check("application/sdp" in options.list("Accept"), "Accept %r" % options.all("Accept"))
    await sa.send("alive")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()
    same((await sb.agent.layer.start(sb.dialog.build("INFO"), sb.dialog.flow).final()).status, 481, "INFO after BYE")


@scenario()
async def names_across(world):
    """Our Contact, the peer's own Contact and the identifiers of the dialog are known to the other side by other
    names (D1-15): Refer-To with its parameters and Replaces, Target-Dialog; a URI of somebody else stays."""
    sa, sb = await world.session()
    for by, other in ((sa, sb), (sb, sa)):
        mine, theirs = by.dialog, other.dialog
        replaces = "%s;to-tag=%s;from-tag=%s" % (mine.call_id, mine.remote_tag, mine.local_tag)
        sent = mine.request("REFER", headers=[
            ("Contact", by.agent.contact), ("Refer-Sub", "false"), ("Require", "norefersub"),
            ("Refer-To", '"Session" <%s;method=BYE?Replaces=%s&Subject=x>' % (
                re.sub(";.*", "", mine.target), urllib.parse.quote(replaces))),
            ("Target-Dialog", "%s;local-tag=%s;remote-tag=%s" % (mine.call_id, mine.local_tag, mine.remote_tag))])
        server = await asked(other, "REFER")
        display, uri, _ = sip.address(server.request.get("Refer-To"))
        plain, _, headers = uri.partition("?")
        same(display, "Session", "display name of Refer-To")
        same_place(plain, sip.address(other.agent.contact)[1], "Refer-To for the one it names")
        check(";method=BYE" in plain, "Refer-To %r" % uri)
        check("Subject=x" in headers, "headers of Refer-To %r" % uri)
        mapped = urllib.parse.unquote(re.search("Replaces=([^&]*)", headers).group(1))
        same(mapped, "%s;to-tag=%s;from-tag=%s" % (theirs.call_id, theirs.local_tag, theirs.remote_tag),
             "Replaces inside Refer-To")
        same(server.request.get("Target-Dialog"), "%s;local-tag=%s;remote-tag=%s" % (
            theirs.call_id, theirs.remote_tag, theirs.local_tag), "Target-Dialog")
        same((server.request.get("Refer-Sub"), server.request.get("Require")), ("false", "norefersub"), "Refer-Sub")
        same_place(sip.address(server.request.list("Contact")[0])[1], theirs.target, "Contact of the REFER")
        server.respond(202, "Accepted", [("Contact", other.agent.contact), ("Refer-Sub", "false")])
        response = await sent.final()
        same((response.status, response.get("Refer-Sub")), (202, "false"), "answer to REFER")
        same_place(sip.address(response.list("Contact")[0])[1], mine.target, "Contact of the answer")
        for refer_to, expected in (("<%s>" % sip.address(by.agent.contact)[1], theirs.target),
                                   ("<sip:carol@example.net;x=1?Subject=a>", None)):
            sent = mine.request("REFER", headers=[("Contact", by.agent.contact), ("Refer-Sub", "false"),
                                                  ("Refer-To", refer_to)])
            server = await asked(other, "REFER")
            got = server.request.get("Refer-To")
            if expected:
                same_place(sip.address(got)[1], expected, "the sender's own Contact")
            else:
                same(got, refer_to, "Refer-To of somebody else")
            server.respond(603, "Decline")
            same((await sent.final()).status, 603, "refused REFER")
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def refer_and_notify(world):
    """REFER makes a subscription: its NOTIFYs come back with the id that the sender knows (RFC 3515 2.4.6), also
    after BYE (RFC 5057), until the last one; then 481."""
    sa, sb = await world.session()
    for by, other, ends in ((sa, sb, False), (sb, sa, True)):
        ids = []
        for _ in range(2):
            sent = by.dialog.request("REFER", headers=[
                ("Contact", by.agent.contact), ("Refer-To", "<sip:carol@example.net>")])
            server = await asked(other, "REFER")
            ids.append((sent.request.cseq[0], server.request.cseq[0]))
            server.respond(202, "Accepted", [("Contact", other.agent.contact)])
            same((await sent.final()).status, 202, "REFER")
        for sender, notifier in reversed(ids):
            got = await notify(other, by, "refer;id=%d" % notifier, "active;expires=60")
            same(got.get("Event"), "refer;id=%d" % sender, "Event")
            REQ("IM-6.2.9.2-2", "IM-6.2.9.2-3")
        if ends:
            await sa.hang_up()
            await sb.wait_bye()
            same((await other.agent.layer.start(other.dialog.build("INFO"), other.dialog.flow).final()).status, 481,
                 "INFO after BYE")
            same((await other.agent.layer.start(other.dialog.build("UPDATE"), other.dialog.flow).final()).status, 481,
                 "UPDATE after BYE")
        for sender, notifier in ids:
            got = await notify(other, by, "refer;id=%d" % notifier, "terminated;reason=noresource")
            same(got.get("Event"), "refer;id=%d" % sender, "Event")
    gone = other.dialog.request("NOTIFY", headers=[
        ("Event", "refer;id=%d" % ids[0][1]), ("Subscription-State", "terminated"), ("Contact", other.agent.contact)])
    same((await gone.final()).status, 481, "NOTIFY after the last one")
    REQ("IM-6.2.9.2-1")


@scenario()
async def subscribe_in_dialog(world):
    """SUBSCRIBE inside the session, its refresh and its end after BYE."""
    sa, sb = await world.session()

    def subscribe(expires, event="conference;id=7"):
        return sa.dialog.request("SUBSCRIBE", headers=[
            ("Event", event), ("Expires", str(expires)), ("Contact", sa.agent.contact),
            ("Accept", "application/conference-info+xml")])
    for expires, ended in ((300, False), (300, False), (0, True)):
        if ended:
            await sb.hang_up()
            await sa.wait_bye()
        sent = subscribe(expires)
        server = await asked(sb, "SUBSCRIBE")
        same((server.request.get("Event"), server.request.get("Expires"), server.request.get("Accept")),
             ("conference;id=7", str(expires), "application/conference-info+xml"), "SUBSCRIBE")
        server.respond(200, "OK", [("Contact", sb.agent.contact), ("Expires", str(expires))])
        response = await sent.final()
        same((response.status, response.get("Expires")), (200, str(expires)), "answer to SUBSCRIBE")
        check(response.list("Contact"), "answer to SUBSCRIBE without Contact")
        await notify(sb, sa, "conference;id=7", "terminated" if ended else "active;expires=300")
        REQ("IM-6.2.9.2-2", "IM-6.2.9.2-3")
    same((await subscribe(300).final()).status, 481, "SUBSCRIBE in a dialog that is over")


@scenario()
async def subscriptions_are_bounded(world):
    """The seventeenth subscription in one session gets 503; a refused one does not count."""
    sa, sb = await world.session()

    async def refer(status):
        sent = sa.dialog.request("REFER", headers=[
            ("Contact", sa.agent.contact), ("Refer-To", "<sip:carol@example.net>")])
        server = await asked(sb, "REFER")
        server.respond(status, "Test", [("Contact", sb.agent.contact)])
        same((await sent.final()).status, status, "REFER")
        return server.request.cseq[0]
    await refer(603)
    ids = [await refer(202) for _ in range(16)]
    refused = sa.dialog.request("REFER", headers=[
        ("Contact", sa.agent.contact), ("Refer-To", "<sip:carol@example.net>")])
    response = await refused.final()
    same(response.status, 503, "seventeenth REFER")
    check(response.get("Retry-After"), "503 without Retry-After")
    for each in ids:
        await notify(sb, sa, "refer;id=%d" % each, "terminated")
    await refer(603)
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def method_unknown_to_the_other(world):
    """481 to an INFO ends the session (RFC 5057 5.1), 481 to a NOTIFY does not."""
    sa, sb = await world.session()
    await notify(sb, sa, "nothing", "active", 481)
    await sa.send("alive")
    await sb.receive()
    sent = sa.dialog.request("INFO")
    (await asked(sb, "INFO")).respond(481, "Call/Transaction Does Not Exist")
    same((await sent.final()).status, 481, "INFO")
    check((await sa.wait_bye()).get("Reason"), "BYE without Reason")
    await sb.wait_bye()


@scenario(tuned=True)
async def method_never_answered(world):
    """An INFO that nobody answers: 480 for its sender, who cannot use a 408 (RFC 4320), and the end of the session."""
    sa, sb = await world.session()
    sent = sa.dialog.request("INFO")
    await asked(sb, "INFO")
    check((await sent.final(12)).status in (480, 487), "INFO without answer: %s" % sent.last)
    await sa.wait_bye()
    await sb.wait_bye()


@scenario()
async def method_before_the_answer(world):
    """INFO in an early dialog: 500 with Retry-After, for there is no other side yet."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    ringing = await outgoing.transaction.provisional(180)
    info = sip.Message("INFO", sip.address(ringing.list("Contact")[0])[1])
    info.add("Via", alice.endpoint.via(sip.branch())).add("Max-Forwards", "70")
    for route in ringing.list("Record-Route")[::-1]:
        info.add("Route", route)
    info.add("From", outgoing.transaction.request.get("From")).add("To", ringing.get("To"))
    info.add("Call-ID", ringing.call_id).add("CSeq", "2 INFO")
    response = await alice.layer.start(info, alice.flow).final()
    same(response.status, 500, "INFO before the answer")
    check(0 <= int(response.get("Retry-After")) <= 10, "Retry-After %r" % response.get("Retry-After"))
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    outgoing.dialog.cseq = 2
    await outgoing.hang_up()
    await invitation.wait_bye()
