"""Digest authentication and provisioned users of standalone mode (design 4, 13; RFC 3261 22, RFC 7616, RFC 8760)."""
import asyncio

from ua import REQ, check, same, sip
from ua.digest import Login, authorization, challenges
from world import DOMAIN, scenario

DIGEST = {"core.authenticate": "digest"}
PROVISIONED = {"core.authenticate": "digest", "core.users": "provisioned"}
PASSWORD = "correct horse, battery \" \\ staple"


async def user(world, name, algorithm="SHA-256", register=True, with_domain=False):
    """A client whose user the server knows, logged in."""
    client = await world.client(name, register=False)
    status, answer = await world.server.api("PUT", "users/" + client.name, {"password": PASSWORD})
    same((status, answer["user"]), (201, "%s@%s" % (client.name, DOMAIN)), "PUT user")
    client.login = Login(client.name + ("@" + DOMAIN if with_domain else ""), PASSWORD, algorithm)
    if register:
        await log_in(client)
    return client


async def talk(world, a, b):
    sa, sb = await world.session(a, b)
    await sa.hang_up()
    await sb.wait_bye()


async def log_in(client):
    response = await client.register()
    same(response.status, 401, "REGISTER without credentials")
    client.login.learn(response)
    response = await client.register()
    same(response.status, 200, "REGISTER with credentials")


@scenario(modes=("standalone",), own=DIGEST)
async def digest_session_and_pager(world):
    """REGISTER gets 401, everything else outside dialogs 407; with credentials of either algorithm and either
    name a session and a MESSAGE go through, and no credentials reach the other side."""
    alice, bob = await user(world, "alice", "MD5"), await user(world, "bob", with_domain=True)
    login, alice.login = alice.login, None
    for method, body in (("MESSAGE", b"hello"), ("OPTIONS", b""), ("INVITE", b"")):
        response = await alice.ask(method, bob.uri, body=body)
        same(response.status, 407, "%s without credentials" % method)
        offered = challenges(response)
        same([c.algorithm for c in offered], ["SHA-256", "MD5"], "algorithms of the 407")
        for challenge in offered:
            same((challenge.realm, challenge.qop, challenge.is_stale), (DOMAIN, "auth", False), "challenge")
            check(challenge.raw["qop"] == '"auth"' and challenge.nonce and challenge.opaque, str(challenge.raw))
    alice.login = login
    same((await alice.ask("OPTIONS", bob.uri)).status, 200, "OPTIONS")
    sending = asyncio.ensure_future(alice.pager(bob, "hello"))
    message = await bob.expect("MESSAGE")
    message.respond(200)
    same((await sending).status, 200, "MESSAGE")
    for name in ("Authorization", "Proxy-Authorization"):
        check(not message.request.all(name), "%s reached bob" % name)
    # not one challenge inside the dialogs, though nothing there carries credentials
    sa, sb = await world.session(alice, bob)
    check(not any(m.all("Proxy-Authorization") for m in bob.log), "Proxy-Authorization reached bob")
    await sa.send("hi")
    await sb.receive()
    options = sa.dialog.request("OPTIONS")
    (await sb.dialog.incoming.get()).respond(200, "OK")
    same((await options.final()).status, 200, "OPTIONS in the dialog")
    await sb.hang_up()
    await sa.wait_bye()


