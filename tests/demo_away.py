"""The act of the demo in which messages wait for somebody who is away: kept on disk, announced, pushed when he
comes back, fetched one by one, deleted."""
import asyncio
import email
import email.policy
import os
import re
import secrets

from ua import Witness, agent, check, same
from ua.server import Server

SECONDS = 30
STORE = "store.example.com"
ACCEPT = "multipart/mixed message/sip message/sipfrag message/msrpfrag"
SETTINGS = b"""<?xml version="1.0" encoding="UTF-8"?>
<poc-settings xmlns="urn:oma:params:xml:ns:poc:poc-settings">
 <entity id="demo">
  <isb-settings><incoming-session-barring active="true"/></isb-settings>
 </entity>
</poc-settings>
"""


class Watcher:
    """A subscription that ends with its first NOTIFY."""

    def __init__(self):
        self.notified = asyncio.get_running_loop().create_future()

    def received(self, server):
        self.notified.set_result(server)


def say(who, text):
    print("%-8s %s" % (who, text), flush=True)


def inside(message):
    """The message within a delivered one: the content of its last part (flows F4, F5)."""
    whole = b"MIME-Version: 1.0\r\nContent-Type: %s\r\n\r\n" % message.content_type.encode() + bytes(message.body)
    parts = list(email.message_from_bytes(whole, policy=email.policy.HTTP).iter_parts())
    last = bytes(message.body)
    content = last[last.rindex(b"\r\n\r\n") + 4:]
    end = re.search(rb"\r\n-------\w+\$\r\n--|\r\n--", content)
    return [part.get_content_type() for part in parts], content[:end.start()] if end else content


async def join(witness, server, name, **more):
    user = agent.Agent(witness, name, server.ready.sip["tcp"], "tcp", unique=False, **more)
    user.title = name.capitalize()
    return await user.open()


async def send_large(sender, receiver, content, content_type):
    session = sender.invite(receiver, direction="sendonly", accept=content_type,
                            extra=("a=filesize:%d" % len(content),))
    await session.established()
    await session.send(content, chunk=2048, content_type=content_type)
    await session.hang_up()


async def receive(session, count):
    """The messages that a session of the store brings, until its BYE."""
    got = [await session.receive() for _ in range(count)]
    await session.wait_bye()
    return got


async def announce(bob, waiting):
    """Who subscribes to message-summary is told what waits."""
    request = bob.build("SUBSCRIBE", bob.uri, headers=[
        ("Event", "message-summary"), ("Accept", "application/simple-message-summary"), ("Expires", "0")])
    watcher = bob.dialogs[request.call_id, request.from_tag] = Watcher()
    same((await bob.start(request).final()).status, 200, "SUBSCRIBE")
    notify = await asyncio.wait_for(watcher.notified, SECONDS)
    notify.respond(200, "OK")
    text = notify.request.body.decode()
    check("Messages-Waiting: yes" in text, "message-summary: %r" % text)
    say("imserv", "tells Bob's phone: %s" % ", ".join(
        line for line in text.partition("\r\n\r\n")[0].splitlines() if "Account" not in line))
    ids = re.findall(r"^Message-ID: (\S+)", text, re.M)
    same(len(ids), waiting, "messages announced")
    return ids


async def push(bob, expected):
    say("Bob", "comes back and registers")
    same((await bob.register()).status, 200, "REGISTER")
    invitation = await bob.expect_invite()
    say("imserv", "invites him: %s" % invitation.request.get("From"))
    await invitation.accept(direction="recvonly", accept=ACCEPT)
    for message, content in zip(await receive(invitation, len(expected)), expected):
        kinds, got = inside(message)
        same(got, content, "content of a deferred message")
        say("imserv", "-> Bob, %s: %s" % (" + ".join(kinds), content.decode() if len(content) < 100 else
                                         "%d octets, octet by octet" % len(content)))


