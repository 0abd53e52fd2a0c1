"""Client and server transactions (RFC 3261 17, RFC 6026) without table limits: tests are short."""
import asyncio

from . import Failure, sip

T1, T2 = 0.5, 4.0


class ClientTransaction:
    """Sends, retransmits over UDP, hands out responses, acknowledges failures of INVITE."""

    def __init__(self, layer, request, flow):
        self.layer, self.request, self.flow = layer, request, flow
        self.queue = asyncio.Queue()
        self.provisionals = []
        self.last = None              # final response
        self.ack = None               # bytes of the ACK for a 2xx, set by the dialog
        self.on_success = None        # called for the first 2xx, before anything else is read
        self.sent = 0
        self.timer = None
        self._send(T1)

    def _send(self, pause):
        if self.last is not None:
            return
        if self.request.method == "INVITE" and self.provisionals:
            return
        self.sent += 1
        self.layer.endpoint.send(self.request, self.flow)
        if not self.flow.reliable and self.sent < 10:
            following = pause * 2 if self.request.method == "INVITE" else min(pause * 2, T2)
            self.timer = asyncio.get_running_loop().call_later(pause, self._send, following)

    def received(self, response):
        if not sip.check_response(response, self.request, self.layer.witness):
            return
        if response.status < 200:
            if self.last is not None:
                return
            self.provisionals.append(response)
            self.queue.put_nowait(response)
            return
        if self.timer and (self.request.method != "INVITE" or self.last is None):
            self.timer.cancel()
        first = self.last is None
        if not first and self.last.status != response.status:
            self.layer.witness.note("%s got %s after %s" % (self.request.method, response, self.last))
        self.last = self.last or response
        if self.request.method == "INVITE":
            if response.status < 300:
                if first and self.on_success:
                    self.on_success(response)
                elif self.ack:
                    self.flow.send(self.ack)
            else:
                self.acknowledge(response)
        if first:
            self.queue.put_nowait(response)

    def acknowledge(self, response):
        ack = sip.Message("ACK", self.request.uri)
        ack.add("Via", self.request.list("Via")[0])
        for route in self.request.all("Route"):
            ack.add("Route", route)
        ack.add("Max-Forwards", "70").add("From", self.request.get("From"))
        ack.add("To", response.get("To")).add("Call-ID", self.request.call_id)
        ack.add("CSeq", "%d ACK" % self.request.cseq[0])
        self.layer.endpoint.send(ack, self.flow)

    async def response(self, seconds=None):
        """The next response, provisional or final."""
        try:
            return await asyncio.wait_for(self.queue.get(), seconds or self.layer.patience)
        except asyncio.TimeoutError:
            raise Failure("%s %s: no response within %.1f s" % (
                self.request.method, self.request.uri, seconds or self.layer.patience)) from None

    async def final(self, seconds=None):
        seconds = seconds or self.layer.patience
        end = asyncio.get_running_loop().time() + seconds
        while self.last is None:
            await self.response(max(0.001, end - asyncio.get_running_loop().time()))
        return self.last

    async def provisional(self, status, seconds=None):
        """Wait until a provisional response of this status came."""
        for seen in self.provisionals:
            if seen.status == status:
                return seen
        while True:
            response = await self.response(seconds)
            if response.status == status:
                return response
            if response.status >= 200:
                raise Failure("%s: %s instead of %d" % (self.request.method, response, status))

    def stop(self):
        self.sent = 100
        if self.timer:
            self.timer.cancel()

    def cancel(self):
        """CANCEL of this INVITE; its own transaction is returned."""
        cancel = sip.Message("CANCEL", self.request.uri)
        cancel.add("Via", self.request.list("Via")[0])
        for name in ("Route", "Max-Forwards", "From", "To", "Call-ID"):
            for value in self.request.all(name):
                cancel.add(name, value)
        cancel.add("CSeq", "%d CANCEL" % self.request.cseq[0])
        return self.layer.start(cancel, self.flow)


