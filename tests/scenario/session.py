"""IM sessions between two users (6.2.3, 6.2.7): set-up, messages, release, headers, addresses."""
import asyncio
import re

from ua import REQ, check, msrp, same, sdp, sip
from ua.agent import establish
from world import scenario

SUPPORTED = {"INVITE", "ACK", "CANCEL", "BYE", "UPDATE", "PRACK", "MESSAGE", "OPTIONS", "INFO", "REFER", "SUBSCRIBE",
             "NOTIFY"}            # inside a session


def path_host_port(session):
    uri = msrp.Uri(session.leg.remote[0])
    return uri.host, uri.port


@scenario()
async def im_session(world):
    """INVITE, 180, 200, ACK; text both ways; BYE from A; then a second session ended by B."""
    alice, bob = await world.pair()
    for ender in ("a", "b"):
        sa, sb = await world.session(alice, bob)
        REQ("IM-6.2.3.1-1", "IM-6.2.3.2-2", "IM-6.2.3.2-3", "IM-6.2.3.2-8", "IM-6.2.3.2-15",
            "IM-6.2.3.2-17", "IM-6.2.3.1-5", "IM-6.2.7.1-1", "IM-6.2.7.1-21")
        for i in range(5):
            await sa.send("question %d" % i)
            same(bytes((await sb.receive()).body), b"question %d" % i, "text at B")
            await sb.send("answer %d" % i)
            got = await sa.receive()
            same(bytes(got.body), b"answer %d" % i, "text at A")
            same(got.content_type, "text/plain", "Content-Type")
        REQ("IM-4.3.2-1")
        first, second = (sa, sb) if ender == "a" else (sb, sa)
        await first.hang_up()
        REQ("IM-6.2.3.7-1")
        await second.wait_bye()
        REQ("IM-6.2.3.7-3")
    await asyncio.sleep(0.05)
    gauges = await world.gauges()
    check(gauges["imserv_sessions"] <= world.baseline["imserv_sessions"] + 2, "sessions stay: %s" % gauges)


@scenario()
async def setup_roles(world):
    """a=setup in every useful combination: both sides may be active or passive (RFC 6135, design 5)."""
    alice, bob = await world.pair()
    for a_setup, b_setup in ((None, None), ("actpass", "active"), ("active", "passive"),
                             ("passive", "active"), ("passive", "passive"), ("active", "active")):
        sa, sb = await establish(alice, bob, a_setup, b_setup)
        same(sb.offer.setup, "actpass", "a=setup of the server's offer")
        if a_setup == "passive":
            same(sa.answer.setup, "active", "answer to passive")
        elif a_setup:
            same(sa.answer.setup, "passive", "answer to " + a_setup)
        await sa.send("one")
        await sb.send("two")
        await sb.receive(), await sa.receive()
        await sb.hang_up()
        await sa.wait_bye()


