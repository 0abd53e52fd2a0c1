"""A reload (design 8, 9): all or nothing, by SIGHUP and by the API; what each kind of key does to running sessions
and to what begins afterwards; keys that take a restart are named and stay."""
import asyncio
import os
import re
import socket
import stat

from ua import check, same
from world import DOMAIN, scenario

FREE = {"limits.unbound": None, "limits.reattach": None, "limits.max_size_1to1": None, "policy.offline_pager": None}
LONG = os.environ.get("IMSERV_TEST_LONG")


def with_file(text="", **more):
    """Settings of a server that leaves to its file what the scenario changes."""
    return dict(FREE, file=text, **more)


async def send_and_receive(sa, sb, text):
    await sa.send(text)
    same(bytes((await sb.receive()).body), text.encode(), "text")


async def count(world, name):
    return (await world.server.metrics()).sum("imserv_config_" + name + "_total")


def lines(world, text):
    return [line for line in world.server.lines if text in line]


# --- all or nothing ---

@scenario(own=with_file("limits: {sessions: 20000}\n"), once=True)
async def reload_refused_whole(world):
    """Everything that is wrong is told with file, line, key and expectation, on the log and in the answer, and
    nothing of it comes into force, not even what is right; the session goes on."""
    sa, sb = await world.session()
    answer = await world.server.reread("policy: {content_types: [image/png]}\nlimits:\n  unbound: 1\n  unbund: 5s\n"
                                       "log: {level: loud}\n", 409)
    same(answer["error"], 409, "error")
    check("3 errors" in answer["reason"], "reason %r" % answer["reason"])
    told = {(os.path.basename(e["file"]), e["line"], e["key"]): e["reason"] for e in answer["errors"]}
    same(sorted(told), [("imserv.yaml", 3, "limits.unbound"), ("imserv.yaml", 4, "limits.unbund"),
                        ("imserv.yaml", 5, "log.level")], "errors")
    check("expected a time from 100ms" in told[("imserv.yaml", 3, "limits.unbound")], "expectation")
    check("did you mean unbound?" in told[("imserv.yaml", 4, "limits.unbund")], "expectation")
    await world.server.logged("reload-refused errors=3")
    same(len(lines(world, "config error")), 3, "lines of the log")
    same((await count(world, "reloads"), await count(world, "reloads_refused")), (1, 1), "counters")
    world.server.configure("limits: [")              # and by the signal
    world.server.reload()
    await world.server.logged("reload-refused errors=1")
    await send_and_receive(sa, sb, "text/plain is still allowed")
    await sa.hang_up()
    await sb.wait_bye()
    await world.normal_session()
    status, state = await world.server.api("GET", "status")
    same((status, state["last_reload"]["reloaded"]), (200, False), "what status says")


@scenario(own=with_file(), once=True)
async def reload_names_what_takes_a_restart(world):
    """Keys that take a restart keep their value and are named; the others of the same file come into force."""
    before = world.server.ready
    answer = await world.server.reread("domain: {home: elsewhere.example, aliases: [third.example]}\n"
                                       "runtime: {recv_buffer_size: 32KiB}\npolicy: {content_types: [text/html]}\n"
                                       "presence: {publish: true}\n")
    same((answer["reloaded"], answer["restart_required"]),
         (True, ["runtime.recv_buffer_size", "domain.home", "domain.aliases"]), "answer")
    check(any("presence.publish" in w and "not yet in effect" in w for w in answer["warnings"]), "warnings")
    await world.server.logged("restart-required keys=runtime.recv_buffer_size,domain.home,domain.aliases")
    alice, bob = await world.pair()
    same((await alice.pager(bob, "no")).status, 403, "text/plain, which may no longer be sent")
    sending = asyncio.ensure_future(alice.pager(bob, "yes", content_type="text/html"))
    (await bob.expect("MESSAGE")).respond(200, "OK")
    same((await sending).status, 200, "a name of the domain of before")
    same(world.server.ready, before, "listeners")
    answer = await world.server.reread("")
    same(answer["restart_required"], [], "back again")
    await world.normal_session()


