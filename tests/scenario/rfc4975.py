"""The table of RFC 4975 (tests/rfc4975.txt) over real sockets: both clients are bare connections, all they say and
must hear stands in the table. Each case is played whole, and again with a write cut in two at an octet: every
octet with IMSERV_TEST_LONG in the environment, else each row of the matrix takes its own share of the cuts.
The simulator (tests/sim/rfc4975.c) plays every cut."""
import asyncio
import fcntl
import os
import re
import select
import socket
import struct
import termios

import rfc4975_table
from ua import Failure, check, msrp
from world import scenario

CASES, _ = rfc4975_table.read(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "rfc4975.txt"))
STRIDE = 1 if os.environ.get("IMSERV_TEST_LONG") else 97   # a prime: all of an octet's neighbours get their turn
RELAY = "msrp://relay.example.com:2855/relay7;tcp"


class Ended(Exception):
    """The connection is closed."""


class Wire:
    """A bare connection: octets out, what came and was not looked at yet."""

    def __init__(self, raw):
        self.raw, self.buffer = raw, b""
        self.ends = select.poll()
        self.ends.register(raw, select.POLLRDHUP)
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @staticmethod
    async def connect(address):
        raw = socket.socket()
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, address)
        return Wire(raw)

    async def write(self, octets):
        try:
            await asyncio.get_running_loop().sock_sendall(self.raw, octets)
        except OSError:
            pass   # closed already: who reads next sees it

    async def arrived(self):
        """The server's kernel has all that was written; the server may look at it before more comes."""
        while struct.unpack("i", fcntl.ioctl(self.raw, termios.TIOCOUTQ, b"\0" * 4))[0] and not self.ends.poll(0):
            await asyncio.sleep(0)
        os.sched_yield()

    async def read(self, seconds):
        try:
            octets = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.raw, 65536), seconds)
        except ConnectionError as error:
            raise Ended(str(error)) from None
        if not octets:
            raise Ended("end of stream")
        self.buffer += octets

    def close(self):
        self.raw.close()


class Stage:
    """A session whose two clients are bare connections."""

    def __init__(self, world, alice, bob, setup):
        self.world, self.alice, self.bob, self.setup = world, alice, bob, setup
        self.wires, self.sides = {}, {}
        self.listener = None

    async def open(self):
        outgoing = self.alice.invite(self.bob, setup="active")
        invitation = await self.bob.expect_invite()
        self.dialogs = outgoing, invitation
        if "passive" in self.setup:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.listener.setblocking(False)
            invitation.leg.local = msrp.Uri("msrp://127.0.0.1:%d/%s;tcp" % (
                self.listener.getsockname()[1], invitation.leg.local.session_id))
        if "relay" in self.setup:
            invitation.leg.local.text = "%s %s" % (RELAY, invitation.leg.local)
        accepting = asyncio.ensure_future(invitation.accept(
            setup="passive" if self.listener else "active", bind=False))
        await outgoing.established(bind=False)
        await accepting
        for side, session in (("A", outgoing), ("B", invitation)):
            ours, theirs = session.leg.local, msrp.Uri(session.leg.remote[0])
            self.sides[side] = {
                "to": str(theirs), "me": str(ours), "me1": str(ours).split(" ", maxsplit=1)[0],
                "host": "%s:%d" % (theirs.host, theirs.port), "id": theirs.session_id,
                "ID": theirs.session_id.upper(), "my_host": "%s:%d" % (ours.host, ours.port),
                "my_id": ours.session_id}
        for side in "AB":
            if side == "A" and "unbound" in self.setup:
                self.wires[side] = await Wire.connect(self.world.msrp_address)
            elif side == "B" and self.listener:
                raw, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(self.listener), 6)
                self.wires[side] = Wire(raw)
            else:
                self.wires[side] = await Wire.connect(self.world.msrp_address)
                await self.bind(side)
        return self

    async def bind(self, side):
        case = rfc4975_table.Case("binding", 0)
        for kind, lines in ((">", ["MSRP {t} SEND", "{paths}", "Message-ID: {m}", "-------{t}$"]),
                            ("<", ["{answer {t} 200}"])):
            case.steps.append(rfc4975_table.Step(kind, side))
            case.steps[-1].lines += lines
        await self.play(case)

    async def play(self, case, cut=None, one_by_one=False):
        """`cut`: (index of a step, octets of its first write)."""
        play = rfc4975_table.Play(self.sides)
        where = None
        try:
            for index, step in enumerate(case.steps):
                where = step
                if step.kind == ">":
                    await self.write(step.side, play.octets(step),
                                     cut[1] if cut and cut[0] == index else 0, one_by_one)
                elif step.kind == "<":
                    await self.hear(step.side, play.pattern(step), play)
                elif step.kind == "closed":
                    await self.is_closed(step.side)
                elif step.kind == "closes":
                    self.wires.pop(step.side).close()
                elif step.kind == "over":
                    await asyncio.gather(*(d.dialog.wait_bye() for d in self.dialogs))
        except (Failure, Ended) as error:
            raise Failure("%s, line %d%s: %s" % (
                case.name, where.line, ", cut of step %d at %d" % cut if cut else
                ", octet by octet" if one_by_one else "", error)) from None
        finally:
            if "C" in self.wires:
                self.wires.pop("C").close()
        check(len(set(play.heard)) == len(play.heard), "%s: a transaction id twice" % case.name)

    async def write(self, side, octets, cut, one_by_one):
        if side == "C" and "C" not in self.wires:
            self.wires["C"] = await Wire.connect(self.world.msrp_address)
        wire = self.wires[side]
        pieces = [octets[:cut], octets[cut:]] if cut else [octets]
        if one_by_one:
            pieces = [octets[i:i + 1] for i in range(len(octets))]
        for piece in pieces[:-1]:
            await wire.write(piece)
            await wire.arrived()
        await wire.write(pieces[-1])

    async def hear(self, side, pattern, play):
        wire = self.wires[side]
        while not (match := pattern.match(wire.buffer)):
            try:
                await wire.read(self.world.patience)
            except asyncio.TimeoutError:
                raise Failure("%s got %r, not %r" % (side, wire.buffer, pattern.pattern)) from None
        wire.buffer = wire.buffer[match.end():]
        play.learn(match)

    async def is_closed(self, side):
        wire = self.wires.pop(side)
        try:
            await wire.read(self.world.patience)
        except Ended:
            return
        except asyncio.TimeoutError:
            raise Failure("%s is not closed" % side) from None
        finally:
            wire.close()
        raise Failure("%s is not closed but got %r" % (side, wire.buffer))

    async def probe(self):
        """Nothing else came, and the session goes on both ways."""
        if not self.setup:
            for case in CASES:
                if case.name in ("one_message", "one_message_back"):
                    await self.play(case)
        left = {side: wire.buffer for side, wire in self.wires.items() if wire.buffer}
        check(not left, "more came: %r" % left)

    async def close(self):
        for wire in self.wires.values():
            wire.close()
        if self.listener:
            self.listener.close()
        outgoing, invitation = self.dialogs
        if not outgoing.dialog.ended.is_set():
            await outgoing.hang_up()
            await invitation.wait_bye()


