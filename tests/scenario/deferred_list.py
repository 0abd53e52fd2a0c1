"""What waits for a user, as a document of XCAP, in the admin API and by imservctl; and deleting it without its being
delivered (4.2.3, design 10, 13)."""
import asyncio
import json
import xml.etree.ElementTree as ElementTree

from documents import Xcap
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

DEFER = {"policy.offline_pager": "defer"}
AUID, NAMESPACE = "org.openmobilealliance.deferred-list", "urn:imserv:deferred-list"
STORE_HOST = "store.example.com"


async def defer(sender, user, subject, *headers):
    request = sender.build("MESSAGE", user.uri, body=b"secret words", content_type="text/plain",
                           headers=[("Subject", subject), *headers])
    same((await sender.start(request).final()).status, 202, "MESSAGE to a user who is away")


async def entries(x):
    got, fields, body = await x.get(AUID, "index")
    same(got, 200, "GET of the list")
    root = ElementTree.fromstring(body)
    same(root.tag, "{%s}deferred-list" % NAMESPACE, "root")
    check("secret words" not in body, "the list has content")
    same(int(root.get("messages")), len(root), "count")
    return list(root), fields["etag"]


@scenario(own=DEFER)
async def deferred_list_is_read(world):
    """One entry a message, the oldest first, with what message-summary tells; nothing of who hides; strange octets
    of a Subject break neither XML nor JSON."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    x = Xcap(world, bob.uri)
    found, empty = await entries(x)
    same(found, [], "an empty mailbox")
    await defer(alice, bob, "lunch", ("Priority", "urgent"))
    await defer(alice, bob, "a <b> & \"c\" 'd' \u2603")
    await defer(alice, bob, "hidden", ("Privacy", "id"))
    found, etag = await entries(x)
    check(etag != empty, "the same ETag")
    same([e.get("subject") for e in found[:2]], ["lunch", "a <b> & \"c\" 'd' \u2603"], "subjects")
    same(len(found), 3, "entries")
    same([e.get("priority") for e in found], ["urgent", None, None], "priorities")
    for e in found:
        same((e.get("type"), e.get("size"), len(e.get("uri"))), ("pager", "12", len("sip:@") + 26 + len(STORE_HOST)), "entry")
        same(sip.address(e.get("to"))[1], bob.uri, "to")
        check(e.get("received") < e.get("expires") and e.get("date").endswith("GMT"), str(e.attrib))
    same(sip.address(found[0].get("from"))[1], alice.uri, "from")
    check(found[0].get("p-asserted-identity") and alice.name not in str(found[2].attrib), "who hides: %s" % found[2].attrib)
    got, fields, body = await x.get(AUID, "index", 'deferred-list/entry[@uri="%s"]/@subject' % found[0].get("uri"))
    same((got, body), (200, "lunch"), "GET of an attribute")
    same((await x.get(AUID, "index", headers=[("If-None-Match", etag)]))[0], 304, "GET of what is known")
    same((await x.get(AUID, "other"))[0], 404, "another name")
    # the same for operators
    status, answer = await world.server.api("GET", "mailbox/" + bob.name)
    same((status, answer["messages"], answer["next"]), (200, 3, None), "GET mailbox")
    same([(i["uri"], i.get("subject"), i["urgent"], i["size"]) for i in answer["items"]],
         [(e.get("uri"), e.get("subject"), e.get("priority") == "urgent", 12) for e in found], "items")
    pages, place = [], ""
    while place is not None:
        status, page = await world.server.api("GET", "mailbox/%s?limit=1%s" % (bob.name, place and "&from=" + place))
        same(status, 200, "page")
        pages, place = pages + page["items"], page["next"]
    same(pages, answer["items"], "pages")
    code, out, _ = await world.server.ctl("mailbox", bob.uri)
    check(code == 0 and all(i["id"] in out for i in answer["items"]) and "lunch" in out, "imservctl mailbox: " + out)
    code, out, _ = await world.server.ctl("--json", "mailbox", bob.name)
    same((code, json.loads(out)["items"]), (0, answer["items"]), "imservctl --json mailbox")


@scenario(own=DEFER)
async def deferred_list_is_cut(world):
    """DELETE of an entry removes the message and nothing else; so do the API and imservctl, by String, URI and Call-ID."""
    alice, bob, eve = (await world.client("alice"), await world.client("bob", register=False),
                       await world.client("eve", register=False))
    x = Xcap(world, bob.uri)
    for i in range(6):
        await defer(alice, bob, "m%d" % i, ("Call-ID", "call%d@%s" % (i, alice.name)))
    await defer(alice, eve, "other")
    found, etag = await entries(x)
    uris = [e.get("uri") for e in found]
    node = 'deferred-list/entry[@uri="%s"]'
    await x.delete(AUID, "index", 405)
    same((await x.do("PUT", AUID, "index", "<deferred-list xmlns='%s'/>" % NAMESPACE))[0], 405, "PUT")
    for wrong, status in (("deferred-list", 409), ("deferred-list/entry[1]", 409), ("deferred-list/entry[1]/@subject", 409),
                          ("deferred-list/entry[9]", 404), (node % "sip:nobody@x", 404)):
        await x.delete(AUID, "index", status, node=wrong)
    await x.delete(AUID, "index", 412, node=node % uris[0], headers=[("If-Match", '"x"')])
    await Xcap(world, eve.uri).delete(AUID, "index", 404, node=node % uris[0])
    same([e.get("uri") for e in (await entries(x))[0]], uris, "after what was refused")
    await x.delete(AUID, "index", 200, node=node % uris[1], headers=[("If-Match", etag)])
    await x.delete(AUID, "index", 404, node=node % uris[1])
    await x.delete(AUID, "index", 200, node="deferred-list/entry[5]")
    REQ("IM-4.2.3-3")
    same([e.get("subject") for e in (await entries(x))[0]], ["m0", "m2", "m3", "m4"], "what is left")
    word = uris[2].removeprefix("sip:").partition("@")[0]
    same((await world.server.api("DELETE", "mailbox/%s/%s" % (eve.name, word)))[0], 404, "from another mailbox")
    same((await world.server.api("DELETE", "mailbox/%s/%s" % (bob.name, word)))[0], 200, "by its String")
    same((await world.server.api("DELETE", "mailbox/%s/%s" % (bob.name, word)))[0], 404, "once more")
    same((await world.server.api("DELETE", "mailbox/%s/%s" % (bob.name, uris[3])))[0], 200, "by its URI")
    last = uris[4] if world.ims else "call4@" + alice.name   # the originating pass has a Call-ID of its own
    code, out, err = await world.server.ctl("mailbox", bob.uri, "delete", last)
    same((code, out), (0, "deleted\n"), "imservctl mailbox delete: " + err)
    same((await world.server.ctl("mailbox", bob.uri, "delete", last))[0], 1, "once more")
    same([e.get("subject") for e in (await entries(x))[0]], ["m0"], "what is left")
    same(len((await entries(Xcap(world, eve.uri)))[0]), 1, "another's mailbox")


@scenario(modes=("standalone",), own=dict(DEFER, **{"http.trusted": '["127.0.0.0/8"]'}), once=True)
async def deferred_list_is_private(world):
    """Only its owner reads and cuts it."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    await defer(alice, bob, "lunch")
    uri = (await entries(Xcap(world, bob.uri)))[0][0].get("uri")
    node = 'deferred-list/entry[@uri="%s"]' % uri
    for who, status in (("sip:eve@" + DOMAIN, 403), (bob.uri, 200)):
        x = Xcap(world, bob.uri, ("X-XCAP-Asserted-Identity", '"%s"' % who))
        same((await x.get(AUID, "index"))[0], status, "GET by " + who)
        await x.delete(AUID, "index", status, node=node)
    same((await entries(Xcap(world, bob.uri)))[0], [], "what is left")


@scenario(modes=("standalone",), own=DEFER)
async def deferred_list_is_cut_under_delivery(world):
    """A message that is on its way to a client when its owner deletes it is gone once the client answered, whatever it
    answered; the next one is delivered as if nothing had been."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False, feature_tag=False)
    for subject in ("first", "second"):
        await defer(alice, bob, subject)
    x = Xcap(world, bob.uri)
    found, _ = await entries(x)
    same((await bob.register()).status, 200, "REGISTER")
    under_way = await bob.expect("MESSAGE")
    same(under_way.request.get("Subject"), "first", "what is under way")
    await x.delete(AUID, "index", 200, node='deferred-list/entry[@uri="%s"]' % found[0].get("uri"))
    under_way.respond(415)   # else it would stay, and come again
    following = await bob.expect("MESSAGE")
    same(following.request.get("Subject"), "second", "what follows")
    following.respond(200)
    end = asyncio.get_running_loop().time() + 15
    while (await entries(x))[0]:
        check(asyncio.get_running_loop().time() < end, "something is left")
        await asyncio.sleep(0.05)
    same((await bob.register()).status, 200, "REGISTER again")
    await bob.quiet(0.2)