@scenario(modes=("standalone",), own=lambda: with_file("core: {authenticate: digest}\n",
                                                       **{"core.authenticate": None}), once=True)
async def reload_looks_at_what_stays(world):
    """What the file says is good by itself, but not with the files that are there: a sink that cannot be opened, or a
    log of call details; nothing has changed then."""
    for text, key in (("log: {sink: /nonexistent/imserv.log}\n", "log.sink"),
                      ("log: {cdr: /nonexistent/cdr.log}\n", "log.cdr")):
        answer = await world.server.reread(text + "core: {authenticate: none}\n", 409)
        same((answer["reason"], [e["key"] for e in answer["errors"]]),
             ("1 error in the configuration; what was in force stays", [key]), "what is told")
        same(answer["errors"][0]["line"], 1, "line")
        code, out, err = await world.server.ctl("reload")
        same((code, out, err.count(key)), (1, "", 1), "imservctl reload tells it once: " + err)
        code, out, err = await world.server.ctl("status")
        same((code, out.count("%s: " % key)), (0, 1), "what status says: " + out)
    user = await world.client("alice", register=False)
    same((await user.register()).status, 401, "REGISTER without credentials")
    await world.server.reread("core: {authenticate: none}\n")
    same((await user.register()).status, 200, "REGISTER without credentials")


# --- keys and their effect ---

@scenario(modes=("standalone",), own=with_file("limits: {sessions: 90000000}\n"), once=True)
async def reload_says_once_that_sessions_are_lowered(world):
    """More sessions than descriptors: said at the start, and by a reload only when it is another figure."""
    if not lines(world, "sessions-lowered"):
        return                                       # descriptors are without limit here
    for number in (90000000, 80000000, 80000000, 70000000):
        await world.server.reread("limits: {sessions: %d}\n" % number)
    await world.server.logged("limits.sessions=70000000")
    same([re.search(r"limits.sessions=(\d+)", line).group(1) for line in lines(world, "sessions-lowered")],
         ["90000000", "80000000", "70000000"], "warnings")


@scenario(own=with_file("limits: {sessions: 2}\n"), once=True)
async def reload_session_limit(world):
    """limits.sessions counts at once, in both directions: under the sessions that are it refuses new ones."""
    sa, sb = await world.session()
    same((await world.server.metrics()).sum("imserv_sessions_limit"), 2, "limit in /metrics")
    await world.server.reread("limits: {sessions: 1}\n")
    same((await world.server.metrics()).sum("imserv_sessions_limit"), 1, "limit in /metrics")
    if not world.ims:                                # there a call has a session of each pass
        outgoing = (await world.client("carol")).invite(sb.agent)
        same((await outgoing.transaction.final()).status, 503, "one more session")
    await send_and_receive(sa, sb, "still here")
    await world.server.reread("limits: {sessions: 8}\n")
    same((await world.server.metrics()).sum("imserv_sessions_limit"), 8, "limit in /metrics")
    ta, tb = await world.session()
    await send_and_receive(ta, tb, "there is room")
    for a, b in ((sa, sb), (ta, tb)):
        await a.hang_up()
        await b.wait_bye()


