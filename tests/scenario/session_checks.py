"""What the Participating Functions check before an INVITE goes on, in their order, and the answer of each
(5.2, 6.2.2.1, 6.2.3, 6.2.6.1; design 4 "Order of checks", D1-06 to D1-08); OPTIONS and methods."""
import asyncio
import re

from ua import REQ, Failure, check, msrp, same, sdp, sip
from world import DOMAIN, scenario


async def reasons(world):
    metrics = await world.server.metrics()
    return {k: v for k, v in metrics.values.items() if k.startswith("imserv_refused_total")}


class Counted:
    """One refusal is one counter and one log line of that reason."""

    def __init__(self, world, reason):
        self.world, self.key, self.reason = world, 'imserv_refused_total{reason="%s"}' % reason, reason

    async def __aenter__(self):
        self.before = (await reasons(self.world)).get(self.key, 0)
        self.logged = self.count_lines()

    def count_lines(self):
        return sum("reason=" + self.reason in line for line in self.world.server.lines)

    async def __aexit__(self, kind, error, trace):
        if error is None:
            after = (await reasons(self.world)).get(self.key, 0)
            same(after - self.before, 1, "counter of refusals for " + self.reason)
            for _ in range(300):  # it comes by another way than the answer
                if self.count_lines() > self.logged:
                    return
                await asyncio.sleep(0.01)
            raise Failure("no log line with reason=" + self.reason)


def offer(alice, direction=None, **more):
    leg = msrp.Leg(alice.msrp)
    alice.keep_secret(leg)
    return sdp.build(leg.local, "actpass", direction, **more)


def identity_is_gone(world):
    """From or P-Asserted-Identity that prove nothing."""
    if world.ims:
        world.core.assert_identity = False
        return []
    return [("From", "<sip:stranger@elsewhere.invalid>;tag=" + sip.token(4))]


@scenario(own={"policy.allow_anonymity": "false", "policy.content_types": "[text/plain, 'image/*']",
               "policy.feature_tag": "always", "limits.max_size_1to1": "1KiB", "policy.offline_large": "reject"}, once=True)
async def checks_in_order(world):
    """An INVITE with everything wrong is refused for the first thing on the list; with that put right,
    for the next: feature tag, identity, anonymity, target, session timer, Content-Type, description,
    media, sizes, size policy, content policy, availability."""
    alice, bob = await world.pair()
    offline = await world.client("carol", register=False)
    good = offer(alice, "sendonly", extra=["a=filesize:10"]).decode()
    wrong = {
        "Accept-Contact": [("Accept-Contact", "*;+g.oma.other")],
        "identity": None, "Privacy": [("Privacy", "id")],
        "target": "sip:nobody@elsewhere.invalid", "timer": "1;refresher=uac", "type": "text/plain",
        "text": good.replace("o=", "O="), "media": good.replace("TCP/MSRP", "UDP/MSRP"),
        "path": re.sub("a=path:[^\r]*", "a=path:http://x/y", good),
        "types": re.sub("a=accept-types:[^\r]*\r\n", "", good),
        "direction": good.replace("sendonly", "inactive"),
        "sizes": good + "a=filelength:11\r\n", "size": good.replace("filesize:10", "filesize:1025"),
        "content": re.sub("a=accept-types:[^\r]*", "a=accept-types:text/html message/cpim", good)}
    steps = (  # what is put right in this step, status, Warning code, reason
        (None, 403, None, "feature_tag"), ("Accept-Contact", 403, None, "identity"),
        ("identity", 403, None, "identity"), ("Privacy", 404, None, "target_unknown"),
        ("target", 422, None, "interval_too_brief"), ("timer", 415, None, "unsupported_body"),
        ("type", 400, None, "sdp"), ("text", 488, "302", "sdp"), ("media", 488, "399", "sdp"),
        ("path", 488, "305", "sdp"), ("types", 488, "399", "sdp"), ("direction", 488, "399", "sdp"),
        ("sizes", 403, None, "too_large"), ("size", 403, None, "unsupported_body"),
        ("content", 480, None, "offline"))  # of a large message, that is not kept (D1-07)
    if world.ims:  # there the target is judged by the terminating side, after all that the originating one sees
        steps = steps[:3] + (("Privacy",) + steps[4][1:],) + steps[5:]
        del wrong["target"]
    for right, status, warning, reason in steps:
        if right:
            del wrong[right]
        if right == "identity" and world.ims:
            world.core.assert_identity = True
        headers = wrong.get("Accept-Contact", []) + wrong.get("Privacy", [])
        if "identity" in wrong:
            headers = headers + identity_is_gone(world)
        text = next((wrong[k] for k in ("text", "media", "path", "types", "direction", "sizes", "size",
                                        "content") if k in wrong), good)
        to = wrong.get("target", offline.uri)
        async with Counted(world, reason):
            outgoing = alice.invite(to, headers=headers, offer=text.encode(), timer=wrong.get("timer", "1800"),
                                    content_type=wrong.get("type", "application/sdp"))
            response = await outgoing.transaction.final()
            same(response.status, status, "everything but %s wrong" % right)
        codes = [v.split()[0] for v in response.list("Warning")]
        same(codes, [warning] if warning else [], "Warning after " + str(right))
    REQ("IM-5.2-9", "IM-6.2.2.1-1", "IM-6.2.3.2-1", "IM-6.2.2.1-3", "IM-6.2.6.1-5", "IM-6.2.6.1-7")
    await bob.quiet(0.05)


