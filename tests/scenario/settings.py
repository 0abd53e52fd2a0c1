"""Settings that a user publishes (RFC 3903, RFC 4354; 6.2.5, CR002 6.1.1.5, Appendix E): what is a publication, how
it lives, what it bars, and what is refused in which order (F35)."""
import asyncio
import resource

from registrar import reconnect
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

TYPE = "application/poc-settings+xml"
POC = "urn:oma:params:xml:ns:poc:poc-settings"
SERVICE = "urn:oma:params:xml:ns:service-settings"
ELEMENTS = {"session_barring": ("isb-settings", "incoming-session-barring"),
            "pager_barring": ("ipab-settings", "incoming-personal-alert-barring"),
            "offline_delivery": ("ss:deferred-settings", "ss:offline-delivery"),
            "visible": ("ss:vis-settings", "ss:vis-status"),
            "history": ("ss:hist-settings", "ss:hist-activation")}

# Appendix E.1.2, as printed: blanks between namespaces, visibility-status
EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>

   <poc-settings xmlns="urn:oma:params:xml:ns:poc:poc-settings"



xmlns:ss="urn:oma:params:xml:ns:service-settings">

     <entity id="do39s8zksn2d98x">

        <isb-settings service-id="IM">

          <incoming-session-barring active="true"/>

        </isb-settings>

        <ipab-settings service-id="IM">

          <incoming-personal-alert-barring active="false"/>

        </ipab-settings>

        <ss:deferred-settings service-id="IM">


<ss:offline-delivery active="true"/>

        </ss:deferred-settings>

        <ss:vis-settings service-id="IM">


<ss:visibility-status active="false"/>

        </ss:vis-settings>

        <ss:hist-settings service-id="IM">


<ss:hist-activation active="false"/>

        </ss:hist-settings>

     </entity>

   </poc-settings>
"""


def wrapped(inside):
    return '<poc-settings xmlns="%s" xmlns:ss="%s"><entity id="a1">%s</entity></poc-settings>' % (POC, SERVICE, inside)


def document(**settings):
    """session_barring=True, offline_delivery=False, ..."""
    return wrapped("".join('<%s service-id="IM"><%s active="%s"/></%s>' % (
        ELEMENTS[name][0], ELEMENTS[name][1], str(on).lower(), ELEMENTS[name][0]) for name, on in settings.items()))


async def publish(user, body="", expires=600, match=None, event="poc-settings", content_type=TYPE, uri=None, headers=(),
                  without=()):
    """PUBLISH; the response."""
    more = [("Accept-Contact", "*;" + sip.FEATURE_TAG), ("Event", event)]
    if expires is not None:
        more.append(("Expires", str(expires)))
    if match is not None:
        more.append(("SIP-If-Match", match))
    return await user.ask("PUBLISH", uri or user.uri, body=body.encode() if isinstance(body, str) else body,
                          content_type=content_type, headers=more + list(headers), without=without)


async def published(user, body="", expires=600, match=None):
    """The same, which must succeed; the entity-tag."""
    response = await publish(user, body, expires, match)
    same(response.status, 200, "PUBLISH")
    REQ("IM-6.2.5-6", "CR002-6.1.1.5-6")
    same(response.get("Expires"), str(3600 if expires is None else expires), "Expires of the 200")
    check(response.get("SIP-ETag"), "200 without SIP-ETag")
    return response.get("SIP-ETag")


async def remove(user, *tags):
    for tag in tags:
        same((await publish(user, expires=0, match=tag)).status, 200, "removal")


async def call(a, b):
    """The answer to an INVITE for a session: of the server if it is one, else 486 of the client."""
    outgoing = a.invite(b)
    answer = asyncio.ensure_future(outgoing.transaction.final())
    invitation = asyncio.ensure_future(b.expect_invite())
    await asyncio.wait({answer, invitation}, return_when=asyncio.FIRST_COMPLETED)
    if invitation.done() and not answer.done():
        invitation.result().refuse(486)
    else:
        invitation.cancel()
    return (await answer).status


async def message(a, b):
    """The answer to a MESSAGE: of the server, or the client's 200."""
    sending = a.start(a.build("MESSAGE", b.uri, body=b"hello"))
    answer = asyncio.ensure_future(sending.final())
    arrived = asyncio.ensure_future(b.expect("MESSAGE"))
    await asyncio.wait({answer, arrived}, return_when=asyncio.FIRST_COMPLETED)
    if arrived.done() and not answer.done():
        arrived.result().respond(200, "OK")
    else:
        arrived.cancel()
    return (await answer).status


