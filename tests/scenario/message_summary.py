"""Subscriptions to one's own mailbox (RFC 3842, RFC 6665; 10.3.2.6, D2-27, F10): what each NOTIFY says, how a
subscription lives and ends, and what is refused."""
import asyncio
import re

from ua import REQ, agent, check, same, sip
from world import DOMAIN, scenario

EVENT = "message-summary"
TYPE = "application/simple-message-summary"
STORE = "store.example.com"
DEFER = {"policy.offline_pager": "defer"}
DISK = 25   # what a commit may take where the disk has other work


class Summary:
    """The body of a NOTIFY, read strictly: lines with CRLF, blocks of headers behind empty lines."""

    def __init__(self, body):
        text = body.decode()
        check(text.endswith("\r\n") and "\n" not in text.replace("\r\n", ""), "lines of %r" % text)
        head, *blocks = text[:-2].split("\r\n\r\n")
        self.head = self.fields(head)
        self.messages = [self.fields(block) for block in blocks]
        check(list(self.head)[:2] == ["Messages-Waiting", "Message-Account"], "first lines of %r" % head)
        for name in list(self.head)[2:]:
            check(re.fullmatch(r"\d+/\d+ \(\d+/\d+\)", self.head[name]), "%s: %s" % (name, self.head[name]))

    @staticmethod
    def fields(block):
        found = {}
        for line in block.split("\r\n"):
            name, colon, value = line.partition(": ")
            check(colon and name not in found, "line %r" % line)
            found[name] = value
        return found


class Watcher:
    """A subscriber. NOTIFYs may come before the 200 to SUBSCRIBE is seen, so they are awaited from the beginning."""

    def __init__(self, user, uri=None, event=EVENT, headers=()):
        self.user, self.uri, self.event, self.headers = user, uri or user.uri, event, list(headers)
        self.queue, self.dialog = asyncio.Queue(), None

    async def subscribe(self, expires=600, without=(), **more):
        """The response; on 200 there is a dialog."""
        headers = [("Accept-Contact", "*;" + sip.FEATURE_TAG), ("Event", self.event), ("Accept", TYPE)]
        headers += [("Expires", str(expires))] if expires is not None else []
        request = self.user.build("SUBSCRIBE", self.uri, headers=headers + self.headers, without=without, **more)
        key = (request.call_id, request.from_tag)
        self.user.dialogs[key] = self
        transaction = self.user.start(request)
        response = await transaction.final()
        if response.status == 200:
            self.dialog = agent.Dialog(self.user, transaction.flow, request, response, True)
            self.dialog.incoming = self.queue
            tags = sip.address(response.list("Contact")[0])[2]
            check("automata" in tags and sip.FEATURE_TAG in tags, "Contact %s" % response.all("Contact"))
        else:
            del self.user.dialogs[key]
        return response

    def received(self, server):   # until there is a dialog
        self.queue.put_nowait(server)

    async def again(self, expires=600, headers=()):
        """A SUBSCRIBE in the dialog; the response."""
        more = [("Accept-Contact", "*;" + sip.FEATURE_TAG), ("Event", self.event), ("Contact", self.user.contact)]
        more += [("Expires", str(expires))] if expires is not None else []
        names = [name for name, _ in headers]
        return await self.dialog.request("SUBSCRIBE", headers=[m for m in more if m[0] not in names] + list(headers)).final()

    async def notify(self, status=200, seconds=None):
        """(state, parameters of Subscription-State, Summary) of the next NOTIFY, which is answered."""
        server = await asyncio.wait_for(self.queue.get(), seconds or self.user.patience)
        request = server.request
        same(request.method, "NOTIFY", "request in the dialog")
        REQ("IM-10.3.2.6-1")
        check(request.get("Event") == self.event, "Event %r" % request.get("Event"))
        check(sip.FEATURE_TAG in request.get("Accept-Contact", ""), "Accept-Contact %r" % request.get("Accept-Contact"))
        check(request.get("Date", "").endswith(" GMT"), "Date %r" % request.get("Date"))
        check(request.get("User-Agent", "").startswith("IM-serv/OMA1.0"), "User-Agent %r" % request.get("User-Agent"))
        check("automata" in sip.address(request.list("Contact")[0])[2], "Contact %r" % request.all("Contact"))
        same(request.get("Content-Type"), TYPE, "Content-Type")
        server.respond(status)
        state, *parameters = request.get("Subscription-State").split(";")
        return state, dict(p.partition("=")[::2] for p in parameters), Summary(request.body)

    async def quiet(self, seconds):
        try:
            server = await asyncio.wait_for(self.queue.get(), seconds)
        except asyncio.TimeoutError:
            return
        check(False, "a NOTIFY too many: %s" % server.request)


