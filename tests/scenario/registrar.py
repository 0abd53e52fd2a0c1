"""The registrar of standalone mode: several contacts, their order in time, Path and outbound flows, and
what is left of all that when a connection, the server or the disk goes (RFC 3261 10.3, 3327, 5626)."""
import asyncio
import os
import resource

from registration import bindings
from ua import REQ, agent, check, same, sip
from ua.server import run_command
from world import DOMAIN, scenario

ALONE = ("standalone",)


async def register(user, contacts, expires=600, **more):
    """REGISTER with these Contact values."""
    request = user.build("REGISTER", "sip:" + user.domain, **more)
    request.put("To", "<%s>" % user.uri)
    request.remove("Contact")
    for contact in contacts:
        request.add("Contact", contact)
    if expires is not None:
        request.put("Expires", str(expires))
    return await user.start(request).final()


async def listed(user):
    response = await user.register(None, without=("Contact",))
    same(response.status, 200, "query")
    return bindings(response)


async def new_client(world, name="alice"):
    user = await world.client(name, register=False)
    return user, user.endpoint.uri(user.name)


@scenario(modes=ALONE)
async def several_contacts(world):
    """All are listed with q, parameters and remaining expiry; each can be refreshed and removed alone."""
    alice, own = await new_client(world)
    other = "sip:%s@192.0.2.7:5070" % alice.name
    response = await register(alice, ["<%s>;q=0.7;+g.oma.sip-im" % own, "<%s>;q=0.2;expires=300" % other])
    same(response.status, 200, "two contacts")
    found = bindings(response)
    same(sorted(found), sorted([own, other]), "contacts of the 200")
    same((found[own]["q"], int(found[own]["expires"]), "+g.oma.sip-im" in found[own]), ("0.7", 600, True), "own")
    same((found[other]["q"], int(found[other]["expires"])), ("0.2", 300), "other")
    check(response.get("Date", "").endswith(" GMT"), "Date %r" % response.get("Date"))
    response = await register(alice, ["<%s>;q=0.2" % other], 900)
    found = bindings(response)
    same((len(found), int(found[other]["expires"])), (2, 900), "refresh of one")
    check(int(found[own]["expires"]) <= 600, "the other keeps its time")
    response = await register(alice, ["<%s>;expires=0" % own], None)
    same(list(bindings(response)), [other], "removal of one")
    response = await register(alice, ["*"], 0)
    same((response.status, bindings(response)), (200, {}), "removal of all")


@scenario(modes=ALONE)
async def equal_uris_are_one_contact(world):
    """URIs are compared as RFC 3261 19.1.4 says, not by their text."""
    alice, _ = await new_client(world)
    await register(alice, ["<sip:%s@EXAMPLE.net:5060;transport=tcp;x=1>" % alice.name])
    response = await register(alice, ["<sip:%s@example.net:5060;x=1;Transport=TCP>" % alice.name])
    same(len(bindings(response)), 1, "contacts")


@scenario(modes=ALONE)
async def all_or_nothing(world):
    """One Contact that is wrong or too brief refuses the whole REGISTER."""
    alice, own = await new_client(world)
    for wrong, status in (("<mailto:alice@example.net>", 400), ("<sip:a@192.0.2.1>;expires=5", 423),
                          ("*", 400), ("<sip:%s@192.0.2.1>" % ("x" * 600), 400)):
        response = await register(alice, ["<%s>" % own, wrong])
        same(response.status, status, "REGISTER with %s" % wrong[:40])
        same(await listed(alice), {}, "contacts after %s" % wrong[:40])