async def fetch(user, uri):
    session = user.invite(uri, direction="recvonly", accept=ACCEPT)
    await session.established()
    return (await receive(session, 1))[0]


async def keep_and_push(server, witness, users):
    alice = await join(witness, server, "alice")
    users.append(alice)
    same((await alice.register()).status, 200, "REGISTER")
    picture = secrets.token_bytes(300000)
    texts = ["Bob, where are you?", "I am sending you the picture, look at it later."]
    for text in texts:
        same((await alice.pager("sip:bob@example.com", text)).status, 202, "MESSAGE to somebody who is away")
        say("Alice", "-> Bob, who is away: %s (202: it is on disk)" % text)
    await send_large(alice, "sip:bob@example.com", picture, "image/png")
    say("Alice", "-> Bob, image/png of %d octets, a large message: taken on his behalf" % len(picture))
    users.remove(alice)
    alice.close()
    await server.restart(kill=True)
    say("operator", "kill -9 and a new start: nothing that was acknowledged is lost")
    bob = await join(witness, server, "bob")
    users.append(bob)
    await announce(bob, 3)
    await push(bob, [text.encode() for text in texts] + [picture])
    return bob


async def fetch_and_delete(server, witness, users, bob):
    same((await bob.register(0)).status, 200, "de-registration")
    say("Bob", "goes offline")
    alice = await join(witness, server, "alice")
    users.append(alice)
    for text in ("Tea at five?", "Or coffee?", "Forget both."):
        same((await alice.pager(bob, text)).status, 202, "MESSAGE")
        say("Alice", "-> Bob: %s (202)" % text)
    ids = await announce(bob, 3)
    kinds, content = inside(await fetch(bob, ids[1]))
    same(content, b"Or coffee?", "the message that was fetched")
    say("Bob", "fetches just the second by its Message-ID: %s" % content.decode())
    code, _, err = await server.ctl("mailbox", "bob", "delete", ids[2])
    same(code, 0, "imservctl mailbox: %s" % err)
    say("operator", "imservctl mailbox bob delete ...: the third is gone")
    kinds, content = inside(await fetch(bob, "sip:Deferred@" + STORE))
    same(content, b"Tea at five?", "what was left")
    say("Bob", "fetches the rest from sip:Deferred@%s: %s" % (STORE, content.decode()))
    return alice


async def ordinary_phone(server, witness, users, alice):
    same((await alice.pager("sip:carol@example.com", "Welcome, Carol")).status, 202, "MESSAGE")
    carol = await join(witness, server, "carol", feature_tag=False)
    users.append(carol)
    same((await carol.register()).status, 200, "REGISTER")
    late = await carol.expect("MESSAGE")
    late.respond(200, "OK")
    same(late.request.body, b"Welcome, Carol", "stored message")
    say("Carol", "comes back with an ordinary SIP phone and gets a plain MESSAGE of %s: %s" % (
        late.request.get("Date"), late.request.body.decode()))
    response = await carol.ask("PUBLISH", carol.uri, headers=[("Event", "poc-settings"), ("Expires", "600")],
                               body=SETTINGS, content_type="application/poc-settings+xml")
    same(response.status, 200, "PUBLISH")
    refused = await alice.invite(carol).transaction.final()
    same(refused.status, 480, "INVITE to somebody who bars sessions")
    say("Carol", "publishes that she takes no sessions now: Alice's INVITE gets %d" % refused.status)


async def away_act(path):
    server = Server(path)
    witness, users = Witness(), []
    await server.start()
    try:
        bob = await keep_and_push(server, witness, users)
        alice = await fetch_and_delete(server, witness, users, bob)
        await ordinary_phone(server, witness, users, alice)
        check(not witness.violations, "protocol violations: %s" % "; ".join(witness.violations))
    finally:
        for user in users:
            user.close()
        code = await server.stop()
        check(code == 0, "imservd ended with %s" % code)
        check(not os.path.exists(server.directory), "the store of the demo is still there")
