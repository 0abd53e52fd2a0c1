"""A small MSRP relay (RFC 4976) without AUTH: it takes its own URI off To-Path, puts it in front of From-Path and goes
on to the next one. It answers each SEND itself and turns a failure of the next hop into a REPORT."""
import asyncio
import secrets

from . import check, msrp


class Relay:
    def __init__(self, witness, host="127.0.0.1"):
        self.witness, self.host = witness, host
        self.flows = {}               # URI of a next hop -> writer
        self.pending = {}             # transaction id of ours -> request as it came
        self.requests, self.responses = [], []   # msrp.Chunk, as they came in
        self.tasks = set()
        self.server = self.uri = None

    async def open(self):
        self.server = await asyncio.start_server(self._receive, self.host, 0)
        self.uri = "msrp://%s:%d/%s;tcp" % (
            self.host, self.server.sockets[0].getsockname()[1], secrets.token_hex(8))
        return self

    def close(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()

    async def _receive(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while True:
                start = await reader.readuntil(b"\r\n")
                end = b"-------" + start.split(b" ")[1]
                chunk = start
                while not (chunk.endswith((end + b"$\r\n", end + b"+\r\n", end + b"#\r\n"))):
                    chunk += await reader.readuntil(b"\r\n")
                await self._on_chunk(chunk, writer)
        except asyncio.IncompleteReadError as error:
            self.witness.expect(not error.partial, "relay got %r" % error.partial[-80:])
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    @staticmethod
    def _parse(octets):
        """(msrp.Chunk, what follows the two paths)."""
        start, to, sender, rest = octets.split(b"\r\n", 3)
        chunk = msrp.Chunk()
        match = msrp.START.match(start)
        check(match and to.startswith(b"To-Path: ") and sender.startswith(b"From-Path: "), "relay got %r" % octets[:200])
        chunk.tid, chunk.method, chunk.code = match.group(1).decode(), match.group(2), match.group(3) and int(match.group(3))
        chunk.method = chunk.method and chunk.method.decode()
        chunk.to, chunk.sender = to[9:].decode().split(" "), sender[11:].decode().split(" ")
        for line in rest.split(b"\r\n\r\n")[0].split(b"\r\n"):
            name, colon, value = line.decode("utf-8", "replace").partition(": ")
            if colon:
                chunk.headers.append((name, value))
        chunk.flag = octets[-3:-2].decode()
        return chunk, rest

    async def _on_chunk(self, octets, writer):
        chunk, rest = self._parse(octets)
        self.witness.expect(chunk.to[0] == self.uri, "relay %s got a chunk for %s" % (self.uri, chunk.to))
        if chunk.code is not None:
            self.responses.append(chunk)
            await self._on_response(chunk)
            return
        self.requests.append(chunk)
        self.flows[chunk.sender[0]] = writer
        if chunk.method == "SEND" and chunk.get("Failure-Report") != "no":
            writer.write(("MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n" % (
                chunk.tid, chunk.sender[0], self.uri, chunk.tid)).encode())
        tid = secrets.token_hex(8)
        if chunk.method != "REPORT":
            self.pending[tid] = chunk
        out = await self._flow(chunk.to[1])
        out.write(("MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n" % (
            tid, chunk.method, " ".join(chunk.to[1:]), " ".join([self.uri] + chunk.sender))).encode() +
            rest[:-len(chunk.tid) - 3] + ("%s%s\r\n" % (tid, chunk.flag)).encode())
        await out.drain()

    async def _flow(self, uri):
        if uri not in self.flows:
            to = msrp.Uri(uri)
            reader, writer = await asyncio.open_connection(to.host.strip("[]"), to.port)
            self.flows[uri] = writer
            asyncio.ensure_future(self._receive(reader, writer))
        return self.flows[uri]

    async def _on_response(self, chunk):
        request = self.pending.pop(chunk.tid, None)
        self.witness.expect(request is not None, "relay got a response %d to nothing" % chunk.code)
        if request is None or chunk.code == 200 or request.get("Failure-Report") == "no":
            return
        tid = secrets.token_hex(8)
        lines = ["MSRP %s REPORT" % tid, "To-Path: " + " ".join(request.sender), "From-Path: " + self.uri,
                 "Message-ID: " + request.get("Message-ID"), "Byte-Range: " + request.get("Byte-Range"),
                 "Status: 000 %d" % chunk.code, "-------%s$" % tid]
        (await self._flow(request.sender[0])).write(("\r\n".join(lines) + "\r\n").encode())