@scenario(modes=ALONE)
async def older_register_does_nothing(world):
    """RFC 3261 10.3 step 7: of one Call-ID only a higher CSeq takes effect; another Call-ID always does."""
    alice, own = await new_client(world)
    same_call = [("Call-ID", "one-%s" % sip.token(6))]

    async def numbered(number, expires, call=same_call):
        return (await register(alice, ["<%s>" % own], expires,
                               headers=call + [("CSeq", "%d REGISTER" % number)])).status
    same(await numbered(7, 600), 200, "CSeq 7")
    same(await numbered(6, 0), 500, "older removal")
    same(await numbered(7, 900), 500, "the same number again")
    check(int((await listed(alice))[own]["expires"]) <= 600, "what is older changed the expiry")
    star = await register(alice, ["*"], 0, headers=same_call + [("CSeq", "5 REGISTER")])
    same(star.status, 500, "older removal of all")
    same(await numbered(8, 700), 200, "CSeq 8")
    same(await numbered(1, 800, [("Call-ID", sip.token(9))]), 200, "another Call-ID")


@scenario(modes=ALONE)
async def contact_limit(world):
    """More than eight Contacts at once: 403 that says so, and nothing is changed. One after the other, the
    newest eight are kept."""
    alice, own = await new_client(world)
    many = ["<sip:%s@192.0.2.%d>" % (alice.name, i) for i in range(1, 10)]
    response = await register(alice, many)
    same(response.status, 403, "nine contacts")
    check("8 contacts" in response.get("Warning", ""), "Warning %r" % response.get("Warning"))
    same(await listed(alice), {}, "contacts")
    same((await register(alice, many[:8])).status, 200, "eight contacts")
    found = bindings(await register(alice, ["<%s>" % own]))
    same((len(found), own in found), (8, True), "a ninth later")


@scenario(modes=ALONE)
async def only_oneself(world):
    """From of somebody else: 403 (design 4, Identity). Require: pref (IM-5.3.1-4) and path are understood."""
    alice, own = await new_client(world)
    request = alice.build("REGISTER", "sip:" + DOMAIN).put("To", "<%s>" % alice.uri)
    request.put("From", "<sip:mallory@%s>;tag=%s" % (DOMAIN, sip.token(4)))
    same((await alice.start(request).final()).status, 403, "REGISTER by somebody else")
    same(await listed(alice), {}, "contacts")
    response = await register(alice, ["<%s>" % own], headers=[("Require", "pref")])
    same(response.status, 200, "Require: pref")
    response = await register(alice, ["<%s>" % own], headers=[("Require", "nonsense")])
    same((response.status, response.get("Unsupported")), (420, "nonsense"), "Require: nonsense")


@scenario(modes=ALONE, own={"domain.aliases": "[alias.example]"}, once=True)
async def names_of_one_user(world):
    """An alias of the domain, escapes, and a number as tel: or sip: are one address of record."""
    alice, bob = await world.client("alice", register=False), await world.client("bob")
    own = alice.endpoint.uri(alice.name)

    async def as_name(uri, contact):
        request = alice.build("REGISTER", "sip:" + DOMAIN)
        request.put("To", "<%s>" % uri).put("From", "<%s>;tag=%s" % (uri, sip.token(4)))
        request.put("Contact", contact).put("Expires", "600")
        return await alice.start(request).final()
    same((await as_name("sip:%s@alias.example" % alice.name, "<%s>" % own)).status, 200, "alias")
    escaped = "sip:%%%02x%s@%s:5060" % (ord(alice.name[0]), alice.name[1:], DOMAIN.upper())
    same(list(bindings(await as_name(escaped, "<%s>" % own))), [own], "escaped, in capitals, with the port")
    message = asyncio.ensure_future(bob.pager(alice, "to the home domain"))
    (await alice.expect("MESSAGE")).respond(200, "OK")
    same((await message).status, 200, "MESSAGE to the home domain")
    same((await as_name("tel:+49-30-1234", "<%s>" % own)).status, 200, "tel:")
    message = asyncio.ensure_future(bob.pager("sip:+49301234@%s;user=phone" % DOMAIN, "to the number"))
    (await alice.expect("MESSAGE")).respond(200, "OK")
    same((await message).status, 200, "MESSAGE to the number")


