"""A user agent: registration, requests, dialogs, IM sessions of SIP and MSRP together."""
import asyncio
import itertools

from . import Failure, check, msrp, referral, sdp, sip, subscription, transaction, transport

ALLOW = "INVITE, ACK, CANCEL, BYE, MESSAGE, OPTIONS, UPDATE, PRACK, NOTIFY, INFO"
USER_AGENT = "IM-client/OMA1.0 test"
RESOURCE_LISTS = ('<?xml version="1.0" encoding="UTF-8"?>\r\n<resource-lists '
                  'xmlns="urn:ietf:params:xml:ns:resource-lists"><list>%s</list></resource-lists>\r\n')
LIST_BODY = (b"--b7\r\nContent-Type: application/sdp\r\n\r\n%s\r\n--b7\r\nContent-Type: "
             b"application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n%s\r\n--b7--\r\n")
_names = itertools.count(1)


class Dialog:
    """One dialog of this agent, with the checks of RFC 3261 12.2.2 on what the peer sends."""

    def __init__(self, agent, flow, first, response, outgoing):
        self.agent, self.flow, self.outgoing = agent, flow, outgoing
        self.invite, self.response = first, response
        self.call_id = first.call_id
        if outgoing:
            self.local, self.remote = first.get("From"), response.get("To")
            self.route = response.list("Record-Route")[::-1]
            target, self.cseq, self.remote_cseq = response, first.cseq[0], None
        else:
            self.local, self.remote = response.get("To"), first.get("From")
            self.route = first.list("Record-Route")
            target, self.cseq, self.remote_cseq = first, 100, first.cseq[0]
        self.local_tag = sip.address(self.local)[2]["tag"]
        self.remote_tag = sip.address(self.remote)[2].get("tag")
        self.target = sip.address(target.list("Contact")[0])[1]
        self.ended = asyncio.Event()
        self.bye = None               # the BYE that ended it
        self.acknowledged = asyncio.Event()
        self.incoming = asyncio.Queue()
        self.referrals = []           # of REFERs in it, or of the one that made it
        agent.dialogs[(self.call_id, self.local_tag)] = self

    def build(self, method, headers=(), body=b"", content_type=None):
        if method not in ("ACK", "CANCEL"):
            self.cseq += 1
        request = sip.Message(method, self.target)
        request.add("Via", self.agent.endpoint.via(sip.branch())).add("Max-Forwards", "70")
        for route in self.route:
            request.add("Route", route)
        request.add("From", self.local).add("To", self.remote).add("Call-ID", self.call_id)
        request.add("CSeq", "%d %s" % (self.cseq, method))
        if method in ("INVITE", "UPDATE"):
            request.add("Contact", self.agent.contact)
        request.add("User-Agent", USER_AGENT)
        for name, value in headers:
            request.add(name, value)
        if body:
            request.add("Content-Type", content_type)
            request.body = body
        return request

    def request(self, method, **more):
        return self.agent.layer.start(self.build(method, **more), self.flow)

    def ack(self, transaction):
        """Acknowledge the 2xx of our INVITE, and each copy of it that comes later."""
        request = self.build("ACK")
        request.put("CSeq", "%d ACK" % transaction.request.cseq[0])
        transaction.ack = request.encode()
        self.agent.endpoint.send(request, self.flow)

    def received(self, server):
        request = server.request
        witness = self.agent.witness
        witness.expect(request.from_tag == self.remote_tag and request.to_tag == self.local_tag,
                       "%s with tags of another dialog" % request)
        if self.remote_cseq is not None:
            witness.expect(request.cseq[0] > self.remote_cseq, "%s: CSeq %d after %d" % (
                request, request.cseq[0], self.remote_cseq))
        self.remote_cseq = request.cseq[0]
        witness.expect(request.uri == sip.address(self.agent.contact)[1],
                       "%s: Request-URI is not our Contact %s" % (request, self.agent.contact))
        if any(sent.takes(server) for sent in self.referrals):
            return
        if request.method == "BYE":
            if self.ended.is_set():
                server.respond(481, "Call/Transaction Does Not Exist")
                return
            self.bye = request
            server.respond(200, "OK")
            self.finish()
        elif self.agent.auto_refresh and request.method in ("UPDATE", "INVITE") and not request.body:
            server.respond(200, "OK", [("Contact", self.agent.contact), ("Allow", ALLOW)])
        else:
            self.incoming.put_nowait(server)

    def finish(self):
        self.ended.set()

    async def wait_bye(self, seconds=None):
        try:
            await asyncio.wait_for(self.ended.wait(), seconds or self.agent.patience)
        except asyncio.TimeoutError:
            raise Failure("%s got no BYE" % self.agent.name) from None
        check(self.bye is not None, "%s ended the dialog itself" % self.agent.name)
        return self.bye

    async def hang_up(self, **more):
        """BYE, expecting 200."""
        self.finish()
        response = await self.request("BYE", **more).final()
        check(response.status == 200, "BYE got %s" % response)
        return response


