"""The act of the demo with more than two: a room whose members come and go and whose state is watched, a message to a
list, and a file to a list."""
import secrets

from ua import Witness, agent, check, conference_info, same, sip
from ua.server import Server

FACTORY = "sip:factory@example.com"
PART = b"--b\r\nContent-Type: %s\r\n%s\r\n%s\r\n"
LIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list>%s</list></resource-lists>"""


def say(who, text):
    print("%-8s %s" % (who, text), flush=True)


async def join(witness, server, name):
    user = agent.Agent(witness, name, server.ready.sip["tcp"], "tcp", unique=False)
    user.title = name.capitalize()
    await user.open()
    same((await user.register()).status, 200, "REGISTER")
    return user


async def tell(session, text, *listeners):
    await session.send(text)
    for listener in listeners:
        same(bytes((await listener.receive()).body), text.encode(), "what %s hears" % listener.agent.title)
    say(session.agent.title, "to the room: %s (%s)" % (text, ", ".join(l.agent.title for l in listeners)))


def told(document):
    return ", ".join("%s %s" % (u.entity.partition(":")[2].partition("@")[0], u.status) for u in document.users)


async def watched(watch, view):
    """The next NOTIFY, as what it says of people."""
    document = view.take(await watch.notify())
    say("imserv", "NOTIFY to Dave, %s: %s" % (document.state, told(document)))


async def room(alice, bob, carol, dave):
    outgoing = alice.invite_list([bob, carol])
    say("Alice", "INVITE %s with a list: Bob, Carol" % FACTORY)
    sessions = [await user.expect_invite() for user in (bob, carol)]
    for session in sessions:
        await session.accept()
    await outgoing.established()
    await tell(outgoing, "Hello, both of you", *sessions)
    await tell(sessions[0], "Hello Alice, hello Carol", outgoing, sessions[1])
    focus = sip.address(outgoing.response.list("Contact")[0])[1]
    referral = alice.refer(focus, dave.uri)
    await referral.accepted()
    invitation = await dave.expect_invite()
    await invitation.accept()
    same((await referral.finished())[-1].status, 200, "what Alice hears of her REFER")
    say("Alice", "REFER: Dave is invited too, and comes")
    watch = await dave.subscribe(focus, "conference", accept=conference_info.TYPE)
    view = conference_info.View()
    await watched(watch, view)
    await tell(sessions[1], "Dave! You are late", outgoing, sessions[0], invitation)
    await sessions[0].hang_up()
    say("Bob", "leaves")
    await watched(watch, view)
    await tell(invitation, "I came as fast as I could", outgoing, sessions[1])
    await outgoing.hang_up()
    await sessions[1].wait_bye()
    await invitation.wait_bye()
    say("Alice", "leaves her room, and that ends it")
    same((await watch.notify()).state, "terminated", "the last NOTIFY")


async def message_to_a_list(alice, bob, carol):
    entries = LIST % b"".join(b'<entry uri="%s"/>' % user.uri.encode() for user in (bob, carol, bob))
    response = await alice.ask(
        "MESSAGE", FACTORY, headers=[("Require", "recipient-list-message")], content_type="multipart/mixed;boundary=b",
        body=PART % (b"text/plain", b"", b"Lunch?") + PART % (
            b"application/resource-lists+xml", b"Content-Disposition: recipient-list\r\n", entries) + b"--b--\r\n")
    same(response.status, 202, "MESSAGE to a list")
    for user in (bob, carol):
        server = await user.expect("MESSAGE")
        server.respond(200, "OK")
        same(server.request.body, b"Lunch?", "MESSAGE")
    say("Alice", "MESSAGE to a list: Lunch? (Bob and Carol, each once)")


async def file_to_a_list(alice, bob, carol):
    content = secrets.token_bytes(200000)
    outgoing = alice.invite_list([bob, carol], direction="sendonly", accept="image/png",
                                 extra=("a=filesize:%d" % len(content), "a=filename:map.png"))
    sessions = [await user.expect_invite() for user in (bob, carol)]
    for session in sessions:
        await session.accept(direction="recvonly", accept="*")
    await outgoing.established()
    await outgoing.send(content, chunk=2048, content_type="image/png")
    for session in sessions:
        same(bytes((await session.receive()).body), content, "the file")
    await outgoing.hang_up()
    for session in sessions:
        await session.wait_bye()
    say("Alice", "sends map.png, %d octets, once: Bob and Carol have it octet by octet" % len(content))


async def room_act(path):
    server = Server(path)
    witness, users = Witness(), []
    await server.start()
    try:
        for name in ("alice", "bob", "carol", "dave"):
            users.append(await join(witness, server, name))
        await room(*users)
        await message_to_a_list(*users[:3])
        await file_to_a_list(*users[:3])
        check(not witness.violations, "protocol violations: %s" % "; ".join(witness.violations))
    finally:
        for user in users:
            user.close()
        code = await server.stop()
        check(code == 0, "imservd ended with %s" % code)
