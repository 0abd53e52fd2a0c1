"""File transfer to one user: several m= lines, one MSRP session for each file that is taken (FT, F22; RFC 5547)."""
import asyncio
import re

from passes import no_legs
from ua import Failure, REQ, agent, check, msrp, same, sdp
from world import scenario

PICTURE = ['a=filename:x.jpg', 'a=filetype:image/jpeg', 'a=filesize:4092',
           'a=file-selector:name:"x.jpg" type:image/jpeg size:4092', 'a=file-transfer-id:Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE',
           'a=file-disposition:attachment', 'a=file-icon:cid:id2@alicepc.example.com']
DOCUMENT = ['a=filename:y.pdf', 'a=filetype:application/pdf', 'a=filesize:9', 'a=file-transfer-id:vBnG916bdberum2fFEABR1FR3ExZMUrd',
            'a=disposition:inline']
SMALL = ['a=file-selector:name:"z size:7" type:text/plain size:5', 'a=file-transfer-id:aCQYuBRVoUPGVsFZkCK98vzcX2FXDIk2']


def describe(legs, files, setup, direction, version=1, declined=(), accept="*"):
    """A description with a line for each leg; None: declined."""
    parts = []
    for leg, lines in zip(legs, files):
        text = sdp.build(leg.local, setup, direction, accept, version, extra=lines).decode()
        at = text.index("m=message")
        media = text[at:]
        if leg in declined:
            media = "m=message 0 TCP/MSRP *\r\n"
        parts.append(media)
        head = text[:at] if len(parts) == 1 else head
    return (head + "".join(parts)).encode()


def lines_of(body):
    """[(port, whole line with its attributes)] of a description."""
    found = re.split(r"(?m)^(?=m=)", body.decode())[1:]
    return [(int(part.split()[1]), part) for part in found]


def take_paths(legs, body, what):
    """The peer's paths; returns the legs whose lines are in use."""
    lines = lines_of(body)
    same(len(lines), len(legs), "m= lines of the " + what)
    used = []
    for leg, (port, part) in zip(legs, lines):
        path = re.search(r"(?m)^a=path:(\S+)\r$", part)
        check(bool(path) == bool(port), "port %d, path %s in the %s" % (port, path, what))
        if port:
            leg.remote = [path.group(1)]
            used.append(leg)
    check(len({leg.remote[0] for leg in used}) == len(used), "two lines have one path")
    return used


class Transfer:
    """Alice offers files, bob takes some of them."""

    def __init__(self, alice, bob, files):
        self.alice, self.bob, self.files = alice, bob, files
        self.theirs = self.mine = ()

    async def offer(self, **more):
        self.mine = [msrp.Leg(self.alice.msrp) for _ in self.files]
        for leg in self.mine:
            self.alice.keep_secret(leg)
        self.outgoing = self.alice.invite(self.bob, offer=describe(self.mine, self.files, "actpass", "sendonly"), **more)
        self.server = await self.bob.expect("INVITE")
        self.theirs = [msrp.Leg(self.bob.msrp) for _ in self.files]
        for leg in self.theirs:
            self.bob.keep_secret(leg)
        self.offered = self.server.request.body
        take_paths(self.theirs, self.offered, "offer")
        return self

    async def answer(self, declined=(), setup="passive", accept="*"):
        """bob declines these, by their number; both sides bind what is left."""
        out = [self.theirs[i] for i in declined]
        body = describe(self.theirs, [()] * len(self.files), setup, "recvonly", declined=out, accept=accept)
        request = self.server.request
        headers = [("Contact", self.bob.contact), ("Allow", agent.ALLOW),
                   ("Session-Expires", request.get("Session-Expires").partition(";")[0] + ";refresher=uas")]
        response = self.server.respond(200, "OK", headers, body, "application/sdp")
        self.dialog = agent.Dialog(self.bob, self.server.flow, request, response, False)
        answered = await self.outgoing.transaction.final()
        same(answered.status, 200, "INVITE with files")
        await self.server.wait_ack()
        self.answered = answered.body
        used = take_paths(self.mine, self.answered, "answer")
        same([self.mine.index(leg) for leg in used], [i for i in range(len(self.files)) if i not in declined], "lines in use")
        for leg in used:
            await leg.connect()
        for i in range(len(self.files)):
            if i not in declined:
                await (self.theirs[i].connect() if setup == "active" else self.theirs[i].wait_bound())
        return self

    async def hang_up(self):
        await self.outgoing.dialog.hang_up()
        await self.dialog.wait_bye()
        for leg in [*self.mine, *self.theirs]:
            leg.close()