class Session:
    """An IM session as one agent has it: dialog, MSRP leg, what was offered and answered."""

    def __init__(self, agent, leg, offer=None):
        self.agent, self.leg = agent, leg
        self.offer, self.answer = offer, None
        self.transaction = self.dialog = self.response = None
        self.active = False
        self.auto_ack = True

    def answered(self, response):
        """A 2xx makes the dialog at once: a BYE may be right behind it."""
        self.response = response
        self.dialog = Dialog(self.agent, self.transaction.flow, self.transaction.request, response,
                             True)
        if self.auto_ack:
            self.dialog.ack(self.transaction)

    def remote_description(self, body, what):
        """Read the peer's SDP strictly; its path becomes the leg's remote path."""
        description = sdp.Description(body)
        for problem in description.problems:
            self.agent.witness.note("SDP of %s: %s" % (what, problem))
        self.leg.remote = [*reversed(self.leg.local.relays), *description.path]
        self.leg.check_paths()
        if self.agent.witness.server and description.path:
            check(len(description.path) == 1, "path of %s: %r" % (what, description.path))
            uri = msrp.Uri(description.path[0])
            # D2-54: at least 128 random bits, in base32 at least 26 characters
            self.agent.witness.expect(len(uri.session_id) >= 26, "session-id %r" % uri.session_id)
            self.agent.witness.expect(uri.port == description.port, "port %d in m-line, path %s" % (
                description.port, uri))
        return description

    async def established(self, seconds=None, connection=None, bind=True):
        """Wait for the 2xx of our INVITE and bind the MSRP leg."""
        response = await self.transaction.final(seconds)
        check(response.status == 200, "INVITE of %s got %s" % (self.agent.name, response))
        if not self.auto_ack:
            self.dialog.ack(self.transaction)
        self.answer = self.remote_description(response.body, "200 to INVITE")
        offered = sdp.Description(self.transaction.request.body).setup
        check(not (offered == "actpass" and self.answer.setup not in ("active", "passive")),
              "actpass answered with a=setup:%s" % self.answer.setup)
        check(not (offered == "active" and self.answer.setup not in ("passive", None)),
              "active answered with a=setup:%s" % self.answer.setup)
        check(not (offered == "passive" and self.answer.setup != "active"),
              "passive answered with a=setup:%s" % self.answer.setup)
        check(not (offered == "holdconn" and self.answer.setup != "holdconn"),
              "holdconn answered with a=setup:%s" % self.answer.setup)
        self.active = self.answer.setup not in ("active", "holdconn")
        if bind:
            await self.bind(connection)
        return self

    async def bind(self, connection=None):
        if self.active:
            await self.leg.connect(connection)
        else:
            await self.leg.wait_bound()

    async def send(self, text, **more):
        """One text message; every chunk must get 200."""
        body = text if isinstance(text, bytes) else text.encode()
        codes = await self.leg.send(body, **more)
        check(set(codes) <= {200}, "%s: MSRP responses %s" % (self.agent.name, codes))

    async def receive(self, seconds=None):
        return await self.leg.message(seconds)

    async def hang_up(self, **more):
        await self.dialog.hang_up(**more)
        self.leg.close()

    async def wait_bye(self, seconds=None):
        bye = await self.dialog.wait_bye(seconds)
        self.leg.close()
        return bye


class Invitation(Session):
    """An INVITE that came in."""

    def __init__(self, agent, server):
        super().__init__(agent, msrp.Leg(agent.msrp))
        self.server, self.request = server, server.request
        agent.keep_secret(self.leg)
        self.offer = self.remote_description(server.request.body, "INVITE") \
            if server.request.body else None

    def ring(self, status=180, headers=()):
        self.server.respond(status, "Ringing" if status == 180 else None,
                            [("Contact", self.agent.contact), *headers])

    def refuse(self, status, headers=()):
        self.server.respond(status, None, headers)

    async def accept(self, setup="passive", headers=(), direction=None, bind=True, accept=None,
                     session_timer=True, wait=True, edit=None, extra=()):
        """200 with our answer; as the active side also connect."""
        body = sdp.build(self.leg.local, setup, direction, accept or "text/plain message/cpim *", extra=extra)
        body = edit(body) if edit else body
        more = [("Contact", self.agent.contact), ("Allow", ALLOW), *headers]
        expires = self.request.get("Session-Expires")
        if session_timer and expires:
            more += [("Session-Expires", expires.partition(";")[0] + ";refresher=uas")]
        response = self.server.respond(200, "OK", more, body, "application/sdp")
        self.dialog = Dialog(self.agent, self.server.flow, self.request, response, False)
        self.server.on_ack = lambda ack: self.dialog.acknowledged.set()
        self.active = setup == "active"
        if wait:
            await self.server.wait_ack()
        if bind and wait:
            await self.bind()
        return self


