#!/usr/bin/env python3
"""Two clients use a running imserv as ordinary people would: register, send a pager message, talk in an
IM session over MSRP, leave. Prints the conversation; exit code 0 only if everything really happened.

usage: demo.py --server PATH            start that imservd for the demo, on free ports
       demo.py --ready-line LINE        use the server that printed this ready line
       demo.py --sip HOST:PORT          use the server that listens there
options: --transport udp|tcp (default: tcp)   --domain NAME (default: example.com)
         --secure PATH   afterwards start that imservd with TLS and passwords: an operator adds the users with
                         imservctl, Bob has a phone and a laptop, and the session is held and goes on; then once
                         more with a file, which the operator changes while two users talk, once more for
                         messages that wait for somebody who is away, and once more for a room and lists"""
import argparse
import asyncio
import hashlib
import json
import os
import secrets
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from demo_away import away_act  # noqa: E402
from demo_room import room_act  # noqa: E402
from ua import Failure, Witness, agent, certificates, check, sdp, same  # noqa: E402
from ua.digest import Login  # noqa: E402
from ua.server import LISTEN_TLS, Ready, Server, host_port  # noqa: E402

SECONDS = 60


def say(who, text):
    print("%-8s %s" % (who, text), flush=True)


async def join(witness, name, address, options):
    user = agent.Agent(witness, name, address, options.transport, options.domain, unique=False)
    user.title = name.capitalize()
    await user.open()
    response = await user.register()
    check(response.status == 200, "REGISTER got %s" % response)
    say(user.title, "registers as %s" % user.uri)
    return user


async def pager(sender, receiver, text):
    sending = sender.start(sender.build("MESSAGE", receiver.uri, body=text.encode(),
                                        content_type="text/plain"))
    server = await receiver.expect("MESSAGE")
    same(server.request.body.decode(), text, "pager message")
    server.respond(200, "OK")
    same((await sending.final()).status, 200, "MESSAGE")
    say(sender.title, "-> %s, pager message: %s" % (receiver.title, text))


async def talk(sender, receiver, text):
    await sender.send(text)
    got = await receiver.receive()
    same(bytes(got.body).decode(), text, "text")
    say(sender.agent.title, "-> %s, in the session: %s" % (receiver.agent.title, text))


async def converse(alice, bob):
    await pager(alice, bob, "Hi Bob, do you have a minute?")
    await pager(bob, alice, "For you always.")
    outgoing = alice.invite(bob)
    say("Alice", "invites Bob to an IM session")
    invitation = await bob.expect_invite()
    invitation.ring()
    await outgoing.transaction.provisional(180)
    say("Bob", "rings")
    accepting = asyncio.ensure_future(invitation.accept())
    await outgoing.established()
    await accepting
    say("Bob", "accepts; both MSRP connections stand")
    for sender, receiver, text in (
            (outgoing, invitation, "Did you see the new server?"),
            (invitation, outgoing, "The one that switches our messages right now? Naïve question…"),
            (outgoing, invitation, "That one. I am sending you its picture.")):
        await talk(sender, receiver, text)
    picture = secrets.token_bytes(300000)
    await outgoing.send(picture, chunk=2048, content_type="image/png")
    got = await invitation.receive()
    same((got.length, got.digest), (len(picture), hashlib.sha256(picture).hexdigest()), "picture")
    say("Alice", "-> Bob, image/png of %d octets in %d chunks, arrived octet by octet" % (
        got.length, len(got.chunks)))
    await talk(invitation, outgoing, "Nice. I have to go, bye!")
    await invitation.hang_up()
    await outgoing.wait_bye()
    say("Bob", "leaves the session; Alice's side is closed too")
    for user in (alice, bob):
        same((await user.register(0)).status, 200, "de-registration")
        say(user.title, "goes offline")
    status = (await alice.pager(bob, "Are you still there?")).status
    check(status in (202, 480), "MESSAGE to an offline user got %d" % status)
    say("imserv", "tells Alice: %s (%d)" % (
        "Bob is offline, the message is kept for him" if status == 202
        else "Bob is temporarily unavailable", status))


# ---- the second act: TLS, passwords, two devices ----