@scenario(modes=ALONE)
async def path(world):
    """RFC 3327: Path without Supported: path is 420; with it the 200 repeats it and requests to that
    contact carry it as Route."""
    alice, own = await new_client(world)
    bob = await world.client("bob")
    edge = ["<sip:edge2.example.net;lr>", "<sip:edge1.example.net;lr;ob>"]
    response = await register(alice, ["<%s>" % own], headers=[("Path", ", ".join(edge))])
    same((response.status, response.get("Unsupported")), (420, "path"), "Path without Supported: path")
    response = await register(alice, ["<%s>" % own], headers=[("Path", ", ".join(edge)), ("Supported", "path")])
    same((response.status, response.list("Path")), (200, edge), "Path of the 200")
    message = asyncio.ensure_future(bob.pager(alice, "by the edge"))
    server = await alice.expect("MESSAGE")
    same((server.request.list("Route"), server.request.uri), (edge, own), "Route and Request-URI of the MESSAGE")
    server.respond(200, "OK")
    same((await message).status, 200, "MESSAGE")
    session = bob.invite(alice)
    invitation = await alice.expect_invite()
    same(invitation.request.list("Route"), edge, "Route of the INVITE")
    invitation.refuse(486)
    same((await session.transaction.final()).status, 486, "INVITE")
    response = await register(alice, ["<%s>" % own], headers=[("Path", "nonsense"), ("Supported", "path")])
    same(response.status, 400, "Path that cannot be read")
    response = await register(alice, ["<%s>" % own])
    same((response.status, response.get("Path")), (200, None), "refresh without Path")
    message = asyncio.ensure_future(bob.pager(alice, "direct"))
    server = await alice.expect("MESSAGE")
    same(server.request.list("Route"), [], "Route after that")
    server.respond(200, "OK")
    await message


@scenario(modes=ALONE)
async def outbound(world):
    """RFC 5626: the same instance and reg-id is the same flow, whatever the URI; another reg-id is another;
    requests take the flow registered last."""
    alice, own = await new_client(world)
    instance = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-%012x>"' % int.from_bytes(os.urandom(4), "big")
    supported = [("Supported", "path, outbound")]

    def flow(port, reg_id):
        return "<sip:%s@192.0.2.9:%d>;reg-id=%d;%s" % (alice.name, port, reg_id, instance)
    response = await register(alice, [flow(5070, 1)], headers=supported)
    same(response.status, 200, "a flow")
    check("outbound" in response.list("Require"), "Require %r" % response.all("Require"))
    check("outbound" in response.list("Supported"), "Supported %r" % response.all("Supported"))
    response = await register(alice, [flow(5071, 1)], headers=supported)
    same(list(bindings(response)), ["sip:%s@192.0.2.9:5071" % alice.name], "the same flow from another port")
    check(instance in response.get("Contact"), "Contact %r" % response.get("Contact"))
    response = await register(alice, ["<%s>;reg-id=2;%s" % (own, instance)], headers=supported)
    same(len(bindings(response)), 2, "another flow")
    bob = await world.client("bob")
    message = asyncio.ensure_future(bob.pager(alice, "by the last flow"))
    server = await alice.expect("MESSAGE")
    same(server.request.uri, own, "contact chosen")
    server.respond(200, "OK")
    await message
    response = await register(alice, [flow(5071, 1), flow(5072, 3)], headers=supported)
    same(response.status, 400, "two flows in one REGISTER")
    response = await register(alice, [flow(5073, 0)], headers=supported)
    same(response.status, 400, "reg-id 0")
    response = await register(alice, [flow(5074, 1)], headers=supported + [("Via", alice.endpoint.via(sip.branch())
                              + ", SIP/2.0/UDP 192.0.2.9:5074;branch=z9hG4bK" + sip.token(6))])
    same(response.status, 439, "behind a proxy that does not keep flows")
    response = await register(alice, [flow(5075, 1)])
    same((response.status, response.get("Require"), len(bindings(response))), (200, None, 3),
         "a client without outbound: an ordinary contact")