@scenario(modes=("standalone",), own=DIGEST)
async def digest_refusals(world):
    """Wrong, malformed, moved and borrowed credentials, in the order of the checks."""
    alice, bob = await user(world, "alice"), await user(world, "bob")
    fresh, known = alice.login.challenge, alice.login
    alice.login = None
    name = "Proxy-Authorization"

    async def ask(value, status, what, stale=None, uri=bob.uri, count=1):
        response = await alice.ask("MESSAGE", uri, body=b"x", headers=[(name, value)] * 1)
        same(response.status, status, what)
        if status == 407:
            same([c.is_stale for c in challenges(response)], [bool(stale)] * 2, "stale after " + what)
        return response

    def value(**more):
        known.nc += 1
        more = dict({"user": alice.name, "password": PASSWORD, "uri": bob.uri, "nc": known.nc}, **more)
        return authorization(more.pop("challenge", fresh), more.pop("user"), more.pop("password"),
                             more.pop("method", "MESSAGE"), more.pop("uri"), **more)

    await ask(value(password="guess"), 407, "a wrong password")
    await ask(value(user="nobody"), 407, "an unknown user")
    await ask(value(user=alice.name + "@elsewhere.org"), 407, "a user of another domain")
    await ask(value(method="INVITE"), 407, "credentials of another method")
    await ask(value(uri="sip:someone@" + DOMAIN), 400, "credentials of another Request-URI")
    await ask(value(edit={"nonce": None}), 400, "no nonce")
    await ask(value(edit={"nc": "1"}), 400, "nc of one digit")
    await ask("Digest username=\"" + alice.name, 400, "an open quote")
    await ask(value(edit={"qop": None, "nc": None, "cnonce": None}), 407, "no qop")
    await ask(value(edit={"qop": "auth-int"}), 407, "auth-int")
    await ask(value(edit={"algorithm": "SHA-512-256"}), 407, "an algorithm not offered")
    await ask(value(edit={"realm": '"elsewhere.org"'}), 407, "another realm")
    await ask("Basic YWxpY2U6c2VjcmV0", 407, "another scheme")
    await ask(value(edit={"nonce": '"' + "0" * 48 + '"'}), 407, "a nonce that is not ours", stale=True)
    # REGISTER reads Authorization, nothing else does
    request = alice.build("MESSAGE", bob.uri, body=b"x", headers=[("Authorization", value())])
    same((await alice.start(request).final()).status, 407, "Authorization instead of Proxy-Authorization")
    request = alice.build("MESSAGE", bob.uri, body=b"x")
    for _ in range(9):
        request.add(name, 'Digest username="a", realm="r", nonce="n", uri="u", response="0"')
    same((await alice.start(request).final()).status, 400, "nine Proxy-Authorization")
    # alice is alice alone
    other = [("From", "<%s>;tag=%s" % (bob.uri, sip.token(4)))]
    response = await alice.ask("MESSAGE", bob.uri, body=b"x", headers=other + [(name, value())])
    same(response.status, 403, "MESSAGE of alice in bob's name")
    request = alice.build("REGISTER", "sip:" + DOMAIN)
    request.put("To", "<%s>" % bob.uri)
    request.put("Authorization", value(method="REGISTER", uri="sip:" + DOMAIN))
    same((await alice.start(request).final()).status, 403, "REGISTER of bob by alice")
    # a To tag is no ticket: anybody has the one of a 401
    challenged = await alice.ask("REGISTER", "sip:" + DOMAIN, headers=[("To", "<%s>" % alice.uri)])
    same(challenged.status, 401, "REGISTER")
    again = alice.build("REGISTER", "sip:" + DOMAIN, headers=[("To", challenged.get("To"))])
    same((await alice.start(again).final()).status, 401, "REGISTER with the To tag of a 401")
    await bob.quiet(0.05)
    refused = await world.server.metrics()
    check(refused.values['imserv_refused_total{reason="credentials"}'] >= 8, "counter of wrong credentials")
    lines = [line for line in world.server.lines if "reason=credentials" in line]
    check(any("user=" + alice.uri in line and "call_id=" in line for line in lines), "log lines %s" % lines[:3])


@scenario(modes=("standalone",), own=DIGEST)
async def digest_replay(world):
    """The same count of a nonce twice is a replay: 407 with stale, whichever worker it arrives at; the fresh nonce
    of that 407 is good. Counts that overtake each other are no replay."""
    alice, bob = await user(world, "alice"), await user(world, "bob")
    for client in (alice, bob):
        await world.scatter(client)
    same((await alice.ask("OPTIONS", bob.uri)).status, 200, "OPTIONS")
    used = alice.login.nc
    for attempt in range(8):  # other Call-IDs: other workers
        request = alice.build("OPTIONS", bob.uri)
        alice.login.authorize(request, nc=used)
        response = await alice.start(request).final()
        same((response.status, [c.is_stale for c in challenges(response)]), (407, [True, True]), "replay %d" % attempt)
    alice.login.learn(response)
    same((await alice.ask("OPTIONS", bob.uri)).status, 200, "OPTIONS with the new nonce")
    requests = [alice.build("OPTIONS", bob.uri) for _ in range(12)]
    answers = await asyncio.gather(*(alice.start(request).final() for request in reversed(requests)))
    same([a.status for a in answers], [200] * 12, "OPTIONS in the wrong order")


