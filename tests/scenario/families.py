"""MSRP over IPv6, beside IPv4 and for wildcard listeners: each side is named an address that it can reach (design 13)."""
from digest import PASSWORD, log_in
from network import has_ipv6
from ua import agent, certificates, check, same
from ua.digest import Login
from world import Skip, scenario

PROTOS = ("udp", "tcp", "msrp", "tls", "msrps")


def listen(*hosts, sip=None):
    """Every protocol at these addresses; SIP at others."""
    entries = ['{proto: %s, address: "%s:0"%s}' % (proto, host, ", tls: main" if proto in ("tls", "msrps") else "")
               for proto in PROTOS for host in (sip if sip and "msrp" not in proto else hosts)]
    return "[%s]" % ", ".join(entries + ['{proto: http, address: "127.0.0.1:0"}'])


def sip_ports(world):
    """(transport, is IPv6) -> port, from the ready line."""
    line = next(x for x in world.server.lines if x.startswith("imservd ready"))
    found = {}
    for entry in line.split()[2].partition("=")[2].split(","):
        transport, _, address = entry.partition(":")
        found[transport, address.startswith("[")] = int(address.partition("/")[0].rpartition(":")[2])
    return found


async def client(world, name, host, port):
    """A user who reaches the server by this address; over TLS also his MSRP is."""
    certificate = certificates.authority().lone("phone-" + name) if world.transport == "tls" else None
    user = agent.Agent(world.witness, name, (host, port), world.transport, host=host, patience=world.patience,
                       certificate=certificate)
    world.agents.append(user)
    await user.open()
    if "core.authenticate" in world.settings:   # without, no address but loopback is listened on
        same((await world.server.api("PUT", "users/" + user.name, {"password": PASSWORD}))[0], 201, "PUT user")
        user.login = Login(user.name, PASSWORD)
        await log_in(user)
    else:
        same((await user.register()).status, 200, "REGISTER from %s" % host)
    return user


async def talk(sa, sb):
    for sender, receiver in ((sa, sb), (sb, sa)):
        await sender.send("hello")
        same(bytes((await receiver.receive()).body), b"hello", "text")
        await sender.send(b"x" * 30000, chunk=2048)
        same((await receiver.receive()).length, 30000, "octets")
    await sa.hang_up()
    await sb.wait_bye()


def settings(ipv4, ipv6):
    certificate = certificates.authority().issue("both", "IP:127.0.0.1", "IP:::1")
    return {"listen": listen(ipv4, ipv6) if has_ipv6() else listen(ipv4),
            "tls": "[%s]" % certificates.settings(certificate)}


def both():
    return settings("127.0.0.1", "[::1]")


def wildcard():
    return {"core.authenticate": "digest", **settings("0.0.0.0", "[::]")}


async def sessions(world, *pairs):
    """A session for each pair of addresses, whichever side connects: the path is of the family by which SIP came."""
    ports = sip_ports(world)
    for hosts in pairs:
        alice, bob = [await client(world, name, host, ports[world.transport, ":" in host])
                      for name, host in zip(("alice", "bob"), hosts)]
        for a_setup, b_setup in (("actpass", "passive"), ("passive", "active")):
            sa, sb = await world.session(alice, bob, a_setup=a_setup, b_setup=b_setup)
            for session, host in ((sa, hosts[0]), (sb, hosts[1])):
                check("//%s:" % ("[%s]" % host if ":" in host else host) in session.leg.remote[0],
                      "path %s for %s" % (session.leg.remote[0], host))
            await talk(sa, sb)


def sip_by_ipv4():
    hosts = ("127.0.0.1", "[::1]") if has_ipv6() else ("127.0.0.1",)
    return {**both(), "listen": listen(*hosts, sip=("127.0.0.1",))}


@scenario(transports=("udp", "tcp"), own=sip_by_ipv4)
async def msrp_by_another_family(world):
    """SIP comes by IPv4, from a core for instance, the caller's path is of IPv6: so is the one that he is named. What the
    other side has is not known before its answer."""
    if not has_ipv6():
        raise Skip("no ::1 here")
    certificate = certificates.authority().lone("phone") if world.transport == "tls" else None
    outbound = (world.core.endpoint.host, world.core.endpoint.port) if world.ims else world.sip_address
    users = []
    for name, host in (("alice", "::1"), ("bob", "127.0.0.1")):
        user = agent.Agent(world.witness, name, outbound, world.transport, patience=world.patience, certificate=certificate)
        world.agents.append(user)
        user.msrp.host = host
        await user.open()
        same((await user.register()).status, 200, "REGISTER")
        users.append(user)
    for a_setup in ("actpass", "passive"):
        sa, sb = await world.session(*users, a_setup=a_setup)
        check("//[::1]:" in sa.leg.remote[0], "path %s for ::1" % sa.leg.remote[0])
        check("//127.0.0.1:" in sb.leg.remote[0], "path %s for 127.0.0.1" % sb.leg.remote[0])
        await talk(sa, sb)
    sa, sb = await world.session(*reversed(users), b_setup="passive")   # the server connects to ::1
    await talk(sa, sb)


@scenario(modes=("standalone",), transports=("udp", "tcp"), own=both)
async def ipv4_and_ipv6(world):
    """Two listeners: who came by IPv4 is named an IPv4 path, who came by IPv6 an IPv6 one; msrps too."""
    if not has_ipv6():
        raise Skip("no ::1 here")
    await sessions(world, ("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("::1", "::1"))


@scenario(modes=("standalone",), transports=("udp", "tcp"), own=wildcard)
async def wildcard_listeners(world):
    """A listener of every address names the one that the peer is answered from."""
    await sessions(world, ("127.0.0.1", "127.0.0.1"), *([("127.0.0.1", "::1"), ("::1", "::1")] if has_ipv6() else []))
