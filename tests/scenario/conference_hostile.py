"""Conferences whose participants want the focus no good."""
import asyncio
import socket
from contextlib import contextmanager

from conference import clients, contact_of, status_of
from ua import check, same
from world import Skip, scenario


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
