"""Session timers that run (RFC 4028, D1-04): who refreshes, with which request, and what ends when nobody
does. The server's sessions expire after 2 s."""
import asyncio
import time

from ua import REQ, check, same, sdp
from world import scenario

SHORT = {"timers.session_expires": "2s", "timers.min_se": "1s"}


async def unsupporting(world, allow):
    """A session whose caller knows no session timer and says this Allow; B's side has no timer."""
    alice, bob = await world.pair()
    alice.auto_refresh = False
    outgoing = alice.invite(bob, timer=None, headers=[("Allow", allow)])
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(session_timer=False))
    await outgoing.established()
    await accepting
    same(outgoing.response.get("Session-Expires"), "2;refresher=uas", "Session-Expires of the 200")
    check("timer" not in outgoing.response.list("Require"), "Require: timer without support")
    return outgoing, invitation


@scenario(own=SHORT, once=True)
async def server_refreshes_by_reinvite(world):
    """A client without `Supported: timer` and UPDATE is refreshed by re-INVITE with the description it
    has, and acknowledged; its 200 without Session-Expires leaves the session alive (D1-04, RFC 3311 4)."""
    sa, sb = await unsupporting(world, "INVITE, ACK, BYE, CANCEL")
    started = time.monotonic()
    for i in range(3):
        refresh = await asyncio.wait_for(sa.dialog.incoming.get(), 2)
        same(refresh.request.method, "INVITE", "refresh")
        same(refresh.request.body, sa.response.body, "description of the refresh")
        same(refresh.request.get("Session-Expires"), "2;refresher=uac", "Session-Expires of the refresh")
        check(refresh.request.list("Contact"), "refresh without Contact")
        refresh.respond(200, "OK", [("Contact", sa.agent.contact)],
                        sdp.build(sa.leg.local, "active", accept="text/plain message/cpim *"),
                        "application/sdp")
        await refresh.wait_ack()
    check(time.monotonic() - started > 2.2, "the session did not outlive its interval")
    REQ("IM-6.2.3.1-2")
    await sa.send("alive")
    await sb.receive()
    bye = await sa.dialog.wait_bye(6)     # from now on nobody answers
    check(bye.get("Reason"), "BYE without Reason")
    await sb.wait_bye()
    sa.leg.close()


@scenario(own=SHORT, once=True)
async def server_refreshes_by_update(world):
    """A client whose Allow has UPDATE is refreshed by it, without a description."""
    sa, sb = await unsupporting(world, "INVITE, ACK, BYE, CANCEL, UPDATE")
    for i in range(3):
        refresh = await asyncio.wait_for(sa.dialog.incoming.get(), 2)
        same((refresh.request.method, refresh.request.body), ("UPDATE", b""), "refresh")
        check(refresh.request.list("Contact"), "refresh without Contact")
        refresh.respond(200, "OK", [("Contact", sa.agent.contact)])
    await sa.hang_up()
    await sb.wait_bye()


@scenario(own=SHORT, once=True)
async def interval_is_never_longer_than_asked(world):
    """A Min-SE above the Session-Expires of its own request does not lengthen the interval (RFC 4028 9)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, timer="3;refresher=uac", headers=[("Min-SE", "4000000000")])
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(session_timer=False))
    await outgoing.established()
    await accepting
    same(outgoing.response.get("Session-Expires"), "3;refresher=uac", "Session-Expires of the 200")
    await outgoing.hang_up()
    await invitation.wait_bye()


async def refresh_of(session, method, seconds=3):
    """The server's refresh that this side gets."""
    server = await asyncio.wait_for(session.dialog.incoming.get(), seconds)
    same(server.request.method, method, "refresh")
    return server


def take(session, server, headers=()):
    body = sdp.build(session.leg.local, "active", accept="text/plain message/cpim *") \
        if server.request.method == "INVITE" else b""
    server.respond(200, "OK", [("Contact", session.agent.contact), *headers], body,
                   "application/sdp" if body else None)


async def goes_on(sa, sb):
    await sa.send("alive")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()