async def sent(transfer, number, content, **more):
    """The file goes over its own session and arrives as it was."""
    codes = await transfer.mine[number].send(content, **more)
    same(set(codes), {200}, "responses to file %d" % number)
    got = await transfer.theirs[number].message()
    same(bytes(got.body), content, "file %d" % number)
    return got


@scenario()
async def files_are_taken_or_declined(world):
    """Two files of which one is taken: port 0 in the answer for the other, one MSRP session, and the attributes of both
    notations as they came; Content-Disposition too. BYE right after the last one."""
    alice, bob = await world.pair()
    for declined in ((), (1,), (0,), (0, 2)):
        before = await world.gauges()
        transfer = await Transfer(alice, bob, [PICTURE, DOCUMENT, SMALL]).offer()
        for wanted, (port, part) in zip((PICTURE, DOCUMENT, SMALL), lines_of(transfer.offered)):
            same([line for line in wanted + ["a=sendonly"] if "\r\n%s\r\n" % line not in part], [], "missing at the recipient")
            check(port, "a file was offered with port 0")
        REQ("IM-FT-1", "IM-FT-2", "IM-FT-3", "IM-FT-4")
        await transfer.answer(declined)
        for port, part in lines_of(transfer.answered):
            check(not port or "a=recvonly\r\n" in part, "direction of the answer: %r" % part)
        for number in {0, 1, 2} - set(declined):
            got = await sent(transfer, number, b"%d" % number * (4092, 9, 5)[number],
                             headers=[("Content-Disposition", "attachment; filename=f")], content_type="image/jpeg")
            same(got.chunks[0].get("Content-Disposition"), "attachment; filename=f", "Content-Disposition")
        for number in declined:
            same(transfer.theirs[number].chunks, 0, "chunks of a file that was declined")
        await transfer.hang_up()
        await no_legs(world, before)


@scenario()
async def all_files_are_declined(world):
    """Who takes none of them has accepted nothing: it ends for both."""
    alice, bob = await world.pair()
    transfer = await Transfer(alice, bob, [PICTURE, DOCUMENT]).offer()
    body = describe(transfer.theirs, [(), ()], "passive", "recvonly", declined=transfer.theirs)
    response = transfer.server.respond(200, "OK", [("Contact", bob.contact)], body, "application/sdp")
    dialog = agent.Dialog(bob, transfer.server.flow, transfer.server.request, response, False)
    same((await transfer.outgoing.transaction.final()).status, 480, "INVITE of which no file is taken")
    await dialog.wait_bye()


@scenario(own={"limits.max_size_file": "5000", "limits.max_size_1to1": "100"}, once=True)
async def sizes_of_files(world):
    """Each file has the limit of files, a message without a name the one of messages: 403; sizes that contradict each
    other 488; a name that looks like a size is none (D2-11, D2-12)."""
    alice, bob = await world.pair()
    large = ["a=filename:x", "a=filesize:5001"]
    nameless = ["a=filesize:101"]
    unclear = ['a=filesize:5', 'a=file-selector:name:"x" size:6']
    for files, status in (([PICTURE, large], 403), ([large, PICTURE], 403), ([PICTURE, nameless], 403),
                          ([PICTURE, unclear], 488), ([unclear], 488), ([["a=filelength:101"]], 403),
                          ([["a=filename:x", "a=filelength:5", "a=filesize:6"]], 488),
                          ([["a=file-selector:size:5001"]], 403), ([['a=file-selector:name:"size:9" size:5001']], 403)):
        legs = [msrp.Leg(alice.msrp) for _ in files]
        response = await alice.invite(bob, offer=describe(legs, files, "actpass", "sendonly")).transaction.final()
        same(response.status, status, "INVITE with %s" % files)
    transfer = await Transfer(alice, bob, [PICTURE, ["a=filename:x", "a=filesize:5000"], SMALL]).offer()
    await transfer.answer()
    for number, (_, part) in enumerate(lines_of(transfer.answered)):
        check("a=max-size:5000\r\n" in part, "max-size of file %d: %r" % (number, part))
    await sent(transfer, 1, b"y" * 5000, chunk=1000)
    codes = await transfer.mine[2].send(b"z" * 5001, chunk=2000)
    same(codes[-1], 413, "more than a file may have")
    await transfer.hang_up()