class Agent:
    """A user with one SIP endpoint and one MSRP endpoint, talking to `outbound` (host, port)."""

    def __init__(self, witness, name, outbound, transport_name="udp", domain="example.com",
                 host="127.0.0.1", patience=6.0, feature_tag=True, unique=True, certificate=None):
        self.witness, self.outbound, self.domain = witness, outbound, domain
        self.name = "%s%d" % (name, next(_names)) if unique else name
        self.endpoint = transport.Endpoint(self.name, witness, transport_name, host)
        self.layer = transaction.Layer(self.endpoint, patience)
        self.msrp = msrp.Endpoint(witness, host, patience, certificate)
        self.patience, self.feature_tag = patience, feature_tag
        self.incoming = asyncio.Queue()
        self.dialogs = {}
        self.acks = []
        self.flow = None
        self.auto_refresh = True
        self.features = ""            # of our Contact besides: ";isfocus"
        self.login = None             # digest.Login: requests outside dialogs carry credentials
        self.layer.on_request = self._request
        self.layer.on_ack = self._ack
        self.log = []                 # every message received, for header checks

    @property
    def uri(self):
        return "sip:%s@%s" % (self.name, self.domain)

    @property
    def contact(self):
        tag = ";" + sip.FEATURE_TAG if self.feature_tag else ""
        return "<%s>%s%s" % (self.endpoint.uri(self.name), self.features, tag)

    async def open(self):
        await self.endpoint.open()
        await self.msrp.open()
        receive = self.endpoint.on_message

        def observed(message, flow):
            self.log.append(message)
            self.witness.leak_check(self.name, message.encode().decode("utf-8", "replace"))
            receive(message, flow)
        self.endpoint.on_message = observed
        # what must never reach the other side of the B2BUA: our address, our path, our Call-IDs
        self.witness.secrets[self.endpoint.sent_by] = self.name
        self.flow = await self.endpoint.flow_to(self.outbound)
        return self

    def keep_secret(self, leg):
        self.witness.secrets[leg.local.session_id] = self.name

    def close(self):
        self.layer.close()
        self.endpoint.close()
        self.msrp.close()

    def _request(self, server):
        request = server.request
        dialog = self.dialogs.get((request.call_id, request.to_tag))
        if dialog:
            dialog.received(server)
        elif request.to_tag:
            server.respond(481, "Call/Transaction Does Not Exist")
        else:
            self.incoming.put_nowait(server)

    def _ack(self, request):
        for server in self.layer.servers.values():
            if (server.request.method == "INVITE" and server.request.call_id == request.call_id
                    and server.last is not None and server.request.cseq[0] == request.cseq[0]):
                server.ack(request)
                return
        self.acks.append(request)
        self.witness.note("%s: ACK for no INVITE" % self.name)

    # --- outside dialogs ---
    def build(self, method, uri, headers=(), body=b"", content_type=None, without=()):
        request = sip.Message(method, uri)
        request.add("Via", self.endpoint.via(sip.branch())).add("Max-Forwards", "70")
        request.add("From", "<%s>;tag=%s" % (self.uri, sip.token(5)))
        request.add("To", "<%s>" % uri).add("Call-ID", sip.token(10)).add("CSeq", "1 " + method)
        if method in ("INVITE", "REGISTER", "SUBSCRIBE"):
            request.add("Contact", self.contact)
        if self.feature_tag and method in ("INVITE", "MESSAGE"):
            request.add("Accept-Contact", "*;%s;require;explicit" % sip.FEATURE_TAG)
        request.add("User-Agent", USER_AGENT)
        for name, value in headers:
            request.put(name, value)
        for name in without:
            request.remove(name)
        if body:
            request.put("Content-Type", content_type or "text/plain")
            request.body = body
        if self.login:
            self.login.authorize(request)
        return request

    def start(self, request):
        """Send a request in a transaction of its own."""
        self.witness.secrets[request.call_id] = self.name
        return self.layer.start(request, self.flow)

    async def ask(self, method, uri, seconds=None, **more):
        return await self.start(self.build(method, uri, **more)).final(seconds)

    async def register(self, expires=600, headers=(), **more):
        request = self.build("REGISTER", "sip:" + self.domain, headers=headers, **more)
        request.put("To", "<%s>" % self.uri)
        if expires is not None:
            request.put("Expires", str(expires))
        return await self.start(request).final()

    async def pager(self, peer, text, content_type="text/plain", **more):
        body = text if isinstance(text, bytes) else text.encode()
        return await self.ask("MESSAGE", getattr(peer, "uri", peer), body=body,
                              content_type=content_type, **more)

    def invite(self, peer, setup="actpass", direction=None, headers=(), offer=None, extra=(),
               accept="text/plain message/cpim *", timer="1800;refresher=uac", edit=None,
               content_type="application/sdp", **more):
        """Send an INVITE with an SDP offer; `.established()` of the result completes the session."""
        session = Session(self, msrp.Leg(self.msrp))
        self.keep_secret(session.leg)
        body = offer if offer is not None else sdp.build(session.leg.local, setup, direction, accept,
                                                          extra=extra)
        if edit:
            body = edit(body)
        basic = [("Allow", ALLOW)]
        if timer:
            basic += [("Supported", "timer"), ("Session-Expires", timer)]
        request = self.build("INVITE", getattr(peer, "uri", peer), headers=basic + list(headers),
                             body=body, content_type=content_type, **more)
        session.transaction = self.start(request)
        session.transaction.on_success = session.answered
        return session

    def refer(self, uri, to=None, **more):
        """REFER to `uri`, or in a `dialog`; see referral.build(). The result has accepted(), refused() and
        progress(), finished() of its NOTIFYs."""
        request = referral.build(self, getattr(uri, "uri", uri), to, **more)
        dialog = more.get("dialog")
        if not dialog:
            self.witness.secrets[request.call_id] = self.name
        return referral.Referral(self, request, dialog.flow if dialog else self.flow, dialog, Dialog).start()

    def invite_list(self, entries, to=None, xml=None, headers=(), **more):
        """INVITE with a list of users (RFC 5366) to the conference factory, or to `to`: entries are agents or URIs,
        `xml` the list as it stands. As invite()."""
        text = xml if xml is not None else RESOURCE_LISTS % "".join(
            '<entry uri="%s"/>' % getattr(entry, "uri", entry).replace("&", "&amp;") for entry in entries)
        edit = more.pop("edit", None)
        return self.invite(to or "sip:factory@" + self.domain, headers=[
            ("Require", "recipient-list-invite"), *headers], content_type='multipart/mixed;boundary="b7"',
            edit=lambda body: LIST_BODY % (edit(body) if edit else body, text.encode()), **more)

    async def subscribe(self, uri, event, expires=3600, accept=None, headers=(), dialog=None):
        """A Subscription that was accepted; its first NOTIFY is to be awaited."""
        made = subscription.Subscription(self, uri, event, accept, headers, dialog)
        response = await made.subscribe(expires)
        check(200 <= response.status < 300, "SUBSCRIBE of %s got %s" % (self.name, response))
        return made

    async def expect(self, method, seconds=None):
        """The next request outside dialogs, which must have this method."""
        try:
            server = await asyncio.wait_for(self.incoming.get(), seconds or self.patience)
        except asyncio.TimeoutError:
            raise Failure("%s got no %s within %.1f s" % (
                self.name, method, seconds or self.patience)) from None
        check(server.request.method == method, "%s got %s instead of %s" % (
            self.name, server.request, method))
        return server

    async def expect_invite(self, seconds=None):
        return Invitation(self, await self.expect("INVITE", seconds))

    async def quiet(self, seconds):
        """Nothing outside dialogs arrives for so long."""
        try:
            server = await asyncio.wait_for(self.incoming.get(), seconds)
        except asyncio.TimeoutError:
            return
        raise Failure("%s got %s, expected nothing" % (self.name, server.request))


async def establish(a, b, a_setup="actpass", b_setup="passive", connection=None, ring=True, **more):
    """An IM session from a to b: INVITE, 180, 200, ACK, both MSRP legs bound."""
    outgoing = a.invite(b, setup=a_setup, **more)
    invitation = await b.expect_invite()
    if ring:
        invitation.ring()
        await outgoing.transaction.provisional(180)
    accepting = asyncio.ensure_future(invitation.accept(setup=b_setup))
    try:
        await outgoing.established(connection=connection)
        await accepting
    except BaseException:
        accepting.cancel()
        raise
    return outgoing, invitation