@scenario()
async def session_headers(world):
    """What B's INVITE and A's responses carry: feature tags, Contact of the server, Allow, timer,
    identity; nothing of the other client's (6.2.3.2, 6.2.7.1, D1-15)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("Subject", "lunch")])
    invitation = await bob.expect_invite()
    request = invitation.request
    check(sip.FEATURE_TAG in request.get("Accept-Contact", "")
          and "explicit" in request.get("Accept-Contact"), "Accept-Contact %r" % request.get("Accept-Contact"))
    REQ("IM-6.2.7.1-4")
    contact = request.list("Contact")[0]
    check(sip.FEATURE_TAG in sip.address(contact)[2], "Contact %r without feature tag" % contact)
    REQ("IM-6.2.7.1-9", "IM-6.2.7.1-11", "IM-6.2.2.1-8")
    check("isfocus" not in contact, "isfocus was added: %r" % contact)
    REQ("IM-6.2.7.1-12")
    same(sip.uri_parts(sip.address(contact)[1])[2:4], world.sip_address, "host of Contact")
    check(request.get("User-Agent").startswith("IM-serv/OMA1.0"), request.get("User-Agent"))
    REQ("IM-6.2.7.1-5")
    check("timer" in request.list("Supported"), "Supported %r" % request.all("Supported"))
    REQ("IM-6.2.7.1-7")
    check("refresher=uas" in request.get("Session-Expires", ""),
          "Session-Expires %r" % request.get("Session-Expires"))
    REQ("IM-6.2.7.1-6")
    same(SUPPORTED - set(request.list("Allow")), set(), "missing in Allow")
    REQ("IM-6.2.7.1-8", "IM-6.2.3.1-3")
    same(sip.address(request.get("From"))[1], alice.uri, "From")
    same(request.get("Content-Type"), "application/sdp", "Content-Type")
    if world.ims:
        arrived = [m for m in world.core.from_server if m.method == "INVITE"]
        same([sip.uri_parts(m.uri)[1] for m in arrived], [bob.name] * 2, "Request-URIs")
        same(arrived[1].uri, bob.uri, "Request-URI towards the client")
        REQ("IM-6.2.7.1-3", "IM-6.2.3.2-5")
        for m in arrived:
            same(sip.address(m.get("P-Asserted-Identity"))[1], alice.uri, "P-Asserted-Identity")
            _, uri, features = sip.address(m.list("Contact")[0])
            check(sip.FEATURE_TAG in features, "Contact %s" % m.all("Contact"))
            same(sip.uri_parts(uri)[2:4], world.sip_address, "host of Contact towards the core")
        REQ("IM-6.2.7.1-13", "IM-6.2.3.2-4", "IM-6.2.2.1-7")
    invitation.ring()
    ringing = await outgoing.transaction.provisional(180)
    check(ringing.get("Server", "").startswith("IM-serv/OMA1.0"), "Server %r" % ringing.get("Server"))
    REQ("IM-6.2.2.1-9", "IM-6.2.2.1-10", "IM-6.2.3.1-7", "IM-6.2.3.1-8", "IM-6.2.7.1-14",
        "IM-6.2.7.1-16")
    check(ringing.list("Contact") and sip.FEATURE_TAG in ringing.list("Contact")[0],
          "Contact of 180 %r" % ringing.all("Contact"))
    REQ("IM-6.2.7.1-18")
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    response = outgoing.response
    contact = response.list("Contact")[0]
    same(sip.uri_parts(sip.address(contact)[1])[2:4], world.sip_address, "host of Contact in 200")
    check(sip.FEATURE_TAG in sip.address(contact)[2], "Contact %r without feature tag" % contact)
    REQ("IM-6.2.7.1-29")
    same(SUPPORTED - set(response.list("Allow")), set(), "missing in Allow")
    REQ("IM-6.2.2.1-13", "IM-6.2.3.1-12", "IM-6.2.7.1-27")
    check(response.get("Server").startswith("IM-serv/OMA1.0"), response.get("Server"))
    REQ("IM-6.2.2.1-11", "IM-6.2.2.1-12", "IM-6.2.3.1-10", "IM-6.2.3.1-11", "IM-6.2.7.1-28")
    if world.ims:
        answers = [m for m in world.core.from_server if m.status == 200 and m.cseq[1] == "INVITE"]
        for m in answers:
            same(sip.address(m.get("P-Asserted-Identity", ""))[1], bob.uri, "identity in the 200")
        provisional = [m for m in world.core.from_server if m.status == 180]
        check(min(len(answers), len(provisional)) >= 2, "answers of both passes: %s" % (answers + provisional))
        for m in provisional:
            same(sip.address(m.get("P-Asserted-Identity", ""))[1], bob.uri, "identity in the 180")
        REQ("IM-6.2.3.1-9", "IM-6.2.3.1-13", "IM-6.2.7.1-19", "IM-6.2.7.1-22")
    same(path_host_port(outgoing), world.msrp_address, "path A was given")
    same(path_host_port(invitation), world.msrp_address, "path B was given")
    REQ("IM-6.2.3.2-6", "IM-6.2.3.2-16")
    check(outgoing.leg.remote != invitation.leg.remote, "both sides got the same path")
    await invitation.hang_up()
    await outgoing.wait_bye()


@scenario()
async def session_timer(world):
    """Session-Expires of the 200 to A by D1-04: the refresher A named is kept, without a name A
    refreshes, a client without timer support is not asked to."""
    alice, bob = await world.pair()
    for offered, supported, expected in (
            ("1800;refresher=uac", True, "uac"), ("1800;refresher=uas", True, "uas"),
            ("1800", True, "uac"), (None, True, None), (None, False, None)):
        headers = [("Supported", "timer" if supported else "replaces")]
        if offered:
            headers.append(("Session-Expires", offered))
        outgoing = alice.invite(bob, timer=None, headers=headers)
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept())
        await outgoing.established()
        await accepting
        value = outgoing.response.get("Session-Expires")
        refresher = sip.parameters(";" + value.partition(";")[2]).get("refresher") if value else None
        what = "Session-Expires of the 200 to %r, timer %s: %r" % (offered, supported, value)
        if expected:
            check(value and refresher == expected, what)
            check(refresher != "uac" or "timer" in outgoing.response.list("Require"),
                  "Require %r" % outgoing.response.all("Require"))
            REQ("IM-6.2.7.1-24")
            same(int(value.partition(";")[0]), 1800, "interval")
        if not supported:
            check("timer" not in outgoing.response.list("Require"), "Require: timer without support")
            check(refresher in (None, "uas"), what)
        await outgoing.hang_up()
        await invitation.wait_bye()
    if world.ims:
        asked = {m.call_id: m for m in world.core.from_server if m.method == "INVITE"}
        for m in world.core.from_server:
            if m.status == 200 and m.cseq[1] == "INVITE" and m.call_id in asked:
                wish = re.search("refresher=(ua[cs])", asked[m.call_id].get("Session-Expires", ""))
                check("refresher=" + (wish.group(1) if wish else "uas") in m.get("Session-Expires", ""),
                      "200 between the passes: Session-Expires %r, wished %r" % (
                          m.get("Session-Expires"), asked[m.call_id].get("Session-Expires")))
                REQ("IM-6.2.7.1-25")


@scenario()
async def session_interval_too_small(world):
    """Session-Expires under Min-SE: 422 with Min-SE 90."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, timer="30;refresher=uac")
    response = await outgoing.transaction.final()
    same((response.status, response.get("Min-SE")), (422, "90"), "Session-Expires: 30")
    await bob.quiet(0.1)


