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