def cuts_of(case, sides):
    """All (step, octets) at which a write of the case can be cut."""
    play = rfc4975_table.Play(sides)
    for index, step in enumerate(case.steps):
        if step.kind == ">":
            for at in range(1, len(play.octets(step))):
                yield index, at
        elif step.kind == "<":   # only lengths matter here
            for name in re.findall(r"\{([a-z]\w*)\}", " ".join(step.lines)):
                play.names.setdefault(name, b"x" * 26)


async def play_case(world, users, case, offset):
    """The case whole, octet by octet, and cut; returns how many cuts of how many."""
    stage = await Stage(world, *users, case.setup).open()
    alone = bool(case.setup) or not case.lives
    cuts = list(cuts_of(case, stage.sides))
    chosen = cuts[offset % STRIDE::STRIDE]
    for cut, one_by_one in [(None, False), (None, True)] + [(cut, False) for cut in chosen]:
        if stage is None:
            stage = await Stage(world, *users, case.setup).open()
        await stage.play(case, cut, one_by_one)
        if alone:
            if case.lives:
                await stage.probe()
            await stage.close()
            stage = None
    if stage:
        await stage.probe()
        await stage.close()
    return len(chosen), len(cuts)


async def play_some(world, which):
    users = await world.pair()
    offset = "standalone ims".split().index(world.mode) + 2 * world.workers + (world.io == "epoll")
    played = total = 0
    wanted = os.environ.get("RFC4975_CASE")
    for index, case in enumerate(CASES):
        if wanted in (None, case.name) and index % PARTS == which and not case.needs_simulator:
            some, all_of_them = await play_case(world, users, case, offset + 7 * index)
            played, total = played + some, total + all_of_them
    print("# rfc4975: %d of %d cuts" % (played, total), flush=True)


PARTS = 2


@scenario(seconds=3600 if STRIDE == 1 else 40)
async def rfc4975_first_half(world):
    """Every other case of the table of RFC 4975."""
    await play_some(world, 0)


@scenario(seconds=3600 if STRIDE == 1 else 40)
async def rfc4975_second_half(world):
    """The others."""
    await play_some(world, 1)
