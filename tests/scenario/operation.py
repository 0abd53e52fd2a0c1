"""What operators see: health, metrics, ready line, draining (design 8, 10)."""
import asyncio
import re
import signal
import time

from ua import check, same
from ua.server import Metrics
from world import scenario

STABLE = ("imserv_sessions", "imserv_conferences", "imserv_msrp_legs", "imserv_connections",
          "imserv_sip_transactions", "imserv_timers", "imserv_deferred_messages", "imserv_deferred_bytes")


@scenario()
async def health_and_metrics(world):
    """/livez and /readyz answer 200, /metrics is OpenMetrics with every stable name; other paths 404."""
    same((await world.server.get("/livez"))[0], 200, "/livez")
    same((await world.server.get("/readyz"))[0], 200, "/readyz")
    same((await world.server.get("/nothing"))[0], 404, "/nothing")
    same((await world.server.get("/metrics", "DELETE"))[0], 405, "DELETE /metrics")
    status, headers, body = await world.server.get("/metrics")
    same(status, 200, "/metrics")
    check(headers["content-type"].startswith("application/openmetrics-text"), headers["content-type"])
    metrics = Metrics(body.decode())
    same(metrics.problems, [], "OpenMetrics")
    for name in STABLE:
        check(metrics.sum(name) is not None, "no %s" % name)
    for name in ("imserv_pool_used", "imserv_refused"):
        check(name in metrics.types, "no family %s" % name)
    check(all(metrics.help.get(name) for name in metrics.types), "families without help")


@scenario()
async def gauges_follow(world):
    """A running session shows in the gauges and a refusal in its counter."""
    before = await world.gauges()
    refused = (await world.server.metrics()).sum("imserv_refused_total") or 0
    sa, sb = await world.session()
    during = await world.gauges()
    check(during["imserv_sessions"] > before["imserv_sessions"], "imserv_sessions %s" % during)
    check(during["imserv_msrp_legs"] >= before["imserv_msrp_legs"] + 2, "imserv_msrp_legs %s" % during)
    raw = await world.raw()
    same(await raw.ask(world.request("FOO", raw)), 501, "unknown method")
    after = (await world.server.metrics()).sum("imserv_refused_total") or 0
    check(after > refused, "imserv_refused_total stays %d" % after)
    await sa.hang_up()
    await sb.wait_bye()


@scenario(own={"runtime.drain": "1s"}, settle=False, once=True)
async def drain(world):
    """SIGTERM: /readyz 503, the running session goes on until runtime.drain (1 s), then BYE to both,
    exit code 0."""
    sa, sb = await world.session()
    started = time.monotonic()
    world.server.terminate()
    for _ in range(40):
        status = (await world.server.get("/readyz"))[0]
        if status == 503:
            break
        await asyncio.sleep(0.01)
    same(status, 503, "/readyz while draining")
    same((await world.server.get("/livez"))[0], 200, "/livez while draining")
    raw = await world.raw()    # new work is for another server
    for method in ("MESSAGE", "INVITE", "SUBSCRIBE", "OPTIONS"):
        same(await raw.ask(world.request(method, raw)), 503, method + " while draining")
        check(raw.last.get("Retry-After"), "no Retry-After in the answer to " + method)
    await sa.send("last words")
    await sb.receive()
    await asyncio.gather(sa.wait_bye(4), sb.wait_bye(4))
    check(0.7 < time.monotonic() - started < 3, "BYE after %.2f s" % (time.monotonic() - started))
    same(await world.server.wait(6), 0, "exit code")


@scenario(own={"runtime.drain": "0s"}, settle=False, once=True)
async def drain_without_ack(world):
    """A never acknowledged our 2xx: B's BYE comes at once, A's waits for the ACK as long as it can, but not
    beyond the server's end."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob)
    outgoing.auto_ack = False
    invitation = await bob.expect_invite()
    await invitation.accept(bind=False)
    same((await outgoing.transaction.final()).status, 200, "INVITE")
    started = time.monotonic()
    world.server.terminate()
    await invitation.wait_bye(2)
    check(time.monotonic() - started < 1.5, "BYE to B after %.2f s" % (time.monotonic() - started))
    check(not outgoing.dialog.ended.is_set(), "BYE to A before the ACK")
    await outgoing.wait_bye(6)
    same(await world.server.wait(6), 0, "exit code")


@scenario(own={"runtime.drain": "20s"}, settle=False, once=True)
async def drain_ends_early_when_idle(world):
    """SIGTERM without sessions ends at once, long before runtime.drain; exit code 0."""
    sa, sb = await world.session()
    world.server.terminate()
    await asyncio.sleep(0.2)
    check(world.server.alive, "ended although a session was running")
    await sa.hang_up()
    await sb.wait_bye()
    started = time.monotonic()
    same(await world.server.wait(8), 0, "exit code")
    check(time.monotonic() - started < 5, "took %.1f s" % (time.monotonic() - started))


@scenario(own={"runtime.drain": "20s"}, settle=False, once=True)
async def second_sigterm(world):
    """A second SIGTERM ends the server at once, with exit code 0."""
    await world.session()
    world.server.terminate()
    await asyncio.sleep(0.2)
    world.server.terminate()
    same(await world.server.wait(4), 0, "exit code")


@scenario(own={"runtime.drain": "20s"}, settle=False, once=True, least_workers=4)
async def end_with_shared_connections(world):
    """The same with MSRP connections that carry sessions of several workers: what the workers tell each other about
    their end is freed, also where the one that is told has ended before."""
    alice, bob = await world.pair()
    first, _ = await world.session(alice, bob)
    for _ in range(12):
        sa, sb = await world.session(alice, bob, connection=first.leg.connection)
        await sa.send("shared")
        await sb.receive()
    for _ in range(2):
        world.server.terminate()
        await asyncio.sleep(0.05)
    same(await world.server.wait(4), 0, "exit code")
    same(world.server.trouble(), [], "what sanitizers printed")


@scenario(own={"runtime.drain": "1s"}, settle=False, once=True)
async def hangup_signal_keeps_running(world):
    """SIGHUP reloads; the server and its sessions stay."""
    sa, sb = await world.session()
    world.server.signal(signal.SIGHUP)
    await world.server.logged("config reloaded ")
    check(world.server.alive, "SIGHUP ended the server: %s" % world.server.tail(4))
    await sa.send("still here")
    await sb.receive()
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def ready_line(world):
    """The ready line names every listener with its real port (design 8)."""
    ready = world.server.ready
    tls = ["tls"] if world.transport == "tls" else []
    same(sorted(ready.sip), ["tcp"] + tls + ["udp"], "SIP listeners")
    same(sorted(ready.msrp), ["tcp"] + tls, "MSRP listeners")
    for host, port in list(ready.sip.values()) + list(ready.msrp.values()) + [ready.http]:
        check(host == "127.0.0.1" and port > 0, "%s:%d" % (host, port))
    same(len([x for x in world.server.lines if re.match("^imservd ready", x)]), 1, "ready lines")
