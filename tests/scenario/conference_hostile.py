"""Conferences whose participants want the focus no good."""
import asyncio
import socket
from contextlib import contextmanager

from conference import clients, contact_of, status_of, user_of
from documents import GROUPS, Xcap
from joining import INVITES, new_name, one, ruleset
from lists import group, receive
from ua import check, same, sip
from world import DOMAIN, Skip, scenario


@contextmanager
def closed_port():
    """Where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def no_more_connects(world, user, other, port):
    """Until the server connects for this user no more (limits of connects in vain, per worker)."""
    if world.workers > 1:
        raise Skip("whose worker it is would be chance")
    for _ in range(33):
        outgoing = other.invite(user)
        invitation = await user.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept(
            bind=False, edit=lambda body: body.replace(b"%d" % user.msrp.port, b"%d" % port)))
        status = (await status_of(outgoing)).status
        await accepting
        await invitation.wait_bye()
        if status != 200:
            return
        await outgoing.wait_bye()
    check(False, "its connects have no limit")


@scenario(modes=("standalone",), once=True, seconds=60)
async def join_while_invited_to_what_fails(world):
    """Bob joins while he is being invited, and that answers the originator, who cannot be answered: it is all over."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    with closed_port() as port:
        await no_more_connects(world, alice, carol, port)
        outgoing = alice.invite_list([bob], setup="passive")
        to_bob = await bob.expect_invite()
        to_bob.ring()
        await outgoing.transaction.provisional(180)
        joining = bob.invite(contact_of(to_bob.request))
        same((await status_of(outgoing)).status, 488, "an offer that cannot be answered")
        await to_bob.server.wait_cancel()
        await joining.wait_bye()
        same((await status_of(carol.invite(contact_of(to_bob.request)))).status, 404, "the session afterwards")


CHATROOM = ["a=chatroom:nickname private-messages"]


def wrapped(to, text, sender):
    return ("From: <%s>\r\nTo: <%s>\r\n\r\nContent-Type: text/plain\r\n\r\n%s" % (sender.uri, to, text)).encode()


@scenario()
async def private_is_never_for_all(world):
    """RFC 7701 6.2: a message for one goes to him alone; for one who is not there 404, for one who knows no such
    messages 428, and in no case to the others.  To the room it goes to all."""
    alice, bob, carol, dave, eve = await clients(world, "alice", "bob", "carol", "dave", "eve")
    outgoing = alice.invite_list([bob, carol, dave], extra=CHATROOM)
    to_bob, to_carol, to_dave = [await user.expect_invite() for user in (bob, carol, dave)]
    await to_bob.accept(extra=CHATROOM)
    await to_carol.accept(extra=CHATROOM)
    await to_dave.accept()
    await outgoing.established()

    async def said(to, text):
        return (await outgoing.leg.send(wrapped(to, text, alice), content_type="message/cpim"))[0]
    same(await said(bob.uri, "for bob"), 200, "for bob alone")
    same(await said(dave.uri, "for dave"), 428, "for one who said nothing of chatroom")
    same(await said(eve.uri, "for eve"), 404, "for one who is not there")
    room = contact_of(outgoing.response)
    same(await said(room, "for all"), 200, "for the room")
    await to_carol.hang_up()
    same(await said(carol.uri, "for carol"), 404, "for one who has left")
    for listener, texts in ((to_bob, ("for bob", "for all")), (to_carol, ("for all",)), (to_dave, ("for all",))):
        for text in texts:
            same(bytes((await listener.receive()).body), wrapped(bob.uri if text == "for bob" else room, text, alice),
                 "what %s hears" % listener.agent.name)
    await outgoing.hang_up()
    await to_bob.wait_bye()
    await to_dave.wait_bye()


@scenario()
async def hidden_outside_the_dialog_too(world):
    """Who takes part as nobody writes to the session as nobody, also where his MESSAGE does not ask for it."""
    alice, bob, carol = await clients(world, "alice", "bob", "carol")
    uri = await group(world, alice, new_name(), [alice, bob, carol], rules=ruleset(
        *((one(user), ("allow-initiate-conference", "join-handling", "allow-anonymity")) for user in (alice, bob, carol))), more=INVITES)
    at_alice = alice.invite(uri)
    to_bob, to_carol = await bob.expect_invite(), await carol.expect_invite()
    to_carol.refuse(486)
    await to_bob.accept()
    await at_alice.established()
    at_carol = await carol.invite(uri, headers=[("Privacy", "id")]).established()
    focus = contact_of(at_alice.response)
    if world.ims:
        focus = contact_of([m for m in world.core.own if m.method == "INVITE"][0])
    identity = "sip:%s@%s" % (user_of(focus), DOMAIN)
    same((await carol.pager(identity, "guess who")).status, 202, "MESSAGE to the session")
    await receive(bob, b"guess who")
    got = await receive(alice, b"guess who")
    same(sip.address(got.get("From"))[1], identity, "From")
    if world.ims:
        same(got.get("Privacy"), "id", "Privacy: the core takes the identity away")
    else:
        check(carol.name.encode() not in got.encode(), "his name in %s" % got.encode())
    await at_carol.hang_up()
    await to_bob.hang_up()
    await at_alice.hang_up()


@scenario(seconds=60)
async def deleted_while_many_join(world):
    """A group goes while its members join: nobody is left in a session of what is no more."""
    users = await clients(world, *("user%d" % i for i in range(12)))
    for _ in range(4):
        name = new_name()
        uri = await group(world, users[0], name, users)
        joining = [user.invite(uri) for user in users]
        deleting = asyncio.ensure_future(Xcap(world, users[0].uri).delete(GROUPS, name, 200))
        joining += [user.invite(uri) for user in users]
        await deleting
        for session in joining:
            final = await status_of(session)
            check(final.status in (200, 404, 480), "an INVITE got %d" % final.status)
            if final.status == 200:
                await session.wait_bye()
    same((await world.server.api("GET", "conferences"))[1]["items"], [], "conferences")


@scenario(modes=("standalone",))
async def subject_of_nobody(world):
    """RFC 3323 5.3: of one who hides the Subject goes no further, into a conference or with a large message."""
    alice, bob = await clients(world, "alice", "bob")
    for more in ({}, {"direction": "sendonly"}):
        for private, kept in (([], "it is me"), ([("Privacy", "id")], None)):
            outgoing = alice.invite_list([bob], headers=[("Subject", "it is me"), *private], **more)
            to_bob = await bob.expect_invite()
            same(to_bob.request.get("Subject"), kept, "Subject, %s %s" % (more, private))
            to_bob.refuse(486)
            await status_of(outgoing)