@scenario(own=with_file("limits: {max_size_1to1: 1MiB}\n"), once=True)
async def reload_sizes_and_timers(world):
    """limits.max_size_1to1 and timers.session_expires are those of sessions that begin afterwards."""
    alice, bob = await world.pair()

    async def call():
        outgoing = alice.invite(bob, timer=None)
        invitation = await bob.expect_invite()
        request = invitation.server.request
        invitation.refuse(486)
        same((await outgoing.transaction.final()).status, 486, "answer")
        size = [x for x in request.body.decode().split("\r\n") if x.startswith("a=max-size:")]
        return size, request.get("Session-Expires")
    size, expires = await call()
    same(size, ["a=max-size:1048576"], "max-size")
    check(expires is None or expires.startswith("1800"), "Session-Expires %r" % expires)
    await world.server.reread("limits: {max_size_1to1: 2MiB}\ntimers: {session_expires: 600s}\n")
    size, expires = await call()
    same(size, ["a=max-size:2097152"], "max-size")
    check(expires is None or expires.startswith("600"), "Session-Expires %r" % expires)
    await world.server.reread("timers: {session_expires: 600s, min_se: 300s}\n")
    outgoing = alice.invite(bob, timer="120")
    response = await outgoing.transaction.final()
    same((response.status, response.get("Min-SE")), (422, "300"), "a session timer of 120 s")


@scenario(own=with_file("limits: {header_bytes: 4KiB, max_size_pager: 64KiB}\n"), once=True)
async def reload_sizes_of_messages(world):
    """limits.header_bytes and limits.max_size_pager, larger and smaller than at the start, for connections that are open
    too."""
    alice, bob = await world.pair()

    async def ask(octets, **more):
        return (await alice.ask("MESSAGE", bob.uri, content_type="text/plain", body=b"x" * octets, **more)).status
    same(await deliver(bob, ask(3000)), 200, "3000 octets")
    await world.server.reread("limits: {header_bytes: 2KiB, max_size_pager: 1KiB}\n")
    same(await ask(1025), 403, "one octet too much")
    same(await deliver(bob, ask(1024)), 200, "as much as is allowed")
    raw = await world.raw()                          # which is closed after that
    same(await raw.ask(world.request("MESSAGE", raw).add("X-Long", "x" * 2500)), 513, "a head of more than 2 KiB")
    await world.server.reread("limits: {header_bytes: 32KiB, max_size_pager: 64KiB}\n")
    same(await deliver(bob, ask(1025)), 200, "1025 octets")
    same(await deliver(bob, ask(10, headers=[("X-Long", "x" * 9000)])), 200, "a head of 9 kB")


async def deliver(bob, sending):
    sending = asyncio.ensure_future(sending)
    server = await bob.expect("MESSAGE")
    server.respond(200, "OK")
    return await sending


@scenario(own=with_file(), once=True)
async def reload_policy(world):
    """policy.feature_tag and policy.content_types, from the next request on."""
    alice, bob = await world.pair()
    bare = [("Accept-Contact", "*;audio")]
    await world.server.reread("policy: {feature_tag: never}\n")
    same(await deliver(bob, status_of(alice.pager(bob, "hello", headers=bare))), 200, "never")
    await world.server.reread("policy: {feature_tag: always}\n")
    same((await alice.pager(bob, "hello", headers=bare)).status, 403, "always")
    await world.server.reread("policy: {feature_tag: never, content_types: [text/html]}\n")
    same((await alice.pager(bob, "hello", headers=bare)).status, 403, "text/plain")


async def status_of(response):
    return (await response).status


@scenario(own=with_file(), once=True)
async def reload_rates(world):
    """limits.message_rate and overload.retry_after count from the next request on, and so does that there is no rate any more."""
    alice, bob = await world.pair()

    async def many():
        return await asyncio.gather(*[alice.pager("sip:nobody@" + DOMAIN, "x") for _ in range(12)])
    check(503 not in [r.status for r in await many()], "refused without a rate")
    await world.server.reread("limits: {message_rate: 1/s}\noverload: {retry_after: 17s}\n")
    refused = [r for r in await many() if r.status == 503]
    check(refused, "nothing was refused")
    same({r.get("Retry-After") for r in refused}, {"17"}, "Retry-After")
    await world.server.reread("")
    check(503 not in [r.status for r in await many()], "refused when the rate was gone")