@scenario(modes=ALONE, transports=("tcp", "tls"))
async def connection_ends(world):
    """A contact whose connection ended cannot be reached, until it is refreshed by a new one."""
    alice, bob = await world.pair()
    alice.flow.transport.close()
    await world.server.logged("binding-unreachable user=%s@" % alice.name)
    same((await bob.pager(alice, "to nobody")).status, 480, "MESSAGE after the end of the connection")
    await asyncio.wait_for(asyncio.shield(alice.flow.closed), 5)
    alice.flow = await alice.endpoint.flow_to(alice.outbound)
    same(list(await listed(alice)), [alice.endpoint.uri(alice.name)], "contacts")
    same((await alice.register(600)).status, 200, "refresh")
    message = asyncio.ensure_future(bob.pager(alice, "back again"))
    (await alice.expect("MESSAGE")).respond(200, "OK")
    same((await message).status, 200, "MESSAGE after the refresh")


async def reconnect(user):
    if user.endpoint.transport != "udp":
        user.flow = await user.endpoint.flow_to(user.outbound)


@scenario(modes=ALONE, own={}, settle=False)
async def restart(world):
    """Registrations outlive the process, also one that was killed: contacts, their time, and what is older
    than what. A UDP flow is the same afterwards; a connection is gone until the client is back."""
    for kill in (False, True):
        alice, bob = await world.pair()
        own = alice.endpoint.uri(alice.name)
        call = [("Call-ID", "one-%s" % sip.token(6))]
        same((await register(alice, ["<%s>;q=0.4" % own], 900, headers=call + [("CSeq", "9 REGISTER")])).status, 200,
             "registration")
        gone = await world.client("gone")
        same((await gone.register(0)).status, 200, "de-registration")
        await world.server.restart(kill)
        for user in (alice, bob, gone):
            await reconnect(user)
        found = await listed(alice)
        same(list(found), [own], "contacts after the restart")
        check(850 <= int(found[own]["expires"]) <= 900 and found[own]["q"] == "0.4", "contact %s" % found)
        same(await listed(gone), {}, "contacts of one who left before")
        response = await register(alice, ["<%s>" % own], 0, headers=call + [("CSeq", "8 REGISTER")])
        same(response.status, 500, "a REGISTER older than one before the restart")
        if world.transport != "udp":
            same((await bob.pager(alice, "to a connection that is gone")).status, 480, "MESSAGE")
            same((await alice.register(600)).status, 200, "refresh")
        message = asyncio.ensure_future(bob.pager(alice, "after the restart"))
        (await alice.expect("MESSAGE")).respond(200, "OK")
        same((await message).status, 200, "MESSAGE after the restart")


@scenario(own={}, settle=False, once=True)
async def disk_full(world):
    """What cannot be written down is refused with 503, and nothing of it is true; when there is room again
    all works as before."""
    alice, bob = await world.pair()
    late = await world.client("late", register=False)

    async def third_party(expires):
        return await world.core.third_party_register(late.uri, expires) if world.ims else await late.register(expires)
    soft, hard = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (4096, hard))
    response = await third_party(600)
    same(response.status, 503, "registration on a full disk")
    check(int(response.get("Retry-After")) > 0, "Retry-After %r" % response.get("Retry-After"))
    REQ("IM-6.2.1-3", "CR002-5.3-2")
    same((await bob.pager(late, "to nobody")).status, 480, "MESSAGE to one who was refused")
    message = asyncio.ensure_future(bob.pager(alice, "others go on"))
    (await alice.expect("MESSAGE")).respond(200, "OK")
    same((await message).status, 200, "MESSAGE between others")
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (soft, hard))
    for _ in range(40):  # the database is opened again once a second at most
        response = await third_party(600)
        if response.status == 200:
            break
        await asyncio.sleep(0.1)
    same(response.status, 200, "registration when there is room again")