@scenario()
async def settings_example(world):
    """The example of E.1.2 as printed: sessions are barred, messages arrive."""
    alice, bob = await world.pair()
    tag = await published(bob, EXAMPLE)
    REQ("IM-E.1.2-8", "IM-6.2.5-5", "CR002-6.1.1.5-5")
    same(await call(alice, bob), 480, "INVITE to one who bars sessions")
    REQ("IM-6.2.6.1-1", "IM-E.1.2-3")
    same(await message(alice, bob), 200, "MESSAGE to one who bars sessions")
    same(await call(bob, alice), 486, "his own INVITE")
    await remove(bob, tag)
    same(await call(alice, bob), 486, "INVITE after the removal")


@scenario()
async def settings_life(world):
    """Initial, refresh, modify and removal; each answer has another entity-tag, and only the last one counts. A
    document without a setting unsets it; after the removal the defaults are back."""
    alice, bob = await world.pair()
    first = await published(bob, document(session_barring=True), None)
    second = await published(bob, expires=700, match=first)
    check(first != second, "the refresh has the old tag")
    same(await call(alice, bob), 480, "INVITE after the refresh")
    same((await publish(bob, match=first)).status, 412, "refresh with the tag of before")
    third = await published(bob, document(pager_barring=True), match=second)
    same(await call(alice, bob), 486, "INVITE after a document without that setting")
    REQ("IM-6.2.5-5", "CR002-6.1.1.5-5")
    fourth = await published(bob, document(session_barring="1"), match=third)
    same(await call(alice, bob), 480, "INVITE after the modification")
    response = await publish(bob, expires=0, match=fourth)
    same((response.status, response.get("Expires")), (200, "0"), "removal")
    same(await call(alice, bob), 486, "INVITE after the removal")
    for tag in (first, second, third, fourth, "nothing", "x" * 400):
        same((await publish(bob, match=tag)).status, 412, "refresh of nothing")
        REQ("IM-6.2.5-4", "CR002-6.1.1.5-4")
    same((await publish(bob, document(session_barring=True), expires=0)).status, 200, "over as soon as it began")
    same(await call(alice, bob), 486, "INVITE after that")


@scenario()
async def settings_of_several_devices(world):
    """Of two publications the last change counts, for each setting alone; a refresh is no change, and when one goes
    the other counts again (D1-27)."""
    alice, bob = await world.pair()
    phone = await published(bob, document(session_barring=True, history=False))
    laptop = await published(bob, document(session_barring=False))
    same(await call(alice, bob), 486, "INVITE: the laptop's")
    phone = await published(bob, match=phone)
    same(await call(alice, bob), 486, "INVITE after the phone's refresh")
    phone = await published(bob, document(session_barring=True), match=phone)
    same(await call(alice, bob), 480, "INVITE: the phone's")
    laptop = await published(bob, document(history=True), match=laptop)
    same(await call(alice, bob), 480, "INVITE: the laptop says nothing of it any more")
    await remove(bob, phone)
    same(await call(alice, bob), 486, "INVITE: nobody says anything of it")
    tags = [laptop] + [await published(bob, document(visible=True)) for _ in range(8)]
    same((await publish(bob, match=laptop)).status, 412, "the ninth displaces the one changed longest ago")
    await remove(bob, *tags[1:])


@scenario(own={"settings.min_expires": "1s"}, once=True)
async def settings_expire(world):
    """When a publication expires, the next one counts, then the defaults."""
    alice, bob = await world.pair()
    await published(bob, document(session_barring=True), 5)
    await published(bob, document(session_barring=False), 1)
    same((await publish(alice, document(), expires=0)).status, 200, "Expires 0 is never too brief")

    async def until(status):
        for _ in range(400):
            if await call(alice, bob) == status:
                return
            await asyncio.sleep(0.05)
        check(False, "never %d" % status)
    await until(480)
    await until(486)
    metrics = await world.server.metrics()
    same(metrics.values['imserv_pool_used{pool="publications"}'], 0, "publications that are left")


