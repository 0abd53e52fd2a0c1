"""Documents of groups as they take effect: changes count from the answer on, and outlive the process (design.md 10;
7.2.2.3, 7.2.2.8)."""
from documents import GROUPS, Xcap
from lists import MAY, MEMBERS, group, receive, rules
from registrar import reconnect
from ua import check, same, sip
from world import DOMAIN, scenario


LISTS = "xmlns(rl=urn:ietf:params:xml:ns:resource-lists)"


async def message(sender, uri, status):
    same((await sender.ask("MESSAGE", uri, body=b"hello", content_type="text/plain")).status, status, "MESSAGE to " + uri)


@scenario()
async def group_document_changes(world):
    """Each change of a group's document counts for the next request: members, rules, the name, the document itself;
    by whichever worker it comes."""
    alice, bob, carol, dave = [await world.client(name) for name in ("alice", "bob", "carol", "dave")]
    name = "group" + sip.token(6).lower()
    x = Xcap(world, alice.uri)
    await message(alice, "sip:%s@%s" % (name, DOMAIN), 404)  # it is not kept that there was none
    uri = await group(world, alice, name, [alice, bob], rules((MEMBERS, MAY)))
    await message(alice, uri, 202)
    await receive(bob)
    await x.put(GROUPS, name, '<rl:entry uri="%s"/>' % carol.uri, 201, node="group/list-service/list/rl:entry[3]", query=LISTS)
    await message(alice, uri, 202)
    await receive(bob)
    await receive(carol)
    await x.put(GROUPS, name, "sip:%s-2@%s" % (name, DOMAIN), 200, node="group/list-service/@uri")
    await message(alice, uri, 404)
    await message(alice, "sip:%s-2@%s" % (name, DOMAIN), 202)
    await receive(bob)
    await receive(carol)
    await x.put(GROUPS, name, dave.uri, 200, node="group/list-service/list/rl:entry[1]/@uri", query=LISTS)
    await message(alice, "sip:%s-2@%s" % (name, DOMAIN), 403)
    await x.delete(GROUPS, name, 200)
    await message(alice, "sip:%s-2@%s" % (name, DOMAIN), 404)
    for user in (alice, bob, carol, dave):
        await user.quiet(0.05)


@scenario(own={}, once=True)
async def groups_outlive_the_process(world):
    """After a restart a group is what it was, and its name is nobody else's; one read serves many requests."""
    alice, bob = await world.pair()
    names = ["group" + sip.token(6).lower() for _ in range(3)]
    uris = [await group(world, alice, name, [alice, bob], rules((MEMBERS, MAY))) for name in names]
    await world.server.restart(True)
    for user in (alice, bob):
        await reconnect(user)
        await user.register()
    x = Xcap(world, bob.uri)
    for uri in uris:
        error, _ = await x.put(GROUPS, "mine", '<group xmlns="urn:oma:xml:poc:list-service"><list-service uri="%s"/></group>' % uri,
                               409)
        same(error, "uniqueness-failure", "PUT of a name that another has")
        for _ in range(3):
            await message(alice, uri, 202)
            await receive(bob)
    metrics = await world.server.metrics()
    same(metrics.sum("imserv_group_reads_total"), 3, "groups read from the store")
    same(metrics.sum("imserv_groups"), 3, "groups kept")
    check((await x.get(GROUPS, names[0]))[0] == 404, "bob has documents of alice's")


@scenario(own={"limits.xml_bytes": "2MiB"}, once=True)
async def group_of_ten_thousand(world):
    """A document with 10 000 members is stored, read again after a restart, and says of each who he is."""
    alice, bob, eve = [await world.client(name) for name in ("alice", "bob", "eve")]
    name = "group" + sip.token(6).lower()
    nobody = ["sip:nobody%d@%s" % (i, DOMAIN) for i in range(9999)]
    uri = await group(world, alice, name, nobody + [bob.uri], rules((MEMBERS, {"allow-conference-state": "true"}),
                                                                      ("<cp:identity><cp:one id=\"%s\"/></cp:identity>" % alice.uri, MAY)))
    await message(eve, uri, 403)
    await message(bob, uri, 403)
    await world.server.restart(True)
    for user in (bob, eve):
        await reconnect(user)
    before = await world.server.metrics()
    await message(bob, uri, 403)
    await message(eve, uri, 403)
    after = await world.server.metrics()
    read = after.sum("imserv_group_reads_total") - before.sum("imserv_group_reads_total")
    same(read, 2, "reads: once to learn how large it is")
