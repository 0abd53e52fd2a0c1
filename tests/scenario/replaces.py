"""Replaces in an initial INVITE (RFC 3891): the caller takes the place of one side of a session."""
import asyncio

from ua import Failure, check, same, sdp, sip
from ua.agent import ALLOW, Dialog
from world import scenario

TYPES = "text/plain message/cpim *"


def name_of(session, turned=False, more=""):
    """The dialog as the peer of this side would name it in Replaces: to-tag is the server's."""
    dialog = session.dialog
    tags = (dialog.remote_tag, dialog.local_tag)
    return "%s;to-tag=%s;from-tag=%s%s" % ((dialog.call_id,) + (tags[::-1] if turned else tags) + (more,))


def call(user, target, replaces, **more):
    """The dialog identifier is somebody else's Call-ID: this time it may be seen."""
    user.witness.secrets.pop(replaces.partition(";")[0], None)
    headers = [("Replaces", replaces), ("Require", "replaces")]
    return user.invite(target, headers=headers + more.pop("headers", []), **more)


async def take(session, version, setup="passive", status=200):
    """The side that stays gets the newcomer's description in its own dialog."""
    server = await asyncio.wait_for(session.dialog.incoming.get(), 3)
    same(server.request.method, "INVITE", "request in the dialog that stays")
    if status != 200:
        server.respond(status)
        return
    server.respond(200, "OK", [("Contact", session.agent.contact), ("Allow", ALLOW)],
                   sdp.build(session.leg.local, setup, None, TYPES, version), "application/sdp")
    await server.wait_ack()


async def talk(sa, sb):
    await sa.send("one")
    same(bytes((await sb.receive()).body), b"one", "text")
    await sb.send("two")
    same(bytes((await sa.receive()).body), b"two", "text")


@scenario()
async def caller_and_callee_are_replaced(world):
    """Carol takes the caller's place, then Dave the callee's, whichever end of the dialog is named; who was there gets
    BYE, who stays keeps dialog and path, and messages flow between those who are there now."""
    alice, bob = await world.pair()
    carol, dave, erin = [await world.client(name) for name in ("carol", "dave", "erin")]
    sa, sb = await world.session(alice, bob)
    there = {True: sa, False: sb}
    version = {id(sa): 1, id(sb): 1}
    for newcomer, is_caller, turned in ((carol, True, False), (dave, False, False), (erin, True, True)):
        goes, stays = there[is_caller], there[not is_caller]
        # a dialog as its own far end names it means the other side: where sessions are chained, that is the next pass
        named = name_of(stays, True) if turned and not world.ims else name_of(goes)
        outgoing = call(newcomer, stays.agent, named)
        if not world.ims:
            version[id(stays)] = version.get(id(stays), 1) + 1
            await take(stays, version[id(stays)])
        await outgoing.established()
        bye = await goes.wait_bye()
        check("Replaced" in bye.get("Reason", ""), "Reason %r" % bye.get("Reason"))
        there[is_caller] = outgoing
        await talk(outgoing, stays)
    await there[True].hang_up()
    await there[False].wait_bye()


@scenario()
async def replaces_refused(world):
    """481 for a dialog that is not there, 486 for one that was wanted early only, 400 for two Replaces or half a one, 603
    after the end; a refusal of the side that stays comes back and leaves the session as it was."""
    carol = await world.client("carol")
    sa, sb = await world.session()
    good = name_of(sa)
    for replaces, status in ((good.replace("from-tag=", "from-tag=x"), 481), ("x" + good, 481),
                             (good + ";early-only", 486), (good.partition(";from-tag")[0], 400),
                             (good + ", " + good, 400), ("nothing", 400)):
        refused = call(carol, sb.agent, replaces)
        same((await refused.transaction.final()).status, status, "Replaces: " + replaces)
    refused = call(carol, sb.agent, good, timer="20;refresher=uac")
    same((await refused.transaction.final()).status, 422, "Replaces with a small Session-Expires")
    refused = call(carol, sb.agent, good, direction="inactive")
    same((await refused.transaction.final()).status, 488, "Replaces with a=inactive")
    if not world.ims:
        refused = call(carol, sb.agent, good)
        await take(sb, 2, status=488)
        same((await refused.transaction.final()).status, 488, "Replaces that the other side refuses")
    await talk(sa, sb)
    await sa.hang_up()
    await sb.wait_bye()
    for _ in range(50):                # the dialog is known until the answer to the other BYE
        refused = call(carol, sb.agent, good)
        if (await refused.transaction.final()).status == 481:
            break
        same(refused.transaction.last.status, 603, "Replaces after the end")
    same(refused.transaction.last.status, 481, "Replaces of what is gone")


@scenario(modes=("standalone",))
async def replacement_is_cancelled_or_overtaken(world):
    """CANCEL by the newcomer while the other side is asked, and BYE of the session meanwhile: 487."""
    carol = await world.client("carol")
    sa, sb = await world.session()
    outgoing = call(carol, sb.agent, name_of(sa))
    server = await asyncio.wait_for(sb.dialog.incoming.get(), 3)
    second = call(carol, sb.agent, name_of(sa))
    same((await second.transaction.final()).status, 491, "a second newcomer meanwhile")
    await sa.hang_up()
    same((await outgoing.transaction.final()).status, 487, "Replaces in a session that ended")
    server.respond(487)
    await sb.wait_bye()


@scenario(modes=("standalone",))
async def newcomer_ends_early(world):
    """BYE of the newcomer in his early dialog takes back his INVITE alone (RFC 3261 15): the session that he wanted to
    enter goes on, between those who are in it; anything else there has to wait."""
    carol = await world.client("carol")
    sa, sb = await world.session()
    for replaced in (sa, sb):
        stays = sb if replaced is sa else sa
        outgoing = call(carol, stays.agent, name_of(replaced))
        server = await asyncio.wait_for(stays.dialog.incoming.get(), 3)
        trying = await outgoing.transaction.provisional(100)
        trying.headers.append(("Contact", "<%s>" % stays.agent.uri))
        early = Dialog(carol, outgoing.transaction.flow, outgoing.transaction.request, trying, True)
        same((await early.request("INFO").final()).status, 500, "INFO in the early dialog of the newcomer")
        same((await early.request("BYE").final()).status, 200, "BYE in the early dialog of the newcomer")
        same((await outgoing.transaction.final()).status, 487, "Replaces that was taken back")
        same((await early.request("BYE").final()).status, 481, "a second BYE there")
        server.respond(487)
        await talk(sa, sb)
    await sa.hang_up()
    await sb.wait_bye()


@scenario(modes=("standalone",))
async def replaces_by_contact(world):
    """The INVITE may go to the Contact that the server gave: it names the session's worker."""
    carol = await world.client("carol")
    sa, sb = await world.session()
    outgoing = call(carol, sa.dialog.target, name_of(sa))
    await take(sb, 2)
    await outgoing.established()
    await sa.wait_bye()
    await talk(outgoing, sb)
    await sb.hang_up()
    await outgoing.wait_bye()