@scenario()
async def settings_refusals(world):
    """In the order of 6.2.5 and RFC 3903 6, each with what the next one would refuse too."""
    alice, bob = await world.pair()
    good = document(session_barring=True)
    wrong = {"event": "presence", "uri": bob.uri, "match": "gone", "expires": 59, "content_type": "text/plain",
             "body": "<no"}
    if world.ims:
        response = await publish(alice, **wrong, without=("Accept-Contact",))
        same(response.status, 403, "without the feature tag")
        REQ("IM-6.2.5-1", "CR002-6.1.1.5-1")
        check(not response.all("Warning"), "403 with a Warning")
    response = await publish(alice, **wrong)
    same((response.status, response.list("Allow-Events")), (489, ["poc-settings"]), "another event package")
    REQ("IM-6.2.5-2", "CR002-6.1.1.5-2")
    same((await publish(alice, **dict(wrong, event="message-summary"))).status, 489, "an event of subscriptions")
    same((await publish(alice, good, without=("Event",))).status, 489, "without Event")
    del wrong["event"]
    response = await publish(alice, **wrong)
    same(response.status, 403, "the settings of somebody else")
    REQ("IM-6.2.5-3", "CR002-6.1.1.5-3")
    same((await publish(alice, **dict(wrong, uri="sip:%s@elsewhere.invalid" % alice.name))).status, 403, "another domain")
    same((await publish(alice, **dict(wrong, uri="sip:Deferred@" + DOMAIN))).status, 403, "a function")
    del wrong["uri"]
    same((await publish(alice, **dict(wrong, match="a, b"))).status, 400, "two entity-tags")
    same((await publish(alice, **wrong)).status, 412, "an entity-tag of nothing")
    REQ("IM-6.2.5-4", "CR002-6.1.1.5-4")
    del wrong["match"]
    response = await publish(alice, **wrong)
    same((response.status, response.get("Min-Expires")), (423, "60"), "too brief")
    same((await publish(alice, **dict(wrong, expires="soon"))).status, 400, "Expires: soon")
    del wrong["expires"]
    response = await publish(alice, **wrong)
    same((response.status, response.list("Accept")), (415, [TYPE]), "another type")
    response = await publish(alice, **dict(wrong, content_type=TYPE), headers=[("Content-Encoding", "gzip")])
    same((response.status, response.list("Accept-Encoding")), (415, ["identity"]), "packed")
    del wrong["content_type"]
    same((await publish(alice, **wrong)).status, 400, "not well-formed")
    same((await publish(alice)).status, 400, "neither body nor entity-tag")
    tag = await published(alice, good, 60)
    same((await publish(alice, "<no", match=tag)).status, 400, "modification with a bad body")
    same((await publish(alice, match=tag, expires=59)).status, 423, "refresh that is too brief")
    same(await call(bob, alice), 480, "after both it is as it was")
    REQ("CR002-6.1.1.5-4")
    await remove(alice, tag)


BAD = {"no XML": "hello", "no end": "<a>", "another root": "<settings xmlns='%s'/>" % POC,
       "another namespace": "<poc-settings/>",
       "an empty element": wrapped("<isb-settings/>"), "an empty vis-settings": wrapped("<ss:vis-settings/>"),
       "an empty deferred-settings": wrapped("<ss:deferred-settings> </ss:deferred-settings>"),
       "an empty hist-settings": wrapped("<ss:hist-settings/>"),
       "active is missing": wrapped("<isb-settings><incoming-session-barring/></isb-settings>"),
       "active is not boolean": wrapped("<isb-settings><incoming-session-barring active='yes'/></isb-settings>"),
       "active in a namespace": wrapped("<isb-settings><incoming-session-barring ss:active='1'/></isb-settings>"),
       "a DTD": "<!DOCTYPE poc-settings SYSTEM 'http://127.0.0.1:9/x.dtd'>" + wrapped(""),
       "an external entity": "<!DOCTYPE poc-settings [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + wrapped("&e;"),
       "entities of entities": "<!DOCTYPE poc-settings [<!ENTITY a 'aaaaaaaaaa'>%s]>" % "".join(
           "<!ENTITY %s '%s'>" % (b, ("&%s;" % a) * 10) for a, b in zip("abcdefgh", "bcdefghi")) + wrapped("&i;"),
       "depth": wrapped("<ss:x>" * 40 + "</ss:x>" * 40),
       "attributes by the hundred": wrapped("<ss:x %s/>" % " ".join("a%d=''" % i for i in range(100))),
       "not UTF-8": wrapped("<ss:x>\xe4</ss:x>").encode("latin-1"),
       "another encoding": "<?xml version='1.0' encoding='UTF-16'?>" + wrapped("")}


@scenario()
async def settings_bad_xml(world):
    """Each is 400 with a Warning that says what is wrong, keeps nothing, and harms nobody."""
    alice, bob = await world.pair()
    for what, text in BAD.items():
        response = await publish(bob, text)
        same(response.status, 400, what)
        check(response.get("Warning", "").startswith("399 "), "%s: Warning %r" % (what, response.get("Warning")))
        if what.startswith("another root") or what == "another namespace":
            check(POC in response.get("Warning"), "%s: Warning %r" % (what, response.get("Warning")))
    REQ("IM-E.1.1-7", "IM-E.1.1-10", "IM-E.1.1-13", "IM-E.1.3-1", "IM-6.2.5-4")
    same(await call(alice, bob), 486, "INVITE")


