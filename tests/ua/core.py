"""A tiny S-CSCF for ims mode: routes requests of registered clients through the server's originating
and terminating pass and on to the called client, as a proxy that stays on the path of dialogs.

Each pass is steered by Route: the server's own URI with `orig` or `term`, then ours with an
original-dialog token (`odi`), which must come back as the topmost Route of what the server sends."""
import asyncio
import hashlib

from . import check, sip, transport


RECORDED = ("INVITE", "SUBSCRIBE", "REFER")  # what makes dialogs: we stay on their path


class Core:
    def __init__(self, witness, transport_name="udp", domain="example.com", host="127.0.0.1"):
        self.witness, self.domain = witness, domain
        self.endpoint = transport.Endpoint("core", witness, transport_name, host)
        self.endpoint.on_message = self._received
        self.server = None            # (host, port) of the server's SIP listener
        self.users = {}               # user name -> (contact URI, flow)
        self.clients = {}             # peer address of a flow -> user name
        self.tokens = {}              # odi -> pass it belongs to
        self.upstream = {}            # branch we minted -> flow of the request
        self.recorded = set()         # branches of INVITEs that carry our Record-Route
        self.pending = {}             # branch of our own requests -> future
        self.to_server = []           # requests and responses seen, for assertions
        self.from_server = []
        self.asserted = {}            # user -> P-Asserted-Identity instead of the usual one
        self.assert_identity = True
        self.elsewhere = None         # user who stands for all that is in other domains
        self.own = []                 # requests that the server sends of its own accord
        self.own_branches = set()
        self.own_by_term = False      # they go through its terminating port too

    async def open(self):
        await self.endpoint.open()
        return self

    def close(self):
        self.endpoint.close()

    def server_flows(self):
        """How many connections to and from the server stay between scenarios. Those of clients that reset() forgot
        may still be closing."""
        return len([f for f in self.endpoint.flows if not f.is_client])

    def next_hop(self):
        return self.endpoint.uri()

    def attach(self, address):
        """Send to the server at this address from now on."""
        self.server = address

    def reset(self):
        """Before a scenario. What may still be under way of the last one finds its way home."""
        for table in (self.users, self.clients, self.asserted):
            table.clear()
        self.to_server.clear(), self.from_server.clear()
        self.own.clear(), self.own_branches.clear()
        self.assert_identity, self.elsewhere, self.own_by_term = True, None, False

    # --- third-party registration (TS 24.229 5.4.1.7) ---
    async def third_party_register(self, uri, expires, seconds=6, request_uri=None):
        branch = sip.branch()
        request = sip.Message("REGISTER", request_uri or "sip:%s:%d" % (sip.bracketed(self.server[0]), self.server[1]))
        request.add("Via", self.endpoint.via(branch)).add("Max-Forwards", "70")
        request.add("From", "<%s>;tag=%s" % (self.endpoint.uri(), sip.token(5)))
        request.add("To", "<%s>" % uri).add("Call-ID", sip.token(10)).add("CSeq", "1 REGISTER")
        request.add("Contact", "<%s>" % self.endpoint.uri()).add("Expires", str(expires))
        future = asyncio.get_running_loop().create_future()
        self.pending[branch] = future
        for pause in (0.5, 1, 2, 4):
            await self._send(request, None)
            try:
                response = await asyncio.wait_for(asyncio.shield(future), min(pause, seconds))
                sip.check_response(response, request, self.witness)
                return response
            except asyncio.TimeoutError:
                check(self.endpoint.transport == "udp", "no answer to third-party REGISTER")
        check(False, "no answer to third-party REGISTER")

    # --- routing ---
    def _received(self, message, flow):
        """Clients are known by the address they registered from; everybody else is the server."""
        name = self.clients.get(flow.peer)
        if message.method is None:
            self._response(message, name)
        elif name or message.method == "REGISTER":
            self._from_client(message, flow, name)
        else:
            self.from_server.append(message.copy())
            if sip.check_request(message, self.witness):
                self._from_server(message, flow)

    def _forward(self, request, flow, upstream):
        """To a client by its flow, to the server with None. Push our Via; the branch is a function of the branch received, so that retransmissions,
        CANCEL and ACK of a failure get the same one."""
        digest = hashlib.sha256((request.branch + sip.via(request.list("Via")[0])[1]).encode())
        branch = "z9hG4bKcore" + digest.hexdigest()[:24]
        self.upstream[branch] = upstream
        request.push("Via", self.endpoint.via(branch))
        request.put("Max-Forwards", str(int(request.get("Max-Forwards")) - 1))
        if request.method in RECORDED and not request.to_tag:
            self.recorded.add(branch)
        asyncio.ensure_future(self._send(request, flow))

    async def _send(self, request, flow):
        if flow is None:
            flow = await self.endpoint.flow_to(self.server)
            self.to_server.append(request.copy())
        self.endpoint.send(request, flow)

    def _pop_own_route(self, request):
        """Takes our URI from the top of Route; returns its parameters or None."""
        routes = request.list("Route")
        if not routes:
            return None
        parts = sip.uri_parts(sip.address(routes[0])[1])
        if parts[2:4] != (sip.bracketed(self.endpoint.host), self.endpoint.port):
            return None
        request.remove("Route")
        for route in routes[1:]:
            request.add("Route", route)
        return parts[4]

    def _steer(self, request, which):
        """Send an initial request into a pass of the server. The token names the transaction."""
        digest = hashlib.sha256((which + request.branch + request.call_id).encode())
        token = digest.hexdigest()[:20]
        self.tokens[token] = which
        routes = request.list("Route")
        request.remove("Route")
        request.add("Route", "<sip:%s:%d;lr;%s>" % (sip.bracketed(self.server[0]), self.server[1], which))
        request.add("Route", "<%s;lr;odi=%s>" % (self.endpoint.uri(), token))
        for route in routes:
            request.add("Route", route)
        if request.method in RECORDED and not request.to_tag:
            request.push("Record-Route", "<%s;lr>" % self.endpoint.uri())

    def _from_client(self, request, flow, name):
        if request.method == "REGISTER":
            self._register(request, flow)
            return
        own = self._pop_own_route(request)
        if own is not None:           # inside a dialog
            self._forward(request, None, flow)
            return
        request.remove("P-Asserted-Identity").remove("P-Preferred-Identity")
        if self.assert_identity and request.method not in ("ACK", "CANCEL"):
            request.add("P-Asserted-Identity", self.identity(name))
        self._steer(request, "orig")
        self._forward(request, None, flow)

    def identity(self, name):
        return self.asserted.get(name, "<sip:%s@%s>" % (name, self.domain))

    def _register(self, request, flow):
        uri = sip.address(request.get("To"))[1]
        name = sip.uri_parts(uri)[1]
        expires = int(request.get("Expires", "3600"))
        contact = sip.address(request.list("Contact")[0])[1]
        self.users[name] = (contact, flow)
        self.clients[flow.peer] = name
        flow.is_client = True

        async def finish():
            answer = await self.third_party_register(uri, expires)
            response = sip.response_to(request, answer.status, answer.reason, sip.token(5))
            response.add("Contact", "<%s>;expires=%d" % (contact, expires))
            response.add("Expires", str(expires)).add("Server", "IM-serv/OMA1.0 core")
            self.endpoint.send(response, flow)
        if not self._seen(request):
            asyncio.ensure_future(finish())

    def _seen(self, request):
        seen = request.branch in self.upstream
        self.upstream[request.branch] = None
        return seen

    def _from_server(self, request, flow):
        own = self._pop_own_route(request)
        if own is None and not request.to_tag or request.branch in self.own_branches:
            self._from_function(request, flow)
            return
        self.witness.expect(own is not None, "%s from the server without our Route on top: %s" % (
            request, request.all("Route")))
        token = (own or {}).get("odi")
        which = self.tokens.get(token)
        if request.to_tag and which is None:  # a CANCEL has the To tag of its re-INVITE
            routes = request.list("Route")
            further = sip.address(routes[0])[1] if routes else request.uri
            if sip.uri_parts(further)[2:4] == (sip.bracketed(self.server[0]), self.server[1]):  # to the other pass
                self._forward(request, None, flow)
            else:
                self._to_client(request, flow)
            return
        self.witness.expect(which, "%s: original-dialog token %r did not come back" % (request, token))
        if which == "orig":
            host = sip.uri_parts(request.uri)[2]
            if self.elsewhere and host not in (self.domain, sip.bracketed(self.server[0])):
                request.push("Record-Route", "<%s;lr>" % self.endpoint.uri())
                self._forward(request, self.users[self.elsewhere][1], flow)
                return
            self.witness.expect(host in (self.domain, sip.bracketed(self.server[0])), "%s leaves the home domain" % request)
            self._steer(request, "term")
            self._forward(request, None, flow)
        else:
            if request.method in RECORDED:
                request.push("Record-Route", "<%s;lr>" % self.endpoint.uri())
            self._to_client(request, flow)

    def _from_function(self, request, flow):
        """What its Deferred Function begins: no original dialog, so no token."""
        if request.branch not in self.own_branches:
            self.own_branches.add(request.branch)
            self.own.append(request.copy())
        if request.method in RECORDED and not self.own_by_term:
            request.push("Record-Route", "<%s;lr>" % self.endpoint.uri())
        if self.own_by_term and request.method == "ACK":
            request.add("Route", "<sip:%s:%d;lr;term>" % (sip.bracketed(self.server[0]), self.server[1]))
            self._forward(request, None, flow)
        elif self.own_by_term:
            self._steer(request, "term")
            self._forward(request, None, flow)
        else:
            self._to_client(request, flow)

    def _to_client(self, request, flow):
        user = sip.uri_parts(request.uri)[1]
        contact, client = self.users.get(user, (None, None))
        if contact is None:
            response = sip.response_to(request, 404, "Not Found", sip.token(5))
            if request.method != "ACK":
                self.endpoint.send(response, flow)
            return
        request.uri = contact
        if "id" in [v.strip() for p in request.all("Privacy") for v in p.split(";")]:
            request.remove("P-Asserted-Identity")
        self._forward(request, client, flow)

    def _response(self, response, client):
        branch = response.branch or ""
        if branch in self.pending:
            future = self.pending[branch]
            if not future.done():
                future.set_result(response)
            return
        if branch not in self.upstream:
            self.witness.note("core: %s matches no request" % response)
            return
        if client is None:
            self.from_server.append(response.copy())
            if (branch in self.recorded and response.cseq[1] in RECORDED
                    and 100 < response.status < 300):
                self.witness.expect(self.endpoint.sent_by in ",".join(response.all("Record-Route")),
                                    "%s to %s without our Record-Route (RFC 3261 12.1.1)" % (
                                        response, response.cseq[1]))
        flow = self.upstream[branch]
        values = response.list("Via")
        response.remove("Via")
        response.headers[:0] = [("Via", v) for v in values[1:]]
        if client:
            response.remove("P-Asserted-Identity").add("P-Asserted-Identity", self.identity(client))
        if flow is not None:
            self.endpoint.send(response, flow)