async def provision(server, name):
    password = secrets.token_urlsafe(12)
    for words, stdin in ((("user", "add", name), ""), (("user", "passwd", name), password + "\n")):
        code, _, err = await server.ctl(*words, stdin=stdin)
        same(code, 0, "imservctl %s: %s" % (" ".join(words), err))
    say("operator", "imservctl user add %s; imservctl user passwd %s" % (name, name))
    return password


async def join_securely(witness, server, name, device, password):
    own = certificates.authority().issue(name + "-" + device)  # its fingerprint goes into the description
    user = agent.Agent(witness, name, server.ready.sip["tls"], "tls", unique=False, certificate=own)
    user.title = "%s's %s" % (name.capitalize(), device)
    user.login = Login(name, password)
    await user.open()
    response = await user.register()
    same(response.status, 401, "REGISTER without credentials")
    user.login.learn(response)
    response = await user.register()
    same(response.status, 200, "REGISTER with credentials")
    say(user.title, "is asked for the password, registers over TLS")
    return user


async def call_both(alice, phone, laptop):
    outgoing = alice.invite(laptop)
    at_phone, at_laptop = await phone.expect_invite(), await laptop.expect_invite()
    for invitation in (at_phone, at_laptop):
        invitation.ring()
    await outgoing.transaction.provisional(180)
    say(alice.title, "invites Bob: his phone and his laptop ring")
    accepting = asyncio.ensure_future(at_laptop.accept())
    await outgoing.established()
    await accepting
    check(outgoing.leg.local.secure and at_laptop.leg.local.secure, "MSRP without TLS")
    await asyncio.wait_for(at_phone.server.cancelled.wait(), SECONDS)
    say(laptop.title, "accepts; the phone stops ringing")
    await talk(outgoing, at_laptop, "Is anybody listening?")
    await talk(at_laptop, outgoing, "Nobody: SIP and MSRP are both encrypted.")
    return outgoing, at_laptop


async def hold(caller, callee):
    """A re-INVITE that only receives, and one that takes it back."""
    for direction, text in (("sendonly", "holds the session"), ("sendrecv", "takes it up again")):
        version = 2 if direction == "sendonly" else 3
        body = sdp.build(caller.leg.local, "active", direction, version=version)
        changing = caller.dialog.request("INVITE", headers=[("Contact", caller.agent.contact)], body=body,
                                         content_type="application/sdp")
        server = await asyncio.wait_for(callee.dialog.incoming.get(), SECONDS)
        answer = sdp.build(callee.leg.local, "passive", "recvonly" if direction == "sendonly" else direction,
                           version=version)
        server.respond(200, "OK", [("Contact", callee.agent.contact)], answer, "application/sdp")
        same((await changing.final()).status, 200, "re-INVITE")
        caller.dialog.ack(changing)
        say(caller.agent.title, text)


async def second_act(path):
    certificate = certificates.main()
    server = Server(path, settings={"listen": LISTEN_TLS, "tls": "[%s]" % certificates.settings(certificate),
                                    "core.authenticate": "digest", "core.users": "provisioned"})
    witness, users = Witness(), []
    await server.start()
    try:
        say("imserv", "starts with TLS, asks for passwords, knows nobody yet")
        passwords = {name: await provision(server, name) for name in ("alice", "bob")}
        for name, device in (("alice", "tablet"), ("bob", "phone"), ("bob", "laptop")):
            users.append(await join_securely(witness, server, name, device, passwords[name]))
        alice = users[0]
        alice.title = "Alice"
        outgoing, invitation = await call_both(*users)
        await hold(outgoing, invitation)
        await talk(outgoing, invitation, "Back again.")
        await outgoing.hang_up()
        await invitation.wait_bye()
        say("Alice", "leaves the session")
        check(not witness.violations, "protocol violations: %s" % "; ".join(witness.violations))
    finally:
        for user in users:
            user.close()
        code = await server.stop()
        check(code == 0, "imservd ended with %s" % code)


# --- third act: an operator looks and changes things while two users talk ---

async def operate(server, *words, code=0):
    """What imservctl prints; the line that it fails with if it has to."""
    got, out, err = await server.ctl(*words)
    same(got, code, "imservctl %s: %s" % (" ".join(words), err))
    return err if code else out


