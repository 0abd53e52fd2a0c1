"""The HTTP listeners (design 10): /metrics by the letter of OpenMetrics and fed by traffic, the dashboard's policy, who may
use the API by which Host, and what a reader may not do to others."""
import asyncio
import base64
import hashlib
import json
import re
import socket

from ua import check, openmetrics, same
from ua.server import http_get
from world import Skip, scenario

STABLE = ("imserv_sessions", "imserv_conferences", "imserv_msrp_legs", "imserv_connections", "imserv_sip_transactions",
          "imserv_timers", "imserv_deferred_messages", "imserv_deferred_bytes", "imserv_pool_used", "imserv_refused")


async def families(world):
    status, fields, body = await world.server.get("/metrics")
    same((status, fields["content-type"]), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"), "/metrics")
    return openmetrics.parse(body.decode())


async def until(world, what, seconds=10):
    """The families, once what() is true of them."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = await families(world)
        if what(found):
            return found
        check(asyncio.get_running_loop().time() < end, "the metrics do not follow")
        await asyncio.sleep(0.05)


def table(world, name):
    """Names in a table of the source, by its macro."""
    path = {"REASON": "core/reasons.def"}.get(name, "core/counters.def")
    with open(path_of(path), encoding="utf-8") as file:
        return re.findall(r'^%s\((\w+), *"?(\w*)' % name, file.read(), re.M)


def path_of(name):
    return __file__.rsplit("/tests/", 1)[0] + "/" + name


@scenario()
async def metrics_by_the_letter(world):
    """Every counter, gauge, pool, histogram and reason of the tables is there, with help, as OpenMetrics 1.0 wants it;
    what runs and each worker show; two answers grow and never shrink."""
    before = await families(world)
    for name in STABLE:
        check(name in before, "no %s" % name)
    for name, _ in table(world, "COUNTER"):
        same(before["imserv_" + name].type, "counter", name)
    for name, _ in table(world, "GAUGE"):
        same(before["imserv_" + name].type, "gauge", name)
    for name, _ in table(world, "HISTOGRAM"):
        same((before["imserv_%s_seconds" % name].type, before["imserv_%s_seconds" % name].unit), ("histogram", "seconds"), name)
    same({dict(labels)["pool"] for _, labels in before["imserv_pool_used"].samples}, {name for name, _ in table(world, "POOL")},
         "pools")
    same({dict(labels)["reason"] for _, labels in before["imserv_refused"].samples},
         {label for _, label in table(world, "REASON")}, "reasons")
    check(all(family.help for family in before.values()), "families without help")
    workers = {str(i) for i in range(world.workers)}
    for name in ("imserv_worker_loops", "imserv_worker_sessions", "imserv_worker_cpu_seconds", "imserv_worker_busy_ratio"):
        same({dict(labels)["worker"] for _, labels in before[name].samples}, workers, name)
    build = [dict(labels) for _, labels in before["imserv_build"].samples][0]
    same((build["mode"], build["io"]), (world.mode, world.io), "imserv_build_info")
    same((before["imserv_ready"].value(), before["imserv_draining"].value()), (1, 0), "ready")
    after = await families(world)
    for name, family in before.items():
        if family.type in ("counter", "histogram"):
            for key, value in family.samples.items():
                check(after[name].samples[key] >= value, "%s%s fell" % (name, key))
    check(after["imserv_uptime_seconds"].value() >= before["imserv_uptime_seconds"].value(), "time goes back")
    check(after["imserv_http_requests"].value("_total") > before["imserv_http_requests"].value("_total"), "requests are not counted")


@scenario()
async def histograms_are_fed(world):
    """A request that is answered is one in imserv_sip_transaction, each chunk one in imserv_chunk_switch, and a message
    of several chunks one in imserv_msrp_messages; a binding is committed by the store."""
    def count(found, name):
        return found["imserv_%s_seconds" % name].value("_count")
    before = await families(world)
    sa, sb = await world.session()
    await sa.send("12345")
    await sb.receive()
    await sb.send("x" * 10000, chunk=2048)
    await sa.receive()
    found = await until(world, lambda now: now["imserv_msrp_messages"].value("_total") ==
                        before["imserv_msrp_messages"].value("_total") + (4 if world.ims else 2) and
                        count(now, "chunk_switch") == now["imserv_msrp_chunks"].value("_total"))
    check(count(found, "chunk_switch") >= count(before, "chunk_switch") + 6, "chunks")
    check(count(found, "sip_transaction") > count(before, "sip_transaction"), "transactions")
    for name in ("sip_transaction", "chunk_switch"):
        check(found["imserv_%s_seconds" % name].value("_sum") > before["imserv_%s_seconds" % name].value("_sum"), "sum of " + name)
    if not world.ims:
        check(count(found, "store_commit") > 0, "commits")
        same(count(found, "store_commit"), found["imserv_store_commits"].value("_total"), "commits")
    same(sum(value for (suffix, _), value in found["imserv_worker_chunks"].samples.items()),
         found["imserv_msrp_chunks"].value("_total"), "chunks of all workers")
    await sa.hang_up()
    await sb.wait_bye()


@scenario()
async def dashboard_page(world):
    """/ is one page that loads nothing and that lets nothing run but what it came with; no answer permits another site to
    read it, and nothing sets a cookie."""
    status, fields, body = await world.server.get("/")
    same((status, fields["content-type"], fields["x-content-type-options"], fields["cache-control"]),
         (200, "text/html; charset=utf-8", "nosniff", "no-store"), "/")
    policy = dict(part.split(" ", 1) for part in fields["content-security-policy"].split("; "))
    same((policy["default-src"], policy["connect-src"], policy["frame-ancestors"], policy["base-uri"], policy["form-action"]),
         ("'none'", "'self'", "'none'", "'none'", "'none'"), "policy")
    text = body.decode()
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        found = re.findall("<%s>(.*?)</%s>" % (tag, tag), text, re.S)
        same(["'sha256-%s'" % base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in found],
             [policy[directive]], directive)
    same(re.findall(r"<%s [^>]*>|\bstyle=|\bon[a-z]+=\"" % "script", text), [], "scripts and styles beside those")
    same([url for url in re.findall(r"""(?:src|href|action)=["']([^"']+)""", text) if not url.startswith("data:")],
         ["metrics"] * 2, "what it points to")
    check(all('"%s"' % label in text for _, label in table(world, "REASON")), "reasons without their text")
    same((await world.server.get("/", "HEAD"))[1]["content-length"], str(len(body)), "HEAD")
    for path in ("/", "/metrics", "/livez", "/readyz", "/nothing"):
        _, fields, _ = await http_get(world.server.ready.http, path, headers=[("Origin", "http://elsewhere.org")])
        same([name for name in fields if name.startswith("access-control-") or name == "set-cookie"], [], path)
        same(fields["cross-origin-resource-policy"], "same-origin", path)


async def ask(address, *lines, body=b""):
    """The status of a request written by hand."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return int((await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)).split()[1])
    finally:
        writer.close()


def read_token(world):
    with open(world.server.token_file) as file:
        return "Authorization: Bearer " + file.read().strip()


WILDCARD = ('[{proto: udp, address: "127.0.0.1:0"}, {proto: tcp, address: "127.0.0.1:0"}, {proto: msrp, address: "127.0.0.1:0"},'
            ' {proto: http, address: "0.0.0.0:0"}]')
IPV6 = WILDCARD.replace("0.0.0.0", "[::1]")


@scenario(modes=("standalone",), own={"listen": WILDCARD, "core.authenticate": "digest"}, once=True)
async def api_by_host(world):
    """The API answers by an address of the listener only, on a wildcard listener by the one that was called; a name that
    points here, an Origin, two answers to one question, or none are refused before the token is looked at, and counted."""
    port = world.server.ready.http[1]
    token, here = read_token(world), "Host: 127.0.0.1:%d" % port
    get = "GET /api/v1/status HTTP/1.1"
    absolute = "GET http://127.0.0.1:%d/api/v1/status HTTP/1.1" % port
    cases = (
        ((get, here, token), 200, "as it should be"),
        ((get.replace("1.1", "1.0"), here, token), 200, "HTTP/1.0"),
        ((absolute, here, token), 200, "an absolute target"),
        ((absolute, "Host: elsewhere.org", token), 200, "an absolute target, for which Host does not matter"),
        ((absolute.replace("127.0.0.1", "elsewhere.org"), here, token), 403, "an absolute target elsewhere"),
        ((get, "Host: 127.0.0.2:%d" % port, token), 403, "an address of the machine that was not called"),
        ((get, "Host: 0.0.0.0:%d" % port, token), 403, "the wildcard"),
        ((get, "Host: localhost:%d" % port, token), 403, "a name"),
        ((get, "Host: 127.0.0.1.elsewhere.org:%d" % port, token), 403, "a name that begins like the address"),
        ((get, "Host: 0177.0.0.1:%d" % port, token), 403, "the address in octal"),
        ((get, "Host: 2130706433:%d" % port, token), 403, "the address as one number"),
        ((get, "Host: me@127.0.0.1:%d" % port, token), 403, "with a user"),
        ((get, "Host: [127.0.0.1]:%d/" % port, token), 403, "with a path"),
        ((get, "Host: 127.0.0.1:0%d" % (port + 1), token), 403, "another port"),
        ((get, "Host: [::ffff:127.0.0.1]:%d" % port, token), 403, "as IPv6"),
        ((get, "Host:", token), 403, "an empty Host"),
        ((get.replace("1.1", "1.0"), token), 403, "HTTP/1.0 without Host"),
        ((get, token), 400, "HTTP/1.1 without Host"),
        ((get, here, "Host: elsewhere.org", token), 400, "two Hosts"),
        ((get, here, here, token), 400, "one Host twice"),
        ((get, here, token, "Origin: http://127.0.0.1:%d" % port), 403, "an Origin, were it our own"),
        ((get, here, token, "Origin: null"), 403, "no particular Origin"),
        ((get, here, token, "Origin:"), 403, "an empty Origin"),
        ((get, here, token, "Origin : http://elsewhere.org"), 400, "a space before the colon"),
        ((get, here, token, "X: y", " Origin: http://elsewhere.org"), 400, "an Origin in a folded line"),
        ((get, here, token, "Authorization: Bearer x"), 400, "two tokens"),
        ((get, here), 401, "no token"),
        ((get, here, token + "0"), 401, "a token too long"),
        ((get, here, token[:-1]), 401, "a token too short"),
        ((get, here, token.replace("Bearer", "Basic")), 401, "another scheme"),
        ((get, here, "Authorization: Bearer"), 401, "the scheme alone"),
        (("OPTIONS /api/v1/status HTTP/1.1", here, "Origin: http://elsewhere.org", "Access-Control-Request-Method: GET"), 403,
         "a browser that asks whether it may"),
        (("POST /api/v1/reload HTTP/1.1", here, token, "Content-Length: 3", "Transfer-Encoding: chunked"), 400, "two lengths"),
        (("GET /api%2Fv1/status HTTP/1.1", here), 401, "the path escaped"),
        (("GET /livez HTTP/1.1", "Host: elsewhere.org"), 200, "/livez by any name"),
        (("GET /metrics HTTP/1.1", "Host: prometheus.example.org:9090"), 200, "/metrics by any name"),
        (("GET / HTTP/1.1", "Host: imserv.example.org"), 200, "the dashboard by any name"),
    )
    before = await world.server.metrics()
    for lines, status, what in cases:
        same(await ask(("127.0.0.1", port), *lines), status, what)
    after = await world.server.metrics()
    gained = {reason: after.values['imserv_refused_total{reason="%s"}' % reason] -
              before.values['imserv_refused_total{reason="%s"}' % reason]
              for reason in ("http_head", "http_host", "http_origin", "http_token")}
    counted = {status: len([1 for _, code, _ in cases if code == status]) for status in (400, 401)}
    same((gained["http_head"], gained["http_token"]), (counted[400], counted[401]), "counted")
    same(gained["http_origin"], 4, "Origins counted")
    same(gained["http_host"] + gained["http_origin"], len([1 for _, code, _ in cases if code == 403]), "403s counted")
    await world.server.logged("reason=http_host peer=127.0.0.1")


@scenario(modes=("standalone",), own={"listen": IPV6}, once=True)
async def api_by_host_ipv6(world):
    """A listener of IPv6: its address in brackets, however it is written."""
    if not has_ipv6():
        raise Skip("no IPv6 here")
    host, port = world.server.ready.http
    same(host, "::1", "ready line")
    token, get = read_token(world), "GET /api/v1/status HTTP/1.1"
    for name, status in (("[::1]:%d" % port, 200), ("[0:0:0:0:0:0:0:1]:%d" % port, 200), ("[::1]", 200), ("::1", 403),
                         ("[::1]:%d" % (port + 1), 403), ("[::2]:%d" % port, 403), ("[::1:%d" % port, 403),
                         ("127.0.0.1:%d" % port, 403), ("[::1%%lo]:%d" % port, 403), ("localhost:%d" % port, 403)):
        same(await ask((host, port), get, "Host: " + name, token), status, name)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
        return True
    except OSError:
        return False


@scenario(modes=("standalone",), own={}, once=True)
async def many_readers(world):
    """Sixteen connections of one address at a time, whatever they do not send; nonsense and too much of it are answered
    or closed; then the next is served."""
    address, held = world.server.ready.http, []
    try:
        for _ in range(16):
            held.append(await asyncio.open_connection(*address))
            held[-1][1].write(b"GET /livez HT")
        for _ in range(100):  # those of before may still be leaving
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                refused = not await asyncio.wait_for(reader.read(1), 10)
            except ConnectionError:
                refused = True
            writer.close()
            if refused:
                break
        check(refused, "the seventeenth was served")
    finally:
        for _, writer in held:
            writer.close()
    for octets in (b"hello\r\n\r\n", b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 40000), b"\0" * 5000 + b"\r\n\r\n",
                   b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                   b"GET /livez HTTP/7.5\r\nHost: x\r\n\r\n",
                   b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        for _ in range(100):
            try:
                reader, writer = await asyncio.open_connection(*address)
                writer.write(octets)
                answer = await asyncio.wait_for(reader.read(), 15)
                writer.close()
                break
            except ConnectionError:
                answer = b""
                break
        check(answer[:12] != b"HTTP/1.1 200", "%r: %r" % (octets[:30], answer[:40]))
    same((await world.server.get("/livez"))[0], 200, "/livez")
    status, answer = await world.server.api("GET", "status")
    same(status, 200, "status: %s" % json.dumps(answer)[:80])
