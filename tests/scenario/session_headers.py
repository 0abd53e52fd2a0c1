"""Which header fields pass through the server, which it writes itself, and what a caller who hides keeps to
himself (6.2.3.1, 6.2.7.1, D1-13 to D1-15, D2-31, Appendix F)."""
import asyncio

from ua import REQ, check, same, sip
from ua.agent import USER_AGENT
from world import scenario

REQUEST_FIELDS = [("Subject", "lunch"), ("Date", "Sat, 13 Nov 2010 23:29:00 GMT"), ("Priority", "urgent"),
                  ("In-Reply-To", "12@h"), ("Organization", "Acme"), ("Reply-To", "<sip:boss@h.invalid>"),
                  ("Referred-By", "<sip:boss@h.invalid>"), ("Call-Info", "<http://h.invalid/i>;purpose=icon"),
                  ("Alert-Info", "<http://h.invalid/ring>"), ("Accept-Language", "de, en;q=0.5"),
                  ("History-Info", "<sip:old@h.invalid>;index=1"), ("Reject-Contact", "*;video"),
                  ("Request-Disposition", "no-fork"), ("X-Own", "a  b")]
NEUTRAL = ("Date", "Priority", "Accept-Language", "Reject-Contact", "Request-Disposition")
ANSWER_FIELDS = [("Date", "Sat, 13 Nov 2010 23:29:00 GMT"), ("Organization", "Umbrella"),
                 ("Call-Info", "<http://h.invalid/j>"), ("Reply-To", "<sip:desk@h.invalid>"), ("X-Own", "c")]
NEVER = [("Proxy-Authorization", 'Digest username="u"'), ("Authorization", 'Digest username="u"'),
         ("P-Preferred-Identity", "<sip:other@example.com>"), ("Identity", '"c2ln"'), ("Max-Breadth", "9"),
         ("Security-Verify", "tls;q=0.2"), ("Timestamp", "54"), ("P-Served-User", "<sip:x@example.com>")]
OF_THE_CORE = [("P-Charging-Vector", "icid-value=1234bc9876e;icid-generated-at=192.0.6.8"),
               ("P-Charging-Function-Addresses", "ccf=192.0.8.1"),
               ("P-Access-Network-Info", "3GPP-UTRAN-TDD;utran-cell-id-3gpp=234151D0FCE11"),
               ("P-Visited-Network-ID", '"Visited network"')]


@scenario()
async def fields_pass(world):
    """What describes a call passes in the INVITE, its 180, 200 and failures; unknown fields too."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=REQUEST_FIELDS + NEVER)
    invitation = await bob.expect_invite()
    for name, value in REQUEST_FIELDS:
        same(invitation.request.all(name), [value], name + " at B")
    for name, _ in NEVER:
        same(invitation.request.all(name), [], name + " at B")
    invitation.ring(headers=ANSWER_FIELDS)
    ringing = await outgoing.transaction.provisional(180)
    accepting = asyncio.ensure_future(invitation.accept(headers=ANSWER_FIELDS + [("Warning", '399 h "hm"')]))
    await outgoing.established()
    await accepting
    for name, value in ANSWER_FIELDS:
        same(ringing.all(name), [value], name + " of the 180")
        same(outgoing.response.all(name), [value], name + " of the 200")
    same(outgoing.response.all("Warning"), ['399 h "hm"'], "Warning of the 200")
    await outgoing.hang_up()
    await invitation.wait_bye()
    why = [("Warning", '399 h "no"'), ("Retry-After", "17 (lunch)"), ("Reason", "Q.850;cause=17"),
           ("Error-Info", "<http://h.invalid/e>"), ("X-Own", "d")]
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.refuse(486, why + [("Allow", "MESSAGE"), ("Supported", "x")])
    refused = await outgoing.transaction.final()
    same(refused.status, 486, "refused")
    for name, value in why:
        same(refused.all(name), [value], name + " of the 486")
    check("x" not in refused.list("Supported"), "the far side's Supported: %s" % refused.all("Supported"))
    REQ("IM-6.2.3.2-20", "IM-6.2.6.1-14")


@scenario()
async def release_headers(world):
    """User-Agent in requests and Server in responses are the server's own, beginning with IM-serv/OMA1.0;
    the clients' stay where they are (Appendix F)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=[("User-Agent", USER_AGENT + " alice")])
    invitation = await bob.expect_invite()
    value = invitation.request.get("User-Agent")
    same(value.split()[0], "IM-serv/OMA1.0", "first product of User-Agent")
    check("alice" not in value, "the caller's User-Agent: " + value)
    REQ("IM-F-1", "IM-F-2", "IM-F-4")
    check(not invitation.request.all("Server"), "Server in a request (D2-31)")
    invitation.refuse(486, [("Server", "IM-client/OMA1.0 bob")])
    response = await outgoing.transaction.final()
    same(response.get("Server").split()[0], "IM-serv/OMA1.0", "first product of Server")
    same(len(response.all("Server")), 1, "Server fields")
    REQ("IM-F-3")


