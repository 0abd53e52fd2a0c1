"""imservctl (design 8): its words, its exit codes, its JSON, and servers that are none."""
import asyncio
import json
import os
import pty
import re
import signal
import tempfile
import termios

from admin import Trace
from ua import check, same
from ua.server import LISTEN
from world import DOMAIN, scenario

HTTP_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def program(world):
    return os.path.join(os.path.dirname(world.server.path), "imservctl")


async def run(world, *words, stdout=asyncio.subprocess.PIPE, stdin=b"", cwd=None):
    """(exit code, stdout, stderr) of imservctl with just these words."""
    process = await asyncio.create_subprocess_exec(
        program(world), *words, stdin=asyncio.subprocess.PIPE, stdout=stdout, stderr=asyncio.subprocess.PIPE,
        cwd=cwd or world.server.directory)
    out, err = await asyncio.wait_for(process.communicate(stdin), 15)
    return process.returncode, (out or b"").decode(), err.decode()


class Fake:
    """A server that answers each connection with the next of these answers; None: with nothing."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.on_connection, "127.0.0.1", 0)
        self.api = "http://127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception):
        self.server.close()

    async def on_connection(self, reader, writer):
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                await reader.read()  # until it gives up
            elif callable(answer):
                await answer(writer)
            else:
                writer.write(answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def page(items, following):
    body = json.dumps({"items": items, "next": following}).encode()
    return HTTP_OK % (len(body), body)


def item(number, **more):
    return dict({"id": "%x" % number, "from": "a%d@example.com" % number, "to": "b@example.com", "state": "ACTIVE",
                 "age_s": 1.5, "octets": number}, **more)


@scenario(modes=("standalone",), once=True, seconds=60)
async def ctl_usage(world):
    """Words that make no command: exit code 2, and a line that says what is wrong and what is expected."""
    for words, why in (
            ((), "expected a command"), (("nonsense",), "no such command"), (("status", "now"), "too many words"),
            (("user", "add"), "something is missing"), (("user", "sing", "alice"), "expected add, del or passwd"),
            (("user", "add", ""), "no name"), (("trace", ""), "no name"), (("trace",), "something is missing"),
            (("--nope", "status"), "--nope"), (("status", "--api"), "--api"), (("status", "--json=no"), "--json=no"),
            (("status", "--timeout", "0"), "--timeout 0"), (("status", "--timeout", "1s"), "--timeout 1s"),
            (("status", "--user", "alice"), "for history"), (("mailbox",), "something is missing"),
            (("mailbox", "alice", "delete"), "USER delete ID"), (("mailbox", "alice", "eat", "1"), "USER delete ID"),
            (("mailbox", "alice", "delete", "1", "2"), "too many words"), (("doc", "get", "a", "b"), "missing"),
            (("doc", "eat", "a", "b", "c"), "expected put, get or del"), (("doc", "get", "a", "", "c"), "no document"),
            (("doc", "put", "a", "b", "c"), "on standard input"), (("history", "find"), "expected search"),
            (("user", "passwd", "alice"), "on standard input"), (("user", "add", "x" * 5000), "no name"),
            (("status",) * 70, "too many words"), (("--api", "ftp://x", "status"), "http://HOST:PORT"),
            (("--api", "http://", "status"), "http://HOST:PORT"), (("--api", "http://h:0", "status"), "HOST:PORT"),
            (("--api", "http://h:99999", "status"), "HOST:PORT"), (("--api", "http://h:1/x", "status"), "HOST:PORT"),
            (("--api", "http://[::1", "status"), "HOST:PORT"), (("--", "--json"), "--json: no such command")):
        code, out, err = await run(world, *words)
        what = "imservctl %s: %d %s" % (" ".join(words)[:60], code, err)
        check(code == 2 and why in err and not out, what)
        check("usage:" in err or "--help" in err, "no advice: " + what)
        code, out, _ = await run(world, "--json", *words)
        same((code, json.loads(out)["error"]), (2, 0), "with --json: " + what)


@scenario(modes=("standalone",), once=True)
async def ctl_help(world):
    """--help names each command and option; behind a command it explains that one; --version is a line."""
    code, out, err = await run(world, "--help")
    same((code, err), (0, ""), "--help")
    for word in ("status", "sessions", "conferences", "mailbox", "user", "doc", "drain", "reload", "trace", "history",
                 "--api", "--json", "--token-file", "--timeout", "--help", "--version"):
        check(word in out, "--help does not name " + word)
    check(max(map(len, out.splitlines())) <= 80, "--help is too wide")
    for word in ("history",):
        check(re.search(r"(?m)^  %s .*not in this version" % word, out), "--help promises " + word)
    for command in ("status", "sessions", "conferences", "mailbox", "user", "doc", "drain", "reload", "trace", "history"):
        code, out, _ = await run(world, command, "--help")
        check(code == 0 and out.startswith("usage: imservctl [OPTION]... " + command), "%s --help: %s" % (command, out))
        check(max(map(len, out.splitlines())) <= 80, "%s --help is too wide: %s" % (command, out))
    code, out, _ = await run(world, "--version")
    check(code == 0 and re.fullmatch(r"imservctl \d+\.\d+\.\d+\n", out), "--version: " + out)


@scenario(modes=("standalone",), once=True, own={}, seconds=60)
async def ctl_json_everywhere(world):
    """With --json standard output is one JSON document whatever the command and however it ends; options stand
    anywhere, also behind what they are for."""
    server = world.server
    for words, code, key in (
            (("status",), 0, "version"), (("sessions",), 0, "items"), (("conferences",), 0, "items"),
            (("reload",), 0, "reloaded"), (("mailbox", "alice"), 0, "items"), (("doc", "get", "a", "b", "c"), 1, "reason"),
            (("doc", "del", "a", "b", "c"), 1, "reason"), (("history", "search", "x", "--user", "alice"), 1, "reason"),
            (("mailbox", "alice", "delete", "5"), 1, "reason"), (("user", "add", "alice@elsewhere.org"), 1, "reason"),
            (("user", "del", "dora"), 1, "reason"), (("trace", "alice@elsewhere.org"), 1, "reason"), (("frob",), 2, "reason"),
            (("--api", "http://127.0.0.1:1", "status"), 3, "reason")):
        for where in (words + ("--json",), ("--json",) + words):
            got, out, err = await server.ctl(*where)
            same(got, code, "imservctl %s: %s" % (" ".join(where), err))
            check(key in json.loads(out), "imservctl %s: %s" % (" ".join(where), out))
            check(bool(err) == (code != 0), "imservctl %s says %r" % (" ".join(where), err))
        same((await server.ctl(*words))[0], code, "imservctl " + " ".join(words))
    for verb, exists in (("add", True), ("del", False)):
        code, out, _ = await server.ctl("user", verb, "--json", "dora")
        same((code, json.loads(out)), (0, {"user": "dora@" + DOMAIN, "exists": exists, "password": False}), "user " + verb)
    for words in (("history", "search", "x"),):
        code, out, err = await server.ctl(*words)
        check(code == 1 and not out and "501: not in this version" in err, "imservctl %s: %d %s" % (words[0], code, err))
    code, out, _ = await server.ctl("doc", "put", "resource-lists", "sip:alice@" + DOMAIN, "index", "--json", stdin="<x/>")
    same((code, json.loads(out)["error"]), (1, 409), "doc put")
    code, out, _ = await server.ctl("status")
    for line in (r"version +\d", "state +ready", "mode +standalone", "workers +%d, " % world.workers, r"uptime +\d+s?",
                 "configuration +the embedded default", r"memory +\d", "sessions +0", "refusals +0"):
        check(re.search("^%s" % line, out, re.M), "status has no %r: %s" % (line, out))
    check(max(map(len, out.splitlines())) <= 80, "status is too wide: " + out)


@scenario(modes=("standalone",), once=True, own={})
async def ctl_status_tells_refusals(world):
    """What was refused since the start is told by its reason, the most frequent first; a limit only when it is near."""
    alice = await world.client("alice")
    for name in ("nobody", "none"):
        check((await alice.pager("sip:%s@%s" % (name, DOMAIN), "x")).status >= 400, "MESSAGE to " + name)
    check((await alice.pager("sip:x@elsewhere.org", "x")).status >= 400, "MESSAGE elsewhere")
    status, answer = await world.server.api("GET", "status")
    refused = answer["refused"]
    same((status, answer["refusals"], list(refused)[0], refused["offline"]), (200, sum(refused.values()), "offline", 2), "status")
    check(all(n["used"] <= n["limit"] and n["name"] for n in answer["limits"]) and len(answer["limits"]) >= 3, str(answer["limits"]))
    same((answer["pid"], answer["config"]), (world.server.pid, None), "who it is")
    for shares in (answer["busy"], answer["shed"]):
        check(len(shares) == world.workers and all(0 <= b <= 1 for b in shares), "shares %s" % shares)
    check(answer["memory_bytes"] > 1 << 20, "memory %s" % answer["memory_bytes"])
    code, out, _ = await world.server.ctl("status")
    check(re.search(r"^refusals +%d\n +2 offline\n" % answer["refusals"], out, re.M) and "nearly" not in out, out)
    answer.update(limits=[{"name": "limits.sessions", "used": 801, "limit": 1000}, {"name": "other", "used": 79, "limit": 100}],
                  busy=[0.25, 0.995], shed=[0, 0.4], last_reload={"time": "2026-01-02T03:04:05Z", "reloaded": False, "reason": "two errors"}, config="/etc/a.yaml")
    body = json.dumps(answer).encode()
    async with Fake(HTTP_OK % (len(body), body)) as fake:
        code, out, _ = await run(world, "--api", fake.api, "status")
        check(re.search(r"^nearly full +limits.sessions: 801 of 1000 \(80 %\)$", out, re.M) and "other" not in out, out)
        check(re.search(r"^last reload +2026-01-02T03:04:05Z, refused:\n +two errors$", out, re.M), out)
        check(re.search(r"^configuration +/etc/a.yaml$", out, re.M), out)
        check(re.search(r"^workers +.*, the busiest 100 % busy\noverload +a worker refuses 40 % of its new work$", out, re.M), out)


@scenario(modes=("standalone",), once=True)
async def ctl_output_that_is_lost(world):
    """Standard output that is full, closed, or read no more is no success: exit code 1. What is closed is not taken
    for the connection to the server."""
    server = world.server
    api = ("--api", "http://%s:%d" % server.ready.http, "--token-file", server.token_file)
    with open("/dev/full", "wb") as full:
        code, _, err = await run(world, *api, "status", stdout=full)
        check(code == 1 and "No space left" in err, "a full disk: %d %s" % (code, err))
        code, _, err = await run(world, *api, "frob", "--json", stdout=full)
        same(code, 2, "usage into a full disk")
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = await run(world, *api, "status", stdout=writing)
    os.close(writing)
    same((code, err), (1, ""), "a pipe that nobody reads")
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", 'exec "$@" >&-', "sh", program(world), *api, "status", stderr=asyncio.subprocess.PIPE)
    _, err = await process.communicate()
    check(process.returncode == 1 and b"standard output" in err, "closed: %d %s" % (process.returncode, err))


@scenario(modes=("standalone",), once=True, seconds=60)
async def ctl_servers_that_are_none(world):
    """Silence, half answers, other protocols and nonsense: exit code 3 in bounded time, never a crash."""
    good = b'{"version":"x"}'
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def drip(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    for answer, what in (
            (None, "silence"), (drip, "a header every 50 ms for ever"), (b"", "the end"), (b"SIP/2.0 200 OK\r\n\r\n", "SIP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + good, "half an answer"),
            (b"HTTP/1.1 200 OK\r\n", "half a head"), (b"HTTP/1.1 999 No\r\n\r\n", "a status that is none"),
            (HTTP_OK % (9, b"not JSON\n"), "no JSON"), (HTTP_OK % (2, b"[]"), "a list"), (HTTP_OK % (0, b""), "nothing"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000 + b"\r\n\r\n", "a long head"),
            (chunked + b"zz\r\n\r\n", "a bad chunk"), (chunked + b"f\r\n" + good, "half a chunk"),
            (chunked + b"ffffffffffffffff\r\n", "a huge chunk"), (chunked + b"1" * 70, "a length without end")):
        async with Fake(answer) as fake:
            code, out, err = await run(world, "--api", fake.api, "status", "--timeout", "1", "--json")
            same(code, 3, "%s: %s" % (what, err))
            check(json.loads(out)["error"] == 0 and err.count("\n") == 1, "%s: %s %s" % (what, out, err))
    for answer in (HTTP_OK % (len(good), good), b"HTTP/1.0 200 OK\r\n\r\n" + good, chunked + b"F;x\r\n" + good + b"\r\n0\r\n\r\n"):
        async with Fake(answer) as fake:
            code, out, err = await run(world, "--api", fake.api, "status")
            check(code == 0 and re.search("^version +x$", out, re.M), "%s: %s" % (answer[:20], out + err))
    async with Fake(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>") as fake:
        code, out, err = await run(world, "--api", fake.api, "status", "--json")
        check(code == 1 and json.loads(out)["error"] == 502 and "502" in err, "a gateway: %d %s" % (code, err))
    code, _, err = await run(world, "--api", "http://no-such-name.invalid:9090", "status")
    check(code == 3 and "no-such-name.invalid" in err, "no such name: %d %s" % (code, err))


@scenario(modes=("standalone",), once=True, seconds=40)
async def ctl_pages(world):
    """All pages of a list, as one document or one table that fits 80 columns; what breaks off is no success, and the
    document is still one. Nothing that a peer calls himself moves the cursor."""
    first = [item(n) for n in range(200)]
    async with Fake(page(first, "1.7"), page([item(900, octets=5 << 30)], "2.0"), page([], None)) as fake:
        code, out, err = await run(world, "--api", fake.api, "sessions", "--json")
        got = json.loads(out)
        same((code, [s["id"] for s in got["items"]], got["next"]), (0, ["%x" % n for n in range(200)] + ["384"], None), err)
        same(["from=1.7" in r for r in fake.requests], [False, True, False], "pages that were asked for")
    async with Fake(page(first, "1.7"), page([item(900, octets=5 << 30, age_s=93784)], None)) as fake:
        code, out, _ = await run(world, "--api", fake.api, "sessions")
        lines = out.splitlines()
        same((code, len(lines)), (0, 202), "a table")
        check(max(map(len, lines)) <= 80, "the table is too wide: " + max(lines, key=len))
        same(len({line.index("  a") if "  a" in line else line.index("  FROM") for line in lines}), 1, "columns")
        check("1d02h     5.0G" in lines[-1], lines[-1])
    for second, what in ((HTTP_OK % (2, b"{}"), "no items"), (page([], "1.7"), "the same page again"), (b"", "the end")):
        async with Fake(page(first, "1.7"), second) as fake:
            code, out, err = await run(world, "--api", fake.api, "sessions", "--json")
            check(code == 3 and err, "%s: %d %s" % (what, code, err))
            check(len(json.loads(out)["items"]) == 200 and json.loads(out)["reason"], "%s: %s" % (what, out[-200:]))
    hostile = "\u001b[31m\u009b2J\nfoo\u007f@example.com"
    async with Fake(page([item(1, **{"from": hostile})], None)) as fake:
        code, out, _ = await run(world, "--api", fake.api, "sessions")
        check(code == 0 and out.count("\n") == 2 and not re.search("[\u001b\u009b\u007f]", out), repr(out))
        code, out, _ = await run(world, "--api", fake.api, "sessions", "--json")
        same(json.loads(out)["items"][0]["from"], hostile, "as it is, for a program")


@scenario(modes=("standalone",), once=True)
async def ctl_reload_answers(world):
    """What a reload did is told: keys that take a restart by name; all that is wrong with a bad configuration."""
    done = b'{"reloaded":true,"restart_required":["listen[0].address","runtime.workers"]}'
    bad = (b'{"error":409,"reason":"the configuration has 2 errors","errors":["a.yaml:3: limits.unbound: expected a time",'
           b'"a.yaml:4: log.level: expected debug"]}')
    async with Fake(HTTP_OK % (len(done), done)) as fake:
        code, out, _ = await run(world, "--api", fake.api, "reload")
        check(code == 0 and "listen[0].address" in out and "runtime.workers" in out and "restart" in out, out)
        code, out, _ = await run(world, "--api", fake.api, "reload", "--json")
        same((code, json.loads(out)), (0, json.loads(done)), "as JSON")
    async with Fake(b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n%s" % (len(bad), bad)) as fake:
        code, out, err = await run(world, "--api", fake.api, "reload")
        check(code == 1 and not out and "limits.unbound" in err and "log.level" in err, err)
        code, out, _ = await run(world, "--api", fake.api, "reload", "--json")
        same((code, json.loads(out)), (1, json.loads(bad)), "errors as JSON")


@scenario(modes=("standalone",), once=True, own=lambda: {"listen": LISTEN[:-1] + ', {proto: http, address: "[::1]:0"}]'})
async def ctl_addresses_and_token(world):
    """Names and IPv6 addresses in --api; the token of the working directory is found; one that is missing, empty or
    for everybody is said with what to do."""
    line = world.server.ready_line
    v6 = re.search(r"http=\S*\[::1\]:(\d+)", line)
    check(v6, "no IPv6 listener: " + line)
    for api in ("http://localhost:%d" % world.server.ready.http[1], "http://[::1]:" + v6.group(1),
                "http://%s:%d/" % world.server.ready.http, "HTTP://127.0.0.1:%d" % world.server.ready.http[1]):
        code, _, err = await run(world, "--api", api, "status")  # in the directory of the server
        same((code, err), (0, ""), api)
    api = ("--api", "http://%s:%d" % world.server.ready.http)
    with tempfile.TemporaryDirectory() as folder:
        token = os.path.join(folder, "token")
        code, _, err = await run(world, *api, "status", "--token-file", token)
        check(code == 1 and "does not exist" in err and "--token-file" in err, "no token: %d %s" % (code, err))
        for mode, text, why in ((0o644, "x", "chmod 600"), (0o600, "", "no token in it"), (0o600, "another", "another server's")):
            with open(token, "w") as file:
                file.write(text)
            os.chmod(token, mode)
            code, _, err = await run(world, *api, "status", "--token-file", token)
            check(code == 1 and why in err, "mode %o, %r: %d %s" % (mode, text, code, err))


@scenario(modes=("standalone",), once=True, own={"core.authenticate": "digest"})
async def ctl_password_at_a_terminal(world):
    """A terminal is asked twice and shows nothing; two that differ change nothing."""
    server = world.server
    same((await server.ctl("user", "add", "tina"))[0], 0, "user add")
    for first, second, code, why in ((b"s3cret", b"s3cret", 0, ""), (b"s3cret", b"secret", 2, "differ"), (b"", b"", 2, "empty")):
        main, side = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            program(world), "--api", "http://%s:%d" % server.ready.http, "--token-file", server.token_file, "user", "passwd",
            "tina", stdin=side, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        for prompt, answer in ((b"new password: ", first), (b"once more: ", second)):
            await asyncio.wait_for(process.stderr.readuntil(prompt), 10)
            os.write(main, answer + b"\n")
        _, err = await asyncio.wait_for(process.communicate(), 10)
        os.close(side)
        os.set_blocking(main, False)
        shown = b""
        try:
            shown = os.read(main, 1000)
        except OSError:
            pass
        os.close(main)
        check(process.returncode == code and why in err.decode(), "passwords %s %s: %d %s" % (first, second, process.returncode, err))
        check(b"cret" not in shown, "the terminal showed %r" % shown)


@scenario(modes=("standalone",), once=True)
async def ctl_password_given_up(world):
    """Who interrupts the question gets his terminal back as it was."""
    main, side = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        program(world), "--token-file", world.server.token_file, "user", "passwd", "tina", stdin=side,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    await asyncio.wait_for(process.stderr.readuntil(b"new password: "), 10)
    check(not termios.tcgetattr(side)[3] & termios.ECHO, "the terminal shows what is typed")
    os.kill(process.pid, signal.SIGINT)
    same(await asyncio.wait_for(process.wait(), 10), -signal.SIGINT, "end")
    check(termios.tcgetattr(side)[3] & termios.ECHO, "the terminal stays blind")
    os.close(main)
    os.close(side)


@scenario(modes=("standalone",), once=True)
async def ctl_trace_as_json(world):
    """--json trace: an object a line, also for refusals and for what is no message."""
    alice, bob = await world.pair()
    trace = await Trace(world, alice.name, "--json").start()
    try:
        sa, sb = await world.session(alice, bob)
        await sa.hang_up()
        await sb.wait_bye()
        nobody = await alice.pager("sip:nobody-here@" + DOMAIN, "x\u00fcx")
        check(await trace.until('"way":"refused"'), "no refusal")
        check(await trace.until('"start":"%d ' % nobody.status), "no answer behind the refusal")
    finally:
        await trace.stop()
    seen = [json.loads(line) for line in trace.lines]
    same(seen[0], {"note": "trace of %s@%s" % (alice.name, DOMAIN)}, "first line")
    invites = [m for m in seen if m.get("start", "").startswith("INVITE ")]
    check({m["way"] for m in invites} == {"in", "out"}, "INVITEs: %s" % invites)
    check(all({"time", "way", "transport", "peer", "start", "headers"} <= set(m) for m in invites), str(invites[0]))
    names = {h["name"]: h["value"] for h in invites[0]["headers"]}
    check(names["CSeq"].endswith("INVITE") and any(line.startswith("a=path:msrp:") for line in invites[0]["sdp"]), str(invites[0]))
    refusal = [m for m in seen if m.get("way") == "refused"][-1]
    same((refusal["method"], refusal["status"]), ("MESSAGE", nobody.status), "refusal")
    check(refusal["reason"] and refusal["why"] and refusal["call_id"], str(refusal))
    asked = [m for m in seen if m.get("start", "").startswith("MESSAGE ")]
    same(asked[-1]["content_octets"], 4, "content of the MESSAGE")


@scenario(modes=("standalone",), once=True)
async def ctl_trace_that_nobody_reads(world):
    """`imservctl trace alice | head -1` ends although nothing more happens."""
    server = world.server
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", '"$@" | head -n 1', "sh", program(world), "--api", "http://%s:%d" % server.ready.http, "--token-file",
        server.token_file, "trace", "alice", stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 15)
    same(out.decode(), "# trace of alice@%s\n" % DOMAIN, "first line")