async def watching(user, expires=600, **more):
    """A subscription whose first NOTIFY came."""
    watcher = Watcher(user, **more)
    same((await watcher.subscribe(expires)).status, 200, "SUBSCRIBE")
    state, parameters, summary = await watcher.notify()
    same(state, "active", "Subscription-State")
    return watcher, summary


@scenario()
async def summary_of_an_empty_mailbox(world):
    """200, then at once a NOTIFY that says so; a refresh brings another; Expires 0 ends it with a last one."""
    bob = await world.client("bob")
    watcher = Watcher(bob)
    response = await watcher.subscribe(1800)
    same((response.status, response.get("Expires")), (200, "1800"), "SUBSCRIBE")
    state, parameters, summary = await watcher.notify()
    same((state, summary.messages), ("active", []), "first NOTIFY")
    check(1790 <= int(parameters["expires"]) <= 1800, "expires %s" % parameters)
    same(summary.head, {"Messages-Waiting": "no", "Message-Account": "sip:%s@%s" % (bob.name, STORE)}, "body")
    response = await watcher.again(None)
    same((response.status, response.get("Expires")), (200, "3600"), "refresh")
    state, parameters, _ = await watcher.notify()
    check(state == "active" and 3590 <= int(parameters["expires"]) <= 3600, "after the refresh %s" % parameters)
    same((await watcher.again(0)).status, 200, "end")
    state, parameters, summary = await watcher.notify()
    same((state, parameters, summary.head["Messages-Waiting"]), ("terminated", {"reason": "timeout"}, "no"), "last NOTIFY")
    await watcher.quiet(0.1)
    same((await watcher.again()).status, 481, "SUBSCRIBE after the end")


@scenario(modes=("standalone",), transports=("tcp",))
async def summary_by_a_new_connection(world):
    """The subscriber's connection is lost and he refreshes by a new one: the NOTIFYs come by that."""
    bob = await world.client("bob")
    watcher, _ = await watching(bob)
    bob.flow.transport.abort()
    await world.server.logged("binding-unreachable user=%s@" % bob.name)
    bob.flow = watcher.dialog.flow = await bob.endpoint.flow_to(bob.outbound)
    same((await watcher.again()).status, 200, "refresh by the new connection")
    same((await watcher.notify())[0], "active", "NOTIFY by the new connection")
    same((await watcher.again(0)).status, 200, "end")
    same((await watcher.notify())[0], "terminated", "last NOTIFY")


@scenario()
async def summary_fetched(world):
    """Expires 0 at once is a fetch: one NOTIFY, terminated. Also under the name of the account at the store, and with
    an id, which each NOTIFY repeats."""
    bob = await world.client("bob")
    for watcher in (Watcher(bob), Watcher(bob, "sip:%s@%s" % (bob.name, STORE)), Watcher(bob, event=EVENT + ";id=q7")):
        response = await watcher.subscribe(0)
        same((response.status, response.get("Expires")), (200, "0"), "SUBSCRIBE")
        state, parameters, summary = await watcher.notify()
        same((state, parameters, summary.head["Messages-Waiting"]), ("terminated", {"reason": "timeout"}, "no"), "NOTIFY")
        await watcher.quiet(0.05)


@scenario()
async def summary_refusals(world):
    """Of somebody else 403; another format than ours 406; other events in the dialog 489; what is malformed 400."""
    alice, bob = await world.pair()
    response = await Watcher(alice, bob.uri).subscribe()
    same(response.status, 403, "the mailbox of somebody else")
    REQ("IM-10.3.2.6-1")
    same((await Watcher(alice, "sip:%s@%s" % (bob.name, STORE)).subscribe()).status, 403, "his account")
    if world.ims:
        same((await Watcher(alice).subscribe(without=("Accept-Contact",))).status, 403, "without the feature tag")
    response = await Watcher(alice, headers=[("Accept", "text/plain, application/pidf+xml")]).subscribe()
    same((response.status, response.list("Accept")), (406, [TYPE]), "another format")
    response = await Watcher(alice, event="presence").subscribe()
    same((response.status, response.list("Allow-Events")), (489, [EVENT]), "another package of his own")
    response = await Watcher(alice, headers=[("Require", "eventlist, timer, x-y")]).subscribe()
    same((response.status, response.list("Unsupported")), (420, ["eventlist", "x-y"]), "Require")
    same((await Watcher(alice, headers=[("Expires", "never")]).subscribe()).status, 400, "Expires: never")
    same((await Watcher(alice).subscribe(without=("Contact",))).status, 400, "without Contact")
    for accept in ("*/*", "application/*;q=0.2, text/plain", "text/x, Application/Simple-Message-Summary"):
        watcher = Watcher(alice, headers=[("Accept", accept)])
        same((await watcher.subscribe(0)).status, 200, "Accept: " + accept)
        await watcher.notify()
    watcher = Watcher(alice)
    same((await watcher.subscribe(0, without=("Accept",))).status, 200, "without Accept")
    await watcher.notify()
    watcher, _ = await watching(alice)
    for event in ("presence", EVENT + ";id=1"):
        response = await watcher.again(headers=[("Event", event)])
        same((response.status, response.list("Allow-Events")), (489, [EVENT]), "Event: %s in the dialog" % event)
    same((await watcher.dialog.request("INFO").final()).status, 405, "INFO in the dialog")
    same((await watcher.again(0)).status, 200, "end")
    await watcher.notify()