@scenario()
async def in_dialog_requests(world):
    """Inside a session: a refresh by UPDATE or re-INVITE keeps the media, an unknown dialog is 481."""
    sa, sb = await world.session()
    # o= may count up although nothing else is new
    offer = sdp.build(sa.leg.local, "actpass", version=2, accept="text/plain message/cpim *")
    refresh = sa.dialog.request("INVITE", headers=[
        ("Supported", "timer"), ("Session-Expires", "1800;refresher=uac")], body=offer,
        content_type="application/sdp")
    try:
        server = await asyncio.wait_for(sb.dialog.incoming.get(), 1)
        same(server.request.method in ("INVITE", "UPDATE"), True, str(server.request))
        server.respond(200, "OK", [("Contact", sb.agent.contact)],
                       sdp.build(sb.leg.local, "passive", version=1, accept="text/plain message/cpim *"),
                       "application/sdp")
    except asyncio.TimeoutError:
        pass                          # answered by the server alone: nothing changed for B
    final = await refresh.final()
    same(final.status, 200, "refreshing re-INVITE")
    sa.dialog.ack(refresh)
    same(sdp.Description(final.body).path, sa.leg.remote, "path after the refresh")
    await sa.send("after refresh")
    await sb.receive()
    stranger = sa.dialog.build("BYE")
    stranger.put("To", re.sub("tag=.*", "tag=nobody", sa.dialog.remote))
    same((await sa.agent.start(stranger).final()).status, 481, "BYE with a foreign To tag")
    REQ("IM-6.2.3.7-1")
    await sa.send("still alive")
    await sb.receive()
    await sb.hang_up()
    await sa.wait_bye()
    for _ in range(20):  # over UDP it may overtake A's 200 to the BYE of the server: then it crossed
        status = (await sa.dialog.request("BYE").final()).status
        if status == 481:
            break
        same(status, 200, "BYE that crossed the server's")
    same(status, 481, "BYE after the end")


