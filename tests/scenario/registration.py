"""Registration: registrar in standalone mode, third-party REGISTER in ims mode (6.2.1)."""
from ua import REQ, check, same, sip
from world import DOMAIN, scenario


def bindings(response):
    return {sip.address(c)[1]: sip.address(c)[2] for c in response.list("Contact")}


@scenario(modes=("standalone",))
async def register_query_deregister(world):
    """A binding is made, listed with its expiry, refreshed, and removed by Expires 0."""
    alice = await world.client("alice", register=False)
    own = alice.endpoint.uri(alice.name)
    response = await alice.register(600)
    same(response.status, 200, "REGISTER")
    listed = bindings(response)
    check(own in listed, "binding %s in %s" % (own, listed))
    same(int(listed[own]["expires"]), 600, "granted expiry")
    query = await alice.register(None, without=("Contact",))
    same((query.status, list(bindings(query))), (200, [own]), "query")
    check(590 <= int(bindings(query)[own]["expires"]) <= 600, "remaining expiry %s" % query.all("Contact"))
    again = await alice.register(700)
    same((again.status, len(bindings(again))), (200, 1), "refresh")
    gone = await alice.register(0)
    same((gone.status, gone.list("Contact")), (200, []), "de-registration")
    query = await alice.register(None, without=("Contact",))
    same((query.status, query.list("Contact")), (200, []), "query after de-registration")


@scenario(modes=("standalone",))
async def register_contact_expires_and_star(world):
    """The Contact parameter wins over Expires; `Contact: *` with Expires 0 removes everything, with
    another expiry it is a bad request (RFC 3261 10.3); without any the default is 3600 s."""
    alice = await world.client("alice", register=False)
    own = alice.endpoint.uri(alice.name)
    response = await alice.register(600, headers=[("Contact", "<%s>;expires=300" % own)])
    same(int(bindings(response)[own]["expires"]), 300, "expires parameter")
    response = await alice.register(None)
    same(int(bindings(response)[own]["expires"]), 3600, "default expiry")
    bad = await alice.register(60, headers=[("Contact", "*")])
    same(bad.status, 400, "Contact: * with Expires 60")
    gone = await alice.register(0, headers=[("Contact", "*")])
    same((gone.status, gone.list("Contact")), (200, []), "Contact: * with Expires 0")


@scenario(modes=("standalone",))
async def register_too_brief(world):
    """An expiry under 60 s: 423 with Min-Expires; at 60 s it is accepted."""
    alice = await world.client("alice", register=False)
    response = await alice.register(59)
    same((response.status, response.get("Min-Expires")), (423, "60"), "REGISTER for 59 s")
    same((await alice.register(60)).status, 200, "REGISTER for 60 s")


@scenario(modes=("standalone",))
async def register_foreign_domain(world):
    """REGISTER for a domain that is not ours: 404."""
    alice = await world.client("alice", register=False)
    request = alice.build("REGISTER", "sip:elsewhere.invalid")
    request.put("To", "<sip:alice@elsewhere.invalid>").put("Expires", "600")
    request.put("From", "<sip:alice@elsewhere.invalid>;tag=" + sip.token(4))
    same((await alice.start(request).final()).status, 404, "REGISTER for elsewhere.invalid")


@scenario(modes=("standalone",))
async def deregistered_user_is_offline(world):
    """After de-registration a MESSAGE finds nobody: 480."""
    alice, bob = await world.pair()
    same((await bob.register(0)).status, 200, "de-registration")
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE to de-registered user")
    await bob.quiet(0.1)


@scenario(modes=("ims",))
async def third_party_register(world):
    """200 OK carries the Expires received; Expires 0 de-registers (6.2.1)."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    for expires in (600, 1800):
        response = await world.core.third_party_register(bob.uri, expires)
        same(response.status, 200, "third-party REGISTER")
        REQ("IM-6.2.1-1", "IM-6.2.1-3", "CR002-5.3-1", "CR002-5.3-2", "IM-C-3")
        same(response.get("Expires"), str(expires), "Expires of the 200")
        REQ("IM-6.2.1-4", "CR002-5.3-3")
    response = await world.core.third_party_register(bob.uri, 600, request_uri="sip:as.core.invalid;lr")
    same(response.status, 200, "third-party REGISTER to the name the core has for us")
    response = await world.core.third_party_register(bob.uri, 0)
    same((response.status, response.get("Expires")), (200, "0"), "third-party de-registration")
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE to de-registered user")
    REQ("IM-6.2.1-2", "IM-6.2.6.1-7")


@scenario(modes=("ims",), own={"core.trusted": '["127.0.0.1/32"]'}, once=True)
async def untrusted_peer(world):
    """From a peer that is not in core.trusted everything is refused with 403, even with a
    P-Asserted-Identity (D2-53)."""
    stranger = await world.raw(host="127.0.0.9")
    for method in ("REGISTER", "MESSAGE", "INVITE"):
        request = world.request(method, stranger)
        same(await stranger.ask(request), 403, "%s from an untrusted peer" % method)
    REQ("IM-5.2-9", "IM-6.2.1-3", "IM-12.1-1", "IM-12.1.1-1", "IM-12.1.1-3")
    check(not stranger.last.all("Warning"), "403 discloses policy: %s" % stranger.last.all("Warning"))
    await world.normal_session()


@scenario(modes=("ims",))
async def register_malformed(world):
    """A third-party REGISTER that cannot be read: 400."""
    raw = await world.raw()
    request = world.request("REGISTER", raw, to="sip:bob@" + DOMAIN, headers=[("To", "<nobody"), ("Expires", "600")])
    same(await raw.ask(request), 400, "To: <nobody")