class ServerTransaction:
    """One received request and the responses to it."""

    def __init__(self, layer, request, flow):
        self.layer, self.request, self.flow = layer, request, flow
        self.last = None
        self.repeated = 0             # retransmissions that arrived
        self.acknowledged = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.tag = sip.token(5)
        self.timer = None
        self.auto_cancel = True
        self.on_ack = None

    def send(self, response):
        self.last = response
        self.layer.endpoint.send(response, self.flow)
        if self.request.method == "INVITE" and response.status >= 200:
            if response.status < 300 or not self.flow.reliable:
                self._again(T1)

    def _again(self, pause):
        if self.timer:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(pause, self._repeat, pause)

    def _repeat(self, pause):
        if not self.acknowledged.is_set():
            self.layer.endpoint.send(self.last, self.flow)
            if pause < 16:
                self._again(min(pause * 2, T2))

    def received(self, request):
        if request.method == "ACK":
            self.ack(request)
            return
        self.repeated += 1
        if self.flow.reliable:
            self.layer.witness.note("%s repeated over TCP" % request)
        if self.last is not None:
            self.layer.endpoint.send(self.last, self.flow)

    def ack(self, request):
        self.acknowledged.set()
        if self.timer:
            self.timer.cancel()
        if self.on_ack:
            self.on_ack(request)

    def respond(self, status, reason=None, headers=(), body=b"", content_type=None):
        response = sip.response_to(self.request, status, reason or "Test %d" % status, self.tag)
        for name, value in headers:
            response.add(name, value)
        response.add("User-Agent", "IM-client/OMA1.0 test")
        if body:
            response.add("Content-Type", content_type)
            response.body = body
        self.send(response)
        return response

    async def wait_ack(self, seconds=None):
        await _wait(self.acknowledged, seconds or self.layer.patience, "ACK")

    async def wait_cancel(self, seconds=None):
        await _wait(self.cancelled, seconds or self.layer.patience, "CANCEL")

    def stop(self):
        self.acknowledged.set()
        if self.timer:
            self.timer.cancel()


async def _wait(event, seconds, what):
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        raise Failure("no %s within %.1f s" % (what, seconds)) from None


class Layer:
    """Matches messages to transactions. `on_request(transaction)` gets new requests, `on_ack`
    an ACK that belongs to no failed INVITE."""

    def __init__(self, endpoint, patience=6.0):
        self.endpoint, self.witness, self.patience = endpoint, endpoint.witness, patience
        self.clients, self.servers = {}, {}
        self.on_request = lambda transaction: None
        self.on_ack = lambda request: None
        endpoint.on_message = self.received

    def start(self, request, flow):
        transaction = ClientTransaction(self, request, flow)
        self.clients[(request.branch, request.cseq[1])] = transaction
        return transaction

    def received(self, message, flow):
        if message.method is None:
            if not message.list("Via"):
                self.witness.note("%s without Via" % message)
                return
            client = self.clients.get((message.branch, message.cseq[1]))
            if client is None:
                self.witness.note("%s matches no request of ours" % message)
                return
            client.received(message)
            return
        if not sip.check_request(message, self.witness):
            return
        sent_by = sip.via(message.list("Via")[0])[1]
        method = "INVITE" if message.method == "ACK" else message.method
        key = (message.branch, sent_by, method)
        known = self.servers.get(key)
        if known and (message.method != "ACK" or known.last and known.last.status >= 300):
            known.received(message)
            return
        if message.method == "ACK":
            self.on_ack(message)
            return
        transaction = ServerTransaction(self, message, flow)
        self.servers[key] = transaction
        if message.method == "CANCEL":
            invite = self.servers.get((message.branch, sent_by, "INVITE"))
            if invite is None:
                transaction.respond(481, "Call/Transaction Does Not Exist")
                return
            transaction.tag = invite.tag
            transaction.respond(200, "OK")
            if invite.last is None or invite.last.status < 200:
                if invite.auto_cancel:
                    invite.respond(487, "Request Terminated")
            invite.cancelled.set()
            return
        self.on_request(transaction)

    def close(self):
        for transaction in list(self.clients.values()) + list(self.servers.values()):
            transaction.stop()
