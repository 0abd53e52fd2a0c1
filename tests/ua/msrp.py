"""MSRP (RFC 4975, RFC 6135 set-up): a strict incremental parser, chunked sending, sessions of many
peers over one listener, several sessions over one connection. Bodies are hashed as they arrive, never
looked at octet by octet, so that 100 MiB pass quickly."""
import asyncio
import hashlib
import itertools
import re
import secrets
import socket

from . import Failure, certificates, check, sip

HEAD_MAX = 16384
KEEP = 1 << 20                   # longer bodies are hashed and counted, not kept
START = re.compile(rb"^MSRP ([A-Za-z0-9][A-Za-z0-9.\-+%=]{3,31}) (?:([A-Z]+)|(\d{3})(?: (.*))?)$")
URI = re.compile(r"^(msrps?)://(?:[^@/]*@)?(\[[^\]]+\]|[^:/;]+):(\d+)/([^;]+);tcp((?:;[^;]+)*)$", re.I)
RANGE = re.compile(r"^(\d+)-(\d+|\*)/(\d+|\*)$")


class Uri:
    """msrp://host:port/session-id;tcp, or msrps. Of our own also what the description says: the fingerprint, and the
    relays on the way to it, the nearest last."""
    fingerprint = None
    relays = ()

    def __init__(self, text):
        match = URI.match(text)
        if not match:
            raise Failure("MSRP URI %r" % text)
        self.text, self.secure = text, match.group(1).lower() == "msrps"
        self.host, self.port, self.session_id = match.group(2), int(match.group(3)), match.group(4)

    def __str__(self):
        return self.text

    def with_id(self, session_id):
        return Uri("%s://%s:%d/%s;tcp" % ("msrps" if self.secure else "msrp", self.host, self.port, session_id))