@scenario(own={"limits.xml_bytes": "1KiB"}, once=True)
async def settings_size(world):
    """limits.xml_bytes is the size of a document: at it 200, an octet more 400."""
    bob = await world.client("bob")
    text = document(history=True)
    await remove(bob, await published(bob, text + " " * (1024 - len(text))))
    same((await publish(bob, text + " " * (1025 - len(text)))).status, 400, "an octet too many")


@scenario()
async def settings_dialects(world):
    """Whatever a client may write: service-id missing, qualified or by its other name; elements of other services and
    namespaces, which are ignored whatever they hold; vis-status beside visibility-status; order."""
    alice, bob = await world.pair()
    barring = "<isb-settings%s><incoming-session-barring active='%s'/></isb-settings>"
    for attribute, value, status in (
            ("", " 1 ", 480), (" service-id='IM'", "true", 480), (" ss:service-id='IM'", "true", 480),
            (" service-id='org.openmobilealliance:IM'", "true", 480), (" service-id='PoC'", "true", 486),
            (" service-id='im'", "true", 486), (" ss:service-id='PoC'", "true", 486), (" service-id='PoC'", "oops", 486),
            (" service-id='IM'", "0", 486), (" service-id='IM' ss:more='x'", "true", 480)):
        tag = await published(bob, wrapped(barring % (attribute, value)))
        same(await call(alice, bob), status, "INVITE with%s active=%s" % (attribute, value))
        await remove(bob, tag)
    REQ("IM-E.1.2-1", "IM-E.1.2-2", "IM-E.1.3-2")
    strange = ('<ss:vis-settings x:y="1" xmlns:x="urn:x"><x:thing><x:more/></x:thing></ss:vis-settings>'
               '<ss:deferred-settings><x:thing xmlns:x="urn:x"/></ss:deferred-settings>'
               '<ss:hist-settings><x:thing xmlns:x="urn:x"/></ss:hist-settings>'
               '<x:isb-settings xmlns:x="urn:x"/><isb-settings service-id="PoC"/>')
    tag = await published(bob, wrapped(strange + barring % ("", "true")))
    REQ("IM-E.1.1-5", "IM-E.1.1-6", "IM-E.1.1-8", "IM-E.1.1-9", "IM-E.1.1-11", "IM-E.1.1-12", "IM-E.1.3-3")
    same(await call(alice, bob), 480, "INVITE with strange neighbours")
    await remove(bob, tag)
    for text in ('<poc-settings xmlns="%s"/>' % POC, wrapped("")):
        await remove(bob, await published(bob, text))


@scenario(own={"policy.barred_code": "486", "policy.unavailable_session_code": "404"}, once=True)
async def barring_before_availability(world):
    """Who bars sessions bars them also while he is away; policy.barred_code is the answer (D1-07)."""
    alice, bob = await world.pair()
    tag = await published(bob, document(session_barring=True))
    same((await bob.register(0)).status, 200, "de-registration")
    response = await alice.invite(bob).transaction.final()
    same((response.status, response.all("Warning")), (486, []), "INVITE to one who is away and bars")
    REQ("IM-6.2.6.1-1", "IM-E.1.2-3")
    await remove(bob, tag)
    same((await alice.invite(bob).transaction.final()).status, 404, "INVITE to one who is away")


@scenario(own={"policy.offline_pager": "defer"}, once=True)
async def barred_messages(world):
    """Pager barring is for large messages too, not for sessions (CR002 5.2.4); what is barred is not deferred."""
    alice, bob = await world.pair()
    tag = await published(bob, document(pager_barring=True, session_barring=False))
    same(await message(alice, bob), 480, "MESSAGE")
    same((await alice.invite(bob, direction="sendonly", extra=["a=filesize:5"]).transaction.final()).status, 480,
         "large message")
    same(await call(alice, bob), 486, "INVITE for a session")
    REQ("IM-E.1.2-4", "IM-6.2.6.1-1")
    same((await bob.register(0)).status, 200, "de-registration")
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE to one who is away and bars")
    await remove(bob, tag)
    same((await alice.pager(bob, "hello")).status, 202, "MESSAGE to one who is away")
    same((await world.server.metrics()).sum("imserv_deferred_messages"), 1, "messages stored")


