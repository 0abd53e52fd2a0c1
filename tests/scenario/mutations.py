"""Real traffic with errors in it: each message that two clients send goes out as it is and in damaged copies
beside it. Calls may fail; the server must live, keep nothing, and serve a normal session afterwards."""
import asyncio
import os
import random
import re

from ua import check
from ua.sip import Malformed
from world import DOMAIN, scenario

TOKENS = (b"", b"\0", b"\r\n", b"\r\n ", b"\n", b"\"", b"\\", b"<", b">", b";", b",", b"%", b"%00", b"%zz", b":", b"@", b"?", b"=",
          b"*", b"-1", b"0", b"2147483648", b"4294967296", b"99999999999999999999", b"x" * 300, b"\xff", b"\xc3\xa9", b";tag=",
          b";branch=z9hG4bK", b";lr", b";maddr=::1", b"[::1]", b"sip:", b"sips:", b"tel:", b"urn:", b"100rel", b"timer",
          b"INVITE", b"BYE", b"CANCEL", b"ACK", b"UPDATE", b"PRACK", b"REFER", b"NOTIFY", b"SUBSCRIBE", b"INFO", b"DANCE", b"SIP/2.0 ", b"--b")
HEADERS = (b"Require: 100rel", b"RSeq: 1", b"RAck: 1 1 INVITE", b"Replaces: a;to-tag=b;from-tag=c", b"Session-Expires: 90", b"Min-SE: 99999",
           b"Expires: 0", b"Contact: *", b"Contact: <sip:a@b;lr>;q=0", b"Record-Route: <sip:a;lr>", b"Route: <sip:a;lr>", b"Path: <sip:a;lr>",
           b"Refer-To: <sip:a@b?Replaces=c>", b"Event: refer", b"Subscription-State: terminated", b"Privacy: id", b"Authorization: Digest x=y",
           b"Content-Type: multipart/mixed;boundary=b", b"Content-Length: 5", b"Supported: outbound,path,100rel", b"Reason: SIP;cause=200",
           b"P-Asserted-Identity: <tel:+1>", b"Accept-Contact: *;x", b"Retry-After: 1", b"Warning: 399 x \"y\"", b"Allow: ,", b"Via: SIP/2.0/UDP a")


def damaged(data, dice):
    """One to four errors: an octet, a token, a line or two of them, another header, the end cut off."""
    for _ in range(dice.randint(1, 4)):
        lines = data.split(b"\r\n")
        at = dice.randrange(len(lines))
        kind = dice.randrange(9)
        if kind == 0 and data:
            i = dice.randrange(len(data))
            data = data[:i] + bytes([dice.randrange(256)]) + data[i + 1:]
        elif kind <= 3:
            i = dice.randrange(len(data) + 1)
            data = data[:i] + dice.choice(TOKENS) + data[i + dice.choice((0, 1, 1, 3, 10)):]
        elif kind == 4:
            data = b"\r\n".join(lines[:at] + lines[at + 1:])
        elif kind == 5:
            lines.insert(dice.randrange(len(lines)), lines[at])
            data = b"\r\n".join(lines)
        elif kind == 6:
            other = dice.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
            data = b"\r\n".join(lines)
        elif kind == 7:
            lines.insert(1, dice.choice(HEADERS))
            data = b"\r\n".join(lines)
        elif dice.random() < 0.2:
            data = data[:dice.randrange(len(data) + 1)]
    return data


CALLS = 8       # at once
CSEQ_STEP = 16  # between two requests of a dialog: room for copies that are not too old


def renewed(data, dice):
    """A request as one of its own: a new branch, and a CSeq that the dialog has not seen."""
    if data.startswith(b"SIP/"):
        return data
    data = re.sub(rb"branch=z9hG4bK\w+", lambda m: b"branch=z9hG4bK%d" % dice.randrange(10 ** 12), data, count=1)
    return re.sub(rb"CSeq: (\d+)", lambda m: b"CSeq: %d" % (int(m.group(1)) + dice.randrange(1, CSEQ_STEP)), data, count=1)


def with_errors(endpoint, dice, each):
    """From now on the endpoint sends damaged copies around each datagram."""
    send = endpoint.send_datagram

    def sending(data, peer):
        copies = [damaged(renewed(data, dice) if dice.random() < 0.8 else data, dice) for _ in range(each)]
        at = 0 if dice.random() < 0.8 else dice.randint(0, each)
        for part in copies[:at] + [data] + copies[at:]:
            if len(part) < 60000:
                send(part, peer)
    receive = endpoint.on_message

    def receiving(message, flow):
        try:
            receive(message, flow)
        except (Malformed, KeyError, ValueError, IndexError, AttributeError, TypeError):
            pass  # the answer to something damaged repeats the damage
    endpoint.send_datagram, endpoint.on_message = sending, receiving


async def one_call(world, dice, each):
    alice, bob = await world.client("alice", register=False), await world.client("bob", register=False)
    for user in (alice, bob):
        user.layer.patience = user.patience = user.msrp.patience = 0.5
        user.layer.on_ack = lambda request: None
        with_errors(user.endpoint, dice, each)
        await user.register()
    kind = dice.randrange(4)
    if kind == 0:
        await alice.pager(bob, "x", seconds=0.5)
        return
    headers = dice.choice(((), [("Require", "100rel")], [("Privacy", "id")], [("Supported", "timer, 100rel")]))
    call = alice.invite(bob, headers=headers)
    invitation = await bob.expect_invite(0.5)
    invitation.ring()
    if kind == 1:
        invitation.refuse(dice.choice((302, 401, 422, 486, 500, 603)))
        await call.transaction.final(0.5)
        return
    accepting = asyncio.ensure_future(invitation.accept())
    try:
        await call.established(0.5)
        call.dialog.cseq += CSEQ_STEP
        for method in dice.sample(("INFO", "UPDATE", "REFER", "NOTIFY", "MESSAGE", "INVITE", "OPTIONS", "SUBSCRIBE"), 3):
            call.dialog.request(method, headers=[("Refer-To", "<sip:x@%s>" % DOMAIN), ("Event", "refer"), ("Subscription-State", "active")])
            call.dialog.cseq += CSEQ_STEP
            await asyncio.sleep(0.01)
        await call.hang_up()
    finally:
        accepting.cancel()


@scenario(transports=("udp",), own={"timers.t1": "20ms", "limits.unbound": "300ms", "timers.client_answer": "300ms",
                                    "policy.offline_pager": "reject"}, seconds=3600, settle=False, modes=("standalone",))
async def mutated_traffic(world):
    """Calls, messages and registrations with damaged copies of everything both sides send."""
    seed = int(os.environ.get("MUTATION_SEED", "1"))
    end = asyncio.get_running_loop().time() + float(os.environ.get("MUTATION_SECONDS", "4"))
    dice = random.Random(seed)
    calls = 0
    while asyncio.get_running_loop().time() < end:
        # what the damage did to the clients does not matter
        await asyncio.gather(*(one_call(world, dice, dice.choice((1, 3, 8))) for _ in range(CALLS)), return_exceptions=True)
        world.close_clients()
        world.witness.reset()
        check(world.server.alive, "the server ended in call %d of seed %d" % (calls, seed))
        calls += CALLS
    await world.normal_session()
