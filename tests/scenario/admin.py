"""The admin API, imservctl and traces (design 8, 10, 13)."""
import asyncio
import json
import os
import stat
import tempfile

from ua import check, same
from ua.digest import Login
from ua.server import LISTEN, Server, http_get, run_command
from world import DOMAIN, scenario


@scenario(once=True, own={})
async def admin_door(world):
    """Nobody gets in without the token, with a foreign Host or from a web page; every wrong path, method and
    body has its code."""
    server, (host, port) = world.server, world.server.ready.http
    same(stat.S_IMODE(os.stat(server.token_file).st_mode), 0o600, "mode of the token file")
    with open(server.token_file) as file:
        good = ("Authorization", "Bearer " + file.read().strip())
    for headers, status, what in (
            ((), 401, "no token"),
            ([("Authorization", good[1][:-1])], 401, "part of the token"),
            ([("Authorization", "Basic eDp5")], 401, "another scheme"),
            ([good, ("Origin", "http://%s:%d" % (host, port))], 403, "an Origin"),
            ([good, ("Host", "elsewhere.org:%d" % port)], 403, "a foreign Host"),
            ([good, ("Host", "%s:%d" % (host, port + 1))], 403, "another port"),
            ([good, ("Host", host)], 200, "Host without port"),
            ([("Authorization", good[1].replace("Bearer", "bearer"))], 200, "the scheme in small letters")):
        got, fields, body = await http_get(server.ready.http, "/api/v1/status", headers=headers)
        same(got, status, what)
        if got != 200:
            same(sorted(json.loads(body)), ["error", "reason"], what)
            same(json.loads(body)["error"], status, what)
        check((got == 401) == ("www-authenticate" in fields), "WWW-Authenticate with %s" % what)
    for method, path, body, status in (
            ("GET", "nothing", None, 404), ("GET", "", None, 404), ("POST", "conferences", None, 405),
            ("POST", "mailbox/alice", None, 405), ("DELETE", "mailbox/alice/1", None, 404), ("GET", "mailbox/a@b.org", None, 400),
            ("GET", "mailbox/alice?limit=0", None, 400), ("GET", "mailbox/alice?from=x", None, 400), ("GET", "mailbox/alice/1", None, 405),
            ("GET", "docs/a/b/c", None, 404), ("PUT", "docs/a/b/c", {}, 404), ("GET", "history", None, 501),
            ("POST", "history", None, 405), ("POST", "status", None, 405), ("GET", "drain", None, 405),
            ("GET", "users/alice", None, 405), ("PUT", "users/", {}, 404), ("GET", "sessions?from=x", None, 400),
            ("GET", "sessions?limit=0", None, 400), ("PUT", "users/alice", {"password": 5}, 400),
            ("PUT", "users/alice", {"password": ""}, 400), ("PUT", "users/alice", {"name": "x"}, 400),
            ("PUT", "users/alice", [], 400), ("PUT", "users/alice", {"password": "x" * 5000}, 413),
            ("PUT", "users/a%20b", {}, 400), ("PUT", "users/alice@elsewhere.org", {}, 400),
            ("PUT", "users/group7", {}, 409), ("PUT", "users/factory", {}, 409), ("PUT", "users/history", {}, 409),
            ("DELETE", "users/nobody", None, 404), ("GET", "trace/alice@elsewhere.org", None, 400),
            ("PUT", "users/sip:carol@" + DOMAIN, {}, 201), ("PUT", "users/carol", {}, 200),
            ("PUT", "users/carol@%s" % DOMAIN, {"password": "x"}, 200), ("DELETE", "users/carol", None, 200)):
        got, answer = await server.api(method, path, body)
        same(got, status, "%s %s %r: %s" % (method, path, str(body)[:40], answer))
        if got >= 400:
            same(answer["error"], status, "error of %s %s" % (method, path))
    same(await server.api("GET", "conferences"), (200, {"items": [], "next": None}), "conferences")
    got, fields, _ = await http_get(server.ready.http, "/api/v1/status", "PUT", headers=[good])
    same((got, fields.get("allow")), (405, "GET"), "PUT status")
    same((await http_get(server.ready.http, "/livez"))[0], 200, "/livez")