@scenario(modes=("standalone",), own=DIGEST)
async def digest_cancel_and_retransmission(world):
    """A challenged INVITE is acknowledged and forgotten; CANCEL and ACK are never challenged."""
    alice, bob = await user(world, "alice"), await user(world, "bob")
    login, alice.login = alice.login, None
    transaction = alice.invite(bob).transaction
    same((await transaction.final()).status, 407, "INVITE without credentials")
    alice.login = login
    session = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.ring()
    await session.transaction.provisional(180)
    same((await session.transaction.cancel().final()).status, 200, "CANCEL")
    same((await session.transaction.final()).status, 487, "INVITE")
    await invitation.server.wait_cancel()
    await talk(world, alice, bob)


@scenario(modes=("standalone",), own=PROVISIONED, once=True)
async def provisioned_users(world):
    """Who is not provisioned gets 404, after authentication; without a password nobody logs in; a deleted user is
    gone at once, a new password replaces the old one at once."""
    alice, bob = await user(world, "alice"), await user(world, "bob")
    same((await alice.pager("sip:nobody@" + DOMAIN, "x")).status, 404, "MESSAGE to an unknown name")
    login, alice.login = alice.login, None
    same((await alice.pager("sip:nobody@" + DOMAIN, "x")).status, 407, "the same without credentials")
    alice.login = login
    carol = await world.client("carol", register=False)
    same((await world.server.api("PUT", "users/" + carol.name, {}))[0], 201, "PUT user without password")
    same((await alice.pager(carol, "x")).status, 480, "MESSAGE to a user who is not there")
    carol.login = Login(carol.name, "")
    carol.login.learn(await carol.register())
    same((await carol.register()).status, 401, "REGISTER without password")
    carol.login.password = "now I have one"
    same((await world.server.api("PUT", "users/" + carol.name, {"password": carol.login.password}))[0], 200, "PUT")
    same((await carol.register()).status, 200, "REGISTER with the new password")
    same((await world.server.api("DELETE", "users/" + carol.name))[0], 200, "DELETE user")
    same((await carol.register()).status, 401, "REGISTER of a deleted user")
    await talk(world, alice, bob)


@scenario(modes=("standalone",), own={"core.users": "provisioned"}, once=True)
async def provisioned_without_digest(world):
    """Names are believed, but they must be provisioned ones."""
    alice, bob = await world.client("alice", register=False), await world.client("bob", register=False)
    same((await bob.register()).status, 404, "REGISTER of an unknown name")
    for client in (alice, bob):
        same((await world.server.api("PUT", "users/" + client.name, {}))[0], 201, "PUT user")
        same((await client.register()).status, 200, "REGISTER")
    same((await alice.pager("sip:nobody@" + DOMAIN, "x")).status, 404, "MESSAGE to an unknown name")
    mallory = await world.client("mallory", register=False)
    same((await mallory.pager(bob, "x")).status, 403, "MESSAGE of an unknown name")
    REQ("IM-6.2.2.1-2")
    advertisement = {"content_type": "application/vnd.IM.group-advertisement+xml", "body": b"<x/>"}
    same((await mallory.ask("MESSAGE", bob.uri, **advertisement)).status, 403, "advertisement of an unknown name")
    sending = alice.start(alice.build("MESSAGE", bob.uri, **advertisement))
    (await bob.expect("MESSAGE")).respond(200, "OK")
    same((await sending.final()).status, 200, "advertisement of a user")
    REQ("IM-6.2.3.8-2", "IM-6.2.4.5-2")
    await talk(world, alice, bob)