@scenario(modes=ALONE, own={}, once=True)
async def second_server(world):
    """A second server on the same database ends with 1 and says why; the first goes on."""
    arguments = []
    for key in {"listen", "runtime.workers", "tls"} & set(world.server.settings):
        arguments += ["--set", "%s=%s" % (key, world.server.settings[key])]
    code, _, err = await run_command(world.server_path, *arguments, cwd=world.server.directory)
    same(code, 1, "exit code")
    check("another imservd has this database" in err, "it said %r" % err)
    check((await world.client("alice")) is not None, "the first server")


@scenario(modes=("ims",), own={}, settle=False)
async def third_party_restart(world):
    """What the core reported is still known after a restart: the expiry is stored (D1-28)."""
    alice, bob = await world.client("alice"), await world.client("bob")
    carol = await world.client("carol")
    same((await world.core.third_party_register(carol.uri, 0)).status, 200, "de-registration")
    await world.server.restart(True)
    message = asyncio.ensure_future(alice.pager(bob, "after the restart"))
    (await bob.expect("MESSAGE")).respond(200, "OK")
    same((await message).status, 200, "MESSAGE to one who was registered")
    REQ("IM-6.2.1-2", "IM-6.2.6.1-7")
    same((await alice.pager(carol, "hello")).status, 480, "MESSAGE to one who was not")


@scenario(modes=("ims",))
async def third_party_refusals(world):
    """404 for a user of another domain, 400 for an expiry that cannot be read; a de-registration of
    somebody unknown is no error (D1-28)."""
    raw = await world.raw()

    async def ask(to, *headers):
        request = world.request("REGISTER", raw, to=to, headers=[("Expires", "600"), *headers])
        return await raw.ask(request)
    same(await ask("sip:bob@elsewhere.invalid"), 404, "a user of another domain")
    same(await ask("sip:bob@" + DOMAIN, ("Expires", "soon")), 400, "Expires: soon")
    same(await ask("sip:bob@" + DOMAIN, ("To", "<nobody")), 400, "To: <nobody")
    REQ("IM-6.2.1-3", "CR002-5.3-2")
    contact = ("Contact", "<sip:scscf.core.invalid>;expires=77")
    same((await ask("sip:bob@" + DOMAIN, contact), raw.last.get("Expires")), (200, "600"), "a Contact of its own time")
    same(await ask("sip:bob@" + DOMAIN, ("Expires", "0")), 200, "Expires 0")
    same(await ask("sip:never@" + DOMAIN, ("Expires", "0")), 200, "Expires 0 for one never seen")
    same(raw.last.get("Expires"), "0", "Expires of the 200")
    REQ("IM-6.2.1-4", "CR002-5.3-3")


@scenario(modes=("ims",), own={"core.users": "provisioned"}, once=True)
async def third_party_unknown_user(world):
    """With users: provisioned a third-party REGISTER for a user nobody made is 404."""
    response = await world.core.third_party_register("sip:nobody@" + DOMAIN, 600)
    same(response.status, 404, "third-party REGISTER for nobody")
    REQ("IM-6.2.1-3")


@scenario(modes=ALONE)
async def names_that_are_no_users(world):
    """Nobody registers as a group, the factory, the history or the deferred messages: 404."""
    alice, own = await new_client(world)
    for name in ("group1", "factory", "history", "Deferred"):
        uri = "sip:%s@%s" % (name, DOMAIN)
        request = alice.build("REGISTER", "sip:" + DOMAIN).put("To", "<%s>" % uri).put("Expires", "600")
        request.put("From", "<%s>;tag=%s" % (uri, sip.token(4)))
        same((await alice.start(request).final()).status, 404, "REGISTER for %s" % uri)