@scenario()
async def recipient_connects(world):
    """An answer with a=setup:active for each file: the recipient connects to each path."""
    alice, bob = await world.pair()
    transfer = await Transfer(alice, bob, [PICTURE, DOCUMENT]).offer()
    await transfer.answer(setup="active")
    await sent(transfer, 1, b"d" * 9)
    await sent(transfer, 0, b"p" * 4092, chunk=1024)
    await transfer.hang_up()


@scenario(tuned=True)
async def one_file_ends_another_goes_on(world):
    """The sender closes the connection of the file that is over, the first or the second: the others go on, for longer
    than a session without connections would live."""
    alice, bob = await world.pair()
    for over, going_on in ((0, 1), (1, 0)):
        transfer = await Transfer(alice, bob, [PICTURE, DOCUMENT]).offer()
        await transfer.answer()
        await sent(transfer, over, b"f" * 9)
        transfer.mine[over].connection.close()
        await asyncio.wait_for(transfer.theirs[over].connection.closed.wait(), 5)
        await asyncio.sleep(0.8)  # longer than limits.reattach
        await sent(transfer, going_on, b"g" * 3000, chunk=1000)
        await transfer.hang_up()


@scenario()
async def sender_dies_in_one_file(world):
    """A connection that is lost in mid-chunk: that file is ended for the recipient by `#`, the other one goes on."""
    alice, bob = await world.pair()
    transfer = await Transfer(alice, bob, [PICTURE, DOCUMENT]).offer()
    await transfer.answer()
    leg = transfer.mine[0]
    tid, head = leg.begin_request(headers=[("Message-ID", "half"), ("Byte-Range", "1-*/9000"), ("Content-Type", "image/jpeg")])
    leg.connection.write(head + b"\r\n" + b"h" * 5000)
    while not (transfer.theirs[0].open and next(iter(transfer.theirs[0].open.values())).length):
        await asyncio.sleep(0.01)
    leg.connection.transport.abort()
    got = await transfer.theirs[0].message()
    same(got.chunks[-1].flag, "#", "end of the file")
    await sent(transfer, 1, b"g" * 9)
    await transfer.hang_up()


@scenario()
async def offers_among_files(world):
    """A re-INVITE of the sender in which a file that is over has port 0, or a line more: 200 with as many lines, the
    others as they were (RFC 5547 8.2, RFC 3264 8); fewer lines than before are 488."""
    alice, bob = await world.pair()
    transfer = await Transfer(alice, bob, [PICTURE, DOCUMENT, SMALL]).offer()
    await transfer.answer(declined=(2,))
    await sent(transfer, 0, b"p" * 4092)
    dialog, files = transfer.outgoing.dialog, [PICTURE, DOCUMENT, SMALL]

    async def change(body):
        transaction = dialog.request("INVITE", headers=[("Supported", "timer")], body=body, content_type="application/sdp")
        response = await transaction.final()
        if response.status == 200:
            dialog.ack(transaction)
        return response
    response = await change(describe(transfer.mine, files, "actpass", "sendonly", 2, transfer.mine[2:]))
    same((response.status, [bool(port) for port, _ in lines_of(response.body)]), (200, [True, True, False]), "refresh")
    paths = re.findall(r"a=path:(\S+)", response.body.decode())
    response = await change(describe(transfer.mine, files, "actpass", "sendonly", 3, [transfer.mine[0], transfer.mine[2]]))
    same((response.status, [bool(port) for port, _ in lines_of(response.body)]), (200, [False, True, False]), "one is over")
    same(re.findall(r"a=path:(\S+)", response.body.decode()), paths[1:], "path of the other")
    await sent(transfer, 1, b"d" * 9)
    more = [*transfer.mine, msrp.Leg(alice.msrp)]
    response = await change(describe(more, [*files, SMALL], "actpass", "sendonly", 4, [more[0], more[2]]))
    same((response.status, [bool(port) for port, _ in lines_of(response.body)]), (200, [False, True, False, False]),
         "a line more")
    response = await change(describe(transfer.mine[:1], files, "actpass", "sendonly", 5))
    same(response.status, 488, "fewer lines")
    await sent(transfer, 1, b"e" * 9)
    await transfer.hang_up()