@scenario()
async def summary_not_wanted(world):
    """A subscriber who refuses a NOTIFY has no subscription any more (RFC 6665 4.2.2)."""
    bob = await world.client("bob")
    for status in (481, 403, 500):
        watcher = Watcher(bob)
        same((await watcher.subscribe()).status, 200, "SUBSCRIBE")
        await watcher.notify(status)
        for _ in range(100):   # the answer is on its way
            if (await watcher.again()).status == 481:
                break
            await asyncio.sleep(0.02)
        else:
            check(False, "still subscribed after %d" % status)
        while not watcher.queue.empty():
            watcher.queue.get_nowait().respond(481)


@scenario(tuned=True)
async def summary_to_nobody(world):
    """A subscriber who does not answer a NOTIFY has none either."""
    bob = await world.client("bob")
    watcher = Watcher(bob)
    same((await watcher.subscribe()).status, 200, "SUBSCRIBE")
    await asyncio.wait_for(watcher.queue.get(), bob.patience)
    for _ in range(400):
        metrics = await world.server.metrics()
        if metrics.values['imserv_pool_used{pool="subscriptions"}'] == 0:
            break
        await asyncio.sleep(0.1)
    else:
        check(False, "still subscribed")
    same((await watcher.again()).status, 481, "SUBSCRIBE afterwards")


@scenario()
async def summary_expires(world):
    """Without a refresh it ends by a last NOTIFY."""
    bob = await world.client("bob")
    watcher, _ = await watching(bob, 1)
    state, parameters, _ = await watcher.notify()
    same((state, parameters), ("terminated", {"reason": "timeout"}), "last NOTIFY")
    same((await watcher.again()).status, 481, "refresh that is too late")


@scenario()
async def summaries_of_one_user(world):
    """Eight subscriptions of one user; the ninth is refused with Retry-After, until one ends."""
    bob = await world.client("bob")
    all_of_them = [(await watching(bob))[0] for _ in range(8)]
    response = await Watcher(bob).subscribe()
    same(response.status, 503, "the ninth")
    check(int(response.get("Retry-After")) > 0, "Retry-After %r" % response.get("Retry-After"))
    same((await all_of_them[0].again(0)).status, 200, "end of one")
    await all_of_them.pop(0).notify()
    for _ in range(100):   # until our 200 to that NOTIFY has arrived
        ninth = Watcher(bob)
        if (await ninth.subscribe()).status == 200:
            break
        await asyncio.sleep(0.02)
    await ninth.notify()
    for watcher in all_of_them + [ninth]:
        same((await watcher.again(0)).status, 200, "end")
        await watcher.notify()


async def told(watcher, what, text=0, urgent=0, multimedia=0, multimedia_urgent=0):
    """The NOTIFY that says so; those before it may say less."""
    expected = {"Text-Message": "%d/0 (%d/0)" % (text, urgent), "Multimedia-Message": "%d/0 (%d/0)" % (
        multimedia, multimedia_urgent)}
    while True:
        try:
            _, _, summary = await watcher.notify(seconds=DISK)
        except asyncio.TimeoutError:
            check(False, "no NOTIFY after " + what)
        same(summary.head["Messages-Waiting"], "yes" if len(summary.head) > 2 else "no", "Messages-Waiting")
        if all(summary.head.get(name, "0/0 (0/0)") == value for name, value in expected.items()):
            return summary