@scenario(own={}, settle=False)
async def settings_restart(world):
    """Publications outlive the process, also one that was killed: their settings and their tags."""
    for kill in (False, True):
        alice, bob = await world.pair()
        gone = await published(bob, document(history=True))
        tag = await published(bob, document(session_barring=True))
        await remove(bob, gone)
        await world.server.restart(kill)
        for user in (alice, bob) if not world.ims else ():
            await reconnect(user)
            same((await user.register()).status, 200, "REGISTER")
        same(await call(alice, bob), 480, "INVITE after the restart")
        same((await publish(bob, match=gone)).status, 412, "the tag that was removed before")
        await remove(bob, await published(bob, match=tag))
        same(await call(alice, bob), 486, "INVITE after the removal")


@scenario(modes=("ims",), own={}, settle=False, once=True)
async def settings_of_one_who_left(world):
    """Whom the core has de-registered is away, although his publication lives, also after a restart (D1-28)."""
    alice, bob = await world.pair()
    await published(bob, document(history=True))
    same((await bob.register(0)).status, 200, "de-registration")
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE")
    await world.server.restart(True)
    same((await alice.pager(bob, "hello")).status, 480, "MESSAGE after the restart")


@scenario(own={}, settle=False, once=True)
async def settings_on_a_full_disk(world):
    """What cannot be written down is refused with 503, and nothing of it is true (CR002 6.1.1.5 step 4)."""
    alice, bob = await world.pair()
    tag = await published(bob, document(session_barring=False))
    soft, hard = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (4096, hard))
    response = await publish(bob, document(session_barring=True), match=tag)
    same(response.status, 503, "PUBLISH on a full disk")
    check(int(response.get("Retry-After")) > 0, "Retry-After %r" % response.get("Retry-After"))
    same(await call(alice, bob), 486, "INVITE after what was refused")
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (soft, hard))
    for _ in range(100):  # the database is opened again once a second at most
        response = await publish(bob, document(session_barring=True), match=tag)
        if response.status == 200:
            break
        await asyncio.sleep(0.1)
    same(response.status, 200, "PUBLISH when there is room again")
    same(await call(alice, bob), 480, "INVITE after it")


@scenario(modes=("standalone",), own={"core.authenticate": "digest"}, once=True)
async def settings_need_a_password(world):
    """Without credentials 401, as of a registrar (RFC 3261 22.2)."""
    raw = await world.raw()
    request = world.request("PUBLISH", raw, "sip:bob@" + DOMAIN, sender="sip:bob@" + DOMAIN,
                            headers=[("Event", "poc-settings"), ("Contact", "")], without=("Contact",))
    same(await raw.ask(request), 401, "PUBLISH without credentials")
    check("Digest" in raw.last.get("WWW-Authenticate", ""), "no challenge")


@scenario(modes=("ims",))
async def settings_instead_of_third_party_register(world):
    """A user for whom the core never registered counts as registered while his publication lives (D1-28); the
    publisher may be asserted by two identities."""
    alice = await world.client("alice")
    raw, name = await world.raw(), "sip:quiet-%s@%s" % (sip.token(6), DOMAIN)
    core = [("Event", "poc-settings"), ("Accept-Contact", "*;" + sip.FEATURE_TAG),
            ("P-Asserted-Identity", "<tel:+491234>, <%s>" % name), ("Route", "<sip:%s:%d;lr;orig>" % world.sip_address)]
    same((await alice.pager(name, "nobody")).status, 480, "before")
    request = world.request("PUBLISH", raw, name, sender=name, headers=core + [("Content-Type", TYPE)],
                            body=document(history=True).encode())
    same(await raw.ask(request), 200, "PUBLISH")
    tag = raw.last.get("SIP-ETag")
    same((await alice.pager(name, "somebody")).status, 404, "the core is asked, which does not know him")
    request = world.request("PUBLISH", raw, name, sender=name,
                            headers=core + [("Expires", "0"), ("SIP-If-Match", tag)])
    same(await raw.ask(request), 200, "removal")
    same((await alice.pager(name, "nobody")).status, 480, "afterwards")


@scenario(transports=("udp",))
async def settings_retransmitted(world):
    """The same PUBLISH several times, to several workers, is one publication with one tag."""
    alice, bob = await world.pair()
    await world.scatter(bob)
    request = bob.build("PUBLISH", bob.uri, body=document(session_barring=True).encode(), content_type=TYPE,
                        headers=[("Accept-Contact", "*;" + sip.FEATURE_TAG), ("Event", "poc-settings"), ("Expires", "600")])
    sending = bob.start(request)
    for _ in range(3):
        bob.endpoint.send(request, bob.flow)
    response = await sending.final()
    same(response.status, 200, "PUBLISH")
    await remove(bob, response.get("SIP-ETag"))
    same(await call(alice, bob), 486, "INVITE after the removal of the one")