@scenario()
async def cancel_before_answer(world):
    """CANCEL before the answer: 200 to CANCEL, 487 to INVITE, B is cancelled (6.2.3.6)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    REQ("IM-6.2.3.6-1")
    await invitation.server.wait_cancel()
    await invitation.server.wait_ack()
    REQ("IM-6.2.3.6-2")
    stray = alice.build("CANCEL", bob.uri)
    same((await alice.start(stray).final()).status, 481, "CANCEL of nothing")


@scenario()
async def cancel_before_ringing(world):
    """CANCEL while B has answered nothing: 487 at once; B is cancelled only after a provisional came."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    same((await outgoing.transaction.cancel().final()).status, 200, "CANCEL")
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    await asyncio.sleep(0.1)
    check(not invitation.server.cancelled.is_set(), "CANCEL before any provisional (RFC 3261 9.1)")
    invitation.ring()
    await invitation.server.wait_cancel()
    await invitation.server.wait_ack()


@scenario()
async def cancel_crosses_answer(world):
    """B's 200 crosses the CANCEL: the server acknowledges it and ends the leg with BYE."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.server.auto_cancel = False
    invitation.ring()
    await outgoing.transaction.provisional(180)
    outgoing.transaction.cancel()
    same((await outgoing.transaction.final()).status, 487, "cancelled INVITE")
    await invitation.server.wait_cancel()
    await invitation.accept(bind=False)
    await invitation.dialog.wait_bye()
    REQ("IM-6.2.3.6-2")


@scenario()
async def declined(world):
    """B declines: 486, 603 and others reach A; the server acknowledges the failure."""
    alice, bob = await world.pair()
    for status in (486, 603, 480, 488, 500):
        outgoing = alice.invite(bob)
        invitation = await bob.expect_invite()
        if status != 488:
            invitation.ring()
        invitation.refuse(status)
        same((await outgoing.transaction.final()).status, status, "INVITE")
        REQ("IM-6.2.3.2-20", "IM-6.2.6.1-14")
        await invitation.server.wait_ack()


@scenario()
async def offline_user(world):
    """INVITE to a user who is not registered: 480 in standalone, in ims 403 with the Warning text."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    response = await alice.invite(bob).transaction.final()
    if world.ims:
        same(response.status, 403, "INVITE to offline user")
        check(re.match(r'^399 \S+ "Session cannot be deferred"$', response.get("Warning", ""), re.I),
              "Warning %r" % response.get("Warning"))
        REQ("IM-6.2.6.1-8")
    else:
        same(response.status, 480, "INVITE to offline user")
    await bob.quiet(0.05)


