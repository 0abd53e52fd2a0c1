"""What a scenario works with: one running server, clients in front of it, in ims mode a core between,
and the register of scenarios."""
import asyncio

from ua import Failure, Witness, agent, certificates, check, sip, transport
from ua.core import Core
from ua.server import LISTEN_TLS, Server

SCENARIOS = []
DOMAIN = "example.com"

# Every server of the matrix. Pager messages to offline users are refused, so that these scenarios
# hold whether or not deferring is built; small waits keep the run short. A pool of 8 MiB for what is
# received, instead of 32, because its first use would count as growth of the server.
BASE = {"policy.offline_pager": "reject", "limits.unbound": "2s", "limits.reattach": "2s",
        "limits.max_size_1to1": "200MiB", "runtime.recv_buffers": "512"}
# A second server for scenarios that show what happens when time runs out.
TUNED = dict(BASE, **{"limits.unbound": "600ms", "timers.msrp_transaction": "2s", "timers.t1": "100ms",
                      "timers.client_answer": "1500ms", "limits.reattach": "500ms"})


class Skip(Exception):
    """The scenario does not apply here; counted as skipped."""


class Scenario:
    def __init__(self, function, modes, transports, tuned, own, once, seconds, settle, least_workers):
        self.function, self.name = function, function.__name__
        self.modes, self.transports, self.tuned, self.own = modes, transports, tuned, own
        self.once, self.seconds, self.settle = once, seconds, settle
        self.least_workers = least_workers


def scenario(modes=("standalone", "ims"), transports=("udp", "tcp"), tuned=False, own=None, once=False,
             seconds=40, settle=True, least_workers=1):
    """Registers a scenario; what is for tcp is for tls too. `tuned`: on the server with short timers; `own`:
    settings of a server of its own, or a function that makes them; `once`: once per mode and run; `settle`: afterwards the gauges must be back."""
    def register(function):
        SCENARIOS.append(Scenario(function, modes, transports, tuned, own, once, seconds, settle,
                                  least_workers))
        return function
    return register