@scenario(own=DEFER, once=True, seconds=90)
async def summary_of_what_waits(world):
    """F10: a NOTIFY follows what is stored, with counts and a block for each message; who hides is not named."""
    alice, bob = await world.client("alice"), await world.client("bob")
    same((await bob.register(0)).status, 200, "de-registration")
    watcher, summary = await watching(bob)
    same(summary.head["Messages-Waiting"], "no", "Messages-Waiting")

    async def send(text="hello", content_type="text/plain", headers=()):
        same((await alice.pager(bob, text, content_type, headers=headers, seconds=DISK)).status, 202, "MESSAGE")
    await send(headers=[("Subject", "carpool tomorrow?"), ("Priority", "normal"), ("Date", "Mon, 10 Jul 2000 04:23:01 GMT")])
    summary = await told(watcher, "the first", 1)
    block = summary.messages[0]
    same(list(block), ["To", "From", "Subject", "Date", "Priority", "Message-ID", "P-Asserted-Identity"], "headers")
    REQ("IM-10.3.2.6-1", "IM-10.3.2.6-2", "IM-K-3")
    same((sip.address(block["To"])[1], sip.address(block["From"])[1], block["Subject"], block["Priority"], block["Date"]),
         (bob.uri, alice.uri, "carpool tomorrow?", "normal", "Mon, 10 Jul 2000 04:23:01 GMT"), "values")
    same(sip.address(block["P-Asserted-Identity"])[1], alice.uri, "P-Asserted-Identity")
    check(re.fullmatch(r"sip:[a-z0-9]{26,}@" + re.escape(STORE), block["Message-ID"]), "Message-ID %r" % block["Message-ID"])
    await send(headers=[("Priority", "urgent")])
    await send(content_type="image/jpeg")
    await send(headers=[("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=x'), ("Privacy", "id"),
                        ("P-Preferred-Identity", "<%s>" % alice.uri)])
    summary = await told(watcher, "three more", 3, 1, 1)
    same(len(summary.messages), 4, "blocks")
    same(summary.messages[0], block, "the oldest first")
    same(len({m["Message-ID"] for m in summary.messages}), 4, "Message-IDs")
    hidden = summary.messages[3]
    check("P-Asserted-Identity" not in hidden and alice.name not in str(hidden), "who hides: %s" % hidden)
    again, summary = await watching(bob)
    same(len(summary.messages), 4, "blocks for another subscriber")
    await send()
    for one in (watcher, again):
        await told(one, "one more", 4, 1, 1)
        same((await one.again(0)).status, 200, "end")
        state, _, summary = await one.notify()
        same((state, len(summary.messages)), ("terminated", 5), "last NOTIFY")
    await send()
    await watcher.quiet(0.1)


@scenario(own=dict(DEFER, **{"deferred.quota_messages": "0"}), once=True, seconds=90)
async def summary_of_very_much(world):
    """The counts are complete, blocks there are a hundred, of the oldest; so much goes by a stream or, where there is
    none, in one datagram."""
    alice, bob = await world.client("alice"), await world.client("bob")
    same((await bob.register(0)).status, 200, "de-registration")
    for number in range(0, 104, 8):
        answers = await asyncio.gather(*(alice.pager(bob, "hello", headers=[("Subject", "number %d" % (number + i))],
                                                     seconds=DISK)
                                         for i in range(8)))
        same({answer.status for answer in answers}, {202}, "MESSAGEs")
    watcher = Watcher(bob)
    same((await watcher.subscribe(0)).status, 200, "SUBSCRIBE")
    state, _, summary = await watcher.notify(seconds=DISK)
    same((state, summary.head["Text-Message"], len(summary.messages)), ("terminated", "104/0 (0/0)", 100), "NOTIFY")
    check({m["Subject"] for m in summary.messages[:8]} == {"number %d" % i for i in range(8)}, "the oldest first")
    REQ("IM-10.3.2.6-2")


@scenario(own=DEFER, once=True, seconds=60)
async def summary_of_what_expires(world):
    """What expires is gone from the counts, and its owner hears of it (D2-19)."""
    alice, bob = await world.client("alice"), await world.client("bob")
    same((await bob.register(0)).status, 200, "de-registration")
    watcher, _ = await watching(bob)
    same((await alice.pager(bob, "for a moment", headers=[("Expires", "3")], seconds=DISK)).status, 202, "MESSAGE")
    summary = await told(watcher, "its expiry")   # before that, on a machine that is fast enough, one that counts it
    same(summary.messages, [], "blocks")
    same((await watcher.again(0)).status, 200, "end")
    await watcher.notify()
