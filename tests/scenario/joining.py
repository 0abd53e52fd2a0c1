"""Conferences of groups: beginning, joining, coming back, each refusal in its order (F25, F26, F27, F31; D1-09)."""
from conference import clients, contact_of, heard, status_of, user_of
from documents import GROUPS, Xcap
from lists import group
from ua import REQ, check, same, sip
from world import DOMAIN, scenario

INVITES = "<invite-members>true</invite-members>"
ACTIONS = ("allow-initiate-conference", "join-handling", "allow-invite-users-dynamically", "allow-conference-state",
           "allow-anonymity")


def ruleset(*rules):
    """Each a pair: the conditions, and the actions that are true."""
    return '<cp:ruleset xmlns:cp="urn:ietf:params:xml:ns:common-policy">%s</cp:ruleset>' % "".join(
        '<cp:rule id="r%d"><cp:conditions>%s</cp:conditions><cp:actions>%s</cp:actions></cp:rule>' % (
            number, conditions, "".join("<%s>%s</%s>" % (a, "true" if a in actions else "false", a) for a in ACTIONS))
        for number, (conditions, actions) in enumerate(rules))


def one(user):
    return '<cp:identity><cp:one id="%s"/></cp:identity>' % user.uri


def new_name():
    return "group" + sip.token(6).lower()


@scenario()
async def group_conference(world):
    """F25: the first INVITE begins the session and invites the members; who comes later joins it; only who is left
    alone by all is released."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, new_name(), [alice, bob, carol], more=INVITES)
    outgoing = alice.invite(uri)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    for invitation in (to_bob, to_carol):
        same(sip.address(invitation.request.get("P-Asserted-Identity"))[1], uri, "P-Asserted-Identity")
        same(sip.address(invitation.request.get("Referred-By"))[1], alice.uri, "Referred-By")
        contact_of(invitation.request)
    to_carol.refuse(486)
    await to_bob.accept()
    await outgoing.established()
    contact_of(outgoing.response)
    if not world.ims:
        same(sip.address(outgoing.response.get("P-Asserted-Identity"))[1], uri, "P-Asserted-Identity of the 200")
    at_carol = await carol.invite(uri).established()
    await at_carol.send("late")
    await heard("late", outgoing, to_bob)
    await outgoing.hang_up()
    await at_carol.send("without alice")
    await heard("without alice", to_bob)
    REQ("IM-7.2.2.8-5")
    await at_carol.hang_up()
    await to_bob.send("alone, but the session is there")
    await to_bob.hang_up()


@scenario()
async def group_without_invitations(world):
    """D1-19: nobody is to be invited, so the first INVITE gets its 200 at once."""
    alice, bob = await clients(world, "alice", "bob")
    uri = await group(world, alice, new_name(), [alice, bob])
    at_alice = await alice.invite(uri).established()
    await bob.quiet(0.05)
    at_bob = await bob.invite(uri).established()
    await at_alice.send("hello")
    await heard("hello", at_bob)
    await at_alice.hang_up()
    await at_bob.hang_up()


@scenario()
async def group_checks_in_order(world):
    """D1-09: each refusal, with what would be refused later too."""
    alice, bob, carol, dave, eve = await clients(world, "alice", "bob", "carol", "dave", "eve")
    name = new_name()
    uri = await group(world, alice, name, [alice, bob, carol, dave],
                      rules=ruleset((one(alice), ("allow-initiate-conference", "join-handling")),
                                    (one(bob), ("allow-initiate-conference",)),
                                    (one(carol), ("join-handling",)), (one(dave), ("join-handling", "allow-anonymity"))),
                      more="<max-participant-count>2</max-participant-count>")
    private = [("Privacy", "id")]
    bad = {} if world.ims else {"edit": lambda body: body.replace(b"TCP/MSRP", b"RTP/AVP")}  # a core's side would refuse it
    unknown = await status_of(alice.invite("sip:%s@%s" % (new_name(), DOMAIN)))
    same(unknown.status, 404, "a group that is not there")
    check("Conference URI does not exist" in unknown.get("Warning"), "Warning %r" % unknown.get("Warning"))
    if not world.ims:
        focus = await status_of(eve.invite(uri, headers=[("Contact", eve.contact + ";isfocus")], **bad))
        same(focus.status, 403, "from a focus")
        check("isfocus already assigned" in focus.get("Warning"), "Warning %r" % focus.get("Warning"))
        REQ("IM-7.2.1.3-3")
    for user, what in ((carol, "initiation policy"), (bob, "joining policy"), (eve, "no member")):
        refused = await status_of(user.invite(uri, headers=private, **bad))
        same((refused.status, refused.get("Warning")), (403, None), what)
    REQ("IM-7.2.2.3-1", "IM-7.2.1.3-5", "IM-7.2.2.9-2")
    same((await status_of(alice.invite(uri, headers=private, **bad))).status, 403, "anonymity")
    REQ("IM-7.2.1.3-6")
    if bad:
        same((await status_of(alice.invite(uri, **bad))).status, 488, "description")
    at_alice = await alice.invite(uri).established()
    if not world.ims:
        focus = await status_of(carol.invite(uri, headers=[("Contact", carol.contact + ";isfocus")]))
        same(focus.status, 403, "from a focus, of a group with a session")
        check("isfocus already assigned" in focus.get("Warning"), "Warning %r" % focus.get("Warning"))
        REQ("IM-7.2.1.4-2")
    same((await status_of(bob.invite(uri, headers=private, **bad))).status, 403, "joining policy of an active session")
    REQ("IM-7.2.1.4-3")
    same((await status_of(carol.invite(uri, headers=private, **bad))).status, 403, "anonymity in an active session")
    REQ("IM-7.2.1.4-5")
    at_carol = await carol.invite(uri).established()
    full = await status_of(dave.invite(uri, headers=private))
    same(full.status, 486, "two are the most")
    check("Too many participants" in full.get("Warning"), "Warning %r" % full.get("Warning"))
    REQ("IM-7.2.1.4-4")
    await at_carol.hang_up()
    at_dave = await dave.invite(uri, headers=private).established()
    await at_dave.hang_up()
    await at_alice.hang_up()


@scenario()
async def group_changes(world):
    """7.2.2.8 1f, 2a: who is no longer permitted gets BYE, the others stay; the group deleted ends the session."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    name = new_name()
    uri = await group(world, alice, name, [alice, bob, carol])
    legs = [await user.invite(uri).established() for user in (alice, bob, carol)]
    document = ('<group xmlns="urn:oma:xml:poc:list-service" xmlns:rl="urn:ietf:params:xml:ns:resource-lists">'
                '<list-service uri="%s"><list>%s</list></list-service></group>' % (uri, "".join(
                    '<rl:entry uri="%s"/>' % user.uri for user in (alice, carol))))
    await Xcap(world, alice.uri).put(GROUPS, name, document, 200)
    await legs[1].wait_bye()
    REQ("IM-7.2.2.8-16")
    await legs[0].send("without bob")
    await heard("without bob", legs[2])
    await Xcap(world, alice.uri).delete(GROUPS, name, 200)
    await legs[0].wait_bye()
    await legs[2].wait_bye()
    REQ("IM-7.2.2.8-15")
    same((await status_of(alice.invite(uri))).status, 404, "the group is gone")