@scenario()
async def direction(world):
    """The direction attribute decides (D1-08): sendrecv or none is an IM Session, inactive 488, recvonly
    403; sendonly is never taken for an IM Session; the media level wins over the session level."""
    alice, bob = await world.pair()

    def described(direction, session_level=None):
        leg = msrp.Leg(alice.msrp)
        text = sdp.build(leg.local, "actpass", direction).decode()
        if session_level:
            text = text.replace("t=0 0\r\n", "t=0 0\r\na=%s\r\n" % session_level)
        return text.encode()
    for text, expected in ((described("inactive"), 488), (described("recvonly"), 403),
                           (described("RecvOnly"), 403), (described(None, "inactive"), 488),
                           (described("recvonly", "sendrecv"), 403)):
        response = await alice.invite(bob, offer=text).transaction.final()
        same(response.status, expected, "offer %r" % text[-60:])
    REQ("IM-6.2.3.1-4")
    for direction_, level in (("sendrecv", None), ("sendrecv", "inactive"), (None, "sendrecv")):
        outgoing = alice.invite(bob, offer=described(direction_, level))
        invitation = await bob.expect_invite()
        same(invitation.offer.direction, "sendrecv", "direction at B")
        invitation.refuse(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE")
        REQ("IM-6.2.3.1-5")
    outgoing = alice.invite(bob, direction="sendonly", extra=["a=filesize:100"])
    waiting = asyncio.ensure_future(bob.expect_invite(3))
    final = asyncio.ensure_future(outgoing.transaction.final())
    await asyncio.wait({waiting, final}, return_when=asyncio.FIRST_COMPLETED)
    if waiting.done():
        invitation = waiting.result()
        same(invitation.offer.direction, "sendonly", "direction of a large message at B")
        invitation.refuse(486)
        same((await final).status, 486, "INVITE")
    else:
        waiting.cancel()
        check(final.result().status >= 400, "sendonly offer got %s" % final.result())


@scenario()
async def bad_sdp(world):
    """488 with a Warning where no m=message line can be used, 415 for a body that is no SDP."""
    alice, bob = await world.pair()
    audio = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" \
            b"m=audio 4000 RTP/AVP 0\r\n"
    leg = msrp.Leg(alice.msrp)
    good = sdp.build(leg.local, "actpass")
    for name, text in (("audio only", audio),
                       ("unknown transport", good.replace(b"TCP/MSRP", b"UDP/MSRP")),
                       ("no path", re.sub(rb"a=path:[^\r]*\r\n", b"", good)),
                       ("path is no URI", re.sub(rb"a=path:[^\r]*", b"a=path:http://x/", good)),
                       ("rejected by the offerer", re.sub(rb"m=message \d+", b"m=message 0", good))):
        response = await alice.invite(bob, offer=text).transaction.final()
        same(response.status, 488, name)
        check(response.all("Warning"), "488 without Warning (%s)" % name)
    REQ("IM-6.2.3.1-4")
    request = alice.build("INVITE", bob.uri, body=b"hello", content_type="text/plain")
    same((await alice.start(request).final()).status, 415, "INVITE with text/plain")
    await bob.quiet(0.05)


@scenario(modes=("standalone",))
async def ordinary_clients(world):
    """Clients without feature tag, timer or a=setup have a session in standalone mode (design 1)."""
    alice = await world.client("alice", feature_tag=False)
    bob = await world.client("bob", feature_tag=False)
    sa, sb = await establish(alice, bob, None, None, timer=None)
    await sa.send("hello")
    await sb.receive()
    await sb.hang_up()
    await sa.wait_bye()


@scenario(modes=("ims",))
async def feature_tag_required(world):
    """In ims mode an INVITE without +g.oma.sip-im in Accept-Contact is refused with 403; any value that
    contains the tag passes (D1-13)."""
    alice, bob = await world.pair()
    for value in (None, "*;audio", "*;+g.oma.other"):
        outgoing = alice.invite(bob, headers=[("Accept-Contact", value)] if value else [],
                                without=() if value else ("Accept-Contact",))
        same((await outgoing.transaction.final()).status, 403, "Accept-Contact %r" % value)
    REQ("IM-6.2.3.2-1", "IM-6.2.2.1-1")
    for value in ("*;+g.oma.sip-im", "*;audio, *;+g.oma.sip-im;explicit", "*;video;+g.oma.sip-im;require"):
        outgoing = alice.invite(bob, headers=[("Accept-Contact", value)])
        invitation = await bob.expect_invite()
        invitation.refuse(486)
        same((await outgoing.transaction.final()).status, 486, "Accept-Contact %r" % value)


@scenario(modes=("standalone",))
async def ack_and_bye_follow_contact(world):
    """What the server sends inside the dialog goes to the Contact of the client with the CSeq going up;
    its own Contact user part differs for every leg."""
    alice, bob = await world.pair()
    users = set()
    for _ in range(3):
        sa, sb = await world.session(alice, bob)
        users |= {sip.uri_parts(sa.dialog.target)[1], sip.uri_parts(sb.dialog.target)[1]}
        await sb.hang_up()
        await sa.wait_bye()
    same(len(users), 6, "different Contact user parts")