@scenario(own=SHORT, once=True)
async def refreshes_that_fail(world):
    """A refresh refused by 422 is repeated with the longer interval, by 491 after a while (RFC 3261 14.1), by 405 as a
    re-INVITE, by 500 later; 481 ends the session (RFC 4028 10)."""
    update, invite = "INVITE, ACK, BYE, CANCEL, UPDATE", "INVITE, ACK, BYE, CANCEL"

    async def too_brief():
        sa, sb = await unsupporting(world, update)
        server = await refresh_of(sa, "UPDATE")
        same((server.request.get("Session-Expires"), server.request.get("Min-SE")), ("2;refresher=uac", "1"), "timer")
        server.respond(422, "Session Interval Too Small", [("Min-SE", "4")])
        server = await refresh_of(sa, "UPDATE", 1)
        same((server.request.get("Session-Expires"), server.request.get("Min-SE")), ("4;refresher=uac", "4"),
             "timer after 422")
        take(sa, server, [("Session-Expires", "4;refresher=uac"), ("Require", "timer")])
        await asyncio.sleep(1.5)
        check(sa.dialog.incoming.empty(), "refreshed before half of 4 s")
        await goes_on(sa, sb)

    async def pending():
        sa, sb = await unsupporting(world, invite)
        server = await refresh_of(sa, "INVITE")
        server.respond(491, "Request Pending")
        take(sa, await refresh_of(sa, "INVITE", 2.5))
        await goes_on(sa, sb)

    async def not_understood():
        sa, sb = await unsupporting(world, update)
        (await refresh_of(sa, "UPDATE")).respond(405, "Method Not Allowed", [("Allow", invite)])
        take(sa, await refresh_of(sa, "INVITE", 1))
        await goes_on(sa, sb)

    async def trouble():
        sa, sb = await unsupporting(world, update)
        (await refresh_of(sa, "UPDATE")).respond(500, "Trouble")
        take(sa, await refresh_of(sa, "UPDATE", 1.5))
        await goes_on(sa, sb)

    async def unknown():
        sa, sb = await unsupporting(world, update)
        (await refresh_of(sa, "UPDATE")).respond(481, "Call/Transaction Does Not Exist")
        check((await sa.wait_bye()).get("Reason"), "BYE without Reason")
        await sb.wait_bye()
        REQ("IM-6.2.3.9-1", "IM-6.2.3.9-2")
    await asyncio.gather(too_brief(), pending(), not_understood(), trouble(), unknown())


@scenario(own=SHORT, once=True)
async def both_sides_are_supervised(world):
    """A refresh by the client keeps its side alive; a callee who knows no session timer is refreshed by the server; when
    the client stops, both get BYE before the interval is over (RFC 4028 10)."""
    alice, bob = await world.pair()
    bob.auto_refresh = False
    outgoing = alice.invite(bob, timer="3;refresher=uac")
    invitation = await bob.expect_invite()
    accepting = asyncio.ensure_future(invitation.accept(session_timer=False))
    await outgoing.established()
    await accepting
    same(outgoing.response.get("Session-Expires"), "2;refresher=uac", "Session-Expires of the 200")
    check("timer" in outgoing.response.list("Require"), "no Require: timer")
    REQ("IM-6.2.7.1-26")

    async def answer_refreshes():
        for _ in range(3):
            take(invitation, await refresh_of(invitation, "UPDATE"))
    answering = asyncio.ensure_future(answer_refreshes())
    for _ in range(4):
        await asyncio.sleep(0.8)
        refresh = outgoing.dialog.request("UPDATE", headers=[
            ("Supported", "timer"), ("Session-Expires", "2;refresher=uac")])
        response = await refresh.final()
        same((response.status, response.get("Session-Expires")), (200, "2;refresher=uac"), "refresh")
    await answering
    started = time.monotonic()
    bye = await outgoing.dialog.wait_bye(4)
    check(time.monotonic() - started < 2, "BYE only after the interval")
    check(bye.get("Reason"), "BYE without Reason")
    await invitation.wait_bye()
    outgoing.leg.close()
