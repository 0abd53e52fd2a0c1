"""The table of RFC 4975 (tests/rfc4975.txt) over real sockets: both clients are bare connections, all they say and
must hear stands in the table. Each case is played whole; octet by octet, and with a write cut in two at an octet, by
one row of the matrix each: all cuts with IMSERV_TEST_LONG in the environment, else one in a hundred. The simulator
(tests/sim/rfc4975.c) plays them all. RFC4975_CASE in the environment: that case only."""
import asyncio
import fcntl
import glob
import os
import re
import select
import socket
import struct
import termios

import rfc4975_table
from ua import Failure, certificates, check, msrp
from world import scenario

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CASES, OTHERS = rfc4975_table.read(os.path.join(TESTS, "rfc4975.txt"))
IS_LONG = bool(os.environ.get("IMSERV_TEST_LONG"))
ROWS = 6                         # of the matrix; together they play every case octet by octet, and all that is sampled
STRIDE = ROWS if IS_LONG else 100 * ROWS
RELAY = "//relay.example.com:2855/relay7;tcp"


class Ended(Exception):
    """The connection is closed."""


class Wire:
    """A bare connection: octets out, what came and was not looked at yet."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.buffer = reader, writer, b""
        self.raw = writer.get_extra_info("socket")
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ends = select.poll()
        self.ends.register(self.raw, select.POLLRDHUP)

    def write(self, octets):
        if not self.ends.poll(0):   # else it is closed, which who reads next sees
            self.writer.write(octets)

    async def arrived(self):
        """The server's kernel has all that was written; the server may look at it before more comes."""
        while self._left() and not self.ends.poll(0):
            await asyncio.sleep(0)
        os.sched_yield()

    def _left(self):
        return (self.writer.transport.get_write_buffer_size()
                or struct.unpack("i", fcntl.ioctl(self.raw.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])

    async def read(self, seconds):
        try:
            octets = await asyncio.wait_for(self.reader.read(65536), seconds)
        except OSError as error:
            raise Ended(str(error)) from None
        if not octets:
            raise Ended("end of stream")
        self.buffer += octets

    def close(self):
        self.writer.close()


class Stage:
    """A session whose two clients are bare connections: over TLS where SIP is."""

    def __init__(self, world, alice, bob, setup):
        self.world, self.alice, self.bob, self.setup = world, alice, bob, setup
        self.wires, self.sides = {}, {}
        self.listener, self.accepted = None, asyncio.Queue()

    async def open(self):
        outgoing = self.alice.invite(self.bob, setup="active")
        invitation = await self.bob.expect_invite()
        self.dialogs = outgoing, invitation
        if "passive" in self.setup:
            context = self.bob.msrp.certificate and certificates.server_context(self.bob.msrp.certificate)
            self.listener = await asyncio.start_server(
                lambda *both: self.accepted.put_nowait(both), "127.0.0.1", 0, ssl=context)
            text = str(invitation.leg.local).replace(":%d/" % invitation.leg.local.port, ":%d/" % (
                self.listener.sockets[0].getsockname()[1]))
            fingerprint = invitation.leg.local.fingerprint
            invitation.leg.local = msrp.Uri(text)
            invitation.leg.local.fingerprint = fingerprint
        if "relay" in self.setup:
            scheme = str(invitation.leg.local).partition(":")[0]
            invitation.leg.local.text = "%s:%s %s" % (scheme, RELAY, invitation.leg.local)
        accepting = asyncio.ensure_future(invitation.accept(
            setup="passive" if self.listener else "active", bind=False))
        await outgoing.established(bind=False)
        await accepting
        for side, session in (("A", outgoing), ("B", invitation)):
            ours, theirs = session.leg.local, msrp.Uri(session.leg.remote[0])
            self.sides[side] = {
                "scheme": "msrps" if theirs.secure else "msrp", "SCHEME": "MSRPS" if theirs.secure else "MSRP",
                "to": str(theirs), "me": str(ours), "me1": str(ours).split(" ", maxsplit=1)[0],
                "host": "%s:%d" % (theirs.host, theirs.port), "id": theirs.session_id,
                "ID": theirs.session_id.upper(), "my_host": "%s:%d" % (ours.host, ours.port),
                "my_id": ours.session_id}
        for side in "AB":
            if {"A": "unbound", "B": "unbound-far"}[side] in self.setup:
                self.wires[side] = await self.connect(side)
            elif side == "B" and self.listener:
                self.wires[side] = Wire(*await asyncio.wait_for(self.accepted.get(), 6))
            else:
                self.wires[side] = await self.connect(side)
                await self.bind(side)
        return self

    async def connect(self, side):
        if not self.alice.msrp.certificate:
            return Wire(*await asyncio.open_connection(*self.world.msrp_address))
        shown = (self.bob if side == "B" else self.alice).msrp.certificate
        return Wire(*await asyncio.open_connection(
            *self.world.server.ready.msrp["tls"], server_hostname="",
            ssl=certificates.client_context(shown, verify=False)))

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
            self.wires["C"] = await self.connect("C")
        wire = self.wires[side]
        pieces = [octets[:cut], octets[cut:]] if cut else [octets]
        if one_by_one:
            pieces = [octets[i:i + 1] for i in range(len(octets))]
        for piece in pieces[:-1]:
            wire.write(piece)
            await wire.arrived()
        wire.write(pieces[-1])

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
                play.names.setdefault(name, b"x" * 18)


async def play_case(stage, case, cut=None, one_by_one=False):
    """On a session that the caller goes on to use, or on one of its own."""
    if not case.needs_own:
        await stage.play(case, cut, one_by_one)
        return
    own = await Stage(stage.world, stage.alice, stage.bob, case.setup).open()
    await own.play(case, cut, one_by_one)
    if case.lives:
        await own.probe()
    await own.close()


async def play_all(world, cases):
    """Each case whole, and this row's share of all else."""
    secure = world.transport == "tls"
    users = [await world.client(name, certificate=certificates.authority().lone("phone-" + name) if secure else None)
             for name in ("alice", "bob")]
    shared = await Stage(world, *users, []).open()
    row = ("standalone", "ims").index(world.mode) * 3 + min(world.workers, 4) // 2
    played = total = 0
    for number, case in enumerate(cases):
        await play_case(shared, case)
        if number % ROWS == row:
            await play_case(shared, case, one_by_one=True)
        for cut in cuts_of(case, shared.sides):
            total += 1
            if total % STRIDE == row * (STRIDE // ROWS):
                await play_case(shared, case, cut)
                played += 1
    await shared.probe()
    await shared.close()
    print("# rfc4975: %d cases, %d of %d cuts" % (len(cases), played, total), flush=True)


def check_others():
    """Where the table says that a rule is shown elsewhere, there is a test of that name."""
    tests = ""
    for kind in ("scenario/*.py", "unit/*.c", "sim/*.c"):
        for path in glob.glob(os.path.join(TESTS, kind)):
            with open(path, encoding="utf-8") as file:
                tests += file.read()
    for word, rest in OTHERS:
        match = re.fullmatch(r"(?:design )?[\d.]+ (.+?) \| .+", rest)
        check(match, "the table has a line %r" % rest)
        check(word == "none" or re.search(r"(def |void |SCENARIO\()%s\b" % match[1], tests),
              "the table names a test %s that is not there" % match[1])


@scenario(seconds=3600 if IS_LONG else 120)
async def rfc4975(world):
    """The table of RFC 4975."""
    wanted = os.environ.get("RFC4975_CASE")
    check_others()
    await play_all(world, [c for c in CASES if not c.needs_simulator and wanted in (None, c.name)])