@scenario(modes=("standalone",), own=with_file("core: {users: open}\n"), once=True)
async def reload_users(world):
    """core.users: names that nobody provisioned are no longer served, and then again."""
    alice = await world.client("alice")
    await world.server.reread("core: {users: provisioned}\n")
    same((await alice.register()).status, 404, "REGISTER, provisioned")
    await world.server.reread("core: {users: open}\n")
    same((await alice.register()).status, 200, "REGISTER, open")


@scenario(modes=("ims",), own=lambda: with_file("core: {next_hop: NEXT_HOP}\n", **{"core.next_hop": None}), once=True)
async def reload_trusted_and_next_hop(world):
    """core.trusted counts from the next request on; so does core.next_hop, while what is under way keeps the one it began
    with."""
    alice, bob = await world.pair()
    await world.server.reread('core: {next_hop: NEXT_HOP, trusted: [192.0.2.0/24]}\n')
    same((await alice.pager(bob, "hello")).status, 403, "of a peer nobody trusts")
    await world.server.reread("core: {next_hop: NEXT_HOP}\n")
    same(await deliver(bob, status_of(alice.pager(bob, "hello"))), 200, "the default")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        await world.server.reread('core: {next_hop: "sip:127.0.0.1:%d;transport=udp"}\n' % other.getsockname()[1])
        sending = asyncio.ensure_future(alice.pager(bob, "elsewhere"))
        octets, address = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(other, 65536), 20)
        check(octets.startswith(b"MESSAGE ") and b"elsewhere" in octets, "what came: %r" % octets[:60])
        await world.server.reread("core: {next_hop: NEXT_HOP}\n")   # it is answered all the same
        head = [x for x in octets.decode().split("\r\n\r\n")[0].split("\r\n")
                if x.partition(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
        to = [x for x in octets.decode().split("\r\n") if x.startswith("To:")][0] + ";tag=other"
        other.sendto("\r\n".join(["SIP/2.0 200 OK"] + head + [to, "Content-Length: 0", "", ""]).encode(), address)
        same((await sending).status, 200, "answer of the other")
    await world.normal_session()


@scenario(own=with_file("log: {level: info}\n", **{"log.level": None}), once=True)
async def reload_log(world):
    """log.level, log.format and log.sink; a reload also opens a file again that was renamed, as logrotate does."""
    server = world.server
    path = os.path.join(server.directory, "server.log")
    await world.normal_session()
    await server.reread("log: {level: info, format: json, sink: server.log}\n")
    await world.normal_session()
    os.rename(path, path + ".1")
    await server.reread("log: {level: error, sink: server.log}\n")
    await world.normal_session()
    await server.reread("log: {level: info}\n")      # what goes before it has been written by now
    await server.logged("config reloaded ")
    with open(path + ".1") as file:
        old = file.read().splitlines()
    check(old and all(line.startswith("{") for line in old), "lines of JSON")
    check(any('"subject":"session"' in line for line in old), "lines of a session")
    with open(path) as file:
        new = file.read()
    check("session" not in new, "at level error: %r" % new[:200])
    same(stat.S_IMODE(os.stat(path).st_mode) & 0o007, 0, "what others may do with it")


@scenario(own=with_file(), once=True)
async def reload_store_and_drain(world):
    """Keys of threads that are no workers: store.group_commit and wal_limit, runtime.drain."""
    await world.server.reread("store: {group_commit: 0, wal_limit: 1MiB}\nruntime: {drain: 100ms}\n")
    user = await world.client("alice")               # its binding is written
    same((await user.register()).status, 200, "REGISTER")
    sa, sb = await world.session()
    world.server.terminate()                         # 30 s at the start
    await asyncio.gather(sa.wait_bye(20), sb.wait_bye(20))
    same(await world.server.wait(20), 0, "exit code")


# --- again and again ---

GOOD = ("limits: {leg_high: 8KiB, leg_low: 2KiB, sessions: 500, header_bytes: 4KiB}\ntimers: {msrp_transaction: 20s}\n",
        "policy: {content_types: [text/plain, message/cpim, 'text/*']}\nlog: {level: warn}\n",
        "limits: {queued_bytes: 64MiB, header_bytes: 16KiB}\ncore: {trusted: [127.0.0.0/8, 10.0.0.0/8]}\n"
        "domain: {home: %s, store_host: other.example}\n" % DOMAIN,
        "limits: {max_size_pager: 200KiB, conns_per_ip: 100000}\nstore: {group_commit: 1ms}\nlog: {format: json}\n")
BAD = ("limits: {leg_low: 1GiB}\n", "core: {next_hop: nowhere}\nfoo: 1\n", "log: {sink: /nonexistent/log}\n", "listen: [\n")


@scenario(own=with_file(), once=True, seconds=3600 if LONG else 120, least_workers=2)
async def reload_storm(world):
    """Hundreds of reloads, good and bad in turn (10 000 with IMSERV_TEST_LONG), while sessions go on exchanging messages: none is
    lost, and neither memory nor descriptors grow."""
    rounds = 10000 if LONG else 200
    pairs = [await world.session() for _ in range(3)]
    done = False
    sent = [0] * len(pairs)

    async def talk(i):
        a, b = pairs[i]
        while not done:
            text = "%d of %d " % (sent[i], i) + "x" * (7000 if sent[i] % 5 == 0 else 10)
            await asyncio.gather(a.send(text), expect(b, text))
            await asyncio.gather(b.send(text), expect(a, text))
            sent[i] += 1

    async def expect(session, text):
        same(bytes((await session.receive(60)).body), text.encode(), "text")

    async def reload(i):
        good = i % 2 == 0
        await world.server.reread((GOOD if good else BAD)[i // 2 % 4], 200 if good else 409)
    talking = [asyncio.ensure_future(talk(i)) for i in range(len(pairs))]
    for i in range(40):                              # what is allocated once is there then
        await reload(i)
    memory, descriptors = world.server.rss(), world.server.descriptors()
    for i in range(rounds):
        await reload(i)
        for task in talking:
            if task.done():
                task.result()
    grown = world.server.rss() - memory
    # the address sanitizer remembers every thread there ever was, and each question of the API has one; what it
    # keeps of freed memory comes on top, and what is lost it tells at the end
    most = (24 << 20) + 2048 * rounds if world.server.is_address_sanitized else 6 << 20
    check(grown < most, "memory grew by %d KiB" % (grown >> 10))
    for _ in range(1000):                            # the connection of the last question may still be closing
        now = world.server.descriptors()
        if len(now) <= len(descriptors):
            break
        await asyncio.sleep(0.02)
    check(len(now) <= len(descriptors), "descriptors: %s before, now also %s" % (
        len(descriptors), sorted(set(now) - set(descriptors))))
    done = True
    await asyncio.gather(*talking)
    check(all(n > 2 for n in sent), "messages %s" % sent)
    same(await count(world, "reloads"), rounds + 40, "reloads")
    same(await count(world, "reloads_refused"), (rounds + 40) // 2, "refused")
    for a, b in pairs:
        await a.hang_up()
        await b.wait_bye()
    await world.server.reread("")
    await world.normal_session()


@scenario(own=with_file(), once=True)
async def reload_signals_and_askers(world):
    """Many at once, by the signal and by the API: everybody gets an answer about a configuration that was read after he asked."""
    world.server.configure("limits: {sessions: 300}\n")
    for _ in range(20):
        world.server.reload()
    answers = await asyncio.gather(*[world.server.api("POST", "reload") for _ in range(8)])
    same([status for status, _ in answers], [200] * 8, "answers")
    for i in range(10):
        text = "limits: {unbound: %ds}\n" % i        # 0s is refused
        await world.server.reread(text, 200 if i else 409)
    check(await count(world, "reloads") >= 12, "reloads")
    await world.normal_session()