class World:
    def __init__(self, server_path, mode, workers, io, transport_name, settings=None):
        self.mode, self.transport = mode, transport_name
        self.workers, self.io = workers, io
        self.witness = Witness()
        self.core = None
        self.server_path = server_path
        self.settings = dict(BASE if settings is None else settings)
        if transport_name == "tls":
            self.settings.setdefault("listen", LISTEN_TLS)
            self.settings.setdefault("tls", "[%s]" % certificates.settings())
        self.server = None
        self.agents = []
        self.sockets = []
        self.baseline = None
        self.patience = 15.0   # only who fails waits so long: other work may have the CPUs

    @property
    def ims(self):
        return self.mode == "ims"

    async def start(self):
        next_hop = ""
        if self.ims:
            self.core = await Core(self.witness, self.transport, DOMAIN).open()
            next_hop = self.core.next_hop()
        self.server = await Server(self.server_path, self.mode, self.workers, self.io, self.settings,
                                   next_hop).start()
        ready = self.server.ready
        self.witness.public = {"%s:%d" % address for address in [*ready.sip.values(), *ready.msrp.values()]}
        if self.ims:
            self.core.attach(self.sip_address)
        return self

    @property
    def sip_address(self):
        return self.server.ready.sip[self.transport]

    @property
    def msrp_address(self):
        return self.server.ready.msrp["tcp"]

    async def stop(self):
        self.close_clients()
        if self.core:
            self.core.close()
        return await self.server.stop()

    async def kill(self):
        self.close_clients()
        if self.core:
            self.core.close()
        await self.server.kill()

    # --- clients ---
    async def client(self, name, register=True, expires=600, **more):
        """A new user, by default registered."""
        outbound = (self.core.endpoint.host, self.core.endpoint.port) if self.ims else self.sip_address
        user = agent.Agent(self.witness, name, outbound, self.transport, DOMAIN,
                           patience=self.patience, **more)
        self.agents.append(user)
        await user.open()
        if register:
            response = await user.register(expires)
            check(response.status == 200, "REGISTER got %s" % response)
        return user

    async def pair(self):
        return await self.client("alice"), await self.client("bob")

    async def session(self, a=None, b=None, **more):
        """(Session of a, Session of b), established through the server."""
        a, b = a or await self.client("alice"), b or await self.client("bob")
        return await agent.establish(a, b, **more)

    async def normal_session(self):
        """What must still work after every insult."""
        sa, sb = await self.session()
        await sa.send("still here")
        got = await sb.receive()
        check(bytes(got.body) == b"still here", "text arrived as %r" % bytes(got.body))
        await sa.hang_up()
        await sb.wait_bye()

    def close_clients(self):
        for user in self.agents:
            user.close()
        for raw in self.sockets:
            raw.close()
        self.agents, self.sockets = [], []

    async def scatter(self, user):
        """From now on what the server gets from this user comes from many source ports."""
        await (self.core.endpoint if self.ims else user.endpoint).scatter()

    # --- raw requests ---
    async def raw(self, host="127.0.0.1", transport_name=None):
        name = transport_name or self.transport
        raw = await Raw(host, name).open(self.server.ready.sip[name])
        self.sockets.append(raw)
        return raw

    def request(self, method, raw, to=None, sender=None, without=(), headers=(), body=b"",
                which="orig"):
        """A well-formed initial request as the server expects it in this mode, for mutation. In ims
        mode `which` pass it enters: a request that gets through must enter `term`."""
        sender = sender or "sip:mallory@" + DOMAIN
        to = to or "sip:nobody@" + DOMAIN
        m = sip.Message(method, to)
        m.add("Via", "SIP/2.0/%s %s:%d;branch=%s" % (
            raw.transport.upper(), raw.host, raw.port, sip.branch()))
        m.add("Max-Forwards", "70").add("From", "<%s>;tag=%s" % (sender, sip.token(5)))
        m.add("To", "<%s>" % to).add("Call-ID", sip.token(10)).add("CSeq", "1 " + method)
        if method in ("INVITE", "REGISTER"):
            m.add("Contact", "<sip:mallory@%s:%d>" % (raw.host, raw.port))
        if method in ("INVITE", "MESSAGE"):
            m.add("Accept-Contact", "*;%s;require;explicit" % sip.FEATURE_TAG)
            if self.ims:
                m.add("Route", "<sip:%s:%d;lr;%s>" % (self.sip_address + (which,)))
                m.add("Route", "<%s;lr;odi=raw%s>" % (self.core.endpoint.uri(), sip.token(4)))
                m.add("P-Asserted-Identity", "<%s>" % sender)
        if method == "MESSAGE" and not body:
            body = b"hello"
        for name, value in headers:
            m.put(name, value)
        for name in without:
            m.remove(name)
        if body:
            m.put("Content-Type", dict(headers).get("Content-Type", "text/plain"))
            m.body = body
        return m

    # --- gauges ---
    async def gauges(self):
        """Sessions, legs, connections and descriptors. Connections between server and core are left
        out: every worker may keep its own."""
        metrics = await self.server.metrics()
        now = {name: metrics.sum(name) or 0 for name in (
            "imserv_sessions", "imserv_msrp_legs", "imserv_connections")}
        self.descriptors = self.server.descriptors()
        now["descriptors"] = len(self.descriptors)
        if self.ims and self.transport != "udp":
            for name in ("imserv_connections", "descriptors"):
                now[name] -= self.core.server_flows()
        return now

    async def remember(self):
        self.baseline = await self.gauges()
        self.known = self.descriptors

    async def settled(self, seconds=5):
        """Sessions, legs, connections and descriptors are back where they were."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            now = await self.gauges()
            if all(now[name] <= self.baseline[name] for name in now):
                return
            if loop.time() > end:
                raise Failure("not back: %s, before %s, new %s" % (
                    now, self.baseline, sorted(set(self.descriptors) - set(self.known))))
            await asyncio.sleep(0.05)


class Raw:
    """A socket without protocol: bytes out, SIP responses in."""

    def __init__(self, host, transport_name):
        self.host, self.transport = host, transport_name
        self.queue = asyncio.Queue()
        self.endpoint = transport.Endpoint("raw", Witness(), transport_name, host)
        self.endpoint.on_message = lambda message, flow: self.queue.put_nowait(message)
        self.flow = None

    async def open(self, address):
        await self.endpoint.open()
        self.port = self.endpoint.port
        self.flow = await self.endpoint.flow_to(address)
        return self

    def send(self, data):
        self.flow.send(data.encode() if isinstance(data, sip.Message) else data)

    async def answer(self, call_id=None, seconds=4, final=True):
        """The status of the next (final) response; 0 when the connection was closed instead."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            get = asyncio.ensure_future(self.queue.get())
            waits = {get}
            if self.transport != "udp":
                waits.add(self.flow.closed)
            await asyncio.wait(waits, timeout=max(0.001, end - loop.time()),
                               return_when=asyncio.FIRST_COMPLETED)
            if get.done():
                response = get.result()
                if response.method is None and (response.status >= 200 or not final) and (
                        call_id is None or response.call_id == call_id):
                    self.last = response
                    return response.status
                continue
            get.cancel()
            if self.transport != "udp" and self.flow.closed.done():
                return 0
            raise Failure("no answer within %.1f s" % seconds)

    async def ask(self, data, seconds=4):
        self.send(data)
        return await self.answer(data.call_id if isinstance(data, sip.Message) else None, seconds)

    def close(self):
        self.endpoint.close()