@scenario()
async def contact_features(world):
    """The Contact of each side has the IM feature tag; isfocus and other features of the far side's
    Contact are repeated only if it has them, and what names its device never (6.2.7.1, D1-15)."""
    alice, bob = await world.pair()
    told = ';isfocus;automata;+g.oma.other="x";+sip.instance="<urn:uuid:f81d4fae>";description="<hers>";q=0.3'
    for extra, expected in (("", False), (told, True)):
        outgoing = alice.invite(bob, headers=[("Contact", alice.contact + extra)])
        invitation = await bob.expect_invite()
        features = sip.address(invitation.request.list("Contact")[0])[2]
        same(sip.FEATURE_TAG in features, True, "feature tag")
        for name in ("isfocus", "automata", "+g.oma.other"):
            same(name in features, expected, name + " at B")
        for name in ("+sip.instance", "description", "q"):
            check(name not in features, "%s at B: %s" % (name, features))
        REQ("IM-6.2.7.1-12", "IM-6.2.7.1-11", "IM-6.2.2.1-8")
        accepting = asyncio.ensure_future(invitation.accept(headers=[]))
        await outgoing.established()
        await accepting
        check("isfocus" not in outgoing.response.get("Contact"), "isfocus was added")
        await outgoing.hang_up()
        await invitation.wait_bye()
    outgoing = alice.invite(bob)
    invitation = await bob.expect_invite()
    invitation.server.respond(180, "Ringing", [("Contact", bob.contact + ";isfocus")])
    ringing = await outgoing.transaction.provisional(180)
    check("isfocus" in sip.address(ringing.list("Contact")[0])[2], "Contact of 180 %s" % ringing.all("Contact"))
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario()
async def caller_preferences(world):
    """Accept-Contact of the server's INVITE and MESSAGE: the IM tag with explicit, then the caller's other
    preferences; Reject-Contact and Request-Disposition pass (RFC 3841, D1-13)."""
    alice, bob = await world.pair()
    wishes = '*;+g.oma.sip-im;require, *;automata;require, *;language="de,en"'
    outgoing = alice.invite(bob, headers=[("Accept-Contact", wishes), ("Reject-Contact", "*;mobility=\"fixed\"")])
    invitation = await bob.expect_invite()
    same([v.replace(" ", "") for v in invitation.request.list("Accept-Contact")],
         ["*;+g.oma.sip-im;explicit", "*;automata;require", '*;language="de,en"'], "Accept-Contact")
    REQ("IM-6.2.7.1-4")
    same(invitation.request.all("Reject-Contact"), ['*;mobility="fixed"'], "Reject-Contact")
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario()
async def charging_is_the_cores(world):
    """P-Charging-*, P-Access-Network-Info and their like pass between core and core; from a client of the
    standalone server they go no further (RFC 7315, RFC 3325 5)."""
    alice, bob = await world.pair()
    outgoing = alice.invite(bob, headers=OF_THE_CORE)
    invitation = await bob.expect_invite()
    for name, value in OF_THE_CORE:
        same(invitation.request.all(name), [value] if world.ims else [], name + " at B")
    if world.ims:
        REQ("IM-6.2.2.1-14")
    invitation.refuse(486)
    await outgoing.transaction.final()


@scenario(modes=("standalone",))
async def hidden_caller_keeps_it_all(world):
    """Standalone, Privacy: header: of all that may pass only what cannot say who calls does (RFC 3323
    4.1)."""
    alice, bob = await world.pair()
    tell = [("Contact", alice.contact + ';+g.own="%s";class="business"' % alice.name), ("Privacy", "header")]
    fields = [(n, v if n in NEUTRAL else "%s %s" % (v, alice.name) if n == "Subject" else v)
              for n, v in REQUEST_FIELDS]
    outgoing = alice.invite(bob, headers=fields + tell)
    invitation = await bob.expect_invite()
    for name, value in fields:
        same(invitation.request.all(name), [value] if name in NEUTRAL else [], name + " at B")
    check(alice.name not in invitation.request.encode().decode(), "named: %s" % invitation.request.encode())
    invitation.refuse(486, [("Privacy", "id"), ("X-Own", "d"), ("Warning", '399 %s "no"' % bob.name),
                            ("Retry-After", "9")])
    refused = await outgoing.transaction.final()
    same(refused.all("Retry-After"), ["9"], "Retry-After")
    check(not refused.all("X-Own") and not refused.all("Warning"), "told by B who hides: %s" % refused.encode())