async def tell_status(server):
    status = json.loads(await operate(server, "--json", "status"))
    same(status["sessions"], 1, "sessions in the status")
    say("operator", "imservctl status: %s, %d session, %d registrations" % ("ready" if status["ready"] else "not ready",
                                                                          status["sessions"], status["registrations"]))
    metrics = await server.metrics()
    say("operator", "/metrics: %d messages switched, dashboard at http://%s:%d/" % (
        (metrics.sum("imserv_msrp_messages_total"),) + server.ready.http))


async def change_a_limit(server, alice, bob):
    server.configure("limits: {max_size_pager: 1kB}\n")
    err = await operate(server, "reload", code=1)
    check("max_size_pager" in err, "what is wrong is not told: %s" % err)
    say("operator", "imservctl reload: refused, %s" % " ".join(err.splitlines()[-1].split()))
    server.configure("limits: {max_size_pager: 1KiB}\nlog: {cdr: cdr.json}\n")
    await operate(server, "reload")
    say("operator", "imservctl reload: messages may have 1 KiB from now on")
    same((await alice.pager(bob, "x" * 2000)).status, 403, "a message that is too large now")
    say("Alice", "-> Bob, pager message of 2000 octets: refused")


async def tell_records(server):
    """One line a session and message, by a thread that writes when it likes."""
    path = os.path.join(server.directory, "cdr.json")
    while True:
        with open(path) as file:
            records = [json.loads(line) for line in file]
        if any(record["type"] == "session" for record in records):
            break
        await asyncio.sleep(0.05)
    for record in records:
        say("cdr", "%s %s -> %s, %d messages, %s" % tuple(record[key] for key in
                                                       ("type", "from", "to", "messages", "reason")))


async def third_act(path):
    server = Server(path, settings={"file": "log: {cdr: cdr.json}\n"})
    witness, users = Witness(), []
    await server.start()
    try:
        for name in ("alice", "bob"):
            user = agent.Agent(witness, name, server.ready.sip["tcp"], "tcp", unique=False)
            user.title = name.capitalize()
            await user.open()
            users.append(user)
            same((await user.register()).status, 200, "REGISTER")
        alice, bob = users
        outgoing = alice.invite(bob)
        invitation = await bob.expect_invite()
        accepting = asyncio.ensure_future(invitation.accept())
        await outgoing.established()
        await accepting
        say("Alice", "and Bob talk")
        await talk(outgoing, invitation, "Who looks after this server?")
        await tell_status(server)
        await change_a_limit(server, alice, bob)
        await talk(invitation, outgoing, "Somebody who need not restart it.")
        await outgoing.hang_up()
        await invitation.wait_bye()
        await asyncio.wait_for(tell_records(server), SECONDS)
        check(not witness.violations, "protocol violations: %s" % "; ".join(witness.violations))
    finally:
        for user in users:
            user.close()
        code = await server.stop()
        check(code == 0, "imservd ended with %s" % code)


async def demo(options):
    server = None
    if options.server:
        server = await Server(options.server).start()
        ready = server.ready
    elif options.ready_line:
        ready = Ready(options.ready_line.strip())
    else:
        ready = None
    address = host_port(options.sip) if ready is None else ready.sip[options.transport]
    witness = Witness()
    users = []
    try:
        for name in ("alice", "bob"):
            users.append(await join(witness, name, address, options))
        await asyncio.wait_for(converse(*users), SECONDS)
        check(not witness.violations, "protocol violations: %s" % "; ".join(witness.violations))
    finally:
        for user in users:
            user.close()
        if server:
            code = await server.stop()
            check(code == 0, "imservd ended with %s" % code)
    if options.secure:
        await asyncio.wait_for(second_act(options.secure), SECONDS)
        await asyncio.wait_for(third_act(options.secure), SECONDS)
        await asyncio.wait_for(away_act(options.secure), SECONDS)
        await asyncio.wait_for(room_act(options.secure), SECONDS)
    print("Everything arrived.")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server")
    parser.add_argument("--ready-line")
    parser.add_argument("--sip")
    parser.add_argument("--secure")
    parser.add_argument("--transport", choices=("udp", "tcp"), default="tcp")
    parser.add_argument("--domain", default="example.com")
    options = parser.parse_args()
    if not (options.server or options.ready_line or options.sip):
        parser.error("one of --server, --ready-line and --sip is needed")
    try:
        asyncio.run(demo(options))
    except (Failure, OSError, asyncio.TimeoutError) as error:
        print("demo failed: %s" % (str(error) or type(error).__name__), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