@scenario(modes=("standalone",), own={}, once=True)
async def admin_token_file(world):
    """The server does not start with a token that others can read; one that its owner wrote is used."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mine")
        with open(path, "w") as file:
            file.write("my own words\n")
        arguments = ("--set", "listen=" + LISTEN, "--set", "http.token_file=" + path)
        for mode, why in ((0o644, "others can read it"), (0o600, "no token in it")):
            os.chmod(path, mode)
            code, _, err = await run_command(world.server.path, *arguments, cwd=folder)
            check(code == 1 and why in err, "mode %o: %d %s" % (mode, code, err))
        with open(path, "w") as file:
            file.write("mine\n")
        server = await Server(world.server.path, settings={"http.token_file": path}).start()
        try:
            got, _, _ = await http_get(server.ready.http, "/api/v1/status", headers=[("Authorization", "Bearer mine")])
            same(got, 200, "status with the owner's token")
            check(not os.path.exists(server.token_file), "another token was made")
        finally:
            await server.stop()


@scenario(modes=("standalone",))
async def admin_status_and_sessions(world):
    """What runs shows: sessions with who, how long and how much, in pages; not who hides."""
    alice, bob = await world.pair()
    sa, sb = await world.session(alice, bob)
    hidden = await world.client("eve")
    ha, hb = await world.session(hidden, bob, headers=[("Privacy", "id")])
    await sa.send("12345")
    await sb.receive()
    status, answer = await world.server.api("GET", "status")
    same((status, answer["mode"], answer["workers"], answer["io"], answer["ready"], answer["draining"]),
         (200, "standalone", world.workers, world.server.ready.io, True, False), "status")
    check(answer["sessions"] >= 2 and answer["registrations"] >= 3, str(answer))
    found, place, pages = [], "", 0
    while place is not None:
        status, page = await world.server.api("GET", "sessions?limit=1" + (place and "&from=" + place))
        same(status, 200, "page %d" % pages)
        check(len(page["items"]) <= 1, "page of %d" % len(page["items"]))
        found, place, pages = found + page["items"], page["next"], pages + 1
    mine = [s for s in found if s["from"] == "%s@%s" % (alice.name, DOMAIN)]
    same([(s["to"], s["state"], s["octets"]) for s in mine], [("%s@%s" % (bob.name, DOMAIN), "ACTIVE", 5)], "session")
    check(0 <= mine[0]["age_s"] < 20, "age %s" % mine[0]["age_s"])
    same(len([s for s in found if s["from"] is None]), 1, "sessions of somebody who hides")
    check(hidden.name not in json.dumps(found), "who hides is shown")
    code, out, _ = await world.server.ctl("sessions")
    check(code == 0 and "%s@%s -> %s@%s" % (alice.name, DOMAIN, bob.name, DOMAIN) in out, out)
    check("(anonymous) -> %s" % bob.name in out, out)
    code, out, _ = await world.server.ctl("--json", "status")
    same((code, json.loads(out)["workers"]), (0, world.workers), "imservctl --json status")
    for session, other in ((sa, sb), (ha, hb)):
        await session.hang_up()
        await other.wait_bye()


@scenario(modes=("standalone",), own={"core.authenticate": "digest"}, once=True)
async def ctl_users(world):
    """imservctl makes a user, gives a password (which then logs in), and removes him; exit codes 0, 1, 2, 3."""
    server = world.server
    alice = await world.client("alice", register=False)
    same((await server.ctl("user", "passwd", alice.name, stdin="early\n"))[0], 1, "passwd of nobody")
    code, out, _ = await server.ctl("user", "add", alice.name)
    same(code, 0, "user add: " + out)
    same((await server.ctl("user", "add", alice.name))[0], 1, "user add again")
    alice.login = Login(alice.name, "s3cret words")
    alice.login.learn(await alice.register())
    same((await alice.register()).status, 401, "REGISTER before passwd")
    same((await server.ctl("user", "passwd", alice.name, stdin="s3cret words\n"))[0], 0, "user passwd")
    same((await alice.register()).status, 200, "REGISTER after passwd")
    same((await server.ctl("user", "del", alice.name))[0], 0, "user del")
    same((await server.ctl("user", "del", alice.name))[0], 1, "user del again")
    same((await alice.register()).status, 401, "REGISTER after del")
    for words in (("status", "now"), ("nonsense",), (), ("user", "add"), ("user", "sing", "alice"), ("--nope",),
                  ("user", "passwd", "alice"), ("user", "add", ""), ("trace", "")):
        same((await server.ctl(*words))[0], 2, "imservctl %s" % " ".join(words))
    code, _, err = await server.ctl("status", token_file="/nonexistent")
    check(code == 1 and "/nonexistent does not exist" in err, "without a token: %d %s" % (code, err))
    same((await server.ctl("--api", "http://127.0.0.1:1", "status"))[0], 3, "nobody there")
    same((await server.ctl("--api", "ftp://x", "status"))[0], 2, "no URL")
    os.chmod(server.token_file, 0o644)
    code, _, err = await server.ctl("status")
    check(code == 1 and "others can read" in err, "a token that others can read: %d %s" % (code, err))
    os.chmod(server.token_file, 0o600)


@scenario(own={"runtime.drain": "1s"}, settle=False, once=True)
async def ctl_reload_and_drain(world):
    """reload does what SIGHUP does and tells how it went; drain does what SIGTERM does: 503 on /readyz, BYE to what
    is left, exit code 0. Draining twice is not a second SIGTERM."""
    sa, sb = await world.session()
    trace = await Trace(world, sa.agent.name).start()
    code, out, _ = await world.server.ctl("reload")
    same(code, 0, "reload: " + out)
    code, out, err = await world.server.ctl("drain")
    check(code == 0 and "\nsessions left: %d\n" % (2 if world.ims else 1) in out, "drain: " + out + err)
    same((await world.server.get("/readyz"))[0], 503, "/readyz while draining")
    same((await world.server.api("POST", "drain"))[0], 202, "drain again")
    same((await world.server.api("GET", "status"))[1]["draining"], True, "status")
    await sa.send("last words")
    await sb.receive()
    await asyncio.gather(sa.wait_bye(4), sb.wait_bye(4))
    check(await trace.until("out %s" % world.transport), "no BYE in the trace")
    same(await world.server.wait(6), 0, "exit code with a trace open")
    same(await asyncio.wait_for(trace.process.wait(), 4), 0, "exit code of the trace")


class Trace:
    """A running `imservctl trace`."""

    def __init__(self, world, user, *options):
        self.world, self.user, self.options = world, user, options
        self.lines = []

    async def start(self):
        server = self.world.server
        self.process = await asyncio.create_subprocess_exec(
            os.path.join(os.path.dirname(server.path), "imservctl"), "--api", "http://%s:%d" % server.ready.http,
            "--token-file", server.token_file, "trace", self.user, *self.options, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE)
        check(await self.until("trace of"), "no trace")
        return self

    async def until(self, text, seconds=12):
        """Lines up to one with the text."""
        async def read():
            while True:
                line = (await self.process.stdout.readline()).decode()
                if not line:
                    return False
                self.lines.append(line.rstrip("\n"))
                if text in line:
                    return True
        try:
            return await asyncio.wait_for(read(), seconds)
        except asyncio.TimeoutError:
            return False

    async def stop(self):
        self.process.kill()
        await self.process.wait()


@scenario()
async def trace_of_a_user(world):
    """Every SIP message of the user, in and out, and each refusal with its reason; nothing of others, no content
    and no credentials."""
    alice, bob = await world.pair()
    carol = await world.client("carol")
    trace = await Trace(world, alice.name).start()
    try:
        pager = asyncio.ensure_future(carol.pager(bob, "private words"))
        (await bob.expect("MESSAGE")).respond(200)
        await pager
        sa, sb = await world.session(alice, bob)
        await sa.hang_up()
        await sb.wait_bye()
        pager = asyncio.ensure_future(alice.pager(bob, "more private words"))
        (await bob.expect("MESSAGE")).respond(200)
        await pager
        nobody = await alice.pager("sip:nobody-here@" + DOMAIN, "x")
        check(nobody.status >= 400, "MESSAGE to nobody: %s" % nobody)
        check(await trace.until(" refused method=MESSAGE status=%d reason=offline" % nobody.status),
              "no refusal in\n" + "\n".join(trace.lines[-5:]))
        check(await trace.until("%d " % nobody.status), "no answer behind the refusal")
    finally:
        await trace.stop()
    heads = [line.split(" ", 4) for line in trace.lines if line[:1] not in "#\t"]
    kinds = [(h[1], h[4].split(" ")[0]) for h in heads if len(h) == 5 and h[1] in ("in", "out")]
    for way, start in (("in", "INVITE"), ("out", "INVITE"), ("in", "200"), ("out", "200"), ("in", "ACK"), ("out", "ACK"),
                       ("in", "BYE"), ("out", "BYE"), ("in", "MESSAGE"), ("out", "MESSAGE"), ("out", "180")):
        check((way, start) in kinds, "no %s %s in %s" % (way, start, kinds))
    check(all(h[2] == world.transport for h in heads if h[1] == "in"), "transports %s" % heads[:3])
    text = "\n".join(trace.lines)
    check("a=path:msrp" in text and "Call-ID: " in text, "no descriptions or headers")
    check("private" not in text, "content in the trace")
    check(carol.name not in text, "a stranger in the trace")


@scenario(modes=("standalone",), once=True, own={}, seconds=30)
async def trace_waits_for_a_silent_user(world):
    """Nothing happens for longer than the HTTP listener waits for others: the trace is still there."""
    alice = await world.client("alice")
    trace = await Trace(world, alice.name).start()
    try:
        await asyncio.sleep(11.5)
        await alice.ask("OPTIONS", "sip:" + DOMAIN)
        check(await trace.until("in %s " % world.transport), "the trace ended")
    finally:
        await trace.stop()


@scenario(once=True, own={})
async def trace_readers_are_bounded(world):
    """Eight may trace at a time, the ninth gets 503; a reader that does not read loses lines and is told so, and
    the server goes on; when they leave, others may come."""
    alice, bob = await world.pair()
    reader, writer = await asyncio.open_connection(*world.server.ready.http, limit=1 << 14)
    with open(world.server.token_file) as file:
        token = file.read().strip()
    writer.write(("GET /api/v1/trace/%s HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\n\r\n" % (
        (alice.name,) + world.server.ready.http + (token,))).encode())
    await reader.readuntil(b"# trace of")
    traces = [await Trace(world, bob.name).start() for _ in range(7)]
    try:
        status, answer = await world.server.api("GET", "trace/" + bob.name)
        same((status, answer["reason"]), (503, "too many readers"), "the ninth reader")
        same(await alice_asks(alice, 40), 40, "answered OPTIONS beside a reader that does not read")
    finally:
        for trace in traces:
            await trace.stop()
        writer.close()
    for _ in range(100):  # a server notices in its own time that a reader left
        status = await opens(world, alice.name, token)
        if status == 200:
            break
        await asyncio.sleep(0.05)
    same(status, 200, "a trace after the others left")
    await world.normal_session()


async def alice_asks(alice, count):
    """Answers to so many requests with large headers."""
    answers = await asyncio.gather(*(alice.ask("OPTIONS", "sip:" + DOMAIN, headers=[("Subject", "x" * 300)])
                                     for _ in range(count)))
    return len([a for a in answers if a.status < 500])


async def opens(world, name, token):
    reader, writer = await asyncio.open_connection(*world.server.ready.http)
    try:
        writer.write(("GET /api/v1/trace/%s HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\n\r\n" % (
            (name,) + world.server.ready.http + (token,))).encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
