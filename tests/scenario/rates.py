"""How many requests a second one user and one address may send (limits.*_rate, D2-55): a second's worth at once,
503 with Retry-After for the rest, the others unharmed. Rates are compared with what the server may have had time
to permit, so that a slow machine permits more and fails nothing."""
import asyncio

from ua import REQ, check, same, sip
from world import DOMAIN, scenario

RATE = 2
RATES = {"limits.%s_rate" % kind: "%d/s" % RATE for kind in ("invite", "message", "register", "subscribe")}
ADDRESS_USERS = 10
BURST = 40


async def finals(raw, requests, seconds=30):
    """The final responses to all of these, by Call-ID; what is sent over UDP is sent again until it is answered."""
    loop = asyncio.get_running_loop()
    wanted = {m.call_id: m for m in requests}
    got = {}
    end = loop.time() + seconds
    for m in requests:
        raw.send(m)
    while len(got) < len(wanted):
        check(loop.time() < end, "only %d of %d requests were answered" % (len(got), len(wanted)))
        try:
            response = await asyncio.wait_for(raw.queue.get(), 1)
        except asyncio.TimeoutError:
            if raw.transport == "udp":
                for call_id in wanted.keys() - got.keys():
                    raw.send(wanted[call_id])
            continue
        if response.method is None and response.status >= 200 and response.call_id in wanted:
            before = got.setdefault(response.call_id, response)
            same(response.status, before.status, "the answer to a retransmission")
            if wanted[response.call_id].method == "INVITE":
                raw.send(ack_of(wanted[response.call_id], response))
    return list(got.values())


def ack_of(invite, response):
    ack = sip.Message("ACK", invite.uri)
    for name in ("Via", "Max-Forwards", "From", "Call-ID", "Route"):
        for value in invite.all(name):
            ack.add(name, value)
    return ack.add("To", response.get("To")).add("CSeq", "1 ACK")


def requests_of(world, raw, method, count, sender=None):
    headers = [("Event", "presence")] if method == "SUBSCRIBE" else []
    for i in range(count):
        user = sender or "sip:user%d@%s" % (i, DOMAIN)
        m = world.request(method, raw, to=user if method == "REGISTER" else None, sender=user, headers=headers,
                          which="term")
        if method == "SUBSCRIBE":
            m.add("Accept-Contact", "*;%s;require;explicit" % sip.FEATURE_TAG).put("Contact", "<%s>" % user)
            if world.ims:
                m.add("Route", "<sip:%s:%d;lr;term>" % world.sip_address)
                m.add("Route", "<%s;lr>" % world.core.endpoint.uri()).add("P-Asserted-Identity", "<%s>" % user)
        yield m


async def refused_by(world, reason):
    metrics = await world.server.metrics()
    return metrics.values['imserv_refused_total{reason="%s"}' % reason]


def judge(answers, rate, seconds):
    """So many were permitted, and the others were told when to come again."""
    refused = [r for r in answers if r.status == 503]
    permitted = len(answers) - len(refused)
    check(permitted >= min(rate, len(answers)), "%d permitted, of a burst of %d" % (permitted, rate))
    check(permitted <= rate + rate * seconds + 1, "%d permitted in %.1f s at %d/s" % (permitted, seconds, rate))
    for response in refused:
        same(response.get("Retry-After"), "5", "Retry-After")
    return len(refused)


async def burst(world, method, sender=None, count=BURST):
    """(answers, how long it took)"""
    loop = asyncio.get_running_loop()
    raw = await world.raw()
    began = loop.time()
    answers = await finals(raw, list(requests_of(world, raw, method, count, sender)))
    raw.close()
    return answers, loop.time() - began


async def permitted_again(world, method, sender):
    """Who was refused comes again, and is served."""
    for _ in range(200):
        answers, _ = await burst(world, method, sender, 1)
        if answers[0].status != 503:
            return
        await asyncio.sleep(0.05)
    check(False, "%s is refused for ever" % method)


@scenario(own=RATES, once=True, seconds=120)
async def rates_of_one_user(world):
    """Each of the four methods: a second's worth is served, the rest of a burst gets 503 with Retry-After, other
    users and other methods are served meanwhile, and the same user is again a moment later. The log has one line."""
    refused = 0
    for method in ("MESSAGE", "INVITE", "SUBSCRIBE", "REGISTER"):
        mallory, other = "sip:mallory@" + DOMAIN, "sip:other@" + DOMAIN
        answers, seconds = await burst(world, method, mallory, 15)
        number = judge(answers, RATE, seconds)
        check(number > 0 or seconds > 15 / RATE - 2, "nothing was refused")
        refused += number
        answers, _ = await burst(world, method, other, 1)
        check(answers[0].status != 503, "%s of somebody else is refused" % method)
        await permitted_again(world, method, mallory)
    check(await refused_by(world, "rate_limit") >= refused, "not counted")
    lines = [line for line in world.server.lines if "rate-exceeded user=mallory@" in line]
    check(1 <= len(lines) <= 4, "%d warnings: %r" % (len(lines), lines[:6]))
    REQ("IM-12.1.5.1-1", "IM-G-2")


@scenario(own=RATES, once=True, seconds=120, modes=("standalone",))
async def rates_of_one_address(world):
    """Many users of one address together are limited to ten times the rate of one."""
    answers, seconds = await burst(world, "MESSAGE", count=100)
    number = judge(answers, RATE * ADDRESS_USERS, seconds)
    check(number > 0 or seconds > 3, "nothing was refused")
    check(any("rate-exceeded address=127.0.0.1 " in line for line in world.server.lines), "no warning")


@scenario(own=RATES, once=True, seconds=120, modes=("ims",))
async def rates_not_of_the_core(world):
    """In a core all comes from one address: only users are limited."""
    answers, _ = await burst(world, "MESSAGE", count=100)
    check(all(r.status != 503 for r in answers), "refused: %s" % sorted(r.status for r in answers)[-3:])


@scenario(own=dict(RATES, **{"limits.invite_rate": "1/s", "limits.message_rate": "1/s"}), once=True, seconds=60)
async def rates_leave_dialogs_alone(world):
    """In a session UPDATE, INFO and MSRP messages are not counted, though its user is over the limit."""
    sa, sb = await world.session()
    await burst(world, "INVITE", sa.agent.uri, 10)
    for i in range(5):
        await sa.send("message %d" % i)
        same(bytes((await sb.receive()).body), b"message %d" % i, "text")
    for session in (sa, sb, sa, sb):
        update = session.dialog.request("UPDATE", headers=[("Supported", "timer")])
        same((await update.final()).status, 200, "UPDATE")
    await sa.hang_up()
    await sb.wait_bye()


@scenario(modes=("standalone",), own=dict(RATES, **{"core.authenticate": "digest"}), once=True, seconds=60)
async def rates_need_a_proof(world):
    """With digest nobody uses up the bucket of another: without credentials there are challenges only."""
    answers, _ = await burst(world, "MESSAGE", "sip:alice@" + DOMAIN, 8)
    same({r.status for r in answers}, {407}, "answers")
