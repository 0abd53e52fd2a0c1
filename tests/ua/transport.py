"""SIP over UDP, TCP and TLS on asyncio (RFC 3261 18): an Endpoint owns the sockets of one SIP element."""
import asyncio
import random

from . import certificates, sip

CONNECT_SECONDS = 5
DATAGRAM_MAX = 65507


class UdpFlow:
    reliable = False

    def __init__(self, endpoint, peer):
        self.endpoint, self.peer = endpoint, peer

    def send(self, data):
        self.endpoint.send_datagram(data, self.peer)

    def __eq__(self, other):
        return isinstance(other, UdpFlow) and self.peer == other.peer

    def __hash__(self):
        return hash(self.peer)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, endpoint):
        self.endpoint = endpoint

    def datagram_received(self, data, peer):
        self.endpoint.datagram(data, peer[:2])


class TcpFlow(asyncio.Protocol):
    """One connection; frames by Content-Length, which every message must have (RFC 3261 18.3)."""
    reliable = True

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.transport = None
        self.peer = None
        self.is_client = False   # of a client of the core
        self.buffer = bytearray()
        self.head = None         # message whose body is awaited
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.peer = transport.get_extra_info("peername")[:2]
        self.endpoint.flows.append(self)

    def connection_lost(self, exc):
        if self in self.endpoint.flows:
            self.endpoint.flows.remove(self)
        if not self.closed.done():
            self.closed.set_result(exc)

    def send(self, data):
        if self.transport.is_closing():
            self.endpoint.witness.saw("!", self.endpoint.name, "write to a closed connection")
            return
        self.transport.write(data)

    def data_received(self, data):
        self.buffer += data
        try:
            while self._next():
                pass
        except sip.Malformed as error:
            self.endpoint.witness.note("on TCP: %s" % error)
            self.transport.abort()

    def _next(self):
        if self.head is None:
            while self.buffer.startswith(b"\r\n"):
                del self.buffer[:2]
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.head = sip.parse_head(bytes(self.buffer[:end]))
            self.length = sip.content_length(self.head)
            if self.length is None:
                raise sip.Malformed("%s without Content-Length" % self.head)
            del self.buffer[:end + 4]
        if len(self.buffer) < self.length:
            return False
        message, self.head = self.head, None
        message.body = bytes(self.buffer[:self.length])
        del self.buffer[:self.length]
        self.endpoint.arrived(message, self, message.encode())
        return True


class Endpoint:
    """`on_message(message, flow)` gets what arrived. With `scatter` set, datagrams leave from that
    many other sockets in turn, so that they reach any worker of a server; answers come to the main
    socket because the Via says so and asks for no rport."""

    def __init__(self, name, witness, transport="udp", host="127.0.0.1"):
        self.name, self.witness, self.transport, self.host = name, witness, transport, host
        self.tls_name = None     # TLS: the server that we ask for; its address without
        self.client_context = self.server_context = None
        self.on_message = lambda message, flow: None
        self.flows = []
        self.sockets = []
        self.server = None
        self.port = 0
        self.scattering = False

    async def open(self, port=0):
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            await self._socket(port)
            self.port = self.sockets[0].get_extra_info("sockname")[1]
        else:
            self.server = await loop.create_server(lambda: TcpFlow(self), self.host, port,
                                                   ssl=self._contexts()[1])
            self.port = self.server.sockets[0].getsockname()[1]
        return self

    def _contexts(self):
        """(client, server) for TLS: our own or the usual ones."""
        if self.transport != "tls":
            return None, None
        if self.client_context is None:
            self.client_context = certificates.client_context()
        if self.server_context is None:
            self.server_context = certificates.server_context(certificates.authority().issue("peer"))
        return self.client_context, self.server_context

    async def _socket(self, port=0):
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self.host, port))
        self.sockets.append(transport)

    async def scatter(self, sockets=12):
        while self.transport == "udp" and len(self.sockets) < sockets:
            await self._socket()
        self.scattering = True

    @property
    def sent_by(self):
        return "%s:%d" % (sip.bracketed(self.host), self.port)

    def via(self, branch):
        return "SIP/2.0/%s %s;branch=%s" % (self.transport.upper(), self.sent_by, branch)

    def uri(self, user=None, extra=""):
        tail = ";transport=" + self.transport if self.transport != "udp" else ""
        return "sip:%s%s%s%s" % (user + "@" if user else "", self.sent_by, tail, extra)

    async def flow_to(self, peer):
        """A flow to (host, port), over TCP the living connection to it if there is one."""
        if self.transport == "udp":
            return UdpFlow(self, peer)
        for flow in self.flows:
            if flow.peer == peer and not flow.transport.is_closing():
                return flow
        loop = asyncio.get_running_loop()
        _, flow = await asyncio.wait_for(
            loop.create_connection(lambda: TcpFlow(self), *peer, local_addr=(self.host, 0), **self._tls(peer)),
            CONNECT_SECONDS)
        return flow

    def _tls(self, peer):
        if self.transport != "tls":
            return {}
        return {"ssl": self._contexts()[0], "server_hostname": self.tls_name or peer[0],
                "ssl_handshake_timeout": CONNECT_SECONDS}

    def send_datagram(self, data, peer):
        if len(data) > DATAGRAM_MAX:
            self.witness.note("test sends a datagram of %d octets" % len(data))
            return
        socket = random.choice(self.sockets[1:]) if self.scattering else self.sockets[0]
        if not socket.is_closing():
            socket.sendto(data, peer)

    def datagram(self, data, peer):
        if not data.strip(b"\r\n"):
            return
        try:
            message = sip.parse_datagram(data)
        except sip.Malformed as error:
            self.witness.note("%s got: %s" % (self.name, error))
            return
        self.arrived(message, UdpFlow(self, peer), data)

    def arrived(self, message, flow, data):
        self.witness.saw("<", self.name, str(message))
        self.on_message(message, flow)

    def send(self, message, flow):
        self.witness.saw(">", self.name, str(message))
        flow.send(message.encode())

    def close(self):
        if self.server:
            self.server.close()
        for flow in list(self.flows):
            flow.transport.abort()
        for socket in self.sockets:
            socket.close()