class Chunk:
    """The head of a request or response; of a request also what is known at its end."""

    def __init__(self):
        self.tid = self.method = self.code = self.comment = self.flag = None
        self.headers = []
        self.has_body = False
        self.octets = 0

    def get(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def range(self):
        """(start, end or None, total or None), or None without the header."""
        match = RANGE.match(self.get("Byte-Range") or "")
        if not match:
            return None
        number = [None if g == "*" else int(g) for g in match.groups()]
        return tuple(number)

    def __str__(self):
        return "%s %s%s" % (self.method or self.code, self.get("Byte-Range") or "", self.flag or "")


class Message:
    """A message put together from its chunks."""

    def __init__(self, message_id):
        self.id = message_id
        self.content_type = None
        self.length = 0
        self.body = bytearray()
        self.hash = hashlib.sha256()
        self.chunks = []
        self.total = None

    @property
    def flag(self):
        return self.chunks[-1].flag

    @property
    def digest(self):
        return self.hash.hexdigest()


class Connection(asyncio.Protocol):
    """One TCP connection; every chunk is given to the session of its To-Path."""

    def __init__(self, endpoint):
        self.endpoint, self.witness = endpoint, endpoint.witness
        self.transport = None
        self.buffer = bytearray()
        self.chunk = None
        self.pending = {}             # transaction id -> future of (code, comment)
        self.sessions = set()
        self.writable = asyncio.Event()
        self.writable.set()
        self.closed = asyncio.Event()
        self.strays = []              # responses that match no request
        self.written = 0

    def connection_made(self, transport):
        self.transport = transport
        self.endpoint.connections.append(self)
        transport.set_write_buffer_limits(high=256 * 1024)

    def connection_lost(self, exc):
        self.closed.set()
        self.writable.set()
        if self in self.endpoint.connections:
            self.endpoint.connections.remove(self)
        for future in self.pending.values():
            if not future.done():
                future.set_result((0, "connection lost"))
        self.pending.clear()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def write(self, data):
        self.written += len(data)
        if self.endpoint.tap:
            self.endpoint.tap(self, True, data)
        self.transport.write(data)

    def shrink(self, octets=65536):
        """Small kernel buffers, so that back-pressure is felt early."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, octets)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)

    def widen(self, octets=1 << 20):
        """What a shrunk one takes in a few octets at a time, at the pace of the kernel's probes, it takes at once."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)

    def close(self):
        if self.transport:
            self.transport.close()

    # --- receiving ---
    def data_received(self, data):
        if self.endpoint.tap:
            self.endpoint.tap(self, False, data)
        self.buffer += data
        try:
            while self.buffer and (self._head() if self.chunk is None else self._body()):
                pass
        except Failure as error:
            self.witness.note("MSRP: %s" % error)
            self.transport.abort()

    def _head(self):
        """Reads one head; a chunk without body is complete with it."""
        lines, at = [], 0
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end < 0:
                check(len(self.buffer) < HEAD_MAX, "head of over %d octets" % HEAD_MAX)
                return False
            line = bytes(self.buffer[at:end])
            at = end + 2
            if not lines:
                match = START.match(line)
                check(match, "start line %r" % line[:100])
                tail = b"-------" + match.group(1)
            elif not line or line.startswith(tail):
                break
            lines.append(line)
        chunk = Chunk()
        chunk.tid = match.group(1).decode()
        chunk.method = match.group(2) and match.group(2).decode()
        chunk.code = match.group(3) and int(match.group(3))
        chunk.comment = (match.group(4) or b"").decode("utf-8")
        for text in lines[1:]:
            name, colon, value = text.decode("utf-8").partition(": ")
            check(colon and re.match(r"^[A-Za-z0-9!%'*+_`~.-]+$", name), "header line %r" % text)
            chunk.headers.append((name, value))
        self._check_head(chunk)
        del self.buffer[:at]
        if line:
            check(line[len(tail):] in (b"$", b"+", b"#"), "end-line %r" % line)
            chunk.flag = line[len(tail):].decode()
            self._complete(chunk)
            return True
        chunk.has_body = True
        check(chunk.method, "response with a body")
        check(chunk.headers[-1][0].lower() == "content-type", "Content-Type is not the last header")
        self.chunk, self.tail = chunk, b"\r\n" + tail
        self.session = self._begin(chunk)
        return True

    def _check_head(self, chunk):
        names = [n for n, _ in chunk.headers]
        check(names[:2] == ["To-Path", "From-Path"], "first headers %r" % names[:2])
        check(len({n.lower() for n in names}) == len(names), "headers repeated: %r" % names)
        for uri in chunk.get("To-Path").split(" ") + chunk.get("From-Path").split(" "):
            Uri(uri)
        if chunk.method in ("SEND", "REPORT"):
            check(chunk.get("Message-ID"), "%s without Message-ID" % chunk.method)
        if chunk.method and chunk.get("Byte-Range") is not None:
            check(chunk.range(), "Byte-Range %r" % chunk.get("Byte-Range"))

    def _body(self):
        at = self.buffer.find(self.tail)
        if at < 0:
            keep = len(self.tail) - 1
            if len(self.buffer) > keep:
                self._data(len(self.buffer) - keep)
            return False
        end = at + len(self.tail)
        if len(self.buffer) < end + 3:
            return False
        if self.buffer[end:end + 1] not in (b"$", b"+", b"#") or self.buffer[end + 1:end + 3] != b"\r\n":
            self._data(end)           # only looked like the end-line: content
            return True
        flag = chr(self.buffer[end])
        self._data(at)
        del self.buffer[:len(self.tail) + 3]
        chunk, self.chunk = self.chunk, None
        chunk.flag = flag
        self._complete(chunk)
        return True

    def _data(self, length):
        """The first `length` octets of the buffer are body."""
        if length:
            with memoryview(self.buffer) as view, view[:length] as part:
                self.chunk.octets += length
                if self.session:
                    self.session.data(self.chunk, part)
        del self.buffer[:length]

    def _begin(self, chunk):
        session = self.endpoint.sessions.get(Uri(chunk.get("To-Path").split(" ")[0]).session_id)
        if session and chunk.method == "SEND":
            session.begin(chunk)
            return session
        return None

    def _complete(self, chunk):
        if chunk.code is not None:
            future = self.pending.pop(chunk.tid, None)
            if future is None:
                self.strays.append(chunk)
                if not self.endpoint.tolerant:
                    self.witness.note("MSRP response %d matches no request" % chunk.code)
            elif not future.done():
                future.set_result((chunk.code, chunk.comment))
            return
        to = Uri(chunk.get("To-Path").split(" ")[0])
        session = self.endpoint.sessions.get(to.session_id)
        if session is None:
            if chunk.method != "REPORT":
                self.respond(chunk, 481, "no such session")
            return
        if not chunk.has_body and chunk.method == "SEND":
            session.begin(chunk)
        session.complete(chunk, self)

    def respond(self, chunk, code, comment="OK"):
        """A response goes to the first URI of From-Path only (RFC 4975 7.2)."""
        self.write(("MSRP %s %03d %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n" % (
            chunk.tid, code, comment, chunk.get("From-Path").split(" ")[0],
            chunk.get("To-Path").split(" ")[0], chunk.tid)).encode())


class Leg:
    """One MSRP session of one user agent. `answer(chunk, respond)` decides what a received chunk gets;
    the default is 200 at once."""

    def __init__(self, endpoint, session_id=None):
        self.endpoint, self.witness = endpoint, endpoint.witness
        self.local = Uri("%s://%s:%d/%s;tcp" % (
            "msrps" if endpoint.certificate else "msrp", sip.bracketed(endpoint.host), endpoint.port,
            session_id or secrets.token_hex(10)))
        self.local.fingerprint = endpoint.certificate and endpoint.certificate.fingerprint()
        self.local.relays = endpoint.relays
        self.remote = []              # the peer's path from its SDP
        self.connection = None
        self.bound = asyncio.Event()
        self.paths = []               # of requests, kept while the peer's path is not known yet
        self.messages = asyncio.Queue()
        self.reports = asyncio.Queue()
        self.open = {}                # message id -> Message
        self.chunks = 0
        self.octets = 0
        self.answer = lambda chunk, respond: respond(200)
        endpoint.sessions[self.local.session_id] = self

    # --- receiving ---
    def begin(self, chunk):
        self.paths.append((chunk.get("To-Path"), chunk.get("From-Path")))
        self.check_paths()
        if not chunk.has_body:
            return
        place = chunk.range()
        if place is None:
            self.witness.note("SEND with body without Byte-Range")
            place = (1, None, None)
        message = self.open.setdefault(chunk.get("Message-ID"), Message(chunk.get("Message-ID")))
        if message.chunks and message.content_type != chunk.get("Content-Type"):
            self.witness.note("Content-Type changed within a message")
        message.content_type = chunk.get("Content-Type")
        if place[0] != message.length + 1:
            self.witness.note("chunk %s of %s after %d octets" % (chunk, message.id, message.length))
        if place[2] is not None:
            if message.total not in (None, place[2]):
                self.witness.note("total of %s changed to %d" % (message.id, place[2]))
            message.total = place[2]
        message.chunks.append(chunk)

    def check_paths(self):
        """A peer may connect before its answer came: its paths are compared once that is known."""
        for to, sender in self.paths if self.remote else ():
            if [to, sender.split(" ")] != [str(self.local), self.remote]:
                self.witness.note("SEND with To-Path %s From-Path %s, agreed %s and %s" % (
                    to, sender, self.local, self.remote))
        if self.remote:
            self.paths.clear()

    def data(self, chunk, part):
        message = self.open[chunk.get("Message-ID")]
        message.hash.update(part)
        message.length += len(part)
        self.octets += len(part)
        if message.length <= KEEP:
            message.body += part

    def complete(self, chunk, connection):
        if self.connection is None:
            self.connection = connection
            connection.sessions.add(self)
        elif self.connection is not connection:
            self.witness.note("a second connection carries session %s" % self.local)
        if chunk.method == "REPORT":
            self.reports.put_nowait(chunk)
            return
        if chunk.method != "SEND":
            connection.respond(chunk, 501, "unknown method")
            return
        self.bound.set()
        self.chunks += 1
        message = self.open.get(chunk.get("Message-ID"))
        if chunk.has_body:
            self._check_range(chunk, message)
        elif message is not None:
            message.chunks.append(chunk)
        if message is not None and chunk.flag != "+":
            if chunk.flag == "$" and message.total not in (None, message.length):
                self.witness.note("%s ended after %d of %d octets" % (
                    message.id, message.length, message.total))
            del self.open[message.id]
            self.messages.put_nowait(message)
        if chunk.get("Failure-Report") == "no":
            return
        self.answer(chunk, lambda code, comment="OK": connection.respond(chunk, code, comment))

    def _check_range(self, chunk, message):
        start, end, total = chunk.range() or (1, None, None)
        if end is not None and chunk.flag != "#":
            self.witness.expect(chunk.octets == end - start + 1, "chunk %s with %d octets" % (
                chunk, chunk.octets))
        if end is not None:
            self.witness.expect(chunk.octets <= 2048, "chunk of %d octets cannot be interrupted "
                                "(RFC 4975 7.1.1)" % chunk.octets)

    async def message(self, seconds=None):
        try:
            return await asyncio.wait_for(self.messages.get(), seconds or self.endpoint.patience)
        except asyncio.TimeoutError:
            raise Failure("no MSRP message at %s within %.1f s" % (
                self.local.session_id, seconds or self.endpoint.patience)) from None

    async def wait_bound(self, seconds=None):
        try:
            await asyncio.wait_for(self.bound.wait(), seconds or self.endpoint.patience)
        except asyncio.TimeoutError:
            raise Failure("nobody connected to MSRP session %s" % self.local.session_id) from None

    # --- sending ---
    async def connect(self, connection=None):
        """Be the active side: connect, or use a connection that is already there, and bind it with an
        empty SEND (RFC 4975 5.4)."""
        self.connection = connection or await self.endpoint.connect(self.remote[0])
        self.connection.sessions.add(self)
        code, comment = await self.empty()
        check(code == 200, "binding SEND got %d %s" % (code, comment))
        self.bound.set()

    def begin_request(self, method="SEND", headers=(), tid=None):
        """(transaction id, head) of a request along this session's path."""
        tid = tid or secrets.token_hex(6)
        lines = ["MSRP %s %s" % (tid, method), "To-Path: " + " ".join(self.remote),
                 "From-Path: %s" % self.local] + ["%s: %s" % h for h in headers]
        return tid, ("\r\n".join(lines) + "\r\n").encode()

    def expect_response(self, tid):
        future = asyncio.get_running_loop().create_future()
        if self.connection.closed.is_set():
            future.set_result((0, "connection lost"))
        else:
            self.connection.pending[tid] = future
        return future

    async def outcome(self, future, seconds=None):
        try:
            return await asyncio.wait_for(future, seconds or self.endpoint.patience)
        except asyncio.TimeoutError:
            raise Failure("SEND got no response within %.1f s" % (
                seconds or self.endpoint.patience)) from None

    async def empty(self):
        tid, head = self.begin_request(headers=[("Message-ID", secrets.token_hex(8))])
        future = self.expect_response(tid)
        self.connection.write(head + b"-------%s$\r\n" % tid.encode())
        return await self.outcome(future)

    def send_chunk(self, body, message_id, start=1, total="*", flag="$", content_type="text/plain",
                   headers=(), tid=None):
        """Write one chunk, return the future of its response (None with Failure-Report: no)."""
        end = start + len(body) - 1 if len(body) <= 2048 else "*"
        tid, head = self.begin_request(tid=tid, headers=[
            ("Message-ID", message_id), ("Byte-Range", "%d-%s/%s" % (start, end, total)),
            *headers, ("Content-Type", content_type)])
        silent = ("Failure-Report", "no") in headers
        future = None if silent else self.expect_response(tid)
        self.connection.write(b"%s\r\n%s\r\n-------%s%s\r\n" % (
            head, body, tid.encode(), flag.encode()))
        return future

    async def send(self, body, chunk=None, window=16, seconds=None, content_type="text/plain",
                   headers=(), message_id=None):
        """Send one message in chunks of `chunk` octets; returns the response codes, all of them."""
        size = chunk or max(1, len(body))
        pieces = (body[i:i + size] for i in range(0, max(1, len(body)), size))
        return await self.send_pieces(pieces, len(body), window, seconds, content_type, headers,
                                      message_id)

    async def send_pieces(self, pieces, total, window=16, seconds=None, content_type="text/plain",
                          headers=(), message_id=None):
        message_id = message_id or secrets.token_hex(8)
        start, outstanding, codes = 1, [], []
        for piece in pieces:
            flag = "$" if start + len(piece) > total else "+"
            future = self.send_chunk(piece, message_id, start, total, flag, content_type, headers)
            start += len(piece)
            await self.drain(seconds)
            if future:
                outstanding.append(future)
            if len(outstanding) >= window:
                codes.append((await self.outcome(outstanding.pop(0), seconds))[0])
                if codes[-1] != 200:
                    break
        for future in outstanding:
            codes.append((await self.outcome(future, seconds))[0])
        return codes

    async def send_stream(self, blocks, total, seconds=None):
        """One single chunk of any length, written block by block; returns its response code."""
        tid, head = self.begin_request(headers=[
            ("Message-ID", secrets.token_hex(8)), ("Byte-Range", "1-*/%d" % total),
            ("Content-Type", "application/octet-stream")])
        future = self.expect_response(tid)
        self.connection.write(head + b"\r\n")
        for block in blocks:
            self.connection.write(block)
            await self.drain(seconds)
        self.connection.write(b"\r\n-------%s$\r\n" % tid.encode())
        return (await self.outcome(future, seconds))[0]

    async def drain(self, seconds=None):
        try:
            await asyncio.wait_for(self.connection.writable.wait(), seconds or self.endpoint.patience)
        except asyncio.TimeoutError:
            raise Failure("MSRP connection does not take data") from None

    def close(self):
        """End of the session: the last one on a connection closes it."""
        self.endpoint.sessions.pop(self.local.session_id, None)
        if self.connection:
            self.connection.sessions.discard(self)
            if not self.connection.sessions:
                self.connection.close()


class Endpoint:
    """The MSRP side of one user agent: a listener and all its connections. With a certificate: msrps."""

    def __init__(self, witness, host="127.0.0.1", patience=6.0, certificate=None):
        self.witness, self.host, self.patience = witness, host, patience
        self.certificate = certificate
        self.sessions = {}
        self.connections = []
        self.port = 0
        self.server = None
        self.tolerant = False
        self.tap = None               # tap(connection, is_sent, octets) sees everything
        self.relays = ()              # URIs of the relays between it and the rest, the nearest last

    async def open(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Connection(self), self.host, 0,
            ssl=self.certificate and certificates.server_context(self.certificate))
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def connect(self, uri):
        uri = Uri(uri)
        loop = asyncio.get_running_loop()
        _, connection = await asyncio.wait_for(loop.create_connection(
            lambda: Connection(self), uri.host.strip("[]"), uri.port, local_addr=(self.host, 0),
            ssl=certificates.client_context(self.certificate, verify=False) if uri.secure else None,
            server_hostname="" if uri.secure else None), self.patience)
        return connection

    def close(self):
        if self.server:
            self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()


def pattern(total, block=1 << 20):
    """`total` octets of incompressible data in blocks, no two blocks alike."""
    base = secrets.token_bytes(block)
    for number in itertools.count():
        if total <= 0:
            return
        piece = (b"%016d" % number + base[16:])[:total]
        total -= len(piece)
        yield piece