@scenario(own={"policy.allow_anonymity": "false"}, once=True)
async def anonymous_invite_refused(world):
    """policy.allow_anonymity off: INVITE with Privacy: id is 403; with another value of Privacy, or
    none, it goes on (6.2.3, D1-14)."""
    alice, bob = await world.pair()
    for value in ("id", "header;id", "ID; critical"):
        same((await alice.invite(bob, headers=[("Privacy", value)]).transaction.final()).status, 403, value)
    await bob.quiet(0.05)
    for headers in ([], [("Privacy", "none")], [("Privacy", "header")]):
        outgoing = alice.invite(bob, headers=headers)
        (await bob.expect_invite()).refuse(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE with %s" % headers)


@scenario()
async def names_that_are_nobody(world):
    """404 with the fixed texts of D1-06 for a group and a session that do not exist; 404 for
    nothing of that name at the store host, a URI without user and, standalone, a foreign domain."""
    alice = await world.client("alice")
    for uri, text in (("sip:group-none@" + DOMAIN, "Conference URI does not exist"),
                      ("sip:history@" + DOMAIN, None), ("sip:" + DOMAIN, None),
                      ("sip:x@store." + DOMAIN, None))[:3 if world.ims else 4]:
        response = await alice.invite(uri).transaction.final()
        same(response.status, 404, "INVITE " + uri)
        same(response.reason, "Not Found", "reason phrase")
        if text:
            check(re.match(r'^399 \S+ "%s"$' % text, response.get("Warning", ""), re.I),
                  "Warning %r" % response.get("Warning"))
        else:
            check(not response.all("Warning"), "Warning %r" % response.get("Warning"))
    bob = await world.client("bob")
    sa, sb = await world.session(alice, bob)
    contact = sip.address(sa.response.list("Contact")[0])[1]
    await sa.hang_up()
    await sb.wait_bye()
    await asyncio.sleep(0.05)
    if not world.ims:
        user = sip.uri_parts(contact)[1]
        response = await alice.invite("sip:%s@%s" % (user, DOMAIN)).transaction.final()
        same(response.status, 404, "INVITE to a session that is over")
        check("Conference URI does not exist" in response.get("Warning", ""), "Warning %s" % response.all("Warning"))
        response = await alice.invite("sip:bob@elsewhere.invalid").transaction.final()
        same(response.status, 404, "INVITE to a foreign domain")


@scenario(modes=("standalone",))
async def number_is_a_name(world):
    """tel: in the Request-URI is no other scheme but a number of ours; user=phone is the same user; what
    is neither sip, sips nor tel is 416 (design 4)."""
    alice = await world.client("alice")
    bob = await world.client("+493020")
    for uri in ("tel:%s" % bob.name, "tel:+49-(30)-20%s;phone-context=x" % bob.name[7:],
                "sip:%s@elsewhere.invalid;user=phone" % bob.name):
        outgoing = alice.invite(uri)
        (await bob.expect_invite()).refuse(486)
        same((await outgoing.transaction.final()).status, 486, "INVITE " + uri)
    for uri in ("mailto:bob@example.com", "nobodyknows:x"):
        same((await alice.ask("OPTIONS", uri)).status, 416, "OPTIONS " + uri)


@scenario()
async def options_tell_what_is_possible(world):
    """OPTIONS to the server, its domain and a user of it: 200 with Allow, Accept, Accept-Encoding,
    Accept-Language and Supported (RFC 3261 11.2), without feature tag. About a user only somebody is told
    (design 4: identity 403)."""
    alice, bob = await world.pair()
    raw = await world.raw()
    stranger = "sip:x@elsewhere.invalid"
    same(await raw.ask(world.request("OPTIONS", raw, bob.uri, sender=stranger)), 403, "a stranger about bob")
    asserted = [("P-Asserted-Identity", "<%s>" % alice.uri)]
    for uri, sender, headers in (("sip:%s:%d" % world.sip_address, stranger, ()), ("sip:" + DOMAIN, stranger, ()),
                                 (bob.uri, alice.uri, asserted)):
        same(await raw.ask(world.request("OPTIONS", raw, uri, sender=sender, headers=headers)), 200, uri)
        answer = raw.last
        for method in ("INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "OPTIONS"):
            check(method in answer.list("Allow"), "Allow %s" % answer.all("Allow"))
        for name, value in (("Accept", "application/sdp"), ("Accept", "multipart/mixed"),
                            ("Accept-Encoding", "identity"), ("Accept-Language", "en"), ("Supported", "timer")):
            check(value in answer.list(name), "%s %s" % (name, answer.all(name)))
    same(await raw.ask(world.request("OPTIONS", raw, bob.uri, sender="sip:x@elsewhere.invalid")), 403,
         "about a user, by nobody")
    if not world.ims:
        same(await raw.ask(world.request("OPTIONS", raw, "sip:x@elsewhere.invalid")), 404, "foreign domain")
    await bob.quiet(0.05)


@scenario()
async def methods_and_extensions(world):
    """Unknown methods are 501, extensions that we do not know 420 with each named in Unsupported, in
    Require and Proxy-Require (RFC 3261 8.2)."""
    alice, bob = await world.pair()
    raw = await world.raw()
    same(await raw.ask(world.request("DANCE", raw)), 501, "DANCE")
    for header in ("Require", "Proxy-Require"):
        request = world.request("INVITE", raw, headers=[(header, "timer, foo, bar")])
        same(await raw.ask(request), 420, header)
        same(raw.last.list("Unsupported"), ["foo", "bar"], "Unsupported")
    outgoing = alice.invite(bob, headers=[("Require", "timer")])
    (await bob.expect_invite()).refuse(486)
    same((await outgoing.transaction.final()).status, 486, "Require: timer")


@scenario(modes=("standalone",), own={"policy.unavailable_session_code": "403"}, once=True)
async def warning_for_the_unavailable(world):
    """A 403 for that says what is meant in either mode (D1-06, D1-07)."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    response = await alice.invite(bob).transaction.final()
    same(response.status, 403, "INVITE to an offline user")
    same([v.split('"')[1] for v in response.list("Warning")], ["Session cannot be deferred"], "Warning")


@scenario(own={"policy.unavailable_session_code": "486"}, once=True)
async def code_for_the_unavailable(world):
    """policy.unavailable_session_code is what an INVITE to an offline user gets."""
    alice, bob = await world.client("alice"), await world.client("bob", register=False)
    same((await alice.invite(bob).transaction.final()).status, 486, "INVITE to an offline user")
    await bob.quiet(0.05)
